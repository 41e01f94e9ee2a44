//! One method of one path: what it takes and what it answers.

use serde_json::{Map, Value, json};

use super::{META, Resource, parameters::parameter, reference};

/// One method of one path.
#[derive(Clone)]
pub(super) struct Operation {
    verb: &'static str,
    action: &'static str,
    kind: &'static str,
    suffix: String,
    parameters: Vec<Value>,
    body: Option<Value>,
    answer: Value,
}

impl Operation {
    pub(super) fn new(r: &Resource, verb: &'static str, action: &'static str, parameters: &[&str]) -> Self {
        let parameters = parameters.iter().map(|p| parameter(p, "query")).collect();
        let answer = json!({"description": "OK"});
        Self { verb, action, kind: r.kind, suffix: String::new(), parameters, body: None, answer }
    }

    /// Sets the ending of the operation's name.
    pub(super) fn ending(self, suffix: impl Into<String>) -> Self {
        Self { suffix: suffix.into(), ..self }
    }

    /// Sets the kind that it is about, when that is not the resource's own.
    pub(super) fn about(self, kind: &'static str) -> Self {
        Self { kind, ..self }
    }

    pub(super) fn takes(self, schema: &str) -> Self {
        let schema = json!({"schema": reference(schema)});
        self.with_body(&["application/json", "application/yaml"], &schema)
    }

    pub(super) fn takes_patch(self) -> Self {
        let forms = [
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/strategic-merge-patch+json",
        ];
        self.with_body(&forms, &json!({"schema": reference(&format!("{META}.Patch"))}))
    }

    fn with_body(self, forms: &[&str], schema: &Value) -> Self {
        let content: Map<String, Value> = forms.iter().map(|f| ((*f).to_owned(), schema.clone())).collect();
        Self { body: Some(json!({"content": content, "required": self.action != "delete"})), ..self }
    }

    pub(super) fn answers(self, schema: &str) -> Self {
        let content = json!({"application/json": {"schema": reference(schema)}});
        Self { answer: json!({"description": "OK", "content": content}), ..self }
    }

    pub(super) fn answers_text(self) -> Self {
        let content = json!({"text/plain": {"schema": {"type": "string"}}});
        Self { answer: json!({"description": "OK", "content": content}), ..self }
    }

    pub(super) fn json(self, r: &Resource) -> Value {
        let scope = if r.namespaced && self.suffix != "ForAllNamespaces" { "Namespaced" } else { "" };
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
