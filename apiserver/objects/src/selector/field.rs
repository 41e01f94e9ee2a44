//! Field selectors: `spec.nodeName=laptop,status.phase!=Running`, on the fields that Kubernetes makes selectable.

use std::fmt;

use serde_json::Value;

use super::SelectorError;
use crate::{Kind, Object, kind};

/// A selectable field: its label, and where its value stands (the first that is not empty), or what it is if nowhere.
struct Field {
    label: &'static str,
    paths: &'static [&'static str],
    absent: &'static str,
}

const fn field(label: &'static str, paths: &'static [&'static str]) -> Field {
    Field { label, paths, absent: "" }
}

const fn flag(label: &'static str, paths: &'static [&'static str]) -> Field {
    Field { label, paths, absent: "false" }
}

/// Of every kind.
static COMMON: [Field; 2] =
    [field("metadata.name", &["/metadata/name"]), field("metadata.namespace", &["/metadata/namespace"])];

static POD: [Field; 9] = [
    field("spec.nodeName", &["/spec/nodeName"]),
    field("spec.restartPolicy", &["/spec/restartPolicy"]),
    field("spec.schedulerName", &["/spec/schedulerName"]),
    field("spec.serviceAccountName", &["/spec/serviceAccountName"]),
    flag("spec.hostNetwork", &["/spec/hostNetwork"]),
    field("status.phase", &["/status/phase"]),
    field("status.podIP", &["/status/podIP"]),
    field("status.podIPs", &["/status/podIP"]),
    field("status.nominatedNodeName", &["/status/nominatedNodeName"]),
];

/// The core names, then those by which events.k8s.io calls the same fields.
static EVENT: [Field; 19] = [
    field("involvedObject.kind", &["/involvedObject/kind"]),
    field("involvedObject.namespace", &["/involvedObject/namespace"]),
    field("involvedObject.name", &["/involvedObject/name"]),
    field("involvedObject.uid", &["/involvedObject/uid"]),
    field("involvedObject.apiVersion", &["/involvedObject/apiVersion"]),
    field("involvedObject.resourceVersion", &["/involvedObject/resourceVersion"]),
    field("involvedObject.fieldPath", &["/involvedObject/fieldPath"]),
    field("reason", &["/reason"]),
    field("type", &["/type"]),
    field("source", &["/source/component", "/reportingComponent"]),
    field("reportingComponent", &["/reportingComponent", "/source/component"]),
    field("reportingController", &["/reportingComponent", "/source/component"]),
    field("regarding.kind", &["/involvedObject/kind"]),
    field("regarding.namespace", &["/involvedObject/namespace"]),
    field("regarding.name", &["/involvedObject/name"]),
    field("regarding.uid", &["/involvedObject/uid"]),
    field("regarding.apiVersion", &["/involvedObject/apiVersion"]),
    field("regarding.resourceVersion", &["/involvedObject/resourceVersion"]),
    field("regarding.fieldPath", &["/involvedObject/fieldPath"]),
];

static NODE: [Field; 1] = [flag("spec.unschedulable", &["/spec/unschedulable"])];
static NAMESPACE: [Field; 2] = [
    field("status.phase", &["/status/phase"]),
    // The name that Kubernetes gave it first, still served.
    field("name", &["/metadata/name"]),
];
static SECRET: [Field; 1] = [field("type", &["/type"])];
static SERVICE: [Field; 2] =
    [field("spec.clusterIP", &["/spec/clusterIP"]), field("spec.type", &["/spec/type"])];
static REPLICA_SET: [Field; 1] = [Field { absent: "0", ..field("status.replicas", &["/status/replicas"]) }];

fn of(kind: &Kind) -> &'static [Field] {
    let tables: [(&Kind, &'static [Field]); 7] = [
        (&kind::POD, &POD),
        (&kind::EVENT, &EVENT),
        (&kind::NODE, &NODE),
        (&kind::NAMESPACE, &NAMESPACE),
        (&kind::SECRET, &SECRET),
        (&kind::SERVICE, &SERVICE),
        (&kind::REPLICA_SET, &REPLICA_SET),
    ];
    tables.iter().find(|(k, _)| *k == kind).map_or(&[], |(_, fields)| fields)
}

/// The labels by which objects of `kind` can be selected.
pub fn selectable(kind: &Kind) -> impl Iterator<Item = &'static str> {
    COMMON.iter().chain(of(kind)).map(|f| f.label)
}

/// Conditions on fields that all must hold; none means everything.
#[derive(Clone, Default)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

#[derive(Clone)]
struct Term {
    field: &'static Field,
    equal: bool,
    value: String,
}

impl FieldSelector {
    /// Reads `field=value,field==value,field!=value`; `\` protects `,`, `=` and itself in a value.
    pub fn parse(kind: &Kind, text: &str) -> Result<Self, SelectorError> {
        let terms = split_terms(text)
            .into_iter()
            .filter(|term| !term.is_empty())
            .map(|term| parse_term(kind, term))
            .collect::<Result<_, _>>()?;
        Ok(Self { terms })
    }

    /// Whether it selects `object`. Names and namespaces are compared without a parse.
    pub fn matches(&self, object: &Object) -> bool {
        let (common, other): (Vec<&Term>, Vec<&Term>) =
            self.terms.iter().partition(|t| t.field.label.starts_with("metadata."));
        let own = |label: &str| match label {
            "metadata.name" => object.key.name.as_str(),
            _ => object.key.namespace.as_str(),
        };
        if !common.iter().all(|t| (own(t.field.label) == t.value) == t.equal) {
            return false;
        }
        other.is_empty() || {
            let value = object.value();
            other.iter().all(|t| t.holds(&value))
        }
    }

    /// Whether it selects an object in parsed form.
    pub fn matches_value(&self, object: &Value) -> bool {
        self.terms.iter().all(|t| t.holds(object))
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The value that `label` must have, where the selector asks for exactly one: a list can then use an index.
    pub fn required(&self, label: &str) -> Option<&str> {
        self.terms.iter().find(|t| t.equal && t.field.label == label).map(|t| t.value.as_str())
    }
}

impl Term {
    fn holds(&self, object: &Value) -> bool {
        let text = |path: &&str| match object.pointer(path) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Bool(flag)) => flag.to_string(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let found = self.field.paths.iter().map(text).find(|v| !v.is_empty());
        let found = found.as_deref().unwrap_or(self.field.absent);
        (found == self.value) == self.equal
    }
}

/// Splits at commas that no backslash protects.
fn split_terms(text: &str) -> Vec<&str> {
    let (mut terms, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn parse_term(kind: &Kind, term: &str) -> Result<Term, SelectorError> {
    let sign = ["!=", "==", "="].into_iter().filter_map(|s| Some((term.find(s)?, s)));
    let Some((at, sign)) = sign.min_by_key(|(at, sign)| (*at, 2 - sign.len())) else {
        return Err(SelectorError(format!("invalid selector: {term:?}; write field=value or field!=value")));
    };
    let label = term[..at].trim();
    let field = COMMON.iter().chain(of(kind)).find(|f| f.label == label).ok_or_else(|| {
        let known: Vec<&str> = selectable(kind).collect();
        let known = known.join(", ");
        SelectorError(format!(
            "field label not supported: {label}; {} can be selected by {known}",
            kind.plural
        ))
    })?;
    Ok(Term { field, equal: sign != "!=", value: unescape(&term[at + sign.len()..])? })
}

fn unescape(text: &str) -> Result<String, SelectorError> {
    let mut value = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(next @ ('\\' | ',' | '=')) => value.push(next),
                _ => {
                    let problem =
                        format!("invalid escape sequence in {text:?}: only \\\\, \\, and \\= are known");
                    return Err(SelectorError(problem));
                }
            },
            '=' => {
                return Err(SelectorError(format!("unescaped '=' in the value {text:?}; write \\=")));
            }
            other => value.push(other),
        }
    }
    Ok(value)
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, term) in self.terms.iter().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            let sign = if term.equal { "=" } else { "!=" };
            let value = term.value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            write!(f, "{comma}{}{sign}{value}", term.field.label)?;
        }
        Ok(())
    }
}

impl fmt::Debug for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FieldSelector({self})")
    }
}
