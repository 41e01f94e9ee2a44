//! The socket: HTTP/1.1 on `DIR/agent.sock` (0600 in a 0700 directory), for the server on this machine.

use std::{convert::Infallible, fs, os::unix::fs::PermissionsExt, sync::Arc};

use bytes::Bytes;
use futures::stream;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use orlop_backends::host::ContainerStatus;
use tokio::{net::UnixListener, sync::mpsc};

use super::{
    find::{Found, Refusal, find},
    follow::{Change, Watch},
    options::{Options, decode},
    reader::Reader,
};
use crate::{clock, core::Core, error::Error};

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// Pieces of a log that may wait for a slow reader.
const PIECES: usize = 4;

/// Binds the socket and serves it for ever.
pub(crate) fn serve(core: Arc<Core>) -> Result<impl Future<Output = ()> + Send, Error> {
    let path = core.machine.layout.socket();
    let failed = |operation| {
        let path = path.clone();
        move |source| Error::File { operation, path, source }
    };
    // The data directory's lock is ours: whatever is there belonged to an agent that has ended.
    crate::execute::container::ensure_no_file(&path)?;
    let listener = UnixListener::bind(&path).map_err(failed("listen on"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed("protect"))?;
    Ok(accept(core, listener))
}

async fn accept(core: Arc<Core>, listener: UnixListener) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accept a connection of the server");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let core = core.clone();
        connections.spawn(async move {
            let answer = hyper::service::service_fn(move |request| answer(core.clone(), request));
            // A reader that goes away in the middle of a log is no fault.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
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
    tokio::spawn(async move {
        if let Err(error) = read(&core, &found, options, &pieces).await {
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

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| (500, format!("reading a log failed: {error}")))
}

/// Sends the log's pieces until its end; when following, until the container has ended or nobody reads.
async fn read(
    core: &Arc<Core>,
    found: &Found,
    options: Options,
    pieces: &mpsc::Sender<std::io::Result<Bytes>>,
) -> std::io::Result<()> {
    let other = |(_, message): Refusal| std::io::Error::other(message);
    let mut watch = if options.follow { Some(Watch::new(&found.path)?) } else { None };
    let path = found.path.clone();
    let mut reader = blocking(move || Reader::open(&path, options)).await.map_err(other)??;
    let mut last = watch.is_none() || !is_running(core, found).await.map_err(other)?;
    loop {
        let (back, piece) = blocking(move || {
            let piece = reader.read();
            (reader, piece)
        })
        .await
        .map_err(other)?;
        reader = back;
        let piece = piece?;
        if !piece.is_empty() {
            if pieces.send(Ok(piece.into())).await.is_err() {
                return Ok(());
            }
            if !reader.is_full() {
                continue;
            }
        }
        let Some(watch) = watch.as_mut().filter(|_| !last && !reader.is_full()) else { return Ok(()) };
        tokio::select! {
            change = watch.changed() => last = change? == Change::Closed,
            () = pieces.closed() => return Ok(()),
        }
    }
}

async fn is_running(core: &Arc<Core>, found: &Found) -> Result<bool, Refusal> {
    let (core, name) = (core.clone(), found.id.to_string());
    blocking(move || {
        let all = core.machine.runtime.containers().unwrap_or_default();
        all.iter().any(|c| c.id == name && !matches!(c.status, ContainerStatus::Exited { .. }))
    })
    .await
}
