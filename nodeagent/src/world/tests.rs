//! Which work a changed object concerns, and what a pod's volumes resolve to.

use std::sync::atomic::{AtomicU64, Ordering};

use orlop_objects::keeper;
use serde_json::{Value, json};

use super::*;

fn object(kind: &'static orlop_objects::Kind, value: &Value) -> Arc<Object> {
    static REVISION: AtomicU64 = AtomicU64::new(1000);
    let revision = REVISION.fetch_add(1, Ordering::Relaxed);
    Arc::new(Object::from_value(kind, value).unwrap().at(revision))
}

fn pod() -> Arc<Object> {
    object(
        &kind::POD,
        &json!({"metadata": {"name": "p", "namespace": "default", "uid": "pod-uid"},
            "spec": {"containers": [{"name": "c"}], "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}}),
    )
}

fn claim(volume: Option<&str>, node: Option<&str>) -> Arc<Object> {
    let annotations = node.map_or(json!({}), |n| json!({"volume.kubernetes.io/selected-node": n}));
    object(
        &kind::PERSISTENT_VOLUME_CLAIM,
        &json!({"metadata": {"name": "data", "namespace": "default", "uid": "claim-uid", "annotations": annotations},
            "spec": {"volumeName": volume, "storageClassName": "loop", "resources": {"requests": {"storage": "1Gi"}}}}),
    )
}

fn volume(claim_uid: &str) -> Arc<Object> {
    object(
        &kind::PERSISTENT_VOLUME,
        &json!({"metadata": {"name": "pvc-claim-uid"}, "spec": {
            "claimRef": {"namespace": "default", "name": "data", "uid": claim_uid},
            "csi": {"driver": "loop.orlop.dev", "volumeHandle": "pvc-claim-uid"}}}),
    )
}

fn class() -> Arc<Object> {
    object(&kind::STORAGE_CLASS, &json!({"metadata": {"name": "loop"}, "provisioner": "loop.orlop.dev"}))
}

fn see(world: &mut World, object: &Arc<Object>) -> Vec<Work> {
    world.apply(&object.key.clone(), Some(object)).into_iter().collect()
}

fn id() -> VolumeId {
    VolumeId::new("loop.orlop.dev", "pvc-claim-uid")
}

#[test]
fn a_claim_selected_for_this_node_is_the_work_of_its_future_volume() {
    let mut world = World::new("here");
    see(&mut world, &claim(None, Some("here")));
    assert_eq!(see(&mut world, &class()), [Work::Volume(id())]);
    let (claim_facts, class) = world.making(&id()).expect("wanted");
    assert_eq!((claim_facts.bytes, class.provisioner.as_str()), (Some(1 << 30), "loop.orlop.dev"));
    assert_eq!(see(&mut world, &claim(None, Some("elsewhere"))), [Work::Volume(id())]);
    assert!(world.making(&id()).is_none());
}

#[test]
fn a_pods_volume_resolves_only_when_claim_and_volume_name_each_other() {
    let mut world = World::new("here");
    see(&mut world, &pod());
    let facts = world.pod("pod-uid").expect("seen");
    let source = |world: &World| world.resolve(&facts).remove(0).source;
    assert!(matches!(source(&world), Source::Waiting(why) if why.contains("not found")));
    see(&mut world, &claim(Some("pvc-claim-uid"), None));
    assert!(matches!(source(&world), Source::Waiting(why) if why.contains("not bound")));
    see(&mut world, &volume("another"));
    assert!(matches!(source(&world), Source::Waiting(why) if why.contains("not bound to it")));
    assert_eq!(see(&mut world, &volume("claim-uid")), [Work::Volume(id()), Work::Pod("pod-uid".into())]);
    assert!(matches!(source(&world), Source::Volume { id: found, .. } if found == id()));
    assert_eq!(world.users(&world.volume(&id()).expect("seen")).len(), 1);
}

#[test]
fn an_object_that_goes_concerns_what_it_concerned() {
    let mut world = World::new("here");
    let pod = pod();
    see(&mut world, &pod);
    let work: Vec<Work> = world.apply(&pod.key, None).into_iter().collect();
    assert_eq!(work, [Work::Pod("pod-uid".into())]);
    assert!(world.pod("pod-uid").is_none());
}

#[test]
fn only_a_released_volume_of_this_node_with_policy_delete_loses_its_data() {
    let row = |phase: &str, policy: &str, node: &str, finalizer: &str, terminating: bool| {
        let value = json!({"metadata": {"name": "v", "finalizers": [finalizer],
                "deletionTimestamp": terminating.then_some("2026-01-01T00:00:00Z")},
            "spec": {"persistentVolumeReclaimPolicy": policy, "nodeAffinity": {"required": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]}}},
            "status": {"phase": phase}});
        VolumeFacts::of(&object(&kind::PERSISTENT_VOLUME, &value), "here").unwrap().to_delete
    };
    let ours = PROVISIONER_FINALIZER;
    assert!(row("Released", "Delete", "here", ours, true));
    assert!(row("Failed", "Delete", "here", ours, true), "recycling it failed before");
    assert!(!row("Failed", "Recycle", "here", ours, true));
    assert!(!row("Bound", "Delete", "here", ours, true));
    assert!(!row("Released", "Retain", "here", ours, true));
    assert!(!row("Released", "Delete", "there", ours, true));
    assert!(!row("Released", "Delete", "here", "other", true));
    assert!(!row("Released", "Delete", "here", ours, false));
}

#[test]
fn a_volume_of_a_shared_pool_loses_its_data_by_its_keeper() {
    let kept_by = |node: &str| {
        let value = json!({"metadata": {"name": "pvc-claim-uid", "finalizers": [PROVISIONER_FINALIZER],
                "deletionTimestamp": "2026-01-01T00:00:00Z",
                "annotations": {keeper::PROVISIONED_BY: "loop.orlop.dev", keeper::KEEPER: node}},
            "spec": {"persistentVolumeReclaimPolicy": "Delete",
                "csi": {"driver": "loop.orlop.dev", "volumeHandle": "fast/pvc-claim-uid"}},
            "status": {"phase": "Released"}});
        VolumeFacts::of(&object(&kind::PERSISTENT_VOLUME, &value), "here").unwrap().to_delete
    };
    assert!(kept_by("here"));
    assert!(!kept_by("there"));
}

/// Another volume object over the same data: it must neither hide the first one nor take its data away.
#[test]
fn a_handle_belongs_to_the_volume_that_named_it_first() {
    let mut world = World::new("here");
    let named = |name: &str, created: &str| {
        let value = json!({"metadata": {"name": name, "creationTimestamp": created},
            "spec": {"csi": {"driver": "loop.orlop.dev", "volumeHandle": "pvc-claim-uid"}}});
        object(&kind::PERSISTENT_VOLUME, &value)
    };
    let (first, second) = (named("z", "2026-01-01T00:00:00Z"), named("a", "2026-01-02T00:00:00Z"));
    see(&mut world, &first);
    see(&mut world, &second);
    let owner = |world: &World| world.volume(&id()).map(|v| v.name.clone());
    assert_eq!(owner(&world).as_deref(), Some("z"));
    world.apply(&second.key, None);
    assert_eq!(owner(&world).as_deref(), Some("z"));
    see(&mut world, &named("a", "2026-01-02T00:00:00Z"));
    world.apply(&first.key, None);
    assert_eq!(owner(&world).as_deref(), Some("a"));
}

#[test]
fn an_object_that_cannot_be_read_is_unknown_and_not_gone() {
    let broken = |whole: &Object| {
        let mut value = whole.value();
        value["spec"] = json!("not a spec");
        object(whole.key.kind, &value)
    };
    let mut world = World::new("node");
    let whole = pod();
    see(&mut world, &whole);
    see(&mut world, &broken(&whole));
    assert!(world.pod("pod-uid").is_some(), "what was known of it stays");
    assert!(world.is_unreadable("pod-uid"));

    let mut fresh = World::new("node");
    see(&mut fresh, &broken(&whole));
    assert!(fresh.pod("pod-uid").is_none() && fresh.is_unreadable("pod-uid"));
    assert_eq!(see(&mut fresh, &pod()), [Work::Pod("pod-uid".to_owned())], "what was held back goes on");
    assert!(fresh.pod("pod-uid").is_some() && !fresh.is_unreadable("pod-uid"), "a good version heals it");

    assert!(!fresh.has_unreadable_volumes());
    let volume = volume("claim-uid");
    see(&mut fresh, &broken(&volume));
    assert!(fresh.has_unreadable_volumes());
    fresh.apply(&volume.key, None);
    assert!(!fresh.has_unreadable_volumes(), "and so does its end");
}

fn pod_by_path(name: &str, server: &str, read_only: bool) -> Arc<Object> {
    object(
        &kind::POD,
        &json!({"metadata": {"name": name, "namespace": "default", "uid": name}, "spec": {
            "containers": [{"name": "c"}],
            "volumes": [{"name": "data", "nfs": {"server": server, "path": "/srv", "readOnly": read_only}}]}}),
    )
}

/// Pods that name one path share one mount of the node; who names another has his own.
#[test]
fn pods_that_name_a_path_share_its_volume() {
    let mut world = World::new("here");
    let work = see(&mut world, &pod_by_path("one", "nfs", false));
    see(&mut world, &pod_by_path("two", "nfs", true));
    see(&mut world, &pod_by_path("other", "elsewhere", false));
    let [Work::Volume(id), Work::Pod(_)] = &work[..] else { panic!("{work:?}") };
    assert_eq!(id.driver, "nfs.orlop.dev");
    let volume = world.volume(id).expect("its volume");
    assert_eq!((volume.attributes["server"].as_str(), volume.attributes["share"].as_str()), ("nfs", "/srv"));
    let users: Vec<String> = world.users(&volume).iter().map(|pod| pod.uid.clone()).collect();
    assert_eq!(users, ["one", "two"]);
    let resolved = world.resolve(&world.pod("two").expect("it is known"));
    let [Resolved { source: Source::Volume { id: of_two, read_only: true, one_pod: false, .. }, .. }] =
        &resolved[..]
    else {
        panic!("{resolved:?}")
    };
    assert_eq!(of_two, id);
    for pod in ["one", "two"] {
        let gone = world.apply(&Key::new(&kind::POD, "default", pod), None);
        assert!(gone.contains(&Work::Volume(id.clone())), "its volume may go as well");
    }
    assert!(world.volume(id).is_none());
}

#[test]
fn a_volume_made_by_hand_is_one_by_its_name() {
    let volume = |name: &str| {
        let value = json!({"metadata": {"name": name}, "spec": {"mountOptions": ["hard"],
            "persistentVolumeReclaimPolicy": "Delete", "nfs": {"server": "nfs", "path": "/srv", "readOnly": true}}});
        VolumeFacts::of(&object(&kind::PERSISTENT_VOLUME, &value), "here").unwrap()
    };
    let (one, two) = (volume("one"), volume("two"));
    assert_ne!(one.id, two.id, "two that name one path are two");
    assert!(one.read_only && !one.to_delete);
    assert_eq!(one.attributes["share"], "/srv");
    assert!(one.id.is_some_and(|id| id.handle.starts_with("nfs-") && id.handle.len() == 36));
}

#[test]
fn a_class_may_ask_by_an_alias() {
    let mut world = World::new("here");
    see(&mut world, &claim(None, Some("here")));
    let alias =
        json!({"metadata": {"name": "loop"}, "provisioner": "k8s-sigs.io/nfs-subdir-external-provisioner"});
    let work = see(&mut world, &object(&kind::STORAGE_CLASS, &alias));
    assert_eq!(work, [Work::Volume(VolumeId::new("nfs.orlop.dev", "pvc-claim-uid"))]);
}
