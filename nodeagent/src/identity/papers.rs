//! A node's papers: its key, its certificate, its cluster's authority; what they say, and the request for new ones. Pure.

use std::path::Path;

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use orlop_client::TlsTransport;
use orlop_objects::time;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{IdentityError, files::CERTIFICATE};

/// All PEM. Not to be logged.
#[derive(Clone)]
pub(super) struct Papers {
    pub(super) key: String,
    pub(super) certificate: String,
    pub(super) authority: String,
}

/// What a certificate says.
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

impl Papers {
    /// Reads the certificate, which must be a node's and the key's. `dir` is for the words only.
    pub(super) fn facts(&self, dir: &Path) -> Result<Facts, IdentityError> {
        self.read().map_err(|reason| IdentityError::Damaged { path: dir.join(CERTIFICATE), reason })
    }

    fn read(&self) -> Result<Facts, String> {
        let (_, pem) =
            x509_parser::pem::parse_x509_pem(self.certificate.as_bytes()).map_err(|e| e.to_string())?;
        let (_, certificate) = X509Certificate::from_der(&pem.contents).map_err(|e| e.to_string())?;
        let key = KeyPair::from_pem(&self.key).map_err(|e| format!("its key cannot be read: {e}"))?;
        if *certificate.public_key().subject_public_key.data != *key.der_bytes() {
            return Err("it is for another key than the one beside it".to_owned());
        }
        let user = certificate.subject().iter_common_name().find_map(|name| name.as_str().ok());
        let name =
            user.and_then(|user| user.strip_prefix("system:node:")).ok_or("it is no node's")?.to_owned();
        let moment = |seconds| Timestamp::from_second(seconds).map_err(|e| e.to_string());
        let validity = certificate.validity();
        Ok(Facts {
            name,
            from: moment(validity.not_before.timestamp())?,
            until: moment(validity.not_after.timestamp())?,
        })
    }

    /// The way to the server that they open.
    pub(super) fn transport(&self, server: &str) -> Result<TlsTransport, IdentityError> {
        TlsTransport::new(server, &self.authority, &self.certificate, &self.key)
            .map_err(IdentityError::Server)
    }
}

impl Facts {
    /// Whether the certificate is for now.
    pub(super) fn check_time(&self, now: Timestamp) -> Result<(), IdentityError> {
        let wrong = |what, limit, way_out| IdentityError::Time {
            what,
            limit: time::seconds(limit),
            now: time::seconds(now),
            way_out,
        };
        if now < self.from {
            return Err(wrong("not valid before", self.from, "set the clock"));
        }
        if now > self.until {
            let way_out = "if the clock is right, start the agent with the file of a new token (`orlop token create` on the \
                           server): it keeps its key and so its name";
            return Err(wrong("valid until", self.until, way_out));
        }
        Ok(())
    }
}

/// A new key.
pub(super) fn key() -> Result<String, IdentityError> {
    KeyPair::generate().map(|key| key.serialize_pem()).map_err(IdentityError::Make)
}

/// A request to be the node of this name, signed by `key`.
pub(super) fn request(key: &str, name: &str) -> Result<String, IdentityError> {
    let make = || {
        let key = KeyPair::from_pem(key)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("system:node:{name}"));
        params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        params.serialize_request(&key)?.pem()
    };
    make().map_err(IdentityError::Make)
}

/// Bytes in PEM's form.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_has_its_time() {
        let at = |hour: i64| Timestamp::from_second(hour * 3600).unwrap();
        let facts = Facts { name: "n".into(), from: at(1), until: at(2) };
        let said = |hour| facts.check_time(at(hour)).map_err(|e| e.to_string());
        assert_eq!(said(1), Ok(()));
        let early = said(0).unwrap_err();
        assert!(early.contains(
            "not valid before 1970-01-01T01:00:00Z, and the clock of this machine says 1970-01-01T00"
        ));
        let late = said(3).unwrap_err();
        assert!(
            late.contains(
                "valid until 1970-01-01T02:00:00Z, and the clock of this machine says 1970-01-01T03"
            )
        );
        assert!(late.contains("orlop token create"));
    }

    #[test]
    fn papers_must_belong_together() {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "system:node:n");
        let pair = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&pair).unwrap().pem();
        let papers = |key: String| Papers { key, certificate: certificate.clone(), authority: String::new() };
        let name = papers(pair.serialize_pem()).facts(Path::new("/d")).map(|facts| facts.name);
        assert_eq!(name.unwrap(), "n");
        let error = papers(key().unwrap()).facts(Path::new("/d")).err().unwrap().to_string();
        assert!(error.starts_with("/d/node.crt is damaged (it is for another key"), "{error}");
    }
}
