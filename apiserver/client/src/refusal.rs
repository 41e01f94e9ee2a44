//! Why a handshake failed, in words that hold the way out.

use std::io;

use jiff::Timestamp;
use orlop_objects::time;
use rustls::{AlertDescription, CertificateError, Error, pki_types::UnixTime};

/// The same error, said so that somebody can act on it.
pub(crate) fn explained(error: &io::Error, address: &str) -> io::Error {
    let words = match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(tls) => words(tls),
        None => error.to_string(),
    };
    io::Error::new(error.kind(), format!("{address}: {words}"))
}

fn words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::NotValidYetContext { time, not_before }) => format!(
            "the server's certificate is not valid before {}, and the clock of this machine says {}: set the clock that is wrong",
            clock(*not_before),
            clock(*time)
        ),
        Error::InvalidCertificate(CertificateError::ExpiredContext { time, not_after }) => format!(
            "the server's certificate was valid until {}, and the clock of this machine says {}: set the clock that is wrong; \
             a server with a right clock renews its certificate by itself",
            clock(*not_after),
            clock(*time)
        ),
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "this server is of another cluster than this node: its certificate is not signed by the CA that the node has \
             known since it joined; give the right server with --server, or begin anew with another --data-dir and a new token"
                .to_owned()
        }
        Error::InvalidCertificate(CertificateError::NotValidForNameContext { expected, presented }) => format!(
            "the server's certificate does not name {}: start the server with `--tls-san {0}`, or use one of its names in \
             --server ({})",
            expected.to_str(),
            presented.join(", ")
        ),
        Error::AlertReceived(AlertDescription::CertificateExpired) => {
            "the server finds this node's certificate expired: compare the clocks of both machines".to_owned()
        }
        Error::AlertReceived(AlertDescription::UnknownCA | AlertDescription::BadCertificate) => {
            "the server does not know the CA of this node's certificate: it is of another cluster, or its DIR/pki was made \
             anew; begin anew with another --data-dir and a new token"
                .to_owned()
        }
        Error::General(words) => words.clone(),
        other => other.to_string(),
    }
}

fn clock(at: UnixTime) -> String {
    let second = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(second).map_or_else(|_| format!("second {second}"), time::seconds)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn clocks_and_names_are_said() {
        let at = |hours: u64| UnixTime::since_unix_epoch(Duration::from_secs(hours * 3600));
        let not_yet = CertificateError::NotValidYetContext { time: at(0), not_before: at(1) };
        let over = CertificateError::ExpiredContext { time: at(2), not_after: at(1) };
        let rows = [
            (
                Error::InvalidCertificate(not_yet),
                "not valid before 1970-01-01T01:00:00Z, and the clock of this machine says 1970-01-01T00",
            ),
            (
                Error::InvalidCertificate(over),
                "valid until 1970-01-01T01:00:00Z, and the clock of this machine says 1970-01-01T02",
            ),
            (Error::InvalidCertificate(CertificateError::UnknownIssuer), "of another cluster"),
            (Error::AlertReceived(AlertDescription::CertificateExpired), "compare the clocks"),
        ];
        for (error, expected) in rows {
            let said = explained(&io::Error::new(io::ErrorKind::InvalidData, error), "a:1").to_string();
            assert!(said.starts_with("a:1: ") && said.contains(expected), "{said}");
        }
    }
}
