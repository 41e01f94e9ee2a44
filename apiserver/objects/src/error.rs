//! What is wrong with one field, in the terms of Kubernetes' `Status.details.causes`.

use std::fmt;

use crate::{decode::MOST, quote};

/// Why a field is refused. The names on the wire are those of `metav1.CauseType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A value must be there and is not.
    Required,
    /// The value has the wrong form.
    Invalid,
    /// The value is none of those allowed.
    NotSupported,
    /// The value may not be set, or not changed, here.
    Forbidden,
    /// The value is there twice.
    Duplicate,
    /// The value is longer than allowed.
    TooLong,
    /// The value has the wrong JSON type.
    TypeInvalid,
    /// The object that the value names does not exist.
    NotFound,
}

impl Cause {
    /// The word in `causes[].reason`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid | Self::TooLong => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::Duplicate => "FieldValueDuplicate",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::NotFound => "FieldValueNotFound",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::Duplicate => "Duplicate value",
            Self::TooLong => "Too long",
            Self::NotFound => "Not found",
        }
    }
}

/// One refused field: where, why, and the way out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldError {
    /// Path from the object's root, as in `spec.resources.requests[storage]`.
    pub field: String,
    /// The kind of fault.
    pub cause: Cause,
    /// The value found, as JSON text, cut where it is long; empty where it does not help.
    pub value: String,
    /// What is wrong and what to write instead.
    pub detail: String,
}

impl FieldError {
    /// A refused field without its value.
    pub fn new(field: impl Into<String>, cause: Cause, detail: impl Into<String>) -> Self {
        Self { field: field.into(), cause, value: String::new(), detail: detail.into() }
    }

    /// An invalid value, quoted as JSON.
    pub fn invalid(field: impl Into<String>, value: &serde_json::Value, detail: impl Into<String>) -> Self {
        Self { value: quote::field(value), ..Self::new(field, Cause::Invalid, detail) }
    }

    /// The message without the field: `Invalid value: "x": must be …`.
    pub fn message(&self) -> String {
        let mut text = self.cause.words().to_owned();
        for part in [&self.value, &self.detail] {
            if !part.is_empty() {
                text.push_str(": ");
                text.push_str(part);
            }
        }
        text
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message())
    }
}

impl std::error::Error for FieldError {}

/// What is wrong with one object: as many faults as are told. A body of three megabytes can be wrong a million times; what
/// comes behind the last that is told is not kept, nor looked for where that takes time.
#[derive(Debug, Default)]
pub(crate) struct Errors(Vec<FieldError>);

impl Errors {
    /// Whether there are as many as are told.
    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= MOST
    }

    /// Takes one in.
    pub(crate) fn push(&mut self, error: FieldError) {
        if !self.is_full() {
            self.0.push(error);
        }
    }
}

impl Extend<FieldError> for Errors {
    /// Takes no more out of `errors` than it keeps.
    fn extend<I: IntoIterator<Item = FieldError>>(&mut self, errors: I) {
        self.0.extend(errors.into_iter().take(MOST.saturating_sub(self.0.len())));
    }
}

impl From<Errors> for Vec<FieldError> {
    fn from(errors: Errors) -> Self {
        errors.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_faults_are_made_than_are_told() {
        let (mut errors, mut made) = (Errors::default(), 0);
        errors.extend((0..1000).map(|n| {
            made += 1;
            FieldError::new(format!("f{n}"), Cause::Required, "")
        }));
        errors.push(FieldError::new("more", Cause::Required, ""));
        errors.extend([FieldError::new("still more", Cause::Required, "")]);
        let errors = Vec::from(errors);
        assert_eq!((made, errors.len(), errors[99].field.as_str()), (MOST, MOST, "f99"));
    }
}
