//! Reads types, fields and merge strategies out of k8s-openapi's generated sources. Their form is regular: one
//! definition a file, one line a field.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use crate::{short, sources};

/// One type: a set of fields, or a leaf when there are none to be read.
#[derive(Clone, Debug, Default)]
pub struct Type {
    /// Full definition name, `io.k8s.api.core.v1.Pod`.
    pub full: String,
    /// Folder of its source, `api/core/v1`.
    pub place: String,
    /// The Rust type's name.
    pub name: String,
    /// Fields by JSON name.
    pub fields: BTreeMap<String, Field>,
}

/// One field, as the Rust type has it.
#[derive(Clone, Debug, Default)]
pub struct Field {
    /// `string`, `[core.v1.Container]`, `{quantity}`, …
    pub shape: String,
    /// Whether the schema lists it as required.
    pub required: bool,
    /// Merge strategy: `list map`, `list set`, `list atomic`, `map atomic`; empty otherwise.
    pub strategy: &'static str,
    /// JSON names of the merge keys.
    pub keys: Vec<String>,
}

/// Types that are one JSON value of a special form.
const LEAVES: &[(&str, &str)] = &[
    ("io.k8s.apimachinery.pkg.api.resource.Quantity", "quantity"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.Time", "time"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime", "microtime"),
    ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", "intstr"),
    ("io.k8s.apimachinery.pkg.runtime.RawExtension", "raw"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1", "fields"),
];

const STRATEGIES: &[(&str, &str)] = &[
    ("list::map(", "list map"),
    ("list::set(", "list set"),
    ("list::atomic(", "list atomic"),
    ("map::atomic(", "map atomic"),
];

/// All types of one API level, by full name.
pub fn read(dir: &Path) -> anyhow::Result<BTreeMap<String, Type>> {
    let files = sources::files(dir)?;
    let mut names = HashMap::new();
    for (place, text) in &files {
        if let Some((full, name)) = heading(text) {
            names.insert(format!("{place}/{name}"), full.to_owned());
        }
    }
    let mut types = BTreeMap::new();
    for (place, text) in &files {
        if let Some(found) = read_type(place, text, &names) {
            types.insert(found.full.clone(), found);
        }
    }
    Ok(types)
}

/// Definition name and Rust name of the file's type.
fn heading(text: &str) -> Option<(&str, &str)> {
    let full = text.lines().next()?.strip_prefix("// Generated from definition ")?;
    let item = text.lines().find(|l| l.starts_with("pub struct ") || l.starts_with("pub enum "))?;
    let name = item.split(|c: char| !c.is_alphanumeric() && c != '_').nth(2)?;
    Some((full, name))
}

fn read_type(place: &str, text: &str, names: &HashMap<String, String>) -> Option<Type> {
    let (full, name) = heading(text)?;
    let json = json_names(text);
    let required = required(text);
    let strategies = strategies(text);
    let mut fields = BTreeMap::new();
    for (ident, rust) in struct_fields(text, name) {
        let Some(key) = json.get(ident) else { continue };
        let shape = shape(rust, names);
        // The crate makes metadata plain and so required; the API does not ask for it.
        let required = required.contains(&key.as_str())
            && !matches!(shape.as_str(), "meta.v1.ObjectMeta" | "meta.v1.ListMeta");
        let (strategy, keys) = strategies.get(ident).cloned().unwrap_or_default();
        fields.insert(key.clone(), Field { shape, required, strategy, keys });
    }
    for (ident, key) in [("api_version", "apiVersion"), ("kind", "kind")] {
        if json.get(ident).is_some_and(|k| k == key) && !fields.contains_key(key) {
            fields.insert(key.to_owned(), Field { shape: "string".to_owned(), ..Field::default() });
        }
    }
    Some(Type { full: full.to_owned(), place: place.to_owned(), name: name.to_owned(), fields })
}

/// `pub ident: Type,` lines of the struct.
fn struct_fields<'a>(text: &'a str, name: &str) -> Vec<(&'a str, &'a str)> {
    let start = format!("pub struct {name} {{");
    let inside = text.lines().skip_while(|l| *l != start).skip(1).take_while(|l| *l != "}");
    inside
        .filter_map(|l| l.strip_prefix("    pub ")?.strip_suffix(','))
        .filter_map(|l| l.split_once(": "))
        .collect()
}

