//! `orlop node drain`: no new pods, and those that are there are evicted, as `kubectl drain` does it.
//!
//! | pod | what happens |
//! |---|---|
//! | of a DaemonSet | stays: it would come back at once |
//! | finished | evicted |
//! | without a controller | refused before anything is done, unless `--force`: it would be gone for good |
//! | with an emptyDir | refused before anything is done, unless `--delete-emptydir-data`: its data would be gone |
//! | any other | evicted |
//!
//! Pods are evicted side by side; an eviction that is put off (429) is asked for again until the time is over. The node is
//! drained when the pods are gone and nothing is attached but what pods of DaemonSets use: then nothing is lost when the
//! machine is switched off.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use orlop_client::{Client, Error};
use orlop_objects::{Key, Object, kind};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{cli, say::say};

/// How long until an eviction that was put off is asked for again, and how often it is looked what is still there.
const AGAIN: Duration = Duration::from_millis(500);

pub(super) async fn drain(client: &Client, flags: &cli::Drain) -> Result<()> {
    let node = super::node(client, &flags.name).await?;
    client
        .patch(&node.key, None, &json!({"spec": {"unschedulable": true}}))
        .await
        .with_context(|| format!("mark node \"{}\" as not schedulable", flags.name))?;
    say!("node {} takes no new pods", flags.name);
    let sorted = Sorted::of(super::pods(client, &flags.name).await?, flags);
    if !sorted.staying.is_empty() {
        say!("left, as they belong to DaemonSets: {}", super::names(&sorted.staying));
    }
    if let Some(why) = sorted.refusal() {
        bail!("{why}; nothing was evicted, and `kubectl uncordon {}` takes the node back", flags.name);
    }
    let end = End::after(flags.timeout);
    let asked = sorted.leaving.into_iter().map(async |pod| {
        let why = evict(client, &pod, flags.grace_period, end).await?;
        anyhow::Ok((pod, why.unwrap_or_else(|| "its end was asked for".to_owned())))
    });
    let left = try_join_all(asked).await?;
    wait_for_pods(client, left, end).await?;
    wait_for_volumes(client, &flags.name, &sorted.staying, end).await?;
    say!("node {} is drained", flags.name);
    Ok(())
}

/// When to give up, if ever.
#[derive(Clone, Copy)]
struct End(Option<Instant>);

impl End {
    /// In so many seconds; 0 is never.
    fn after(seconds: u64) -> Self {
        Self((seconds > 0).then(|| Instant::now() + Duration::from_secs(seconds)))
    }

    fn has_come(self) -> bool {
        self.0.is_some_and(|end| Instant::now() >= end)
    }
}

/// Pods by what is to become of them.
#[derive(Default)]
struct Sorted {
    leaving: Vec<Object>,
    staying: Vec<Object>,
    bare: Vec<Object>,
    with_data: Vec<Object>,
}

