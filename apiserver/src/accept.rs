//! Which form of output a client wants, out of its `Accept` header.
//!
//! The first alternative in the client's order that is served wins; `q` values are not weighed, since no Kubernetes
//! client sends them.

use crate::failure::Failure;

/// How objects are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The objects themselves.
    Json,
    /// A `Table` of `meta.k8s.io` in this version.
    Table(&'static str),
    /// `PartialObjectMetadata` of `meta.k8s.io` in this version.
    Partial(&'static str),
}

/// One alternative of an `Accept` header.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Range<'a> {
    pub(crate) media: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let parameters = parts.filter_map(|p| p.split_once('=')).map(|(k, v)| (k.trim(), v.trim())).collect();
        Self { media, parameters }
    }

    /// A parameter's value, or nothing.
    pub(crate) fn get(&self, name: &str) -> &'a str {
        self.parameters.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| value)
    }

    /// Whether JSON satisfies it.
    pub(crate) fn takes_json(&self) -> bool {
        matches!(self.media, "application/json" | "application/*" | "*/*")
    }
}

/// The alternatives in the client's order; none given means anything.
pub(crate) fn ranges(header: Option<&str>) -> Vec<Range<'_>> {
    let ranges: Vec<_> =
        header.unwrap_or_default().split(',').filter(|r| !r.trim().is_empty()).map(Range::parse).collect();
    if ranges.is_empty() { vec![Range::parse("*/*")] } else { ranges }
}

/// Chooses the form for objects and lists.
pub(crate) fn form(header: Option<&str>) -> Result<Form, Failure> {
    ranges(header).iter().find_map(one).ok_or_else(|| {
        Failure::not_acceptable("only the following media types are accepted: application/json")
    })
}

fn one(range: &Range<'_>) -> Option<Form> {
    if !range.takes_json() {
        return None;
    }
    let version = match range.get("v") {
        "v1" => "v1",
        "v1beta1" => "v1beta1",
        _ => "",
    };
    let meta = range.get("g") == "meta.k8s.io" && !version.is_empty();
    match range.get("as") {
        "" => Some(Form::Json),
        "Table" if meta => Some(Form::Table(version)),
        "PartialObjectMetadata" | "PartialObjectMetadataList" if meta => Some(Form::Partial(version)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_that_is_served_wins() {
        let rows = [
            (None, Some(Form::Json)),
            (Some("application/json, */*"), Some(Form::Json)),
            (Some("*/*"), Some(Form::Json)),
            (Some("application/vnd.kubernetes.protobuf,application/json"), Some(Form::Json)),
            (
                Some(
                    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
                ),
                Some(Form::Table("v1")),
            ),
            (Some("application/json;as=Table;v=v1beta1;g=meta.k8s.io"), Some(Form::Table("v1beta1"))),
            (Some("application/json;as=Table;v=v9;g=meta.k8s.io, application/json"), Some(Form::Json)),
            (
                Some("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"),
                Some(Form::Partial("v1")),
            ),
            (Some("application/vnd.kubernetes.protobuf"), None),
            (Some("text/html"), None),
        ];
        for (header, expected) in rows {
            assert_eq!(form(header).ok(), expected, "{header:?}");
        }
    }
}
