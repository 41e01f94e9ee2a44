//! Reads protobuf tags and the API's own markers (`+listMapKey=…`) out of k8s-pb's generated sources.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use crate::sources;

/// One field of a message.
#[derive(Clone, Debug, Default)]
pub struct Field {
    /// Rust identifier, in small letters without underscores: comparable with a JSON name made so. Empty for the entry
    /// that carries the markers of an atomic struct itself.
    pub plain: String,
    /// The tag on the wire.
    pub tag: u32,
    /// Whether it is one embedded message, and its Rust name when it stands in the same module.
    pub message: Option<String>,
    /// Markers in order: `("listMapKey", "name")`.
    pub markers: Vec<(String, String)>,
}

/// Fields by place and plain name (`api/core/v1/pod`): the crates do not agree on capitals.
pub type Messages = HashMap<String, Vec<Field>>;

/// What a JSON field is in its message: its tags from outside in (several where Go embeds a struct), its markers.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// `[2, 1]`: tag 1 of the message under tag 2.
    pub tags: Vec<u32>,
    /// Markers in order.
    pub markers: Vec<(String, String)>,
}

/// Reads all messages below `dir`.
pub fn read(dir: &Path) -> anyhow::Result<Messages> {
    let mut out = Messages::new();
    for (place, text) in sources::files(dir)? {
        read_file(&place, &text, &mut out);
    }
    Ok(out)
}

fn read_file(place: &str, text: &str, out: &mut Messages) {
    let mut name = String::new();
    let mut pending = Field::default();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("pub struct ") {
            name = plain(rest.trim_end_matches([' ', '{', '}', ';', '(', ')']));
            let atomic = pending.markers.iter().any(|m| m.0 == "structType" && m.1 == "atomic");
            let own =
                atomic.then(|| Field { markers: std::mem::take(&mut pending.markers), ..Field::default() });
            out.insert(format!("{place}/{name}"), own.into_iter().collect());
            pending = Field::default();
        } else if let Some(marker) = line.trim_start().strip_prefix("/// +") {
            let (key, value) = marker.split_once('=').unwrap_or((marker, ""));
            pending.markers.push((key.to_owned(), value.to_owned()));
        } else if let Some(attribute) = line.trim_start().strip_prefix("#[prost(") {
            pending.tag = tag(attribute);
            pending.message = attribute.starts_with("message, optional").then(String::new);
        } else if let Some(field) = line.strip_prefix("    pub ") {
            let (ident, rust) = field.split_once(':').unwrap_or((field, ""));
            pending.plain = plain(ident.trim_start_matches("r#"));
            if let Some(message) = &mut pending.message {
                *message =
                    rust.trim_end_matches([',', '>']).rsplit(['<', ':']).next().unwrap_or("").to_owned();
            }
            out.entry(format!("{place}/{name}")).or_default().push(std::mem::take(&mut pending));
        }
    }
}

fn tag(attribute: &str) -> u32 {
    let digits = attribute.split("tag = \"").nth(1).and_then(|r| r.split('"').next());
    digits.and_then(|d| d.parse().ok()).unwrap_or(0)
}

/// A name without case and underscores.
pub fn plain(name: &str) -> String {
    name.chars().filter(|c| *c != '_').flat_map(char::to_lowercase).collect()
}

/// Finds the fields called `json` in the message at `place/name`, also inside embedded structs that JSON does not show.
pub fn find(messages: &Messages, place: &str, name: &str, json: &[&str]) -> BTreeMap<String, Found> {
    let mut out = BTreeMap::new();
    let wanted: HashMap<String, &str> = json.iter().map(|j| (plain(j), *j)).collect();
    collect(messages, place, name, &wanted, &[], &mut out);
    out
}

fn collect(
    messages: &Messages,
    place: &str,
    name: &str,
    wanted: &HashMap<String, &str>,
    outer: &[u32],
    out: &mut BTreeMap<String, Found>,
) {
    for field in messages.get(&format!("{place}/{}", plain(name))).into_iter().flatten() {
        let mut tags = outer.to_vec();
        tags.push(field.tag);
        if let Some(json) = wanted.get(&field.plain) {
            out.entry((*json).to_owned()).or_insert_with(|| Found { tags, markers: field.markers.clone() });
        } else if let Some(inner) = &field.message
            && outer.len() < 2
        {
            collect(messages, place, inner, wanted, &tags, out);
        }
    }
}
