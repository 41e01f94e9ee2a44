//! Verifying a server by the hash of its authority's certificate, which the server shows itself.

use std::sync::{Arc, Mutex, PoisonError};

use orlop_objects::join::hex;
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use sha2::{Digest, Sha256};

/// Takes a server whose chain holds the certificate of this hash, and whose own certificate is signed by it.
#[derive(Debug)]
pub(crate) struct Pinned {
    hash: String,
    provider: Arc<CryptoProvider>,
    found: Arc<Mutex<Option<CertificateDer<'static>>>>,
}

impl Pinned {
    pub(crate) fn new(
        hash: &str,
        provider: Arc<CryptoProvider>,
        found: Arc<Mutex<Option<CertificateDer<'static>>>>,
    ) -> Self {
        Self { hash: hash.to_owned(), provider, found }
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown: Vec<String> = chain.iter().map(|c| hex(&Sha256::digest(c))).collect();
        let Some(at) = shown.iter().position(|hash| *hash == self.hash) else {
            return Err(rustls::Error::General(format!(
                "the token is for a server whose CA has SHA-256 {}, and this one shows {}: either the token is of another \
                 cluster (make one there, with `orlop token create`), or somebody stands between; nothing was told to it",
                self.hash,
                shown.first().map_or("none", String::as_str)
            )));
        };
        let verifier = crate::tls::verifier(&chain[at], &self.provider)?;
        let verified = verifier.verify_server_cert(leaf, &[], name, ocsp, now)?;
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(chain[at].clone().into_owned());
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
