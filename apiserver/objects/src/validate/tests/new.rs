//! New objects that are refused: one line each, the field that is wrong and the words.

use serde_json::{Value, json};

use super::{super::validate, good, refused, with};
use crate::{Kind, kind};

#[test]
fn new_objects_are_refused() {
    let long = "x".repeat(1025);
    let rows: Vec<(&'static Kind, &str, Value, &str)> = vec![
        (
            &kind::POD,
            "/metadata/name",
            json!("Web"),
            "metadata.name: Invalid value: \"Web\": a lowercase RFC 1123",
        ),
        (&kind::POD, "/spec/containers", json!([]), "spec.containers: Required value"),
        (&kind::POD, "/spec/containers/0/name", json!("A"), "spec.containers[0].name: Invalid value"),
        (&kind::POD, "/spec/containers/0/name", Value::Null, "spec.containers[0].name: Required value"),
        (&kind::POD, "/spec/containers/0/image", Value::Null, "spec.containers[0].image: Required value"),
        (
            &kind::POD,
            "/spec/containers/0/image",
            json!(" a"),
            "spec.containers[0].image: Invalid value: \" a\": must not have",
        ),
        (
            &kind::POD,
            "/spec/containers",
            json!([{"name": "a", "image": "x"}, {"name": "a", "image": "x"}]),
            "spec.containers[1].name: Duplicate value: \"a\"",
        ),
        (
            &kind::POD,
            "/spec/volumes/0/name",
            json!("other"),
            "spec.containers[0].volumeMounts[0].name: Not found: \"data\"",
        ),
        (
            &kind::POD,
            "/spec/volumes",
            json!([{"name": "data", "persistentVolumeClaim": {"claimName": ""}}]),
            "spec.volumes[0].persistentVolumeClaim.claimName: Required value",
        ),
        (
            &kind::POD,
            "/spec/volumes",
            json!([{"name": "data", "nfs": {"server": "-oport=1", "path": "/srv"}}]),
            "spec.volumes[0].nfs.server: Invalid value: \"-oport=1\": must be a host name",
        ),
        (
            &kind::POD,
            "/spec/volumes",
            json!([{"name": "data", "nfs": {"server": "nfs", "path": "/srv/../etc"}}]),
            "spec.volumes[0].nfs.path: Invalid value: \"/srv/../etc\": must not contain",
        ),
        (
            &kind::POD,
            "/spec/volumes/0/emptyDir",
            json!({}),
            "spec.volumes[0].persistentVolumeClaim: Forbidden: may not specify more",
        ),
        (
            &kind::POD,
            "/spec/containers/0/volumeMounts/0/mountPath",
            json!("data"),
            "mountPath: Invalid value: \"data\": must be an absolute path",
        ),
        (&kind::POD, "/spec/containers/0/volumeMounts/0/mountPath", json!("/"), "must not be the root"),
        (
            &kind::POD,
            "/spec/containers/0/volumeMounts/0/mountPath",
            json!("/a/../b"),
            "must not contain '..'",
        ),
        (
            &kind::POD,
            "/spec/containers/0/volumeMounts",
            json!([{"name": "data", "mountPath": "/d"}, {"name": "data",
            "mountPath": "/d"}]),
            "spec.containers[0].volumeMounts[1].mountPath: Duplicate value: \"/d\"",
        ),
        (
            &kind::POD,
            "/spec/restartPolicy",
            json!("Sometimes"),
            "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"Never\", \"OnFailure\"",
        ),
        (
            &kind::POD,
            "/spec/containers/0/env",
            json!([{"name": "A=B"}]),
            "spec.containers[0].env[0].name: Invalid value",
        ),
        (
            &kind::POD,
            "/spec/containers/0/env",
            json!([{"name": "A", "value": "x", "valueFrom": {"fieldRef":
            {"fieldPath": "metadata.name"}}}]),
            "env[0].valueFrom: Invalid value: may not be specified",
        ),
        (
            &kind::POD,
            "/spec/containers/0/env",
            json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]),
            "env[0].valueFrom.fieldRef.fieldPath: Unsupported value: \"spec.x\"",
        ),
        (
            &kind::POD,
            "/spec/containers/0/resources",
            json!({"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}),
            "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
        ),
        (
            &kind::POD,
            "/spec/containers/0/resources",
            json!({"limits": {"memory": "1Gi1"}}),
            "did you mean 1Gi?",
        ),
        (
            &kind::POD,
            "/spec/containers/0/securityContext",
            json!({"runAsUser": -1}),
            "runAsUser: Invalid value: -1: must be between 0 and 2147483647",
        ),
        (
            &kind::POD,
            "/spec/containers/0/ports",
            json!([{"containerPort": 0, "protocol": "TCP"}]),
            "ports[0].containerPort: Invalid value: 0: must be between 1 and 65535",
        ),
        (&kind::POD, "/spec/terminationGracePeriodSeconds", json!(-1), "must be greater than or equal to 0"),
        (
            &kind::POD,
            "/spec/tolerations",
            json!([{"operator": "Equal"}]),
            "operator must be Exists when `key` is empty",
        ),
        (
            &kind::POD,
            "/spec/initContainers",
            json!([{"name": "main", "image": "b"}]),
            "spec.initContainers[0].name: Duplicate value: \"main\"",
        ),
        (
            &kind::POD,
            "/spec/initContainers",
            json!([{"name": "i", "image": "b", "volumeMounts": [{"name": "lost", "mountPath": "/l"}]}]),
            "spec.initContainers[0].volumeMounts[0].name: Not found: \"lost\"",
        ),
        (
            &kind::POD,
            "/spec/initContainers",
            json!([{"name": "i", "image": "b", "livenessProbe": {"exec": {"command": ["true"]}}}]),
            "spec.initContainers[0].livenessProbe: Forbidden: must not be set for init containers",
        ),
        (
            &kind::POD,
            "/spec/volumes/0",
            json!({"name": "data", "emptyDir": {"sizeLimit": "-1Mi"}}),
            "spec.volumes[0].emptyDir.sizeLimit: Forbidden: size limit must be",
        ),
        (
            &kind::POD,
            "/spec/volumes/0",
            json!({"name": "data", "hostPath": {"path": "/a/../b"}}),
            "spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
        ),
        (
            &kind::POD,
            "/spec/volumes/0",
            json!({"name": "data", "hostPath": {"path": "a"}}),
            "spec.volumes[0].hostPath.path: Invalid value: \"a\": must be an absolute path",
        ),
        (
            &kind::POD,
            "/spec/volumes/0",
            json!({"name": "data", "hostPath": {"path": "/a", "type": "Pipe"}}),
            "spec.volumes[0].hostPath.type: Unsupported value: \"Pipe\": supported values: \"BlockDevice\"",
        ),
        (
            &kind::PERSISTENT_VOLUME_CLAIM,
            "/spec/resources/requests/storage",
            json!("0"),
            "spec.resources.requests[storage]: Invalid value: \"0\": must be greater than zero",
        ),
        (
            &kind::PERSISTENT_VOLUME_CLAIM,
            "/spec/resources/requests/storage",
            json!("1Gi1"),
            "did you mean 1Gi?",
        ),
        (
            &kind::PERSISTENT_VOLUME_CLAIM,
            "/spec/resources",
            json!({}),
            "spec.resources.requests[storage]: Required value",
        ),
        (
            &kind::PERSISTENT_VOLUME_CLAIM,
            "/spec/accessModes",
            json!([]),
            "spec.accessModes: Required value: at least 1 access mode",
        ),
        (
            &kind::PERSISTENT_VOLUME_CLAIM,
            "/spec/accessModes",
            json!(["Often"]),
            "spec.accessModes[0]: Unsupported value: \"Often\"",
        ),
        (
            &kind::PERSISTENT_VOLUME_CLAIM,
            "/spec/accessModes",
            json!(["ReadWriteOncePod", "ReadOnlyMany"]),
            "may not use ReadWriteOncePod",
        ),
        (
            &kind::PERSISTENT_VOLUME_CLAIM,
            "/spec/volumeMode",
            json!("Tape"),
            "spec.volumeMode: Unsupported value",
        ),
        (
            &kind::PERSISTENT_VOLUME_CLAIM,
            "/spec/dataSource",
            json!({"kind": "PersistentVolumeClaim", "name": "a"}),
            "spec.dataSource: Forbidden",
        ),
        (
            &kind::PERSISTENT_VOLUME_CLAIM,
            "/spec/selector",
            json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
            "spec.selector.matchExpressions[0].values: Required value",
        ),
        (&kind::PERSISTENT_VOLUME, "/spec/capacity", json!({}), "spec.capacity: Required value"),
        (
            &kind::PERSISTENT_VOLUME,
            "/spec/capacity/storage",
            json!("-1Gi"),
            "spec.capacity[storage]: Invalid value: \"-1Gi\": must be greater than zero",
        ),
        (
            &kind::PERSISTENT_VOLUME,
            "/spec/csi",
            Value::Null,
            "spec: Required value: must specify a volume type",
        ),
        (
            &kind::PERSISTENT_VOLUME,
            "/spec/hostPath",
            json!({"path": "/x"}),
            "Forbidden: may not specify more than 1 volume type",
        ),
        (&kind::PERSISTENT_VOLUME, "/spec/claimRef/name", json!(""), "spec.claimRef.name: Required value"),
        (
            &kind::PERSISTENT_VOLUME,
            "/spec/csi/volumeHandle",
            json!("pvc-1"),
            "spec.csi.volumeHandle: Invalid value: \"pvc-1\": volumes of loop.orlop.dev have the handle",
        ),
        (
            &kind::PERSISTENT_VOLUME,
            "/spec/csi/volumeHandle",
            json!("../../etc"),
            "spec.csi.volumeHandle: Invalid value",
        ),
        (
            &kind::PERSISTENT_VOLUME,
            "/spec/csi/volumeHandle",
            json!(format!("default/pvc-{}", super::UID)),
            "spec.csi.volumeHandle: Invalid value",
        ),
        (
            &kind::PERSISTENT_VOLUME,
            "/spec/csi/volumeHandle",
            json!(format!("../pvc-{}", super::UID)),
            "spec.csi.volumeHandle: Invalid value",
        ),
        (&kind::PERSISTENT_VOLUME, "/metadata/name", json!("mine"), "must be the volume's own name, mine"),
        (
            &kind::PERSISTENT_VOLUME,
            "/spec/claimRef/uid",
            json!("other"),
            "spec.claimRef.uid: Invalid value: \"other\": volume",
        ),
        (
            &kind::PERSISTENT_VOLUME,
            "/spec/nodeAffinity",
            json!({}),
            "spec.nodeAffinity.required: Required value",
        ),
        (&kind::STORAGE_CLASS, "/provisioner", json!(""), "provisioner: Required value"),
        (&kind::STORAGE_CLASS, "/reclaimPolicy", json!("Recycle"), "reclaimPolicy: Unsupported value"),
        (&kind::STORAGE_CLASS, "/volumeBindingMode", json!("Never"), "volumeBindingMode: Unsupported value"),
        (&kind::VOLUME_ATTACHMENT, "/spec/source", json!({}), "must specify exactly one of"),
        (&kind::VOLUME_ATTACHMENT, "/spec/attacher", json!("a_b"), "spec.attacher: Invalid value"),
        (&kind::VOLUME_ATTACHMENT, "/spec/nodeName", Value::Null, "spec.nodeName: Required value"),
        (&kind::CSI_DRIVER, "/metadata/name", json!("a".repeat(64)), "metadata.name: Too long"),
        (&kind::CSI_NODE, "/spec/drivers/0/nodeID", json!(""), "spec.drivers[0].nodeID: Required value"),
        (
            &kind::CSI_NODE,
            "/spec/drivers/0/topologyKeys",
            json!(["a", "a"]),
            "topologyKeys[1]: Duplicate value",
        ),
        (
            &kind::NODE,
            "/spec/taints",
            json!([{"key": "a", "effect": "Maybe"}]),
            "spec.taints[0].effect: Unsupported value",
        ),
        (&kind::NODE, "/spec/podCIDRs", json!(["10.0.0.0/99"]), "spec.podCIDRs[0]: Invalid value"),
        (
            &kind::NAMESPACE,
            "/metadata/name",
            json!("a.b"),
            "metadata.name: Invalid value: \"a.b\": a lowercase RFC 1123 label",
        ),
        (&kind::SERVICE, "/metadata/name", json!("1a"), "a DNS-1035 label"),
        (&kind::SERVICE, "/spec/ports", json!([]), "spec.ports: Required value"),
        (&kind::SERVICE, "/spec/ports/0/port", json!(70000), "spec.ports[0].port: Invalid value: 70000"),
        (
            &kind::SERVICE,
            "/spec/ports",
            json!([{"port": 1, "protocol": "TCP"}, {"port": 2, "protocol": "TCP"}]),
            "spec.ports[0].name: Required value",
        ),
        (&kind::CONFIG_MAP, "/data/a b", json!("x"), "data[a b]: Invalid value: a valid config key"),
        (
            &kind::CONFIG_MAP,
            "/binaryData",
            json!({"a.conf": "eA=="}),
            "binaryData[a.conf]: Invalid value: duplicate of key",
        ),
        (
            &kind::CONFIG_MAP,
            "/data/big",
            json!("x".repeat(1 << 20)),
            "data: Too long: may not be more than 1048576 bytes",
        ),
        (&kind::SECRET, "/type", json!("kubernetes.io/tls"), "data[tls.crt]: Required value"),
        (
            &kind::LEASE,
            "/spec/leaseDurationSeconds",
            json!(0),
            "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
        ),
        (
            &kind::EVENT,
            "/involvedObject/namespace",
            json!("other"),
            "involvedObject.namespace: Invalid value: \"other\": does not match",
        ),
        (&kind::EVENT, "/message", json!(long), "message: Too long"),
        (
            &kind::DEPLOYMENT,
            "/spec/selector",
            json!({"matchLabels": {"a": "b"}}),
            "`selector` does not match template `labels`",
        ),
        (&kind::DEPLOYMENT, "/spec/replicas", json!(-1), "spec.replicas: Invalid value: -1"),
        (
            &kind::DEPLOYMENT,
            "/spec/template/spec/containers/0/image",
            Value::Null,
            "spec.template.spec.containers[0].image: Required value",
        ),
    ];
    for (kind, pointer, value, wanted) in rows {
        let object = with(good(kind), pointer, value.clone());
        let found = refused(None, &object, kind);
        assert!(found.iter().any(|f| f.contains(wanted)), "{} {pointer} = {value}: {found:?}", kind.kind);
    }
}