/// Rust identifier to JSON name: `"hostIP" => Field::Key_host_ip,`.
fn json_names(text: &str) -> HashMap<String, String> {
    let pairs = text.lines().filter_map(|l| l.trim().strip_prefix('"')?.split_once("\" => Field::Key_"));
    pairs.map(|(json, ident)| (ident.trim_end_matches(',').to_owned(), json.to_owned())).collect()
}

/// The list under `"required": [` at the schema's own level.
fn required(text: &str) -> Vec<&str> {
    let inside = text.lines().skip_while(|l| *l != "            \"required\": [").skip(1);
    inside.take_while(|l| l.trim() != "],").map(|l| l.trim().trim_matches([',', '"'])).collect()
}

/// Merge strategies by Rust identifier, with the JSON names of their keys.
fn strategies(text: &str) -> HashMap<String, (&'static str, Vec<String>)> {
    let mut out = HashMap::new();
    for (at, _) in text.match_indices("crate::merge_strategies::") {
        let rest = &text[at + "crate::merge_strategies::".len()..];
        let Some((call, strategy)) = STRATEGIES.iter().find(|(call, _)| rest.starts_with(call)) else {
            continue;
        };
        let Some(ident) = word_after(&rest[call.len()..], "&mut self.") else {
            continue;
        };
        let call = &rest[..rest.find(';').unwrap_or(rest.len())];
        let keys = call.match_indices("|lhs, rhs| ").filter_map(|(at, _)| word_after(&call[at..], "lhs."));
        let keys = if *strategy == "list map" { keys.map(camel).collect() } else { Vec::new() };
        out.insert(ident.to_owned(), (*strategy, keys));
    }
    out
}

/// Keys are fields of the item's type, so their JSON names are derived, not looked up.
fn camel(ident: &str) -> String {
    let mut out = String::new();
    for (n, part) in ident.trim_end_matches('_').split('_').enumerate() {
        match part.split_at_checked(1) {
            Some((first, rest)) if n > 0 => out.push_str(&(first.to_uppercase() + rest)),
            _ => out.push_str(part),
        }
    }
    if out.ends_with("Id") {
        out.replace_range(out.len() - 2.., "ID");
    }
    out
}

fn word_after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    let rest = &text[text.find(mark)? + mark.len()..];
    Some(&rest[..rest.find(|c: char| !c.is_alphanumeric() && c != '_')?])
}

/// A Rust type in the table's words.
fn shape(rust: &str, names: &HashMap<String, String>) -> String {
    let inner = |prefix: &str| rust.strip_prefix(prefix).and_then(|r| r.strip_suffix('>'));
    if let Some(inner) = inner("Option<").or_else(|| inner("std::boxed::Box<")) {
        return shape(inner, names);
    }
    if let Some(item) = inner("std::vec::Vec<") {
        return format!("[{}]", shape(item, names));
    }
    if let Some(value) = inner("std::collections::BTreeMap<std::string::String, ") {
        return format!("{{{}}}", shape(value, names));
    }
    match rust {
        "std::string::String" => "string".to_owned(),
        "bool" => "boolean".to_owned(),
        "i32" => "int32".to_owned(),
        "i64" => "int64".to_owned(),
        "f64" => "double".to_owned(),
        "crate::ByteString" => "bytes".to_owned(),
        other => reference(other, names),
    }
}

fn reference(rust: &str, names: &HashMap<String, String>) -> String {
    let path = rust.trim_start_matches("crate::").replace("::", "/");
    let Some(full) = names.get(&path) else {
        return "any".to_owned();
    };
    let leaf = LEAVES.iter().find(|(name, _)| name == full);
    leaf.map_or_else(|| short(full).to_owned(), |(_, leaf)| (*leaf).to_owned())
}
