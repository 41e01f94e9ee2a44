//! The handle: reading, writing, watching.

use std::{
    future::Future,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Sender},
    },
    thread::JoinHandle,
    time::Instant,
};

use orlop_objects::{Kind, Revision};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::{
    Changes, Error, Options, Snapshot, Tx, UpdateError, Watch,
    committer::{Committer, Request},
    directory::Format,
    engine::{Engine, logged::Logged, memory::Memory},
    files::Files,
    layout::{self, Progress},
    plan::Verdict,
    shared::Shared,
    state::{Row, State},
    tx::Intent,
};

/// The first revision; before it, nothing has happened.
const FIRST: Revision = 1000;
/// How often a transaction that lost against others is run again.
const RERUNS: usize = 5;

/// A handle to the store. Cheap to clone. The store is closed, with everything on disk, when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Store(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    queue: Option<Mutex<Sender<Request>>>,
    committer: Option<JoinHandle<()>>,
    origin: Origin,
}

/// Where a store lives.
#[derive(Debug)]
enum Origin {
    Memory(Uuid),
    Disk { files: Files, schema: String },
}

/// What `update` answers after the commit is on disk.
#[derive(Clone, Debug)]
pub struct Committed<T> {
    /// The revision of the commit; of the snapshot read when nothing changed.
    pub revision: Revision,
    /// Whether anything was written.
    pub changed: bool,
    /// The closure's answer.
    pub value: T,
}

impl Store {
    /// An empty store in memory, for tests.
    ///
    /// # Panics
    /// When the machine cannot start a thread.
    pub fn in_memory() -> Self {
        Self::on(Box::new(Memory::default()), Origin::Memory(Uuid::new_v4()))
            .expect("an empty map is readable, and a test can start a thread")
    }

    /// A store on an engine of a test's own.
    #[cfg(test)]
    pub(crate) fn on_engine(engine: Box<dyn Engine>) -> Self {
        Self::on(engine, Origin::Memory(Uuid::nil())).expect("opens")
    }

    /// Opens the store in `dir`, or creates one where there is none. Blocks: it reads everything.
    pub fn open(dir: &Path, options: Options) -> Result<Self, Error> {
        let files = Files::open(dir, &options)?;
        let engine = Box::new(Logged::open(&files.engine_path(), options.sync)?);
        Self::on(engine, Origin::Disk { files, schema: options.schema })
    }

    /// Which cluster this is: made with the store, the same ever after.
    pub fn cluster(&self) -> Uuid {
        match &self.0.origin {
            Origin::Memory(cluster) => *cluster,
            Origin::Disk { files, .. } => files.format().cluster,
        }
    }

    /// Whether the stored objects follow another schema than [`Options::schema`]: before serving, all have to be
    /// defaulted anew, and then [`Store::adopt_schema`] called.
    pub fn schema_changed(&self) -> bool {
        matches!(&self.0.origin, Origin::Disk { files, schema } if files.format().schema != *schema)
    }

    /// Records, durably, that all objects follow the schema of [`Options::schema`]. Blocks.
    pub fn adopt_schema(&self) -> Result<(), Error> {
        match &self.0.origin {
            Origin::Disk { files, schema } if self.schema_changed() => {
                files.change(|format| Format { schema: schema.clone(), ..format })
            }
            _ => Ok(()),
        }
    }

    /// Reads everything that `engine` holds, and starts to write into it.
    fn on(mut engine: Box<dyn Engine>, origin: Origin) -> Result<Self, Error> {
        let (state, ceiling) = load(&mut *engine)?;
        let shared = Arc::new(Shared::new(state));
        let (queue, requests) = mpsc::channel();
        let committer = Committer::new(engine, shared.clone(), ceiling);
        let thread = std::thread::Builder::new()
            .name("orlop-committer".to_owned())
            .spawn(move || committer.run(&requests))
            .map_err(|e| Error::engine("start the committer of", e))?;
        let (queue, committer) = (Some(Mutex::new(queue)), Some(thread));
        Ok(Self(Arc::new(Handle { shared, queue, committer, origin })))
    }

