//! Selectors: sets of objects by label (`app in (a,b),!old`), by field (`spec.nodeName=laptop`), and sets of nodes.

mod field;
mod label;
mod node;
mod parse;

#[cfg(test)]
mod tests;

pub use field::{FieldSelector, selectable};
pub use label::{LabelSelector, Operator, Requirement};
pub use node::{check_node_requirement, matches_node_selector};

/// Why a text is no selector, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub(crate) String);
