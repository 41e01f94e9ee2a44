//! Who this agent is: its key and certificate in `DIR/pki`, had by joining and kept by renewing.
//!
//! | stored | token file | the server says | then |
//! |---|---|---|---|
//! | nothing | none | – | refused: a token is needed |
//! | nothing | given | – | join: a key is made, a certificate asked for |
//! | a node of another name than asked for | any | – | refused |
//! | this node | any | it is known, or nothing | go on with what there is |
//! | this node | none | it is no node any more | refused |
//! | this node, or its time is over | given | it is no node any more, or was not asked | join, with the key that there is |
//! | this node, its time is over | none | – | refused, with both clocks |
//!
//! The key is made here and never leaves. It is written before it is used, so that an answer that was lost is asked for
//! again by the same key, which the server knows. Owns `DIR/pki` of an agent; must not know what an agent does.

mod answering;
mod error;
mod files;
mod papers;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use jiff::{Timestamp, ToSpan};
use orlop_client::{Client, PinnedTransport, Stream, TlsTransport, Transport};
use orlop_objects::{
    Key,
    join::{JOIN, RENEW, Token},
    kind, time,
};
use serde_json::{Value, json};

pub use answering::Answering;
pub use error::IdentityError;
use papers::Papers;

/// A certificate is renewed when it has less time left than this.
const RENEWAL_DAYS: i64 = 30;
/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(3600);
/// Clocks that differ by more than this are worth a word.
const SKEW_SECONDS: i64 = 60;

/// What an agent is started with.
pub struct Wish {
    /// `DIR/pki`.
    pub dir: PathBuf,
    /// `https://HOST:PORT`.
    pub server: String,
    /// What lets it in, where it is not in yet.
    pub token: Option<Token>,
    /// The name it is to have; any stored one where none is given.
    pub name: Option<String>,
}

/// A node's identity, and with it its way to the server.
pub struct NodeIdentity {
    dir: PathBuf,
    server: String,
    current: Mutex<Current>,
}

#[derive(Clone)]
struct Current {
    papers: Papers,
    transport: TlsTransport,
}

impl NodeIdentity {
    /// The name that is stored in `dir`, if any.
    pub fn stored_name(dir: &Path) -> Result<Option<String>, IdentityError> {
        Ok(files::read(dir)?.map(|papers| papers.facts(dir)).transpose()?.map(|facts| facts.name))
    }

    /// Finds out who this agent is, by the table above.
    pub async fn begin(wish: Wish, now: Timestamp) -> Result<Arc<Self>, IdentityError> {
        let Some(papers) = files::read(&wish.dir)? else {
            let token = wish.token.as_ref().ok_or(IdentityError::NoToken)?;
            return Self::join(&wish, token, wish.name.as_deref().unwrap_or_default()).await;
        };
        let facts = papers.facts(&wish.dir)?;
        if let Some(wanted) = wish.name.as_ref().filter(|name| **name != facts.name) {
            return Err(IdentityError::OtherName {
                stored: facts.name,
                wanted: wanted.clone(),
                dir: wish.dir,
            });
        }
        let timely = facts.check_time(now);
        match (&wish.token, timely) {
            (Some(token), Err(_)) => Self::join(&wish, token, &facts.name).await,
            (None, Err(error)) => Err(error),
            (token, Ok(())) => {
                let identity = Self::of(&wish, papers)?;
                match (token, identity.refusal(&facts.name).await) {
                    (_, None) => Ok(identity),
                    (Some(token), Some(_)) => Self::join(&wish, token, &facts.name).await,
                    (None, Some(message)) => Err(IdentityError::Revoked { message }),
                }
            }
        }
    }

    fn of(wish: &Wish, papers: Papers) -> Result<Arc<Self>, IdentityError> {
        let transport = papers.transport(&wish.server)?;
        let current = Mutex::new(Current { papers, transport });
        Ok(Arc::new(Self { dir: wish.dir.clone(), server: wish.server.clone(), current }))
    }

