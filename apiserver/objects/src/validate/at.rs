//! A value with its place: what every rule walks on.

use serde_json::Value;

pub(super) use crate::error::Errors;
use crate::{Cause, FieldError, names::Problem, quote};

/// A value of an object, and the path to it as people read it (`spec.containers[0].name`).
#[derive(Clone, Debug)]
pub(super) struct At<'v> {
    pub(super) path: String,
    pub(super) value: &'v Value,
}

impl<'v> At<'v> {
    /// The whole object.
    pub(super) fn root(value: &'v Value) -> Self {
        Self { path: String::new(), value }
    }

    /// The field `name`; Null where it is absent.
    pub(super) fn get(&self, name: &str) -> Self {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Self { path, value: &self.value[name] }
    }

    /// The field below, step by step.
    pub(super) fn at(&self, names: &[&str]) -> Self {
        names.iter().fold(self.clone(), |at, name| at.get(name))
    }

    /// The entry `key` of a map, written as Kubernetes does: `requests[storage]`.
    pub(super) fn key(&self, key: &str) -> Self {
        Self { path: format!("{}[{key}]", self.path), value: &self.value[key] }
    }

    /// The items of a list; none where it is none.
    pub(super) fn items(&self) -> impl Iterator<Item = Self> + use<'v> {
        let path = self.path.clone();
        let items = self.value.as_array().map_or(&[][..], Vec::as_slice);
        items.iter().enumerate().map(move |(n, value)| Self { path: format!("{path}[{n}]"), value })
    }

    /// The entries of a map; none where it is none.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'v str, Self)> + use<'v> {
        let path = self.path.clone();
        let entries = self.value.as_object().into_iter().flatten();
        entries.map(move |(key, value)| (key.as_str(), Self { path: format!("{path}[{key}]"), value }))
    }

    /// The text; empty where it is none.
    pub(super) fn text(&self) -> &'v str {
        self.value.as_str().unwrap_or_default()
    }

    /// The number, where it is one.
    pub(super) fn number(&self) -> Option<i64> {
        self.value.as_i64()
    }

    /// Whether it is `true`.
    pub(super) fn is_true(&self) -> bool {
        *self.value == Value::Bool(true)
    }

    /// Whether there is nothing: absent, or an empty text, list or map.
    pub(super) fn is_empty(&self) -> bool {
        match self.value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            Value::Bool(_) | Value::Number(_) => false,
        }
    }

    /// A fault here, without the value.
    pub(super) fn fault(&self, cause: Cause, detail: impl Into<String>) -> FieldError {
        FieldError::new(&self.path, cause, detail)
    }

    /// An invalid value.
    pub(super) fn invalid(&self, detail: impl Into<String>) -> FieldError {
        self.quoted(Cause::Invalid, detail)
    }

    /// A fault that shows the value.
    pub(super) fn quoted(&self, cause: Cause, detail: impl Into<String>) -> FieldError {
        FieldError { value: quote::field(self.value), ..self.fault(cause, detail) }
    }

    /// Must be there.
    pub(super) fn require(&self, errors: &mut Errors) -> bool {
        self.require_with("", errors)
    }

    /// Must be there, and why.
    pub(super) fn require_with(&self, detail: &str, errors: &mut Errors) -> bool {
        if self.is_empty() {
            errors.push(self.fault(Cause::Required, detail));
        }
        !self.is_empty()
    }

    /// Where there is a text, it must pass `rule`.
    pub(super) fn check(&self, rule: fn(&str) -> Problem, errors: &mut Errors) {
        if !self.is_empty() && !errors.is_full() {
            errors.extend(rule(self.text()).map(|problem| self.invalid(problem)));
        }
    }

    /// Where there is a number, it must lie between the two.
    pub(super) fn range(&self, least: i64, most: i64, errors: &mut Errors) {
        if self.number().is_some_and(|n| n < least || n > most) {
            errors.push(self.invalid(format!("must be between {least} and {most}, inclusive")));
        }
    }

    /// Where there is a number, it must not be negative.
    pub(super) fn not_negative(&self, errors: &mut Errors) {
        if self.number().is_some_and(|n| n < 0) {
            errors.push(self.invalid("must be greater than or equal to 0"));
        }
    }

    /// Must be one of these where it is there.
    pub(super) fn one_of(&self, allowed: &[&str], errors: &mut Errors) {
        if !self.is_empty() && !allowed.contains(&self.text()) {
            errors.push(self.quoted(Cause::NotSupported, supported(allowed.iter().copied())));
        }
    }
}

/// `supported values: "a", "b"`.
pub(super) fn supported<'a>(allowed: impl Iterator<Item = &'a str>) -> String {
    let mut allowed: Vec<String> = allowed.map(|v| format!("{v:?}")).collect();
    allowed.sort();
    format!("supported values: {}", allowed.join(", "))
}
