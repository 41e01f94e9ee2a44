//! Kinds, keys and objects, and every rule about them that needs neither disk, clock nor network.
//!
//! Owns: which kinds are served ([`kind`]), what an object is ([`object`]), the schema table ([`schema`]) and what
//! follows from it (strict decoding, protobuf, defaults, merge patches), quantities, selectors, names, validation, and the
//! phases that are computed rather than stored.
//!
//! Must not know: I/O, tokio, clocks, HTTP status codes.

pub mod canonical;
pub mod cidr;
pub mod decode;
pub mod error;
pub mod exports;
pub mod gist;
pub mod index;
pub mod join;
pub mod keeper;
pub mod key;
pub mod kind;
pub mod loop_file;
pub mod meta;
pub mod names;
pub mod nfs;
pub mod object;
pub mod out_of_service;
pub mod patch;
pub mod phase;
pub mod protobuf;
pub mod quantity;
pub mod quote;
pub mod schema;
pub mod selector;
pub mod time;
pub mod validate;

pub use error::{Cause, FieldError};
pub use gist::gist;
pub use key::Key;
pub use kind::{Kind, Typed};
pub use meta::Meta;
pub use object::{DecodeError, Object, Revision};
pub use quantity::Quantity;
