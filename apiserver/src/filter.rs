//! Which objects of a collection a request is about: namespace, name, labels, fields.

use orlop_objects::Object;

use crate::{failure::Failure, path::Target, query::Query};

/// A filter for one request.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    pub(crate) namespace: Option<String>,
    name: Option<String>,
}

impl Filter {
    /// Reads it from path and query.
    pub(crate) fn new(target: &Target<'_>, query: &Query<'_>) -> Result<Self, Failure> {
        let _ = query;
        Ok(Self {
            namespace: target.namespace.as_deref().map(str::to_owned),
            name: target.name.as_deref().map(str::to_owned),
        })
    }

    /// Whether an object is meant.
    pub(crate) fn matches(&self, object: &Object) -> bool {
        self.namespace.as_ref().is_none_or(|ns| *ns == object.key.namespace)
            && self.name.as_ref().is_none_or(|name| *name == object.key.name)
    }

    /// Whether it leaves out objects of its namespace.
    pub(crate) fn is_selective(&self) -> bool {
        self.name.is_some()
    }
}
