//! Several nodes: machines join by token, run pods, are called by their server, and are nothing but themselves.

#![allow(clippy::disallowed_methods, reason = "these tests run curl; that is what they are for")]

use std::{process::Output, time::Duration};

use anyhow::{Context, Result, ensure};
use orlop_e2e::{
    cluster::{Cluster, PATIENCE, said},
    images, machine, manifests,
    member::Member,
};
use orlop_objects::{Key, join::TOKEN_NAMESPACE, kind};
use serde_json::{Value, json};

/// Runs an agent that must refuse to start, and answers its words.
fn refused(member: &Member, arguments: &[&str]) -> Result<String> {
    let output: Output = member.agent(arguments).output()?;
    ensure!(!output.status.success(), "it started: {}", said(&output));
    Ok(said(&output))
}

/// Asks the server with a member's own certificate, by curl; answers status code and body.
fn curl(cluster: &Cluster, member: &Member, path: &str) -> Result<(String, String)> {
    let pki = member.dir().join("pki");
    let file = |name: &str| pki.join(name).to_string_lossy().into_owned();
    let output = std::process::Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "20", "--write-out", "\n%{http_code}"])
        .args(["--cacert", &file("ca.crt"), "--cert", &file("node.crt"), "--key", &file("node.key")])
        .arg(format!("{}{path}", cluster.url()))
        .output()?;
    ensure!(output.status.success(), "curl: {}", said(&output));
    let text = String::from_utf8(output.stdout)?;
    let (body, code) = text.rsplit_once('\n').context("ends with the code")?;
    Ok((code.to_owned(), body.to_owned()))
}

async fn run_on(cluster: &Cluster, member: &Member, pod: &str) -> Result<Value> {
    let claim = format!("data-{pod}");
    cluster.create(&kind::PERSISTENT_VOLUME_CLAIM, manifests::claim(&claim, "32Mi")).await?;
    let script = format!("echo hello from {}; echo kept > /data/note; sleep 3600", member.name);
    cluster.create(&kind::POD, manifests::pod_on(&member.name, pod, &script, Some(&claim))).await?;
    cluster.phase(&kind::POD, pod, "Running").await
}

#[tokio::test]
async fn root_machines_join_and_survive_each_others_restarts() -> Result<()> {
    if !machine::can_run("root_machines_join_and_survive_each_others_restarts") {
        return Ok(());
    }
    let mut cluster = Cluster::start_server()?;
    let one = cluster.join("one", &[]).await?;
    let mut two = cluster.join("two", &[]).await?;
    for member in [&one, &two] {
        images::load_busybox_on(member)?;
    }
    let first = run_on(&cluster, &one, "on-one").await?;
    let second = run_on(&cluster, &two, "on-two").await?;
    assert_eq!((&first["spec"]["nodeName"], &second["spec"]["nodeName"]), (&json!("one"), &json!("two")));
    cluster.logged("on-one", "hello from one").await?;
    cluster.logged("on-two", "hello from two").await?;

    // The server dies and comes back; the agents and their pods go on by themselves.
    cluster.kill()?;
    cluster.serve()?;
    cluster.create(&kind::POD, manifests::pod_on("one", "later", "true", None)).await?;
    cluster.phase(&kind::POD, "later", "Succeeded").await?;
    cluster.logged("on-one", "hello from one").await?;

    // An agent dies and comes back with what is in its directory; its containers are adopted.
    two.kill()?;
    two.start()?;
    cluster.create(&kind::POD, manifests::pod_on("two", "later-still", "true", None)).await?;
    cluster.phase(&kind::POD, "later-still", "Succeeded").await?;
    cluster.logged("on-two", "hello from two").await?;
    let after = cluster.phase(&kind::POD, "on-two", "Running").await?;
    assert_eq!(after["status"]["containerStatuses"], second["status"]["containerStatuses"], "not restarted");
    for pod in ["on-one", "on-two"] {
        cluster.delete(&kind::POD, pod).await?;
        cluster.delete(&kind::PERSISTENT_VOLUME_CLAIM, &format!("data-{pod}")).await?;
    }
    cluster.none(&kind::PERSISTENT_VOLUME).await?;
    for member in [&one, &two] {
        assert_eq!(machine::left_below(&member.dir()), Vec::<String>::new());
    }
    Ok(())
}

