//! What this machine can do at best, measured in the same run as everything else.

use std::{
    fs::OpenOptions,
    io::Write,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use http_body_util::BodyExt;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, ServerConfig, pki_types::PrivateKeyDer};
use tokio::net::TcpListener;

use crate::connection::{Connection, Endpoint};

/// Appends 2 KiB to a growing file and makes it durable.
pub(crate) struct Append(std::fs::File);

impl Append {
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        Ok(Self(OpenOptions::new().create(true).append(true).open(dir.join("append"))?))
    }

    pub(crate) fn once(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        self.0.write_all(&[7; 2048])?;
        self.0.sync_data()?;
        Ok(begun.elapsed())
    }
}

/// Starts a server that answers every request with its own body, over TLS, and connects to it.
pub(crate) async fn echo() -> Result<Connection> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let server =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key)?;
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let stream = TokioIo::new(acceptor.accept(stream).await?);
        let answer = hyper::service::service_fn(|request: Request<Incoming>| async {
            let body = request.into_body().collect().await?.to_bytes();
            Ok::<_, hyper::Error>(Response::new(http_body_util::Full::new(body)))
        });
        hyper::server::conn::http1::Builder::new().serve_connection(stream, answer).await?;
        anyhow::Ok(())
    });
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone())?;
    let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Endpoint { host: "localhost".to_owned(), port, tls: Arc::new(tls) }.connect().await
}

/// One echo of a body like the one that is created.
pub(crate) async fn echo_once(echo: &mut Connection) -> Result<Duration> {
    let body = crate::scenarios::claim("echo", "bench-nobody", "1Gi");
    let begun = Instant::now();
    echo.call("POST", "/", &body).await?;
    Ok(begun.elapsed())
}
