//! The accounts of a pool: which volumes it holds, how much of it is promised, and whether more may be.
//!
//! | is there already | fits in | verdict |
//! |---|---|---|
//! | with this size | – | Exists |
//! | with another size | – | OtherSize |
//! | no | promised + asked ≤ overcommit × pool | Promise |
//! | no | more | Full, with the arithmetic |
//!
//! Size of the pool = free space of its file system + what its own files occupy: what others fill is not ours to
//! promise. Promised = lengths of all volumes + what is being made at this moment. Local pools of a node on one disk have
//! their space and their promises in common ([`beside`]): so they have one set of accounts, and one lock.
//!
//! What a local pool's driver is making, it knows. In a shared pool others make volumes as well: there the file that is being
//! made has its full length from the start and is locked by its maker; both happen under the pool's lock, and so does its
//! renaming once it is made. So everybody sees every promise, under one name or the other; and a file that is being made and that nobody has locked is what a dead maker left.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    attach::SIZE,
    beside::{self, Beside},
    ensure_pool,
    fault::Context,
    pools::Pool,
    request::{Handle, Overcommit, Spec, human},
};
use crate::{
    driver::{Code, Error, Volume},
    host::{self, FileInfo, FileLock, FsType, Probe},
};

/// The one thing that is kept in memory: of one shared pool, or of all local ones of a node.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Pools from which what a crashed run left half-made has been removed.
    swept: BTreeSet<String>,
    /// Sizes of the volumes that are being made.
    making: BTreeMap<Handle, u64>,
}

/// A promise that becomes a file, or is taken back when dropped.
pub(super) struct Promise<'a> {
    accounts: &'a Accounts,
    handle: Handle,
    /// In a shared pool, the lock of the file that is being made.
    _file: Option<FileLock>,
}

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        self.accounts.lock().making.remove(&self.handle);
    }
}

impl Accounts {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What to do about a volume that is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Exists,
    OtherSize(u64),
    Promise,
    Full(String),
}

/// All that the verdict is made of.
struct View {
    /// Length of the volume's own file.
    own: Option<u64>,
    volumes: usize,
    promised: u64,
    total: u64,
    /// Whose all that is as well, in words.
    common: String,
}

fn decide(view: &View, bytes: u64, overcommit: Overcommit) -> Verdict {
    match view.own {
        Some(length) if length == bytes => return Verdict::Exists,
        Some(length) => return Verdict::OtherSize(length),
        None => {}
    }
    let limit = overcommit.of(view.total);
    if view.promised.checked_add(bytes).is_some_and(|sum| sum <= limit) {
        return Verdict::Promise;
    }
    Verdict::Full(format!(
        "the pool cannot promise {}: it has {}{}, times overcommit {overcommit} is {}, of which {} are promised to {} \
         volumes and {} are left; ask for less, delete volumes, enlarge the disk, or raise the parameter overcommit \
         of the class",
        human(bytes),
        human(view.total),
        view.common,
        human(limit),
        human(view.promised),
        view.volumes,
        human(limit.saturating_sub(view.promised)),
    ))
}

/// `Ok(None)`: it is there already, with the size asked for.
pub(super) fn promise<'a>(
    pool: &'a Pool,
    context: &Context,
    spec: &Spec,
) -> Result<Option<Promise<'a>>, Error> {
    let _turn = pool.turn().map_err(|error| context.host(error))?;
    let mut state = pool.accounts.lock();
    let found = survey(pool, &mut state).map_err(|error| context.host(error))?;
    if found.made_elsewhere.contains(&spec.handle) {
        return Err(context.fail(Code::Aborted, "another node is making it; it is looked at again"));
    }
    let own = found.volumes.get(&spec.handle).map(|file| file.length);
    let view = View {
        own,
        volumes: found.volumes.len() + found.beside.volumes.len(),
        promised: found.promised,
        total: found.total,
        common: found.beside.words(),
    };
    match decide(&view, spec.bytes, spec.overcommit) {
        Verdict::Exists => Ok(None),
        Verdict::OtherSize(length) => Err(context.fail(
            Code::AlreadyExists,
            format!("it exists with {} and not {}", human(length), human(spec.bytes)),
        )),
        Verdict::Promise => {
            let file = reserve(pool, spec).map_err(|error| context.host(error))?;
            state.making.insert(spec.handle.clone(), spec.bytes);
            Ok(Some(Promise { accounts: &pool.accounts, handle: spec.handle.clone(), _file: file }))
        }
        Verdict::Full(why) => Err(context.fail(Code::ResourceExhausted, why)),
    }
}

