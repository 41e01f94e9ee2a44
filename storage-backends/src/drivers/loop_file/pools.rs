//! The pools of a node: which there are, which one a class means, and which nodes see the same one.
//!
//! | `pool` of the class | pools here that take new volumes | the volume goes into |
//! |---|---|---|
//! | names one | has it | that one |
//! | names one | has it not | refused: which there are |
//! | none | has `default` | `default` |
//! | none | just one | that one |
//! | none | several, none of them `default` | refused: which there are |
//!
//! A **local** pool is a directory of this node alone; it is held locked as long as the driver lives, and one that was
//! opened before has its lock: else it is a mount point on which nothing is mounted. A **shared** pool is a
//! directory that several nodes see: an id file in it, made once by whoever comes first, says so, and gives the value of
//! the label by which the scheduler finds the nodes that see the same one. Whatever changes in it is done under its lock.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use orlop_objects::names;
use uuid::Uuid;

use super::{accounts::Accounts, request::Handle};
use crate::{
    driver::Reach,
    host::{self, FileLock, Host},
};

/// The pool that a class means when it names none.
pub const DEFAULT: &str = "default";
/// Begins the label of a pool; its name follows.
pub const LABEL: &str = "topology.orlop.dev/pool-";
/// Holds the id of a shared pool.
const ID: &str = ".orlop-pool";
/// Whoever changes something in a shared pool, or has a local one, holds it.
const LOCK: &str = ".lock";
/// How long another node may hold the lock of a shared pool: it does so for a few looks and one small file.
const TURN: Duration = Duration::from_secs(20);
/// Between two looks at whether the lock is free.
const PAUSE: Duration = Duration::from_millis(5);
/// The longest name of a pool: with what stands before it, it is a label.
const LONGEST: usize = 40;

/// A pool, as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Its name, by which classes choose it.
    pub name: String,
    /// Its directory.
    pub dir: PathBuf,
    /// Several nodes see the directory.
    pub shared: bool,
    /// The id that a pool of this name had when it was opened last: another one, or in a local pool no lock, means another
    /// directory.
    pub known_id: Option<String>,
    /// It lies in the data directory of its node, which is locked already.
    pub private: bool,
    /// What it is used for.
    pub used: PoolUse,
}

/// What a pool is used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolUse {
    /// Everything. It must open.
    Wanted,
    /// It takes no new volumes; those that it has can be used and removed. One that does not open is left out.
    Retired,
    /// Nothing, for this reason: the node works without it, and what is attached of it stays so.
    LeftOut(String),
}

/// The node that a driver works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name in the cluster.
    pub name: String,
    /// The present boot of its kernel.
    pub boot: String,
}

/// A pool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// What is wrong with it, and the way out.
    #[error("pool {name:?}: {why}")]
    Unfit {
        /// The pool.
        name: String,
        /// In words.
        why: String,
    },
    /// The machine said no.
    #[error("open pool {name:?}")]
    Host {
        /// The pool.
        name: String,
        /// What it said.
        source: host::Error,
    },
}

impl PoolError {
    /// What is wrong, where the pool is named already.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Unfit { why, .. } => why.clone(),
            Self::Host { source, .. } => source.words(),
        }
    }
}

/// Another local pool of a node, which may lie on the same disk.
#[derive(Clone, Debug)]
pub(super) struct Neighbour {
    pub(super) name: String,
    pub(super) dir: PathBuf,
    /// The node goes on without it: nothing else waits for it either.
    pub(super) left_out: bool,
}

impl Neighbour {
    /// One that is left out.
    pub(super) fn left_out(config: &PoolConfig) -> Self {
        Self { name: config.name.clone(), dir: config.dir.clone(), left_out: true }
    }
}

/// A directory with volumes in it.
pub(super) struct Pool {
    pub(super) name: String,
    pub(super) dir: PathBuf,
    pub(super) host: Arc<dyn Host>,
    pub(super) node: Node,
    pub(super) shared: bool,
    /// The label's value.
    pub(super) id: String,
    pub(super) retired: bool,
    /// In common with the pools beside it.
    pub(super) accounts: Arc<Accounts>,
    /// The node's other local pools, when this is one.
    pub(super) beside: Vec<Neighbour>,
    /// A local pool's lock.
    _held: Option<FileLock>,
}

impl Pool {
    /// The pool of a single directory that nobody else uses, made when it is needed.
    pub(super) fn private(host: Arc<dyn Host>, dir: PathBuf, id: String, node: Node) -> Self {
        Self {
            name: DEFAULT.to_owned(),
            dir,
            host,
            node,
            shared: false,
            id,
            retired: false,
            accounts: Arc::default(),
            beside: Vec::new(),
            _held: None,
        }
    }

