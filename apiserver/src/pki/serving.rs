//! The certificate that is served with at the moment: replaced while the server runs, seen by the next connection.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::{
    pki_types::{PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{Certified, PkiError, pem, tls};

/// What every new connection is answered with.
#[derive(Debug, Default)]
pub(super) struct Current(RwLock<Option<Arc<CertifiedKey>>>);

impl Current {
    /// Serves with `certified` from now on. The authority goes along: a machine that joins knows no more than its hash.
    pub(super) fn replace(&self, certified: &Certified, authority: &str) -> Result<(), PkiError> {
        let mut chain = pem(&certified.certificate)?;
        chain.extend(pem(authority)?);
        let key = PrivateKeyDer::from_pem_slice(certified.key.as_bytes()).map_err(tls)?;
        let provider = rustls::crypto::ring::default_provider();
        let key = CertifiedKey::from_der(chain, key, &provider).map_err(tls)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(key));
        Ok(())
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
