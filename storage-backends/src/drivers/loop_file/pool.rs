//! The pool: which volumes it holds, how much of it is promised, and whether more may be.
//!
//! | is there already | fits in | verdict |
//! |---|---|---|
//! | with this size | – | Exists |
//! | with another size | – | OtherSize |
//! | no | promised + asked ≤ overcommit × pool | Promise |
//! | no | more | Full, with the arithmetic |
//!
//! Size of the pool = free space of its file system + what its own files occupy: what others fill is not ours to
//! promise. Promised = lengths of all volumes + what is being made at this moment.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    Inner, ensure_pool,
    fault::Context,
    request::{Handle, Overcommit, Spec, human},
};
use crate::{
    driver::{Capacity, Code, Error, Reach, Volume},
    host::{self, FileInfo, FsType, Probe},
};

/// The one thing that is kept in memory.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether what a crashed run left half-made has been removed.
    swept: bool,
    /// Sizes of the volumes that are being made.
    making: BTreeMap<Handle, u64>,
}

/// A promise that becomes a file, or is taken back when dropped.
pub(super) struct Promise<'a> {
    accounts: &'a Accounts,
    handle: Handle,
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
        "the pool cannot promise {}: it has {}, times overcommit {overcommit} is {}, of which {} are promised to {} \
         volumes and {} are left; ask for less, delete volumes, enlarge the disk, or raise the parameter overcommit \
         of the class",
        human(bytes),
        human(view.total),
        human(limit),
        human(view.promised),
        view.volumes,
        human(limit.saturating_sub(view.promised)),
    ))
}

/// `Ok(None)`: it is there already, with the size asked for.
pub(super) fn promise<'a>(
    inner: &'a Inner,
    context: &Context,
    spec: &Spec,
) -> Result<Option<Promise<'a>>, Error> {
    let mut state = inner.accounts.lock();
    let found = survey(inner, &mut state).map_err(|error| context.host(error))?;
    let own = found.volumes.get(&spec.handle).map(|file| file.length);
    let view = View { own, volumes: found.volumes.len(), promised: found.promised, total: found.total };
    match decide(&view, spec.bytes, spec.overcommit) {
        Verdict::Exists => Ok(None),
        Verdict::OtherSize(length) => Err(context.fail(
            Code::AlreadyExists,
            format!("it exists with {} and not {}", human(length), human(spec.bytes)),
        )),
        Verdict::Promise => {
            state.making.insert(spec.handle.clone(), spec.bytes);
            Ok(Some(Promise { accounts: &inner.accounts, handle: spec.handle.clone() }))
        }
        Verdict::Full(why) => Err(context.fail(Code::ResourceExhausted, why)),
    }
}

/// The pool as found.
struct Survey {
    volumes: BTreeMap<Handle, FileInfo>,
    promised: u64,
    total: u64,
}

/// Looks at all files; the first time it also removes what no running call can own.
fn survey(inner: &Inner, state: &mut State) -> host::Result<Survey> {
    let host = inner.host.as_ref();
    ensure_pool(host, &inner.pool)?;
    if !state.swept {
        sweep(inner)?;
        state.swept = true;
    }
    let mut volumes = BTreeMap::new();
    let mut occupied = 0u64;
    for name in host.list_dir(&inner.pool)? {
        // Gone between the two looks: a delete is under way.
        let Some(file) = host.file(&inner.pool.join(&name))? else {
            continue;
        };
        let complete = Handle::of_file(&name);
        if complete.is_some() || Handle::of_making(&name).is_some() {
            occupied = occupied.saturating_add(file.allocated);
        }
        if let Some(handle) = complete {
            volumes.insert(handle, file);
        }
    }
    let complete: u64 = volumes.values().fold(0, |sum, file| sum.saturating_add(file.length));
    // A volume that was renamed a moment ago is counted once, as a file.
    let making = state.making.iter().filter(|(handle, _)| !volumes.contains_key(handle));
    let promised = making.fold(complete, |sum, (_, bytes)| sum.saturating_add(*bytes));
    let total = host.space(&inner.pool)?.available.saturating_add(occupied);
    Ok(Survey { volumes, promised, total })
}

fn sweep(inner: &Inner) -> host::Result<()> {
    for name in inner.host.list_dir(&inner.pool)? {
        if Handle::of_making(&name).is_some() {
            tracing::info!(file = %name, "removing what an earlier run left half-made");
            inner.host.remove_file(&inner.pool.join(&name))?;
        }
    }
    Ok(())
}

pub(super) fn list(inner: &Inner, context: &Context) -> Result<Vec<Volume>, Error> {
    let found = {
        let mut state = inner.accounts.lock();
        survey(inner, &mut state).map_err(|error| context.host(error))?
    };
    Ok(found.volumes.into_iter().map(|(handle, file)| describe(inner, &handle, file.length)).collect())
}

/// A volume as answered by create and list. What cannot be probed is listed without its type.
fn describe(inner: &Inner, handle: &Handle, bytes: u64) -> Volume {
    let fs_type = match inner.host.probe(&inner.path(handle)) {
        Ok(Probe::FileSystem { kind, .. }) => Some(kind),
        _ => None,
    };
    listed(handle, bytes, fs_type.as_deref())
}

fn attributes(fs_type: Option<&str>) -> BTreeMap<String, String> {
    fs_type.map(|kind| ("fsType".to_owned(), kind.to_owned())).into_iter().collect()
}

/// A volume that was made as asked for.
pub(super) fn volume(handle: &Handle, bytes: u64, fs_type: FsType) -> Volume {
    listed(handle, bytes, Some(&fs_type.to_string()))
}

fn listed(handle: &Handle, bytes: u64, fs_type: Option<&str>) -> Volume {
    Volume { handle: handle.to_string(), bytes, attributes: attributes(fs_type), reach: Reach::Node }
}

pub(super) fn capacity(inner: &Inner, context: &Context) -> Result<Capacity, Error> {
    let mut state = inner.accounts.lock();
    let found = survey(inner, &mut state).map_err(|error| context.host(error))?;
    let limit = Overcommit::default().of(found.total);
    Ok(Capacity {
        available: limit.saturating_sub(found.promised),
        promised: found.promised,
        total: found.total,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    /// The rows of the table.
    #[test]
    fn verdicts() {
        let view = |own, promised| View { own, volumes: 3, promised, total: 10 * GIB };
        let once = Overcommit::default();
        assert_eq!(decide(&view(Some(GIB), 10 * GIB), GIB, once), Verdict::Exists);
        assert_eq!(decide(&view(Some(2 * GIB), 0), GIB, once), Verdict::OtherSize(2 * GIB));
        assert_eq!(decide(&view(None, 9 * GIB), GIB, once), Verdict::Promise);
        assert!(matches!(decide(&view(None, 9 * GIB), GIB + 4096, once), Verdict::Full(_)));
        assert!(matches!(decide(&view(None, u64::MAX), u64::MAX, once), Verdict::Full(_)));
    }

    #[test]
    fn a_refusal_shows_the_arithmetic() {
        let view = View { own: None, volumes: 3, promised: 9 * GIB, total: 10 * GIB };
        let Verdict::Full(why) = decide(&view, 2 * GIB, Overcommit::default()) else { panic!() };
        for part in [
            "promise 2 GiB",
            "it has 10 GiB",
            "overcommit 1.0 is 10 GiB",
            "9 GiB are promised to 3",
            "1 GiB are left",
        ] {
            assert!(why.contains(part), "{why}");
        }
    }
}
