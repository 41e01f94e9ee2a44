//! Listeners and connections: unix socket, TLS, and a pipe inside the process; and how they end.
//!
//! ```text
//!  serving ──shutdown──► watches end ──► connections drain ──► (5 s) ──► the rest is cut off
//! ```

use std::{convert::Infallible, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use orlop_registry::Registry;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream},
    net::{TcpListener, TcpStream, UnixListener},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Identity, NodeCalls,
    pki::{Pki, PkiError},
    router,
};

/// How long connections may take to finish what they are at.
const DRAIN: Duration = Duration::from_secs(5);
/// How long a client may take to say who it is.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Bytes under way in each direction of a pipe inside the process.
const PIPE: usize = 64 * 1024;
/// Requests under way on one connection: informers keep many watches on one.
const STREAMS: u32 = 1000;

/// The API server. Cheap to clone.
#[derive(Clone)]
pub struct ApiServer {
    pub(crate) inner: Arc<Inner>,
}

/// What every request needs.
pub(crate) struct Inner {
    pub(crate) registry: Registry,
    pub(crate) nodes: Arc<dyn NodeCalls>,
    /// What signs nodes' certificates; without it no machine can join.
    pub(crate) pki: Option<Arc<Pki>>,
    /// Ends watches and listeners.
    pub(crate) closing: CancellationToken,
    /// Asks connections to finish.
    draining: CancellationToken,
    /// Cuts connections off.
    cutting: CancellationToken,
    tasks: TaskTracker,
}

impl ApiServer {
    /// A server over the one door; `nodes` is its way to the agents.
    pub fn new(registry: Registry, nodes: Arc<dyn NodeCalls>) -> Self {
        Self::open(registry, nodes, None)
    }

    /// The same for a cluster that machines can join.
    pub fn joinable(registry: Registry, nodes: Arc<dyn NodeCalls>, pki: Arc<Pki>) -> Self {
        Self::open(registry, nodes, Some(pki))
    }

    fn open(registry: Registry, nodes: Arc<dyn NodeCalls>, pki: Option<Arc<Pki>>) -> Self {
        let inner = Inner {
            registry,
            nodes,
            pki,
            closing: CancellationToken::new(),
            draining: CancellationToken::new(),
            cutting: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Serves the administrator on a unix socket: whoever can open it is one, so its directory is 0700 and the socket
    /// 0600. An old socket at `path` is replaced: the caller holds the data directory's lock. Returns once it listens.
    pub async fn serve_unix(&self, path: &Path) -> io::Result<()> {
        let listener = bind_unix(path)
            .map_err(|e| io::Error::new(e.kind(), format!("listen on {}: {e}", path.display())))?;
        let (server, who) = (self.clone(), Arc::new(Identity::admin()));
        self.inner.tasks.spawn(async move {
            while let Some(accepted) = server.until_closing(listener.accept()).await {
                match accepted {
                    Ok((stream, _)) => server.spawn_connection(stream, Some(who.clone())),
                    Err(error) => pause_after(&error).await,
                }
            }
        });
        Ok(())
    }

    /// Serves HTTPS, HTTP/1.1 and 2. A client is who its certificate says; one without may ask for little. Returns the
    /// address at once and serves in the background.
    pub async fn serve_tls(&self, listener: TcpListener, pki: &Pki) -> Result<SocketAddr, PkiError> {
        let acceptor = TlsAcceptor::from(pki.server_config()?);
        let address = listener.local_addr().map_err(|e| PkiError::Tls(e.into()))?;
        let server = self.clone();
        self.spawn(async move {
            while let Some(accepted) = server.until_closing(listener.accept()).await {
                match accepted {
                    Ok((stream, _)) => server.spawn(server.clone().tls(stream, acceptor.clone())),
                    Err(error) => pause_after(&error).await,
                }
            }
        });
        Ok(address)
    }

    async fn tls(self, stream: TcpStream, acceptor: TlsAcceptor) {
        // Small answers must not wait for the client's acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        let handshake = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream));
        match self.until_closing(handshake).await {
            Some(Ok(Ok(stream))) => {
                let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                let who = certificate.and_then(|der| Identity::from_certificate(der)).map(Arc::new);
                self.connection(stream, who).await;
            }
            Some(Ok(Err(error))) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "a TLS handshake failed");
            }
            Some(Err(_)) | None => {}
        }
    }

    /// A connection inside the process, HTTP/2 or 1.1, on which every request is `who`'s.
    pub fn connect(&self, who: Identity) -> DuplexStream {
        let (near, far) = tokio::io::duplex(PIPE);
        self.spawn_connection(far, Some(Arc::new(who)));
        near
    }

    /// Ends: no more connections, watches end cleanly, then connections; what takes longer than 5 s is cut off.
    pub async fn shutdown(&self) {
        self.inner.closing.cancel();
        self.inner.tasks.close();
        self.inner.draining.cancel();
        if tokio::time::timeout(DRAIN, self.inner.tasks.wait()).await.is_err() {
            tracing::debug!("connections did not finish in time and are cut off");
            self.inner.cutting.cancel();
            self.inner.tasks.wait().await;
        }
    }

    /// The result of `work`, or `None` once the server closes.
    pub(crate) async fn until_closing<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.inner.closing.run_until_cancelled(work).await
    }

    /// Runs a task that [`ApiServer::shutdown`] waits for.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.inner.tasks.spawn(task);
    }

    pub(crate) fn spawn_connection<S>(&self, stream: S, who: Option<Arc<Identity>>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let server = self.clone();
        self.spawn(async move { server.connection(stream, who).await });
    }

    /// Serves one connection to its end. `who` is `None` for a client without a certificate.
    pub(crate) async fn connection<S>(&self, stream: S, who: Option<Arc<Identity>>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let service = service_fn(|request: Request<Incoming>| {
            let (inner, who) = (self.inner.clone(), who.clone());
            async move { Ok::<_, Infallible>(router::answer(inner, who, request).await) }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(30));
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .keep_alive_interval(Duration::from_secs(30));
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let draining = async {
            self.inner.draining.cancelled().await;
        };
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = draining => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => ended,
                    () = self.inner.cutting.cancelled() => Ok(()),
                }
            }
        };
        if let Err(error) = ended {
            // A client that goes away in the middle is everyday life.
            tracing::debug!(error = &*error as &dyn std::error::Error, "a connection broke");
        }
    }
}

/// Accepting fails when file descriptors run out: waiting a moment keeps that from becoming a busy loop.
pub(crate) async fn pause_after(error: &io::Error) {
    tracing::warn!(error = error as &dyn std::error::Error, "accepting a connection failed");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    if let Some(parent) = path.parent().filter(|p| !p.exists()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}
