//! The parameters of requests: their types and what they are for.

use serde_json::{Value, json};

/// What a list or watch takes.
pub(super) const LISTING: [&str; 9] = [
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "timeoutSeconds",
    "watch",
];

/// What a create or replace takes.
pub(super) const WRITING: [&str; 3] = ["dryRun", "fieldManager", "fieldValidation"];

/// What reading a log takes.
pub(super) const LOG: [&str; 8] =
    ["container", "follow", "limitBytes", "previous", "sinceSeconds", "sinceTime", "tailLines", "timestamps"];

/// One parameter, in the `query` or the `path`.
pub(super) fn parameter(name: &str, place: &str) -> Value {
    let form = match name {
        "allowWatchBookmarks"
        | "watch"
        | "force"
        | "orphanDependents"
        | "follow"
        | "previous"
        | "timestamps" => "boolean",
        "limit" | "timeoutSeconds" | "gracePeriodSeconds" | "limitBytes" | "sinceSeconds" | "tailLines" => {
            "integer"
        }
        _ => "string",
    };
    let mut out = json!({"name": name, "in": place, "description": about(name),
        "schema": {"type": form, "uniqueItems": true}});
    if place == "path" {
        out["required"] = true.into();
    }
    out
}

fn about(name: &str) -> &'static str {
    match name {
        "allowWatchBookmarks" => {
            "Whether the watch may carry bookmarks, which only tell the current version."
        }
        "container" => "The container; may be left out when the pod has one.",
        "continue" => "The token from the part of the list before.",
        "dryRun" => "All: do everything but store it.",
        "fieldManager" => "Who writes, for the managed fields.",
        "fieldSelector" => "Which objects, by their fields.",
        "fieldValidation" => {
            "What becomes of unknown and duplicate fields: Strict refuses, Warn tells, Ignore drops."
        }
        "follow" => "Whether to stay and send what is still to come.",
        "force" => "Whether to take fields over from other managers; only for apply.",
        "gracePeriodSeconds" => "Seconds that the object gets to end; 0 is at once.",
        "labelSelector" => "Which objects, by their labels.",
        "limit" => "At most this many objects in one answer.",
        "limitBytes" => "At most this many bytes of log.",
        "name" => "The object's name.",
        "namespace" => "The namespace.",
        "orphanDependents" => "Superseded by propagationPolicy.",
        "pretty" => "Ignored: the answer is compact JSON.",
        "previous" => "The log of the run before.",
        "propagationPolicy" => "What becomes of dependents: Orphan, Background or Foreground.",
        "resourceVersion" => "The version to read, or to watch from.",
        "resourceVersionMatch" => "How the version is meant: Exact or NotOlderThan.",
        "sinceSeconds" => "Only lines that are not older than this.",
        "sinceTime" => "Only lines since this time.",
        "tailLines" => "Only this many lines from the end.",
        "timeoutSeconds" => "After how many seconds the watch ends.",
        "timestamps" => "Whether each line begins with its time.",
        "watch" => "Whether to stay and send changes.",
        _ => "",
    }
}
