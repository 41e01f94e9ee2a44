//! Which requests each resource takes: a path item for the collection, the object, its subresources.

use serde_json::{Map, Value, json};

use super::{Resource, capital, reference};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// All path items of a document.
pub(super) fn all(resources: &[Resource]) -> Value {
    let mut out = Map::new();
    for resource in resources {
        let base = format!("/{}", resource.document());
        let scope = if resource.namespaced {
            "/namespaces/{namespace}"
        } else {
            ""
        };
        let collection = format!("{base}{scope}/{}", resource.plural);
        out.insert(collection.clone(), collection_item(resource));
        if resource.namespaced {
            out.insert(format!("{base}/{}", resource.plural), everywhere_item(resource));
        }
        let object = format!("{collection}/{{name}}");
        out.insert(object.clone(), object_item(resource));
        for name in resource.subresources {
            out.insert(format!("{object}/{name}"), subresource_item(resource, name));
        }
    }
    Value::Object(out)
}

fn collection_item(r: &Resource) -> Value {
    let write = ["dryRun", "fieldManager", "fieldValidation"];
    let list = format!("{}List", r.schema);
    item(
        r,
        false,
        [
            ("get", Operation::new(r, "list", "list", &LISTING).answers(&list)),
            (
                "post",
                Operation::new(r, "create", "post", &write)
                    .takes(r.schema)
                    .answers(r.schema),
            ),
            (
                "delete",
                Operation::new(r, "deletecollection", "deletecollection", &LISTING)
                    .answers(&format!("{META}.Status")),
            ),
        ],
    )
}

fn everywhere_item(r: &Resource) -> Value {
    let operation = Operation {
        suffix: "ForAllNamespaces".to_owned(),
        ..Operation::new(r, "list", "list", &LISTING)
    };
    let operation = operation.answers(&format!("{}List", r.schema)).json(r);
    json!({"get": operation, "parameters": [parameter("pretty", "query")]})
}

fn object_item(r: &Resource) -> Value {
    let gone = [
        "dryRun",
        "gracePeriodSeconds",
        "orphanDependents",
        "propagationPolicy",
    ];
    let mut methods = read_and_write(r, "", r.schema).to_vec();
    let delete = Operation::new(r, "delete", "delete", &gone).takes(&format!("{META}.DeleteOptions"));
    methods.push(("delete", delete.answers(&format!("{META}.Status"))));
    item(r, true, methods)
}

