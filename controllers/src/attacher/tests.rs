//! The attacher's table, row for row.

#![expect(clippy::needless_pass_by_value, reason = "a row of a table reads best with plain values")]

use serde_json::{Value, json};

use super::{
    decide::{Action, decide},
    request,
    view::{Attached, User, View, VolumeFacts},
};
use crate::testing::{pod, seen, volume, with};

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
    Attached { attachment: seen(&with(base, &more)), ours: true, told: true }
}

fn text(action: &Action) -> String {
    match action {
        Action::Attach { node, .. } => format!("attach {node}"),
        Action::Detach { attachment } => format!("detach {}", attachment.spec.node_name),
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
