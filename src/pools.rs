//! Where a node's loop files live: `--pool NAME=DIR[,shared]`, and what is remembered of it in `DIR/agent/pools.json`.
//!
//! `orlop down` knows no flags and no server, and a pool that is no longer named may still have volumes: so the node's name
//! and all pools that it ever had are written down before any of them is used. To the machine's other Orlops their
//! directories are told in `/run/orlop`, so that none shows one of them to a pod.
//!
//! | named now | remembered | the pool is |
//! |---|---|---|
//! | yes | no, or the same directory | used |
//! | yes, local | another directory with volumes in it | refused: they would be lost from sight |
//! | yes, local | another directory, which cannot be listed | refused: there may be volumes in it |
//! | yes, shared | another id in the directory | refused by the driver: something else is mounted there |
//! | yes, local | the same directory, which has no lock now | refused by the driver: its disk is not mounted |
//! | none at all | – | `default`, in DIR/pool |
//! | no | yes, and has its directory | retired: what lies there can be used and removed, nothing new is made |
//! | no | yes, and its directory does not answer, or with an error | left out, and remembered: its file server is gone |
//! | no | yes, and its directory cannot be used: another is mounted there, or none | left out by the driver, and remembered |
//! | no | yes, and its directory is not there | left out, and remembered: what it lies below may not be mounted |
//! | no | yes, in DIR, and its directory is not there | forgotten |
//!
//! A node that is taken down has all that are remembered, as retired ones: what is attached of one that is left out stays,
//! and `orlop down` says so.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    os::unix::{ffi::OsStrExt, fs::DirBuilderExt},
    path::{Component, Path, PathBuf},
    str::FromStr,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use orlop_backends::{
    drivers::loop_file::{DEFAULT_POOL, LoopDriver, Node, Place, PoolConfig, PoolUse, check_pool_name},
    host::Host,
};
use serde_json::{Value, json};

use crate::home::Home;

/// A pool as the command line names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PoolFlag {
    name: String,
    dir: PathBuf,
    shared: bool,
}

impl FromStr for PoolFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rest) = text.split_once('=').ok_or("it must be NAME=DIR or NAME=DIR,shared")?;
        check_pool_name(name)?;
        let (dir, shared) = match rest.rsplit_once(',') {
            None => (rest, false),
            Some((dir, "shared")) => (dir, true),
            Some((_, other)) => {
                return Err(format!("{other:?} is not known after the comma; only `shared` is"));
            }
        };
        if !Path::new(dir).is_absolute() {
            return Err(format!("directory {dir:?} must be an absolute path"));
        }
        if Path::new(dir).components().any(|part| part == Component::ParentDir) {
            return Err(format!("directory {dir:?} must not contain `..`: write where it leads to"));
        }
        if dir.chars().any(char::is_control) {
            return Err(format!("directory {dir:?} must not contain control characters"));
        }
        Ok(Self { name: name.to_owned(), dir: dir.into(), shared })
    }
}

/// What is remembered of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Remembered {
    node: String,
    pools: Vec<PoolConfig>,
}

/// How long opening the pools may take before somebody is told what is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The loop driver of a node that is being started.
pub(crate) fn driver(
    home: &Home,
    host: &Arc<dyn Host>,
    node: &str,
    boot: String,
    flags: &[PoolFlag],
) -> Result<LoopDriver> {
    let remembered = read(home)?;
    let shared = shared_pools(flags, &remembered).join(", ");
    let tell = move || {
        tracing::warn!(
            shared,
            "the directory of a shared pool does not answer, and this node starts when it does: bring its file server \
             back, or start the agent without that --pool. Containers that run go on"
        );
    };
    watched(PATIENCE, tell, || driver_of(home, host, node, boot, flags, &remembered))
}

