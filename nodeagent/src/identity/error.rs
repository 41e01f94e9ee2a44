//! Why an agent does not know who it is, and the way out.

use std::path::PathBuf;

/// An identity that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The first start.
    #[error(
        "this node has not joined yet: give --token FILE (`orlop token create` on the server prints the whole command)"
    )]
    NoToken,
    /// The data directory is another node's.
    #[error(
        "this data directory belongs to node \"{stored}\", not to \"{wanted}\" ({}): leave out --node-name, or give the other \
         node a directory of its own with --data-dir", dir.display()
    )]
    OtherName {
        /// Whose it is.
        stored: String,
        /// Who was to be started.
        wanted: String,
        /// Where.
        dir: PathBuf,
    },
    /// The certificate is not for now.
    #[error("this node's certificate is {what} {limit}, and the clock of this machine says {now}: {way_out}")]
    Time {
        /// `valid until`, `not valid before`.
        what: &'static str,
        /// When.
        limit: String,
        /// The clock.
        now: String,
        /// What to do.
        way_out: &'static str,
    },
    /// The server does not take the node for one.
    #[error("{message}")]
    Revoked {
        /// Its words.
        message: String,
    },
    /// The server said no to the token, or could not be asked.
    #[error("join {server} as node \"{name}\"")]
    Join {
        /// The name asked for.
        name: String,
        /// The server.
        server: String,
        /// Why.
        source: orlop_client::Error,
    },
    /// The server did not renew.
    #[error("renew the certificate")]
    Renew(#[source] orlop_client::Error),
    /// The server's answer cannot be used.
    #[error("the server's answer holds no certificate: it is of another version of Orlop")]
    Answer,
    /// The server's address, or what is stored, cannot be used.
    #[error("use the server's address and this node's certificate")]
    Server(#[source] orlop_client::TlsError),
    /// A key or a request cannot be made.
    #[error("make a key and a certificate request")]
    Make(#[source] rcgen::Error),
    /// A file of the identity cannot be read or written.
    #[error("{operation} {}", path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A file holds something else than it should.
    #[error("{} is damaged ({reason}): remove {} and join again with a new token", path.display(),
        path.parent().unwrap_or(path).display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// TLS does not take what there is.
    #[error("set up TLS for the server's calls")]
    Tls(#[source] rustls::Error),
}

impl IdentityError {
    pub(super) fn join(name: &str, server: &str, source: orlop_client::Error) -> Self {
        Self::Join { name: name.to_owned(), server: server.to_owned(), source }
    }
}
