//! One kept-alive HTTP/1.1 connection over TLS, to the server under test or to the echo that is its floor.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Incoming, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use serde_json::Value;
use tokio::net::TcpStream;

/// Where and how to connect.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: Arc<ClientConfig>,
}

/// An open connection.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Endpoint {
    pub(crate) async fn connect(&self) -> Result<Connection> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(self.host.clone())?;
        let stream = tokio_rustls::TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?;
        let (sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        Ok(Connection { sender, host: self.host.clone() })
    }
}

impl Connection {
    async fn request(
        &mut self,
        method: &str,
        path: &str,
        body: Bytes,
    ) -> Result<(http::StatusCode, Incoming)> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host)
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .body(Full::new(body))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await.with_context(|| format!("{method} {path}"))?;
        Ok((answer.status(), answer.into_body()))
    }

    /// Sends and reads the whole answer, which must be a success.
    pub(crate) async fn call(&mut self, method: &str, path: &str, body: &Value) -> Result<Bytes> {
        let bytes = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let (status, body) = self.request(method, path, bytes).await?;
        let answer = body.collect().await?.to_bytes();
        ensure!(status.is_success(), "{method} {path}: {status}: {}", String::from_utf8_lossy(&answer));
        Ok(answer)
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Value> {
        Ok(serde_json::from_slice(&self.call("GET", path, &Value::Null).await?)?)
    }

    /// Opens a watch; the connection is its own from then on.
    pub(crate) async fn watch(mut self, path: &str) -> Result<Watch> {
        let (status, body) = self.request("GET", path, Bytes::new()).await?;
        if !status.is_success() {
            bail!("watch {path}: {status}");
        }
        Ok(Watch { body, buffer: Vec::new(), _connection: self })
    }
}

/// Watch events, one JSON line each.
pub(crate) struct Watch {
    body: Incoming,
    buffer: Vec<u8>,
    _connection: Connection,
}

impl Watch {
    /// Reads events until one of them satisfies `reached`.
    pub(crate) async fn until(&mut self, mut reached: impl FnMut(&Value) -> bool) -> Result<()> {
        loop {
            while let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                if reached(&serde_json::from_slice(&line)?) {
                    return Ok(());
                }
            }
            let frame = self.body.frame().await.context("the watch ended too early")??;
            if let Some(data) = frame.data_ref() {
                self.buffer.extend_from_slice(data);
            }
        }
    }
}
