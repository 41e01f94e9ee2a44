//! Visits on real directories: every row of their table, a death at every step, and a share whose other users are hostile.

use std::{
    cell::Cell,
    fs, io,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use super::{Opened, open_its};
use crate::host::share::{Kept, Kind, Make, Marker, Outcome, Refusal, Root, Visit, carry_out};

/// A share, and something beside it that no visit may reach.
struct Server {
    dir: tempfile::TempDir,
}

impl Server {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("share")).unwrap();
        fs::create_dir_all(dir.path().join("outside/deep")).unwrap();
        fs::write(dir.path().join("outside/kept"), b"outside").unwrap();
        Self { dir }
    }

    fn share(&self) -> PathBuf {
        self.dir.path().join("share")
    }

    fn root(&self) -> Opened {
        Opened::new(&fs::File::open(self.share()).unwrap().into()).unwrap()
    }

    fn visit(&self, visit: &Visit) -> Outcome {
        carry_out(&self.root(), visit).unwrap()
    }

    #[track_caller]
    fn outside_is_as_it_was(&self) {
        let outside = self.dir.path().join("outside");
        assert_eq!(fs::read(outside.join("kept")).unwrap(), b"outside");
        let mut names: Vec<_> = fs::read_dir(&outside).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["deep", "kept"]);
        assert_eq!(fs::read_dir(outside.join("deep")).unwrap().count(), 0);
    }

    /// Names at the share's root but our own, and the markers.
    fn names(&self) -> (Vec<String>, Vec<String>) {
        let list = |path: &Path| {
            let mut names: Vec<String> = fs::read_dir(path)
                .map(|entries| entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect())
                .unwrap_or_default();
            names.sort();
            names
        };
        let mut all = list(&self.share());
        all.retain(|name| name != ".orlop");
        (all, list(&self.share().join(".orlop/volumes")))
    }
}

fn words(directory: &str) -> Vec<String> {
    directory.split('/').map(str::to_owned).collect()
}

fn make(volume: &str, directory: &str) -> Make {
    Make {
        directory: words(directory),
        marker: Marker {
            volume: volume.into(),
            claim: "default/data".into(),
            directory: directory.into(),
            adopted: false,
        },
        uid: None,
        gid: None,
        mode: 0o770,
        adopt: false,
    }
}

fn kept(volume: &str, directory: &str) -> Kept {
    Kept { directory: words(directory), volume: volume.into() }
}

fn refusal(outcome: Outcome) -> Refusal {
    match outcome {
        Outcome::Refused(why) => why,
        other => panic!("it is not refused but {other:?}"),
    }
}

#[test]
fn a_volume_is_made_once_and_goes_as_it_was_asked() {
    let server = Server::new();
    for _ in 0..2 {
        assert_eq!(server.visit(&Visit::Make(make("v1", "ns/a"))), Outcome::Done);
    }
    let mode = fs::metadata(server.share().join("ns/a")).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o770);
    fs::create_dir_all(server.share().join("ns/a/x/y")).unwrap();
    fs::write(server.share().join("ns/a/x/y/file"), b"data").unwrap();
    for _ in 0..2 {
        assert_eq!(server.visit(&Visit::Remove(kept("v1", "ns/a"))), Outcome::Done);
    }
    assert_eq!(server.names(), (vec!["ns".to_owned()], vec![]), "what was above it stays");
    assert_eq!(server.visit(&Visit::Make(make("v2", "ns/a"))), Outcome::Done, "the name is free again");
    server.visit(&Visit::Release(kept("v2", "ns/a")));
    assert!(server.share().join("ns/a").is_dir());
    assert_eq!(
        refusal(server.visit(&Visit::Remove(kept("v2", "ns/a")))),
        Refusal::Unmarked,
        "released is unmarked"
    );
}

