//! The provisioner's table, row for row.

#![expect(clippy::needless_pass_by_value, reason = "a row of a table reads best with plain values")]

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    decide::{Verdict, decide},
    view::{Maker, View},
};
use crate::{
    attempts::Attempt,
    binder::view::ClaimFacts,
    facts::Class,
    testing::{claim, node, seen, volume, with},
    worker::Seen,
};

const LOOP: &str = "loop.orlop.dev";

fn class(more: Value) -> Arc<Class> {
    seen(&with(json!({"metadata": {"name": "fast"}, "provisioner": LOOP}), &more))
}

fn late() -> Arc<Class> {
    class(json!({"volumeBindingMode": "WaitForFirstConsumer"}))
}

fn facts(claim: Value, class: Option<Arc<Class>>) -> ClaimFacts {
    ClaimFacts {
        claim: seen(&claim),
        class,
        default_class: None,
        named: None,
        candidates: Vec::new(),
        node: None,
        waiting_pods: Vec::new(),
    }
}

fn maker(name: &str, drivers: &[&str], volumes: usize, more: Value) -> Maker {
    let node: Arc<Seen<_>> = seen(&node(name, more));
    let node = Arc::into_inner(node).expect("nobody else has it");
    Maker { node, drivers: drivers.iter().map(|d| (*d).to_owned()).collect(), volumes }
}

fn view(makers: Vec<Maker>) -> View {
    View {
        now: Instant::now(),
        claims: Vec::new(),
        makers,
        node_local: BTreeSet::from([LOOP.to_owned()]),
        installed: BTreeSet::from([LOOP.to_owned(), "ebs.csi.aws.com".to_owned()]),
    }
}

fn two_nodes() -> Vec<Maker> {
    vec![maker("n1", &[LOOP], 3, json!({})), maker("n2", &[LOOP], 1, json!({}))]
}

fn text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Select { node, .. } => format!("select {node}"),
        Verdict::Deselect { said, .. } => format!("deselect {}", said.message),
        Verdict::Wait { said: Some(said), .. } => format!("wait {}: {}", said.reason, said.message),
        Verdict::Wait { until: Some(_), .. } => "wait a while".to_owned(),
        Verdict::Wait { .. } => "wait".to_owned(),
    }
}

#[track_caller]
fn check(row: &str, facts: ClaimFacts, attempt: Option<Attempt>, mut view: View, wanted: &str) {
    view.claims.push((facts, attempt));
    let verdicts = decide(&view);
    let found = verdicts.first().map_or("-".to_owned(), |(_, verdict)| text(verdict));
    assert!(found.starts_with(wanted), "{row}: {found}, wanted {wanted}");
}

fn chosen() -> Value {
    claim(json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n1"}}}))
}

#[test]
fn who_makes_the_volume() {
    let nodes = || view(two_nodes());
    let searches = || claim(json!({}));
    let going = claim(json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}));
    check("terminating", facts(going, Some(class(json!({})))), None, nodes(), "-");
    check(
        "wants no class",
        facts(claim(json!({"spec": {"storageClassName": ""}})), None),
        None,
        nodes(),
        "-",
    );
    check(
        "names no class",
        facts(claim(json!({"spec": {"storageClassName": null}})), None),
        None,
        nodes(),
        "-",
    );
    let fits = ClaimFacts { candidates: vec![seen(&volume(json!({})))], ..facts(searches(), None) };
    check("a volume fits, without class", fits, None, nodes(), "-");
    let missing = "wait ProvisioningFailed: storageclass.storage.k8s.io \"fast\" not found";
    check("class missing", facts(searches(), None), None, nodes(), missing);
    check("late, no node", facts(searches(), Some(late())), None, nodes(), "-");
    let by_hand = class(json!({"provisioner": "kubernetes.io/no-provisioner"}));
    let words = "wait ProvisioningFailed: no volume plugin matched name: kubernetes.io/no-provisioner";
    check("by hand", facts(searches(), Some(by_hand)), None, nodes(), words);
    let by_hand = || {
        class(
            json!({"provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"}),
        )
    };
    let words = "deselect the volume that this claim would have got on node \"n1\"";
    check("by hand, another got it", facts(chosen(), Some(by_hand())), None, nodes(), words);
    let external = class(json!({"provisioner": "ebs.csi.aws.com"}));
    let words = "wait ExternalProvisioning: Waiting for a volume to be created either by the external provisioner 'ebs.csi.aws.com'";
    check("external", facts(searches(), Some(external)), None, nodes(), words);
    let nobody = facts(searches(), Some(class(json!({"provisioner": "example.com/none"}))));
    let mut all = nodes();
    all.claims.push((nobody, None));
    let said = text(&decide(&all)[0].1);
    assert!(
        said.contains("No driver of that name is installed here. Installed: ebs.csi.aws.com, loop.orlop.dev"),
        "{said}"
    );
}