/// Shows the promise to all nodes that see the pool.
fn reserve(pool: &Pool, spec: &Spec) -> host::Result<Option<FileLock>> {
    if !pool.shared {
        return Ok(None);
    }
    let making = pool.dir.join(spec.handle.making_name());
    pool.host.create_sparse(&making, spec.bytes)?;
    match pool.host.lock(&making)? {
        Some(lock) => Ok(Some(lock)),
        None => Err(host::Error {
            operation: "lock",
            object: making.display().to_string(),
            source: host::Cause::Refused("another has locked what was made a moment ago".to_owned()),
        }),
    }
}

/// The pool as found.
pub(super) struct Survey {
    volumes: BTreeMap<Handle, FileInfo>,
    /// What is being made by whoever has it locked, in a shared pool.
    made_elsewhere: BTreeSet<Handle>,
    beside: Beside,
    /// The disk that local pools have in common with those beside them.
    pub(super) disk: Option<u64>,
    /// With what the pools beside it have promised.
    pub(super) promised: u64,
    /// With what the pools beside it occupy.
    pub(super) total: u64,
}

impl Survey {
    /// Whether what is being made takes from this pool's space. What was renamed a moment ago is counted once, as a file.
    fn is_only_promised(&self, pool: &Pool, making: &Handle) -> bool {
        let in_common =
            making.pool() == pool.name || self.beside.pools.iter().any(|name| name == making.pool());
        in_common && !self.volumes.contains_key(making) && !self.beside.volumes.contains(making)
    }
}

/// Looks at all files, and removes what no maker can own. The caller has the pool's turn.
fn survey(pool: &Pool, state: &mut State) -> host::Result<Survey> {
    let host = pool.host.as_ref();
    ensure_pool(host, &pool.dir)?;
    if !pool.shared && !state.swept.contains(&pool.name) {
        sweep(pool)?;
        state.swept.insert(pool.name.clone());
    }
    let beside = beside::look(pool)?;
    let (promised, mut occupied) = (beside.promised, beside.occupied);
    let disk = if pool.shared { None } else { pool.host.file_system(&pool.dir)? };
    let (volumes, made_elsewhere) = (BTreeMap::new(), BTreeSet::new());
    let mut found = Survey { volumes, made_elsewhere, beside, disk, promised, total: 0 };
    for name in host.list_dir(&pool.dir)? {
        let path = pool.dir.join(&name);
        let making = Handle::of_making(&pool.name, &name);
        if pool.shared && making.is_some() && is_left_over(pool, &path)? {
            continue;
        }
        // Gone between the two looks: a delete is under way.
        let Some(file) = host.file(&path)? else { continue };
        let complete = Handle::of_file(&pool.name, &name);
        if complete.is_some() || making.is_some() {
            occupied = occupied.saturating_add(file.allocated);
        }
        if let Some(handle) = complete {
            found.promised = found.promised.saturating_add(file.length);
            found.volumes.insert(handle, file);
        } else if let Some(handle) = making.filter(|_| pool.shared) {
            found.promised = found.promised.saturating_add(file.length);
            found.made_elsewhere.insert(handle);
        }
    }
    let making =
        state.making.iter().filter(|(handle, _)| !pool.shared && found.is_only_promised(pool, handle));
    found.promised = making.fold(found.promised, |sum, (_, bytes)| sum.saturating_add(*bytes));
    found.total = host.space(&pool.dir)?.available.saturating_add(occupied);
    Ok(found)
}

