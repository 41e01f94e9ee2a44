//! Making certificates, and reading back what one says.

use std::{collections::BTreeSet, net::IpAddr};

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use x509_parser::{extensions::GeneralName, prelude::FromDer};

use super::{Certified, PkiError, request::NodeRequest};
use crate::{Identity, NODES};

const AUTHORITY_YEARS: i16 = 10;
const LEAF_YEARS: i16 = 1;

/// A new authority. Its name is unique, so that a leaf tells by its issuer whose it is.
pub(super) fn authority(now: Timestamp) -> Result<Certified, PkiError> {
    let name = format!("orlop-ca-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
    let sign = |source| PkiError::Sign { subject: name.clone(), source };
    let mut params = params(now, AUTHORITY_YEARS);
    params.distinguished_name.push(DnType::CommonName, name.as_str());
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate().map_err(sign)?;
    let certificate = params.self_signed(&key).map_err(sign)?;
    Ok(Certified { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// A serving certificate.
pub(super) fn serving(
    issuer: &Issuer<'_, KeyPair>,
    names: &[&str],
    addresses: &[IpAddr],
    now: Timestamp,
) -> Result<Certified, PkiError> {
    let mut params = leaf(now, "orlop", ExtendedKeyUsagePurpose::ServerAuth);
    for name in names {
        let name =
            (*name).try_into().map_err(|source| PkiError::Sign { subject: (*name).to_owned(), source })?;
        params.subject_alt_names.push(SanType::DnsName(name));
    }
    params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
    sign(&params, issuer, "the server")
}

/// A client certificate.
pub(super) fn client(
    issuer: &Issuer<'_, KeyPair>,
    user: &str,
    group: Option<&str>,
    now: Timestamp,
) -> Result<Certified, PkiError> {
    sign(&client_params(user, group, now), issuer, user)
}

/// A node's certificate. Nothing but the public key and the name is taken from the request.
pub(super) fn node(
    issuer: &Issuer<'_, KeyPair>,
    request: &NodeRequest,
    now: Timestamp,
) -> Result<String, PkiError> {
    let identity = Identity::node(&request.name);
    let params = client_params(&identity.user, Some(NODES), now);
    let certificate = params.signed_by(&request.public_key, issuer);
    let certificate = certificate.map_err(|source| PkiError::Sign { subject: identity.user, source })?;
    Ok(certificate.pem())
}

fn client_params(user: &str, group: Option<&str>, now: Timestamp) -> CertificateParams {
    let mut params = leaf(now, user, ExtendedKeyUsagePurpose::ClientAuth);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params
}

fn sign(
    params: &CertificateParams,
    issuer: &Issuer<'_, KeyPair>,
    subject: &str,
) -> Result<Certified, PkiError> {
    let failed = |source| PkiError::Sign { subject: subject.to_owned(), source };
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.signed_by(&key, issuer).map_err(failed)?;
    Ok(Certified { certificate: certificate.pem(), key: key.serialize_pem() })
}

fn leaf(now: Timestamp, name: &str, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = params(now, LEAF_YEARS);
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    params
}

/// Valid from yesterday on, since clocks differ.
fn params(now: Timestamp, years: i16) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let today = now.to_zoned(TimeZone::UTC).date();
    let date = |date: jiff::civil::Date| {
        // Months and days are 1 to 31.
        date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    params.not_before = date(today.saturating_sub(1.day()));
    params.not_after = date(today.saturating_add(i64::from(years).years()));
    params
}

/// What a certificate says.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) subject: String,
    pub(super) issuer: String,
    pub(super) public_key: Vec<u8>,
    /// Host names and addresses.
    pub(super) names: BTreeSet<String>,
    pub(super) expires: Timestamp,
}

/// Reads a PEM certificate; the error is in words.
pub(super) fn facts(pem: &str) -> Result<Facts, String> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|e| e.to_string())?;
    let (_, certificate) =
        x509_parser::certificate::X509Certificate::from_der(&pem.contents).map_err(|e| e.to_string())?;
    let names = certificate.subject_alternative_name().map_err(|e| e.to_string())?;
    let names = names.iter().flat_map(|san| &san.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    });
    Ok(Facts {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        public_key: certificate.public_key().subject_public_key.data.to_vec(),
        names: names.collect(),
        expires: Timestamp::from_second(certificate.validity().not_after.timestamp())
            .map_err(|e| e.to_string())?,
    })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}
