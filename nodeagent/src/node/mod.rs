//! The node as the API knows it: its Node, its drivers (CSINode), its Lease.
//!
//! Registered at start and kept: the Lease is renewed every ten seconds, the Node's conditions every five minutes and
//! whenever its facts change. Failures are tried again; nothing else of the agent waits for them.

mod facts;
mod objects;

use std::{sync::Arc, time::Duration};

use orlop_client::Error as ApiError;
use orlop_objects::{Key, Object, cidr::Cidr, kind};
use serde_json::Value;
use tokio::time::{Instant, interval, sleep};

pub(crate) use facts::Facts;
pub use facts::own_address;

use crate::{clock, core::Core};

const RENEW: Duration = Duration::from_secs(10);
const REPORT: Duration = Duration::from_secs(300);
const FIRST_TRY: Duration = Duration::from_millis(100);
const LAST_TRY: Duration = Duration::from_secs(10);

/// Registers the node, then keeps its lease and conditions fresh, for ever.
pub(crate) async fn keep(core: Arc<Core>, facts: Facts) {
    let mut wait = FIRST_TRY;
    while let Err(error) = register(&core, &facts).await {
        tracing::warn!(error = crate::error::chain(&error), "register the node; trying again");
        sleep(wait).await;
        wait = (wait * 2).min(LAST_TRY);
    }
    tracing::info!(node = core.node, "the node is registered");
    let mut pulse = interval(RENEW);
    let mut reported = Instant::now();
    loop {
        let changed = tokio::select! {
            _ = pulse.tick() => false,
            () = core.leases.changed.notified() => true,
        };
        if !changed && let Err(error) = renew(&core).await {
            tracing::warn!(error = crate::error::chain(&error), "renew the node's lease");
        }
        if changed || reported.elapsed() >= REPORT {
            match report(&core, &facts).await {
                Ok(()) => reported = Instant::now(),
                Err(error) => {
                    tracing::warn!(error = crate::error::chain(&error), "report the node's condition");
                }
            }
        }
    }
}

async fn register(core: &Core, facts: &Facts) -> Result<(), ApiError> {
    let node = Key::cluster(&kind::NODE, &core.node);
    let old = core.client.get(&node).await?.map(|object| object.value()).unwrap_or_default();
    let topology = core.machine.drivers.values().flat_map(|driver| driver.topology()).collect();
    let mut body = objects::node(&core.node, facts, &topology, &old["metadata"]["labels"], clock::now());
    propose_ranges(core, &mut body).await?;
    // A scheduler that sees the node ready expects its drivers to be known.
    ensure(core, &Key::cluster(&kind::CSI_NODE, &core.node), &csi_node(core)).await?;
    ensure(core, &node, &body).await?;
    core.client.patch(&node, Some("status"), &serde_json::json!({"status": body["status"]})).await?;
    renew(core).await
}

/// Says which ranges of pod addresses are free on this machine, as long as the server has given none.
async fn propose_ranges(core: &Core, body: &mut Value) -> Result<(), ApiError> {
    let nodes = core.client.list(&kind::NODE, None, &[]).await?;
    let range = |node: &Object| -> Option<Cidr> { node.value()["spec"]["podCIDR"].as_str()?.parse().ok() };
    if nodes.iter().any(|node| node.meta.name == core.node && range(node).is_some()) {
        return Ok(());
    }
    let (name, others) = (core.node.clone(), nodes.iter().filter_map(range).collect::<Vec<_>>());
    match core.machine.blocking(move |m| m.propose_ranges(&name, &others)).await {
        Ok(ranges) => {
            let text: Vec<String> = ranges.iter().map(ToString::to_string).collect();
            body["metadata"]["annotations"]["network.orlop.dev/pod-cidrs"] = text.join(",").into();
        }
        Err(error) => {
            tracing::warn!(error = error.chain(), "look for ranges of pod addresses that are free here");
        }
    }
    Ok(())
}

fn csi_node(core: &Core) -> Value {
    let drivers: Vec<_> =
        core.machine.drivers.iter().map(|(name, driver)| (*name, driver.topology())).collect();
    objects::csi_node(&core.node, &drivers)
}

async fn report(core: &Core, facts: &Facts) -> Result<(), ApiError> {
    let node = Key::cluster(&kind::NODE, &core.node);
    let old = core.client.get(&node).await?.map(|o| o.value()).unwrap_or_default();
    let mut status = objects::status(facts, clock::now());
    let network = core.leases.state().condition();
    objects::add_network(&mut status, network, clock::now());
    objects::keep_transitions(&mut status, &old["status"]);
    core.client.patch(&node, Some("status"), &serde_json::json!({"status": status})).await.map(drop)
}

async fn renew(core: &Core) -> Result<(), ApiError> {
    let key = Key::new(&kind::LEASE, "kube-node-lease", &core.node);
    ensure(core, &key, &objects::lease(&core.node, clock::now())).await
}

/// Creates the object, or brings what we say of it up to date.
async fn ensure(core: &Core, key: &Key, body: &Value) -> Result<(), ApiError> {
    match core.client.patch(key, None, &objects::without_status(body)).await {
        Err(error) if error.code() == Some(404) => {
            core.client.create(key.kind, &key.namespace, body).await.map(drop)
        }
        outcome => outcome.map(drop),
    }
}
