//! One machine is let in: the token is used up and the Node made in one transaction.

use base64::{Engine, prelude::BASE64_STANDARD};
use orlop_objects::{
    Key, Object,
    join::{NODE_KEY, TOKEN_HASH, TOKEN_NAMESPACE, TOKEN_USED, Token, hex, token_end, token_field},
    kind, time,
};
use orlop_registry::{Door, Error, Part, Registry, Who};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::decide::{Refusal, TokenFacts, Verdict, View, decide};
use crate::{Identity, failure::Failure, pki::request::NodeRequest};

/// Lets the machine with this token be the node of its request, or says why not.
pub(super) async fn enrol(registry: &Registry, token: &Value, request: &NodeRequest) -> Result<(), Failure> {
    let text = |field: &str| token[field].as_str().unwrap_or_default();
    let shown = hex(&Sha256::digest(text("secret")));
    let (secret, key) = (token_key(text("id")), request.key_hash());
    let who = Who::new(Identity::node(&request.name).user, "orlop-join");
    let admitted = registry.transact(&who, |door| {
        let found = door.get(&secret);
        let node = door.get(&Key::cluster(&kind::NODE, &request.name)).map(|node| remembered(&node));
        let token = found.as_deref().and_then(facts);
        let view = View { now: door.now(), name: &request.name, key: &key, shown: &shown, token, node };
        match decide(view) {
            Verdict::Admit => {
                use_up(door, &secret, &request.name, &key)?;
                door.create(&kind::NODE, "", node_of(&request.name, &key)).map(|_| Ok(()))
            }
            Verdict::Again { fresh: true } => use_up(door, &secret, &request.name, &key).map(Ok),
            Verdict::Again { fresh: false } => Ok(Ok(())),
            Verdict::Refuse(refusal) => Ok(Err(refusal)),
        }
    });
    match admitted.await? {
        Ok(()) => {
            tracing::info!(node = request.name, token = text("id"), "a machine has joined");
            Ok(())
        }
        Err(refusal) => {
            tracing::warn!(node = request.name, token = text("id"), %refusal, "a machine may not join");
            Err(match refusal {
                Refusal::Taken { .. } => Failure::taken(&kind::NODE, &request.name, refusal.to_string()),
                _ => Failure::unauthorized_because(refusal.to_string()),
            })
        }
    }
}

fn token_key(id: &str) -> Key {
    Key::new(&kind::SECRET, TOKEN_NAMESPACE, Token::object_name(id))
}

/// What a Secret says, if it is a token's.
fn facts(secret: &Object) -> Option<TokenFacts> {
    let value = secret.value();
    let field = |name: &str| token_field(&value, name);
    let [node, key, at] = TOKEN_USED;
    let used = field(node).zip(field(key)).map(|(node, key)| (node, key, field(at).unwrap_or_default()));
    Some(TokenFacts { hash: field(TOKEN_HASH)?, expires: token_end(&value), used })
}

fn remembered(node: &Object) -> Option<String> {
    node.value()["metadata"]["annotations"][NODE_KEY].as_str().map(str::to_owned)
}

/// The Secret stays until its time is over, so that who comes second is told that he does.
fn use_up(door: &mut Door<'_, '_>, secret: &Key, node: &str, key: &str) -> Result<(), Error> {
    let at = time::seconds(door.now());
    let change = |mut value: Value| {
        for (field, text) in TOKEN_USED.into_iter().zip([node, key, at.as_str()]) {
            value["data"][field] = BASE64_STANDARD.encode(text).into();
        }
        Ok(value)
    };
    door.change(secret, Part::Main, change).map(drop)
}

/// The Node as the server makes it; the agent fills in what it is.
fn node_of(name: &str, key: &str) -> Value {
    json!({"metadata": {"name": name, "annotations": {NODE_KEY: key}, "labels": {"kubernetes.io/hostname": name}}})
}
