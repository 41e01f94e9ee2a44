//! Whether a token lets a machine in under a name. Pure.
//!
//! | the token | a Node of that name | verdict |
//! |---|---|---|
//! | unknown, or with another secret | any | unknown |
//! | right, its time is over | any | expired |
//! | right, used by this very key | has this key | again: the first answer was lost |
//! | right, used | any other case | used |
//! | right, unused | none | admit |
//! | right, unused | has this key | again: the certificate was lost; the token is used |
//! | right, unused | has another key, or none: it is the server's own | taken |

use jiff::Timestamp;
use orlop_objects::time;
use subtle::ConstantTimeEq;

/// What the server knows of a token.
#[derive(Clone, Debug)]
pub(super) struct TokenFacts {
    /// The hash of its secret.
    pub(super) hash: String,
    /// When it ends.
    pub(super) expires: Option<Timestamp>,
    /// Who has used it, with which key, and when.
    pub(super) used: Option<(String, String, String)>,
}

/// What there is, and what is wanted.
pub(super) struct View<'a> {
    pub(super) now: Timestamp,
    /// The name wanted.
    pub(super) name: &'a str,
    /// The hash of the wanted node's key.
    pub(super) key: &'a str,
    /// The hash of the secret that was shown.
    pub(super) shown: &'a str,
    pub(super) token: Option<TokenFacts>,
    /// The Node of that name, with the key that it remembers.
    pub(super) node: Option<Option<String>>,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The token is used and the Node made, together.
    Admit,
    /// The Node is there; the token is used if it was not.
    Again {
        fresh: bool,
    },
    Refuse(Refusal),
}

/// Why a machine is not let in; the words hold the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error(
        "there is no such token on this server (it may have been removed after its time): `orlop token create` on the server makes another"
    )]
    Unknown,
    #[error(
        "the token ended at {ended}, and the server's clock says {now}: `orlop token create` on the server makes another"
    )]
    Expired { ended: String, now: String },
    #[error(
        "the token was used by node \"{node}\" at {at}, and is good only once: `orlop token create` on the server makes another"
    )]
    Used { node: String, at: String },
    #[error(
        "there is a node \"{name}\" already, with another key: start this agent with the data directory of that one, give it \
         another name with --node-name, or, if that node is gone for good, remove it with `orlop node rm {name}`"
    )]
    Taken { name: String },
}

pub(super) fn decide(view: View<'_>) -> Verdict {
    let right = |token: &TokenFacts| bool::from(token.hash.as_bytes().ct_eq(view.shown.as_bytes()));
    let Some(token) = view.token.filter(right) else { return Verdict::Refuse(Refusal::Unknown) };
    // A token whose end cannot be read has none that one could rely on.
    let ended = token.expires.unwrap_or(Timestamp::UNIX_EPOCH);
    if view.now >= ended {
        let (ended, now) = (time::seconds(ended), time::seconds(view.now));
        return Verdict::Refuse(Refusal::Expired { ended, now });
    }
    let mine = view.node.as_ref().is_some_and(|key| key.as_deref() == Some(view.key));
    match (token.used, view.node) {
        (Some((_, key, _)), _) if key == view.key && mine => Verdict::Again { fresh: false },
        (Some((node, _, at)), _) => Verdict::Refuse(Refusal::Used { node, at }),
        (None, None) => Verdict::Admit,
        (None, Some(_)) if mine => Verdict::Again { fresh: true },
        (None, Some(_)) => Verdict::Refuse(Refusal::Taken { name: view.name.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `token`: its secret's hash and who used it; `node`: the key of the Node that is there.
    fn check(token: Option<(&str, Option<&str>)>, node: Option<Option<&str>>, hour: i64) -> String {
        let at = |hour: i64| Timestamp::from_second(hour * 3600).expect("in range");
        let token = token.map(|(hash, used)| TokenFacts {
            hash: hash.to_owned(),
            expires: Some(at(24)),
            used: used.map(|key| ("n".to_owned(), key.to_owned(), "noon".to_owned())),
        });
        let node = node.map(|key| key.map(str::to_owned));
        match decide(View { now: at(hour), name: "n", key: "mine", shown: "right", token, node }) {
            Verdict::Admit => "admit".to_owned(),
            Verdict::Again { fresh } => format!("again {fresh}"),
            Verdict::Refuse(refusal) => refusal.to_string(),
        }
    }

    #[test]
    fn tokens_and_names() {
        let (right, wrong) = (Some(("right", None)), Some(("wrong", None)));
        let by = |key| Some(("right", Some(key)));
        let rows = [
            (None, None, 0, "there is no such token"),
            (wrong, None, 0, "there is no such token"),
            (Some(("", None)), None, 0, "there is no such token"),
            (wrong, Some(Some("mine")), 0, "there is no such token"),
            (
                right,
                None,
                24,
                "the token ended at 1970-01-02T00:00:00Z, and the server's clock says 1970-01-02T00:00:00Z",
            ),
            (by("mine"), Some(Some("mine")), 25, "the token ended"),
            (by("mine"), Some(Some("mine")), 23, "again false"),
            (by("mine"), None, 1, "the token was used by node \"n\" at noon"),
            (by("mine"), Some(Some("other")), 1, "the token was used"),
            (by("other"), Some(Some("mine")), 1, "the token was used"),
            (by("other"), None, 1, "the token was used"),
            (right, None, 23, "admit"),
            (right, Some(Some("mine")), 0, "again true"),
            (right, Some(Some("other")), 0, "there is a node \"n\" already"),
            (right, Some(None), 0, "there is a node \"n\" already"),
        ];
        for (token, node, hour, expected) in rows {
            let said = check(token, node, hour);
            assert!(said.starts_with(expected), "{token:?} {node:?} at {hour}: {said}");
        }
    }
}
