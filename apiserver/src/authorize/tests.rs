//! What a node may do, cell by cell, in a cluster of two nodes that have one of everything each.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use orlop_objects::{join::NODE_KEY, kind};
use orlop_registry::{Outcome, Part, Registry, Who};
use orlop_store::Store;
use serde_json::{Value, json};

use super::*;

const NODES: [&str; 2] = ["mine", "other"];

async fn cluster() -> Snapshot {
    world().await.0.snapshot()
}

async fn world() -> (Registry, Store) {
    let store = Store::in_memory();
    let registry = Registry::new(store.clone());
    for name in ["a", "kube-node-lease"] {
        create(&registry, &kind::NAMESPACE, "", json!({"metadata": {"name": name}})).await;
    }
    for (name, provisioner) in [("c", "loop.orlop.dev"), ("shared", orlop_objects::nfs::SUBDIR_PROVISIONER)] {
        let parameters = json!({"server": "nas", "share": "/srv"});
        let parameters = if name == "shared" { parameters } else { json!({}) };
        let body = json!({"metadata": {"name": name}, "provisioner": provisioner, "parameters": parameters});
        create(&registry, &kind::STORAGE_CLASS, "", body).await;
    }
    for node in NODES {
        own(&registry, node).await;
        bound(&registry, &store, node).await;
        volumes(&registry, node).await;
    }
    (registry, store)
}

async fn create(registry: &Registry, kind: &'static Kind, namespace: &str, body: Value) {
    let who = Who { user: "test".into(), manager: "test".into() };
    registry.create(kind, namespace, body, &who, false).await.expect("is created");
}

/// What carries the node's name.
async fn own(registry: &Registry, node: &str) {
    let named = json!({"metadata": {"name": node}});
    let keyed = json!({"metadata": {"name": node, "annotations": {NODE_KEY: node}}});
    create(registry, &kind::NODE, "", keyed).await;
    create(registry, &kind::CSI_NODE, "", json!({"metadata": {"name": node}, "spec": {"drivers": []}})).await;
    create(registry, &kind::LEASE, "kube-node-lease", named.clone()).await;
    // Another Lease of that name is not the node's.
    create(registry, &kind::LEASE, "a", named).await;
    let event = json!({"metadata": {"name": format!("by-{node}")}, "reportingInstance": node,
        "involvedObject": {"kind": "Pod", "namespace": "a", "name": "p"}, "reason": "R", "message": "m", "type": "Normal"});
    create(registry, &kind::EVENT, "a", event).await;
}

/// A pod on the node, and what it names, each in another field; `unnamed-…` is named by nobody. The pod goes into the
/// store as it is: the registry does not let in all of these fields yet.
async fn bound(registry: &Registry, store: &Store, node: &str) {
    for (kind, field) in [(&kind::SECRET, "stringData"), (&kind::CONFIG_MAP, "data")] {
        for way in ["env", "env-from", "volume", "projected", "pull", "unnamed"] {
            let body = json!({"metadata": {"name": format!("{way}-{node}")}, field: {"k": "v"}});
            create(registry, kind, "a", body).await;
        }
    }
    create(registry, &kind::SERVICE_ACCOUNT, "a", json!({"metadata": {"name": format!("as-{node}")}})).await;
    let of = |way: &str| format!("{way}-{node}");
    let variable =
        |field: &str| json!({"name": field, "valueFrom": {field: {"name": of("env"), "key": "k"}}});
    let pod = json!({"metadata": {"name": format!("on-{node}"), "namespace": "a", "uid": node}, "spec": {
        "nodeName": node, "serviceAccountName": of("as"), "imagePullSecrets": [{"name": of("pull")}],
        "containers": [{"name": of("unnamed"), "image": of("unnamed"),
            "env": [variable("secretKeyRef"), variable("configMapKeyRef")],
            "envFrom": [{"secretRef": {"name": of("env-from")}}, {"configMapRef": {"name": of("env-from")}}]}],
        "volumes": [
            {"name": "a", "persistentVolumeClaim": {"claimName": of("used")}},
            {"name": "b", "secret": {"secretName": of("volume")}},
            {"name": "c", "configMap": {"name": of("volume")}},
            {"name": "d", "projected": {"sources": [
                {"secret": {"name": of("projected")}}, {"configMap": {"name": of("projected")}}]}}]}});
    let pod = orlop_objects::Object::from_value(&kind::POD, &pod).expect("a pod");
    let put = |tx: &mut orlop_store::Tx<'_>| {
        tx.put(pod.clone());
        Ok::<_, String>(())
    };
    store.update(put).await.expect("is stored");
}