#[test]
fn what_is_not_the_volumes_own_is_left_alone() {
    let server = Server::new();
    let share = server.share();
    fs::create_dir(share.join("plain")).unwrap();
    fs::write(share.join("plain/kept"), b"x").unwrap();
    fs::write(share.join("file"), b"x").unwrap();
    symlink("../outside", share.join("link")).unwrap();
    server.visit(&Visit::Make(make("v1", "mine")));
    let rows: Vec<(Visit, Refusal)> = vec![
        (Visit::Make(make("v2", "plain")), Refusal::Unmarked),
        (Visit::Make(make("v2", "file")), Refusal::NotADirectory("file".into())),
        (Visit::Make(make("v2", "link")), Refusal::NotADirectory("link".into())),
        (Visit::Make(make("v2", "link/deep/new")), Refusal::NotADirectory("link/deep/new".into())),
        (Visit::Make(make("v2", "file/new")), Refusal::NotADirectory("file/new".into())),
        (Visit::Remove(kept("v2", "plain")), Refusal::Unmarked),
        (Visit::Archive(kept("v2", "plain")), Refusal::Unmarked),
        (Visit::Remove(kept("v2", "link")), Refusal::Unmarked),
        (Visit::Remove(kept("v2", "link/deep")), Refusal::NotADirectory("link/deep".into())),
    ];
    for (visit, wanted) in rows {
        assert_eq!(refusal(server.visit(&visit)), wanted, "{visit:?}");
    }
    for visit in [
        Visit::Make(make("v2", "mine")),
        Visit::Remove(kept("v2", "mine")),
        Visit::Archive(kept("v2", "mine")),
        Visit::Release(kept("v2", "mine")),
    ] {
        let Refusal::Foreign(marker) = refusal(server.visit(&visit)) else { panic!("{visit:?}") };
        assert_eq!(marker.volume, "v1");
    }
    let within = refusal(server.visit(&Visit::Make(make("v2", "mine/inner"))));
    assert!(matches!(within, Refusal::Within(marker) if marker.volume == "v1"));
    // A directory that may be adopted, but in which another volume's lies, or lay.
    server.visit(&Visit::Make(make("v3", "above/mine")));
    let adopting = Visit::Make(Make { adopt: true, ..make("v2", "above") });
    assert!(matches!(refusal(server.visit(&adopting)), Refusal::Above(marker) if marker.volume == "v3"));
    assert_eq!(server.names().1, ["above+mine", "mine"]);
    server.visit(&Visit::Remove(kept("v3", "above/mine")));
    assert_eq!(server.visit(&adopting), Outcome::Done);
    server.visit(&Visit::Release(kept("v2", "above")));
    assert!(
        share.join("plain/kept").exists() && share.join("mine").is_dir() && share.join("link").is_symlink()
    );
    assert_eq!(server.names().1, ["mine"]);
    server.outside_is_as_it_was();
}

#[test]
fn a_damaged_or_copied_marker_protects_the_directory() {
    let server = Server::new();
    server.visit(&Visit::Make(make("v1", "a")));
    server.visit(&Visit::Make(make("v2", "b")));
    let marker = |name: &str| server.share().join(".orlop/volumes").join(name);
    // Somebody gives b the marker of a: it does not fit.
    fs::copy(marker("a"), marker("b")).unwrap();
    assert!(matches!(refusal(server.visit(&Visit::Remove(kept("v1", "b")))), Refusal::Damaged(_)));
    fs::write(marker("b"), b"").unwrap();
    assert!(matches!(refusal(server.visit(&Visit::Remove(kept("v2", "b")))), Refusal::Damaged(_)));
    fs::remove_file(marker("b")).unwrap();
    symlink("a", marker("b")).unwrap();
    assert!(matches!(refusal(server.visit(&Visit::Remove(kept("v1", "b")))), Refusal::NotADirectory(_)));
    assert!(server.share().join("b").is_dir());
}

