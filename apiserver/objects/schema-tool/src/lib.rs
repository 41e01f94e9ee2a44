//! Fills the schema table: what the type crates say ([`openapi`], [`proto`]), corrected and completed by what we write by
//! hand ([`overrides`]), joined and printed ([`table`]).
//!
//! Nothing of the crates is compiled or copied but facts: names, types, keys, tags, defaults. Their sentences are not.

pub mod openapi;
pub mod overrides;
pub mod proto;
pub mod sources;
pub mod table;

use std::path::Path;

use anyhow::Context;

/// The table's text, and what a person should look at.
pub fn generate(sources: &sources::Sources, folder: &Path) -> anyhow::Result<(String, Vec<String>)> {
    let read =
        |name: &str| std::fs::read_to_string(folder.join(name)).with_context(|| format!("read {name}"));
    let by_hand = overrides::parse(&read("overrides.txt")?, &read("docs.txt")?)?;
    let types = openapi::read(&sources.openapi)?;
    let messages = proto::read(&sources.proto)?;
    table::Table::join(types, &messages, &by_hand)?.print(&by_hand)
}

/// `core.v1.Pod` for `io.k8s.api.core.v1.Pod`: the last three steps of a definition's name.
pub fn short(full: &str) -> &str {
    full.rmatch_indices('.').nth(2).map_or(full, |(at, _)| &full[at + 1..])
}
