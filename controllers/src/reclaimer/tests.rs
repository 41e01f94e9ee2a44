//! The reclaimer's table, row for row.

#![expect(clippy::needless_pass_by_value, reason = "a row of a table reads best with plain values")]

use serde_json::{Value, json};

use super::{
    decide::{Verdict, decide},
    view::{View, VolumeFacts},
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
        home: Some(("n1".to_owned(), true)),
    }
}

fn text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Hold { .. } => "hold".to_owned(),
        Verdict::Delete { .. } => "delete".to_owned(),
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
    check("recycle, said so", facts("Recycle", failed), "-");
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
    let orphan = VolumeFacts { home: Some(("n9".to_owned(), false)), ..facts("Delete", going(json!({}))) };
    check("node gone", orphan, "wait VolumeFailedDelete: node \"n9\"");
    check("its agent's turn", facts("Delete", going(json!({}))), "-");
}