/// Directories that may lie on a file server, which may keep whoever looks there waiting.
fn shared_pools(flags: &[PoolFlag], remembered: &Remembered) -> Vec<String> {
    let named = flags.iter().filter(|pool| pool.shared).map(|pool| (&pool.name, &pool.dir));
    let old = remembered.pools.iter().filter(|pool| pool.shared).map(|pool| (&pool.name, &pool.dir));
    let all: BTreeMap<_, _> = old.chain(named).collect();
    all.into_iter().map(|(name, dir)| format!("{name}={}", dir.display())).collect()
}

/// Does the work; when it takes longer than that, says so while it goes on.
fn watched<T>(patience: Duration, tell: impl FnOnce() + Send, work: impl FnOnce() -> T) -> T {
    let (done, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            if ended.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                tell();
            }
        });
        let answer = work();
        drop(done);
        answer
    })
}

fn driver_of(
    home: &Home,
    host: &Arc<dyn Host>,
    node: &str,
    boot: String,
    flags: &[PoolFlag],
    remembered: &Remembered,
) -> Result<LoopDriver> {
    let mut pools = wanted(host.as_ref(), &home.dir, flags, remembered)?;
    if flags.is_empty() {
        make_default(&home.dir)?;
    }
    look_at_retired(host.as_ref(), &home.dir, &mut pools);
    refuse_overlap(&pools)?;
    leave_word(home, &pools)?;
    let driver = open(home, host, node, boot, &pools)?;
    for pool in &mut pools {
        // One that is left out is what it was.
        pool.known_id = driver.pool_id(&pool.name).or(pool.known_id.take());
    }
    write(home, &Remembered { node: node.to_owned(), pools })?;
    Ok(driver)
}

/// Leaves out the retired pools that are not there, or of which that cannot be known. What is missing in the data directory
/// is gone: that is there.
fn look_at_retired(host: &dyn Host, data: &Path, pools: &mut Vec<PoolConfig>) {
    pools.retain_mut(|pool| {
        let found = if pool.used == PoolUse::Retired { look(host, &pool.dir) } else { Ok(true) };
        let why = match found {
            Ok(true) => return true,
            Ok(false) if pool.dir.starts_with(data) => return false,
            Ok(false) => not_there(data, &pool.dir),
            Err(why) => why,
        };
        pool.used = PoolUse::LeftOut(why);
        true
    });
}

fn not_there(data: &Path, dir: &Path) -> String {
    format!(
        "{} is not there; mount what belongs there, or, if it is gone for good, take it out of {}",
        dir.display(),
        file(data).display()
    )
}

/// Whether a directory is there, or why that cannot be known. Its file server is asked first, in a way that a silent one
/// does not hold: what the kernel remembers of a directory it tells without.
fn look(host: &dyn Host, dir: &Path) -> Result<bool, String> {
    // A pool's directory may be given by a link.
    let real = || host.canonical(dir).map(|real| real.unwrap_or_else(|| dir.to_owned()));
    let found = host.ask(dir).and_then(|()| host.file(&real()?));
    match found {
        Ok(found) => Ok(found.is_some_and(|found| found.directory)),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.words()),
    }
}

/// The loop driver of a node that is taken down: of all pools that it had, those that are still there. One that cannot be
/// used must not keep the rest from being taken down.
pub(crate) fn remembered_driver(home: &Home, host: &Arc<dyn Host>, boot: String) -> Result<LoopDriver> {
    let Remembered { node, mut pools } = read(home)?;
    if pools.is_empty() {
        pools.push(default_pool(&home.dir));
    }
    for pool in &mut pools {
        pool.used = PoolUse::Retired;
    }
    look_at_retired(host.as_ref(), &home.dir, &mut pools);
    leave_word(home, &pools)?;
    open(home, host, &node, boot, &pools)
}

/// Pools outside of the data directory, which no command removes.
pub(crate) fn outside(home: &Home) -> Result<Vec<PathBuf>> {
    let pools = read(home)?.pools.into_iter().map(|pool| pool.dir);
    Ok(pools.filter(|dir| !dir.starts_with(&home.dir)).collect())
}

