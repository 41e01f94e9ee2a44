//! Joins what was read and prints the table: a line per type, below it a line per field, sorted by name.
//!
//! ```text
//! type io.k8s.api.core.v1.ContainerPort :: A port that a container listens on.
//!   containerPort int32 required pb=3 :: …
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;

use anyhow::{Context, ensure};

use crate::{
    openapi,
    overrides::{Attributes, Overrides},
    proto::{self, Found, Messages},
    short,
};

/// The order in which attributes stand in a line.
const ORDER: &[&str] =
    &["required", "pointer", "list", "keys", "map", "struct", "patch", "key", "enum", "default", "pb"];

const HEAD: &str = "\
# The schema table: every field of every kind served. Written by orlop-schema-tool; change overrides.txt or docs.txt.
#
# type NAME [struct=atomic] :: what it is
#   @fixed|@set-once|@free PATH    what may change on update, below a kind's root
#   FIELD SHAPE [required] [pointer] [list=KIND] [keys=A,B] [map=KIND] [patch=STRATEGY] [key=K] [enum=A|B] [default=JSON] [pb=TAG]
#
# Shapes: string boolean int32 int64 double bytes quantity time microtime intstr raw fields any, a type by the last three
# steps of its name, [list], {map}. pb=2/14 is tag 14 of the message under tag 2. No pb: the tag is not known here.
# pointer: \"\", 0 or false is something else than nothing; of other fields, clients in protobuf say it always.
";

/// Types by short name, fields with their attributes.
#[derive(Debug)]
pub struct Table {
    types: BTreeMap<String, Row>,
    remarks: Vec<String>,
}

#[derive(Debug)]
struct Row {
    full: String,
    attributes: Attributes,
    fields: BTreeMap<String, (String, Attributes)>,
}

impl Table {
    /// Joins types, messages and what is written by hand, for all that the roots reach.
    pub fn join(
        types: BTreeMap<String, openapi::Type>,
        messages: &Messages,
        by_hand: &Overrides,
    ) -> anyhow::Result<Self> {
        let by_short: HashMap<String, openapi::Type> =
            types.into_values().map(|t| (short(&t.full).to_owned(), t)).collect();
        let mut table = Self { types: BTreeMap::new(), remarks: Vec::new() };
        let mut todo: BTreeSet<String> = by_hand.roots.iter().cloned().collect();
        while let Some(name) = todo.pop_first() {
            let found = by_short.get(&name).with_context(|| format!("type {name} is not in the crate"))?;
            let row = table.row(found, messages, by_hand);
            let reached = row.fields.values().map(|(shape, _)| shape.trim_matches(['[', ']', '{', '}']));
            let new = reached.filter(|s| s.contains('.') && *s != name && !table.types.contains_key(*s));
            todo.extend(new.map(str::to_owned));
            table.types.insert(name, row);
        }
        table.refuse_strays(by_hand)?;
        Ok(table)
    }

    fn row(&mut self, found: &openapi::Type, messages: &Messages, by_hand: &Overrides) -> Row {
        let name = short(&found.full).to_owned();
        let json: Vec<&str> = found.fields.keys().map(String::as_str).collect();
        let tags = proto::find(messages, &found.place, &found.name, &json);
        let mut fields = BTreeMap::new();
        for (key, field) in &found.fields {
            let mut attributes = attributes(field, tags.get(key));
            let outside = matches!(key.as_str(), "apiVersion" | "kind") && field.shape == "string";
            if !tags.contains_key(key) && !outside {
                self.remarks.push(format!("no protobuf tag: {name} {key} {} {:?}", field.shape, field.keys));
            }
            correct(&mut attributes, by_hand.facts.get(&(name.clone(), key.clone())));
            fields.insert(key.clone(), (field.shape.clone(), attributes));
        }
        let mut attributes = Attributes::new();
        let own = messages.get(&format!("{}/{}", found.place, proto::plain(&found.name)));
        if own.is_some_and(|f| f.iter().any(|f| f.plain.is_empty())) {
            attributes.insert("struct".to_owned(), "atomic".to_owned());
        }
        correct(&mut attributes, by_hand.facts.get(&(name, String::new())));
        Row { full: found.full.clone(), attributes, fields }
    }

