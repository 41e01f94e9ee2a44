//! The table of what is not built, row for row: each with a value that it answers and one that it lets pass.

use serde_json::{Value, json};

use super::{Answer, ROWS, refusals, warnings};

/// Puts `value` at the row's path: lists get one item, `{}` is `name`.
fn pod_with(path: &str, name: &str, value: &Value) -> Value {
    let spec = path.rsplit('.').fold(value.clone(), |inner, step| {
        let step = if step == "{}" { name } else { step };
        match step.strip_suffix("[]") {
            Some(list) => json!({list: [inner]}),
            None => json!({step: inner}),
        }
    });
    json!({"spec": spec})
}

#[test]
fn every_row_answers() {
    let some = json!([{"name": "x"}]);
    // For each row: name for `{}`, a value that it answers, a value that passes.
    let rows = [
        ("configMap", json!({"name": "c"}), Value::Null),
        ("", json!("HugePages"), json!("Memory")),
        ("", json!({"sizeLimit": "1Mi"}), json!({"sizeLimit": "1Mi", "medium": "Memory"})),
        ("", some.clone(), json!([])),
        ("", json!("a"), json!("")),
        ("", json!("a"), json!("")),
        ("", json!("Bidirectional"), json!("None")),
        ("", json!("Enabled"), json!("Disabled")),
        ("", json!("IfPossible"), json!("Disabled")),
        ("", some.clone(), json!([])),
        ("", some.clone(), json!([])),
        ("", json!("gvisor"), json!("")),
        ("", json!("windows"), json!("linux")),
        ("", some.clone(), json!([])),
        ("", some.clone(), json!([])),
        ("", some.clone(), json!([])),
        ("", some.clone(), json!([])),
        ("", some.clone(), json!([])),
        ("", json!("DoNotSchedule"), json!("")),
        ("", json!("ScheduleAnyway"), json!("")),
        ("", json!("mine"), json!("default-scheduler")),
        ("", json!("high"), json!("")),
        ("", some.clone(), json!([])),
        ("", json!(5), Value::Null),
        ("", json!(true), json!(false)),
        ("", json!(true), json!(false)),
        ("", json!(true), json!(false)),
        ("", json!(false), json!(true)),
        ("", json!(80), json!(0)),
        ("", json!("None"), json!("ClusterFirst")),
        ("", json!({"nameservers": ["1.1.1.1"]}), Value::Null),
        ("", json!("a"), json!("")),
        ("", json!(true), json!(false)),
        ("", json!("a"), json!("")),
        ("", json!(1000), Value::Null),
        ("", json!({"level": "s0"}), Value::Null),
        ("", json!("RuntimeDefault"), json!("Unconfined")),
        ("", json!("Localhost"), json!("RuntimeDefault")),
        ("", some.clone(), json!([])),
        ("", json!("Strict"), json!("Merge")),
        ("", json!({}), Value::Null),
        ("", json!(true), json!(false)),
        ("", json!("Unmasked"), json!("Default")),
        ("", json!({"level": "s0"}), Value::Null),
        ("", json!("Localhost"), json!("Unconfined")),
        ("", json!("Localhost"), json!("RuntimeDefault")),
        ("", json!({}), Value::Null),
        ("", json!(true), json!(false)),
        ("", some.clone(), json!([])),
        ("", some.clone(), json!([])),
        ("", json!({"name": "a", "key": "b"}), Value::Null),
        ("", json!({"name": "a", "key": "b"}), Value::Null),
        ("", json!({"resource": "limits.cpu"}), Value::Null),
        ("", json!({"path": "a", "key": "b"}), Value::Null),
        ("example.com/gpu", json!("1"), Value::Null),
        ("ephemeral-storage", json!("1Gi"), Value::Null),
        ("", some.clone(), json!([])),
        ("", json!({"limits": {"cpu": "1"}}), Value::Null),
        ("", some.clone(), json!([])),
        ("", json!("Never"), json!("")),
        ("", some.clone(), json!([])),
        ("", json!({"exec": {}}), Value::Null),
        ("", json!({"exec": {}}), Value::Null),
        ("", json!({"exec": {}}), Value::Null),
        ("", json!({"preStop": {}}), Value::Null),
        ("", json!(true), json!(false)),
        ("", json!(true), json!(false)),
        ("", json!("/tmp/why"), json!("/dev/termination-log")),
        ("", json!("FallbackToLogsOnError"), json!("File")),
        ("", some, json!([])),
    ];
    assert_eq!(rows.len(), ROWS.len(), "one line here for each row of the table");
    for (row, (name, answered, passes)) in ROWS.iter().zip(&rows) {
        let says = |pod: &Value| match row.answer {
            Answer::Refuse => refusals(pod).iter().any(|e| e.detail == row.sentence),
            Answer::Warn => warnings(pod).iter().any(|w| w.ends_with(row.sentence)),
        };
        assert!(says(&pod_with(row.path, name, answered)), "{} = {answered} must be answered", row.path);
        assert!(!says(&pod_with(row.path, name, passes)), "{} = {passes} must pass", row.path);
    }
}

#[test]
fn answers_name_the_very_field() {
    let pod = json!({"spec": {"volumes": [{"name": "a", "persistentVolumeClaim": {"claimName": "c"}},
        {"name": "b", "configMap": {"name": "m"}}, {"name": "d", "emptyDir": {}}, {"name": "e", "hostPath": {"path": "/"}}],
        "initContainers": [{"tty": true, "restartPolicy": "Always"}], "containers": [{"resources": {"limits": {"cpu": "1",
        "example.com/gpu": "1"}}, "livenessProbe": {}}]}});
    let fields: Vec<String> = refusals(&pod).into_iter().map(|e| e.field).collect();
    assert_eq!(
        fields,
        [
            "spec.volumes[1].configMap",
            "spec.containers[0].resources.limits.example.com/gpu",
            "spec.initContainers[0].restartPolicy"
        ]
    );
    assert_eq!(warnings(&pod).len(), 2);
    assert!(warnings(&pod)[0].starts_with("spec.containers[0].livenessProbe: "));
    assert!(warnings(&pod)[1].starts_with("spec.initContainers[0].tty: "));
}

#[test]
fn ports_of_the_node_are_free_in_its_network() {
    let ports = json!([{"containerPort": 80, "hostPort": 80}]);
    let pod = |host: bool| json!({"spec": {"hostNetwork": host, "containers": [{"ports": ports}]}});
    assert_eq!((refusals(&pod(true)).len(), warnings(&pod(true)).len()), (0, 0));
    assert_eq!((refusals(&pod(false)).len(), warnings(&pod(false)).len()), (1, 0));
}
