//! Request bodies in protobuf: from bytes to the value that JSON would have been, by the tags of the schema table.
//!
//! Owns: the envelope ([`Envelope`]), the wire format, what each form of the table looks like in it. Must not know: which
//! kinds are served where, unknown fields' fate, HTTP.
//!
//! Kubernetes' own types write every field that is not a pointer, also when it holds nothing. What JSON leaves out then is
//! left out here, or defaults and validation would see a value where nobody gave one:
//!
//! | on the wire                          | pointer or required | any other field |
//! |--------------------------------------|---------------------|-----------------|
//! | `""`, `0`, `false`, the int-or-string 0 | itself           | nothing         |
//! | a time of 0 s and 0 ns               | nothing             | nothing         |
//! | an embedded object without JSON      | nothing             | nothing         |
//! | an empty message                     | `{}`                | `{}`            |
//! | an empty text or message in a list or map | itself         | itself          |
//! | a tag that the table lacks           | noted where it says anything, else nothing | the same |
//!
//! `{}` is what JSON of the same types shows too (`"resources": {}`, `"status": {}`).

#[cfg(test)]
mod encode;
mod envelope;
mod index;
mod leaf;
mod message;
#[cfg(test)]
mod tests;
mod wire;

use serde_json::Value;

use crate::schema::table::Type;

pub use envelope::Envelope;

/// What a message says.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The object, without `apiVersion` and `kind`: the envelope has those.
    pub value: Value,
    /// Where a tag is that the table lacks: `spec.template.spec: field 47 of PodSpec`.
    pub unknown: Vec<String>,
}

/// Bytes that are no message of the type that they are said to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at byte {at} of the body: {fault}")]
pub struct Error {
    /// The type of the message, `PodSpec`.
    pub message: &'static str,
    /// Where in the body.
    pub at: usize,
    /// What is wrong there.
    pub fault: String,
}

/// Reads the message in an envelope as one of type `root`.
pub fn read(root: &'static Type, envelope: &Envelope<'_>) -> Result<Message, Error> {
    message::read(root, envelope.message)
}
