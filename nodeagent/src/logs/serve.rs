//! The server's way in: HTTP/1.1 on `DIR/agent.sock` (0600 in a 0700 directory) for the one in this process, over TLS for
//! one that may be anywhere.

use std::{convert::Infallible, fs, os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture, stream};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixListener,
    sync::mpsc,
    task::JoinSet,
};

use super::{
    find::{Refusal, find},
    options::{Options, decode},
    send::{blocking, send},
};
use crate::{Calls, clock, core::Core, error::Error, identity::Answering};

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// Pieces of a log that may wait for a slow reader.
const PIECES: usize = 4;

/// How long a caller may take to say who it is.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Serves the server's calls for ever; a socket is bound at once.
pub(crate) fn serve(core: Arc<Core>, calls: &Calls) -> Result<BoxFuture<'static, ()>, Error> {
    Ok(match calls {
        Calls::Socket => accept(core.clone(), bind(&core)?).boxed(),
        Calls::Tls(answering) => accept_tls(core, answering.clone()).boxed(),
    })
}

fn bind(core: &Core) -> Result<UnixListener, Error> {
    let path = core.machine.layout.socket();
    let failed = |operation| {
        let path = path.clone();
        move |source| Error::File { operation, path, source }
    };
    // The data directory's lock is ours: whatever is there belonged to an agent that has ended.
    crate::execute::container::ensure_no_file(&path)?;
    let listener = UnixListener::bind(&path).map_err(failed("listen on"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed("protect"))?;
    Ok(listener)
}

async fn accept(core: Arc<Core>, listener: UnixListener) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(connection(core.clone(), stream));
            }
            Err(error) => pause_after(&error).await,
        }
    }
}

async fn accept_tls(core: Arc<Core>, answering: Arc<Answering>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let (stream, peer) = match answering.listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                pause_after(&error).await;
                continue;
            }
        };
        let (core, answering) = (core.clone(), answering.clone());
        connections.spawn(async move {
            let _ = stream.set_nodelay(true);
            match tokio::time::timeout(HANDSHAKE, answering.shake_hands(stream)).await {
                Ok(Ok(stream)) => connection(core, stream).await,
                Ok(Err(error)) => tracing::warn!(%peer, %error, "refused a call"),
                Err(_) => tracing::debug!(%peer, "a caller did not say who it is"),
            }
        });
    }
}

/// Accepting fails when file descriptors run out: waiting a moment keeps that from becoming a busy loop.
async fn pause_after(error: &std::io::Error) {
    tracing::warn!(%error, "accept a connection of the server");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

async fn connection(core: Arc<Core>, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
    let answer = hyper::service::service_fn(move |request| answer(core.clone(), request));
    // A reader that goes away in the middle of a log is no fault.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}

async fn answer(core: Arc<Core>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    Ok(match logs(core, &request).await {
        Ok(response) => response,
        Err((code, message)) => {
            let mut response =
                Response::new(Full::from(message).map_err(|never| match never {}).boxed_unsync());
            *response.status_mut() =
                http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
            response
        }
    })
}

async fn logs(core: Arc<Core>, request: &Request<Incoming>) -> Result<Response<Body>, Refusal> {
    if request.method() != Method::GET {
        return Err((405, "only GET is answered here".to_owned()));
    }
    let parts: Vec<String> = request.uri().path().split('/').skip(1).map(decode).collect();
    let [root, namespace, pod, container] = parts.as_slice() else { return Err(unknown()) };
    if root != "containerLogs" {
        return Err(unknown());
    }
    let options =
        Options::parse(request.uri().query().unwrap_or_default(), clock::now()).map_err(|m| (400, m))?;
    let (finder, wanted) = (core.clone(), options.clone());
    let (namespace, pod, container) = (namespace.clone(), pod.clone(), container.clone());
    let found = blocking(move || find(&finder, &namespace, &pod, &container, &wanted)).await??;
    let (pieces, queue) = mpsc::channel(PIECES);
    let runtime = core.machine.runtime.clone();
    tokio::spawn(async move {
        if let Err(error) = send(&found, options, &pieces, move |of| runtime.containers_of(of)).await {
            // Nobody reads any more where this fails.
            let _ = pieces.send(Err(error)).await;
        }
    });
    let frames = stream::unfold(queue, |mut queue| async {
        let piece: std::io::Result<Bytes> = queue.recv().await?;
        Some((piece.map(Frame::data), queue))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    let plain = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
    Ok(response)
}

fn unknown() -> Refusal {
    (404, "the node agent answers /containerLogs/<namespace>/<pod>/<container>".to_owned())
}
