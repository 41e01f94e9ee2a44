//! The one thread that writes. No timer: it takes what is queued, makes one batch, one flush, publishes, answers.
//!
//! A conflict is answered only after the batch is published: a rerun before would read the same old snapshot.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{Receiver, TryRecvError},
    },
};

use orlop_objects::Revision;
use tokio::sync::oneshot;
use tracing::{error, warn};

use crate::{
    Error,
    engine::{Engine, Op},
    error::chain,
    layout::Progress,
    plan::{Plan, Verdict},
    shared::Shared,
    tx::Intent,
};

/// Transactions that share a flush, at most.
const MAX_TRANSACTIONS: usize = 512;
/// Bytes after which a batch takes no more.
const MAX_BYTES: usize = 4 << 20;
/// How many revisions lazy transactions may use up before one of them has to flush.
const LAZY_REVISIONS: Revision = 1024;

/// One transaction on its way to the disk.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) intent: Intent,
    pub(crate) answer: oneshot::Sender<Result<Verdict, Error>>,
}

/// The state of the thread.
pub(crate) struct Committer {
    engine: Box<dyn Engine>,
    shared: Arc<Shared>,
    /// The ceiling that is on disk.
    ceiling: Revision,
}

impl Committer {
    /// Writes into `engine` what `shared` will then show.
    pub(crate) fn new(engine: Box<dyn Engine>, shared: Arc<Shared>, ceiling: Revision) -> Self {
        Self { engine, shared, ceiling }
    }

    /// Works until the last handle to the store is gone.
    pub(crate) fn run(mut self, queue: &Receiver<Request>) {
        while let Ok(first) = queue.recv() {
            let batch = take(first, queue);
            self.commit(batch);
        }
        self.close();
    }

    fn commit(&mut self, batch: Vec<Request>) {
        let (intents, answers): (Vec<_>, Vec<_>) = batch.into_iter().map(|r| (r.intent, r.answer)).unzip();
        let written = self.shared.health().and_then(|()| self.write(intents));
        for (n, answer) in answers.into_iter().enumerate() {
            // Whoever asked may have gone away; the commit stands.
            let _ = answer.send(written.as_ref().map(|verdicts| verdicts[n]).map_err(Clone::clone));
        }
    }

    /// Writes and publishes one batch; answers a verdict for each transaction.
    fn write(&mut self, batch: Vec<Intent>) -> Result<Vec<Verdict>, Error> {
        let mut plan = Plan::new(&self.shared.state());
        let verdicts = batch.into_iter().map(|intent| plan.admit(intent)).collect();
        if plan.ops.is_empty() {
            return Ok(verdicts);
        }
        let Plan { state, mut ops, changes, must_flush } = plan;
        let progress = next_progress(state.revision, self.ceiling, must_flush);
        ops.push(progress.op());
        let flush = must_flush || progress.ceiling != self.ceiling;
        self.engine.room(ops.iter().map(Op::size).sum())?;
        self.engine(ops, flush).map_err(|e| self.stop(&e))?;
        self.ceiling = progress.ceiling;
        self.shared.publish(state, &changes);
        Ok(verdicts)
    }

    /// The engine's part; its panics are errors too (sled panics on some I/O errors).
    fn engine(&mut self, ops: Vec<Op>, flush: bool) -> Result<(), Error> {
        let engine = &mut self.engine;
        let work = AssertUnwindSafe(|| {
            engine.apply(ops)?;
            if flush { engine.sync() } else { Ok(()) }
        });
        catch_unwind(work).unwrap_or_else(|panic| Err(Error::engine("write", words(&*panic))))
    }

    /// What is in memory may be ahead of the disk now, and the disk of memory: nothing is written any more.
    fn stop(&self, reason: &Error) -> Error {
        let reason = chain(reason);
        error!(reason, "the store takes no more writes: look after the disk, then start again");
        self.shared.stop(&reason);
        Error::Unavailable { reason: reason.into() }
    }

    /// Leaves everything on disk, lazy transactions too, and no gap in the revisions.
    fn close(&mut self) {
        if self.shared.health().is_ok() {
            let revision = self.shared.state().revision;
            let last = Progress { revision, ceiling: revision }.op();
            let room = self.engine.room(last.size());
            if let Err(e) = room.and_then(|()| self.engine(vec![last], true)) {
                warn!(reason = chain(&e), "closing the store");
            }
        }
        self.shared.rings().close();
    }
}

/// The batch that begins with `first`.
fn take(first: Request, queue: &Receiver<Request>) -> Vec<Request> {
    let mut bytes = first.intent.bytes();
    let mut batch = vec![first];
    while batch.len() < MAX_TRANSACTIONS && bytes < MAX_BYTES {
        match queue.try_recv() {
            Ok(request) => {
                bytes += request.intent.bytes();
                batch.push(request);
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
        }
    }
    batch
}

/// What to record beside a batch that ends at `revision`. A flush that happens anyway keeps half of the lazy
/// revisions in store; without one the ceiling on disk stays, unless it is used up.
fn next_progress(revision: Revision, ceiling: Revision, must_flush: bool) -> Progress {
    let used_up = revision > ceiling;
    let low = must_flush && revision + LAZY_REVISIONS / 2 > ceiling;
    let ceiling = if used_up || low { revision + LAZY_REVISIONS } else { ceiling };
    Progress { revision, ceiling }
}

/// What a panic said.
pub(crate) fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("the engine panicked").to_owned()
}

#[cfg(test)]
mod tests;
