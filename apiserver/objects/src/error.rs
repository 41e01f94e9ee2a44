//! What is wrong with one field, in the terms of Kubernetes' `Status.details.causes`.

use std::fmt;

/// Why a field is refused. The names on the wire are those of `metav1.CauseType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Path from the object's root, as in `spec.resources.requests[storage]`.
    pub field: String,
    /// The kind of fault.
    pub cause: Cause,
    /// The value found, as JSON text; empty where it does not help.
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
        Self { value: value.to_string(), ..Self::new(field, Cause::Invalid, detail) }
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
