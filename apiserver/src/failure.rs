//! The one type that knows status codes: a refusal as a Kubernetes `Status` object.
//!
//! Reasons, messages and details are those of apimachinery's `api/errors`, since clients match on them.

use http::StatusCode;
use orlop_objects::{FieldError, Key, Kind};
use orlop_registry as registry;
use orlop_store as store;
use serde_json::{Value, json};

/// What clients may ask for because Kubernetes has it.
const KUBERNETES_SUBRESOURCES: [&str; 10] = [
    "exec",
    "attach",
    "portforward",
    "proxy",
    "eviction",
    "ephemeralcontainers",
    "resize",
    "scale",
    "token",
    "approval",
];

/// What a Status says beyond its message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Details {
    pub(crate) name: String,
    pub(crate) group: String,
    /// The plural for what happened to an object, the CamelCase kind where fields are wrong: Kubernetes' habit.
    pub(crate) kind: String,
    pub(crate) uid: String,
    pub(crate) causes: Vec<Value>,
    pub(crate) retry_after: Option<u32>,
}

/// A refused request.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) code: StatusCode,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    /// Boxed to keep every `Result` small.
    pub(crate) details: Option<Box<Details>>,
}

impl Failure {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None }
    }

    fn about(self, kind: &Kind, name: &str) -> Self {
        self.detailed(Details {
            name: name.to_owned(),
            group: kind.group.to_owned(),
            kind: kind.plural.to_owned(),
            ..Details::default()
        })
    }

    fn detailed(self, details: Details) -> Self {
        Self { details: Some(Box::new(details)), ..self }
    }

    /// Says after how many seconds another attempt makes sense.
    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        self.details.get_or_insert_default().retry_after = Some(seconds);
        self
    }

    /// The request cannot be understood.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// Nobody knows who is asking.
    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    /// Who is asking is known, or claims to be, and is not believed (any more).
    pub(crate) fn unauthorized_because(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", message)
    }

    /// The name belongs to somebody else; `message` is complete.
    pub(crate) fn taken(kind: &Kind, name: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message).about(kind, name)
    }

    /// The path leads nowhere.
    pub(crate) fn no_such_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", "the server could not find the requested resource")
            .detailed(Details::default())
    }

    /// The object has no such part, or not yet.
    pub(crate) fn no_such_subresource(kind: &Kind, subresource: &str) -> Self {
        let mut failure = Self::no_such_path();
        if KUBERNETES_SUBRESOURCES.contains(&subresource) {
            failure.message.push_str(&format!(": Orlop does not serve {}/{subresource} yet", kind.plural));
        }
        failure
    }

    /// There is no such object.
    pub(crate) fn not_found(kind: &Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", kind.qualified());
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).about(kind, name)
    }

    /// The path is there, the method is not.
    pub(crate) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message).detailed(Details::default())
    }

    /// None of the forms that the client accepts is served.
    pub(crate) fn not_acceptable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    /// The body's form is not read.
    pub(crate) fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    /// The body did not come.
    pub(crate) fn too_slow(message: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "Timeout", message)
    }

    /// The body is too long.
    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
    }

    /// The object is understood and wrong.
    pub(crate) fn unprocessable(kind: &Kind, name: &str, causes: &[FieldError]) -> Self {
        let shown: Vec<String> = causes.iter().map(ToString::to_string).collect();
        let shown = match shown.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let of = if kind.group.is_empty() {
            kind.kind.to_owned()
        } else {
            format!("{}.{}", kind.kind, kind.group)
        };
        let message = format!("{of} \"{name}\" is invalid: {shown}");
        let causes = causes
            .iter()
            .map(|c| json!({"reason": c.cause.reason(), "message": c.message(), "field": c.field}))
            .collect();
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message).detailed(Details {
            name: name.to_owned(),
            group: kind.group.to_owned(),
            kind: kind.kind.to_owned(),
            causes,
            ..Details::default()
        })
    }

    /// The user may not do this; `message` is complete.
    pub(crate) fn forbidden(kind: &Kind, name: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).about(kind, name)
    }

    /// Somebody else changed the object first.
    pub(crate) fn conflict(kind: &Kind, name: &str, reason: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {reason}", kind.qualified());
        Self::new(StatusCode::CONFLICT, "Conflict", message).about(kind, name)
    }

    /// The version asked for is no longer kept.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Expired", message)
    }

    /// The server cannot at the moment.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
    }

    /// The server is at fault.
    pub(crate) fn internal(message: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            format!("Internal error occurred: {message}"),
        )
    }

    /// The `Status` object.
    pub(crate) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code.as_u16(),
        });
        if let Some(details) = &self.details {
            status["details"] = details.value();
        }
        status
    }
}

impl Details {
    /// The wire form, without what is empty.
    pub(crate) fn value(&self) -> Value {
        let mut out = serde_json::Map::new();
        for (field, text) in
            [("name", &self.name), ("group", &self.group), ("kind", &self.kind), ("uid", &self.uid)]
        {
            if !text.is_empty() {
                out.insert(field.to_owned(), text.as_str().into());
            }
        }
        if !self.causes.is_empty() {
            out.insert("causes".to_owned(), self.causes.clone().into());
        }
        if let Some(seconds) = self.retry_after {
            out.insert("retryAfterSeconds".to_owned(), seconds.into());
        }
        out.into()
    }
}

