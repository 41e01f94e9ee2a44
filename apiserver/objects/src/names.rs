//! The forms of names: objects, labels, annotations, finalizers.
//!
//! Every check answers `None` for a good name, else what is wrong in the words of Kubernetes, which tools match on.
//! Sources: RFC 1035 and RFC 1123 for the DNS forms; `k8s.io/apimachinery/pkg/util/validation` for the rest.

use serde_json::Value;

use crate::{Cause, FieldError, Kind, error::Errors, kind, quote};

/// Longest part of a DNS name.
const LABEL_LENGTH: usize = 63;
/// Longest DNS name.
const SUBDOMAIN_LENGTH: usize = 253;
/// All annotations of an object together, keys and values.
const ANNOTATIONS_SIZE: usize = 256 * 1024;

/// What is wrong with a name; `None`: nothing.
pub type Problem = Option<String>;

fn example(what: &str, examples: &[&str], regex: &str) -> String {
    let examples: Vec<String> = examples.iter().map(|e| format!("'{e}'")).collect();
    format!("{what} (e.g. {}, regex used for validation is '{regex}')", examples.join(",  or "))
}

fn too_long(most: usize) -> String {
    format!("must be no more than {most} characters")
}

fn is_dns_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    !text.is_empty() && bytes.iter().all(is_inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// A part of a DNS name by RFC 1123: `my-name`, `123-abc`.
pub fn dns_label(text: &str) -> Problem {
    if text.len() > LABEL_LENGTH {
        return Some(too_long(LABEL_LENGTH));
    }
    (!is_dns_label(text)).then(|| {
        let what = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
                    start and end with an alphanumeric character";
        example(what, &["my-name", "123-abc"], "[a-z0-9]([-a-z0-9]*[a-z0-9])?")
    })
}

/// A part of a DNS name by RFC 1035, as Services have it: begins with a letter.
pub fn dns_1035_label(text: &str) -> Problem {
    if text.len() > LABEL_LENGTH {
        return Some(too_long(LABEL_LENGTH));
    }
    let good = is_dns_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase());
    (!good).then(|| {
        let what = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
                    alphabetic character, and end with an alphanumeric character";
        example(what, &["my-name", "abc-123"], "[a-z]([-a-z0-9]*[a-z0-9])?")
    })
}

