//! The main job by stock kubectl: every verb that a storage tutorial uses, and the words that its reader expects.
#![allow(clippy::disallowed_methods, reason = "these tests run kubectl; that is what they are for")]

use std::{process::Command, time::Instant};

use anyhow::{Result, bail, ensure};
use orlop_e2e::{
    cluster::{Cluster, PATIENCE, said},
    images, machine,
};

/// kubectl with the administrator's kubeconfig and a cache of its own.
struct Kubectl<'a>(&'a Cluster);

impl Kubectl<'_> {
    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(self.0.dir().join("admin.kubeconfig"));
        command.arg("--cache-dir").arg(self.0.dir().with_file_name("cache"));
        command.args(words(arguments));
        command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/first-volume"));
        command
    }

    fn run(&self, arguments: &str) -> Result<String> {
        let output = self.command(arguments).output()?;
        ensure!(output.status.success(), "kubectl {arguments}: {}\n{}", said(&output), self.0.log());
        Ok(said(&output))
    }

    /// Runs until what it prints holds all `parts`; for what another part of Orlop brings about.
    fn until(&self, arguments: &str, parts: &[&str]) -> Result<String> {
        let started = Instant::now();
        loop {
            let text = self.run(arguments)?;
            if parts.iter().all(|part| text.contains(part)) {
                return Ok(text);
            }
            if started.elapsed() > PATIENCE {
                bail!("kubectl {arguments}: {parts:?} not in\n{text}");
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    fn refused(&self, arguments: &str, part: &str) -> Result<()> {
        let output = self.command(arguments).output()?;
        let text = said(&output);
        ensure!(
            !output.status.success() && text.contains(part),
            "kubectl {arguments} should fail with {part:?}: {text}"
        );
        Ok(())
    }
}

/// Splits at blanks; what stands in single quotes stays together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (n, part) in line.split('\'').enumerate() {
        if n % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(ToOwned::to_owned));
        }
    }
    words
}

fn usable(test: &str) -> bool {
    if !machine::can_run(test) {
        return false;
    }
    let there =
        Command::new("kubectl").args(["version", "--client"]).output().is_ok_and(|o| o.status.success());
    if !there {
        eprintln!("SKIPPED {test}: there is no kubectl on this machine");
    }
    there
}

#[test]
fn root_kubectl_tells_the_main_job() -> Result<()> {
    if !usable("root_kubectl_tells_the_main_job") {
        return Ok(());
    }
    let cluster = Cluster::start()?;
    images::load_busybox(&cluster)?;
    let kubectl = Kubectl(&cluster);

    kubectl.until("get nodes", &[" Ready "])?;
    kubectl.until("get storageclass", &["loop (default)", "loop.orlop.dev", "WaitForFirstConsumer"])?;
    let kinds = kubectl.run("api-resources")?;
    for kind in ["persistentvolumeclaims", "pvc", "storage.k8s.io/v1", "VolumeAttachment", "csinodes"] {
        assert!(kinds.contains(kind), "{kind} in\n{kinds}");
    }
    let help = kubectl.run("explain pvc.spec.accessModes")?;
    assert!(help.contains("FIELD: accessModes") && help.contains("string"), "{help}");
    assert!(kubectl.run("explain pod.spec --recursive")?.contains("volumeMounts"));

    kubectl.run("apply -f class.yaml -f claim.yaml")?;
    kubectl.until("get pvc data", &["Pending", "demo", "<unset>"])?;
    kubectl.until(
        "events --for pvc/data",
        &["WaitForFirstConsumer", "waiting for first consumer to be created before binding"],
    )?;
    let mut watch = kubectl.command("get pvc data --watch");
    let mut watch = watch.stdout(std::process::Stdio::piped()).spawn()?;

    kubectl.run("create -f writer.yaml")?;
    kubectl.run("wait pod/writer --for=condition=Ready --timeout=60s")?;
    kubectl.run("wait pvc/data --for=jsonpath={.status.phase}=Bound --timeout=60s")?;
    kubectl.until("get pvc data", &["Bound", "pvc-", "64Mi", "RWO", "demo"])?;
    kubectl.until("get pods", &["1/1", "Running"])?;
    kubectl.until("logs writer", &["the volume is full at its own size"])?;
    kubectl.until("describe pvc data", &["Used By:", "writer", "ProvisioningSucceeded", "Bound"])?;
    kubectl
        .until("describe pod writer", &["data (rw)", "ClaimName:", "SuccessfulAttachVolume", "Started"])?;
    kubectl.until("get volumeattachment", &["loop.orlop.dev", "true"])?;
    kubectl.run("describe volumeattachment")?;
    kubectl.until("describe pv", &["loop.orlop.dev", "Node Affinity", "kubernetes.io/hostname"])?;
    kubectl.run("describe node")?;
    kubectl.run("get all,pv,pvc,events -A -o wide")?;

    kubectl.run("label pvc data tier=gold")?;
    kubectl.until("get pvc -l tier=gold", &["data"])?;
    kubectl.run("annotate pvc data note=hello")?;
    kubectl.run("patch pvc data -p '{\"metadata\":{\"labels\":{\"tier\":\"silver\"}}}'")?;
    kubectl
        .run("patch pvc data --type=json -p '[{\"op\":\"remove\",\"path\":\"/metadata/labels/tier\"}]'")?;
    kubectl.until("get pvc data -o jsonpath={.metadata.annotations.note}", &["hello"])?;
    kubectl.run("apply -f claim.yaml")?;
    kubectl.refused("patch pvc data -p '{\"spec\":{\"accessModes\":[\"ReadWriteMany\"]}}'", "spec")?;

    watch.kill()?;
    let seen = said(&watch.wait_with_output()?);
    assert!(seen.contains("Pending") && seen.contains("Bound"), "get --watch printed\n{seen}");

    kubectl.run("delete pod writer")?;
    kubectl.run("apply -f reader.yaml")?;
    kubectl.run("wait pod/reader --for=jsonpath={.status.phase}=Succeeded --timeout=60s")?;
    kubectl.until("get pod reader", &["Completed"])?;
    kubectl.until("logs reader", &["written by writer"])?;
    kubectl.run("delete -f reader.yaml")?;
    kubectl.run("delete pvc data")?;
    kubectl.until("get pv", &["No resources found"])?;
    assert_eq!(machine::left_below(&cluster.dir()), Vec::<String>::new());
    Ok(())
}

#[test]
fn root_kubectl_is_told_what_is_wrong() -> Result<()> {
    if !usable("root_kubectl_is_told_what_is_wrong") {
        return Ok(());
    }
    let cluster = Cluster::start()?;
    let kubectl = Kubectl(&cluster);
    let scratch = cluster.dir().with_file_name("bad.yaml");
    let bad = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: bad}\nspec:\n  acessModes: [ReadWriteOnce]\n";
    std::fs::write(&scratch, bad)?;
    kubectl.refused(&format!("apply -f {}", scratch.display()), "unknown field \"spec.acessModes\"")?;
    kubectl.refused("get pvc nothing", "persistentvolumeclaims \"nothing\" not found")?;
    kubectl.refused("get nonsense", "the server doesn't have a resource type \"nonsense\"")?;
    // Typed writes send protobuf and know no other way, so the refusal names one.
    kubectl.refused("create configmap x --from-literal=a=b", "kubectl create -f")?;
    Ok(())
}
