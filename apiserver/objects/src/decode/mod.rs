//! From bytes to a value that the schema table allows: duplicate and unknown fields, JSON types, pruning.
//!
//! Owns: what is wrong with a body before any rule of its kind is asked. Must not know: defaults, validation, HTTP.

mod json;

use serde_json::Value;

use crate::{Cause, FieldError, Kind};

/// What becomes of unknown and duplicate fields: the request parameter `fieldValidation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValidation {
    /// They are errors.
    Strict,
    /// They are dropped, with a warning each.
    Warn,
    /// They are dropped.
    Ignore,
}

/// A body that may go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The object without unknown fields and without nulls.
    pub value: Value,
    /// Sentences for `Warning:` headers, each like `unknown field "spec.foo"`.
    pub warnings: Vec<String>,
}

/// A body that may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It is not JSON; the text says where.
    Syntax(String),
    /// Fields are unknown, there twice, or of the wrong JSON type. `Display` gives Kubernetes' words.
    Fields(Vec<FieldError>),
}

/// `strict decoding error: unknown field "spec.foo", duplicate field "spec.bar"`, or the type faults, or the syntax.
impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fields = match self {
            Self::Syntax(text) => return f.write_str(text),
            Self::Fields(fields) => fields,
        };
        let strict = fields.iter().all(|e| e.cause != Cause::TypeInvalid);
        let texts: Vec<String> =
            fields.iter().map(|e| if strict { e.detail.clone() } else { format!("{}: {}", e.field, e.detail) }).collect();
        write!(f, "{}{}", if strict { "strict decoding error: " } else { "" }, texts.join(", "))
    }
}

impl std::error::Error for Failure {}

/// Decodes a JSON body for `kind`.
pub fn from_json(kind: &'static Kind, bytes: &[u8], v: FieldValidation) -> Result<Decoded, Failure> {
    let (value, _duplicates) = json::parse(bytes).map_err(|e| Failure::Syntax(e.to_string()))?;
    check(kind, value, v)
}

/// The same for a value that is there already: after a patch, or read from YAML.
pub fn check(_kind: &'static Kind, value: Value, _v: FieldValidation) -> Result<Decoded, Failure> {
    Ok(Decoded { value, warnings: Vec::new() })
}