    /// A fact or sentence about something that is not there is a slip of the pen.
    fn refuse_strays(&self, by_hand: &Overrides) -> anyhow::Result<()> {
        let known = |name: &str, field: &str| {
            name == "*"
                || self.types.get(name).is_some_and(|row| field.is_empty() || row.fields.contains_key(field))
        };
        let facts = by_hand.facts.keys().filter(|(name, field)| !known(name, field)).cloned();
        let docs = by_hand.documented.iter().filter(|(types, field)| !types.iter().any(|t| known(t, field)));
        let strays: Vec<_> =
            facts.chain(docs.map(|(types, field)| (types.join(" "), field.clone()))).collect();
        ensure!(strays.is_empty(), "written by hand, but in no type that is served: {strays:?}");
        Ok(())
    }

    /// The file's text, with what a person should look at.
    pub fn print(mut self, by_hand: &Overrides) -> anyhow::Result<(String, Vec<String>)> {
        let mut out = HEAD.to_owned();
        let mut undocumented = 0;
        let mut doc = |name: &str, field: &str| {
            let text = by_hand.docs.get(&(name.to_owned(), field.to_owned()));
            let has_metadata = self.types[name].fields.contains_key("metadata");
            let common = by_hand.docs.get(&("*".to_owned(), field.to_owned()));
            let text = text.or(common.filter(|_| has_metadata && !field.is_empty()));
            undocumented += usize::from(text.is_none());
            text.map(|t| format!(" :: {t}")).unwrap_or_default()
        };
        let sorted: BTreeMap<&str, (&String, &Row)> =
            self.types.iter().map(|(name, row)| (row.full.as_str(), (name, row))).collect();
        for (name, row) in sorted.into_values() {
            writeln!(out, "\ntype {}{}{}", row.full, printed(&row.attributes), doc(name, ""))?;
            for rule in by_hand.rules.get(name).into_iter().flatten() {
                writeln!(out, "  @{rule}")?;
            }
            for (field, (shape, attributes)) in &row.fields {
                writeln!(out, "  {field} {shape}{}{}", printed(attributes), doc(name, field))?;
            }
        }
        let fields: usize = self.types.values().map(|r| r.fields.len()).sum();
        self.remarks.push(format!(
            "{} types, {fields} fields, {undocumented} lines without documentation",
            self.types.len()
        ));
        Ok((out, self.remarks))
    }
}

/// What the crates say about a field. The API's own markers win over the strategy that k8s-openapi derived from them.
fn attributes(field: &openapi::Field, found: Option<&Found>) -> Attributes {
    let mut out = Attributes::new();
    let mut set = |name: &str, value: String| out.insert(name.to_owned(), value);
    if field.required {
        set("required", String::new());
    }
    match found {
        Some(found) => {
            set("pb", found.tags.iter().map(u32::to_string).collect::<Vec<_>>().join("/"));
            marked(&found.markers, &mut set);
        }
        None => derived(field, &mut set),
    }
    out
}

fn marked(markers: &[(String, String)], set: &mut impl FnMut(&str, String) -> Option<String>) {
    let all = |name: &str| {
        markers.iter().filter(|(k, _)| k == name).map(|(_, v)| v.as_str()).collect::<Vec<_>>().join(",")
    };
    let pairs = [
        ("listType", "list"),
        ("listMapKey", "keys"),
        ("mapType", "map"),
        ("structType", "struct"),
        ("patchStrategy", "patch"),
        ("patchMergeKey", "key"),
        ("default", "default"),
    ];
    for (marker, attribute) in pairs {
        let value = all(marker);
        if !value.is_empty() && !value.starts_with("ref(") {
            set(attribute, value);
        }
    }
}

fn derived(field: &openapi::Field, set: &mut impl FnMut(&str, String) -> Option<String>) {
    let Some((attribute, kind)) = field.strategy.split_once(' ') else {
        return;
    };
    set(attribute, kind.to_owned());
    if !field.keys.is_empty() {
        set("keys", field.keys.join(","));
    }
}

fn correct(attributes: &mut Attributes, by_hand: Option<&Attributes>) {
    for (name, value) in by_hand.into_iter().flatten() {
        match name.strip_prefix('-') {
            Some(gone) => attributes.remove(gone),
            None => attributes.insert(name.clone(), value.clone()),
        };
    }
}

fn printed(attributes: &Attributes) -> String {
    let mut out = String::new();
    for name in ORDER {
        match attributes.get(*name).map(String::as_str) {
            None => {}
            Some("") => out.push_str(&format!(" {name}")),
            Some(value) => out.push_str(&format!(" {name}={value}")),
        }
    }
    out
}
