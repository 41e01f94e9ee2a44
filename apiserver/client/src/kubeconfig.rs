//! A kubeconfig's way to the server: its current context, with everything inline.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

use crate::{TlsError, TlsTransport};

/// A kubeconfig that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A field is missing or has the wrong form.
    #[error("kubeconfig: {field}: {reason}")]
    Field {
        /// Where.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// It is not YAML.
    #[error("kubeconfig is not valid YAML")]
    Syntax(#[source] Box<serde_saphyr::Error>),
    /// Address, certificate or key do not fit.
    #[error("kubeconfig")]
    Tls(#[from] TlsError),
}

impl TlsTransport {
    /// Reads the current context of a kubeconfig: server, its CA, and a client certificate, all inline as `…-data`.
    pub fn from_kubeconfig(text: &str) -> Result<Self, ConfigError> {
        let config: Value = serde_saphyr::from_str(text).map_err(|e| ConfigError::Syntax(Box::new(e)))?;
        let named = |list: &str, name: &str| {
            let items = config[list].as_array().into_iter().flatten();
            items.into_iter().find(|item| item["name"] == name).cloned().unwrap_or_default()
        };
        let context = named("contexts", config["current-context"].as_str().unwrap_or_default());
        let part =
            |list: &str, field: &str| named(list, context["context"][field].as_str().unwrap_or_default());
        let (cluster, user) = (part("clusters", "cluster"), part("users", "user"));
        let server = cluster["cluster"]["server"].as_str().unwrap_or_default();
        let authority = pem("certificate-authority-data", &cluster["cluster"])?;
        let certificate = pem("client-certificate-data", &user["user"])?;
        let key = pem("client-key-data", &user["user"])?;
        Ok(Self::new(server, &authority, &certificate, &key)?)
    }
}

fn field(field: &'static str, reason: impl Into<String>) -> ConfigError {
    ConfigError::Field { field, reason: reason.into() }
}

fn pem(name: &'static str, section: &Value) -> Result<String, ConfigError> {
    let text = section[name]
        .as_str()
        .ok_or_else(|| field(name, "is missing; files beside the kubeconfig are not read"))?;
    let bytes = BASE64_STANDARD.decode(text.trim()).map_err(|e| field(name, e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| field(name, e.to_string()))
}
