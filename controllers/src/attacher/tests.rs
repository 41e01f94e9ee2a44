//! The attacher's table, row for row.

#![expect(clippy::needless_pass_by_value, reason = "a row of a table reads best with plain values")]

use serde_json::{Value, json};

use super::{
    decide::{Action, decide},
    request,
    view::{Attached, User, View, VolumeFacts},
};
use crate::{
    taints::HEARD_SINCE,
    testing::{self, pod, seen, volume, with},
};

fn csi(more: Value) -> Value {
    let csi = json!({"spec": {"csi": {"driver": "loop.orlop.dev", "volumeHandle": "h"}}});
    volume(with(csi, &more))
}

fn on(node: &str, name: &str) -> User {
    User { pod: seen(&pod(name, json!({}))), node: node.to_owned() }
}

fn attachment(node: &str, more: Value) -> Attached {
    let base = json!({"metadata": {"name": request::name("h", "loop.orlop.dev", node), "uid": format!("a-{node}")},
        "spec": {"attacher": "loop.orlop.dev", "nodeName": node, "source": {"persistentVolumeName": "v"}},
        "status": {"attached": true}});
    let node = Some(seen(&testing::node(node, json!({}))));
    Attached { attachment: seen(&with(base, &more)), ours: true, told: true, node }
}

fn text(action: &Action) -> String {
    match action {
        Action::Attach { node, .. } => format!("attach {node}"),
        Action::Detach { attachment } => format!("detach {}", attachment.spec.node_name),
        Action::Release { attachment, .. } => format!("release {}", attachment.spec.node_name),
        Action::Tell { pod, said } => format!("tell {} {}: {}", pod.name(), said.reason, said.message),
        Action::Told { .. } => "told".to_owned(),
    }
}

#[track_caller]
fn check(row: &str, facts: VolumeFacts, wanted: &[&str], waiting: bool) {
    let verdicts = decide(&View { volumes: vec![facts] });
    let [(_, verdict)] = verdicts.as_slice() else { panic!("{row}: one verdict per volume") };
    let found: Vec<String> = verdict.actions.iter().map(text).collect();
    let same = found.len() == wanted.len() && found.iter().zip(wanted).all(|(f, w)| f.starts_with(w));
    assert!(same, "{row}: {found:?}, wanted {wanted:?}");
    assert_eq!(verdict.waiting, waiting, "{row}: waiting");
}

fn facts(volume: Value, users: Vec<User>, attachments: Vec<Attached>) -> VolumeFacts {
    VolumeFacts { volume: seen(&volume), attaches: true, users, attachments }
}

#[test]
fn what_is_attached() {
    let one = || csi(json!({}));
    let going = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    let not_yet = json!({"status": {"attached": false}});
    check("needed no more", facts(one(), vec![], vec![attachment("n1", json!({}))]), &["detach n1"], true);
    let none = VolumeFacts {
        attaches: false,
        ..facts(one(), vec![on("n1", "a")], vec![attachment("n1", json!({}))])
    };
    check("its driver does not attach", none, &["detach n1"], true);
    check("going", facts(one(), vec![on("n1", "a")], vec![attachment("n1", going)]), &[], true);
    check("on its way", facts(one(), vec![on("n1", "a")], vec![attachment("n1", not_yet)]), &[], true);
    let error = json!({"status": {"attached": false, "attachError": {"message": "no loop device is free"}}});
    check(
        "failed",
        facts(one(), vec![on("n1", "a")], vec![attachment("n1", error)]),
        &["tell a FailedAttachVolume: AttachVolume.Attach failed for volume \"v\" : no loop device is free"],
        true,
    );
    check("attached", facts(one(), vec![on("n1", "a")], vec![attachment("n1", json!({}))]), &[], false);
    let news = Attached { told: false, ..attachment("n1", json!({})) };
    check(
        "attached just now",
        facts(one(), vec![on("n1", "a")], vec![news]),
        &["told", "tell a SuccessfulAttachVolume: AttachVolume.Attach succeeded for volume \"v\""],
        false,
    );
    let foreign = Attached { ours: false, ..attachment("n1", json!({})) };
    check("somebody else's", facts(one(), vec![], vec![foreign]), &[], false);
}