#[test]
fn servers_paths_and_options_of_nfs_are_checked_wherever_they_stand() {
    let volume = |nfs: Value, options: Value| {
        let volume = with(good(&kind::PERSISTENT_VOLUME), "/spec/csi", Value::Null);
        let volume = with(with(volume, "/metadata/name", json!("by-hand")), "/spec/nfs", nfs);
        refused(None, &with(volume, "/spec/mountOptions", options), &kind::PERSISTENT_VOLUME)
    };
    let good_one = json!({"server": "nfs", "path": "/srv"});
    assert_eq!(volume(good_one.clone(), json!(["hard", "nfsvers=4.2"])), Vec::<String>::new());
    for (nfs, options, words) in [
        (json!({"server": "a,b", "path": "/srv"}), json!([]), "spec.nfs.server: Invalid value: \"a,b\""),
        (
            json!({"server": "nfs", "path": "srv"}),
            json!([]),
            "spec.nfs.path: Invalid value: \"srv\": must be an absolute",
        ),
        (json!({"server": "nfs"}), json!([]), "spec.nfs.path: Required value"),
        (
            good_one,
            json!(["hard", "bg"]),
            "spec.mountOptions[1]: Invalid value: \"bg\": mount option \"bg\" is not allowed",
        ),
    ] {
        let found = volume(nfs, options);
        assert!(found.iter().any(|said| said.starts_with(words)), "{words}: {found:?}");
    }
    for provisioner in ["nfs.orlop.dev", "nfs.csi.k8s.io"] {
        let class = with(good(&kind::STORAGE_CLASS), "/provisioner", json!(provisioner));
        let found =
            refused(None, &with(class, "/mountOptions", json!(["addr=10.0.0.1"])), &kind::STORAGE_CLASS);
        assert!(found.iter().any(|said| said.starts_with("mountOptions[0]: Invalid value")), "{found:?}");
    }
}

