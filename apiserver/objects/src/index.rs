//! Ordered indexes: which objects are found by what, without scanning a set.

use std::collections::HashSet;

use serde_json::Value;

use crate::{Kind, Quantity, kind};

/// An ordered index. Entries are text, compared bytewise; parts are joined by `\0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Index {
    /// Pods by `spec.nodeName`.
    PodsByNode,
    /// Pods by each claim they name: `namespace\0claim`.
    PodsByClaim,
    /// Unclaimed, not terminating volumes by `class\0volumeMode\0size` (size as 32 hex digits, so that order is order).
    FreeVolumes,
    /// Volumes by the claim their claimRef names: `namespace\0name`.
    VolumesByClaim,
    /// Claims by `spec.volumeName`.
    ClaimsByVolume,
    /// Attachments by volume name.
    AttachmentsByVolume,
    /// Attachments by node name.
    AttachmentsByNode,
    /// Any object by each owner's uid.
    ByOwner,
    /// What a workload could adopt: objects without a controller by each label: `plural\0namespace\0label=value`.
    Orphans,
    /// Workloads by the first label that their selector asks for: `plural\0namespace\0label=value`; by
    /// `plural\0namespace\0` where it has expressions alone.
    Selectors,
}

/// Kinds that workloads adopt when nobody controls them.
const ADOPTABLE: [&Kind; 3] = [&kind::POD, &kind::REPLICA_SET, &kind::CONTROLLER_REVISION];
/// Kinds that know what is theirs by a selector.
const SELECTING: [&Kind; 4] = [&kind::DEPLOYMENT, &kind::REPLICA_SET, &kind::STATEFUL_SET, &kind::DAEMON_SET];

/// Names a volume's class before the field does, as in Kubernetes; volumes from before the field have nothing else.
const BETA_CLASS: &str = "/metadata/annotations/volume.beta.kubernetes.io~1storage-class";

/// The entries of one object.
pub fn entries(kind: &'static Kind, object: &Value) -> Vec<(Index, String)> {
    let mut entries = Vec::new();
    if *kind == kind::POD {
        pod(object, &mut entries);
    } else if *kind == kind::PERSISTENT_VOLUME {
        volume(object, &mut entries);
    } else if *kind == kind::PERSISTENT_VOLUME_CLAIM {
        add(&mut entries, Index::ClaimsByVolume, text(object, "/spec/volumeName"));
    } else if *kind == kind::VOLUME_ATTACHMENT {
        let volume = text(object, "/spec/source/persistentVolumeName");
        add(&mut entries, Index::AttachmentsByVolume, volume);
        add(&mut entries, Index::AttachmentsByNode, text(object, "/spec/nodeName"));
    }
    for owner in list(object, "/metadata/ownerReferences") {
        add(&mut entries, Index::ByOwner, text(owner, "/uid"));
    }
    if ADOPTABLE.contains(&kind) {
        orphan(kind, object, &mut entries);
    }
    if SELECTING.contains(&kind) {
        entries.push((Index::Selectors, selector(kind, object)));
    }
    entries
}

/// The entry by which an object of `kind` with this label is found in [`Index::Orphans`] and [`Index::Selectors`].
pub fn labelled(kind: &Kind, namespace: &str, label: &str, value: &str) -> String {
    format!("{}\0{namespace}\0{label}={value}", kind.plural)
}

/// The beginning of all entries of `kind` in a namespace; in [`Index::Selectors`] also the whole entry of a selector
/// that asks for no label by its value.
pub fn unlabelled(kind: &Kind, namespace: &str) -> String {
    format!("{}\0{namespace}\0", kind.plural)
}

fn orphan(kind: &Kind, object: &Value, entries: &mut Vec<(Index, String)>) {
    if list(object, "/metadata/ownerReferences").iter().any(|owner| owner["controller"] == true) {
        return;
    }
    let namespace = text(object, "/metadata/namespace");
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    entries.extend(labels.map(|(label, value)| {
        (Index::Orphans, labelled(kind, namespace, label, value.as_str().unwrap_or_default()))
    }));
}

