//! The node as the API knows it: its Node, its drivers (CSINode), its Lease.
//!
//! Registered at start and kept: the Lease is renewed four times in the time that it gives (the server writes how long
//! that is), and with each renewal the Node's conditions are looked at: what does not say how the node is, as after a
//! silence, is written again, and all of it every five minutes. A Node that somebody has deleted is made anew, as long as
//! the server still knows who this is: one that has joined has to join again. Failures are tried again; nothing else of
//! the agent waits for them.

mod disks;
mod facts;
mod kernel;
mod objects;
mod pressure;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use orlop_client::Error as ApiError;
use orlop_objects::{Key, Object, cidr::Cidr, kind};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

pub use disks::{Verdict, judge};
pub(crate) use facts::Facts;
pub use facts::own_address;
pub(crate) use kernel::Kernel;
pub(crate) use pressure::{Pressure, watch as watch_pressure};

use crate::{clock, core::Core};

/// How long a lease lasts that does not say it yet: the shortest grace that a server gives, for the moment until it says.
const LEASE: Duration = Duration::from_secs(2);
const REPORT: Duration = Duration::from_secs(300);
const FIRST_TRY: Duration = Duration::from_millis(100);
const LAST_TRY: Duration = Duration::from_secs(10);

/// Registers the node, then keeps its lease and conditions fresh, for ever.
pub(crate) async fn keep(core: Arc<Core>, facts: Facts) {
    let (mut lease, mut wait) = (LEASE, FIRST_TRY);
    let mut told = loop {
        match register(&core, &facts, &mut lease).await {
            Ok(told) => break told,
            Err(error) => {
                tracing::warn!(error = crate::error::chain(&error), "register the node; trying again");
            }
        }
        sleep(wait).await;
        wait = (wait * 2).min(LAST_TRY);
    };
    tracing::info!(node = core.node, "the node is registered");
    let (mut reported, mut looked) = (Instant::now(), Instant::now());
    loop {
        // Of four renewals three may fail before the node is taken for silent; none may hang for longer than one takes.
        match timeout(lease / 2, beat(&core, &facts, &mut lease, &mut reported)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error = crate::error::chain(&error), "renew the node's lease"),
            Err(_) => {
                tracing::warn!(seconds = (lease / 2).as_secs_f32(), "the server does not answer a renewal");
            }
        }
        // What somebody has installed meanwhile changes what the node can do.
        if looked.elapsed() >= REPORT {
            looked = Instant::now();
            if labels(&core) != told
                && let Ok(Ok(now)) = timeout(lease / 2, register(&core, &facts, &mut lease)).await
            {
                told = now;
            }
        }
        tokio::select! {
            () = sleep(lease / 4) => {}
            () = core.leases.changed.notified() => {}
        }
    }
}

/// Renews the lease and, where it must be, says how the node is. How long the lease lasts is known from the renewal on,
/// whatever becomes of the rest: on a slow machine that would else be asked for as if the lease were the shortest.
async fn beat(
    core: &Core,
    facts: &Facts,
    lease: &mut Duration,
    reported: &mut Instant,
) -> Result<(), ApiError> {
    *lease = renew(core).await?;
    let Some(stored) = core.client.get(&Key::cluster(&kind::NODE, &core.node)).await? else {
        tracing::warn!(node = core.node, "somebody has deleted the Node; it is made anew");
        register(core, facts, lease).await?;
        *reported = Instant::now();
        return Ok(());
    };
    let stored = stored.value();
    let mut said = objects::status(facts, &core.pressure.condition(), clock::now());
    kernel::look(core).await;
    objects::add_kernel(&mut said, core.kernel.conditions(), clock::now());
    objects::add_network(&mut said, core.leases.state().condition(), clock::now());
    if reported.elapsed() >= REPORT || !objects::say_the_same(&stored["status"], &said) {
        report(core, said, &stored["status"]).await?;
        *reported = Instant::now();
    }
    Ok(())
}

/// Makes the node known; answers the labels that it told of the drivers.
async fn register(
    core: &Core,
    facts: &Facts,
    lease: &mut Duration,
) -> Result<BTreeMap<String, String>, ApiError> {
    let node = Key::cluster(&kind::NODE, &core.node);
    let old = core.client.get(&node).await?.map(|object| object.value()).unwrap_or_default();
    let told = labels(core);
    let mut body = objects::node(&core.node, facts, &told, &old["metadata"]["labels"]);
    propose_ranges(core, &mut body).await?;
    // A scheduler that sees the node ready expects its drivers to be known.
    ensure_csi_node(core).await?;
    body["status"] = objects::status(facts, &core.pressure.condition(), clock::now());
    kernel::look(core).await;
    objects::add_kernel(&mut body["status"], core.kernel.conditions(), clock::now());
    ensure(core, &node, &body).await?;
    core.client.patch(&node, Some("status"), &serde_json::json!({"status": body["status"]})).await?;
    *lease = renew(core).await?;
    Ok(told)
}

/// Labels that say what volumes can be made and attached here, and what else its drivers can do.
fn labels(core: &Core) -> BTreeMap<String, String> {
    let drivers = core.machine.drivers.values();
    drivers.flat_map(|driver| driver.topology().into_iter().chain(driver.abilities())).collect()
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

async fn report(core: &Core, mut status: Value, stored: &Value) -> Result<(), ApiError> {
    objects::keep_transitions(&mut status, stored);
    let node = Key::cluster(&kind::NODE, &core.node);
    core.client.patch(&node, Some("status"), &serde_json::json!({"status": status})).await.map(drop)
}

async fn renew(core: &Core) -> Result<Duration, ApiError> {
    let key = Key::new(&kind::LEASE, "kube-node-lease", &core.node);
    let lease = ensure(core, &key, &objects::lease(&core.node, clock::now())).await?.value();
    let seconds = lease["spec"]["leaseDurationSeconds"].as_u64().filter(|seconds| *seconds > 0);
    Ok(seconds.map_or(LEASE, Duration::from_secs))
}

/// What is said of a driver never changes (CSINodeDriver of the API: its fields are immutable). One of which there is
/// something else to say, since a pool or a program has come or gone, is taken out and put in again.
async fn ensure_csi_node(core: &Core) -> Result<(), ApiError> {
    let key = Key::cluster(&kind::CSI_NODE, &core.node);
    let drivers = core.machine.drivers.iter().map(|(name, driver)| (*name, driver.topology()));
    let wanted = objects::drivers(&core.node, drivers);
    let mut stored = core.client.get(&key).await?.map(|object| object.value()).unwrap_or_default();
    for drivers in objects::rewritten(&stored["spec"]["drivers"], &wanted) {
        let body = objects::csi_node(&core.node, &drivers, &stored["metadata"]["resourceVersion"]);
        stored = ensure(core, &key, &body).await?.value();
    }
    Ok(())
}

/// Creates the object, or brings what we say of it up to date.
async fn ensure(core: &Core, key: &Key, body: &Value) -> Result<Object, ApiError> {
    match core.client.patch(key, None, &objects::without_status(body)).await {
        Err(error) if error.code() == Some(404) => core.client.create(key.kind, &key.namespace, body).await,
        outcome => outcome,
    }
}
