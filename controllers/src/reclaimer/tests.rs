//! The reclaimer's table, row for row.

#![expect(clippy::needless_pass_by_value, reason = "a row of a table reads best with plain values")]

use serde_json::{Value, json};

use super::{
    decide::{Verdict, decide},
    view::{Health, View, VolumeFacts},
};
use crate::testing::{seen, volume, with};

const HELD: &str = "external-provisioner.volume.kubernetes.io/finalizer";

fn facts(policy: &str, more: Value) -> VolumeFacts {
    let base = json!({"metadata": {"finalizers": [HELD]}, "spec": {"persistentVolumeReclaimPolicy": policy},
        "status": {"phase": "Released"}});
    VolumeFacts {
        volume: seen(&volume(with(base, &more))),
        released: true,
        attached: Vec::new(),
        driver: Some(("loop.orlop.dev".to_owned(), true)),
        installed: vec!["loop.orlop.dev".to_owned()],
        keeper: Some(("n1".to_owned(), Health::Ready)),
        others: Vec::new(),
    }
}

fn text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Hold { .. } => "hold".to_owned(),
        Verdict::Delete { .. } => "delete".to_owned(),
        Verdict::Entrust { node, .. } => format!("entrust to {node}"),
        Verdict::Watch => "watch".to_owned(),
        Verdict::LetGo { .. } => "let go".to_owned(),
        Verdict::Fail { said, .. } => format!("fail {}: {}", said.reason, said.message),
        Verdict::Wait { said, .. } => format!("wait {}: {}", said.reason, said.message),
    }
}

#[track_caller]
fn check(row: &str, facts: VolumeFacts, wanted: &str) {
    let verdicts = decide(&View { volumes: vec![facts] });
    let found = verdicts.first().map_or("-".to_owned(), |(_, verdict)| text(verdict));
    assert!(found.starts_with(wanted), "{row}: {found}, wanted {wanted}");
}

#[test]
fn volumes_whose_claim_is_gone() {
    let attached = || vec!["n1".to_owned()];
    let no_finalizer = json!({"metadata": {"finalizers": []}});
    let failed = json!({"status": {"phase": "Failed"}});
    check("in use", VolumeFacts { released: false, ..facts("Delete", json!({})) }, "-");
    check("kept", facts("Retain", json!({})), "-");
    let waits = VolumeFacts { attached: attached(), ..facts("Delete", json!({})) };
    check("attached", waits, "wait VolumeFailedDelete: persistentvolume v is still attached to node n1");
    check("without finalizer", facts("Delete", no_finalizer), "hold");
    check("delete", facts("Delete", json!({})), "delete");
    let other =
        VolumeFacts { driver: Some(("ebs.csi.aws.com".to_owned(), false)), ..facts("Delete", json!({})) };
    check("another's", other, "wait ExternalProvisioning: waiting for driver \"ebs.csi.aws.com\"");
    let none = |more: Value| VolumeFacts { driver: None, ..facts("Delete", more) };
    let words = "fail VolumeFailedDelete: error getting deleter volume plugin for volume \"v\"";
    check("nobody's", none(json!({})), words);
    check("nobody's, said so", none(failed.clone()), "-");
    check("recycle", facts("Recycle", json!({})), "fail VolumeFailedRecycle: No recycler plugin found");
    check("recycle, said so", facts("Recycle", failed.clone()), "-");
    check("recycling failed, then Delete", facts("Delete", failed), "delete");
}

#[test]
fn volumes_that_are_being_deleted() {
    let going = |more: Value| with(json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}), &more);
    check("retain", facts("Retain", going(json!({}))), "let go");
    check("retain, let go", facts("Retain", going(json!({"metadata": {"finalizers": []}}))), "-");
    let not_released = |more: Value| VolumeFacts { released: false, ..facts("Delete", going(more)) };
    check("bound", not_released(json!({"spec": {"claimRef": {"uid": "c1"}}})), "-");
    check(
        "nobody's",
        not_released(json!({})),
        "wait VolumeFailedDelete: the volume is being deleted, but its data",
    );
    check("nobody's, not held", not_released(json!({"metadata": {"finalizers": []}})), "-");
    let attached = VolumeFacts { attached: vec!["n1".to_owned()], ..facts("Delete", going(json!({}))) };
    check("attached", attached, "wait VolumeFailedDelete: persistentvolume v is still attached");
}

#[test]
fn who_removes_the_data() {
    let kept = |keeper: Option<Health>, others: &[&str]| VolumeFacts {
        keeper: keeper.map(|health| ("n9".to_owned(), health)),
        others: others.iter().map(|node| (*node).to_owned()).collect(),
        ..facts("Delete", json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}))
    };
    let words = |what: &str| format!("wait VolumeFailedDelete: {what}");
    check("its agent's turn", kept(Some(Health::Ready), &["n2"]), "watch");
    check("silent, another can", kept(Some(Health::Silent), &["n2", "n3"]), "entrust to n2");
    check("gone, another can", kept(Some(Health::Gone), &["n2"]), "entrust to n2");
    check("none, another can", kept(None, &["n2"]), "entrust to n2");
    let silent = words("node \"n9\", where the data of this volume is, is not Ready");
    check("silent", kept(Some(Health::Silent), &[]), &silent);
    let gone = words("node \"n9\", where the data of this volume is, does not exist");
    check("gone", kept(Some(Health::Gone), &[]), &gone);
    check("none", kept(None, &[]), &words("no Ready node is known to have the data"));
    let other = VolumeFacts { driver: Some(("ebs.csi.aws.com".to_owned(), false)), ..kept(None, &[]) };
    check("another driver's", other, "-");
}
