//! The one HTTP/2 connection of a client: made on first use, made again after a loss.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::Mutex;

use crate::{Error, Transport};

/// The longest wait for an answer to begin; longer ones are streams, whose answer begins at once.
const ANSWER: Duration = Duration::from_secs(60);
/// A silent connection is asked whether it still lives.
const PING: Duration = Duration::from_secs(20);

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The connection, shared by all clones of a client.
pub(crate) struct Connection {
    transport: Arc<dyn Transport>,
    sender: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

/// What is asked.
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
}

impl Ask {
    /// A request without a body.
    pub(crate) fn get(path: String) -> Self {
        Self { method: Method::GET, path, content_type: "application/json", body: Bytes::new() }
    }

    fn operation(&self) -> &'static str {
        match self.method {
            Method::GET => "get",
            Method::POST => "create",
            Method::PUT => "replace",
            Method::PATCH => "patch",
            _ => "delete",
        }
    }

    fn unreachable(&self, source: impl Into<Cause>) -> Error {
        Error::Unreachable { operation: self.operation(), path: self.path.clone(), source: source.into() }
    }

    fn request(&self) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut request = Request::builder()
            .method(&self.method)
            .uri(format!("http://orlop{}", self.path))
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("orlop-client/", env!("CARGO_PKG_VERSION")));
        if !self.body.is_empty() {
            request = request.header(header::CONTENT_TYPE, self.content_type);
        }
        request.body(Full::new(self.body.clone()))
    }
}

impl Connection {
    pub(crate) fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport, sender: Mutex::new(None) }
    }

    /// Asks, and answers the whole body of a success.
    pub(crate) async fn call(&self, ask: &Ask) -> Result<Bytes, Error> {
        let response = self.send(ask).await?;
        let code = response.status();
        let body = response.into_body().collect().await.map_err(|e| ask.unreachable(e))?.to_bytes();
        if code.is_success() { Ok(body) } else { Err(Error::refused(code.as_u16(), &body)) }
    }

    /// Asks, and answers the body of a success as it comes.
    pub(crate) async fn stream(&self, ask: &Ask) -> Result<Incoming, Error> {
        let response = self.send(ask).await?;
        let code = response.status();
        if code.is_success() {
            return Ok(response.into_body());
        }
        let body = response.into_body().collect().await.map_err(|e| ask.unreachable(e))?.to_bytes();
        Err(Error::refused(code.as_u16(), &body))
    }

    /// Sends on the connection there is; one that turns out to be closed is replaced once, since nothing was sent on it.
    async fn send(&self, ask: &Ask) -> Result<Response<Incoming>, Error> {
        for fresh in [false, true] {
            let mut sender = self.sender(fresh).await.map_err(|e| ask.unreachable(e))?;
            if sender.ready().await.is_err() {
                continue;
            }
            let request = ask.request().map_err(|e| ask.unreachable(e))?;
            match tokio::time::timeout(ANSWER, sender.try_send_request(request)).await {
                Err(elapsed) => return Err(ask.unreachable(elapsed)),
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(mut refused)) => {
                    let unsent = refused.take_message().is_some();
                    if fresh || !unsent {
                        return Err(ask.unreachable(refused.into_error()));
                    }
                }
            }
        }
        Err(ask.unreachable("the connection closes as soon as it is made"))
    }

    async fn sender(&self, fresh: bool) -> Result<SendRequest<Full<Bytes>>, Cause> {
        let mut slot = self.sender.lock().await;
        if let Some(sender) = slot.as_ref().filter(|sender| !fresh && !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let stream = self.transport.connect().await?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .handshake(TokioIo::new(stream))
            .await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "the connection to the server broke"
                );
            }
        });
        *slot = Some(sender.clone());
        Ok(sender)
    }
}
