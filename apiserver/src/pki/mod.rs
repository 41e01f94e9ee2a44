//! Who is who on the wire: the cluster's own certificate authority, and what it signs.
//!
//! | file in `DIR/pki` | made | lives |
//! |---|---|---|
//! | `ca.key`, `ca.crt` | once | 10 years |
//! | `server.key`, `server.crt` | when absent, when it lacks a name or an address, when less than 30 days are left | 1 year |
//!
//! An address that the machine has lost stays in the serving certificate until it runs out: a cable that is pulled and put
//! back costs no client its trust, and who has the address meanwhile has not the key.
//! Client certificates carry the user as common name and the group as organization, as in Kubernetes; they are not kept.
//! Keys are 0600 in a 0700 directory; every file is written beside its place and renamed, the key before the certificate,
//! so that a certificate that is there is complete. [`Pki::renew`] replaces what runs out, or no longer names the server's
//! addresses, while the server runs.
//!
//! A node's certificate ([`Pki::node_certificate`]) is good for its name only, and only to say who one is: it names no
//! host and cannot serve, so that nobody who joins can be taken for the API server. Server and agent know each other by
//! these names in both directions ([`callers`]); addresses may change.

pub(crate) mod callers;
mod files;
mod issue;
mod kubeconfig;
pub(crate) mod request;
mod serving;

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::{Timestamp, ToSpan};
use orlop_objects::join::hex;
use rcgen::{Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use sha2::{Digest, Sha256};

/// A certificate is renewed when it has less time left than this.
const RENEWAL_DAYS: i64 = 30;
/// More addresses than this are no reason to keep one that the machine has no more.
const ADDRESSES: usize = 32;

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

/// The wall clock, as far as certificates need one.
type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The certificate authority and the serving certificate.
pub struct Pki {
    dir: PathBuf,
    ca: String,
    issuer: Issuer<'static, KeyPair>,
    names: Vec<String>,
    serving: Arc<serving::Current>,
    clock: Clock,
}

impl Pki {
    /// Reads `dir`, and makes what is missing or no longer fits. `names` and `addresses` are what clients call the server.
    pub fn ensure(dir: &Path, names: &[&str], addresses: &[IpAddr]) -> Result<Self, PkiError> {
        Self::ensure_with(dir, names, addresses, Arc::new(Timestamp::now))
    }

    fn ensure_with(dir: &Path, names: &[&str], addresses: &[IpAddr], clock: Clock) -> Result<Self, PkiError> {
        files::directory(dir)?;
        let authority = files::pair(dir, "ca", || issue::authority(clock()))?;
        let key = KeyPair::from_pem(&authority.key).map_err(|e| damaged(dir, "ca.key", &e))?;
        let issuer =
            Issuer::from_ca_cert_pem(&authority.certificate, key).map_err(|e| damaged(dir, "ca.crt", &e))?;
        let pki = Self {
            dir: dir.to_owned(),
            ca: authority.certificate,
            issuer,
            names: names.iter().map(ToString::to_string).collect(),
            serving: Arc::default(),
            clock,
        };
        pki.renew(addresses)?;
        Ok(pki)
    }

    /// Makes the serving certificate anew where it is missing, lacks a host or runs out, and serves with it from the next
    /// connection on. To be called now and then while the server runs, with the addresses by which clients call it by
    /// then; answers whether there is a new one.
    pub fn renew(&self, addresses: &[IpAddr]) -> Result<bool, PkiError> {
        let mut wanted = self.names.iter().cloned().chain(addresses.iter().map(IpAddr::to_string));
        let old = files::read_pair(&self.dir, "server")?;
        let shown =
            old.as_ref().and_then(|old| good_facts(old, &self.ca, self.now())).map(|facts| facts.names);
        let good =
            old.filter(|_| shown.as_ref().is_some_and(|shown| wanted.all(|name| shown.contains(&name))));
        let renewed = good.is_none();
        let current = match good {
            Some(current) => current,
            None => {
                let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
                let addresses = with_former(addresses, shown.iter().flatten());
                let new = issue::serving(&self.issuer, &names, &addresses, self.now())?;
                files::write_pair(&self.dir, "server", &new)?;
                new
            }
        };
        self.serving.replace(&current, &self.ca)?;
        Ok(renewed)
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The authority's certificate as PEM: what clients trust.
    pub fn authority(&self) -> &str {
        &self.ca
    }

    /// The authority's certificate in base64, as a kubeconfig holds it.
    pub fn authority_base64(&self) -> String {
        BASE64_STANDARD.encode(&self.ca)
    }

    /// The SHA-256 of the authority's certificate, in hexadecimal: what a token carries.
    pub fn authority_hash(&self) -> String {
        let certificate = pem(&self.ca).unwrap_or_default();
        hex(&Sha256::digest(certificate.first().map_or(&[][..], |der| der.as_ref())))
    }

    /// Signs a client certificate for `user` in `group`, for one year.
    pub fn client_certificate(&self, user: &str, group: &str) -> Result<Certified, PkiError> {
        issue::client(&self.issuer, user, Some(group), self.now())
    }

    /// Signs a node's certificate for the key of its request: for the node's own name, whatever else was wished for.
    pub(crate) fn node_certificate(&self, request: &request::NodeRequest) -> Result<String, PkiError> {
        issue::node(&self.issuer, request, self.now())
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
            && good_facts(&client, &self.ca, self.now()).is_some()
    }

    /// What TLS listeners use: the current serving certificate, client certificates of this authority or none.
    pub(crate) fn server_config(&self) -> Result<Arc<ServerConfig>, PkiError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(self.roots()?.into(), provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(tls)?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(tls)?
            .with_client_cert_verifier(clients)
            .with_cert_resolver(self.serving.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<RootCertStore, PkiError> {
        let mut roots = RootCertStore::empty();
        for certificate in pem(&self.ca)? {
            roots.add(certificate).map_err(tls)?;
        }
        Ok(roots)
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

/// The addresses, and after them those that are `shown` and were not given up, as far as there is room.
fn with_former<'a>(addresses: &[IpAddr], shown: impl Iterator<Item = &'a String>) -> Vec<IpAddr> {
    let former = shown.filter_map(|name| name.parse().ok()).filter(|former| !addresses.contains(former));
    let room = ADDRESSES.saturating_sub(addresses.len());
    addresses.iter().copied().chain(former.take(room)).collect()
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
