//! The rows of the table, and what is told of pools that do not answer.

use nix::errno::Errno;
use orlop_backends::host::{MountRequest, Share, fake::Fake};

use super::*;

fn flag(text: &str) -> Result<PoolFlag, String> {
    text.parse()
}

#[test]
fn flags() {
    let fast = flag("fast=/mnt/ssd").unwrap();
    assert_eq!((fast.name.as_str(), fast.dir.as_path(), fast.shared), ("fast", Path::new("/mnt/ssd"), false));
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
        ("fast=/mnt/../ssd", "must not contain `..`"),
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
        used: PoolUse::Wanted,
    }
}

/// The rows of the table.
#[test]
fn what_becomes_of_the_pools() {
    let (fake, data) = (machine(), Path::new("/data"));
    for dir in ["/data", "/full", "/empty"] {
        fake.create_dir(Path::new(dir)).unwrap();
    }
    fake.create_file(Path::new("/full/pvc-1.img"), b"").unwrap();
    let at = |pools: &[PoolConfig]| Remembered { node: "n".into(), pools: pools.to_vec() };
    let becomes = |flags: &[&str], pools: &[PoolConfig]| {
        let flags: Vec<PoolFlag> = flags.iter().map(|text| flag(text).unwrap()).collect();
        wanted(&fake, data, &flags, &at(pools))
    };
    let old = |dir: &str, id| old("fast", Path::new(dir), id);
    let why = |outcome: Result<Vec<PoolConfig>>| format!("{:#}", outcome.unwrap_err());
    assert_eq!(becomes(&[], &[]).unwrap(), [default_pool(data)]);
    let kept = becomes(&["other=/elsewhere"], &[old("/full", None)]).unwrap();
    assert_eq!(names(kept), [("other".to_owned(), false), ("fast".to_owned(), true)]);
    let refused = why(becomes(&["fast=/elsewhere"], &[old("/full", None)]));
    assert!(refused.contains("its volumes are in /full"), "{refused}");
    for none in ["/empty", "/gone"] {
        becomes(&["fast=/elsewhere"], &[old(none, None)]).unwrap();
    }
    let moved = becomes(&["fast=/elsewhere,shared"], &[old("/full", Some("1f"))]).unwrap();
    assert_eq!(moved[0].known_id.as_deref(), Some("1f"), "the driver compares it with what it finds");
    let local = |text: &str| {
        let before = PoolConfig { shared: false, ..old("/empty", Some("0123abcd")) };
        becomes(&[text], &[before]).unwrap()[0].known_id.clone()
    };
    assert_eq!(
        local("fast=/empty").as_deref(),
        Some("0123abcd"),
        "the driver looks whether it has been there"
    );
    assert_eq!((local("fast=/elsewhere"), local("fast=/empty,shared")), (None, None), "it has not");
    let twice = why(becomes(&["fast=/elsewhere", "fast=/elsewhere"], &[]));
    assert!(twice.contains("named twice"), "{twice}");
    fake.let_server_fail("filer", Some(Errno::ESTALE));
    let silent = why(becomes(&["fast=/elsewhere"], &[old("/srv/team", Some("1f"))]));
    assert!(silent.contains("there may be volumes where it was"), "{silent}");
}

fn names(pools: Vec<PoolConfig>) -> Vec<(String, bool)> {
    pools.into_iter().map(|pool| (pool.name, pool.used == PoolUse::Retired)).collect()
}