/// In a local pool nobody else makes anything, and before the first survey nothing is being made.
fn sweep(pool: &Pool) -> host::Result<()> {
    for name in pool.host.list_dir(&pool.dir)? {
        if Handle::of_making(&pool.name, &name).is_some() {
            tracing::info!(file = %name, "removing what an earlier run left half-made");
            pool.host.remove_file(&pool.dir.join(&name))?;
        }
    }
    Ok(())
}

/// Removes a file of a shared pool that was being made, when its maker is dead: then nobody has it locked.
fn is_left_over(pool: &Pool, making: &Path) -> host::Result<bool> {
    let Some(_lock) = pool.host.lock(making)? else { return Ok(false) };
    tracing::info!(file = %making.display(), "removing what a dead maker left");
    pool.host.remove_file(making)?;
    Ok(true)
}

pub(super) fn list(pool: &Pool, context: &Context) -> Result<Vec<Volume>, Error> {
    let found = look(pool, context)?;
    Ok(found.volumes.into_iter().map(|(handle, file)| describe(pool, &handle, file.length)).collect())
}

/// The pool as it is now.
pub(super) fn look(pool: &Pool, context: &Context) -> Result<Survey, Error> {
    let _turn = pool.turn().map_err(|error| context.host(error))?;
    let mut state = pool.accounts.lock();
    survey(pool, &mut state).map_err(|error| context.host(error))
}

/// A volume as answered by create and list. What cannot be probed is listed without its type.
fn describe(pool: &Pool, handle: &Handle, bytes: u64) -> Volume {
    let fs_type = match pool.host.probe(&pool.path(handle)) {
        Ok(Probe::FileSystem { kind, .. }) => Some(kind),
        _ => None,
    };
    listed(pool, handle, bytes, fs_type.as_deref())
}

/// A volume that was made as asked for.
pub(super) fn volume(pool: &Pool, handle: &Handle, bytes: u64, fs_type: FsType) -> Volume {
    listed(pool, handle, bytes, Some(&fs_type.to_string()))
}

fn listed(pool: &Pool, handle: &Handle, bytes: u64, fs_type: Option<&str>) -> Volume {
    let mut attributes = BTreeMap::new();
    attributes.extend(fs_type.map(|kind| ("fsType".to_owned(), kind.to_owned())));
    // Where another kernel may have an old view of the file, its length tells.
    attributes.extend(pool.shared.then(|| (SIZE.to_owned(), bytes.to_string())));
    Volume { handle: handle.to_string(), bytes, attributes, reach: pool.reach() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    /// The rows of the table.
    #[test]
    fn verdicts() {
        let view = |own, promised| View { own, volumes: 3, promised, total: 10 * GIB, common: String::new() };
        let once = Overcommit::default();
        assert_eq!(decide(&view(Some(GIB), 10 * GIB), GIB, once), Verdict::Exists);
        assert_eq!(decide(&view(Some(2 * GIB), 0), GIB, once), Verdict::OtherSize(2 * GIB));
        assert_eq!(decide(&view(None, 9 * GIB), GIB, once), Verdict::Promise);
        assert!(matches!(decide(&view(None, 9 * GIB), GIB + 4096, once), Verdict::Full(_)));
        assert!(matches!(decide(&view(None, u64::MAX), u64::MAX, once), Verdict::Full(_)));
    }

    #[test]
    fn a_refusal_shows_the_arithmetic() {
        let common = " in common with pool fast on the same disk".to_owned();
        let view = View { own: None, volumes: 3, promised: 9 * GIB, total: 10 * GIB, common };
        let Verdict::Full(why) = decide(&view, 2 * GIB, Overcommit::default()) else { panic!() };
        for part in [
            "promise 2 GiB",
            "it has 10 GiB in common with pool fast on the same disk, times",
            "overcommit 1.0 is 10 GiB",
            "9 GiB are promised to 3",
            "1 GiB are left",
        ] {
            assert!(why.contains(part), "{why}");
        }
    }
}
