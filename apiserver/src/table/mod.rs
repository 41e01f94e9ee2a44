//! `Table` documents of `meta.k8s.io`: what kubectl prints.
//!
//! Owns: the document's form. The columns of each kind are in [`columns`].

pub(crate) mod columns;

use jiff::Timestamp;
use orlop_objects::{Kind, Object};
use serde_json::{Value, json};

use crate::{failure::Failure, query::Query};

/// A column's definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// The title; kubectl prints it in capitals.
    pub(crate) name: &'static str,
    /// `string`, `integer`, `boolean`, `date`.
    pub(crate) r#type: &'static str,
    /// `name` for the name, else empty.
    pub(crate) format: &'static str,
    /// One line of help.
    pub(crate) description: &'static str,
    /// 0 is always printed, 1 with `-o wide` only.
    pub(crate) priority: u8,
}

/// How much of each row's object goes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Include {
    None,
    Metadata,
    Object,
}

impl Include {
    /// Reads `?includeObject=`.
    pub(crate) fn parse(query: &Query<'_>) -> Result<Self, Failure> {
        match query.get("includeObject") {
            None | Some("Metadata") => Ok(Self::Metadata),
            Some("None") => Ok(Self::None),
            Some("Object") => Ok(Self::Object),
            Some(other) => Err(Failure::bad_request(format!(
                "query parameter includeObject: \"{other}\" is none of None, Metadata, Object"
            ))),
        }
    }
}

/// The column definitions of a kind, as a document has them.
pub(crate) fn definitions(kind: &'static Kind) -> Value {
    let definition = |c: &Column| {
        json!({"name": c.name, "type": c.r#type, "format": c.format, "description": c.description,
            "priority": c.priority})
    };
    columns::columns(kind).iter().map(definition).collect()
}

/// Appends one row. `value` is the object as the client sees it, with its version.
pub(crate) fn write_row(
    out: &mut Vec<u8>,
    object: &Object,
    value: Value,
    (version, include, now): (&str, Include, Timestamp),
) {
    let kind = object.key.kind;
    let mut row = json!({"cells": columns::row(kind, &value, now)});
    let conditions = columns::conditions(kind, &value);
    if !conditions.is_empty() {
        row["conditions"] = conditions.into();
    }
    row["object"] = match include {
        Include::None => Value::Null,
        Include::Metadata => partial(value, version),
        Include::Object => value,
    };
    // Writing a Value to memory cannot fail.
    let _ = serde_json::to_writer(out, &row);
}

/// The object's metadata alone, as `PartialObjectMetadata`.
pub(crate) fn partial(mut value: Value, version: &str) -> Value {
    let metadata = value["metadata"].take();
    json!({"kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata})
}
