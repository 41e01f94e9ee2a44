//! How server and agents know each other when the server calls: by name, over TLS in both directions.
//!
//! | side | shows | wants to see |
//! |---|---|---|
//! | server | a certificate for [`CALLER`] | the certificate of `system:node:NAME`, and the key that the Node remembers |
//! | agent | its node's certificate | the certificate of [`CALLER`] |
//!
//! Both are client certificates of the cluster's authority: the agent's names no host (see [`super`]), so its chain is
//! verified as a client's, and then its name.

use std::sync::Arc;

use orlop_objects::join::CALLER;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};

use super::{Pki, PkiError, issue, pem, tls};
use crate::Identity;

impl Pki {
    /// How the server calls the agent of `node`, whose key has this hash. Made for each call: it costs less than the
    /// handshake, and never runs out.
    pub(crate) fn caller(&self, node: &str, key: &str) -> Result<Arc<ClientConfig>, PkiError> {
        let mine = issue::client(&self.issuer, CALLER, None, self.now())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = WebPkiClientVerifier::builder_with_provider(self.roots()?.into(), provider.clone())
            .build()
            .map_err(tls)?;
        let verifier = NodeVerifier { chain, node: Identity::node(node), key: key.to_owned() };
        let private = PrivateKeyDer::from_pem_slice(mine.key.as_bytes()).map_err(tls)?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(tls)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(pem(&mine.certificate)?, private)
            .map_err(tls)?;
        Ok(Arc::new(config))
    }
}

/// Takes one node's certificate, and no other's.
#[derive(Debug)]
struct NodeVerifier {
    chain: Arc<dyn ClientCertVerifier>,
    node: Identity,
    key: String,
}

impl ServerCertVerifier for NodeVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.chain.verify_client_cert(leaf, between, now)?;
        let found = Identity::from_certificate(leaf);
        let good = found.as_ref().is_some_and(|found| {
            found.user == self.node.user && found.groups == self.node.groups && found.key() == Some(&self.key)
        });
        if good {
            return Ok(ServerCertVerified::assertion());
        }
        let found = found.map_or_else(|| "nobody".to_owned(), |found| found.user);
        Err(rustls::Error::General(format!(
            "there answers {found}, with a key that is not {}'s",
            self.node.user
        )))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
