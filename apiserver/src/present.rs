//! Objects in the form that a client asked for: as they are stored, as table rows, or their metadata alone.
//!
//! In the common form nothing is parsed: stored bytes go out with their version spliced in.

use http::{HeaderMap, Response, StatusCode, header};
use jiff::Timestamp;
use orlop_objects::{Kind, Object};
use serde_json::{Map, Value, json};

use crate::{
    accept::{self, Form},
    events,
    failure::Failure,
    path::Target,
    query::Query,
    reply::{self, Body},
    table::{self, Include},
};

/// How one request's objects go out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Presenter {
    stored: &'static Kind,
    shown: &'static Kind,
    form: Form,
    include: Include,
}

impl Presenter {
    /// Reads it from the request.
    pub(crate) fn new(target: &Target<'_>, query: &Query<'_>, headers: &HeaderMap) -> Result<Self, Failure> {
        let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
        let form = accept::form(accept)?;
        Ok(Self { stored: target.kind, shown: target.shown, form, include: Include::parse(query)? })
    }

    /// The content type of what goes out.
    pub(crate) fn content_type(&self) -> &'static str {
        reply::JSON
    }

    /// One object as a response.
    pub(crate) fn respond(&self, code: StatusCode, object: &Object) -> Response<Body> {
        let mut out = Vec::with_capacity(object.bytes.len() + 64);
        self.write(&mut out, object, true);
        reply::typed(code, self.content_type(), reply::full(out))
    }

    /// Appends one object as a whole document; `columns` says whether a table tells its columns.
    pub(crate) fn write(&self, out: &mut Vec<u8>, object: &Object, columns: bool) {
        let Form::Table(_) = self.form else {
            return self.write_item(out, object);
        };
        let metadata = json!({"resourceVersion": object.revision.to_string()});
        self.write_table_head(out, &metadata, columns);
        self.write_item(out, object);
        out.extend_from_slice(b"]}");
    }

    /// Appends the beginning of a list; items follow, separated by commas, and `]}` ends it.
    pub(crate) fn write_head(&self, out: &mut Vec<u8>, metadata: Map<String, Value>) {
        let metadata = Value::Object(metadata);
        let (kind, version) = match self.form {
            Form::Table(_) => return self.write_table_head(out, &metadata, true),
            Form::Json => (format!("{}List", self.shown.kind), self.shown.api_version()),
            Form::Partial(version) => {
                ("PartialObjectMetadataList".to_owned(), format!("meta.k8s.io/{version}"))
            }
        };
        let head = format!(r#"{{"kind":"{kind}","apiVersion":"{version}","metadata":{metadata},"items":["#);
        out.extend_from_slice(head.as_bytes());
    }

    fn write_table_head(&self, out: &mut Vec<u8>, metadata: &Value, columns: bool) {
        let Form::Table(version) = self.form else { return };
        let definitions = if columns { table::definitions(self.stored) } else { Value::Array(Vec::new()) };
        let head = format!(
            r#"{{"kind":"Table","apiVersion":"meta.k8s.io/{version}","metadata":{metadata},"columnDefinitions":{definitions},"rows":["#
        );
        out.extend_from_slice(head.as_bytes());
    }

    /// Appends one item of a list.
    pub(crate) fn write_item(&self, out: &mut Vec<u8>, object: &Object) {
        match self.form {
            // What a dry run would have made has no version.
            Form::Json if self.shown == self.stored && object.revision == 0 => {
                out.extend_from_slice(&object.bytes);
            }
            Form::Json if self.shown == self.stored => object.write_versioned(out),
            Form::Json => write_value(out, &self.value(object)),
            Form::Partial(version) => write_value(out, &table::partial(object.versioned(), version)),
            Form::Table(version) => {
                let how = (version, self.include, Timestamp::now());
                table::write_row(out, object, self.value(object), how);
            }
        }
    }

    /// The object as this client sees it.
    pub(crate) fn value(&self, object: &Object) -> Value {
        let value = if object.revision == 0 { object.value() } else { object.versioned() };
        if self.shown == self.stored { value } else { events::to_shown(value) }
    }

    /// Appends a `BOOKMARK` event's object: an empty one with a version.
    pub(crate) fn write_bookmark(&self, out: &mut Vec<u8>, revision: u64) {
        let metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        let bookmark = match self.form {
            Form::Json => {
                json!({"kind": self.shown.kind, "apiVersion": self.shown.api_version(), "metadata": metadata})
            }
            Form::Partial(version) => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"),
                    "metadata": metadata})
            }
            Form::Table(version) => {
                json!({"kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata,
                    "columnDefinitions": [], "rows": []})
            }
        };
        write_value(out, &bookmark);
    }
}

fn write_value(out: &mut Vec<u8>, value: &Value) {
    // Writing a Value to memory cannot fail.
    let _ = serde_json::to_writer(out, value);
}
