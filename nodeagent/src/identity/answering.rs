//! How an agent that joined is called by its server: TLS in both directions, and by nobody but the server.

use std::sync::Arc;

use orlop_objects::join::CALLER;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{IdentityError, NodeIdentity};

/// Where the server's calls come in.
pub struct Answering {
    /// The port that the Node tells.
    pub listener: TcpListener,
    /// Who answers.
    pub identity: Arc<NodeIdentity>,
}

impl Answering {
    /// Lets a caller in, or says why not. Other nodes have certificates of the same authority: the name decides.
    pub(crate) async fn shake_hands(
        &self,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, std::io::Error> {
        let config = self.identity.answering().map_err(std::io::Error::other)?;
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let found = certificate.and_then(|der| user(der)).unwrap_or_default();
        if found == CALLER {
            return Ok(stream);
        }
        Err(std::io::Error::other(format!("{found:?} called, and only {CALLER} may")))
    }
}

impl NodeIdentity {
    /// What the server is answered with; made anew for each call, so that it is always the current certificate.
    fn answering(&self) -> Result<Arc<ServerConfig>, IdentityError> {
        let papers = self.current().papers;
        let make = || {
            let general = |error: String| rustls::Error::General(error);
            let mut roots = RootCertStore::empty();
            for certificate in certificates(&papers.authority)? {
                roots.add(certificate)?;
            }
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let callers = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
                .build()
                .map_err(|e| general(e.to_string()))?;
            let key =
                PrivateKeyDer::from_pem_slice(papers.key.as_bytes()).map_err(|e| general(e.to_string()))?;
            let config = ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()?
                .with_client_cert_verifier(callers)
                .with_single_cert(certificates(&papers.certificate)?, key)?;
            Ok(Arc::new(config))
        };
        make().map_err(IdentityError::Tls)
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, rustls::Error> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|e| rustls::Error::General(e.to_string()))
}

fn user(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    certificate.subject().iter_common_name().find_map(|name| name.as_str().ok().map(str::to_owned))
}
