//! `cargo fetch && cargo run -p orlop-schema-tool` writes `apiserver/objects/schema/table.txt` anew; with `--check` it
//! only says whether the file is what it would write. What it could not find out goes to standard error.

use std::path::Path;

use anyhow::{Context, ensure};

fn main() -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema");
    let sources = orlop_schema_tool::sources::find()?;
    let (table, remarks) = orlop_schema_tool::generate(&sources, &folder)?;
    for remark in remarks {
        eprintln!("{remark}");
    }
    let path = folder.join("table.txt");
    if std::env::args().any(|a| a == "--check") {
        let there = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        ensure!(there == table, "{} is not what the tool writes: run it without --check", path.display());
        return Ok(());
    }
    std::fs::write(&path, table).with_context(|| format!("write {}", path.display()))
}
