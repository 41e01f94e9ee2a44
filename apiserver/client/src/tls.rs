//! HTTPS to the server: with a client certificate, or, before there is one, with no more than a hash of the authority.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use rustls::{
    ClientConfig, RootCertStore,
    client::WebPkiServerVerifier,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{Stream, Transport, pinned::Pinned, refusal};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);

/// A server's address, certificate or key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The address has another form.
    #[error("{server:?} is no address of a server: it must be https://HOST:PORT")]
    Address {
        /// What was given.
        server: String,
    },
    /// Something is not PEM.
    #[error("{what} cannot be read: {reason}")]
    Pem {
        /// Which.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// They do not fit together.
    #[error("certificate and key")]
    Tls(#[from] rustls::Error),
}

/// Where a server is, and what it is called.
#[derive(Clone, Debug)]
struct Place {
    address: String,
    name: ServerName<'static>,
}

impl Place {
    fn parse(server: &str) -> Result<Self, TlsError> {
        let wrong = || TlsError::Address { server: server.to_owned() };
        let address = server.strip_prefix("https://").ok_or_else(wrong)?.trim_end_matches('/');
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        port.parse::<u16>().map_err(|_| wrong())?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|_| wrong())?;
        Ok(Self { address: address.to_owned(), name })
    }

    async fn connect(&self, connector: &TlsConnector) -> io::Result<Box<dyn Stream>> {
        let open = async {
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            let stream = connector.connect(self.name.clone(), stream).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        };
        let late =
            |_| io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", CONNECT.as_secs()));
        let outcome = tokio::time::timeout(CONNECT, open).await.map_err(late).and_then(|opened| opened);
        outcome.map_err(|error| refusal::explained(&error, &self.address))
    }
}

/// HTTPS with a client certificate.
#[derive(Clone)]
pub struct TlsTransport {
    place: Place,
    connector: TlsConnector,
}

impl TlsTransport {
    /// To `https://HOST:PORT`, whose authority is `authority`, as the holder of `certificate` and `key`; all PEM.
    pub fn new(server: &str, authority: &str, certificate: &str, key: &str) -> Result<Self, TlsError> {
        let place = Place::parse(server)?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates("the authority's certificate", authority)? {
            roots.add(certificate)?;
        }
        let chain = certificates("the certificate", certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|e| TlsError::Pem { what: "the key", reason: e.to_string() })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { place, connector: TlsConnector::from(Arc::new(config)) })
    }
}

impl Transport for TlsTransport {
    fn connect(&self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(self.place.connect(&self.connector))
    }
}

/// HTTPS for a machine that has no certificate yet and knows its server by the hash of the authority alone: the server
/// shows the authority's certificate, and nothing is said before it was found to have that hash.
#[derive(Clone)]
pub struct PinnedTransport {
    place: Place,
    connector: TlsConnector,
    found: Arc<Mutex<Option<CertificateDer<'static>>>>,
}

impl PinnedTransport {
    /// To `https://HOST:PORT`, whose authority's certificate has this SHA-256, in hexadecimal.
    pub fn new(server: &str, authority: &str) -> Result<Self, TlsError> {
        let place = Place::parse(server)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let found = Arc::default();
        let verifier = Pinned::new(authority, provider.clone(), Arc::clone(&found));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { place, connector: TlsConnector::from(Arc::new(config)), found })
    }

    /// The authority's certificate, once a connection has shown it.
    pub fn authority(&self) -> Option<CertificateDer<'static>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Transport for PinnedTransport {
    fn connect(&self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(self.place.connect(&self.connector))
    }
}

/// What verifies a server by one authority.
pub(crate) fn verifier(
    authority: &CertificateDer<'_>,
    provider: &Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone().into_owned())?;
    WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone())
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))
}

fn certificates(what: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|e| TlsError::Pem { what, reason: e.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_with_host_and_port() {
        let read =
            |text: &str| Place::parse(text).map(|place| (place.address, place.name.to_str().into_owned()));
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(read("https://a.example:6443/").ok(), pair("a.example:6443", "a.example"));
        assert_eq!(read("https://[::1]:6443").ok(), pair("[::1]:6443", "::1"));
        for wrong in ["a:6443", "http://a:1", "https://a", "https://a:x", "https://-,:1", ""] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