#[test]
fn what_was_there_before_stays_when_its_volume_goes() {
    let server = Server::new();
    fs::create_dir(server.share().join("old")).unwrap();
    fs::write(server.share().join("old/data"), b"x").unwrap();
    fs::set_permissions(server.share().join("old"), fs::Permissions::from_mode(0o711)).unwrap();
    let adopt = Make { adopt: true, ..make("v1", "old") };
    for _ in 0..2 {
        assert_eq!(server.visit(&Visit::Make(adopt.clone())), Outcome::Done);
    }
    let mode = fs::metadata(server.share().join("old")).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o711, "it is taken as it is");
    // Whatever a forged volume says, the marker knows that it was not made here.
    assert_eq!(server.visit(&Visit::Remove(kept("v1", "old"))), Outcome::Done);
    assert_eq!(fs::read(server.share().join("old/data")).unwrap(), b"x");
    assert_eq!(server.names().1, Vec::<String>::new());
}

#[test]
fn an_archive_takes_a_free_name_and_never_another_ones() {
    let server = Server::new();
    let share = server.share();
    let fill = |volume: &str| {
        server.visit(&Visit::Make(make(volume, "ns/a")));
        fs::write(share.join("ns/a/data"), volume).unwrap();
    };
    fill("v1");
    assert_eq!(server.visit(&Visit::Archive(kept("v1", "ns/a"))), Outcome::Archived("ns/archived-a".into()));
    fill("v2");
    assert_eq!(
        server.visit(&Visit::Archive(kept("v2", "ns/a"))),
        Outcome::Archived("ns/archived-a-v2".into())
    );
    assert_eq!(fs::read_to_string(share.join("ns/archived-a/data")).unwrap(), "v1");
    assert_eq!(fs::read_to_string(share.join("ns/archived-a-v2/data")).unwrap(), "v2");
    fill("v3");
    fs::write(share.join("ns/archived-a-v3"), b"somebody's file").unwrap();
    let taken = refusal(server.visit(&Visit::Archive(kept("v3", "ns/a"))));
    assert!(matches!(taken, Refusal::ArchivesTaken(names) if names.len() == 2));
    assert_eq!(fs::read_to_string(share.join("ns/a/data")).unwrap(), "v3", "nothing was moved");
    assert_eq!(fs::read_to_string(share.join("ns/archived-a-v3")).unwrap(), "somebody's file");
    fs::remove_file(share.join("ns/archived-a-v3")).unwrap();
    symlink("../../outside/deep", share.join("ns/archived-a-v3")).unwrap();
    assert!(matches!(refusal(server.visit(&Visit::Archive(kept("v3", "ns/a")))), Refusal::ArchivesTaken(_)));
    server.outside_is_as_it_was();
}

/// Dies before or after one step; others do what they do meanwhile, before a step of that name.
struct Dying<'a> {
    inner: &'a dyn Root,
    left: Cell<usize>,
    after: bool,
    meanwhile: &'a dyn Fn(&'static str),
}

impl Dying<'_> {
    fn step<T>(&self, name: &'static str, step: impl FnOnce(&dyn Root) -> io::Result<T>) -> io::Result<T> {
        let dead = || io::Error::other("dead");
        match self.left.get() {
            0 => return Err(dead()),
            left => self.left.set(left - 1),
        }
        if self.left.get() == 0 && !self.after {
            return Err(dead());
        }
        (self.meanwhile)(name);
        let answer = step(self.inner);
        if self.left.get() == 0 { Err(dead()) } else { answer }
    }
}

impl Root for Dying<'_> {
    fn kind(&self, path: &[&str]) -> io::Result<Option<Kind>> {
        self.step("kind", |root| root.kind(path))
    }
    fn make_dir(&self, path: &[&str], mode: u32) -> io::Result<()> {
        self.step("make_dir", |root| root.make_dir(path, mode))
    }
    fn give(&self, path: &[&str], uid: Option<u32>, gid: Option<u32>, mode: u32) -> io::Result<()> {
        self.step("give", |root| root.give(path, uid, gid, mode))
    }
    fn read(&self, path: &[&str]) -> io::Result<Option<Vec<u8>>> {
        self.step("read", |root| root.read(path))
    }
    fn names(&self, path: &[&str]) -> io::Result<Vec<String>> {
        self.step("names", |root| root.names(path))
    }
    fn write_new(&self, path: &[&str], content: &[u8]) -> io::Result<()> {
        self.step("write_new", |root| root.write_new(path, content))
    }
    fn remove_file(&self, path: &[&str]) -> io::Result<()> {
        self.step("remove_file", |root| root.remove_file(path))
    }
    fn rename(&self, from: &[&str], to: &[&str]) -> io::Result<()> {
        self.step("rename", |root| root.rename(from, to))
    }
    fn remove_tree(&self, path: &[&str]) -> io::Result<()> {
        self.step("remove_tree", |root| root.remove_tree(path))
    }
}

