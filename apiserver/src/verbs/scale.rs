//! `PLURAL/NAME/scale`: the number of a workload's replicas alone, as an `autoscaling/v1` Scale.
//!
//! | Scale | workload |
//! |---|---|
//! | `spec.replicas` | `spec.replicas`, the one field that a write changes |
//! | `status.replicas` | `status.replicas` |
//! | `status.selector` | `spec.selector`, in its string form |
//! | `metadata.resourceVersion` | the workload's: in a write, a precondition |

use http::{Response, StatusCode};
use hyper::body::Incoming;
use orlop_objects::{Cause, FieldError, Key, quote};
use orlop_registry::{Error, Part};
use serde_json::{Map, Value, json};

use super::patch as patches;
use crate::{
    body,
    failure::Failure,
    reply::{self, Body},
    router::Call,
};

pub(crate) fn get(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let key = super::key(call)?;
    let object = call.server.registry.snapshot().get(&key);
    let object = object.ok_or_else(|| Failure::not_found(call.target.shown, &key.name))?;
    Ok(reply::json(StatusCode::OK, &scale(&object.versioned())))
}

pub(crate) async fn replace(call: &Call<'_>, incoming: Incoming) -> Result<Response<Body>, Failure> {
    let wanted = body::any(call.headers, &body::read(incoming).await?, body::SCALE)?;
    change(call, |_| Ok(wanted.clone())).await
}

pub(crate) async fn patch(call: &Call<'_>, incoming: Incoming) -> Result<Response<Body>, Failure> {
    let key = super::key(call)?;
    let patch = patches::parse(body::media_type(call.headers), &body::read(incoming).await?)?;
    change(call, |scale| patches::apply(&key, &patch, scale)).await
}

/// Writes the number that `wanted` makes of the Scale as it is now.
async fn change(
    call: &Call<'_>,
    wanted: impl Fn(Value) -> Result<Value, Error> + Sync,
) -> Result<Response<Body>, Failure> {
    let (key, dry_run, writer) = (super::key(call)?, call.dry_run()?, call.writer());
    let apply = |mut old: Value| {
        let new = wanted(scale(&old))?;
        old["spec"]["replicas"] = replicas(&key, &new)?.into();
        // What a writer says about the object's identity must be true.
        for field in ["name", "namespace", "uid", "resourceVersion"] {
            if let Some(said) = new["metadata"][field].as_str() {
                old["metadata"][field] = said.into();
            }
        }
        Ok(old)
    };
    let registry = &call.server.registry;
    let outcome = super::persistent(|| registry.change(&key, Part::Main, &writer, dry_run, &apply)).await?;
    let object = &outcome.object;
    let workload = if object.revision == 0 { object.value() } else { object.versioned() };
    let mut response = reply::json(StatusCode::OK, &scale(&workload));
    reply::warn(&mut response, &outcome.warnings);
    Ok(response)
}

/// The number in a Scale; an absent one is none.
fn replicas(key: &Key, scale: &Value) -> Result<i32, Error> {
    let refuse = |cause, detail: &str| {
        let causes = vec![FieldError::new("spec.replicas", cause, detail)];
        Err(Error::Invalid { key: key.clone(), causes })
    };
    if !matches!(scale["kind"].as_str(), None | Some("Scale")) {
        let found = quote::value(&scale["kind"]);
        return Err(Error::BadRequest(format!("the body must be a Scale, not {found}")));
    }
    match &scale["spec"]["replicas"] {
        Value::Null => Ok(0),
        number => match number.as_i64().map(i32::try_from) {
            Some(Ok(number)) if number >= 0 => Ok(number),
            Some(Ok(_)) => refuse(Cause::Invalid, "must be greater than or equal to 0"),
            _ => refuse(Cause::Invalid, "must be a whole number of at most 32 bits"),
        },
    }
}

/// A workload as a Scale.
fn scale(workload: &Value) -> Value {
    let mut metadata = Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = workload["metadata"].get(field) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    let count = |value: &Value| value.as_i64().unwrap_or(0);
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": {"replicas": count(&workload["spec"]["replicas"])},
        "status": {"replicas": count(&workload["status"]["replicas"]), "selector": selector(&workload["spec"]["selector"])}})
}

/// A label selector in the form that queries use.
fn selector(selector: &Value) -> String {
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let mut terms: Vec<String> =
        labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    for term in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = term["key"].as_str().unwrap_or_default();
        let mut values: Vec<&str> =
            term["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        terms.push(match term["operator"].as_str() {
            Some("In") => format!("{key} in ({values})"),
            Some("NotIn") => format!("{key} notin ({values})"),
            Some("DoesNotExist") => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    terms.join(",")
}

#[cfg(test)]
mod tests {
    use orlop_objects::kind;

    use super::*;

    #[test]
    fn a_workload_as_a_scale() {
        let workload = json!({"metadata": {"name": "w", "resourceVersion": "7", "labels": {"x": "y"}},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"a": "b"},
                "matchExpressions": [{"key": "t", "operator": "In", "values": ["z", "y"]}, {"key": "q", "operator": "Exists"}]}},
            "status": {"replicas": 2}});
        let expected = json!({"kind": "Scale", "apiVersion": "autoscaling/v1",
            "metadata": {"name": "w", "resourceVersion": "7"}, "spec": {"replicas": 3},
            "status": {"replicas": 2, "selector": "a=b,t in (y,z),q"}});
        assert_eq!(scale(&workload), expected);
    }

    #[test]
    fn numbers_of_replicas() {
        let key = Key::new(&kind::DEPLOYMENT, "default", "w");
        let read = |value: Value| replicas(&key, &json!({"spec": {"replicas": value}})).ok();
        assert_eq!(read(json!(3)), Some(3));
        assert_eq!(read(Value::Null), Some(0));
        for odd in [json!(-1), json!("3"), json!(1.5), json!(4_294_967_296_i64)] {
            assert_eq!(read(odd.clone()), None, "{odd}");
        }
        assert!(replicas(&key, &json!({"kind": "Pod"})).is_err());
    }
}
