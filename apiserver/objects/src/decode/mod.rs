//! From bytes to a value that the schema table allows: duplicate and unknown fields, JSON types, pruning.
//!
//! Owns: what is wrong with a body before any rule of its kind is asked. Must not know: defaults, validation, HTTP.

mod fields;
#[cfg(test)]
pub(crate) mod grow;
mod hint;
mod json;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::{
    Cause, FieldError, Kind,
    schema::table::{self, Type},
};

/// As many faults of one body are told; who has more has another problem.
pub(crate) const MOST: usize = 100;
/// As many objects of the table's types may one body hold. Each is given defaults and validated, which takes a thousand
/// times the three bytes that `{},` is: a body as long as may be would take gigabytes. What people write holds hundreds.
pub const MOST_OBJECTS: usize = 20_000;
/// As many objects of JSON may one body hold: maps, and what is in values that no type describes, are none of the table's.
const MOST_IN_JSON: usize = 4 * MOST_OBJECTS;
/// As deep may lists and objects stand in each other. Readers of JSON give up at 128, and an object is read within lists,
/// events and tables.
pub const MOST_DEPTH: usize = 100;

/// What becomes of unknown and duplicate fields: the request parameter `fieldValidation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValidation {
    /// They are errors, but for those of protobuf.
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
    /// Sentences for `Warning:` headers, each like `unknown field "spec.foo"`, with a hint where the name is near another.
    pub warnings: Vec<String>,
}

/// A body that may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It is not JSON; the text says where.
    Syntax(String),
    /// Fields are unknown, there twice, or of the wrong JSON type. `Display` gives Kubernetes' words.
    Fields(Vec<FieldError>),
    /// It holds more than so many objects.
    TooMany(usize),
}

/// `strict decoding error: unknown field "spec.foo", duplicate field "spec.bar"`, or the type faults, or the syntax.
impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fields = match self {
            Self::Syntax(text) => return f.write_str(text),
            Self::TooMany(most) => {
                return write!(f, "it holds more than {most} objects of JSON; make several of it");
            }
            Self::Fields(fields) => fields,
        };
        let strict = fields.iter().all(|e| e.cause != Cause::TypeInvalid);
        let texts: Vec<String> = fields
            .iter()
            .map(|e| if strict { e.detail.clone() } else { format!("{}: {}", e.field, e.detail) })
            .collect();
        write!(f, "{}{}", if strict { "strict decoding error: " } else { "" }, texts.join(", "))
    }
}

impl std::error::Error for Failure {}

/// Reads JSON of no type: a patch, what is embedded. It holds no more objects than one of a kind may, so that neither
/// reading it nor what is done with it takes more than that would.
pub fn value(bytes: &[u8]) -> Result<Value, Failure> {
    json::parse(bytes, MOST_OBJECTS).map(|(value, _)| value)
}

/// How many values there are in this one; none when lists and objects stand in each other deeper than `deepest`.
pub fn size(value: &Value, deepest: usize) -> Option<usize> {
    let add = |sum: usize, value: &Value| Some(sum + size(value, deepest.checked_sub(1)?)?);
    match value {
        Value::Array(_) | Value::Object(_) if deepest == 0 => None,
        Value::Array(items) => items.iter().try_fold(1, add),
        Value::Object(fields) => fields.values().try_fold(1, add),
        _ => Some(1),
    }
}

/// Decodes a JSON body for `kind`.
pub fn from_json(kind: &'static Kind, bytes: &[u8], v: FieldValidation) -> Result<Decoded, Failure> {
    let (value, duplicates) = json::parse(bytes, MOST_IN_JSON)?;
    judge(table::root(kind), value, twice(duplicates), v)
}

/// The same for a value that is there already: after a patch, or read from YAML.
pub fn check(kind: &'static Kind, value: Value, v: FieldValidation) -> Result<Decoded, Failure> {
    judge(table::root(kind), value, Vec::new(), v)
}

/// The same for a value of which the reader has left out what is unknown: of protobuf, where `unknown` is. Kubernetes never
/// refuses such a field, strict or not, since it does not see it: a client of a newer release would not work otherwise. Who
/// wants to know hears that it was dropped.
pub fn check_rest(
    kind: &'static Kind,
    value: Value,
    unknown: Vec<String>,
    v: FieldValidation,
) -> Result<Decoded, Failure> {
    let decoded = judge(table::root(kind), value, Vec::new(), v)?;
    let dropped = unknown.into_iter().map(|place| note(place, Cause::NotSupported, "unknown", None).detail);
    let dropped = dropped.filter(|_| v != FieldValidation::Ignore);
    let warnings = decoded.warnings.into_iter().chain(dropped).take(MOST).collect();
    Ok(Decoded { warnings, ..decoded })
}

/// The same for a body that is no kind's object, by the short name of its type: `meta.v1.DeleteOptions`, `core.v1.Binding`,
/// `events.v1.Event`.
///
/// # Panics
/// When the table has no such type.
pub fn from_json_as(type_name: &str, bytes: &[u8], v: FieldValidation) -> Result<Decoded, Failure> {
    let root = table::short(type_name).expect("the caller names a type of the table");
    let (value, duplicates) = json::parse(bytes, MOST_OBJECTS)?;
    judge(root, value, twice(duplicates), v)
}

fn twice(duplicates: Vec<String>) -> Vec<FieldError> {
    duplicates.into_iter().map(|path| note(path, Cause::Duplicate, "duplicate", None)).collect()
}

fn judge(
    root: &Type,
    mut value: Value,
    noted: Vec<FieldError>,
    v: FieldValidation,
) -> Result<Decoded, Failure> {
    let mut found = fields::Findings::default();
    found.object(root, &mut value, "");
    if size(&value, MOST_DEPTH).is_none() {
        let detail = format!("its lists and objects stand in each other more than {MOST_DEPTH} deep");
        found.faults.push(FieldError::new("", Cause::TypeInvalid, detail));
    }
    if !found.faults.is_empty() {
        found.faults.truncate(MOST);
        return Err(Failure::Fields(found.faults));
    }
    let unknown =
        found.unknown.into_iter().map(|(path, meant)| note(path, Cause::NotSupported, "unknown", meant));
    let notes: Vec<FieldError> = unknown.chain(noted).take(MOST).collect();
    match v {
        FieldValidation::Strict if !notes.is_empty() => Err(Failure::Fields(notes)),
        FieldValidation::Warn => {
            Ok(Decoded { value, warnings: notes.into_iter().map(|n| n.detail).collect() })
        }
        FieldValidation::Strict | FieldValidation::Ignore => Ok(Decoded { value, warnings: Vec::new() }),
    }
}

/// Kubernetes' words come first and whole, since tools look for them.
fn note(path: String, cause: Cause, word: &str, meant: Option<&str>) -> FieldError {
    let hint = meant.map(|name| format!(" (did you mean \"{name}\"?)")).unwrap_or_default();
    let detail = format!("{word} field \"{path}\"{hint}");
    FieldError::new(path, cause, detail)
}