/// The directories that share their disks: the pools of a node, and its own. An agent may be running.
pub(crate) fn places(data: &Path) -> Result<Vec<Place>> {
    let pools = read_in(data)?.pools.into_iter().map(|pool| (pool.name, pool.dir));
    Ok(Place::of_node(pools, data.to_owned()))
}

fn open(
    home: &Home,
    host: &Arc<dyn Host>,
    node: &str,
    boot: String,
    pools: &[PoolConfig],
) -> Result<LoopDriver> {
    let node = Node { name: node.to_owned(), boot };
    let driver =
        LoopDriver::open(host, pools, &home.instance, &node).context("open the pools of this node")?;
    for (pool, why) in driver.left_out() {
        tracing::warn!(pool, why, "the node goes on without this pool: what it has attached of it stays so");
    }
    Ok(driver)
}

/// Tells all Orlops of the machine where the pools are, without links: a pool on a file server is compared by name alone.
fn leave_word(home: &Home, pools: &[PoolConfig]) -> Result<()> {
    let path = home.pools_file();
    let mut text = Vec::new();
    for pool in pools {
        let dir = real(pool);
        if dir.as_os_str().as_bytes().contains(&b'\n') {
            bail!("pool {}: the name of {} holds a line break; give it another", pool.name, dir.display());
        }
        text.extend(dir.as_os_str().as_bytes());
        text.push(b'\n');
    }
    let fresh = path.with_extension("pools.new");
    let write = || {
        fs::write(&fresh, text)?;
        fs::rename(&fresh, &path)
    };
    write().with_context(|| format!("write {}", path.display()))
}

/// Its directory without links; that of one that is left out is not touched.
fn real(pool: &PoolConfig) -> PathBuf {
    let left_out = matches!(pool.used, PoolUse::LeftOut(_));
    let real = (!left_out).then(|| fs::canonicalize(&pool.dir).ok()).flatten();
    real.unwrap_or_else(|| pool.dir.clone())
}

/// As durable as what will be in it.
fn make_default(data: &Path) -> Result<()> {
    let dir = default_pool(data).dir;
    let make = || {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        fs::File::open(data)?.sync_all()
    };
    make().with_context(|| format!("create {}", dir.display()))
}

fn default_pool(data: &Path) -> PoolConfig {
    let dir = data.join("pool");
    PoolConfig {
        name: DEFAULT_POOL.to_owned(),
        dir,
        shared: false,
        known_id: None,
        private: true,
        used: PoolUse::Wanted,
    }
}

fn wanted(
    host: &dyn Host,
    data: &Path,
    flags: &[PoolFlag],
    remembered: &Remembered,
) -> Result<Vec<PoolConfig>> {
    let mut pools: Vec<PoolConfig> = Vec::new();
    for flag in flags {
        if pools.iter().any(|pool| pool.name == flag.name) {
            bail!("--pool {}: the pool is named twice; give each a name of its own", flag.name);
        }
        let old = remembered.pools.iter().find(|pool| pool.name == flag.name);
        let moved = old.filter(|old| old.dir != flag.dir && !flag.shared);
        if let Some(old) = moved
            && has_volumes(host, &old.dir).with_context(|| lost_from_sight(&flag.name))?
        {
            bail!(
                "--pool {}: its volumes are in {}; move them to {}, or give that directory another name",
                flag.name,
                old.dir.display(),
                flag.dir.display()
            );
        }
        let is_same = |old: &&PoolConfig| old.shared == flag.shared && (flag.shared || old.dir == flag.dir);
        let known_id = old.filter(is_same).and_then(|old| old.known_id.clone());
        let PoolFlag { name, dir, shared } = flag.clone();
        pools.push(PoolConfig {
            private: dir == default_pool(data).dir,
            name,
            dir,
            shared,
            known_id,
            used: PoolUse::Wanted,
        });
    }
    if flags.is_empty() {
        pools.push(default_pool(data));
    }
    let before = from_before(host, data, &pools, remembered);
    for old in remembered.pools.iter().chain(&before) {
        if !pools.iter().any(|pool| pool.name == old.name) {
            pools.push(PoolConfig { used: PoolUse::Retired, ..old.clone() });
        }
    }
    Ok(pools)
}

