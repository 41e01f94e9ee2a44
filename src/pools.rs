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
//! | yes, shared | another id in the directory | refused by the driver: something else is mounted there |
//! | none at all | – | `default`, in DIR/pool |
//! | no | yes, and has its directory | retired: what lies there can be used and removed, nothing new is made |
//! | no | yes, and its directory does not answer | left out, and remembered: it lies on a file server that is gone |
//! | no | yes, and its directory is gone | forgotten |

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{ffi::OsStrExt, fs::DirBuilderExt},
    path::{Path, PathBuf},
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
    drivers::loop_file::{DEFAULT_POOL, LoopDriver, Node, PoolConfig, check_pool_name},
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
    let mut pools = wanted(&home.dir, flags, remembered)?;
    if flags.is_empty() {
        make_default(&home.dir)?;
    }
    let mut silent = Vec::new();
    pools.retain(|pool| !pool.retired || is_to_be_had(pool, is_dir(&pool.dir, PATIENCE / 2), &mut silent));
    refuse_overlap(&pools)?;
    leave_word(home, &pools, &silent)?;
    let driver = open(home, host, node, boot, &pools)?;
    for pool in &mut pools {
        if pool.shared {
            pool.known_id = driver.pool_id(&pool.name);
        }
    }
    pools.extend(silent);
    write(home, &Remembered { node: node.to_owned(), pools })?;
    Ok(driver)
}

/// Whether a retired pool can be used, as its directory has answered. One that is gone has nothing to offer.
fn is_to_be_had(pool: &PoolConfig, answer: Option<bool>, silent: &mut Vec<PoolConfig>) -> bool {
    if answer.is_none() {
        tracing::warn!(
            pool = pool.name,
            dir = %pool.dir.display(),
            "the directory does not answer: the node starts without this pool, and what it has attached of it stays so \
             until the agent is started with it"
        );
        silent.push(pool.clone());
    }
    answer == Some(true)
}

/// Whether a directory is there; `None` when that cannot be known by then. What hangs costs its thread, once a start.
fn is_dir(dir: &Path, patience: Duration) -> Option<bool> {
    let (tell, told) = mpsc::channel();
    let dir = dir.to_owned();
    thread::spawn(move || tell.send(dir.is_dir()));
    told.recv_timeout(patience).ok()
}

/// The loop driver of a node that is taken down: of all pools that it had, those that are still there.
pub(crate) fn remembered_driver(home: &Home, host: &Arc<dyn Host>, boot: String) -> Result<LoopDriver> {
    let mut remembered = read(home)?;
    if remembered.pools.is_empty() {
        remembered.pools.push(default_pool(&home.dir));
    }
    remembered.pools.retain(|pool| pool.dir.is_dir());
    leave_word(home, &remembered.pools, &[])?;
    open(home, host, &remembered.node, boot, &remembered.pools)
}

/// Pools outside of the data directory, which no command removes.
pub(crate) fn outside(home: &Home) -> Result<Vec<PathBuf>> {
    let pools = read(home)?.pools.into_iter().map(|pool| pool.dir);
    Ok(pools.filter(|dir| !dir.starts_with(&home.dir)).collect())
}

fn open(
    home: &Home,
    host: &Arc<dyn Host>,
    node: &str,
    boot: String,
    pools: &[PoolConfig],
) -> Result<LoopDriver> {
    let node = Node { name: node.to_owned(), boot };
    LoopDriver::open(host, pools, &home.instance, &node).context("open the pools of this node")
}

/// Tells all Orlops of the machine where the pools are, without links: a pool on a file server is compared by name alone.
/// Those that do not answer are not asked.
fn leave_word(home: &Home, pools: &[PoolConfig], silent: &[PoolConfig]) -> Result<()> {
    let path = home.pools_file();
    let mut text = Vec::new();
    let answering = pools.iter().map(|pool| (pool, fs::canonicalize(&pool.dir).ok()));
    for (pool, real) in answering.chain(silent.iter().map(|pool| (pool, None))) {
        let dir = real.unwrap_or_else(|| pool.dir.clone());
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
        retired: false,
    }
}

