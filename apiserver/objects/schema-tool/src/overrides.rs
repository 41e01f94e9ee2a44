//! Reads what is written by hand: `overrides.txt` (roots, facts the crates lack, rules about change) and `docs.txt`
//! (documentation). Every fact names its source; a fact without one is refused.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, bail, ensure};

use crate::short;

/// Attributes of a field or type: name to value; an attribute that begins with `-` takes one away.
pub type Attributes = BTreeMap<String, String>;

/// All that is written by hand. Types are named short: `core.v1.Pod`.
#[derive(Debug, Default)]
pub struct Overrides {
    /// Types from which everything needed is reached.
    pub roots: Vec<String>,
    /// Facts by type and field; the empty field is the type itself.
    pub facts: HashMap<(String, String), Attributes>,
    /// Rules about change by type, `fixed spec.source`.
    pub rules: HashMap<String, Vec<String>>,
    /// Documentation by type and field, the later line counts; the type `*` holds for every type with metadata.
    pub docs: HashMap<(String, String), String>,
    /// Each line of documentation: the types of its section and the field; one of the types must have it.
    pub documented: Vec<(Vec<String>, String)>,
}

/// Parses both files.
pub fn parse(facts: &str, docs: &str) -> anyhow::Result<Overrides> {
    let mut out = Overrides::default();
    parse_facts(facts, &mut out).context("overrides.txt")?;
    parse_docs(docs, &mut out).context("docs.txt")?;
    Ok(out)
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let kept = |l: &&str| !l.trim().is_empty() && !l.starts_with('#');
    text.lines().enumerate().map(|(n, l)| (n + 1, l)).filter(move |(_, l)| kept(l))
}

fn parse_facts(text: &str, out: &mut Overrides) -> anyhow::Result<()> {
    let (mut type_name, mut type_sourced) = (String::new(), false);
    for (n, line) in lines(text) {
        let (body, source) = line.split_once(" @ ").map_or((line, None), |(b, s)| (b, Some(s)));
        let mut words = body.split_whitespace();
        let first = words.next().unwrap_or_default();
        if !line.starts_with(' ') {
            let name = words.next().with_context(|| format!("line {n}: a name is missing"))?;
            match first {
                "root" => out.roots.push(name.to_owned()),
                "type" => (type_name, type_sourced) = (short(name).to_owned(), source.is_some()),
                _ => bail!("line {n}: expected `root` or `type`"),
            }
            continue;
        }
        ensure!(type_sourced || source.is_some(), "line {n}: say where it is from, with ` @ source`");
        if matches!(first, "fixed" | "set-once" | "free") {
            let path = words.next().with_context(|| format!("line {n}: a path is missing"))?;
            out.rules.entry(type_name.clone()).or_default().push(format!("{first} {path}"));
            continue;
        }
        if first == "pointers" {
            for field in words {
                let facts = out.facts.entry((type_name.clone(), field.to_owned())).or_default();
                facts.insert("pointer".to_owned(), String::new());
            }
            continue;
        }
        let field = if first == "." { "" } else { first };
        let attributes = words.map(attribute).collect::<Attributes>();
        out.facts.entry((type_name.clone(), field.to_owned())).or_default().extend(attributes);
    }
    Ok(())
}

/// `keys=a,b` or a bare word.
fn attribute(word: &str) -> (String, String) {
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    (name.to_owned(), value.to_owned())
}

fn parse_docs(text: &str, out: &mut Overrides) -> anyhow::Result<()> {
    let mut types = Vec::new();
    for (n, line) in lines(text) {
        let (names, doc) = line.split_once(" :: ").with_context(|| format!("line {n}: ` :: ` is missing"))?;
        let doc = doc.trim().to_owned();
        let fields: Vec<&str> =
            if line.starts_with(' ') { names.split_whitespace().collect() } else { vec![""] };
        if !line.starts_with(' ') {
            types = names.split_whitespace().map(|t| short(t).to_owned()).collect();
        }
        for field in fields {
            let names = types.iter().map(|name| (name.clone(), field.to_owned()));
            out.docs.extend(names.map(|name| (name, doc.clone())));
            out.documented.push((types.clone(), field.to_owned()));
        }
    }
    Ok(())
}
