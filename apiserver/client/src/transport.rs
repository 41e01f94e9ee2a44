//! How a client reaches the server.

use std::{io, path::PathBuf, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use futures::future::BoxFuture;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

/// A byte stream to the server.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// Makes connections to the server.
pub trait Transport: Send + Sync + 'static {
    /// Opens one.
    fn connect(&self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>>;
}

/// The administrator's unix socket.
#[derive(Clone, Debug)]
pub struct UnixTransport {
    path: PathBuf,
}

impl UnixTransport {
    /// The server that listens at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl Transport for UnixTransport {
    fn connect(&self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let stream = tokio::net::UnixStream::connect(&self.path).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

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
    /// Certificate or key do not fit.
    #[error("kubeconfig: certificates")]
    Tls(#[from] rustls::Error),
}

/// HTTPS with a client certificate.
#[derive(Clone)]
pub struct TlsTransport {
    address: String,
    name: ServerName<'static>,
    connector: TlsConnector,
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
        let address = server.strip_prefix("https://").map(|a| a.trim_end_matches('/').to_owned());
        let address = address.ok_or_else(|| field("server", "must begin with https://"))?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates("certificate-authority-data", &cluster["cluster"])? {
            roots.add(certificate)?;
        }
        let chain = certificates("client-certificate-data", &user["user"])?;
        let key = PrivateKeyDer::from_pem_slice(&pem("client-key-data", &user["user"])?)
            .map_err(|e| field("client-key-data", e.to_string()))?;
        Self::new(address, roots, chain, key)
    }

    fn new(
        address: String,
        roots: RootCertStore,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, ConfigError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|e| field("server", e.to_string()))?;
        Ok(Self { address, name, connector: TlsConnector::from(Arc::new(config)) })
    }
}

impl Transport for TlsTransport {
    fn connect(&self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let stream = tokio::net::TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            let stream = self.connector.connect(self.name.clone(), stream).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

fn field(field: &'static str, reason: impl Into<String>) -> ConfigError {
    ConfigError::Field { field, reason: reason.into() }
}

fn pem(name: &'static str, section: &Value) -> Result<Vec<u8>, ConfigError> {
    let text = section[name]
        .as_str()
        .ok_or_else(|| field(name, "is missing; files beside the kubeconfig are not read"))?;
    BASE64_STANDARD.decode(text.trim()).map_err(|e| field(name, e.to_string()))
}

fn certificates(name: &'static str, section: &Value) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let pem = pem(name, section)?;
    CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|e| field(name, e.to_string()))
}