impl Sorted {
    fn of(pods: Vec<Object>, flags: &cli::Drain) -> Self {
        let mut sorted = Self::default();
        for pod in pods {
            let value = pod.value();
            let bare = !pod.meta.owner_references.iter().any(|owner| owner.controller);
            let finished = matches!(value["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
            let place = if super::is_daemon(&pod) {
                &mut sorted.staying
            } else if finished {
                &mut sorted.leaving
            } else if bare && !flags.force {
                &mut sorted.bare
            } else if has_data(&value) && !flags.delete_emptydir_data {
                &mut sorted.with_data
            } else {
                &mut sorted.leaving
            };
            place.push(pod);
        }
        sorted
    }

    fn refusal(&self) -> Option<String> {
        let bare = (!self.bare.is_empty()).then(|| {
            format!(
                "these pods have no controller and would be gone for good (--force evicts them): {}",
                super::names(&self.bare)
            )
        });
        let with_data = (!self.with_data.is_empty()).then(|| {
            format!(
                "the emptyDir data of these pods would be gone (--delete-emptydir-data says so): {}",
                super::names(&self.with_data)
            )
        });
        let all: Vec<String> = bare.into_iter().chain(with_data).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

fn has_data(pod: &Value) -> bool {
    pod["spec"]["volumes"].as_array().into_iter().flatten().any(|volume| volume["emptyDir"].is_object())
}

/// Asks for one eviction until it is granted; why it was not, once the time is over.
async fn evict(client: &Client, pod: &Object, grace: Option<u32>, end: End) -> Result<Option<String>> {
    let (namespace, name) = (&pod.key.namespace, &pod.key.name);
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction");
    let mut body = json!({"apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
        "deleteOptions": {"preconditions": {"uid": pod.meta.uid}}});
    if let Some(seconds) = grace {
        body["deleteOptions"]["gracePeriodSeconds"] = seconds.into();
    }
    loop {
        match client.ask(&path, &body).await {
            Ok(_) => return Ok(None),
            Err(Error::Refused { code: 429, message, .. }) if end.has_come() => {
                return Ok(Some(message));
            }
            Err(Error::Refused { code: 429, .. }) => tokio::time::sleep(AGAIN).await,
            // Gone already, or another pod of its name by now.
            Err(Error::Refused { code: 404 | 409, .. }) if is_gone(client, pod).await? => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("evict pod {namespace}/{name}")),
        }
    }
}

async fn is_gone(client: &Client, pod: &Object) -> Result<bool> {
    let key = Key::new(&kind::POD, &pod.key.namespace, &pod.key.name);
    let now = client.get(&key).await.with_context(|| format!("look at pod {}", pod.key))?;
    Ok(now.is_none_or(|now| now.meta.uid != pod.meta.uid))
}

/// Waits until all are gone; says which are not, and why, once the time is over.
async fn wait_for_pods(client: &Client, mut left: Vec<(Object, String)>, end: End) -> Result<()> {
    loop {
        let mut still = Vec::new();
        for (pod, why) in left {
            if is_gone(client, &pod).await? {
                say!("evicted {}/{}", pod.key.namespace, pod.key.name);
            } else {
                still.push((pod, why));
            }
        }
        if still.is_empty() {
            return Ok(());
        }
        if end.has_come() {
            let words: Vec<String> = still
                .iter()
                .map(|(pod, why)| format!("{}/{} ({why})", pod.key.namespace, pod.key.name))
                .collect();
            bail!(
                "not all pods have left in time: {}; a pod goes when its containers have ended and its node's agent says so \
                 (`orlop node ls` shows whether it is Ready); run the command again, or give it longer with --timeout",
                words.join(", ")
            );
        }
        left = still;
        tokio::time::sleep(AGAIN).await;
    }
}

/// Waits until nothing is attached but what the pods that stay use; says what is, once the time is over.
async fn wait_for_volumes(client: &Client, node: &str, staying: &[Object], end: End) -> Result<()> {
    loop {
        let used = super::volumes_of(client, staying).await?;
        let attached = super::attachments(client, node).await?;
        let left: Vec<&str> = attached
            .iter()
            .map(|(_, volume)| volume.as_str())
            .filter(|volume| !used.contains(*volume))
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        if end.has_come() {
            bail!(
                "the pods have left, but volumes are still attached: {}; the node's agent detaches them \
                 (`orlop node ls` shows whether it is Ready); run the command again, or give it longer with --timeout",
                left.join(", ")
            );
        }
        tokio::time::sleep(AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(owner: Option<&str>, empty_dir: bool, phase: &str, flags: [bool; 2]) -> &'static str {
        let owners = owner.map(|kind| json!([{"kind": kind, "name": "o", "uid": "u", "controller": true}]));
        let volumes = if empty_dir { json!([{"name": "v", "emptyDir": {}}]) } else { json!([]) };
        let value = json!({"metadata": {"name": "p", "namespace": "n", "ownerReferences": owners.unwrap_or(json!([]))},
            "spec": {"volumes": volumes}, "status": {"phase": phase}});
        let pod = Object::from_value(&kind::POD, &value).expect("a pod");
        let [force, delete_emptydir_data] = flags;
        let flags = cli::Drain {
            name: "x".into(),
            force,
            delete_emptydir_data,
            grace_period: None,
            timeout: 1,
            ignore_daemonsets: false,
        };
        let sorted = Sorted::of(vec![pod], &flags);
        match (sorted.staying.len(), sorted.leaving.len(), sorted.refusal()) {
            (1, 0, None) => "stays",
            (0, 1, None) => "evicted",
            (0, 0, Some(why)) if why.contains("--force") => "bare",
            (0, 0, Some(why)) if why.contains("--delete-emptydir-data") => "data",
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn who_leaves_and_who_stays() {
        let rows = [
            (Some("DaemonSet"), true, "Running", [true, true], "stays"),
            (None, true, "Succeeded", [false, false], "evicted"),
            (None, false, "Running", [false, false], "bare"),
            (None, false, "Running", [true, false], "evicted"),
            (Some("ReplicaSet"), true, "Running", [false, false], "data"),
            (Some("ReplicaSet"), true, "Running", [false, true], "evicted"),
            (Some("ReplicaSet"), false, "Pending", [false, false], "evicted"),
        ];
        for (owner, empty_dir, phase, flags, expected) in rows {
            assert_eq!(
                check(owner, empty_dir, phase, flags),
                expected,
                "{owner:?} {empty_dir} {phase} {flags:?}"
            );
        }
    }
}
