//! One question over one connection, whatever it is made of.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::NodeCallError;
use crate::reply::{Body, BodyError};

/// An agent's refusal is read up to this length.
const REFUSAL_LIMIT: usize = 64 * 1024;

/// How long an agent may take to begin its answer; what follows may take as long as it likes.
const ANSWER: Duration = Duration::from_secs(30);

/// Asks for a path; the connection serves this one answer and ends with it.
pub(super) async fn get<S>(node: &str, stream: S, path_and_query: &str) -> Result<Body, NodeCallError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let unreachable = |source: BodyError| NodeCallError::Unreachable { node: node.to_owned(), source };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| unreachable(e.into()))?;
    tokio::spawn(connection);
    let request = Request::get(path_and_query)
        .header(header::HOST, "agent")
        .body(Empty::<Bytes>::new())
        .map_err(|e| unreachable(e.into()))?;
    let response = tokio::time::timeout(ANSWER, sender.send_request(request)).await;
    let response = response.map_err(|e| unreachable(e.into()))?.map_err(|e| unreachable(e.into()))?;
    let (head, body) = response.into_parts();
    if head.status == StatusCode::OK {
        return Ok(body.map_err(Into::into).boxed_unsync());
    }
    let words = Limited::new(body, REFUSAL_LIMIT).collect().await.map_err(unreachable)?.to_bytes();
    let message = String::from_utf8_lossy(&words).trim().to_owned();
    Err(NodeCallError::Refused { code: head.status.as_u16(), message })
}