/// get, put and patch: of the object, and of its status.
fn read_and_write(r: &Resource, suffix: &str, schema: &str) -> [(&'static str, Operation); 3] {
    let write = ["dryRun", "fieldManager", "fieldValidation"];
    let patch = ["dryRun", "fieldManager", "fieldValidation", "force"];
    let of = |verb, action, parameters: &[&'static str]| Operation {
        suffix: suffix.to_owned(),
        ..Operation::new(r, verb, action, parameters).answers(schema)
    };
    [
        ("get", of("read", "get", &[])),
        ("put", of("replace", "put", &write).takes(schema)),
        ("patch", of("patch", "patch", &patch).takes_patch()),
    ]
}

fn subresource_item(r: &Resource, name: &str) -> Value {
    let suffix = capital(name);
    let named = |operation: Operation| Operation {
        suffix: suffix.clone(),
        ..operation
    };
    match name {
        "binding" => {
            let binding = "io.k8s.api.core.v1.Binding";
            let post = Operation::new(
                r,
                "create",
                "post",
                &["dryRun", "fieldManager", "fieldValidation"],
            );
            let post = Operation {
                kind: "Binding",
                ..named(post).takes(binding).answers(binding)
            };
            item(r, true, [("post", post)])
        }
        "log" => item(
            r,
            true,
            [(
                "get",
                named(Operation::new(r, "read", "get", &LOG)).answers_text(),
            )],
        ),
        "finalize" => {
            let put = Operation::new(
                r,
                "replace",
                "put",
                &["dryRun", "fieldManager", "fieldValidation"],
            );
            item(r, true, [("put", named(put).takes(r.schema).answers(r.schema))])
        }
        _ => item(r, true, read_and_write(r, &suffix, r.schema)),
    }
}

fn item(r: &Resource, named: bool, operations: impl IntoIterator<Item = (&'static str, Operation)>) -> Value {
    let mut out: Map<String, Value> = operations
        .into_iter()
        .map(|(method, operation)| (method.to_owned(), operation.json(r)))
        .collect();
    let mut parameters = vec![parameter("pretty", "query")];
    parameters.extend(named.then(|| parameter("name", "path")));
    parameters.extend(r.namespaced.then(|| parameter("namespace", "path")));
    out.insert("parameters".to_owned(), parameters.into());
    Value::Object(out)
}

const LISTING: [&str; 9] = [
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "timeoutSeconds",
    "watch",
];

const LOG: [&str; 8] = [
    "container",
    "follow",
    "limitBytes",
    "previous",
    "sinceSeconds",
    "sinceTime",
    "tailLines",
    "timestamps",
];

/// One method of one path.
#[derive(Clone)]
struct Operation {
    verb: &'static str,
    action: &'static str,
    kind: &'static str,
    suffix: String,
    parameters: Vec<Value>,
    body: Option<Value>,
    answer: Value,
}

impl Operation {
    fn new(r: &Resource, verb: &'static str, action: &'static str, parameters: &[&str]) -> Self {
        let parameters = parameters.iter().map(|p| parameter(p, "query")).collect();
        let answer = json!({"description": "OK"});
        Self {
            verb,
            action,
            kind: r.kind,
            suffix: String::new(),
            parameters,
            body: None,
            answer,
        }
    }

    fn takes(self, schema: &str) -> Self {
        let schema = json!({"schema": reference(schema)});
        self.with_body(&["application/json", "application/yaml"], &schema)
    }

    fn takes_patch(self) -> Self {
        let forms = [
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/strategic-merge-patch+json",
        ];
        self.with_body(&forms, &json!({"schema": reference(&format!("{META}.Patch"))}))
    }

    fn with_body(self, forms: &[&str], schema: &Value) -> Self {
        let content: Map<String, Value> = forms.iter().map(|f| ((*f).to_owned(), schema.clone())).collect();
        Self {
            body: Some(json!({"content": content, "required": self.action != "delete"})),
            ..self
        }
    }

    fn answers(self, schema: &str) -> Self {
        let content = json!({"application/json": {"schema": reference(schema)}});
        Self {
            answer: json!({"description": "OK", "content": content}),
            ..self
        }
    }

    fn answers_text(self) -> Self {
        let content = json!({"text/plain": {"schema": {"type": "string"}}});
        Self {
            answer: json!({"description": "OK", "content": content}),
            ..self
        }
    }

    fn json(self, r: &Resource) -> Value {
        let scope = if r.namespaced && self.suffix != "ForAllNamespaces" {
            "Namespaced"
        } else {
            ""
        };
        let mut out = json!({
            "operationId": format!("{}{}{scope}{}{}", self.verb, r.title(), r.kind, self.suffix),
            "tags": [r.document().trim_start_matches("apis/").replace("api/", "core/").replace(['/', '.'], "_")],
            "parameters": self.parameters,
            "responses": {"200": self.answer},
            "x-kubernetes-action": self.action,
            "x-kubernetes-group-version-kind": r.gvk(self.kind),
        });
        if let (Some(body), Value::Object(out)) = (self.body, &mut out) {
            out.insert("requestBody".to_owned(), body);
        }
        out
    }
}

fn parameter(name: &str, place: &str) -> Value {
    let form = match name {
        "allowWatchBookmarks"
        | "watch"
        | "force"
        | "orphanDependents"
        | "follow"
        | "previous"
        | "timestamps" => "boolean",
        "limit" | "timeoutSeconds" | "gracePeriodSeconds" | "limitBytes" | "sinceSeconds" | "tailLines" => {
            "integer"
        }
        _ => "string",
    };
    let mut out = json!({"name": name, "in": place, "description": about(name),
        "schema": {"type": form, "uniqueItems": true}});
    if place == "path" {
        out["required"] = true.into();
    }
    out
}

fn about(name: &str) -> &'static str {
    match name {
        "allowWatchBookmarks" => {
            "Whether the watch may carry bookmarks, which only tell the current version."
        }
        "container" => "The container; may be left out when the pod has one.",
        "continue" => "The token from the part of the list before.",
        "dryRun" => "All: do everything but store it.",
        "fieldManager" => "Who writes, for the managed fields.",
        "fieldSelector" => "Which objects, by their fields.",
        "fieldValidation" => {
            "What becomes of unknown and duplicate fields: Strict refuses, Warn tells, Ignore drops."
        }
        "follow" => "Whether to stay and send what is still to come.",
        "force" => "Whether to take fields over from other managers; only for apply.",
        "gracePeriodSeconds" => "Seconds that the object gets to end; 0 is at once.",
        "labelSelector" => "Which objects, by their labels.",
        "limit" => "At most this many objects in one answer.",
        "limitBytes" => "At most this many bytes of log.",
        "name" => "The object's name.",
        "namespace" => "The namespace.",
        "orphanDependents" => "Superseded by propagationPolicy.",
        "pretty" => "Ignored: the answer is compact JSON.",
        "previous" => "The log of the run before.",
        "propagationPolicy" => "What becomes of dependents: Orphan, Background or Foreground.",
        "resourceVersion" => "The version to read, or to watch from.",
        "resourceVersionMatch" => "How the version is meant: Exact or NotOlderThan.",
        "sinceSeconds" => "Only lines that are not older than this.",
        "sinceTime" => "Only lines since this time.",
        "tailLines" => "Only this many lines from the end.",
        "timeoutSeconds" => "After how many seconds the watch ends.",
        "timestamps" => "Whether each line begins with its time.",
        "watch" => "Whether to stay and send changes.",
        _ => "",
    }
}