/// A claim to make, one that the pod uses with its volume, a volume that is attached, and one that is kept.
async fn volumes(registry: &Registry, node: &str) {
    let claim = |name: String, annotations: Value, volume: Option<String>| {
        let class = if name.starts_with("to-share") { "shared" } else { "c" };
        json!({"metadata": {"name": name, "annotations": annotations}, "spec": {"accessModes": ["ReadWriteOnce"],
            "volumeName": volume, "storageClassName": class, "resources": {"requests": {"storage": "1Gi"}}}})
    };
    let chosen = json!({"volume.kubernetes.io/selected-node": node});
    for way in ["to-make", "to-share"] {
        let body = claim(format!("{way}-{node}"), chosen.clone(), None);
        create(registry, &kind::PERSISTENT_VOLUME_CLAIM, "a", body).await;
    }
    let used = claim(format!("used-{node}"), json!({}), Some(format!("used-{node}")));
    create(registry, &kind::PERSISTENT_VOLUME_CLAIM, "a", used).await;
    let host = json!({"required": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]}});
    for (way, affinity) in [("used", None), ("attached", None), ("kept", Some(host))] {
        let body = json!({"metadata": {"name": format!("{way}-{node}")}, "spec": {"capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"], "nodeAffinity": affinity, "storageClassName": "c",
            "csi": {"driver": "x.example", "volumeHandle": format!("{way}-{node}")}}});
        create(registry, &kind::PERSISTENT_VOLUME, "", body).await;
    }
    let body = json!({"metadata": {"name": format!("to-{node}")}, "spec": {"attacher": "x.example",
        "nodeName": node, "source": {"persistentVolumeName": format!("attached-{node}")}}});
    create(registry, &kind::VOLUME_ATTACHMENT, "", body).await;
}

/// Verbs that are allowed on an object of this name (`-` for the node), each followed by `/SUB` where it is one of a part.
struct Row {
    kind: &'static Kind,
    namespace: &'static str,
    /// `{}` is the node.
    name: &'static str,
    mine: &'static str,
    other: &'static str,
}

const fn row(
    kind: &'static Kind,
    namespace: &'static str,
    name: &'static str,
    mine: &'static str,
    other: &'static str,
) -> Row {
    Row { kind, namespace, name, mine, other }
}

const VERBS: [&str; 8] =
    ["get", "update", "patch", "delete", "get/status", "update/status", "patch/status", "create/binding"];

