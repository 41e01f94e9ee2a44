//! Bodies of real clients, every kind there and back, and what no bytes may do.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{
    Envelope, Message, encode,
    index::{Slot, Slots},
    read,
};
use crate::{
    decode::{MOST_OBJECTS, grow::Grower},
    kind,
    schema::table::{self, Leaf, Shape, Type},
};

fn opened(ty: &'static Type, body: &[u8]) -> Result<Message, super::Error> {
    read(ty, &Envelope::open(body)?)
}

fn short(name: &str) -> &'static Type {
    table::short(name).unwrap_or_else(|| panic!("{name} is not in the table"))
}

/// A body whose message is these bytes.
fn enclosed(message: &[u8]) -> Vec<u8> {
    let mut body = b"k8s\0".to_vec();
    encode::bytes(&mut body, 2, message);
    body
}

#[test]
fn what_kubectl_sends_is_what_it_prints_as_json() {
    let lines: Vec<&str> =
        include_str!("recorded.txt").lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    assert!(lines.len() >= 30 && lines.len().is_multiple_of(3));
    for record in lines.chunks(3) {
        let [head, body, json] = record else { unreachable!("three lines each") };
        let (command, name) = head.split_once(" :: ").expect("a command and a type");
        let body = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, body).expect("base64");
        let envelope = Envelope::open(&body).expect(command);
        let message = read(short(name), &envelope).expect(command);
        let mut value = message.value;
        value["apiVersion"] = envelope.api_version.into();
        value["kind"] = envelope.kind.into();
        assert_eq!(value, serde_json::from_str::<Value>(json).expect("JSON"), "{command}");
        assert_eq!(message.unknown, [""; 0], "{command}");
    }
}

