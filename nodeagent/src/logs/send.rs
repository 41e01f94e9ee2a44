//! Sending one log: its pieces until its end and, when it is followed, until its container has ended or nobody reads.
//!
//! | the container | a log that nobody writes to |
//! |---|---|
//! | runs | is followed on: it begins anew in a moment |
//! | has ended, or is gone | has ended |
//! | cannot be looked at | is followed on, and the container looked at again |
//!
//! A log that begins anew is read to the end of its old file, and then from the beginning of the new one.

use std::time::Duration;

use bytes::Bytes;
use orlop_backends::host::{self, Container, ContainerStatus};
use tokio::sync::mpsc;

use super::{
    find::{Found, Refusal},
    follow::Watch,
    options::Options,
    reader::Reader,
};

/// How often is looked whether a container has ended whose log was closed: until it begins anew, which takes a moment, or
/// for as long as the container outlives its monitor.
const CLOSED: Duration = Duration::from_secs(1);

/// Where a container is in its life, as far as a log needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Runs,
    Ended,
    Unknown,
}

/// Runs what blocks off the async runtime.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| (500, format!("reading a log failed: {error}")))
}

/// Sends a log; `look` answers the containers whose ids begin so, and blocks.
pub(super) async fn send(
    found: &Found,
    options: Options,
    pieces: &mpsc::Sender<std::io::Result<Bytes>>,
    look: impl Fn(&str) -> host::Result<Vec<Container>> + Clone + Send + 'static,
) -> std::io::Result<()> {
    let other = |(_, message): Refusal| std::io::Error::other(message);
    let mut watch = if options.follow { Some(Watch::new(&found.path)?) } else { None };
    let path = found.path.clone();
    let mut reader = blocking(move || Reader::open(&path, options)).await.map_err(other)??;
    let life = if watch.is_some() { life(found, look.clone()).await.map_err(other)? } else { Life::Ended };
    // The log may have been closed before it was watched: what is unknown is asked again.
    let (mut last, mut replaced, mut closed) = (life == Life::Ended, false, life == Life::Unknown);
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
        if (std::mem::take(&mut replaced) || last) && !reader.is_full() {
            let path = found.path.clone();
            let (back, gone_on) = blocking(move || {
                let gone_on = reader.go_on(&path);
                (reader, gone_on)
            })
            .await
            .map_err(other)?;
            reader = back;
            if gone_on? {
                continue;
            }
        }
        let Some(watch) = watch.as_mut().filter(|_| !last && !reader.is_full()) else { return Ok(()) };
        tokio::select! {
            change = watch.changed() => {
                let change = change?;
                (replaced, closed) = (change.replaced, change.closed);
            }
            () = tokio::time::sleep(CLOSED), if closed => {}
            () = pieces.closed() => return Ok(()),
        }
        // Whoever closes it and lives opens another in a moment.
        last = closed && self::life(found, look.clone()).await.map_err(other)? == Life::Ended;
    }
}

async fn life(
    found: &Found,
    look: impl FnOnce(&str) -> host::Result<Vec<Container>> + Send + 'static,
) -> Result<Life, Refusal> {
    let name = found.id.to_string();
    blocking(move || match look(&name) {
        Ok(all) => {
            let runs =
                all.iter().any(|c| c.id == name && !matches!(c.status, ContainerStatus::Exited { .. }));
            if runs { Life::Runs } else { Life::Ended }
        }
        Err(error) => {
            tracing::debug!(
                container = name,
                error = crate::error::chain(&error),
                "look whether a log goes on"
            );
            Life::Unknown
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        io::Write,
        path::PathBuf,
        sync::{Arc, Mutex},
    };

    use orlop_backends::host::Cause;

    use super::*;
    use crate::ids::ContainerId;

    /// Far longer than anything here takes.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// A log that is followed, of a container whose life is as the test has it.
    struct Stand {
        dir: tempfile::TempDir,
        life: Arc<Mutex<Life>>,
        pieces: mpsc::Receiver<std::io::Result<Bytes>>,
        looks: mpsc::UnboundedReceiver<Life>,
    }

    impl Stand {
        /// Followed from its first line on; whoever writes it may write on.
        fn new(life: Life) -> (Self, File) {
            let dir = tempfile::tempdir().unwrap();
            let found = Found { id: ContainerId::new("uid", "main", 0), path: dir.path().join("0.log") };
            let mut log = File::create(&found.path).unwrap();
            line(&mut log, "one");
            let ((sender, pieces), (told, looks)) = (mpsc::channel(PIECES), mpsc::unbounded_channel());
            let (life, id) = (Arc::new(Mutex::new(life)), found.id.to_string());
            let now = life.clone();
            let look = move |_: &str| {
                let life = *now.lock().unwrap();
                let _ = told.send(life);
                answer(&id, life)
            };
            let options = Options { follow: true, ..Options::default() };
            tokio::spawn(async move { send(&found, options, &sender, look).await.unwrap() });
            (Self { dir, life, pieces, looks }, log)
        }

        fn path(&self) -> PathBuf {
            self.dir.path().join("0.log")
        }

        fn set(&self, life: Life) {
            *self.life.lock().unwrap() = life;
        }

        /// Waits until the container was looked at and found so.
        async fn until_found(&mut self, life: Life) {
            let found = async { while self.looks.recv().await.unwrap() != life {} };
            tokio::time::timeout(PATIENCE, found).await.unwrap();
        }

        /// The next piece; empty at the log's end.
        async fn piece(&mut self) -> Bytes {
            let piece = tokio::time::timeout(PATIENCE, self.pieces.recv()).await.unwrap();
            piece.transpose().unwrap().unwrap_or_default()
        }
    }

    const PIECES: usize = 4;

    fn line(log: &mut File, text: &str) {
        log.write_all(format!("2026-01-01T00:00:01Z stdout F {text}\n").as_bytes()).unwrap();
    }

    fn answer(id: &str, life: Life) -> host::Result<Vec<Container>> {
        let status = match life {
            Life::Runs => ContainerStatus::Running,
            Life::Ended => ContainerStatus::Exited { code: Some(0), at: None },
            Life::Unknown => {
                let source = Cause::Os(std::io::ErrorKind::ResourceBusy.into());
                return Err(host::Error { operation: "list containers", object: "*".into(), source });
            }
        };
        Ok(vec![Container { id: id.to_owned(), process: None, status }])
    }

    #[tokio::test]
    async fn a_log_that_begins_anew_is_followed_unless_its_container_is_known_to_have_ended() {
        for meanwhile in [Life::Runs, Life::Unknown] {
            let (mut stand, log) = Stand::new(Life::Runs);
            assert_eq!(stand.piece().await, "one\n");
            stand.until_found(Life::Runs).await;
            stand.set(meanwhile);
            drop(log);
            stand.until_found(meanwhile).await;
            let fresh = stand.dir.path().join("0.log.tmp");
            let mut log = File::create(&fresh).unwrap();
            fs::rename(&fresh, stand.path()).unwrap();
            line(&mut log, "two");
            assert_eq!(stand.piece().await, "two\n", "{meanwhile:?}");
            stand.set(Life::Ended);
            drop(log);
            assert_eq!(stand.piece().await, "", "{meanwhile:?}");
        }
    }

    #[tokio::test]
    async fn a_container_that_could_not_be_looked_at_is_looked_at_again() {
        let (mut stand, log) = Stand::new(Life::Unknown);
        drop(log);
        assert_eq!(stand.piece().await, "one\n");
        stand.until_found(Life::Unknown).await;
        stand.set(Life::Ended);
        assert_eq!(stand.piece().await, "");
    }
}