/// Volumes of a time when there was no flag, in a directory that may be mounted from a server as well.
#[test]
fn what_becomes_of_the_default_pool_when_others_are_named() {
    let fake = machine();
    let data = Path::new("/srv");
    share(&fake, "/srv/pool");
    let becomes = |text: &str, pools: &[PoolConfig]| {
        let remembered = Remembered { node: "n".into(), pools: pools.to_vec() };
        names(wanted(&fake, data, &[flag(text).unwrap()], &remembered).unwrap())
    };
    let (fast, default) = (("fast".to_owned(), false), ("default".to_owned(), true));
    assert_eq!(becomes("fast=/elsewhere", &[]), [("fast".to_owned(), false)], "it holds nothing");
    fake.create_file(Path::new("/srv/pool/pvc-2.img"), b"").unwrap();
    assert_eq!(becomes("fast=/elsewhere", &[]), [fast.clone(), default.clone()]);
    assert_eq!(becomes("team=/srv/pool,shared", &[]), [("team".to_owned(), false)], "it is that one");
    let team = old("team", Path::new("/srv/pool"), Some("1f"));
    assert_eq!(becomes("fast=/elsewhere", &[team]), [fast.clone(), ("team".to_owned(), true)]);
    fake.let_server_fail("filer", Some(Errno::ESTALE));
    assert_eq!(becomes("fast=/elsewhere", &[]), [fast, default], "nobody knows");
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

/// A machine that has /there, and at /srv/team what a file server exports.
fn machine() -> Fake {
    let fake = Fake::default();
    for dir in ["/there", "/srv"] {
        fake.create_dir(Path::new(dir)).unwrap();
    }
    fake.create_file(Path::new("/file"), b"").unwrap();
    share(&fake, "/srv/team");
    fake
}

/// Mounts what a file server exports.
fn share(fake: &Fake, target: &str) {
    fake.create_dir(Path::new(target)).unwrap();
    fake.serve("filer", "/team", 1 << 30);
    let share = Share { server: "filer".into(), path: "/team".into(), options: Vec::new() };
    let (beneath, volume, target) = (Vec::new(), None, target.into());
    fake.mount(&MountRequest::Nfs { share, beneath, volume, target, read_only: false }).unwrap();
}

/// The rows of the table that are of retired pools.
#[test]
fn what_becomes_of_retired_pools() {
    let fake = machine();
    let used = |dir: &str, used: PoolUse| {
        let mut pools = vec![PoolConfig { used, ..old("p", Path::new(dir), Some("1f")) }];
        look_at_retired(&fake, Path::new("/data"), &mut pools);
        pools.pop().map(|pool| (pool.used, pool.known_id))
    };
    let kept = |used: PoolUse| Some((used, Some("1f".to_owned())));
    assert_eq!(used("/there", PoolUse::Retired), kept(PoolUse::Retired));
    assert_eq!(used("/srv/team", PoolUse::Retired), kept(PoolUse::Retired));
    for gone in ["/gone", "/file", "/srv/team/gone"] {
        let (left_out, id) = used(gone, PoolUse::Retired).unwrap();
        let PoolUse::LeftOut(why) = left_out else { panic!("{left_out:?}") };
        assert!(why.contains(gone) && why.contains("take it out of /data/agent/pools.json"), "{why}");
        assert_eq!(id.as_deref(), Some("1f"), "what it lies below may be mounted again");
    }
    assert_eq!(used("/data/pool", PoolUse::Retired), None, "the data directory is there, and it is not");
    assert_eq!(
        used("/gone", PoolUse::Wanted),
        kept(PoolUse::Wanted),
        "the driver says what is wrong with it"
    );
    fake.let_server_fail("filer", Some(Errno::ESTALE));
    let (left_out, id) = used("/srv/team", PoolUse::Retired).unwrap();
    let PoolUse::LeftOut(why) = left_out else { panic!("{left_out:?}") };
    assert!(why.contains("/srv/team"), "{why}");
    assert_eq!(id.as_deref(), Some("1f"), "it is remembered as it was");
    assert_eq!(used("/there", PoolUse::Retired), kept(PoolUse::Retired));
}

/// What is written down of a pool that is left out is what was known of it.
#[test]
fn a_pool_that_is_left_out_stays_remembered() {
    let left_out = PoolConfig {
        used: PoolUse::LeftOut("no answer".into()),
        ..old("team", Path::new("/srv/team"), Some("1f"))
    };
    let remembered = Remembered { node: "n".into(), pools: vec![left_out] };
    let read = parse(&print(&remembered)).unwrap();
    assert_eq!(read.pools, [old("team", Path::new("/srv/team"), Some("1f"))]);
}
