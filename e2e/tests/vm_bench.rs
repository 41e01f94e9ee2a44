//! What a shared volume of Orlop's own costs a node that mounts it: its export, against the directory of the pool that its
//! file lies in, exported by the same process of nfs-ganesha and mounted with the same options. What differs is the file
//! system of its own in a loop file. Reported, not asserted: a guest is emulated, so that only ratios mean something.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use orlop_e2e::{
    guest::{Guest, Lab, Nodes},
    manifests,
    sample::Sample,
};

const CLAIM: &str = "shared";
const POOL: &str = "/disk/data/pool";
const ROUNDS: usize = 7;
const WHAT: [(&str, &str); 3] =
    [("synced", "100 × 64 KiB + fsync"), ("write", "64 MiB, written"), ("read", "64 MiB, read")];

/// The two directories as the client sees them.
struct Places {
    own: String,
    pool: String,
}

/// The volume with a pod on the node that does not keep it, and the pool beside it.
fn mount(nodes: &Nodes) -> Result<(Places, usize)> {
    nodes.claim_of_many(CLAIM, "nfs", "256Mi")?;
    let claim = nodes.until_claim(CLAIM, "Bound")?;
    let volume = claim["spec"]["volumeName"].as_str().context("a bound claim has a volume")?;
    let volume = nodes.get(&format!("/api/v1/persistentvolumes/{volume}"))?.context("the volume")?;
    let keeper = &volume["metadata"]["annotations"]["volume.orlop.dev/keeper"];
    let (server, client) = if keeper == "node-1" { (1, 2) } else { (2, 1) };
    let name = format!("node-{client}");
    nodes.pod(&manifests::pod_on(&name, "holder", "trap exit TERM; sleep 3600 & wait", Some(CLAIM)))?;
    nodes.until_pod("holder", "Running")?;
    export_pool(nodes.node(server), &nodes.node(client).address())?;
    let client = nodes.node(client);
    let own = client.run("findmnt -n -t nfs4 -o TARGET | grep /mount$")?;
    let attributes = &volume["spec"]["csi"]["volumeAttributes"];
    let port = attributes["port"].as_str().context("the volume says its port")?;
    let address = nodes.node(server).address();
    client.run(&format!(
        "mkdir -p /mnt/pool && options=$(findmnt -n -o OPTIONS {own}) &&
         mount -t nfs4 -o vers=4.2,hard,port={port},$(grep -o 'rsize=[0-9]*,wsize=[0-9]*' <<<$options) \
         {address}:/pool /mnt/pool && mkdir -p /mnt/pool/bench"
    ))?;
    let seen = client.run("findmnt -n -t nfs4 -o OPTIONS | sort -u")?;
    println!("mounted with: {seen}");
    Ok((Places { own, pool: "/mnt/pool/bench".to_owned() }, server))
}

/// Has the server that Orlop runs export the pool's directory as well, to one client.
fn export_pool(server: &Guest, client: &str) -> Result<()> {
    server.run(&format!(
        "cat >>/disk/data/nfs/ganesha.conf <<'END'
EXPORT {{ Export_Id = 60000; Path = {POOL}; Pseudo = /pool; FSAL {{ Name = VFS; }}
  CLIENT {{ Clients = {client}; Access_Type = RW; Protocols = 4; Squash = No_Root_Squash; }} }}
END
         pkill -HUP -x ganesha.nfsd"
    ))?;
    Ok(())
}

/// Once through a directory, with a server that remembers nothing of it either.
fn once(client: &Guest, server: &Guest, what: &str, dir: &str) -> Result<Duration> {
    server.run("sync && echo 3 >/proc/sys/vm/drop_caches")?;
    let said = client.run(&format!("{} {what} {dir}", env!("CARGO_BIN_EXE_transfer")))?;
    Ok(Duration::from_secs_f64(said.parse().context(said)?))
}

#[test]
#[ignore = "minutes in guests: make test-vm"]
fn vm_bench_an_export_of_its_own_against_the_pool() -> Result<()> {
    let Some(lab) = Lab::open("vm_bench_an_export_of_its_own_against_the_pool") else { return Ok(()) };
    let nodes = Nodes::start(&lab, 2)?;
    let (places, server) = mount(&nodes)?;
    let (server, client) = (nodes.node(server), nodes.node(3 - server));
    let mut table = vec![(Sample::default(), Sample::default()); WHAT.len()];
    for round in 0..=ROUNDS {
        for ((own, pool), (what, _)) in table.iter_mut().zip(WHAT) {
            let times = (once(client, server, what, &places.own)?, once(client, server, what, &places.pool)?);
            // The first round is the guests' own warming up.
            if round > 0 {
                own.push(times.0);
                pool.push(times.1);
            }
        }
    }
    println!("own export through a client of another node, against the pool's directory by the same server:");
    for ((own, pool), (_, name)) in table.iter().zip(WHAT) {
        println!(
            "  {name:<21} pool {pool}   own export {own}   {:.2} of its speed",
            pool.ratio(own.median())
        );
    }
    client.run("umount /mnt/pool")?;
    nodes.delete("pods", "holder")?;
    nodes.delete("persistentvolumeclaims", CLAIM)?;
    nodes.until("/api/v1/persistentvolumes", "no volume", |list| list["items"] == serde_json::json!([]))?;
    let said = nodes.down()?;
    ensure!(said.len() == 2, "{said:?}");
    Ok(())
}