impl From<registry::Error> for Failure {
    fn from(error: registry::Error) -> Self {
        use registry::Error as E;
        match error {
            E::NotFound(key) => Self::not_found(key.kind, &key.name),
            E::AlreadyExists(Key { kind, name, .. }) => {
                let message = format!("{} \"{name}\" already exists", kind.qualified());
                Self::new(StatusCode::CONFLICT, "AlreadyExists", message).about(kind, &name)
            }
            E::Conflict { key, reason } => Self::conflict(key.kind, &key.name, &reason),
            E::Invalid { key, causes } => Self::unprocessable(key.kind, &key.name, &causes),
            E::BadRequest(message) => Self::bad_request(message),
            E::Forbidden { key: Key { kind, name, .. }, reason } => {
                let message = format!("{} \"{name}\" is forbidden: {reason}", kind.qualified());
                Self::forbidden(kind, &name, message)
            }
            E::Store(error) => error.into(),
        }
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        use store::Error as E;
        match error {
            E::Expired { asked, oldest } => {
                Self::expired(format!("too old resource version: {asked} ({oldest}); list again"))
            }
            E::Future { asked, newest } => too_new(asked, newest),
            E::Unavailable { .. } | E::Full { .. } => Self::unavailable(error.to_string()).retry_after(10),
            E::Conflict => Self::new(
                StatusCode::CONFLICT,
                "Conflict",
                "the object was changed by others again and again while this request tried to; please retry",
            )
            .retry_after(1),
            E::Limits { reason } => Self::too_large(format!("the request is too large to store: {reason}")),
            E::Engine { .. } => {
                tracing::error!(error = &error as &dyn std::error::Error, "the store failed");
                Self::internal(error)
            }
        }
    }
}

/// A version that has not happened yet: clients treat this as "try again", after a restore as "list again".
fn too_new(asked: u64, newest: u64) -> Failure {
    let message = format!("Timeout: Too large resource version: {asked}, current: {newest}");
    Failure::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message).detailed(Details {
        causes: vec![json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"})],
        retry_after: Some(1),
        ..Details::default()
    })
}

#[cfg(test)]
mod tests {
    use orlop_objects::{Cause, kind};

    use super::*;

    #[test]
    fn the_words_are_those_that_tools_match_on() {
        let pvc = Key::new(&kind::PERSISTENT_VOLUME_CLAIM, "default", "x");
        let sts = Key::new(&kind::STATEFUL_SET, "default", "web");
        let wrong = FieldError::new("spec.size", Cause::Required, "say how much");
        let rows: Vec<(registry::Error, u16, &str, &str)> = vec![
            (
                registry::Error::NotFound(pvc.clone()),
                404,
                "NotFound",
                "persistentvolumeclaims \"x\" not found",
            ),
            (
                registry::Error::AlreadyExists(sts.clone()),
                409,
                "AlreadyExists",
                "statefulsets.apps \"web\" already exists",
            ),
            (
                registry::Error::Conflict { key: pvc.clone(), reason: "the object has been modified".into() },
                409,
                "Conflict",
                "Operation cannot be fulfilled on persistentvolumeclaims \"x\": the object has been modified",
            ),
            (
                registry::Error::Invalid { key: pvc.clone(), causes: vec![wrong.clone()] },
                422,
                "Invalid",
                "PersistentVolumeClaim \"x\" is invalid: spec.size: Required value: say how much",
            ),
            (
                registry::Error::Invalid { key: sts, causes: vec![wrong.clone(), wrong] },
                422,
                "Invalid",
                "StatefulSet.apps \"web\" is invalid: [spec.size: Required value: say how much, spec.size: Required value: say how much]",
            ),
            (
                registry::Error::Forbidden { key: pvc, reason: "no".into() },
                403,
                "Forbidden",
                "persistentvolumeclaims \"x\" is forbidden: no",
            ),
            (
                store::Error::Expired { asked: 1, oldest: 5 }.into(),
                410,
                "Expired",
                "too old resource version: 1 (5); list again",
            ),
        ];
        for (error, code, reason, message) in rows {
            let failure = Failure::from(error);
            assert_eq!(
                (failure.code.as_u16(), failure.reason, failure.message.as_str()),
                (code, reason, message)
            );
        }
    }

    #[test]
    fn causes_name_the_field() {
        let failure = Failure::unprocessable(
            &kind::PERSISTENT_VOLUME_CLAIM,
            "x",
            &[FieldError::new("spec.size", Cause::Required, "say how much")],
        );
        assert_eq!(
            failure.status()["details"],
            json!({"name": "x", "kind": "PersistentVolumeClaim", "causes": [
                {"reason": "FieldValueRequired", "message": "Required value: say how much", "field": "spec.size"}]})
        );
    }
}