#[test]
fn a_visit_that_died_at_any_step_is_finished_by_the_next() {
    let visits = [
        Visit::Make(make("v1", "ns/a")),
        Visit::Remove(kept("v1", "ns/a")),
        Visit::Archive(kept("v1", "ns/a")),
        Visit::Release(kept("v1", "ns/a")),
    ];
    for visit in &visits {
        for after in [false, true] {
            for steps in 1.. {
                let server = Server::new();
                let is_made = !matches!(visit, Visit::Make(_));
                if is_made {
                    server.visit(&Visit::Make(make("v1", "ns/a")));
                    fs::write(server.share().join("ns/a/data"), b"data").unwrap();
                }
                let root = server.root();
                let dying = Dying { inner: &root, left: Cell::new(steps), after, meanwhile: &|_| {} };
                let lived = carry_out(&dying, visit).is_ok();
                let outcome = server.visit(visit);
                assert!(
                    !matches!(outcome, Outcome::Refused(_)),
                    "{visit:?} after {steps} steps: {outcome:?}"
                );
                let found = |path: &str| server.share().join(path).exists();
                let marked = !server.names().1.is_empty();
                match visit {
                    Visit::Make(_) => assert!(found("ns/a") && marked, "{steps}"),
                    Visit::Remove(_) => {
                        assert!(!found("ns/a") && !marked && !found(".orlop/removing/v1"), "{steps}");
                    }
                    Visit::Archive(_) => {
                        let kept = found("ns/archived-a/data") || found("ns/archived-a-v1/data");
                        assert!(!found("ns/a") && !marked && kept, "{steps}: the data is in one archive");
                    }
                    Visit::Release(_) => assert!(found("ns/a/data") && !marked, "{steps}"),
                }
                if lived {
                    break;
                }
            }
        }
    }
}

/// One of two volumes below goes between the look at their names and the look at their markers, whichever is seen first.
#[test]
fn a_volume_below_that_goes_does_not_hide_another() {
    for gone in ["v1", "v2"] {
        let server = Server::new();
        for volume in ["v1", "v2"] {
            server.visit(&Visit::Make(make(volume, &format!("above/{volume}"))));
        }
        let (root, listed) = (server.root(), Cell::new(false));
        let meanwhile = |step| {
            if listed.replace(step == "names") {
                server.visit(&Visit::Remove(kept(gone, &format!("above/{gone}"))));
            }
        };
        let busy = Dying { inner: &root, left: Cell::new(usize::MAX), after: false, meanwhile: &meanwhile };
        let adopting = Visit::Make(Make { adopt: true, ..make("v3", "above") });
        let why = refusal(carry_out(&busy, &adopting).unwrap());
        assert!(matches!(why, Refusal::Above(marker) if marker.volume != gone), "without {gone}");
    }
}