fn selector(kind: &Kind, object: &Value) -> String {
    let namespace = text(object, "/metadata/namespace");
    let labels = object.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    match labels.and_then(|labels| labels.iter().next()) {
        Some((label, value)) => labelled(kind, namespace, label, value.as_str().unwrap_or_default()),
        None => unlabelled(kind, namespace),
    }
}

/// The size part of a [`Index::FreeVolumes`] entry: a range of sizes is a range of entries.
pub fn size_key(size: &Quantity) -> String {
    format!("{:032x}", size.to_units().unwrap_or(if size.is_negative() { 0 } else { u128::MAX }))
}

/// The claim by which a pod's volume is backed: named, or its own ephemeral one (`pod-volume`).
pub fn claim_of<'v>(pod: &str, volume: &'v Value) -> Option<std::borrow::Cow<'v, str>> {
    let named = text(volume, "/persistentVolumeClaim/claimName");
    if !named.is_empty() {
        return Some(named.into());
    }
    volume.get("ephemeral").map(|_| format!("{pod}-{}", text(volume, "/name")).into())
}

fn pod(object: &Value, entries: &mut Vec<(Index, String)>) {
    add(entries, Index::PodsByNode, text(object, "/spec/nodeName"));
    let (namespace, name) = (text(object, "/metadata/namespace"), text(object, "/metadata/name"));
    // A pod may mount one claim under two names; it is found once.
    let mut seen = HashSet::new();
    let claims = list(object, "/spec/volumes").iter().filter_map(|volume| claim_of(name, volume));
    let claims = claims.filter(|claim| seen.insert(claim.clone()));
    entries.extend(claims.map(|claim| (Index::PodsByClaim, format!("{namespace}\0{claim}"))));
}

fn volume(object: &Value, entries: &mut Vec<(Index, String)>) {
    if let Some(claim) = object.pointer("/spec/claimRef") {
        let entry = format!("{}\0{}", text(claim, "/namespace"), text(claim, "/name"));
        add(entries, Index::VolumesByClaim, &entry);
    } else if object.pointer("/metadata/deletionTimestamp").is_none() {
        let size = object.pointer("/spec/capacity/storage").and_then(|v| Quantity::from_value(v).ok());
        let mode = match text(object, "/spec/volumeMode") {
            "" => "Filesystem",
            mode => mode,
        };
        // A volume without a readable size fits no claim and need not be found.
        if let Some(size) = size {
            let class = match text(object, BETA_CLASS) {
                "" => text(object, "/spec/storageClassName"),
                class => class,
            };
            entries.push((Index::FreeVolumes, format!("{class}\0{mode}\0{}", size_key(&size))));
        }
    }
}