    /// Asks for the first certificate. The key that is stored is used again.
    async fn join(wish: &Wish, token: &Token, name: &str) -> Result<Arc<Self>, IdentityError> {
        let key = files::key(&wish.dir)?;
        let transport =
            PinnedTransport::new(&wish.server, &token.authority).map_err(IdentityError::Server)?;
        let ask = json!({
            "token": {"id": token.id, "secret": token.secret},
            "request": papers::request(&key, name)?,
        });
        let client = Client::new(Arc::new(transport.clone()));
        let answer =
            client.ask(JOIN, &ask).await.map_err(|source| IdentityError::join(name, &wish.server, source))?;
        warn_of_skew(&answer);
        let certificate = certificate(&answer)?;
        // The connection that the answer came by has shown it.
        let authority = transport.authority().ok_or(IdentityError::Answer)?;
        let papers = Papers { key, certificate, authority: papers::pem("CERTIFICATE", &authority) };
        papers.facts(&wish.dir)?;
        files::write(&wish.dir, &papers)?;
        tracing::info!(node = name, server = wish.server, "joined");
        Self::of(wish, papers)
    }

    /// The node's name.
    pub fn name(&self) -> Result<String, IdentityError> {
        Ok(self.current().papers.facts(&self.dir)?.name)
    }

    /// A client that speaks as this node, with whatever certificate is current.
    pub fn client(self: &Arc<Self>) -> Client {
        Client::new(Arc::new(Way(self.clone())))
    }

    /// Why the server does not take this node for one; `None` where it does, or cannot be asked.
    async fn refusal(self: &Arc<Self>, name: &str) -> Option<String> {
        match self.client().get(&Key::cluster(&kind::NODE, name)).await {
            Err(error) if error.code() == Some(401) => Some(error.to_string()),
            Err(error) => {
                tracing::warn!(
                    error = crate::error::chain(&error),
                    "ask the server; going on without an answer"
                );
                None
            }
            Ok(_) => None,
        }
    }

    /// Renews the certificate in time, for ever.
    pub async fn keep(self: Arc<Self>) {
        loop {
            if let Err(error) = self.renew_when_due(Timestamp::now()).await {
                tracing::warn!(
                    error = crate::error::chain(&error),
                    "renew this node's certificate; trying again in an hour"
                );
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Renews the certificate if little of its time is left; answers whether it did.
    pub async fn renew_when_due(self: &Arc<Self>, now: Timestamp) -> Result<bool, IdentityError> {
        let mut papers = self.current().papers;
        let facts = papers.facts(&self.dir)?;
        let soon = now.checked_add((RENEWAL_DAYS * 24).hours()).unwrap_or(now);
        if facts.until > soon {
            return Ok(false);
        }
        let ask = json!({"request": papers::request(&papers.key, &facts.name)?});
        let answer = self.client().ask(RENEW, &ask).await.map_err(IdentityError::Renew)?;
        papers.certificate = certificate(&answer)?;
        papers.facts(&self.dir)?;
        let transport = papers.transport(&self.server)?;
        files::write(&self.dir, &papers)?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Current { papers, transport };
        tracing::info!(node = facts.name, "renewed this node's certificate");
        Ok(true)
    }

    fn current(&self) -> Current {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn certificate(answer: &Value) -> Result<String, IdentityError> {
    answer["certificate"].as_str().map(str::to_owned).ok_or(IdentityError::Answer)
}

fn warn_of_skew(answer: &Value) {
    let Some(theirs) = answer["time"].as_str().and_then(time::parse) else { return };
    let ours = Timestamp::now();
    if (ours.as_second() - theirs.as_second()).abs() > SKEW_SECONDS {
        tracing::warn!(
            "the clock of this machine says {}, the server's says {}: set the one that is wrong, or certificates and \
             timestamps will mislead",
            time::seconds(ours),
            time::seconds(theirs)
        );
    }
}

/// Every connection is made with the certificate that is current then.
struct Way(Arc<NodeIdentity>);

impl Transport for Way {
    fn connect(&self) -> BoxFuture<'_, std::io::Result<Box<dyn Stream>>> {
        let transport = self.0.current().transport;
        Box::pin(async move { transport.connect().await })
    }
}