    /// Opens a directory that must be there: one that is missing may be a file system that is not mounted.
    pub(super) fn open(
        host: Arc<dyn Host>,
        config: &PoolConfig,
        instance: &str,
        node: &Node,
    ) -> Result<Self, PoolError> {
        let unfit = |why: String| PoolError::Unfit { name: config.name.clone(), why };
        let failed = |source| PoolError::Host { name: config.name.clone(), source };
        check_name(&config.name).map_err(unfit)?;
        let dir = host.canonical(&config.dir).map_err(failed)?;
        let Some(dir) = dir else { return Err(unfit(not_there(&config.dir))) };
        if !host.file(&dir).map_err(failed)?.is_some_and(|found| found.directory) {
            return Err(unfit(format!("{} is not a directory", dir.display())));
        }
        let mut pool = Self::private(host, dir, instance.to_owned(), node.clone());
        pool.name.clone_from(&config.name);
        pool.shared = config.shared;
        pool.retired = config.used != PoolUse::Wanted;
        if config.shared {
            pool.id = pool.shared_id(config.known_id.as_deref(), &unfit, &failed)?;
        } else if !config.private {
            let was_opened = pool.retired || config.known_id.is_some();
            if was_opened && pool.host.file(&pool.dir.join(LOCK)).map_err(failed)?.is_none() {
                return Err(unfit(never_held(&pool.dir)));
            }
            pool._held = Some(pool.hold(&unfit, &failed)?);
        }
        Ok(pool)
    }

    /// The id in the directory, made by whoever comes first.
    fn shared_id(
        &self,
        known: Option<&str>,
        unfit: &impl Fn(String) -> PoolError,
        failed: &impl Fn(host::Error) -> PoolError,
    ) -> Result<String, PoolError> {
        let path = self.dir.join(ID);
        let _turn = self.turn().map_err(failed)?;
        let read = || self.host.read_file(&path).map_err(failed);
        let found = match (read()?, known) {
            (Some(found), _) => found,
            (None, Some(known)) => return Err(unfit(other_directory(&self.dir, known, "none"))),
            (None, None) => {
                let fresh = format!("{}\n", Uuid::new_v4().simple());
                let made = self.host.create_file(&path, fresh.as_bytes());
                match (read()?, made) {
                    (Some(found), _) => found,
                    (None, Err(error)) => return Err(failed(error)),
                    (None, Ok(())) => {
                        return Err(unfit(format!("{} vanishes when it is made", path.display())));
                    }
                }
            }
        };
        let id = parse_id(&found).ok_or_else(|| {
            unfit(format!("{} does not hold the id of a pool; restore it from a backup", path.display()))
        })?;
        match known {
            Some(known) if known != id => Err(unfit(other_directory(&self.dir, known, &id))),
            _ => Ok(id),
        }
    }

    /// Keeps every other driver out of a local pool.
    fn hold(
        &self,
        unfit: &impl Fn(String) -> PoolError,
        failed: &impl Fn(host::Error) -> PoolError,
    ) -> Result<FileLock, PoolError> {
        let dir = self.dir.display();
        if self.host.file(&self.dir.join(ID)).map_err(failed)?.is_some() {
            return Err(unfit(format!("{dir} is a shared pool; say so: --pool {}={dir},shared", self.name)));
        }
        self.host.lock(&self.dir.join(LOCK)).map_err(failed)?.ok_or_else(|| {
            unfit(format!(
                "{dir} is in use by another agent; if both are to use it, say so to both: --pool {}={dir},shared",
                self.name
            ))
        })
    }

    pub(super) fn path(&self, handle: &Handle) -> PathBuf {
        self.dir.join(handle.file_name())
    }

    /// The label that shows a node to have this pool.
    pub(super) fn label(&self) -> String {
        format!("{LABEL}{}", self.name)
    }

    /// Where its volumes can be attached.
    pub(super) fn reach(&self) -> Reach {
        if self.shared { Reach::Topology { key: self.label(), value: self.id.clone() } } else { Reach::Node }
    }