#[test]
fn a_loop_file_may_lie_in_a_pool() {
    let mut volume = good(&kind::PERSISTENT_VOLUME);
    volume["spec"]["csi"]["volumeHandle"] = json!(format!("fast/pvc-{}", super::UID));
    assert!(refused(None, &volume, &kind::PERSISTENT_VOLUME).is_empty());
    volume["spec"]["csi"]["driver"] = json!("nfs.orlop.dev");
    assert!(!refused(None, &volume, &kind::PERSISTENT_VOLUME).is_empty());
}

#[test]
fn a_hundred_faults_are_told_and_no_more_are_made() {
    let many = 5_000;
    let numbered: serde_json::Map<String, Value> = (0..many).map(|n| (format!("-{n}"), json!("-"))).collect();
    for (field, value) in [
        ("finalizers", json!(vec![""; many])),
        ("labels", json!(numbered)),
        ("annotations", json!(numbered)),
        ("ownerReferences", json!(vec![json!({}); many])),
    ] {
        let bad = with(good(&kind::POD), &format!("/metadata/{field}"), value);
        let errors = validate(None, &bad, &kind::POD);
        assert_eq!(errors.len(), 100, "{field}");
        // Cut at the end, they would have taken the room of all.
        assert!(errors.capacity() < 1000, "{field}: {}", errors.capacity());
    }
}

