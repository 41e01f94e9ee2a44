//! `pods/NAME/log`: options are checked here, the bytes come from the node's agent.

use futures::StreamExt as _;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use jiff::Timestamp;
use orlop_objects::{Cause, FieldError};
use serde_json::Value;

use crate::{
    failure::Failure,
    node_calls::NodeCallError,
    query::Query,
    reply::{self, Body},
    router::Call,
};

pub(crate) async fn run(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let key = super::key(call)?;
    let pod = call.server.registry.snapshot().get(&key);
    let pod = pod.ok_or_else(|| Failure::not_found(call.target.shown, &key.name))?.value();
    let container = container(&pod, &key.name, call.query.get("container"))?;
    let options = options(call.query).map_err(|fault| match fault {
        Fault::Request(failure) => failure,
        Fault::Field(error) => Failure::unprocessable(&LOG_OPTIONS, &key.name, &[error]),
    })?;
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    if node.is_empty() {
        return Err(Failure::bad_request(format!(
            "pod {} does not have a host assigned: no container of it has run yet (see kubectl describe pod {})",
            key.name, key.name
        )));
    }
    let path = format!("/containerLogs/{}/{}/{container}{options}", key.namespace, key.name);
    let body = call.server.nodes.logs(node, &path).await.map_err(failure)?;
    let closing = call.server.closing.clone().cancelled_owned();
    let pieces = body.into_data_stream().take_until(closing);
    Ok(reply::typed(StatusCode::OK, "text/plain", reply::streamed(pieces)))
}

/// Only for messages: options are no stored kind.
static LOG_OPTIONS: orlop_objects::Kind = orlop_objects::Kind {
    group: "",
    version: "v1",
    kind: "PodLogOptions",
    plural: "podlogoptions",
    singular: "podlogoptions",
    short: &[],
    namespaced: true,
    categories: &[],
    subresources: &[],
    schema: "",
};

fn failure(error: NodeCallError) -> Failure {
    match error {
        NodeCallError::Refused { code: 500.., message } => Failure::internal(message),
        NodeCallError::Refused { message, .. } => Failure::bad_request(message),
        NodeCallError::Unreachable { node, source } => Failure::unavailable(format!(
            "the agent of node \"{node}\" does not answer ({source}): is Orlop running there?"
        )),
    }
}

/// The container asked for, or the only one there is.
fn container<'a>(pod: &'a Value, name: &str, asked: Option<&'a str>) -> Result<&'a str, Failure> {
    let names = |field: &str| {
        let all = pod["spec"][field].as_array().into_iter().flatten();
        all.filter_map(|c| c["name"].as_str()).collect::<Vec<_>>()
    };
    let (main, init) = (names("containers"), names("initContainers"));
    match (asked, main.as_slice()) {
        (Some(asked), _) if main.contains(&asked) || init.contains(&asked) => Ok(asked),
        (Some(asked), _) => {
            Err(Failure::bad_request(format!("container {asked} is not valid for pod {name}")))
        }
        (None, [only]) => Ok(only),
        (None, many) => {
            let mut message = format!(
                "a container name must be specified for pod {name}, choose one of: [{}]",
                many.join(" ")
            );
            if !init.is_empty() {
                message.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
            }
            Err(Failure::bad_request(message))
        }
    }
}

#[derive(Debug)]
enum Fault {
    Request(Failure),
    Field(FieldError),
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self::Request(failure)
    }
}

/// The query string for the agent: only what is known, and only in its proper form.
fn options(query: &Query<'_>) -> Result<String, Fault> {
    let mut parts = Vec::new();
    for flag in ["follow", "previous", "timestamps"] {
        if query.flag(flag) {
            parts.push(format!("{flag}=true"));
        }
    }
    for (number, least, rule) in [
        ("tailLines", 0, "must be greater than or equal to 0"),
        ("sinceSeconds", 1, "must be greater than 0"),
        ("limitBytes", 1, "must be greater than 0"),
    ] {
        if let Some(value) = query.number::<i64>(number)? {
            if value < least {
                return Err(Fault::Field(FieldError::invalid(number, &value.into(), rule)));
            }
            parts.push(format!("{number}={value}"));
        }
    }
    if let Some(text) = query.get("sinceTime") {
        let wrong =
            |_| Fault::Field(FieldError::invalid("sinceTime", &text.into(), "must be a time as in RFC 3339"));
        let time: Timestamp = text.parse().map_err(wrong)?;
        if query.get("sinceSeconds").is_some() {
            let detail = "at most one of `sinceTime` or `sinceSeconds` may be specified";
            return Err(Fault::Field(FieldError::new("sinceTime", Cause::Forbidden, detail)));
        }
        parts.push(format!("sinceTime={time}"));
    }
    Ok(if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(query: &str) -> String {
        let query = Query::parse(query).expect("is well-formed");
        match options(&query) {
            Ok(text) => text,
            Err(Fault::Field(error)) => error.to_string(),
            Err(Fault::Request(failure)) => failure.message,
        }
    }

    #[test]
    fn options_are_checked_and_passed_on() {
        let rows = [
            ("", ""),
            ("container=c&follow=true&tailLines=5", "?follow=true&tailLines=5"),
            ("previous=true&timestamps=true&limitBytes=9", "?previous=true&timestamps=true&limitBytes=9"),
            ("sinceTime=2026-01-01T02%3A00%3A00%2B02%3A00", "?sinceTime=2026-01-01T00:00:00Z"),
            ("tailLines=-1", "tailLines: Invalid value: -1: must be greater than or equal to 0"),
            ("sinceSeconds=0", "sinceSeconds: Invalid value: 0: must be greater than 0"),
            ("tailLines=x", "query parameter tailLines: \"x\" is not a number that it can be"),
            ("sinceTime=now", "sinceTime: Invalid value: \"now\": must be a time as in RFC 3339"),
            (
                "sinceSeconds=1&sinceTime=2026-01-01T00%3A00%3A00Z",
                "sinceTime: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
            ),
        ];
        for (query, expected) in rows {
            assert_eq!(check(query), expected, "{query}");
        }
    }

    #[test]
    fn the_container_is_named_or_the_only_one() {
        let one = json!({"spec": {"containers": [{"name": "a"}], "initContainers": [{"name": "i"}]}});
        let two = json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}});
        assert_eq!(container(&one, "p", None).expect("is the only one"), "a");
        assert_eq!(container(&one, "p", Some("i")).expect("is there"), "i");
        let words = |result: Result<&str, Failure>| result.expect_err("is refused").message;
        assert_eq!(words(container(&one, "p", Some("x"))), "container x is not valid for pod p");
        assert_eq!(
            words(container(&two, "p", None)),
            "a container name must be specified for pod p, choose one of: [a b]"
        );
    }
}