    /// The right to change a shared pool, until it is dropped; a local one has no other that could.
    pub(super) fn turn(&self) -> host::Result<Option<FileLock>> {
        if !self.shared {
            return Ok(None);
        }
        let path = self.dir.join(LOCK);
        let until = Instant::now() + TURN;
        loop {
            match self.host.lock(&path)? {
                Some(turn) => return Ok(Some(turn)),
                None if Instant::now() < until => std::thread::sleep(PAUSE),
                None => {
                    return Err(host::Error {
                        operation: "lock",
                        object: path.display().to_string(),
                        source: host::Cause::Timeout(TURN),
                    });
                }
            }
        }
    }
}

fn not_there(dir: &Path) -> String {
    format!("{} does not exist; create it, or mount what belongs there", dir.display())
}

fn other_directory(dir: &Path, known: &str, found: &str) -> String {
    format!(
        "{} is not the directory that it was: its id is {found} and was {known}; mount the right file system there, or \
         give another directory another name",
        dir.display()
    )
}

/// What a driver had, it locked: a bare mount point has no lock, and nothing that is missing there is gone.
fn never_held(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "{dir} is not the directory that it was: it has no {LOCK}; mount the right file system there, or, if it is the right \
         one, create that file: touch {dir}/{LOCK}"
    )
}

/// 32 hex digits.
fn parse_id(content: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(content).ok()?.trim_end_matches('\n');
    let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    digits.then(|| text.to_owned())
}

/// Whether a pool can be called so.
pub fn check_name(name: &str) -> Result<(), String> {
    if let Some(problem) = names::dns_label(name) {
        return Err(format!("{name:?} cannot be a pool's name: {problem}"));
    }
    if name.len() > LONGEST {
        return Err(format!("{name:?} is too long for a pool's name: at most {LONGEST} characters"));
    }
    Ok(())
}

/// Lets the local pools know of each other, and of those that are left out: they may lie on one disk.
pub(super) fn introduce(pools: &mut [Pool], left_out: Vec<Neighbour>) {
    let accounts = Arc::<Accounts>::default();
    let local = pools.iter().filter(|pool| !pool.shared);
    let local =
        local.map(|pool| Neighbour { name: pool.name.clone(), dir: pool.dir.clone(), left_out: false });
    let all: Vec<Neighbour> = local.chain(left_out).collect();
    for pool in pools.iter_mut().filter(|pool| !pool.shared) {
        pool.accounts = Arc::clone(&accounts);
        pool.beside = all.iter().filter(|other| other.name != pool.name).cloned().collect();
    }
}

/// All pools of a driver, by name.
pub(super) struct Pools {
    open: BTreeMap<String, Arc<Pool>>,
    /// Those that are left out, and why.
    left_out: BTreeMap<String, String>,
}

impl Pools {
    pub(super) fn new(pools: impl IntoIterator<Item = Pool>, left_out: BTreeMap<String, String>) -> Self {
        let open = pools.into_iter().map(|pool| (pool.name.clone(), Arc::new(pool))).collect();
        Self { open, left_out }
    }

    pub(super) fn left_out(&self) -> &BTreeMap<String, String> {
        &self.left_out
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.open.values()
    }

    /// The pool that a handle lies in.
    pub(super) fn of(&self, handle: &Handle) -> Result<Arc<Pool>, String> {
        self.open.get(handle.pool()).cloned().ok_or_else(|| match self.left_out.get(handle.pool()) {
            Some(why) => format!(
                "it lies in pool {:?}, which this node goes on without: {why}. Bring that back, and start the agent, or say \
                 `orlop down`, once more",
                handle.pool()
            ),
            None => format!(
                "it lies in pool {:?}, which this node does not have; it has {}. Start its agent with --pool {0}=DIR",
                handle.pool(),
                listed(self.open.keys())
            ),
        })
    }

    /// The pool that a class means.
    pub(super) fn choose(&self, asked: Option<&str>) -> Result<Arc<Pool>, String> {
        let open: BTreeMap<&String, &Arc<Pool>> =
            self.open.iter().filter(|(_, pool)| !pool.retired).collect();
        let found = match asked {
            Some(name) => open.get(&name.to_owned()),
            None => {
                open.get(&DEFAULT.to_owned()).or_else(|| open.values().next().filter(|_| open.len() == 1))
            }
        };
        let has = listed(open.keys().copied());
        found.map(|pool| Arc::clone(pool)).ok_or_else(|| match asked {
            Some(name) => format!(
                "parameter pool {name:?}: this node has no such pool; it has {has}. Name one of those in the class, or \
                 start the node's agent with --pool {name}=DIR"
            ),
            None => format!(
                "the class names no pool, and this node has several, none of them called {DEFAULT}: {has}. Name one in \
                 the parameter pool of the class"
            ),
        })
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests;
