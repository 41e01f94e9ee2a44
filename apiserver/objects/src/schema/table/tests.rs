//! What the table must hold, and how little it may cost.

use std::time::Instant;

use super::{Field, Leaf, Shape, TEXT, Type, named, parse, root, short, types};
use crate::kind;

#[test]
fn every_kind_has_its_root_and_every_name_is_found() {
    for kind in kind::ALL {
        let root = root(kind);
        assert!(matches!(root.field("metadata").map(|f| &f.shape), Some(Shape::Object(_))), "{}", kind.kind);
    }
    assert!(types().iter().all(|t| named(t.name).is_some_and(|found| std::ptr::eq(found, t))));
    assert!(types().iter().all(|t| t.fields.is_sorted_by_key(|f| f.name)));
}

#[test]
fn no_word_of_the_table_is_left_unread() {
    let untyped = |shape: &Shape| format!("{shape:?}").contains("Any");
    let lost: Vec<_> = types()
        .iter()
        .flat_map(|t| t.fields.iter().filter(|f| untyped(&f.shape)).map(move |f| (t.name, f.name)))
        .collect();
    assert_eq!(lost, [], "a shape that the parser does not know becomes Any");
    let bad: Vec<_> = types()
        .iter()
        .flat_map(|t| {
            t.fields
                .iter()
                .filter(|f| !f.default.is_empty() && f.default_value().is_none())
                .map(|f| f.default)
        })
        .collect();
    assert_eq!(bad, [""; 0], "defaults are JSON");
}

#[test]
fn facts_arrive() {
    let container = short("core.v1.Container").expect("there is a Container");
    let ports = container.field("ports").expect("with ports");
    assert_eq!(
        (ports.keys, ports.key, ports.merges(), ports.tag),
        ("containerPort,protocol", "containerPort", true, "6")
    );
    let volume = short("core.v1.Volume").and_then(|t| t.field("csi")).expect("volumes have csi");
    assert_eq!(volume.tag, "2/28", "an embedded struct gives a tag of two steps");
    assert!(matches!(container.field("image").map(|f| &f.shape), Some(Shape::Leaf(Leaf::String))));
}

/// A field without a tag is lost when a typed client reads an object as JSON and writes it back in protobuf. A new one comes with
/// a newer `k8s-openapi`: look its tag up in `generated.proto` and write it into `overrides.txt`.
#[test]
fn few_fields_have_no_tag() {
    let tagless = |t: &&Type| t.fields.iter().any(|f| f.tag.is_empty());
    let fields = types().iter().filter(tagless).flat_map(|t| {
        // The envelope has these.
        let said = |f: &&Field| t.field("metadata").is_some() && matches!(f.name, "apiVersion" | "kind");
        let tagless = t.fields.iter().filter(|f| f.tag.is_empty());
        tagless.filter(move |f| !said(f)).map(|f| format!("{} {}", super::short_of(t.name), f.name))
    });
    assert_eq!(
        fields.collect::<Vec<_>>(),
        [
            // 1.36 took these out of what was tag 42 in 1.35; nobody here could see the tags that they have.
            "core.v1.PodSchedulingGroup podGroupName",
            "core.v1.PodSpec schedulingGroup",
            "meta.v1.DeleteOptions apiVersion",
            "meta.v1.DeleteOptions kind",
            // Of lists, which nobody sends.
            "meta.v1.ListMeta shardInfo",
            "meta.v1.ShardInfo selector",
        ]
    );
}

#[test]
fn every_kind_and_its_fields_are_explained() {
    let silent: Vec<_> = kind::ALL
        .iter()
        .map(|k| root(k))
        .flat_map(|t| t.fields.iter().map(move |f| (t.name, f.name, t.doc.is_empty() || f.doc.is_empty())))
        .filter(|(_, _, silent)| *silent)
        .collect();
    assert_eq!(silent, [], "lines are missing in docs.txt");
}

#[test]
fn the_table_is_small() {
    let started = Instant::now();
    let table = parse::parse(TEXT);
    println!("{} types in {:?}, {} bytes of text", table.len(), started.elapsed(), TEXT.len());
    let fields: usize = table.iter().map(|t| t.fields.capacity()).sum();
    assert!(fields * size_of::<Field>() + TEXT.len() < 2 << 20);
}