    /// The newest snapshot. Contains only what is on disk, and lazy transactions.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.0.shared.state())
    }

    /// The snapshot at exactly `revision`, for continued lists.
    pub fn snapshot_at(&self, revision: Revision) -> Result<Snapshot, Error> {
        let shared = &self.0.shared;
        // The past is asked first: a state that is replaced meanwhile is then found as the newest or the one before.
        let kept = shared.history().at(revision, Instant::now());
        let newest = shared.state();
        match kept {
            Some(state) => Ok(Snapshot(state)),
            None if newest.revision == revision => Ok(Snapshot(newest)),
            None if newest.revision < revision => {
                Err(Error::Future { asked: revision, newest: newest.revision })
            }
            None => {
                // The newest may have been replaced between the two looks.
                let history = shared.history();
                let oldest = history.oldest().unwrap_or(newest.revision);
                history
                    .at(revision, Instant::now())
                    .map(Snapshot)
                    .ok_or(Error::Expired { asked: revision, oldest })
            }
        }
    }

    /// Keeps `snapshot` for `snapshot_at`, since a continue token that names it has been given out. Without this it is
    /// kept as well, but only as one of the last 64 that were published.
    pub fn keep(&self, snapshot: &Snapshot) {
        self.0.shared.history().name(snapshot.0.clone(), Instant::now());
    }

    /// Runs `f` on a snapshot, commits what it wrote if nothing it read by key has changed, reruns it otherwise.
    /// Returns once the commit is on disk and visible. Dropping the future does not take the commit back.
    #[expect(clippy::manual_async_fn, reason = "that the future is `Send` is part of the contract")]
    pub fn update<T: Send, E: Send>(
        &self,
        f: impl Fn(&mut Tx<'_>) -> Result<T, E> + Send,
    ) -> impl Future<Output = Result<Committed<T>, UpdateError<E>>> + Send {
        async move {
            for _ in 0..=RERUNS {
                let snapshot = self.snapshot();
                let mut tx = Tx::new(&snapshot);
                let value = f(&mut tx).map_err(UpdateError::Refused)?;
                let (revision, changed) = match tx.finish()? {
                    None => (snapshot.revision(), false),
                    Some(intent) => match self.submit(intent).await? {
                        Verdict::Committed(revision) => (revision, true),
                        Verdict::Unchanged(revision) => (revision, false),
                        Verdict::Conflict => continue,
                    },
                };
                return Ok(Committed { revision, changed, value });
            }
            Err(UpdateError::Store(Error::Conflict))
        }
    }

    /// All changes of `kind` after `from`, then on. `Expired` when `from` is older than the ring.
    pub fn watch(&self, kind: &'static Kind, from: Revision) -> Result<Watch, Error> {
        Watch::new(self.0.shared.clone(), kind, from)
    }

    /// Keys that change from now on, for in-process consumers; can neither lag nor overflow.
    pub fn changes(&self, kinds: &[&'static Kind]) -> Changes {
        self.0.shared.subscribers.add(kinds)
    }

    /// `Err` with the reason once writes have stopped.
    pub fn health(&self) -> Result<(), Error> {
        self.0.shared.health()
    }

    async fn submit(&self, intent: Intent) -> Result<Verdict, Error> {
        self.health()?;
        let (answer, verdict) = oneshot::channel();
        let gone = || Error::Unavailable { reason: "the committer is gone".into() };
        {
            let queue = self.0.queue.as_ref().ok_or_else(gone)?;
            let queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.send(Request { intent, answer }).map_err(|_| gone())?;
        }
        match verdict.await {
            Ok(verdict) => verdict,
            Err(_) => Err(self.health().err().unwrap_or_else(gone)),
        }
    }
}

impl Drop for Handle {
    /// Waits for the last flush, so that whoever opens the directory next finds it free.
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(committer) = self.committer.take() {
            // A panic of the committer has been printed by its thread.
            let _ = committer.join();
        }
    }
}

/// The state in an engine, with the ceiling that is on disk. An engine that knows no revision is new.
fn load(engine: &mut dyn Engine) -> Result<(State, Revision), Error> {
    let mut state = State::default();
    let mut progress = None;
    engine.load(&mut |key, value| {
        if key == layout::REVISION {
            progress = Some(
                Progress::decode(value).ok_or_else(|| Error::engine("read", "its revision is damaged"))?,
            );
        } else if key.starts_with(layout::OBJECTS) {
            match layout::decode(key, value)? {
                Some(object) => drop(state.put(&Row::new(Arc::new(object)))),
                None => tracing::warn!(key, "left alone: this build does not serve the kind"),
            }
        }
        Ok(())
    })?;
    let nothing = Progress { revision: FIRST - 1, ceiling: FIRST - 1 };
    let Progress { revision, ceiling } = progress.unwrap_or(nothing);
    state.revision = revision.max(ceiling);
    Ok((state, ceiling))
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod model;
