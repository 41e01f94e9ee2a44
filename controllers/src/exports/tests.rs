//! The tables of exports, row for row.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use orlop_objects::exports;
use serde_json::json;

use super::{
    decide::{Verdict, decide},
    view::{ExportFacts, NodeFacts, View},
};
use crate::testing::{claim, pod, seen, volume};

/// Node `n`, whose address is 10.0.0.`last`.
fn node(name: &str, last: u8, ready: bool, off: bool) -> NodeFacts {
    NodeFacts { name: name.into(), addresses: [[10, 0, 0, last].into()].into(), ready, off }
}

fn keeper() -> NodeFacts {
    node("keeper", 1, true, false)
}

/// An export that `keeper` keeps, with clients as written, and pods on these nodes.
fn export(clients: &str, pods: &[&str]) -> ExportFacts {
    let on = |node: &&str| seen::<Pod>(&pod(&format!("on-{node}"), json!({"spec": {"nodeName": node}})));
    ExportFacts {
        volume: seen::<PersistentVolume>(&volume(json!({}))),
        keeper: "keeper".into(),
        clients: exports::parse(clients),
        claim: Some(seen::<PersistentVolumeClaim>(&claim(json!({})))),
        pods: pods.iter().map(on).collect(),
    }
}

fn verdict(export: ExportFacts, nodes: Vec<NodeFacts>) -> Verdict {
    let view = View { exports: vec![export], nodes };
    decide(&view).pop().expect("one export, one verdict").1
}

/// Who may mount it afterwards; what is to be written, or what is written already.
fn clients(before: &str, pods: &[&str], nodes: Vec<NodeFacts>) -> String {
    match verdict(export(before, pods), nodes) {
        Verdict::Write { clients, .. } => {
            assert_ne!(exports::parse(&clients), exports::parse(before), "written for nothing");
            clients
        }
        Verdict::Watch { .. } => before.to_owned(),
    }
}

#[test]
fn who_may_mount_an_export() {
    let with = |other: NodeFacts| vec![keeper(), other];
    let rows = [
        ("the keeper alone", "", &[][..], vec![keeper()], ""),
        ("Ready", "", &[][..], with(node("n", 2, true, false)), "10.0.0.2"),
        ("Ready, a client", "10.0.0.2", &[][..], with(node("n", 2, true, false)), "10.0.0.2"),
        ("not Ready", "", &["n"][..], with(node("n", 2, false, false)), ""),
        ("not Ready, a client, in use", "10.0.0.2", &["n"][..], with(node("n", 2, false, false)), "10.0.0.2"),
        ("not Ready, a client, unused", "10.0.0.2", &["m"][..], with(node("n", 2, false, false)), ""),
        ("out of service", "10.0.0.2", &["n"][..], with(node("n", 2, true, true)), ""),
        ("gone", "10.0.0.2", &["n"][..], vec![keeper()], ""),
        ("shares the keeper's address", "", &[][..], with(node("n", 1, true, false)), "10.0.0.1"),
    ];
    for (row, before, pods, nodes, after) in rows {
        assert_eq!(clients(before, pods, nodes), after, "{row}");
    }
    let three = vec![keeper(), node("b", 3, true, false), node("a", 2, true, false)];
    assert_eq!(clients("", &[], three), "10.0.0.2,10.0.0.3");
}

#[test]
fn who_is_told_of_an_absent_keeper() {
    let told = |nodes: Vec<NodeFacts>, pods: &[&str]| {
        let (Verdict::Watch { told } | Verdict::Write { told, .. }) = verdict(export("", pods), nodes);
        told.into_iter()
            .map(|(object, said)| {
                assert!(said.warning && said.message.contains("\"keeper\""), "{said:?}");
                (object.key.name.clone(), said.message)
            })
            .collect::<Vec<_>>()
    };
    let names = |told: &[(String, String)]| told.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(told(vec![keeper()], &["keeper", "n"]), []);
    let silent = told(vec![node("keeper", 1, false, false)], &["keeper", "n"]);
    assert_eq!(names(&silent), ["data", "on-n"], "its own pods know better");
    assert!(silent[0].1.contains("is not Ready") && silent[0].1.contains("lose nothing"), "{silent:?}");
    let gone = told(vec![], &[]);
    assert_eq!(names(&gone), ["data"]);
    assert!(gone[0].1.contains("does not exist any more"), "{gone:?}");
}
