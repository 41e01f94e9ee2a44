//! Bodies and responses.

use bytes::Bytes;
use futures::Stream;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use serde_json::Value;

use crate::{failure::Failure, query::Query};

/// What can go wrong while a body is being sent.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;
/// A response body: whole, or a stream.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// The content type of everything that is not asked for in another form.
pub(crate) const JSON: &str = "application/json";

/// A body that is known as a whole.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that comes piece by piece.
pub(crate) fn streamed(pieces: impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static) -> Body {
    StreamBody::new(futures::StreamExt::map(pieces, |piece| piece.map(Frame::data))).boxed_unsync()
}

/// A response with a content type.
pub(crate) fn typed(code: StatusCode, content_type: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    if let Ok(value) = HeaderValue::from_str(content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// A JSON response.
pub(crate) fn json(code: StatusCode, value: &Value) -> Response<Body> {
    typed(code, JSON, full(value.to_string()))
}

/// A text response.
pub(crate) fn text(code: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    typed(code, "text/plain; charset=utf-8", full(text))
}

/// A refusal. Every `Failure` ends here.
pub(crate) fn failure(failure: &Failure) -> Response<Body> {
    let mut response = json(failure.code, &failure.status());
    if let Some(seconds) = failure.details.as_ref().and_then(|d| d.retry_after) {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    if failure.code == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Mutual"));
    }
    response
}

/// The same answer with line breaks and indents, where `?pretty=true` asks for it and the whole body is there.
pub(crate) async fn pretty(response: Response<Body>, query: Option<&str>) -> Response<Body> {
    let wanted = Query::parse(query.unwrap_or_default()).is_ok_and(|query| query.flag("pretty"));
    let json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|v| v.as_bytes().starts_with(JSON.as_bytes()));
    let whole = hyper::body::Body::size_hint(response.body()).exact().is_some();
    if !(wanted && json && whole) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let Ok(bytes) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
        return failure(&Failure::internal("a body that was whole broke off"));
    };
    head.headers.remove(header::CONTENT_LENGTH);
    let value: serde_json::Result<Value> = serde_json::from_slice(&bytes);
    match value.and_then(|value| serde_json::to_vec_pretty(&value)) {
        Ok(mut text) => {
            text.push(b'\n');
            Response::from_parts(head, full(text))
        }
        Err(_) => Response::from_parts(head, full(bytes)),
    }
}

/// Adds `Warning:` headers (RFC 7234 section 5.5, code 299). What a header cannot carry is left out of the text.
pub(crate) fn warn(response: &mut Response<Body>, warnings: &[String]) {
    for warning in warnings {
        let mut text = String::with_capacity(warning.len() + 10);
        text.push_str("299 - \"");
        for c in warning.chars().filter(|c| !c.is_control()) {
            if matches!(c, '"' | '\\') {
                text.push('\\');
            }
            text.push(c);
        }
        text.push('"');
        if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
}