static CELLS: [Row; 27] = [
    row(&kind::NODE, "", "{}", "get update patch get/status update/status patch/status", "get"),
    row(&kind::CSI_NODE, "", "{}", "get update patch delete", ""),
    row(&kind::LEASE, "kube-node-lease", "{}", "get update patch delete", ""),
    row(&kind::LEASE, "a", "{}", "", ""),
    row(&kind::POD, "a", "on-{}", "get delete get/status update/status patch/status", ""),
    row(&kind::PERSISTENT_VOLUME_CLAIM, "a", "to-make-{}", "get patch", ""),
    row(&kind::PERSISTENT_VOLUME_CLAIM, "a", "used-{}", "get", ""),
    row(&kind::PERSISTENT_VOLUME, "", "kept-{}", "get patch", ""),
    row(&kind::PERSISTENT_VOLUME, "", "used-{}", "get", ""),
    row(&kind::PERSISTENT_VOLUME, "", "attached-{}", "get", ""),
    row(&kind::VOLUME_ATTACHMENT, "", "to-{}", "get patch get/status update/status patch/status", ""),
    row(&kind::EVENT, "a", "by-{}", "get update patch", ""),
    row(&kind::SECRET, "a", "env-{}", "get", ""),
    row(&kind::SECRET, "a", "env-from-{}", "get", ""),
    row(&kind::SECRET, "a", "volume-{}", "get", ""),
    row(&kind::SECRET, "a", "projected-{}", "get", ""),
    row(&kind::SECRET, "a", "pull-{}", "get", ""),
    row(&kind::SECRET, "a", "unnamed-{}", "", ""),
    row(&kind::CONFIG_MAP, "a", "env-{}", "get", ""),
    row(&kind::CONFIG_MAP, "a", "env-from-{}", "get", ""),
    row(&kind::CONFIG_MAP, "a", "volume-{}", "get", ""),
    row(&kind::CONFIG_MAP, "a", "projected-{}", "get", ""),
    row(&kind::CONFIG_MAP, "a", "pull-{}", "", ""),
    row(&kind::CONFIG_MAP, "a", "unnamed-{}", "", ""),
    row(&kind::SERVICE_ACCOUNT, "a", "as-{}", "get", ""),
    row(&kind::STORAGE_CLASS, "", "c", "get", "get"),
    row(&kind::DEPLOYMENT, "a", "{}", "", ""),
];

#[tokio::test]
async fn a_node_reaches_its_own_and_nothing_else() {
    let snapshot = cluster().await;
    let who = Identity::node("mine");
    for row in &CELLS {
        for (node, expected) in NODES.into_iter().zip([row.mine, row.other]) {
            let name = row.name.replace("{}", node);
            let allowed = VERBS.into_iter().filter(|verb| {
                let (verb, subresource) = verb.split_once('/').unwrap_or((verb, ""));
                let wish =
                    Attributes { verb, kind: row.kind, subresource, namespace: row.namespace, name: &name };
                decide(&snapshot, &who, wish).is_ok()
            });
            let allowed: Vec<_> = allowed.collect();
            assert_eq!(allowed.join(" "), expected, "{} {}/{name}", row.kind.plural, row.namespace);
        }
    }
}

#[tokio::test]
async fn collections_are_listed_where_a_view_is_shown() {
    let (snapshot, who) = (cluster().await, Identity::node("mine"));
    let may = |verb, kind| {
        let wish = Attributes { verb, kind, subresource: "", namespace: "", name: "" };
        decide(&snapshot, &who, wish).is_ok()
    };
    let seen = |kind: &'static Kind| {
        let scope = scope(&who, kind);
        let all = snapshot.list(kind, None, None);
        let shown = all.filter(|object| scope.as_ref().is_none_or(|scope| scope.shows(&snapshot, object)));
        shown.map(|object| object.key.name.clone()).collect::<Vec<_>>().join(" ")
    };
    let rows: [(&'static Kind, &str); 9] = [
        (&kind::NODE, "mine other"),
        (&kind::CSI_NODE, "mine"),
        (&kind::LEASE, "mine"),
        (&kind::POD, "on-mine"),
        (&kind::PERSISTENT_VOLUME_CLAIM, "to-make-mine to-share-mine used-mine"),
        (&kind::PERSISTENT_VOLUME, "attached-mine kept-mine used-mine"),
        (&kind::VOLUME_ATTACHMENT, "to-mine"),
        (&kind::STORAGE_CLASS, "c shared"),
        (&kind::CSI_DRIVER, ""),
    ];
    for (kind, expected) in rows {
        assert!(may("list", kind) && may("watch", kind) && !may("deletecollection", kind), "{}", kind.plural);
        assert_eq!(seen(kind), expected, "{}", kind.plural);
    }
    for kind in [
        &kind::SECRET,
        &kind::CONFIG_MAP,
        &kind::SERVICE_ACCOUNT,
        &kind::EVENT,
        &kind::NAMESPACE,
        &kind::SERVICE,
    ] {
        assert!(!may("list", kind) && !may("watch", kind), "{}", kind.plural);
    }
    assert!(scope(&Identity::admin(), &kind::POD).is_none(), "an administrator sees everything");
}

