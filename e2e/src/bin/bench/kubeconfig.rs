//! Reads server, CA and client certificate of a kubeconfig's current context.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::Value;

use crate::connection::Endpoint;

pub(crate) fn endpoint(path: &Path) -> Result<Endpoint> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let config: Value = serde_saphyr::from_str(&text)?;
    let context = named(&config, "contexts", &config["current-context"]).context("no current context")?;
    let cluster = named(&config, "clusters", &context["context"]["cluster"]).context("no such cluster")?;
    let user = named(&config, "users", &context["context"]["user"]).context("no such user")?;
    let server = cluster["cluster"]["server"].as_str().context("the cluster has no server")?;
    let uri: http::Uri = server.parse()?;

    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&data(&cluster["cluster"], "certificate-authority")?) {
        roots.add(certificate?)?;
    }
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&data(&user["user"], "client-certificate")?).collect();
    let key = PrivateKeyDer::from_pem_slice(&data(&user["user"], "client-key")?)?;
    let tls = ClientConfig::builder().with_root_certificates(roots).with_client_auth_cert(chain?, key)?;
    let host = uri.host().context("the server has no host")?.trim_matches(['[', ']']).to_owned();
    Ok(Endpoint { host, port: uri.port_u16().unwrap_or(443), tls: Arc::new(tls) })
}

fn named<'a>(config: &'a Value, list: &str, name: &Value) -> Option<&'a Value> {
    config[list].as_array()?.iter().find(|entry| entry["name"] == *name)
}

/// `FIELD-data` in base64, or the file that `FIELD` names.
fn data(section: &Value, field: &str) -> Result<Vec<u8>> {
    if let Some(text) = section[format!("{field}-data")].as_str() {
        return Ok(STANDARD.decode(text)?);
    }
    let path = section[field].as_str().with_context(|| format!("the kubeconfig has no {field}"))?;
    std::fs::read(path).with_context(|| format!("read {path}"))
}
