//! How a machine becomes a node of this cluster, and stays one.
//!
//! ```text
//!  POST /orlop/v1/join   {token: {id, secret}, request}   by anybody ──► decide ──► the token is used, the Node is there
//!  POST /orlop/v1/renew  {request}                        by a node            └──► its certificate
//! ```
//!
//! The Node object is what makes a node: it remembers the one key that speaks for the node ([`NODE_KEY`]), and the
//! certificate of a node whose object is gone, or remembers another key, is worth nothing ([`still_a_node`]). So removing
//! the object revokes, whoever does it, and no certificate brings it back: only a token does.

mod decide;
mod enrol;

use http::{Response, StatusCode};
use hyper::body::Incoming;
use orlop_objects::{Key, join::NODE_KEY, kind, time};
use orlop_store::Snapshot;
use serde_json::{Value, json};

use crate::{
    Identity, body,
    failure::Failure,
    path::Joining,
    pki::{Pki, request::NodeRequest},
    reply::{self, Body},
    server::Inner,
};

/// Answers a machine that joins, or a node that renews.
pub(crate) async fn respond(
    server: &Inner,
    which: Joining,
    who: Option<&Identity>,
    incoming: Incoming,
) -> Result<Response<Body>, Failure> {
    let Some(pki) = server.pki.as_deref() else { return Err(Failure::no_such_path()) };
    let bytes = body::read(incoming).await?;
    let ask: Value = serde_json::from_slice(&bytes)
        .map_err(|e| Failure::bad_request(format!("the body must be JSON with `request`: {e}")))?;
    let request =
        NodeRequest::read(ask["request"].as_str().unwrap_or_default()).map_err(Failure::bad_request)?;
    match which {
        Joining::Join => enrol::enrol(&server.registry, &ask["token"], &request).await?,
        Joining::Renew => renews_itself(who, &request)?,
    }
    answer(server, pki, &request)
}

/// A node renews its own certificate, for the key that it has.
fn renews_itself(who: Option<&Identity>, request: &NodeRequest) -> Result<(), Failure> {
    let who = who.ok_or_else(Failure::unauthorized)?;
    let hash = request.key_hash();
    match (who.node_name(), who.key()) {
        (Some(name), Some(key)) if name == request.name && *key == hash => Ok(()),
        _ => Err(Failure::forbidden(
            &kind::NODE,
            &request.name,
            format!("{} can only renew its own certificate, for the key that it has", who.user),
        )),
    }
}

fn answer(server: &Inner, pki: &Pki, request: &NodeRequest) -> Result<Response<Body>, Failure> {
    let certificate = pki.node_certificate(request).map_err(Failure::internal)?;
    let now = time::seconds(server.registry.now());
    Ok(reply::json(StatusCode::CREATED, &json!({"certificate": certificate, "time": now})))
}

/// Whether a node's certificate is still the one of a node. Who came without one, or is no node, is not asked.
pub(crate) fn still_a_node(snapshot: &Snapshot, who: &Identity) -> Result<(), Failure> {
    let (Some(name), Some(key)) = (who.node_name(), who.key()) else { return Ok(()) };
    if key_of(snapshot, name).flatten().as_ref() == Some(key) {
        return Ok(());
    }
    Err(Failure::unauthorized_because(format!(
        "node \"{name}\" is no node of this cluster, or has joined with another key since: `orlop node rm` or a deletion \
         of its Node ended this one; to join again, start its agent with the file of a new token (`orlop token create`)"
    )))
}

/// The key that a Node remembers; the outer `None` where there is no such Node.
pub(crate) fn key_of(snapshot: &Snapshot, name: &str) -> Option<Option<String>> {
    let node = snapshot.get(&Key::cluster(&kind::NODE, name))?;
    Some(node.value()["metadata"]["annotations"][NODE_KEY].as_str().map(str::to_owned))
}