/// A volume is made below between the look and the mark, and the one above dies at any step: its next try sees it, and
/// removing it does not remove the other's. So for a directory that was there before, and for one that was not.
#[test]
fn a_death_between_the_mark_and_the_second_look_leaves_no_volume_above_another() {
    for (adopt, after) in [(false, false), (false, true), (true, false), (true, true)] {
        for steps in 1.. {
            let server = Server::new();
            if adopt {
                fs::create_dir(server.share().join("above")).unwrap();
            }
            let (root, crossed) = (server.root(), Cell::new(false));
            let meanwhile = |step| {
                if step == "write_new" {
                    assert_eq!(server.visit(&Visit::Make(make("v2", "above/inner"))), Outcome::Done);
                    crossed.set(true);
                }
            };
            let dying = Dying { inner: &root, left: Cell::new(steps), after, meanwhile: &meanwhile };
            let making = Visit::Make(Make { adopt, ..make("v1", "above") });
            let first = carry_out(&dying, &making);
            if crossed.get() {
                let data = server.share().join("above/inner/data");
                fs::write(&data, b"data").unwrap();
                // With the mark of the one that died, or without.
                let is_marked = || server.names().1.contains(&"above".to_owned());
                let known = |outcome| match refusal(outcome) {
                    Refusal::Above(marker) => marker.volume == "v2",
                    Refusal::Unmarked => !is_marked(),
                    _ => false,
                };
                let removing = Visit::Remove(kept("v1", "above"));
                assert!(known(server.visit(&making)), "after {steps} steps");
                assert!(matches!(first, Err(_) | Ok(Outcome::Refused(Refusal::Above(_)))), "{first:?}");
                for visit in [&removing, &Visit::Archive(kept("v1", "above"))] {
                    let outcome = server.visit(visit);
                    assert!(outcome == Outcome::Done && adopt || known(outcome), "after {steps} steps");
                }
                assert_eq!(fs::read(&data).unwrap(), b"data");
                server.visit(&Visit::Release(kept("v1", "above")));
                assert_eq!(server.names().1, ["above+inner"]);
            } else {
                assert_eq!(server.visit(&making), Outcome::Done);
            }
            if first.is_ok() {
                break;
            }
        }
    }
}

/// Somebody who may write to the whole share swaps a directory for a link, again and again, while volumes come and go.
#[test]
fn directories_swapped_for_links_lead_nowhere() {
    let server = Server::new();
    let (share, stop) = (server.share(), AtomicBool::new(false));
    fs::create_dir(share.join("ns")).unwrap();
    symlink("../outside", share.join("evil")).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let swap = rustix::fs::RenameFlags::EXCHANGE;
                let _ = rustix::fs::renameat_with(
                    rustix::fs::CWD,
                    share.join("ns"),
                    rustix::fs::CWD,
                    share.join("evil"),
                    swap,
                );
            }
        });
        for number in 0..300 {
            let (volume, directory) = (format!("v{number}"), format!("ns/d{number}"));
            // Each may fail or be refused, as the swap falls; none may get out.
            let _ = carry_out(&server.root(), &Visit::Make(make(&volume, &directory)));
            let _ = carry_out(&server.root(), &Visit::Remove(kept(&volume, &directory)));
            let _ = carry_out(&server.root(), &Visit::Archive(kept(&volume, &directory)));
        }
        stop.store(true, Ordering::Relaxed);
    });
    server.outside_is_as_it_was();
}

#[test]
fn parts_that_are_no_names_are_refused_by_the_root_itself() {
    let server = Server::new();
    let root = server.root();
    for path in [&[".."][..], &["a", ".."], &["a/b"], &[""], &["."], &[], &["..", "outside"], &["/etc"]] {
        assert!(root.make_dir(path, 0o700).is_err(), "{path:?}");
        assert!(root.remove_tree(path).is_err(), "{path:?}");
        assert!(root.kind(path).is_err(), "{path:?}");
    }
    server.outside_is_as_it_was();
}

/// The directory's volume goes just before it is opened, and another one's gets its name.
#[test]
fn a_directory_that_becomes_another_volumes_is_not_shown() {
    let server = Server::new();
    server.visit(&Visit::Make(make("v1", "a")));
    let whose = (server.root(), kept("v1", "a"));
    let open = || Ok(fs::File::open(server.share().join("a"))?);
    open_its(Some(&whose), open).unwrap().unwrap();
    let late = || {
        server.visit(&Visit::Remove(kept("v1", "a")));
        server.visit(&Visit::Make(make("v2", "a")));
        open()
    };
    let why = open_its(Some(&whose), late).unwrap().unwrap_err();
    assert!(matches!(&why, Refusal::Foreign(marker) if marker.volume == "v2"), "{why:?}");
    let gone = || {
        server.visit(&Visit::Remove(kept("v2", "a")));
        open()
    };
    assert_eq!(open_its(Some(&whose), gone).unwrap().unwrap_err(), Refusal::Unmarked);
}