fn wanted(data: &Path, flags: &[PoolFlag], remembered: &Remembered) -> Result<Vec<PoolConfig>> {
    let mut pools: Vec<PoolConfig> = Vec::new();
    for flag in flags {
        if pools.iter().any(|pool| pool.name == flag.name) {
            bail!("--pool {}: the pool is named twice; give each a name of its own", flag.name);
        }
        let old = remembered.pools.iter().find(|pool| pool.name == flag.name);
        if let Some(old) = old.filter(|old| old.dir != flag.dir && !flag.shared && has_volumes(&old.dir)) {
            bail!(
                "--pool {}: its volumes are in {}; move them to {}, or give that directory another name",
                flag.name,
                old.dir.display(),
                flag.dir.display()
            );
        }
        let known_id = old.filter(|_| flag.shared).and_then(|old| old.known_id.clone());
        let PoolFlag { name, dir, shared } = flag.clone();
        pools.push(PoolConfig {
            private: dir == default_pool(data).dir,
            name,
            dir,
            shared,
            known_id,
            retired: false,
        });
    }
    if flags.is_empty() {
        pools.push(default_pool(data));
    }
    let default = default_pool(data);
    let left = remembered.pools.iter().chain(has_volumes(&default.dir).then_some(&default));
    for old in left {
        if !pools.iter().any(|pool| pool.name == old.name) {
            pools.push(PoolConfig { retired: true, ..old.clone() });
        }
    }
    Ok(pools)
}

fn has_volumes(dir: &Path) -> bool {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.path().extension().is_some_and(|ending| ending == "img"))
}

