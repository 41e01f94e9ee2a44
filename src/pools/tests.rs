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
    let data = tempfile::tempdir().unwrap();
    let (full, empty) = (data.path().join("full"), data.path().join("empty"));
    for dir in [&full, &empty] {
        fs::create_dir(dir).unwrap();
    }
    fs::write(full.join("pvc-1.img"), "").unwrap();
    let at = |pools: &[PoolConfig]| Remembered { node: "n".into(), pools: pools.to_vec() };
    let names = |pools: Vec<PoolConfig>| -> Vec<(String, bool)> {
        pools.into_iter().map(|pool| (pool.name, pool.used == PoolUse::Retired)).collect()
    };
    let none = wanted(data.path(), &[], &at(&[])).unwrap();
    assert_eq!(none, [default_pool(data.path())]);
    let other = flag("fast=/elsewhere").unwrap();
    let kept = wanted(data.path(), std::slice::from_ref(&other), &at(&[old("slow", &full, None)])).unwrap();
    assert_eq!(names(kept), [("fast".to_owned(), false), ("slow".to_owned(), true)]);
    let why =
        wanted(data.path(), std::slice::from_ref(&other), &at(&[old("fast", &full, None)])).unwrap_err();
    assert!(why.to_string().contains("its volumes are in"), "{why}");
    assert!(wanted(data.path(), std::slice::from_ref(&other), &at(&[old("fast", &empty, None)])).is_ok());
    let shared = flag("fast=/elsewhere,shared").unwrap();
    let moved = wanted(data.path(), &[shared], &at(&[old("fast", &full, Some("1f"))])).unwrap();
    assert_eq!(moved[0].known_id.as_deref(), Some("1f"), "the driver compares it with what it finds");
    let circle = data.path().join("circle");
    std::os::unix::fs::symlink(&circle, &circle).unwrap();
    let why =
        wanted(data.path(), std::slice::from_ref(&other), &at(&[old("fast", &circle, None)])).unwrap_err();
    assert!(why.to_string().contains("there may be volumes where it was"), "{why}");
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
    for dir in ["/there", "/srv", "/srv/team"] {
        fake.create_dir(Path::new(dir)).unwrap();
    }
    fake.create_file(Path::new("/file"), b"").unwrap();
    fake.serve("filer", "/team", 1 << 30);
    let share = Share { server: "filer".into(), path: "/team".into(), options: Vec::new() };
    let (beneath, volume, target) = (Vec::new(), None, "/srv/team".into());
    fake.mount(&MountRequest::Nfs { share, beneath, volume, target, read_only: false }).unwrap();
    fake
}

/// The rows of the table that are of retired pools.
#[test]
fn what_becomes_of_retired_pools() {
    let fake = machine();
    let used = |dir: &str, used: PoolUse| {
        let mut pools = vec![PoolConfig { used, ..old("p", Path::new(dir), Some("1f")) }];
        look_at_retired(&fake, &mut pools);
        pools.pop().map(|pool| (pool.used, pool.known_id))
    };
    let kept = |used: PoolUse| Some((used, Some("1f".to_owned())));
    assert_eq!(used("/there", PoolUse::Retired), kept(PoolUse::Retired));
    assert_eq!(used("/srv/team", PoolUse::Retired), kept(PoolUse::Retired));
    assert_eq!(used("/gone", PoolUse::Retired), None);
    assert_eq!(used("/file", PoolUse::Retired), None, "there, and no directory");
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