/// The pool of a time when there was no flag and nothing to remember: it is retired, unless it is known to hold nothing.
fn from_before(
    host: &dyn Host,
    data: &Path,
    named: &[PoolConfig],
    remembered: &Remembered,
) -> Option<PoolConfig> {
    let default = default_pool(data);
    let is_known = named.iter().chain(&remembered.pools).any(|pool| pool.dir == default.dir);
    (!is_known && has_volumes(host, &default.dir).unwrap_or(true)).then_some(default)
}

fn lost_from_sight(pool: &str) -> String {
    format!("--pool {pool}: there may be volumes where it was; make that readable again, or use another name")
}

/// Whether a directory holds volumes; one that is gone holds none.
fn has_volumes(host: &dyn Host, dir: &Path) -> Result<bool> {
    let doing = || format!("look for volumes in {}", dir.display());
    if !look(host, dir).map_err(anyhow::Error::msg).with_context(doing)? {
        return Ok(false);
    }
    let names = host.list_dir(dir).with_context(doing)?;
    Ok(names.iter().any(|name| Path::new(name).extension().is_some_and(|ending| ending == "img")))
}

/// Files of one pool must not be another's.
fn refuse_overlap(pools: &[PoolConfig]) -> Result<()> {
    for (number, one) in pools.iter().enumerate() {
        for other in pools.iter().skip(number + 1) {
            let (a, b) = (real(one), real(other));
            if a.starts_with(&b) || b.starts_with(&a) {
                bail!(
                    "pools {} and {} lie in one another ({} and {}); give each a directory of its own",
                    one.name,
                    other.name,
                    a.display(),
                    b.display()
                );
            }
        }
    }
    Ok(())
}

fn file(data: &Path) -> PathBuf {
    data.join("agent/pools.json")
}

fn read(home: &Home) -> Result<Remembered> {
    read_in(&home.dir)
}

fn read_in(data: &Path) -> Result<Remembered> {
    let path = file(data);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Remembered::default()),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    parse(&text).with_context(|| format!("{} does not hold pools; restore it from a backup", path.display()))
}

fn parse(text: &str) -> Result<Remembered> {
    let value: Value = serde_json::from_str(text)?;
    let word = |value: &Value| value.as_str().map(str::to_owned).context("a field is missing");
    let pool = |value: &Value| {
        anyhow::Ok(PoolConfig {
            name: word(&value["name"])?,
            dir: word(&value["dir"])?.into(),
            shared: value["shared"] == true,
            known_id: value["id"].as_str().map(str::to_owned),
            private: value["private"] == true,
            used: PoolUse::Wanted,
        })
    };
    let pools = value["pools"].as_array().context("the list `pools` is missing")?;
    Ok(Remembered { node: word(&value["node"])?, pools: pools.iter().map(pool).collect::<Result<_>>()? })
}

fn print(remembered: &Remembered) -> String {
    let pool = |pool: &PoolConfig| json!({"name": pool.name, "dir": pool.dir, "shared": pool.shared, "id": pool.known_id, "private": pool.private});
    let pools: Vec<Value> = remembered.pools.iter().map(pool).collect();
    format!("{:#}\n", json!({"node": remembered.node, "pools": pools}))
}

/// Durable before a pool is used: what is attached must be found again.
fn write(home: &Home, remembered: &Remembered) -> Result<()> {
    let path = file(&home.dir);
    let doing = || format!("write {}", path.display());
    let fresh = path.with_extension("new");
    let dir = home.dir.join("agent");
    fs::create_dir_all(&dir).with_context(doing)?;
    fs::write(&fresh, print(remembered)).with_context(doing)?;
    fs::File::open(&fresh).and_then(|file| file.sync_all()).with_context(doing)?;
    fs::rename(&fresh, &path).with_context(doing)?;
    fs::File::open(&dir).and_then(|dir| dir.sync_all()).with_context(doing)
}

#[cfg(test)]
mod tests;
