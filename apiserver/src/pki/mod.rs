//! Who is who on the wire: the cluster's own certificate authority, and what it signs.
//!
//! | file in `DIR/pki` | made | lives |
//! |---|---|---|
//! | `ca.key`, `ca.crt` | once | 10 years |
//! | `server.key`, `server.crt` | when absent, when names or addresses change, when less than 30 days are left | 1 year |
//!
//! Client certificates carry the user as common name and the group as organization, as in Kubernetes; they are not kept.
//! Keys are 0600 in a 0700 directory; every file is written beside its place and renamed, the key before the certificate,
//! so that a certificate that is there is complete.

mod files;
mod issue;
mod kubeconfig;

use std::{
    collections::BTreeSet,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::{Timestamp, ToSpan};
use rcgen::{Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

/// A certificate is renewed when it has less time left than this.
const RENEWAL_DAYS: i64 = 30;

/// Certificates that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file cannot be read or written.
    #[error("{operation} {}", .path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A file holds something else than it should.
    #[error("{} is damaged ({reason}): remove {} to have new certificates made; kubeconfigs made before then no longer work",
        .path.display(), .path.parent().unwrap_or(Path::new("")).display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A certificate cannot be made.
    #[error("sign a certificate for {subject}")]
    Sign {
        /// Whose.
        subject: String,
        /// Why it failed.
        source: rcgen::Error,
    },
    /// TLS does not take what there is.
    #[error("set up TLS")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A certificate with its key, both PEM.
#[derive(Clone)]
pub struct Certified {
    /// The certificate.
    pub certificate: String,
    /// Its private key. Not to be logged.
    pub key: String,
}

/// The certificate authority and the serving certificate.
pub struct Pki {
    ca: String,
    issuer: Issuer<'static, KeyPair>,
    serving: Certified,
    now: Timestamp,
}

impl Pki {
    /// Reads `dir`, and makes what is missing or no longer fits. `names` and `addresses` are what clients call the server.
    pub fn ensure(dir: &Path, names: &[&str], addresses: &[IpAddr]) -> Result<Self, PkiError> {
        Self::ensure_at(dir, names, addresses, Timestamp::now())
    }

    fn ensure_at(dir: &Path, names: &[&str], addresses: &[IpAddr], now: Timestamp) -> Result<Self, PkiError> {
        files::directory(dir)?;
        let authority = files::pair(dir, "ca", || issue::authority(now))?;
        let key = KeyPair::from_pem(&authority.key).map_err(|e| damaged(dir, "ca.key", &e))?;
        let issuer =
            Issuer::from_ca_cert_pem(&authority.certificate, key).map_err(|e| damaged(dir, "ca.crt", &e))?;
        let wanted =
            names.iter().map(ToString::to_string).chain(addresses.iter().map(IpAddr::to_string)).collect();
        let serving = match files::read_pair(dir, "server")? {
            Some(old) if still_good(&old, &authority.certificate, &wanted, now) => old,
            _ => {
                let new = issue::serving(&issuer, names, addresses, now)?;
                files::write_pair(dir, "server", &new)?;
                new
            }
        };
        Ok(Self { ca: authority.certificate, issuer, serving, now })
    }

    /// The authority's certificate as PEM: what clients trust.
    pub fn authority(&self) -> &str {
        &self.ca
    }

    /// Signs a client certificate for `user` in `group`, for one year.
    pub fn client_certificate(&self, user: &str, group: &str) -> Result<Certified, PkiError> {
        issue::client(&self.issuer, user, group, self.now)
    }

    /// Writes a kubeconfig (0600) by which `user` in `group` reaches the server at `url`, with a certificate of its own.
    /// One that still does that is left alone: copies of it stay the same, and a full disk is no hindrance.
    pub fn write_kubeconfig(&self, path: &Path, url: &str, user: &str, group: &str) -> Result<(), PkiError> {
        let old = files::read(path)?.unwrap_or_default();
        if self.still_reaches(&old, url, user, group) {
            return Ok(());
        }
        let certified = self.client_certificate(user, group)?;
        files::write(path, &kubeconfig::text(url, &self.ca, user, &certified))
    }

    fn still_reaches(&self, file: &str, url: &str, user: &str, group: &str) -> bool {
        let Some(client) = kubeconfig::certified(file) else { return false };
        let der = pem(&client.certificate).unwrap_or_default();
        let who = der.first().and_then(|der| crate::Identity::from_certificate(der));
        kubeconfig::text(url, &self.ca, user, &client) == file
            && who.is_some_and(|who| who.user == user && who.is_in(group))
            && good_facts(&client, &self.ca, self.now).is_some()
    }

    /// What TLS listeners use: this serving certificate, client certificates of this authority or none.
    pub(crate) fn server_config(&self) -> Result<Arc<ServerConfig>, PkiError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        for certificate in pem(&self.ca)? {
            roots.add(certificate).map_err(tls)?;
        }
        let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(tls)?;
        let key = PrivateKeyDer::from_pem_slice(self.serving.key.as_bytes()).map_err(tls)?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(tls)?
            .with_client_cert_verifier(clients)
            .with_single_cert(pem(&self.serving.certificate)?, key)
            .map_err(tls)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn pem(text: &str) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<_, _>>().map_err(tls)
}

fn tls(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> PkiError {
    PkiError::Tls(error.into())
}

fn damaged(dir: &Path, file: &str, reason: &impl ToString) -> PkiError {
    PkiError::Damaged { path: dir.join(file), reason: reason.to_string() }
}

/// Whether a serving certificate can be used on: good, and with the right names.
fn still_good(serving: &Certified, ca: &str, wanted: &BTreeSet<String>, now: Timestamp) -> bool {
    good_facts(serving, ca, now).is_some_and(|found| found.names == *wanted)
}

/// What a certificate says that is this authority's, its key's, and has time left.
fn good_facts(certified: &Certified, ca: &str, now: Timestamp) -> Option<issue::Facts> {
    let (found, authority) = (issue::facts(&certified.certificate).ok()?, issue::facts(ca).ok()?);
    let key = KeyPair::from_pem(&certified.key).ok()?;
    let renewal = now.checked_add((RENEWAL_DAYS * 24).hours()).unwrap_or(now);
    let good = found.issuer == authority.subject
        && found.public_key == key.public_key_raw()
        && found.expires > renewal;
    good.then_some(found)
}

#[cfg(test)]
mod tests;
