//! The committed table is what the tool writes.

use std::path::Path;

use orlop_schema_tool::{generate, sources};

#[test]
fn the_committed_table_is_what_the_tool_writes() {
    let sources = match sources::find() {
        Ok(sources) => sources,
        Err(reason) => {
            println!("SKIPPED the_committed_table_is_what_the_tool_writes: {reason:#}");
            eprintln!("SKIPPED the_committed_table_is_what_the_tool_writes: {reason:#}");
            return;
        }
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema");
    let (table, remarks) = generate(&sources, &folder).expect("the sources can be read");
    let committed = std::fs::read_to_string(folder.join("table.txt")).expect("the table is there");
    let differs = table.lines().zip(committed.lines()).position(|(a, b)| a != b);
    assert!(
        table == committed,
        "table.txt differs from line {:?} on: run `cargo run -p orlop-schema-tool`\n{}",
        differs.map(|n| n + 1),
        remarks.join("\n")
    );
}

#[test]
fn every_group_of_the_crate_can_be_read() {
    let Ok(sources) = sources::find() else {
        println!("SKIPPED every_group_of_the_crate_can_be_read: no crate sources");
        return;
    };
    let types = orlop_schema_tool::openapi::read(&sources.openapi).expect("the sources can be read");
    for name in [
        "io.k8s.api.batch.v1.CronJob",
        "io.k8s.api.rbac.v1.ClusterRole",
        "io.k8s.api.networking.v1.Ingress",
        "io.k8s.api.resource.v1.ResourceClaim",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    ] {
        assert!(types.get(name).is_some_and(|t| t.fields.contains_key("metadata")), "{name}");
    }
    let unread: Vec<_> = types
        .values()
        .flat_map(|t| t.fields.iter().filter(|(_, f)| f.shape.is_empty()).map(move |(k, _)| (&t.full, k)))
        .collect();
    assert!(unread.is_empty(), "{unread:?}");
}
