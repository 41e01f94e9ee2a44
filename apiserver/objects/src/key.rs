//! The address of one object: kind, namespace, name.

use std::fmt;

use crate::Kind;

/// Where an object lives. Ordered by kind, then namespace, then name, as lists are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The kind.
    pub kind: &'static Kind,
    /// The namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Key {
    /// The key of a namespaced object; for a cluster-scoped kind the namespace must be empty.
    pub fn new(kind: &'static Kind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }

    /// The key of a cluster-scoped object.
    pub fn cluster(kind: &'static Kind, name: impl Into<String>) -> Self {
        Self::new(kind, "", name)
    }
}

/// `persistentvolumeclaims default/data`: what messages and logs say.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.plural)?;
        f.write_str(" ")?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}