/// Each of these has twenty thousand items, as many as a body may hold. Compared each with each they take minutes.
#[test]
fn long_lists_are_checked_in_time() {
    let many = 10_000;
    let containers = |prefix: &str| -> Vec<Value> {
        (0..many).map(|n| json!({"name": format!("{prefix}-{n}"), "image": "i"})).collect()
    };
    let mut pod = good(&kind::POD);
    pod["spec"] = json!({"containers": containers("c"), "initContainers": containers("i"),
        "tolerations": (0..many).map(|n| json!({"key": n.to_string(), "operator": "Exists"})).collect::<Vec<_>>()});
    assert_eq!(refused(None, &pod, &kind::POD), [""; 0]);
    let mut last = pod.clone();
    last["spec"]["initContainers"][many - 1]["name"] = "c-7".into();
    assert_eq!(refused(None, &last, &kind::POD).len(), 1);
    let mut fewer = pod.clone();
    fewer["spec"]["tolerations"].as_array_mut().expect("a list").pop();
    assert!(refused(Some(&fewer), &pod, &kind::POD).is_empty());
    assert_eq!(refused(Some(&pod), &fewer, &kind::POD).len(), 1);

    // What Orlop cannot honour and the old one has may stay.
    let probed = |pod: &Value, from: usize| {
        let mut pod = pod.clone();
        for container in &mut pod["spec"]["containers"].as_array_mut().expect("a list")[from..] {
            container["ports"] = json!([{"containerPort": 1, "hostPort": 1}]);
        }
        pod
    };
    assert!(refused(Some(&probed(&pod, 0)), &probed(&pod, 0), &kind::POD).is_empty());

    let mut set = good(&kind::STATEFUL_SET);
    let volumes = |own: bool| (0..many).map(move |n| (format!("v-{n}"), own));
    set["spec"]["template"]["spec"]["volumes"] =
        volumes(true).map(|(name, _)| json!({"name": name, "hostPath": {"path": "/x"}})).collect();
    let claim = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    set["spec"]["volumeClaimTemplates"] =
        volumes(false).map(|(name, _)| json!({"metadata": {"name": name}, "spec": claim})).collect();
    assert_eq!(refused(None, &set, &kind::STATEFUL_SET), [""; 0]);
}

#[test]
fn a_refusal_shows_no_more_of_a_value_than_a_name_is_long() {
    let long = with(good(&kind::POD), "/spec/nodeSelector", json!({"-": "x".repeat(100_000)}));
    let found = refused(None, &long, &kind::POD);
    assert!(!found.is_empty() && found.iter().all(|said| said.len() < 1000), "{found:?}");
}