/// Files of one pool must not be another's.
fn refuse_overlap(pools: &[PoolConfig]) -> Result<()> {
    let real = |pool: &PoolConfig| fs::canonicalize(&pool.dir).unwrap_or_else(|_| pool.dir.clone());
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

fn file(home: &Home) -> PathBuf {
    home.dir.join("agent/pools.json")
}

fn read(home: &Home) -> Result<Remembered> {
    let path = file(home);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Remembered::default()),
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
            retired: false,
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
    let path = file(home);
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
mod tests {
    use super::*;

    fn flag(text: &str) -> Result<PoolFlag, String> {
        text.parse()
    }

    #[test]
    fn flags() {
        let fast = flag("fast=/mnt/ssd").unwrap();
        assert_eq!(
            (fast.name.as_str(), fast.dir.as_path(), fast.shared),
            ("fast", Path::new("/mnt/ssd"), false)
        );
        assert!(flag("common=/srv/common,shared").unwrap().shared);
        for (bad, word) in [
            ("fast", "NAME=DIR"),
            ("=/mnt", "cannot be a pool's name"),
            ("Fast=/mnt", "cannot be a pool's name"),
            ("../x=/mnt", "cannot be a pool's name"),
            ("fast=mnt", "absolute"),
            ("fast=", "absolute"),
            ("fast=/mnt,ro", "only `shared` is"),
            ("fast=/mnt\n/x", "control characters"),
        ] {
            let why = flag(bad).unwrap_err();
            assert!(why.contains(word), "{bad}: {why}");
        }
    }

    fn old(name: &str, dir: &Path, id: Option<&str>) -> PoolConfig {
        PoolConfig {
            name: name.into(),
            dir: dir.into(),
            shared: id.is_some(),
            known_id: id.map(str::to_owned),
            private: false,
            retired: false,
        }
    }

    /// The rows of the table.
    #[test]
    fn what_becomes_of_the_pools() {
        let data = tempfile::tempdir().unwrap();
        let (full, empty) = (data.path().join("full"), data.path().join("empty"));
        for dir in [&full, &empty] {
            fs::create_dir(dir).unwrap();
        }
        fs::write(full.join("pvc-1.img"), "").unwrap();
        let at = |pools: &[PoolConfig]| Remembered { node: "n".into(), pools: pools.to_vec() };
        let names = |pools: Vec<PoolConfig>| -> Vec<(String, bool)> {
            pools.into_iter().map(|pool| (pool.name, pool.retired)).collect()
        };
        let none = wanted(data.path(), &[], &at(&[])).unwrap();
        assert_eq!(none, [default_pool(data.path())]);
        let other = flag("fast=/elsewhere").unwrap();
        let kept =
            wanted(data.path(), std::slice::from_ref(&other), &at(&[old("slow", &full, None)])).unwrap();
        assert_eq!(names(kept), [("fast".to_owned(), false), ("slow".to_owned(), true)]);
        let why =
            wanted(data.path(), std::slice::from_ref(&other), &at(&[old("fast", &full, None)])).unwrap_err();
        assert!(why.to_string().contains("its volumes are in"), "{why}");
        assert!(wanted(data.path(), std::slice::from_ref(&other), &at(&[old("fast", &empty, None)])).is_ok());
        let shared = flag("fast=/elsewhere,shared").unwrap();
        let moved = wanted(data.path(), &[shared], &at(&[old("fast", &full, Some("1f"))])).unwrap();
        assert_eq!(moved[0].known_id.as_deref(), Some("1f"), "the driver compares it with what it finds");
        let twice = wanted(data.path(), &[other.clone(), other], &at(&[])).unwrap_err();
        assert!(twice.to_string().contains("named twice"), "{twice}");
        // Volumes from before there was a flag.
        fs::create_dir(data.path().join("pool")).unwrap();
        fs::write(data.path().join("pool/pvc-2.img"), "").unwrap();
        let before = wanted(data.path(), &[flag("fast=/elsewhere").unwrap()], &at(&[])).unwrap();
        assert_eq!(names(before), [("fast".to_owned(), false), ("default".to_owned(), true)]);
    }

    #[test]
    fn what_is_remembered_is_read_as_it_was_written() {
        let all = Remembered {
            node: "n1".into(),
            pools: vec![old("fast", Path::new("/a"), None), old("common", Path::new("/b"), Some("1f"))],
        };
        assert_eq!(parse(&print(&all)).unwrap(), all);
        assert!(parse("{}").is_err());
    }

    /// The work goes on when somebody was told of it, and nobody is told of what ends.
    #[test]
    fn what_hangs_is_told_while_it_hangs() {
        let (tell, told) = mpsc::channel();
        let never = Duration::from_secs(3600);
        watched(never, || panic!("it has ended"), || {});
        let answer = watched(Duration::ZERO, move || tell.send(()).unwrap(), move || told.recv());
        assert_eq!(answer, Ok(()));
    }

    #[test]
    fn a_retired_pool_that_does_not_answer_is_left_out_and_remembered() {
        let pool = old("team", Path::new("/srv/team"), Some("1f"));
        for (answer, used, kept) in [(Some(true), true, 0), (Some(false), false, 0), (None, false, 1)] {
            let mut silent = Vec::new();
            assert_eq!(is_to_be_had(&pool, answer, &mut silent), used, "{answer:?}");
            assert_eq!(silent.len(), kept, "{answer:?}");
        }
        let never = Duration::from_secs(3600);
        assert_eq!(is_dir(Path::new("/"), never), Some(true));
        assert_eq!(is_dir(Path::new("/no/such"), never), Some(false));
    }

    #[test]
    fn the_directories_that_may_hang_are_named() {
        let flags = [flag("fast=/mnt/ssd").unwrap(), flag("common=/srv/common,shared").unwrap()];
        let old = vec![old("slow", Path::new("/a"), None), old("team", Path::new("/srv/team"), Some("1f"))];
        let remembered = Remembered { node: "n".into(), pools: old };
        assert_eq!(shared_pools(&flags, &remembered), ["common=/srv/common", "team=/srv/team"]);
    }

    #[test]
    fn pools_in_one_another_are_refused() {
        let (a, b) = (old("a", Path::new("/no/such"), None), old("b", Path::new("/no/such/below"), None));
        let why = refuse_overlap(&[a.clone(), b]).unwrap_err();
        assert!(why.to_string().contains("pools a and b lie in one another"), "{why}");
        assert!(refuse_overlap(&[a, old("c", Path::new("/no/suchlike"), None)]).is_ok());
    }
}