#[test]
fn what_is_missing() {
    let one = || csi(json!({}));
    let shared = || csi(json!({"spec": {"accessModes": ["ReadWriteMany"]}}));
    let none = VolumeFacts { attaches: false, ..facts(one(), vec![on("n1", "a")], vec![]) };
    check("its driver does not attach", none, &[], false);
    check("first node", facts(one(), vec![on("n1", "a"), on("n1", "b")], vec![]), &["attach n1"], true);
    check(
        "for several nodes",
        facts(shared(), vec![on("n1", "a"), on("n2", "b")], vec![]),
        &["attach n1", "attach n2"],
        true,
    );
    check(
        "two nodes at once: the oldest pod's",
        facts(one(), vec![on("n2", "a"), on("n1", "b")], vec![]),
        &[
            "attach n2",
            "tell b FailedAttachVolume: Multi-Attach error for volume \"v\" Volume is already used by pod(s) a",
        ],
        true,
    );
    check(
        "attached elsewhere",
        facts(one(), vec![on("n1", "a"), on("n2", "b")], vec![attachment("n1", json!({}))]),
        &[
            "tell b FailedAttachVolume: Multi-Attach error for volume \"v\" Volume is already used by pod(s) a on node n1",
        ],
        true,
    );
    let going = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    check(
        "going elsewhere",
        facts(one(), vec![on("n2", "b")], vec![attachment("n1", going)]),
        &[
            "tell b FailedAttachVolume: Multi-Attach error for volume \"v\" Volume is already exclusively attached to one node",
        ],
        true,
    );
}

/// A silent node; `more` is laid over it.
fn silent(attached: Attached, more: Value) -> Attached {
    let node = json!({"status": {"conditions": [
        {"type": "Ready", "status": "Unknown", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    let node = testing::node(&attached.attachment.spec.node_name, with(node, &more));
    Attached { node: Some(seen(&node)), ..attached }
}

fn off(annotations: Value) -> Value {
    json!({"metadata": {"annotations": annotations}, "spec": {"taints": [
        {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}]}})
}

#[test]
fn what_a_silent_node_has_it_keeps() {
    let one = || csi(json!({}));
    let going = || attachment("n1", json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}));
    let words = "tell b FailedAttachVolume: Multi-Attach error for volume \"v\" Volume is already exclusively attached to one \
         node and can't be attached to another. Node n1 has it and has not been Ready since 2026-01-01T00:00:00Z. Orlop does \
         not force the detach, since that node may still write to the volume. Bring node n1 back; or power it off and run: \
         kubectl taint node n1 node.kubernetes.io/out-of-service=nodeshutdown:NoExecute";
    let other = || vec![on("n2", "b")];
    let both = || vec![on("n1", "a"), on("n2", "b")];
    check(
        "used there",
        facts(one(), both(), vec![silent(attachment("n1", json!({})), json!({}))]),
        &[words],
        true,
    );
    check("going there", facts(one(), other(), vec![silent(going(), json!({}))]), &[words], true);
    let unneeded = silent(attachment("n1", json!({})), json!({}));
    check("asked to go there", facts(one(), other(), vec![unneeded]), &["detach n1", words], true);
    let believed = || silent(going(), off(json!({})));
    check("out of service, going", facts(one(), other(), vec![believed()]), &["release n1", words], true);
    check("out of service, nobody waits", facts(one(), vec![], vec![believed()]), &["release n1"], true);
    let needed = silent(attachment("n1", json!({})), off(json!({})));
    check("out of service, a pod is still there", facts(one(), both(), vec![needed]), &[words], true);
    let heard = silent(going(), off(json!({HEARD_SINCE: "2026-01-01T00:00:00Z"})));
    check("heard since", facts(one(), other(), vec![heard]), &[words], true);
    let ready = Attached { node: Some(seen(&testing::node("n1", off(json!({}))))), ..going() };
    let still = "tell b FailedAttachVolume: Multi-Attach error for volume \"v\" Volume is already exclusively attached to one \
         node and can't be attached to another. It is still attached to node n1";
    check("Ready, so it is ignored", facts(one(), other(), vec![ready]), &[still], true);
    let foreign = Attached { ours: false, ..believed() };
    check("somebody else's", facts(one(), other(), vec![foreign]), &[words], true);
    let gone = Attached { node: None, ..going() };
    let gone_words = "tell b FailedAttachVolume: Multi-Attach error for volume \"v\" Volume is already exclusively attached to \
         one node and can't be attached to another. Node n1 has it and is no part of the cluster any more. Orlop does not \
         force the detach, since its machine may still write to the volume. Let it join again as n1; or power it off and \
         run: kubectl patch volumeattachment csi-";
    check("its node is gone", facts(one(), other(), vec![gone]), &[gone_words], true);
}

#[test]
fn only_one_pod_may_use_a_read_write_once_pod_volume() {
    let only = csi(json!({"spec": {"accessModes": ["ReadWriteOncePod"]}}));
    check(
        "two pods",
        facts(only, vec![on("n1", "a"), on("n1", "b")], vec![attachment("n1", json!({}))]),
        &[
            "tell b FailedAttachVolume: Volume \"v\" has access mode ReadWriteOncePod and is already used by pod a",
        ],
        true,
    );
}