#[tokio::test]
async fn what_is_not_there_is_the_registrys_to_tell_but_for_secrets() {
    let (snapshot, who) = (cluster().await, Identity::node("mine"));
    let may = |kind, namespace| {
        let wish = Attributes { verb: "get", kind, subresource: "", namespace, name: "nothing" };
        decide(&snapshot, &who, wish).is_ok()
    };
    assert!(may(&kind::PERSISTENT_VOLUME, "") && may(&kind::POD, "a"));
    assert!(!may(&kind::SECRET, "a") && !may(&kind::CONFIG_MAP, "a") && !may(&kind::SERVICE_ACCOUNT, "a"));
}

#[tokio::test]
async fn refusals_are_in_kubernetes_words() {
    let (snapshot, node) = (cluster().await, Identity::node("mine"));
    let wish =
        Attributes { verb: "get", kind: &kind::DEPLOYMENT, subresource: "", namespace: "y", name: "d" };
    let failure = check(&snapshot, &node, wish).expect_err("no rule allows it");
    assert_eq!(
        failure.message,
        "deployments.apps \"d\" is forbidden: User \"system:node:mine\" cannot get resource \"deployments\" in API \
         group \"apps\" in the namespace \"y\""
    );
    let wish = Attributes { verb: "list", kind: &kind::SECRET, subresource: "", namespace: "", name: "" };
    let stranger = Identity::named("x");
    let failure = check(&snapshot, &stranger, wish).expect_err("no rule allows it");
    assert_eq!(
        failure.message,
        "secrets is forbidden: User \"x\" cannot list resource \"secrets\" in API group \"\" at the cluster scope"
    );
}

fn host(node: &str) -> Value {
    json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [
        {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]}})
}

/// A volume as the agent of `mine` makes it for that claim.
fn volume(claim: &str, uid: &str, driver: &str) -> Value {
    let name = format!("pvc-{uid}");
    json!({"metadata": {"name": name, "annotations":
            {"volume.orlop.dev/keeper": "mine", "pv.kubernetes.io/provisioned-by": driver}},
        "spec": {"claimRef": {"namespace": "a", "name": claim, "uid": uid},
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "c",
            "persistentVolumeReclaimPolicy": "Delete",
            "csi": {"driver": driver, "volumeHandle": name}, "nodeAffinity": host("mine")}})
}