/// A DNS name by RFC 1123: `example.com`.
pub fn dns_subdomain(text: &str) -> Problem {
    if text.len() > SUBDOMAIN_LENGTH {
        return Some(too_long(SUBDOMAIN_LENGTH));
    }
    (!text.split('.').all(is_dns_label)).then(|| {
        let what = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
                    must start and end with an alphanumeric character";
        example(what, &["example.com"], r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
    })
}

/// The name part of a label key, and the form of label values that are not empty.
fn is_qualified_part(text: &str) -> bool {
    let is_end = |c: char| c.is_ascii_alphanumeric();
    let is_inner = |c: char| is_end(c) || matches!(c, '-' | '_' | '.');
    text.starts_with(is_end) && text.ends_with(is_end) && text.chars().all(is_inner)
}

/// The key of a label or annotation, a finalizer or a condition: an optional DNS prefix and `/`, then a name.
pub fn label_key(text: &str) -> Problem {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    let part = |problem: String| Some(format!("name part {problem}"));
    if name.contains('/') {
        let what = "a valid label key must consist of an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
        return Some(what.to_owned());
    }
    match prefix {
        Some("") => return Some("prefix part must be non-empty".to_owned()),
        Some(prefix) => {
            if let Some(problem) = dns_subdomain(prefix) {
                return Some(format!("prefix part {problem}"));
            }
        }
        None => {}
    }
    match name {
        "" => part("must be non-empty".to_owned()),
        long if long.len() > LABEL_LENGTH => part(too_long(LABEL_LENGTH)),
        bad if !is_qualified_part(bad) => {
            let what = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                        alphanumeric character";
            part(example(what, &["MyName", "my.name", "123-abc"], "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"))
        }
        _ => None,
    }
}

/// The value of a label; may be empty.
pub fn label_value(text: &str) -> Problem {
    if text.len() > LABEL_LENGTH {
        return Some(too_long(LABEL_LENGTH));
    }
    (!text.is_empty() && !is_qualified_part(text)).then(|| {
        let what = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and \
                    must start and end with an alphanumeric character";
        example(what, &["MyValue", "my_value", "12345"], "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
    })
}

/// The name of an object of `kind`.
pub fn object_name(kind: &Kind, text: &str) -> Problem {
    if *kind == kind::NAMESPACE {
        dns_label(text)
    } else if *kind == kind::SERVICE {
        dns_1035_label(text)
    } else {
        dns_subdomain(text)
    }
}

/// A finalizer: a qualified name; without prefix only those of Kubernetes itself.
pub fn finalizer(text: &str) -> Problem {
    label_key(text).or_else(|| {
        let known = ["kubernetes", "orphan", "foregroundDeletion"];
        (!text.contains('/') && !known.contains(&text)).then(|| {
            "name is neither a standard finalizer name nor is it fully qualified (e.g. example.com/name)"
                .to_owned()
        })
    })
}

/// All that is wrong with an object's metadata.
pub(crate) fn check_metadata(kind: &Kind, object: &Value, errors: &mut Errors) {
    let meta = &object["metadata"];
    let text = |field: &str| meta[field].as_str().unwrap_or_default();
    if !text("name").is_empty() {
        check(errors, "metadata.name", &meta["name"], || object_name(kind, text("name")));
    }
    if kind.namespaced && !text("namespace").is_empty() {
        check(errors, "metadata.namespace", &meta["namespace"], || dns_label(text("namespace")));
    }
    for (key, value) in meta["labels"].as_object().into_iter().flatten() {
        check(errors, "metadata.labels", &key.as_str().into(), || label_key(key));
        check(errors, "metadata.labels", value, || label_value(value.as_str().unwrap_or_default()));
    }
    let mut size = 0;
    for (key, value) in meta["annotations"].as_object().into_iter().flatten() {
        // Kubernetes compares annotation keys in lower case: a prefix may be written in capitals.
        check(errors, "metadata.annotations", &key.as_str().into(), || label_key(&key.to_lowercase()));
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    for value in meta["finalizers"].as_array().into_iter().flatten() {
        check(errors, "metadata.finalizers", value, || finalizer(value.as_str().unwrap_or_default()));
    }
    if size > ANNOTATIONS_SIZE {
        let detail = format!("may not be more than {ANNOTATIONS_SIZE} bytes");
        errors.push(FieldError::new("metadata.annotations", Cause::TooLong, detail));
    }
    if text("name").is_empty() {
        let detail = "name or generateName is required";
        errors.push(FieldError::new("metadata.name", Cause::Required, detail));
    }
    check_owners(meta, errors);
}

/// Asks the rule, unless as much is wrong already as is told.
fn check(errors: &mut Errors, field: &str, value: &Value, rule: impl FnOnce() -> Problem) {
    if !errors.is_full() {
        errors.extend(rule().map(|problem| FieldError::invalid(field, value, problem)));
    }
}

fn check_owners(meta: &Value, errors: &mut Errors) {
    let owners = meta["ownerReferences"].as_array().map_or(&[][..], Vec::as_slice);
    for (n, owner) in owners.iter().enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner[field].as_str().is_none_or(str::is_empty) {
                let path = format!("metadata.ownerReferences[{n}].{field}");
                errors.push(FieldError::new(path, Cause::Required, "must not be empty"));
            }
        }
    }
    let controllers: Vec<&Value> = owners.iter().filter(|o| o["controller"] == true).collect();
    if let [first, second, ..] = controllers[..] {
        let detail = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {} and {}",
            quote::field(&first["name"]),
            quote::field(&second["name"])
        );
        errors.push(FieldError::new("metadata.ownerReferences", Cause::Forbidden, detail));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        check_metadata, dns_1035_label, dns_label, dns_subdomain, finalizer, label_key, label_value,
        object_name,
    };
    use crate::{error::Errors, kind};

    #[test]
    fn names_by_form() {
        let long = "a".repeat(64);
        let longer = "a".repeat(254);
        // text, label, 1035 label, subdomain, label key, label value
        let rows: [(&str, bool, bool, bool, bool, bool); 16] = [
            ("web", true, true, true, true, true),
            ("web-1", true, true, true, true, true),
            ("1web", true, false, true, true, true),
            ("-web", false, false, false, false, false),
            ("web-", false, false, false, false, false),
            ("Web", false, false, false, true, true),
            ("a.b", false, false, true, true, true),
            ("a..b", false, false, false, true, true),
            ("a_b", false, false, false, true, true),
            ("", false, false, false, false, true),
            ("example.com/a", false, false, false, true, false),
            ("Example.com/a", false, false, false, false, false),
            ("/a", false, false, false, false, false),
            ("a/b/c", false, false, false, false, false),
            (&long, false, false, true, false, false),
            (&longer, false, false, false, false, false),
        ];
        for (text, label, rfc1035, subdomain, key, value) in rows {
            assert_eq!(dns_label(text).is_none(), label, "label {text}");
            assert_eq!(dns_1035_label(text).is_none(), rfc1035, "1035 label {text}");
            assert_eq!(dns_subdomain(text).is_none(), subdomain, "subdomain {text}");
            assert_eq!(label_key(text).is_none(), key, "key {text}");
            assert_eq!(label_value(text).is_none(), value, "value {text}");
        }
    }

    #[test]
    fn finalizers_are_qualified() {
        assert_eq!(finalizer("kubernetes.io/pvc-protection"), None);
        assert_eq!(finalizer("orphan"), None);
        assert!(finalizer("mine").is_some_and(|p| p.contains("fully qualified")));
    }

    #[test]
    fn kinds_name_their_objects_differently() {
        assert_eq!(object_name(&kind::POD, "a.b"), None);
        assert!(object_name(&kind::NAMESPACE, "a.b").is_some());
        assert!(object_name(&kind::SERVICE, "1a").is_some());
    }

    #[test]
    fn metadata_is_checked_as_a_whole() {
        let fields = |object| -> Vec<String> {
            let mut errors = Errors::default();
            check_metadata(&kind::POD, &object, &mut errors);
            Vec::from(errors).into_iter().map(|e| e.field).collect()
        };
        assert_eq!(fields(json!({"metadata": {"name": "a", "labels": {"x": "y"}}})), Vec::<String>::new());
        let bad = json!({"metadata": {"name": "A", "labels": {"-": "y z"}, "annotations": {"/": "", "big":
            "x".repeat(256 * 1024)}, "finalizers": ["mine"], "ownerReferences": [{"apiVersion": "v1", "kind": "Pod",
            "name": "p", "uid": ""}]}});
        let wanted = [
            "metadata.name",
            "metadata.labels",
            "metadata.labels",
            "metadata.annotations",
            "metadata.finalizers",
            "metadata.annotations",
            "metadata.ownerReferences[0].uid",
        ];
        assert_eq!(fields(bad), wanted);
        assert_eq!(fields(json!({"metadata": {}})), ["metadata.name"]);
    }
}