/// A day goes by for all tokens but one.
async fn end_unused_tokens_but(cluster: &Cluster, kept: &str) -> Result<()> {
    for secret in cluster.client.list(&kind::SECRET, Some(TOKEN_NAMESPACE), &[]).await? {
        let id = kept.split('.').nth(1).context("a token's id")?;
        if !secret.key.name.contains(id) {
            let over = json!({"stringData": {"expires": "2020-01-01T00:00:00Z"}});
            cluster.client.patch(&secret.key, None, &over).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn root_who_may_not_join_is_told_why() -> Result<()> {
    if !machine::can_run("root_who_may_not_join_is_told_why") {
        return Ok(());
    }
    let cluster = Cluster::start_server()?;
    let token = cluster.run(&["token", "create", "--quiet"])?;
    let mut one = Member::prepared("one", cluster.url(), &[])?;
    one.join(&token)?;
    let file = |name: &str, text: &str| -> Result<String> {
        let path = cluster.dir().with_file_name(name);
        std::fs::write(&path, text)?;
        Ok(path.to_string_lossy().into_owned())
    };
    let stranger = Member::prepared("stranger", cluster.url(), &[])?;
    let join = |file: &str, name: &str| refused(&stranger, &["--token", file, "--node-name", name]);

    let used = join(&file("used", &token)?, "two")?;
    assert!(
        used.contains("the token was used by node \"one\"") && used.contains("orlop token create"),
        "{used}"
    );
    let fresh = file("fresh", &cluster.run(&["token", "create", "--quiet"])?)?;
    let taken = join(&fresh, "one")?;
    assert!(
        taken.contains("there is a node \"one\" already") && taken.contains("orlop node rm one"),
        "{taken}"
    );
    let mut parts: Vec<String> = token.trim().split('.').map(str::to_owned).collect();
    let unknown = join(&file("unknown", &token.replace(&parts[2], &"0".repeat(64)))?, "two")?;
    assert!(unknown.contains("there is no such token on this server"), "{unknown}");
    parts[3] = "0".repeat(64);
    let foreign = join(&file("foreign", &parts.join("."))?, "two")?;
    assert!(foreign.contains("the token is of another cluster") && foreign.contains(&parts[3]), "{foreign}");
    let broken = join(&file("broken", "orlop1.abc")?, "two")?;
    assert!(broken.contains("its id must be 16 hexadecimal digits"), "{broken}");
    let ended = file("ended", &cluster.run(&["token", "create", "--quiet"])?)?;
    end_unused_tokens_but(&cluster, &std::fs::read_to_string(&fresh)?).await?;
    let ended = join(&ended, "two")?;
    assert!(
        ended.contains("the token ended at 2020-01-01T00:00:00Z") && ended.contains("orlop token create"),
        "{ended}"
    );
    let none = refused(&stranger, &["--node-name", "two"])?;
    assert!(none.contains("this node has not joined yet: give --token FILE"), "{none}");
    let bad = join(&fresh, "Not_A_Name")?;
    assert!(bad.contains("cannot be a node's name"), "{bad}");
    // None of that cost the token anything.
    let mut two = Member::prepared("two", cluster.url(), &[])?;
    two.join(&std::fs::read_to_string(&fresh)?)?;
    cluster.node_ready("two").await?;

    two.stop()?;
    let other = refused(&two, &["--node-name", "three"])?;
    assert!(other.contains("this data directory belongs to node \"two\", not to \"three\""), "{other}");
    let reached =
        two.command(&["agent", "--server", "https://127.0.0.2:1"]).arg("--node-name").arg("x").output()?;
    assert!(said(&reached).contains("belongs to node \"two\""), "{}", said(&reached));
    Ok(())
}

#[tokio::test]
async fn root_a_nodes_certificate_opens_nothing_of_another_node() -> Result<()> {
    if !machine::can_run("root_a_nodes_certificate_opens_nothing_of_another_node") {
        return Ok(());
    }
    let cluster = Cluster::start_server()?;
    let one = cluster.join("one", &[]).await?;
    let two = cluster.join("two", &[]).await?;
    for member in [&one, &two] {
        images::load_busybox_on(member)?;
        let secret =
            json!({"metadata": {"name": format!("of-{}", member.name)}, "stringData": {"word": "sesame"}});
        cluster.create(&kind::SECRET, secret).await?;
        let mut pod = manifests::pod_on(&member.name, &format!("on-{}", member.name), "sleep 3600", None);
        pod["spec"]["imagePullSecrets"] = json!([{"name": format!("of-{}", member.name)}]);
        cluster.create(&kind::POD, pod).await?;
        cluster.phase(&kind::POD, &format!("on-{}", member.name), "Running").await?;
    }
    let secret = |name: &str| format!("/api/v1/namespaces/default/secrets/{name}");
    assert_eq!(curl(&cluster, &one, &secret("of-one"))?.0, "200");
    let (code, body) = curl(&cluster, &one, &secret("of-two"))?;
    assert_eq!(code, "403", "{body}");
    assert!(body.contains("no relationship found between node 'one' and this object"), "{body}");
    assert_eq!(curl(&cluster, &one, "/api/v1/secrets")?.0, "403");
    Ok(())
}

/// Asks an agent as somebody else than its server; whether it answered at all.
fn answers(port: u64, certificate: Option<&Member>) -> Result<bool> {
    let mut curl = std::process::Command::new("curl");
    curl.args(["--insecure", "--silent", "--max-time", "10"]);
    if let Some(member) = certificate {
        let file = |name: &str| member.dir().join("pki").join(name);
        curl.arg("--cert").arg(file("node.crt")).arg("--key").arg(file("node.key"));
    }
    let output = curl.arg(format!("https://127.0.0.1:{port}/containerLogs/default/p/main")).output()?;
    Ok(output.status.success() || !output.stdout.is_empty())
}

#[tokio::test]
async fn root_an_agent_answers_its_server_and_nobody_else() -> Result<()> {
    if !machine::can_run("root_an_agent_answers_its_server_and_nobody_else") {
        return Ok(());
    }
    let cluster = Cluster::start_server()?;
    let one = cluster.join("one", &[]).await?;
    let two = cluster.join("two", &[]).await?;
    images::load_busybox_on(&one)?;
    cluster.create(&kind::POD, manifests::pod_on("one", "p", "echo spoken; sleep 3600", None)).await?;
    cluster.logged("p", "spoken").await?;
    let node = cluster.client.get(&Key::cluster(&kind::NODE, "one")).await?.context("is there")?.value();
    let port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64().context("is told")?;
    assert!(!answers(port, None)?, "nobody without a certificate");
    assert!(!answers(port, Some(&two))?, "no other node");
    assert!(!answers(port, Some(&one))?, "not even itself");
    cluster.logged("p", "spoken").await
}

#[tokio::test]
async fn root_a_node_leaves_when_nothing_of_it_is_in_use() -> Result<()> {
    if !machine::can_run("root_a_node_leaves_when_nothing_of_it_is_in_use") {
        return Ok(());
    }
    let cluster = Cluster::start_server()?;
    let mut one = cluster.join("one", &[]).await?;
    images::load_busybox_on(&one)?;
    run_on(&cluster, &one, "p").await?;
    let refusal = |arguments: &[&str]| -> Result<String> {
        let output = cluster.command(arguments).output()?;
        ensure!(!output.status.success(), "{arguments:?}: {}", said(&output));
        Ok(said(&output))
    };
    let in_use = refusal(&["node", "rm", "one"])?;
    assert!(in_use.contains("pods (default/p)") && in_use.contains("attached volumes (pvc-"), "{in_use}");
    assert!(in_use.contains("orlop node drain one") && in_use.contains("two writers"), "{in_use}");
    let bare = refusal(&["node", "drain", "one"])?;
    assert!(bare.contains("no controller") && bare.contains("default/p"), "{bare}");
    assert!(cluster.run(&["node", "ls"])?.contains("SchedulingDisabled"));
    assert!(refusal(&["node", "rm", "nobody"])?.contains("there is no node \"nobody\""));

    cluster.delete(&kind::POD, "p").await?;
    cluster.none(&kind::VOLUME_ATTACHMENT).await?;
    cluster.run(&["node", "rm", "one"])?;
    let (code, body) = curl(&cluster, &one, "/api/v1/nodes/one")?;
    assert!(code == "401" && body.contains("is no node of this cluster"), "{code} {body}");
    for kind in [&kind::NODE, &kind::CSI_NODE, &kind::LEASE] {
        cluster.none(kind).await?;
    }
    one.stop()?;
    let revoked = refused(&one, &[])?;
    assert!(revoked.contains("start its agent with the file of a new token"), "{revoked}");
    one.join(&cluster.run(&["token", "create", "--quiet"])?)?;
    cluster.node_ready("one").await
}

/// The server has moved: who is told its new address knows it by its name, and nothing else is different.
#[tokio::test]
async fn root_a_server_that_has_moved_is_known_by_its_name() -> Result<()> {
    if !machine::can_run("root_a_server_that_has_moved_is_known_by_its_name") {
        return Ok(());
    }
    let mut cluster = Cluster::start_server()?;
    let mut one = cluster.join("one", &[]).await?;
    images::load_busybox_on(&one)?;
    let before = run_on(&cluster, &one, "p").await?;
    let old = cluster.url().to_owned();
    cluster.kill()?;
    cluster.move_to("127.0.0.1:0")?;
    ensure!(cluster.url() != old, "another address");
    // Its agent asks where it was, and says so again and again; its container goes on.
    let begun = std::time::Instant::now();
    while !one.log().contains(old.trim_start_matches("https://")) {
        ensure!(begun.elapsed() < PATIENCE, "it says nothing of {old}: {}", one.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    one.stop()?;
    one.follow(cluster.url());
    one.start()?;
    cluster.create(&kind::POD, manifests::pod_on("one", "later", "true", None)).await?;
    cluster.phase(&kind::POD, "later", "Succeeded").await?;
    let after = cluster.phase(&kind::POD, "p", "Running").await?;
    assert_eq!(after["status"]["containerStatuses"], before["status"]["containerStatuses"], "not restarted");
    cluster.logged("p", "hello from one").await
}
