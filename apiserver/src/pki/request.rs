//! What a machine asks to be: its certificate signing request, checked. Pure.
//!
//! | the request | verdict |
//! |---|---|
//! | subject `CN=system:node:NAME`, with or without `O=system:nodes` | a node of that name |
//! | any other user, group or attribute, or no node's name | refused |
//! | wishes for host names, addresses, usages, or to be an authority | refused |
//! | signed by another key than the one it holds, or damaged | refused |
//!
//! A refusal is for whoever wrote the agent: the certificate that is signed takes the name and the key from here and
//! nothing else, so that no wish could be fulfilled by an oversight.

use orlop_objects::{join::hex, names};
use rcgen::{CertificateSigningRequestParams, DnType, DnValue, IsCa, PublicKey, PublicKeyData};
use sha2::{Digest, Sha256};

use crate::{Identity, NODES};

/// A good request.
#[derive(Debug)]
pub(crate) struct NodeRequest {
    /// The node's name.
    pub(crate) name: String,
    /// The key, whose possession the request's signature proves.
    pub(crate) public_key: PublicKey,
}

impl NodeRequest {
    /// Reads a PEM request; the error is in words.
    pub(crate) fn read(pem: &str) -> Result<Self, String> {
        let request = CertificateSigningRequestParams::from_pem(pem)
            .map_err(|e| format!("the certificate signing request cannot be used: {e}"))?;
        let params = &request.params;
        let mut user = None;
        for (kind, value) in params.distinguished_name.iter() {
            match (kind, text(value)) {
                (DnType::CommonName, Some(name)) => user = Some(name.to_owned()),
                (DnType::OrganizationName, Some(NODES)) => {}
                _ => {
                    return Err(format!("a node's certificate has no other group or attribute than {NODES}"));
                }
            }
        }
        let mut who = Identity::named(user.unwrap_or_default());
        who.groups.push(NODES.to_owned());
        let name = who.node_name().ok_or("the subject must be CN=system:node:NAME")?.to_owned();
        if let Some(problem) = names::dns_subdomain(&name) {
            return Err(format!("{name:?} cannot be a node's name: {problem}"));
        }
        let modest = params.subject_alt_names.is_empty()
            && params.key_usages.is_empty()
            && params.extended_key_usages.is_empty()
            && matches!(params.is_ca, IsCa::NoCa);
        if !modest {
            return Err(
                "a node's certificate says who it is and no more: ask for no host names, addresses or usages"
                    .to_owned(),
            );
        }
        Ok(Self { name, public_key: request.public_key })
    }

    /// The hash that a Node remembers its key by.
    pub(crate) fn key_hash(&self) -> String {
        key_hash(self.public_key.der_bytes())
    }
}

/// The hash of a public key's bits, as [`orlop_objects::join::NODE_KEY`] has it.
pub(crate) fn key_hash(bits: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bits)))
}

fn text(value: &DnValue) -> Option<&str> {
    match value {
        DnValue::Utf8String(text) => Some(text),
        DnValue::PrintableString(text) => Some(text.as_str()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, KeyPair};

    use super::*;

    /// A request with this subject, changed by `wish`.
    fn request(subject: &[(DnType, &str)], wish: impl Fn(&mut CertificateParams)) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        wish(&mut params);
        let key = KeyPair::generate().expect("a key can be made");
        params.serialize_request(&key).expect("a request can be made").pem().expect("and written")
    }

    fn check(subject: &[(DnType, &str)], wish: impl Fn(&mut CertificateParams)) -> String {
        match NodeRequest::read(&request(subject, wish)) {
            Ok(request) => request.name,
            Err(why) => why,
        }
    }

    #[test]
    fn only_a_nodes_name_can_be_asked_for() {
        use DnType::{CommonName, CountryName, OrganizationName};
        let none = |_: &mut CertificateParams| {};
        let mine = (CommonName, "system:node:mine");
        let rows = [
            (vec![mine.clone()], "mine"),
            (vec![mine.clone(), (OrganizationName, "system:nodes")], "mine"),
            (
                vec![mine.clone(), (OrganizationName, "system:masters")],
                "a node's certificate has no other group",
            ),
            (vec![mine.clone(), (CountryName, "DE")], "a node's certificate has no other group"),
            (vec![(CommonName, "system:admin")], "the subject must be CN=system:node:NAME"),
            (vec![(CommonName, "system:node:")], "the subject must be CN=system:node:NAME"),
            (vec![(CommonName, "system:node:a/b")], "\"a/b\" cannot be a node's name"),
            (vec![(CommonName, orlop_objects::join::CALLER)], "the subject must be CN=system:node:NAME"),
            (vec![(OrganizationName, "system:nodes")], "the subject must be CN=system:node:NAME"),
            (vec![], "the subject must be CN=system:node:NAME"),
        ];
        for (subject, expected) in rows {
            let said = check(&subject, none);
            assert!(said.starts_with(expected), "{subject:?}: {said}");
        }
    }

    #[test]
    fn wishes_are_refused() {
        let mine = [(DnType::CommonName, "system:node:mine")];
        let wishes: [fn(&mut CertificateParams); 4] = [
            |p| p.subject_alt_names = vec![rcgen::SanType::DnsName("localhost".try_into().expect("a name"))],
            |p| p.subject_alt_names = vec![rcgen::SanType::IpAddress([127, 0, 0, 1].into())],
            |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
            |p| p.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained),
        ];
        for (n, wish) in wishes.into_iter().enumerate() {
            let said = check(&mine, wish);
            assert!(said.contains("ask for no host names") || said.contains("cannot be used"), "{n}: {said}");
        }
    }

    #[test]
    fn possession_of_the_key_is_proved() {
        let pem = request(&[(DnType::CommonName, "system:node:mine")], |_| {});
        let mut request = rustls::pki_types::CertificateSigningRequestDer::from(
            x509_parser::pem::parse_x509_pem(pem.as_bytes()).expect("is PEM").1.contents,
        )
        .to_vec();
        // The name is the one that the signature is over; a byte of it is another name.
        let at = request.windows(4).position(|w| w == b"mine").expect("names the node");
        request[at] = b'f';
        let forged = rustls::pki_types::CertificateSigningRequestDer::from(request);
        assert!(CertificateSigningRequestParams::from_der(&forged).is_err());
    }
}
