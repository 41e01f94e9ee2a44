//! Which objects of a collection a request is about: namespace, name, labels, fields.

use orlop_objects::{
    Object,
    selector::{FieldSelector, LabelSelector, SelectorError},
};

use crate::{failure::Failure, path::Target, query::Query};

/// A filter for one request.
#[derive(Default)]
pub(crate) struct Filter {
    pub(crate) namespace: Option<String>,
    name: Option<String>,
    labels: Option<LabelSelector>,
    fields: Option<FieldSelector>,
}

impl Filter {
    /// Reads it from path and query.
    pub(crate) fn new(target: &Target<'_>, query: &Query<'_>) -> Result<Self, Failure> {
        let refuse = |error: SelectorError| Failure::bad_request(error.to_string());
        let labels = query.get("labelSelector").map(LabelSelector::parse).transpose().map_err(refuse)?;
        let fields = query.get("fieldSelector").map(|text| FieldSelector::parse(target.kind, text));
        let fields = fields.transpose().map_err(refuse)?;
        Ok(Self {
            namespace: target.namespace.as_deref().map(str::to_owned),
            name: target.name.as_deref().map(str::to_owned),
            labels: labels.filter(|labels| !labels.is_empty()),
            fields: fields.filter(|fields| !fields.is_empty()),
        })
    }

    /// Whether an object is meant. The cheap questions come first.
    pub(crate) fn matches(&self, object: &Object) -> bool {
        self.namespace.as_ref().is_none_or(|ns| *ns == object.key.namespace)
            && self.name.as_ref().is_none_or(|name| *name == object.key.name)
            && self.labels.as_ref().is_none_or(|labels| labels.matches(&object.meta.labels))
            && self.fields.as_ref().is_none_or(|fields| fields.matches(object))
    }

    /// Whether it leaves out objects of its namespace.
    pub(crate) fn is_selective(&self) -> bool {
        self.name.is_some() || self.labels.is_some() || self.fields.is_some()
    }

    /// The one name that it can match, where there is only one.
    pub(crate) fn only_name(&self) -> Option<&str> {
        self.name.as_deref().or_else(|| self.fields.as_ref()?.required("metadata.name"))
    }
}