#[test]
fn where_it_is_made() {
    let searches = || facts(claim(json!({})), Some(class(json!({}))));
    check("the node with fewest volumes", searches(), None, view(two_nodes()), "select n2");
    let tried = |node: &str, ago: u64, count: u32| {
        let at = Instant::now() - Duration::from_secs(ago);
        Some(Attempt { node: node.to_owned(), at, count })
    };
    check("taken back just now", searches(), tried("n2", 0, 1), view(two_nodes()), "wait a while");
    check("rather another", searches(), tried("n2", 5, 1), view(two_nodes()), "select n1");
    let one = || vec![maker("n1", &[LOOP], 0, json!({}))];
    check("the same if it must be", searches(), tried("n1", 5, 1), view(one()), "select n1");
    let silent =
        maker("n1", &[LOOP], 0, json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}));
    let bare = maker("n2", &[], 0, json!({}));
    let words = "wait ProvisioningFailed: no node can make a volume with driver \"loop.orlop.dev\": node n1 is not Ready; node n2 does not have the driver";
    check("none can", searches(), None, view(vec![silent, bare]), words);
    let pool = json!({"metadata": {"labels": {"topology.orlop.dev/pool-fast": "1f"}}});
    let in_pool = || facts(claim(json!({})), Some(class(json!({"parameters": {"pool": "fast"}}))));
    let with_pool = vec![maker("n1", &[LOOP], 3, pool), maker("n2", &[LOOP], 1, json!({}))];
    check("the node that has the pool", in_pool(), None, view(with_pool), "select n1");
    let words = "wait ProvisioningFailed: no node can make a volume with driver \"loop.orlop.dev\": node n1 had no pool \"fast\", which class \"fast\" names in its parameter pool (pools there: none)";
    check("no node has the pool", in_pool(), None, view(two_nodes()), words);
    let nfs = "nfs.orlop.dev";
    let serves = json!({"metadata": {"labels": {"topology.orlop.dev/serves-nfs": "true"}}});
    let exports = |makers: Vec<Maker>| View { node_local: [nfs.to_owned()].into(), ..view(makers) };
    let shared = || facts(claim(json!({})), Some(class(json!({"provisioner": nfs}))));
    let mixed = vec![maker("n1", &[nfs], 0, json!({})), maker("n2", &[nfs], 3, serves.clone())];
    check("rather one with a server", shared(), None, exports(mixed), "select n2");
    check("none has a server", shared(), None, exports(vec![maker("n1", &[nfs], 0, json!({}))]), "select n1");
    let two = vec![maker("n1", &[nfs], 0, json!({})), maker("n2", &[nfs], 3, serves)];
    check("the one with a server had no room", shared(), tried("n2", 5, 1), exports(two), "select n1");
    let there = ClaimFacts { node: Some(seen(&node("n1", json!({})))), ..facts(chosen(), Some(late())) };
    check("chosen, the agent's turn", there, None, view(one()), "wait");
    let unknown = json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}});
    let lost = ClaimFacts { node: Some(seen(&node("n1", unknown))), ..facts(chosen(), Some(late())) };
    check(
        "chosen, the node is silent",
        lost,
        None,
        view(one()),
        "deselect node \"n1\", chosen for this claim's volume, is not Ready",
    );
    check(
        "chosen, the node is gone",
        facts(chosen(), Some(late())),
        None,
        view(one()),
        "deselect node \"n1\"",
    );
}