fn add(entries: &mut Vec<(Index, String)>, index: Index, entry: &str) {
    if !entry.is_empty() {
        entries.push((index, entry.to_owned()));
    }
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Index, entries, size_key};
    use crate::{Quantity, kind};

    #[test]
    fn pods_are_found_by_node_claim_and_owner() {
        let pod = json!({
            "metadata": {"namespace": "default", "name": "web", "ownerReferences": [{"uid": "o1"}]},
            "spec": {"nodeName": "laptop", "volumes": [
                {"name": "a", "persistentVolumeClaim": {"claimName": "data"}},
                {"name": "b", "persistentVolumeClaim": {"claimName": "data"}},
                {"name": "c", "ephemeral": {}},
                {"name": "d", "emptyDir": {}},
            ]},
        });
        let wanted = vec![
            (Index::PodsByNode, "laptop".to_owned()),
            (Index::PodsByClaim, "default\0data".to_owned()),
            (Index::PodsByClaim, "default\0web-c".to_owned()),
            (Index::ByOwner, "o1".to_owned()),
        ];
        assert_eq!(entries(&kind::POD, &pod), wanted);
    }

    /// More than a body may hold; where each is looked for among all the others, this takes minutes.
    #[test]
    fn a_pod_of_many_claims_is_indexed_in_time() {
        let volume = |n: u32| json!({"persistentVolumeClaim": {"claimName": format!("claim-{}", n / 2)}});
        let volumes: Vec<Value> = (0..100_000).map(volume).collect();
        let pod = json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"volumes": volumes}});
        let found = entries(&kind::POD, &pod);
        let claims = found.iter().filter(|(index, _)| *index == Index::PodsByClaim);
        assert_eq!(claims.count(), 50_000);
    }

    #[test]
    fn a_volume_is_either_free_or_somebodys() {
        let spec = json!({"capacity": {"storage": "1Gi"}, "storageClassName": "fast"});
        let mut volume = json!({"metadata": {"name": "v"}, "spec": spec});
        let free = format!("fast\0Filesystem\0{:032x}", 1_u64 << 30);
        assert_eq!(entries(&kind::PERSISTENT_VOLUME, &volume), vec![(Index::FreeVolumes, free)]);
        volume["metadata"]["annotations"] = json!({"volume.beta.kubernetes.io/storage-class": "slow"});
        let slow = format!("slow\0Filesystem\0{:032x}", 1_u64 << 30);
        assert_eq!(entries(&kind::PERSISTENT_VOLUME, &volume), vec![(Index::FreeVolumes, slow)]);
        volume["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        assert_eq!(entries(&kind::PERSISTENT_VOLUME, &volume), vec![]);
        volume["spec"]["claimRef"] = json!({"namespace": "default", "name": "data"});
        let held = vec![(Index::VolumesByClaim, "default\0data".to_owned())];
        assert_eq!(entries(&kind::PERSISTENT_VOLUME, &volume), held);
    }

    #[test]
    fn claims_and_attachments_are_found_by_volume() {
        let claim = json!({"metadata": {}, "spec": {"volumeName": "v"}});
        let found = entries(&kind::PERSISTENT_VOLUME_CLAIM, &claim);
        assert_eq!(found, vec![(Index::ClaimsByVolume, "v".to_owned())]);
        let attachment = json!({"spec": {"nodeName": "n", "source": {"persistentVolumeName": "v"}}});
        let wanted =
            vec![(Index::AttachmentsByVolume, "v".to_owned()), (Index::AttachmentsByNode, "n".to_owned())];
        assert_eq!(entries(&kind::VOLUME_ATTACHMENT, &attachment), wanted);
    }

    #[test]
    fn what_nobody_controls_is_found_by_label_and_whoever_selects_it_by_selector() {
        let labels = json!({"app": "web", "tier": "front"});
        let mut pod = json!({"metadata": {"namespace": "default", "name": "p", "labels": labels}});
        let orphans = vec![
            (Index::Orphans, "pods\0default\0app=web".to_owned()),
            (Index::Orphans, "pods\0default\0tier=front".to_owned()),
        ];
        assert_eq!(entries(&kind::POD, &pod), orphans);
        pod["metadata"]["ownerReferences"] = json!([{"uid": "r", "controller": true}]);
        assert_eq!(entries(&kind::POD, &pod), vec![(Index::ByOwner, "r".to_owned())]);

        let mut set = json!({"metadata": {"namespace": "default", "name": "s"},
            "spec": {"selector": {"matchLabels": {"tier": "front", "app": "web"}}}});
        let named = vec![(Index::Selectors, "statefulsets\0default\0app=web".to_owned())];
        assert_eq!(entries(&kind::STATEFUL_SET, &set), named);
        set["spec"]["selector"] = json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]});
        let any = vec![(Index::Selectors, "statefulsets\0default\0".to_owned())];
        assert_eq!(entries(&kind::STATEFUL_SET, &set), any);
    }

    #[test]
    fn sizes_sort_as_text() {
        let key = |text| size_key(&Quantity::parse(text).expect("a quantity"));
        assert!(key("1Ki") < key("1Mi") && key("900Mi") < key("1Gi") && key("1Ei") < key("1000Ei"));
    }
}
