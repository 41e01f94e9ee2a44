//! The committed table is what the tool writes.

use std::path::Path;

use orlop_schema_tool::{generate, sources};

#[test]
fn the_committed_table_is_what_the_tool_writes() {
    let sources = match sources::find() {
        Ok(sources) => sources,
        Err(reason) => {
            let _ = std::io::Write::write_fmt(
                &mut std::io::stderr(),
                format_args!("SKIPPED the_committed_table_is_what_the_tool_writes: {reason:#}\n"),
            );
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
        let _ = std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("SKIPPED every_group_of_the_crate_can_be_read: no crate sources\n"),
        );
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

#[test]
fn a_group_is_turned_on_with_a_line() {
    let Ok(sources) = sources::find() else {
        let _ = std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("SKIPPED a_group_is_turned_on_with_a_line: no crate sources\n"),
        );
        return;
    };
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema");
    let folder = tempfile::tempdir().expect("a scratch folder");
    std::fs::copy(ours.join("docs.txt"), folder.path().join("docs.txt")).expect("docs.txt is copied");
    let mut overrides = std::fs::read_to_string(ours.join("overrides.txt")).expect("overrides.txt is there");
    overrides.push_str(
        "root batch.v1.CronJob\nroot rbac.v1.ClusterRole\nroot apiextensions.v1.CustomResourceDefinition\n",
    );
    std::fs::write(folder.path().join("overrides.txt"), overrides)
        .expect("the scratch folder can be written");
    let (table, _) = generate(&sources, folder.path()).expect("the roots are in the crate");
    for line in [
        "type io.k8s.api.batch.v1.JobSpec",
        "  schedule string required pb=1",
        "  rules [rbac.v1.PolicyRule] list=atomic pb=2",
        "type io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps",
    ] {
        assert!(table.lines().any(|l| l.starts_with(line)), "{line}");
    }
}

#[test]
fn what_is_written_by_hand_must_mean_something_and_say_where_it_is_from() {
    let parse = |facts: &str, docs: &str| orlop_schema_tool::overrides::parse(facts, docs);
    let cases = [
        ("type core.v1.Pod\n  fixed spec\n", "", "say where it is from"),
        ("type core.v1.Pod @ here\n  fixed\n", "", "a path is missing"),
        ("rot core.v1.Pod\n", "", "expected `root` or `type`"),
        ("", "core.v1.Pod\n", "` :: ` is missing"),
    ];
    for (facts, docs, reason) in cases {
        let error = format!("{:#}", parse(facts, docs).expect_err(reason));
        assert!(error.contains(reason), "{error}");
    }
    parse("type core.v1.Pod\n  fixed spec @ here\n", "core.v1.Pod :: A pod.\n  spec :: What.\n")
        .expect("is right");
}