#[test]
fn what_holds_nothing_is_left_out_unless_it_says_something() {
    let container = json!({"name": "", "image": "", "restartPolicy": "", "stdin": false, "workingDir": "", "resources": {},
        "livenessProbe": {"periodSeconds": 0, "terminationGracePeriodSeconds": 0, "tcpSocket": {"port": 0, "host": ""}},
        "ports": [{"containerPort": 0, "hostPort": 0, "protocol": ""}], "args": ["", "x"],
        "env": [{"name": "e", "value": ""}]});
    let pod = json!({"metadata": {"name": "p", "namespace": "", "labels": {"a": ""}, "generation": 0},
        "spec": {"hostNetwork": false, "hostUsers": false, "automountServiceAccountToken": false, "nodeName": "",
            "terminationGracePeriodSeconds": 0, "containers": [container]}});
    let message = opened(short("core.v1.Pod"), &encode::body(short("core.v1.Pod"), "v1", "Pod", &pod));
    let kept = json!({"name": "", "restartPolicy": "", "resources": {},
        "livenessProbe": {"terminationGracePeriodSeconds": 0, "tcpSocket": {"port": 0}},
        "ports": [{"containerPort": 0}], "args": ["", "x"], "env": [{"name": "e"}]});
    assert_eq!(
        message.expect("a pod").value,
        json!({"metadata": {"name": "p", "labels": {"a": ""}}, "spec": {"hostUsers": false,
            "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0, "containers": [kept]}})
    );
    let rows = [
        (
            "core.v1.PersistentVolumeClaim",
            json!({"spec": {"storageClassName": "", "volumeName": ""}}),
            json!({"spec": {"storageClassName": ""}}),
        ),
        ("core.v1.PersistentVolume", json!({"spec": {"storageClassName": ""}}), json!({"spec": {}})),
        (
            "apps.v1.Deployment",
            json!({"spec": {"replicas": 0, "minReadySeconds": 0, "strategy": {"rollingUpdate": {"maxSurge": 0}}}}),
            json!({"spec": {"replicas": 0, "strategy": {"rollingUpdate": {"maxSurge": 0}}}}),
        ),
        (
            "core.v1.Service",
            json!({"spec": {"ports": [{"port": 80, "targetPort": 0, "name": ""}]}}),
            json!({"spec": {"ports": [{"port": 80}]}}),
        ),
        (
            "coordination.v1.Lease",
            json!({"spec": {"holderIdentity": "", "leaseTransitions": 0}}),
            json!({"spec": {"holderIdentity": "", "leaseTransitions": 0}}),
        ),
        (
            "apps.v1.StatefulSet",
            json!({"spec": {"replicas": 0, "serviceName": "", "podManagementPolicy": "", "minReadySeconds": 0,
                "ordinals": {"start": 0}, "updateStrategy": {"type": "", "rollingUpdate": {"partition": 0}}}}),
            json!({"spec": {"replicas": 0, "ordinals": {},
                "updateStrategy": {"rollingUpdate": {"partition": 0}}}}),
        ),
        (
            "apps.v1.DaemonSet",
            json!({"spec": {"minReadySeconds": 0, "revisionHistoryLimit": 0,
                "updateStrategy": {"type": "", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}}}}),
            json!({"spec": {"revisionHistoryLimit": 0,
                "updateStrategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}}}}),
        ),
        (
            "storage.v1.StorageClass",
            json!({"provisioner": "", "parameters": {"a": ""}, "mountOptions": [""], "reclaimPolicy": "",
                "allowVolumeExpansion": false, "volumeBindingMode": ""}),
            json!({"provisioner": "", "parameters": {"a": ""}, "mountOptions": [""], "reclaimPolicy": "",
                "allowVolumeExpansion": false, "volumeBindingMode": ""}),
        ),
        (
            "storage.v1.CSIDriver",
            json!({"spec": {"attachRequired": false, "podInfoOnMount": false, "fsGroupPolicy": "",
                "preventPodSchedulingIfMissing": false, "tokenRequests": [{"audience": "", "expirationSeconds": 0}]}}),
            json!({"spec": {"attachRequired": false, "podInfoOnMount": false, "fsGroupPolicy": "",
                "preventPodSchedulingIfMissing": false, "tokenRequests": [{"audience": "", "expirationSeconds": 0}]}}),
        ),
        (
            "storage.v1.VolumeAttachment",
            json!({"spec": {"attacher": "", "nodeName": "", "source": {"persistentVolumeName": ""}},
                "status": {"attached": false, "attachError": {"message": "", "errorCode": 0}}}),
            json!({"spec": {"attacher": "", "nodeName": "", "source": {"persistentVolumeName": ""}},
                "status": {"attached": false, "attachError": {"errorCode": 0}}}),
        ),
        (
            "meta.v1.DeleteOptions",
            json!({"gracePeriodSeconds": 0, "orphanDependents": false, "propagationPolicy": "",
                "preconditions": {"uid": "", "resourceVersion": ""}, "dryRun": [""]}),
            json!({"gracePeriodSeconds": 0, "orphanDependents": false, "propagationPolicy": "",
                "preconditions": {"uid": "", "resourceVersion": ""}, "dryRun": [""]}),
        ),
        (
            "core.v1.Secret",
            json!({"immutable": false, "data": {"k": ""}, "type": ""}),
            json!({"immutable": false, "data": {"k": ""}}),
        ),
    ];
    for (name, sent, kept) in rows {
        let message = opened(short(name), &encode::body(short(name), "", "", &sent)).expect(name);
        assert_eq!(message.value, kept, "{name}");
    }
}

#[test]
fn unknown_tags_are_named_where_they_say_anything() {
    let mut spec = Vec::new();
    encode::number(&mut spec, 470, 0);
    encode::bytes(&mut spec, 471, b"");
    encode::number(&mut spec, 472, 7);
    let mut source = Vec::new();
    encode::bytes(&mut source, 99, b"x");
    let (mut volume, mut pod) = (Vec::new(), Vec::new());
    encode::bytes(&mut volume, 2, &source);
    encode::bytes(&mut spec, 1, &volume);
    encode::bytes(&mut pod, 2, &spec);
    encode::number(&mut pod, 12, 1);
    let message = opened(short("core.v1.Pod"), &enclosed(&pod)).expect("a pod");
    assert_eq!(message.value, json!({"spec": {"volumes": [{}]}}));
    assert_eq!(
        message.unknown,
        ["spec: field 472 of PodSpec", "spec.volumes[0]: field 2/99 of Volume", "field 12 of Pod"]
    );
    let many: Vec<u8> = std::iter::repeat_n([0x60, 1], 10_000).flatten().collect();
    assert_eq!(opened(short("core.v1.Pod"), &enclosed(&many)).expect("a pod").unknown.len(), 100);
}

#[test]
fn numbers_are_read_packed_and_messages_are_laid_over_each_other() {
    let mut rules = Vec::new();
    encode::number(&mut rules, 4, 5);
    encode::bytes(&mut rules, 4, &[6, 0xac, 2]);
    let message = opened(short("core.v1.PodSecurityContext"), &enclosed(&rules)).expect("numbers");
    assert_eq!(message.value, json!({"supplementalGroups": [5, 6, 300]}));
    let (mut pod, mut first, mut second) = (Vec::new(), Vec::new(), Vec::new());
    encode::bytes(&mut first, 1, b"a");
    encode::bytes(&mut first, 3, b"n");
    encode::bytes(&mut second, 1, b"b");
    encode::bytes(&mut pod, 1, &first);
    encode::bytes(&mut pod, 1, &second);
    let message = opened(short("core.v1.Pod"), &enclosed(&pod)).expect("a pod");
    assert_eq!(message.value, json!({"metadata": {"name": "b", "namespace": "n"}}));
}

#[test]
fn what_is_no_message_is_refused_with_its_place() {
    let pod = short("core.v1.Pod");
    let long = [b"k8s\0\x12\x04\x0a\x02\x0a\x7f".as_slice()].concat();
    let rows: [(&[u8], &str); 12] = [
        (
            b"",
            "runtime.Unknown at byte 0 of the body: Kubernetes' protobuf begins with the bytes 6b 38 73 00 (\"k8s\" and a zero)",
        ),
        (
            b"{}",
            "runtime.Unknown at byte 0 of the body: Kubernetes' protobuf begins with the bytes 6b 38 73 00 (\"k8s\" and a zero)",
        ),
        (
            b"k8s\0\x12",
            "runtime.Unknown at byte 5 of the body: it is cut off: 1 bytes are needed, and 0 are left",
        ),
        (
            b"k8s\0\x12\x05a",
            "runtime.Unknown at byte 5 of the body: it is cut off: 5 bytes are announced, and 1 are left",
        ),
        (&long, "ObjectMeta at byte 9 of the body: it is cut off: 127 bytes are announced, and 0 are left"),
        (
            b"k8s\0\x12\x04\x0a\x02\x08\x01",
            "ObjectMeta at byte 8 of the body: a length was expected, and it is a varint",
        ),
        (
            b"k8s\0\x12\x05\x0a\x03\x0a\x01\xff",
            "ObjectMeta at byte 8 of the body: the text is not UTF-8: invalid utf-8 sequence of 1 bytes from index 0",
        ),
        (b"k8s\0\x12\x01\x0b", "Pod at byte 6 of the body: field 1 has wire type 3, which is not used"),
        (b"k8s\0\x12\x02\x00\x01", "Pod at byte 6 of the body: 0 is no field number"),
        (
            b"k8s\0\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
            "runtime.Unknown at byte 5 of the body: a varint has more than 64 bits",
        ),
        (
            b"k8s\0\x1a\x04gzip",
            "runtime.Unknown at byte 4 of the body: the message is encoded as \"gzip\"; send it without contentEncoding",
        ),
        (
            b"k8s\0\x22\x10application/json",
            "runtime.Unknown at byte 4 of the body: the message is \"application/json\" inside; send that as the body, with this Content-Type",
        ),
    ];
    for (body, fault) in rows {
        let error = opened(pod, body).expect_err(fault);
        assert_eq!(error.to_string(), fault);
    }
    let mut raw = Vec::new();
    encode::bytes(&mut raw, 2, b"\x0a\x01{");
    let error = opened(short("apps.v1.ControllerRevision"), &enclosed(&raw)).expect_err("it is cut off");
    assert!(error.fault.starts_with("what is embedded is not JSON: "), "{error}");
    let mut time = Vec::new();
    encode::bytes(&mut time, 3, b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f");
    let error = opened(short("apps.v1.DaemonSetCondition"), &enclosed(&time)).expect_err("beyond all times");
    assert!(error.fault.ends_with(" is no time"), "{error}");
}

#[test]
fn a_message_holds_so_many_objects_and_no_more_are_made() {
    let spec = |containers: usize, end: &[u8]| {
        let mut pod = Vec::new();
        encode::bytes(&mut pod, 2, &[[0x12, 0].repeat(containers).as_slice(), end].concat());
        enclosed(&pod)
    };
    let pod = short("core.v1.Pod");
    // The pod and its spec are two of them.
    assert!(opened(pod, &spec(MOST_OBJECTS - 2, b"")).is_ok());
    // The reader goes no further: that what is behind it is no message is not found.
    let refused = opened(pod, &spec(MOST_OBJECTS - 1, &[0xff])).expect_err("it is too much");
    let words = "this is one object too many: a body may hold 20000; make several of it";
    assert_eq!((refused.message, refused.fault.as_str()), ("Container", words));

    let embedded = |objects: usize| {
        let (mut inner, mut outer) = (Vec::new(), Vec::new());
        encode::bytes(&mut inner, 1, format!("[{}{{}}]", "{},".repeat(objects - 1)).as_bytes());
        encode::bytes(&mut outer, 2, &inner);
        opened(short("apps.v1.ControllerRevision"), &enclosed(&outer))
    };
    assert!(embedded(MOST_OBJECTS).is_ok());
    let refused = embedded(MOST_OBJECTS + 1).expect_err("it is too much").fault;
    assert!(refused.starts_with("what is embedded is too large: it holds more than 20000"), "{refused}");
}

#[test]
fn what_was_sent_is_not_sent_back_whole() {
    for tag in [3, 4] {
        let mut body = b"k8s\0".to_vec();
        encode::bytes(&mut body, tag, "x".repeat(10_000).as_bytes());
        let error = Envelope::open(&body).expect_err("it is neither").fault;
        assert!(error.contains("xxx…") && error.len() < 200, "{error}");
    }
}

/// The reader goes as deep as the table does: this is why it needs no limit of its own.
#[test]
fn no_type_holds_itself() {
    fn deepest(ty: &'static Type, above: &mut Vec<&'static str>) -> usize {
        assert!(!above.contains(&ty.name), "{} holds itself: {above:?}", ty.name);
        above.push(ty.name);
        let below = ty.fields.iter().filter_map(|field| inside(&field.shape)).map(|ty| deepest(ty, above));
        let depth = 1 + below.max().unwrap_or(0);
        above.pop();
        depth
    }
    fn inside(shape: &Shape) -> Option<&'static Type> {
        match shape {
            Shape::Object(ty) => Some(ty.get()),
            Shape::List(item) | Shape::Map(item) => inside(item),
            Shape::Leaf(_) => None,
        }
    }
    // Bodies are read as types of no kind as well: DeleteOptions, Scale.
    let depths = table::types().iter().map(|ty| deepest(ty, &mut Vec::new()));
    assert!(depths.max().is_some_and(|depth| depth < 32));
}

#[test]
fn no_tag_stands_for_two_fields() {
    fn count(slots: &Slots) -> usize {
        (1..1000)
            .filter_map(|tag| slots.get(tag))
            .map(|slot| match slot {
                Slot::Field(_) => 1,
                Slot::Inline(inner) => count(inner),
            })
            .sum()
    }
    for ty in table::types() {
        let tagged = ty.fields.iter().filter(|field| !field.tag.is_empty()).count();
        assert_eq!(count(Slots::of(ty)), tagged, "{}", ty.name);
    }
}

/// What of an object comes through: not what has no tag, nor lists and maps without entries, nor what holds nothing.
fn passes(ty: &Type, fields: &mut Map<String, Value>) {
    fields.retain(|name, value| {
        let field = ty.field(name).expect("it grew out of the table");
        let empty = match (&field.shape, &*value) {
            (Shape::List(_), Value::Array(items)) => items.is_empty(),
            (Shape::Map(_), Value::Object(entries)) => entries.is_empty(),
            (Shape::Leaf(Leaf::Boolean), value) => *value == false && !field.pointer && !field.required,
            _ => false,
        };
        below(&field.shape, value);
        !field.tag.is_empty() && !empty
    });
}

fn below(shape: &Shape, value: &mut Value) {
    match (shape, value) {
        (Shape::Object(ty), Value::Object(fields)) => passes(ty.get(), fields),
        (Shape::List(item), Value::Array(items)) => items.iter_mut().for_each(|i| below(item, i)),
        (Shape::Map(item), Value::Object(entries)) => entries.values_mut().for_each(|i| below(item, i)),
        (Shape::Leaf(Leaf::Quantity), value @ Value::Number(_)) => *value = value.to_string().into(),
        _ => {}
    }
}

fn grown(seed: u64, which: usize) -> (&'static Type, Value) {
    let ty = table::root(kind::ALL[which]);
    let mut value = Grower(seed).object(ty, 0);
    passes(ty, value.as_object_mut().expect("it is one"));
    (ty, value)
}

proptest! {
    #[test]
    fn every_kind_comes_back_as_it_went(seed: u64, which in 0..kind::ALL.len()) {
        let (ty, value) = grown(seed, which);
        let message = opened(ty, &encode::body(ty, "v1", "X", &value)).expect("it is a message");
        prop_assert_eq!(message.value, value);
        prop_assert!(message.unknown.is_empty());
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>, which in 0..kind::ALL.len()) {
        let _ = Envelope::open(&bytes);
        let _ = opened(table::root(kind::ALL[which]), &enclosed(&bytes));
    }

    #[test]
    fn no_damage_makes_the_reader_panic(seed: u64, which in 0..kind::ALL.len(), at: usize, byte: u8, cut: bool) {
        let (ty, value) = grown(seed, which);
        let mut body = encode::body(ty, "v1", "X", &value);
        let at = at % body.len();
        body[at] = byte;
        if cut {
            body.truncate(at);
        }
        let _ = opened(ty, &body);
    }
}
