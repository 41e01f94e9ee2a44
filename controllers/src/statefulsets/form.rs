//! What belongs to a number: the pod's name and form. Pure.

use orlop_objects::Object;
use serde_json::{Value, json};

use super::claims;
use crate::{edit, workloads::make};

/// The revision that a pod was made of.
pub(crate) const REVISION: &str = "controller-revision-hash";
/// A pod's own name, so that a service can select it.
pub(crate) const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
/// A pod's number.
pub(crate) const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// The name of the set that a pod of this name would belong to.
pub(crate) fn owner_by_name(pod: &str) -> Option<&str> {
    split(pod).map(|(set, _)| set)
}

/// The number of a pod of this set; `None` where its name has none.
pub(crate) fn ordinal(set: &str, pod: &str) -> Option<i32> {
    split(pod).filter(|(owner, _)| *owner == set).map(|(_, ordinal)| ordinal)
}

fn split(pod: &str) -> Option<(&str, i32)> {
    let (set, number) = pod.rsplit_once('-')?;
    let ordinal: i32 = number.parse().ok().filter(|n| *n >= 0)?;
    // `web-01` is nobody's: the name is made of the number, and of each number there is one name.
    (ordinal.to_string() == number).then_some((set, ordinal))
}

/// The name of a pod.
pub(crate) fn name(set: &str, ordinal: i32) -> String {
    format!("{set}-{ordinal}")
}

/// The pod of a number, made of a revision's template.
pub(crate) fn pod(set: &Object, spec: &Value, (revision, template): (&str, &Value), ordinal: i32) -> Value {
    let name = name(&set.meta.name, ordinal);
    let mut pod = make::pod(template, set);
    pod["metadata"]["name"] = name.as_str().into();
    let labels = edit::section(&mut pod, "metadata/labels");
    for (label, value) in [(REVISION, revision), (POD_NAME, &*name), (POD_INDEX, &*ordinal.to_string())] {
        labels.insert(label.to_owned(), value.into());
    }
    let claims = claims::templates(spec);
    let own = |volume: &&Value| !claims.iter().any(|claim| claim["metadata"]["name"] == volume["name"]);
    let others = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
    let volumes = claims.iter().map(|claim| {
        let volume = claim["metadata"]["name"].as_str().unwrap_or_default();
        json!({"name": volume, "persistentVolumeClaim": {"claimName": claims::name(volume, &set.meta.name, ordinal)}})
    });
    let volumes: Vec<Value> = volumes.chain(others.iter().filter(own).cloned()).collect();
    let fields = edit::section(&mut pod, "spec");
    if !volumes.is_empty() {
        fields.insert("volumes".to_owned(), volumes.into());
    }
    fields.insert("hostname".to_owned(), name.into());
    if let Some(service) = spec["serviceName"].as_str().filter(|service| !service.is_empty()) {
        fields.insert("subdomain".to_owned(), service.into());
    }
    pod
}

#[cfg(test)]
mod tests {
    use orlop_objects::kind;

    use super::*;

    #[test]
    fn names_and_numbers() {
        let rows = [
            ("web-0", Some(0)),
            ("web-12", Some(12)),
            ("web-01", None),
            ("web--1", None),
            ("web-x", None),
            ("other-0", None),
            ("web", None),
            ("a-web-0", None),
        ];
        for (pod, wanted) in rows {
            assert_eq!(ordinal("web", pod), wanted, "{pod}");
        }
    }

    #[test]
    fn a_pod_has_its_number_everywhere() {
        let spec = json!({"serviceName": "svc", "volumeClaimTemplates": [{"metadata": {"name": "data"}}]});
        let set = json!({"metadata": {"name": "web", "namespace": "default", "uid": "u"}, "spec": spec});
        let set = Object::from_value(&kind::STATEFUL_SET, &set).expect("valid");
        let template = json!({"metadata": {"labels": {"app": "web"}},
            "spec": {"volumes": [{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]}});
        let pod = pod(&set, &spec, ("web-abc", &template), 3);
        assert_eq!(pod["metadata"]["name"], "web-3");
        assert_eq!(
            pod["metadata"]["labels"],
            json!({"app": "web", REVISION: "web-abc", POD_NAME: "web-3", POD_INDEX: "3"})
        );
        assert_eq!(
            pod["spec"],
            json!({"hostname": "web-3", "subdomain": "svc", "volumes": [
                {"name": "data", "persistentVolumeClaim": {"claimName": "data-web-3"}},
                {"name": "tmp", "emptyDir": {}}]})
        );
        assert_eq!(pod["metadata"]["ownerReferences"][0]["uid"], "u");
    }
}
