//! What a machine that joins and its server say to each other: the token's form, the paths, the marks on objects.
//!
//! ```text
//!  orlop1 . ID . SECRET . CA       ID       which token: the name of the object that holds its hash
//!           │     │        │       SECRET   32 random bytes; the server keeps only their hash
//!           └─ hexadecimal ┘       CA       SHA-256 of the authority's certificate: known before anything secret is said
//! ```
//!
//! Pure: hashes and random bytes are the caller's.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::time;

/// Where a machine with a token asks for its certificate.
pub const JOIN: &str = "/orlop/v1/join";
/// Where a node asks for its next certificate, with the one that it has.
pub const RENEW: &str = "/orlop/v1/renew";

/// On a Node: the hash of the one public key that speaks for it. Written by the server when the node joins, and by nobody
/// else; a Node without it is the server's own.
pub const NODE_KEY: &str = "orlop.dev/node-key";

/// The type of the Secret that holds a token's hash.
pub const TOKEN_TYPE: &str = "orlop.dev/join-token";
/// Where those Secrets are.
pub const TOKEN_NAMESPACE: &str = "kube-system";
/// In a token's Secret: the hash of the secret part.
pub const TOKEN_HASH: &str = "secret-sha256";
/// In a token's Secret: when it ends.
pub const TOKEN_EXPIRES: &str = "expires";
/// In a used token's Secret: the node that used it, its key's hash, and when.
pub const TOKEN_USED: [&str; 3] = ["used-by-node", "used-by-key", "used-at"];

/// The ConfigMap by which everybody learns how this cluster's server is reached, as kubeadm has it.
pub const CLUSTER_INFO: (&str, &str) = ("kube-public", "cluster-info");

/// The user that the server calls agents as; no node's certificate says so.
pub const CALLER: &str = "system:orlop-server";

const FORM: &str = "orlop1";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;
const HASH_BYTES: usize = 32;

/// A token as it is handed over. Not to be logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Which one.
    pub id: String,
    /// What proves that it was handed over.
    pub secret: String,
    /// The hash of the authority's certificate.
    pub authority: String,
}

/// A text that is no token.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TokenError {
    /// It is of another form.
    #[error("it does not begin with `{FORM}.`: give the file that the command of `orlop token create` wrote")]
    Form,
    /// Something is missing or damaged.
    #[error(
        "its {part} must be {digits} hexadecimal digits: copy the whole line that `orlop token create` printed"
    )]
    Part {
        /// Which.
        part: &'static str,
        /// How long it should be.
        digits: usize,
    },
}

impl Token {
    /// A token of random bytes.
    pub fn new(id: [u8; ID_BYTES], secret: [u8; SECRET_BYTES], authority: &str) -> Self {
        Self { id: hex(&id), secret: hex(&secret), authority: authority.to_owned() }
    }

    /// Reads a token; blanks around it do not matter.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let mut parts = text.trim().split('.');
        if parts.next() != Some(FORM) {
            return Err(TokenError::Form);
        }
        let mut part = |part, bytes: usize| {
            let text = parts.next().unwrap_or_default();
            let good =
                text.len() == 2 * bytes && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            good.then(|| text.to_owned()).ok_or(TokenError::Part { part, digits: 2 * bytes })
        };
        let token = Self {
            id: part("id", ID_BYTES)?,
            secret: part("secret", SECRET_BYTES)?,
            authority: part("CA hash", HASH_BYTES)?,
        };
        if parts.next().is_some() {
            return Err(TokenError::Form);
        }
        Ok(token)
    }

    /// The whole text. Whoever has it can join.
    pub fn reveal(&self) -> String {
        format!("{FORM}.{}.{}.{}", self.id, self.secret, self.authority)
    }

    /// The name of the Secret that holds its hash.
    pub fn object_name(id: &str) -> String {
        format!("join-token-{id}")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The Secret that holds a token's hash until `expires`.
pub fn stored_token(id: &str, hash: &str, expires: Timestamp) -> Value {
    let data = [(TOKEN_HASH, hash.to_owned()), (TOKEN_EXPIRES, time::seconds(expires))];
    let data: serde_json::Map<_, _> =
        data.into_iter().map(|(name, text)| (name.to_owned(), BASE64_STANDARD.encode(text).into())).collect();
    json!({"type": TOKEN_TYPE, "metadata": {"name": Token::object_name(id)}, "data": data})
}

/// A field of a token's Secret; `None` for any other Secret.
pub fn token_field(secret: &Value, name: &str) -> Option<String> {
    let text = secret["data"][name].as_str().filter(|_| secret["type"] == TOKEN_TYPE)?;
    String::from_utf8(BASE64_STANDARD.decode(text).ok()?).ok()
}

/// When a token's Secret ends.
pub fn token_end(secret: &Value) -> Option<Timestamp> {
    time::parse(&token_field(secret, TOKEN_EXPIRES)?)
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token::new([1; ID_BYTES], [2; SECRET_BYTES], &hex(&[3; HASH_BYTES]))
    }

    #[test]
    fn a_token_survives_the_way() {
        let text = token().reveal();
        assert_eq!(Token::parse(&format!("  {text}\n")), Ok(token()));
    }

    #[test]
    fn what_is_no_token_is_told() {
        let whole = token().reveal();
        let (id, secret) = ("01".repeat(ID_BYTES), "02".repeat(SECRET_BYTES));
        let rows = [
            (String::new(), "does not begin with `orlop1.`"),
            (whole.replace("orlop1", "orlop2"), "does not begin with `orlop1.`"),
            ("orlop1".to_owned(), "its id must be 16"),
            (format!("orlop1.{id}"), "its secret must be 64"),
            (format!("orlop1.{id}.{secret}"), "its CA hash must be 64"),
            (whole[..whole.len() - 1].to_owned(), "its CA hash must be 64"),
            (whole.replace("02", "0g"), "its secret must be 64"),
            (format!("{whole}.more"), "does not begin with"),
        ];
        for (text, words) in rows {
            let error = Token::parse(&text).expect_err("is no token").to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn a_token_is_not_shown_by_chance() {
        assert!(!format!("{:?}", token()).contains("0202"));
    }
}
