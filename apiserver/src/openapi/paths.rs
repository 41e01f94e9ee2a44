//! Which requests each resource takes: a path item for the collection, the object, its subresources.

use serde_json::{Map, Value, json};

use super::{
    META, Resource, capital,
    operation::Operation,
    parameters::{LISTING, LOG, WRITING, parameter},
};

/// All path items of a document.
pub(super) fn all(resources: &[Resource]) -> Value {
    let mut out = Map::new();
    for resource in resources {
        let base = format!("/{}", resource.document());
        let scope = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
        let collection = format!("{base}{scope}/{}", resource.plural);
        if resource.review {
            out.insert(collection, item(resource, false, [("post", create(resource))]));
            continue;
        }
        out.insert(collection.clone(), collection_item(resource));
        if resource.namespaced {
            out.insert(format!("{base}/{}", resource.plural), everywhere_item(resource));
        }
        let object = format!("{collection}/{{name}}");
        out.insert(object.clone(), object_item(resource));
        // A Scale is of no kind that is served: discovery alone tells of it.
        for name in resource.subresources.iter().filter(|name| **name != "scale") {
            out.insert(format!("{object}/{name}"), subresource_item(resource, name));
        }
    }
    Value::Object(out)
}

fn collection_item(r: &Resource) -> Value {
    let list = format!("{}List", r.schema);
    item(
        r,
        false,
        [
            ("get", Operation::new(r, "list", "list", &LISTING).answers(&list)),
            ("post", create(r)),
            (
                "delete",
                Operation::new(r, "deletecollection", "deletecollection", &LISTING)
                    .answers(&format!("{META}.Status")),
            ),
        ],
    )
}

fn create(r: &Resource) -> Operation {
    Operation::new(r, "create", "post", &WRITING).takes(r.schema).answers(r.schema)
}

fn everywhere_item(r: &Resource) -> Value {
    let list = Operation::new(r, "list", "list", &LISTING).ending("ForAllNamespaces");
    let list = list.answers(&format!("{}List", r.schema)).json(r);
    json!({"get": list, "parameters": [parameter("pretty", "query")]})
}

fn object_item(r: &Resource) -> Value {
    let gone = ["dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"];
    let mut methods = read_and_write(r, "", r.schema).to_vec();
    let delete = Operation::new(r, "delete", "delete", &gone).takes(&format!("{META}.DeleteOptions"));
    methods.push(("delete", delete.answers(&format!("{META}.Status"))));
    item(r, true, methods)
}

/// get, put and patch: of the object, and of its status.
fn read_and_write(r: &Resource, suffix: &str, schema: &str) -> [(&'static str, Operation); 3] {
    let patch = ["dryRun", "fieldManager", "fieldValidation", "force"];
    let of = |verb, action, parameters: &[&str]| {
        Operation::new(r, verb, action, parameters).ending(suffix).answers(schema)
    };
    [
        ("get", of("read", "get", &[])),
        ("put", of("replace", "put", &WRITING).takes(schema)),
        ("patch", of("patch", "patch", &patch).takes_patch()),
    ]
}

fn subresource_item(r: &Resource, name: &str) -> Value {
    let suffix = capital(name);
    let of = |verb, action, parameters: &[&str]| Operation::new(r, verb, action, parameters).ending(&suffix);
    match name {
        "binding" => {
            let binding = "io.k8s.api.core.v1.Binding";
            let post = of("create", "post", &WRITING).about("Binding");
            item(r, true, [("post", post.takes(binding).answers(binding))])
        }
        "eviction" => {
            let eviction = "io.k8s.api.policy.v1.Eviction";
            let post = of("create", "post", &WRITING).about("Eviction");
            item(r, true, [("post", post.takes(eviction).answers(eviction))])
        }
        "log" => item(r, true, [("get", of("read", "get", &LOG).answers_text())]),
        "finalize" => {
            let put = of("replace", "put", &WRITING);
            item(r, true, [("put", put.takes(r.schema).answers(r.schema))])
        }
        _ => item(r, true, read_and_write(r, &suffix, r.schema)),
    }
}

fn item(r: &Resource, named: bool, operations: impl IntoIterator<Item = (&'static str, Operation)>) -> Value {
    let mut out: Map<String, Value> =
        operations.into_iter().map(|(method, operation)| (method.to_owned(), operation.json(r))).collect();
    let mut parameters = vec![parameter("pretty", "query")];
    parameters.extend(named.then(|| parameter("name", "path")));
    parameters.extend(r.namespaced.then(|| parameter("namespace", "path")));
    out.insert("parameters".to_owned(), parameters.into());
    Value::Object(out)
}