#[tokio::test]
async fn what_is_created_must_be_the_nodes_as_well() {
    let snapshot = cluster().await;
    let claim = |name: &str| {
        let key = Key::new(&kind::PERSISTENT_VOLUME_CLAIM, "a", name);
        snapshot.get(&key).expect("is there").meta.uid.clone()
    };
    let node = Identity::node("mine");
    let check = |kind, value: Value| {
        let wish = Attributes { verb: "create", kind, subresource: "", namespace: "", name: "" };
        created(&snapshot, &node, wish, &value).is_ok()
    };
    let named = |name: &str| json!({"metadata": {"name": name}});
    for kind in [&kind::NODE, &kind::CSI_NODE, &kind::LEASE] {
        assert!(check(kind, named("mine")) && !check(kind, named("other")), "{}", kind.plural);
    }
    let labelled = |label: &str| json!({"metadata": {"name": "mine", "labels": {label: "mine"}}});
    assert!(check(&kind::NODE, labelled("kubernetes.io/hostname")));
    assert!(!check(&kind::NODE, labelled("node-restriction.kubernetes.io/x")));
    assert!(!check(&kind::NODE, json!({"metadata": {"name": "mine"}, "spec": {"podCIDR": "10.1.0.0/24"}})));
    let (mine, other) = (claim("to-make-mine"), claim("to-make-other"));
    let made = |more: Value| {
        let mut value = volume("to-make-mine", &mine, "loop.orlop.dev");
        json_patch::merge(&mut value, &more);
        value
    };
    let keeper =
        |keeper: Option<&str>| json!({"metadata": {"annotations": {"volume.orlop.dev/keeper": keeper}}});
    let handle = |handle: &str| json!({"spec": {"csi": {"volumeHandle": handle}}});
    let affinity = |affinity: Value| json!({"spec": {"nodeAffinity": affinity}});
    let shared = |driver: &str, server: &str, share: &str| {
        let mut value = volume("to-share-mine", &claim("to-share-mine"), driver);
        value["spec"]["csi"]["volumeAttributes"] =
            json!({"server": server, "share": share, "subDir": "a-x", "onDelete": "archive"});
        value
    };
    let driver = orlop_objects::nfs::DRIVER;
    let term = |term: Value| affinity(json!({"required": {"nodeSelectorTerms": [term]}}));
    let expression = |operator: &str, values: Value| {
        let expression = json!({"key": "kubernetes.io/hostname", "operator": operator, "values": values});
        term(json!({"matchExpressions": [expression]}))
    };
    let pool = json!({"key": "topology.orlop.dev/pool-x", "operator": "In", "values": ["1f"]});
    let source = |source: Value| json!({"spec": {"csi": null, "hostPath": source["hostPath"], "local": source["local"], "nfs": source["nfs"]}});
    let rows = [
        (made(json!({})), true),
        (made(handle(&format!("fast/pvc-{mine}"))), true),
        (made(affinity(Value::Null)), true),
        (made(term(json!({"matchExpressions": [pool]}))), true),
        (shared(driver, "nas", "/srv"), true),
        (shared(driver, "other", "/srv"), false),
        (shared(driver, "nas", "/"), false),
        (shared(orlop_objects::nfs::SUBDIR_PROVISIONER, "nas", "/srv"), false),
        (made(json!({"spec": {"csi": {"volumeAttributes": {"fsType": "ext4", "size": "1"}}}})), true),
        (made(json!({"spec": {"csi": {"volumeAttributes": {"server": "nas"}}}})), false),
        (made(json!({"spec": {"mountOptions": ["exec"]}})), false),
        (made(json!({"spec": {"persistentVolumeReclaimPolicy": "Retain"}})), false),
        (made(keeper(None)), false),
        (made(keeper(Some("other"))), false),
        (made(json!({"metadata": {"name": "pvc-1"}})), false),
        (made(json!({"metadata": {"name": format!("pvc-{other}")}})), false),
        (made(json!({"metadata": {"annotations": {"pv.kubernetes.io/provisioned-by": "x.example"}}})), false),
        (made(json!({"spec": {"csi": {"driver": "nfs.orlop.dev"}}})), false),
        (made(handle(&format!("pvc-{other}"))), false),
        (made(source(json!({"hostPath": {"path": "/"}}))), false),
        (made(source(json!({"local": {"path": "/"}}))), false),
        (made(source(json!({"nfs": {"server": "nas", "path": "/"}}))), false),
        (made(affinity(host("other"))), false),
        (made(expression("In", json!(["mine", "other"]))), false),
        (made(expression("NotIn", json!(["mine"]))), false),
        (made(expression("Exists", Value::Null)), false),
        (
            made(term(
                json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["other"]}]}),
            )),
            false,
        ),
        (volume("to-make-mine", &other, "loop.orlop.dev"), false),
        (volume("to-make-other", &other, "loop.orlop.dev"), false),
        (volume("used-mine", &claim("used-mine"), "loop.orlop.dev"), false),
        (named("pv"), false),
    ];
    for (value, allowed) in rows {
        assert_eq!(check(&kind::PERSISTENT_VOLUME, value.clone()), allowed, "{value}");
    }
    let event = |node: &str| json!({"metadata": {"name": "e"}, "reportingInstance": node});
    assert!(check(&kind::EVENT, event("mine")) && !check(&kind::EVENT, event("other")));
    assert!(!check(&kind::EVENT, named("e")));
}

