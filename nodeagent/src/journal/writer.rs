//! The one thread that writes the journal: what is queued goes out in one write and one sync.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
};

use tokio::sync::oneshot;

use crate::error::Error;

/// Lines that one sync may cover.
const BATCH: usize = 256;

type Answer = oneshot::Sender<Result<(), Arc<std::io::Error>>>;

#[derive(Debug)]
struct Line {
    bytes: Vec<u8>,
    answer: Option<Answer>,
}

/// A handle to the thread, which ends with the last handle.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    lines: mpsc::Sender<Line>,
    path: PathBuf,
}

impl Writer {
    pub(super) fn start(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Journal { operation: "open", path: path.to_owned(), source };
        let file = OpenOptions::new().append(true).open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let (lines, queue) = mpsc::channel();
        std::thread::Builder::new()
            .name("orlop-journal".to_owned())
            .spawn(move || Tape { file, length, broken: None }.run(&queue))
            .map_err(failed)?;
        Ok(Self { lines, path: path.to_owned() })
    }

    /// Appends and answers when the line is on disk.
    pub(super) async fn append(&self, bytes: Vec<u8>) -> Result<(), Error> {
        let (answer, written) = oneshot::channel();
        let gone = || Arc::new(std::io::Error::other("its writer has ended"));
        let sent = self.lines.send(Line { bytes, answer: Some(answer) }).map_err(|_| gone());
        let outcome = match sent {
            Ok(()) => written.await.unwrap_or_else(|_| Err(gone())),
            Err(error) => Err(error),
        };
        outcome.map_err(|source| Error::Journal {
            operation: "append to",
            path: self.path.clone(),
            source: std::io::Error::new(source.kind(), source),
        })
    }

    /// Appends some time, unsynced: losing the line is harmless.
    pub(super) fn append_later(&self, bytes: Vec<u8>) {
        // A failed send means that the thread has ended with the agent; the line is one that may be lost.
        let _ = self.lines.send(Line { bytes, answer: None });
    }
}

/// The file, and how much of it is known to be whole.
struct Tape {
    file: File,
    length: u64,
    /// The failure after which nothing that is on disk can be told any more.
    broken: Option<Arc<std::io::Error>>,
}

impl Tape {
    fn run(mut self, queue: &mpsc::Receiver<Line>) {
        while let Ok(first) = queue.recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH
                && let Ok(line) = queue.try_recv()
            {
                batch.push(line);
            }
            let outcome = self.write(&batch);
            for answer in batch.into_iter().filter_map(|line| line.answer) {
                // Nobody waits any more: the agent is stopping.
                let _ = answer.send(outcome.clone());
            }
        }
    }

    fn write(&mut self, batch: &[Line]) -> Result<(), Arc<std::io::Error>> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let bytes: Vec<u8> = batch.iter().flat_map(|line| line.bytes.iter().copied()).collect();
        if let Err(error) = self.file.write_all(&bytes) {
            let error = Arc::new(error);
            // A half-written line (disk full) is cut off again, so that later lines stay whole.
            if self.file.set_len(self.length).is_err() {
                self.broken = Some(error.clone());
            }
            return Err(error);
        }
        if batch.iter().any(|line| line.answer.is_some())
            && let Err(error) = self.file.sync_data()
        {
            // After a failed sync the kernel may have dropped the pages: nothing more is promised.
            let error = Arc::new(error);
            self.broken = Some(error.clone());
            return Err(error);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }
}
