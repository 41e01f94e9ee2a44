//! Which pool is meant, and which directory is one.

use super::*;
use crate::host::fake::Fake;

fn node(name: &str) -> Node {
    Node { name: name.into(), boot: format!("boot of {name}") }
}

fn config(name: &str, dir: &str, shared: bool) -> PoolConfig {
    PoolConfig {
        name: name.into(),
        dir: dir.into(),
        shared,
        known_id: None,
        private: false,
        used: PoolUse::Wanted,
    }
}

fn open(fake: &Fake, config: &PoolConfig) -> Result<Pool, PoolError> {
    Pool::open(Arc::new(fake.clone()), config, "0123abcd", &node("n"))
}

fn why(result: Result<Pool, PoolError>) -> String {
    match result {
        Ok(pool) => panic!("{} is opened", pool.dir.display()),
        Err(error) => error.to_string(),
    }
}

fn machine() -> Fake {
    let fake = Fake::default();
    fake.create_dir(Path::new("/a")).unwrap();
    fake.create_dir(Path::new("/b")).unwrap();
    fake
}

/// The rows of the table.
#[test]
fn which_pool_a_class_means() {
    let fake = machine();
    let pools = |names: &[&str]| {
        Pools::new(
            names.iter().map(|name| {
                let mut pool = Pool::private(Arc::new(fake.clone()), "/a".into(), String::new(), node("n"));
                pool.name = name.trim_start_matches('-').to_owned();
                pool.retired = name.starts_with('-');
                pool
            }),
            BTreeMap::new(),
        )
    };
    for (asked, names, wanted) in [
        (Some("fast"), &["fast", "slow"][..], Ok("fast")),
        (Some("fast"), &["slow"], Err("it has slow")),
        (Some("fast"), &["-fast", "slow"], Err("it has slow")),
        (None, &["default", "slow"], Ok("default")),
        (None, &["slow"], Ok("slow")),
        (None, &["-fast", "slow"], Ok("slow")),
        (None, &["fast", "slow"], Err("none of them called default: fast, slow")),
    ] {
        let found = pools(names).choose(asked).map(|pool| pool.name.clone());
        match (found, wanted) {
            (Ok(name), Ok(wanted)) => assert_eq!(name, wanted),
            (Err(why), Err(word)) => assert!(why.contains(word), "{why}"),
            other => panic!("{asked:?} of {names:?}: {other:?}"),
        }
    }
}

#[test]
fn a_shared_pool_has_one_id_for_all_who_see_it() {
    let fake = machine();
    let (one, two) = (config("common", "/a", true), config("common", "/a", true));
    let first = open(&fake, &one).unwrap();
    let second = open(&fake.neighbour(), &two).unwrap();
    assert_eq!(first.id, second.id);
    assert_ne!(
        open(&fake, &config("common", "/b", true)).unwrap().id,
        first.id,
        "another directory is another pool"
    );
    assert_eq!(
        first.reach(),
        Reach::Topology { key: "topology.orlop.dev/pool-common".into(), value: first.id.clone() }
    );
    let known =
        |id: &str, dir: &str| PoolConfig { known_id: Some(id.to_owned()), ..config("common", dir, true) };
    assert_eq!(open(&fake, &known(&first.id, "/a")).unwrap().id, first.id);
    assert!(why(open(&fake, &known(&first.id, "/b"))).contains("is not the directory that it was"));
    fake.create_dir(Path::new("/not-mounted")).unwrap();
    assert!(why(open(&fake, &known(&first.id, "/not-mounted"))).contains("mount the right file system"));
    assert!(
        fake.list_dir(Path::new("/not-mounted")).unwrap().iter().all(|name| name != ID),
        "and gets no id"
    );
    fake.write(&Path::new("/b").join(ID), b"who knows").unwrap();
    assert!(why(open(&fake, &config("x", "/b", true))).contains("does not hold the id of a pool"));
}

#[test]
fn a_local_pool_is_one_nodes_alone() {
    let fake = machine();
    let held = open(&fake, &config("fast", "/a", false)).unwrap();
    assert_eq!((held.reach(), held.id.as_str()), (Reach::Node, "0123abcd"));
    assert!(why(open(&fake, &config("fast", "/a", false))).contains("in use by another agent"));
    drop(held);
    open(&fake, &config("fast", "/a", false)).unwrap();
    open(&fake, &config("common", "/b", true)).unwrap();
    assert!(why(open(&fake, &config("fast", "/b", false))).contains("--pool fast=/b,shared"));
}

/// What is not mounted is not empty.
#[test]
fn a_pool_that_was_opened_before_opens_only_where_it_was() {
    let fake = machine();
    let retired = PoolConfig { used: PoolUse::Retired, ..config("fast", "/a", false) };
    let known = PoolConfig { known_id: Some("0123abcd".into()), ..config("fast", "/a", false) };
    assert!(why(open(&fake, &known)).contains("is not the directory that it was"));
    let never = why(open(&fake, &retired));
    assert!(
        never.contains("/a is not the directory that it was") && never.contains("touch /a/.lock"),
        "{never}"
    );
    assert_eq!(fake.list_dir(Path::new("/a")).unwrap(), Vec::<String>::new(), "and gets no lock");
    drop(open(&fake, &config("fast", "/a", false)).unwrap());
    drop(open(&fake, &known).unwrap());
    open(&fake, &retired).unwrap();
    open(&fake, &PoolConfig { private: true, dir: "/b".into(), ..retired }).unwrap();
}

#[test]
fn directories_and_names_are_checked() {
    let fake = machine();
    fake.write(Path::new("/file"), b"x").unwrap();
    assert!(why(open(&fake, &config("fast", "/missing", false))).contains("create it, or mount"));
    assert!(why(open(&fake, &config("fast", "/file", false))).contains("is not a directory"));
    for name in ["", "Fast", "a/b", "..", &"x".repeat(41)] {
        assert!(why(open(&fake, &config(name, "/a", false))).contains("name"), "{name}");
    }
}