/// A write, at the end of whose first run somebody else deletes `key`: how often it came to its end, and whether it was made.
async fn overtaken(
    (registry, store): &(Registry, Store),
    key: &Key,
    write: impl Fn(&mut Door<'_, '_>) -> Result<Outcome, Error> + Send + Sync,
) -> (usize, bool) {
    let runs = AtomicUsize::new(0);
    let delete = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let delete = |tx: &mut orlop_store::Tx<'_>| {
            tx.delete(key);
            Ok::<_, String>(())
        };
        runtime.block_on(store.update(delete)).expect("is deleted");
    };
    let write = |door: &mut Door<'_, '_>| {
        let outcome = write(door)?;
        if runs.fetch_add(1, Relaxed) == 0 {
            std::thread::scope(|scope| drop(scope.spawn(delete)));
        }
        Ok(outcome)
    };
    let who = Who { user: "test".into(), manager: "test".into() };
    let written = registry.write(&who, false, write).await.is_ok();
    (runs.load(Relaxed), written)
}

#[tokio::test]
async fn what_a_right_comes_from_is_looked_at_again_when_it_is_gone_before_the_commit() {
    let node = Identity::node("mine").with_key("mine");
    let claim = |name: &str| Key::new(&kind::PERSISTENT_VOLUME_CLAIM, "a", name);
    let of_node = |name: &str| Key::cluster(&kind::NODE, name);
    // A run that is refused is not counted.
    let (kept, lost) = ((1, true), (1, false));
    let rows = [
        (of_node("other"), kept, kept),
        (of_node("mine"), lost, lost),
        (claim("to-make-other"), kept, kept),
        (claim("to-make-mine"), lost, kept),
        (Key::cluster(&kind::STORAGE_CLASS, "shared"), kept, kept),
        (Key::cluster(&kind::STORAGE_CLASS, "c"), lost, kept),
    ];
    for (key, creates, changes) in rows {
        let world = world().await;
        let uid = world.0.snapshot().get(&claim("to-make-mine")).expect("is there").meta.uid.clone();
        let body = volume("to-make-mine", &uid, "loop.orlop.dev");
        let create = |door: &mut Door<'_, '_>| {
            let kind = &kind::PERSISTENT_VOLUME;
            let wish = Attributes { verb: "create", kind, subresource: "", namespace: "", name: "" };
            check_created(door, &node, wish, &body)?;
            door.create(kind, "", body.clone())
        };
        assert_eq!(overtaken(&world, &key, create).await, creates, "creates while {key} goes");
        let lease = Key::new(&kind::LEASE, "kube-node-lease", "mine");
        let change = |door: &mut Door<'_, '_>| {
            let (namespace, name) = (&*lease.namespace, &*lease.name);
            let wish = Attributes { verb: "patch", kind: lease.kind, subresource: "", namespace, name };
            check_again(door, &node, wish)?;
            door.change(&lease, Part::Main, |mut value| {
                value["metadata"]["labels"] = json!({"a": "b"});
                Ok(value)
            })
        };
        let world = self::world().await;
        assert_eq!(overtaken(&world, &key, change).await, changes, "changes while {key} goes");
    }
}

#[tokio::test]
async fn administrators_may_do_everything() {
    let wish = Attributes { verb: "delete", kind: &kind::SECRET, subresource: "", namespace: "y", name: "s" };
    assert!(check(&cluster().await, &Identity::admin(), wish).is_ok());
}
