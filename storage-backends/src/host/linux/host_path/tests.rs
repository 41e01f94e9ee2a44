//! Host paths on the real kernel: kinds, ways into Orlop's own directories, a racer, and what is left of the source.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use super::super::{
    super::{Host, MountEntry, MountRequest},
    Linux,
    scratch::{Scratch, can_run},
};
use crate::host::path::{PathBind, PathKind};

fn request(scratch: &Scratch, source: &Path, kind: PathKind) -> PathBind {
    let own = scratch.path().join("own/data");
    fs::create_dir_all(&own).unwrap();
    PathBind {
        source: source.to_owned(),
        kind,
        target: own.join("pods/u/volumes/host/v"),
        own: vec![own.clone(), scratch.path().join("not-there")],
    }
}

/// What refusing says; panics when it is shown.
fn refusal(scratch: &Scratch, source: &Path, kind: PathKind) -> String {
    let request = request(scratch, source, kind);
    let error = Linux.bind_path(&request).expect_err(&format!("{} must be refused", source.display()));
    assert!(!shown(&request.target), "{}: nothing is shown", source.display());
    format!("{error}: {}", error.source)
}

fn shown(target: &Path) -> bool {
    Linux.mounts().unwrap().iter().any(|mount| mount.target == target)
}

#[test]
fn root_each_kind_is_shown_as_what_it_is_and_nothing_else() {
    if !can_run("root_each_kind_is_shown_as_what_it_is_and_nothing_else") {
        return;
    }
    let scratch = Scratch::new();
    let at = |name: &str| scratch.path().join("user").join(name);
    fs::create_dir_all(at("dir")).unwrap();
    fs::write(at("file"), "content").unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    symlink("dir", at("link")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    let null = PathBuf::from("/dev/null");
    use PathKind::{Any, CharDevice, Directory, DirectoryOrCreate, File, FileOrCreate, Socket};
    let good = [
        (at("dir"), Any),
        (at("dir"), Directory),
        (at("link"), Directory),
        (at("made/deep"), DirectoryOrCreate),
        (at("made/too"), Any),
        (at("file"), File),
        (at("file"), Any),
        (at("made/file"), FileOrCreate),
        (at("socket"), Socket),
        (null.clone(), CharDevice),
    ];
    for (source, kind) in good {
        let request = request(&scratch, &source, kind);
        let context = format!("{} as {kind:?}", source.display());
        Linux.bind_path(&request).unwrap_or_else(|e| panic!("{context}: {e}: {}", e.source));
        Linux.bind_path(&request).unwrap_or_else(|e| panic!("again {context}: {e}: {}", e.source));
        let same = |path: &Path| Linux.file(&fs::canonicalize(path).unwrap()).unwrap().unwrap().id;
        assert_eq!(same(&request.target), same(&source), "{context}");
        let layers = Linux.mounts().unwrap().iter().filter(|m| m.target == request.target).count();
        assert_eq!(layers, 1, "{context}: shown once");
        Linux.unbind_path(&request.target).unwrap();
        Linux.unbind_path(&request.target).unwrap();
        assert!(!request.target.exists() && source.exists(), "{context}");
    }
    assert_eq!(fs::read(at("file")).unwrap(), b"content");
    let bad = [
        (at("file"), Directory, "is not a directory"),
        (at("file"), DirectoryOrCreate, "is not a directory"),
        (at("dir"), File, "is not a file"),
        (at("dir"), FileOrCreate, "is not a file"),
        (at("socket"), File, "is not a file"),
        (at("file"), Socket, "is not a socket"),
        (null.clone(), PathKind::BlockDevice, "is not a block device"),
        (at("file"), CharDevice, "is not a character device"),
        (at("none"), Directory, "does not exist on this node; create it, or set type: DirectoryOrCreate"),
        (at("none"), File, "or set type: FileOrCreate"),
        (at("none"), Socket, "does not exist on this node; create it"),
        (at("none/file"), FileOrCreate, "its directory does not exist"),
        (at("dangling"), DirectoryOrCreate, "Not a directory"),
        (at("dir/../file"), File, "without .."),
        (PathBuf::from("relative"), Any, "must be absolute"),
    ];
    for (source, kind, words) in bad {
        let said = refusal(&scratch, &source, kind);
        assert!(said.contains(words), "{} as {kind:?}: {said}", source.display());
    }
    assert!(!at("none").exists());
}

#[test]
fn root_no_way_leads_into_orlops_own_directories() {
    if !can_run("root_no_way_leads_into_orlops_own_directories") {
        return;
    }
    let scratch = Scratch::new();
    let own = scratch.path().join("own/data");
    fs::create_dir_all(own.join("pki")).unwrap();
    fs::write(own.join("pki/ca.key"), "secret").unwrap();
    let user = scratch.path().join("user");
    fs::create_dir_all(user.join("bound")).unwrap();
    fs::create_dir_all(user.join("around/inner")).unwrap();
    symlink(&own, user.join("link")).unwrap();
    symlink(own.join("pki/ca.key"), user.join("key")).unwrap();
    symlink("link", user.join("link-to-link")).unwrap();
    let bind = |source: &Path, target: PathBuf| {
        Linux.mount(&MountRequest::Bind { source: source.to_owned(), target, read_only: false }).unwrap();
    };
    bind(&own.join("pki"), user.join("bound"));
    bind(&scratch.path().join("own"), user.join("around/inner"));
    use PathKind::{Any, DirectoryOrCreate, File, FileOrCreate};
    let ways = [
        (own.clone(), Any),
        (own.join("pki"), Any),
        (own.join("pki/ca.key"), File),
        (own.join("made"), DirectoryOrCreate),
        (own.join("made"), FileOrCreate),
        (scratch.path().join("own"), Any),
        (PathBuf::from("/"), Any),
        (user.join("link"), Any),
        (user.join("link-to-link"), Any),
        (user.join("link/made"), DirectoryOrCreate),
        (user.join("link/made"), FileOrCreate),
        (user.join("link/pki/ca.key"), File),
        (user.join("key"), File),
        // By another name: a bind mount of it, of what holds it, and one below what is asked for.
        (user.join("bound"), Any),
        (user.join("bound/ca.key"), File),
        (user.join("bound/made"), DirectoryOrCreate),
        (user.join("around/inner"), Any),
        (user.join("around/inner/data/pki"), Any),
        (user.join("around"), Any),
        (user.clone(), Any),
    ];
    for (source, kind) in ways {
        let said = refusal(&scratch, &source, kind);
        assert!(said.contains("Orlop's own directory"), "{}: {said}", source.display());
    }
    assert!(!own.join("made").exists());
}

/// Whoever can turn a link while it is being shown gets at nothing that was not checked.
#[test]
fn root_a_link_that_is_turned_meanwhile_never_shows_orlops_own() {
    if !can_run("root_a_link_that_is_turned_meanwhile_never_shows_orlops_own") {
        return;
    }
    let scratch = Scratch::new();
    let (user, own) = (scratch.path().join("user"), scratch.path().join("own/data"));
    fs::create_dir_all(user.join("harmless")).unwrap();
    fs::create_dir_all(own.join("secret")).unwrap();
    fs::write(own.join("secret/key"), "").unwrap();
    let (link, other) = (user.join("link"), user.join("other"));
    symlink(user.join("harmless"), &link).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for target in [own.join("secret"), user.join("harmless")].iter().cycle() {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                symlink(target, &other).unwrap();
                fs::rename(&other, &link).unwrap();
            }
        });
        let request = request(&scratch, &link, PathKind::Directory);
        let (mut shown, mut refused) = (0, 0);
        for _ in 0..300 {
            // Without a child for each: what is raced is the walk itself.
            match super::bind(&request) {
                Ok(()) => shown += 1,
                Err(_) => refused += 1,
            }
            let key = request.target.join("key").exists();
            over.store(key, Ordering::Relaxed);
            assert!(!key, "Orlop's own was shown");
            super::unbind(&request.target).unwrap();
        }
        over.store(true, Ordering::Relaxed);
        assert!(shown > 0 && refused > 0, "both were tried: {shown} shown, {refused} refused");
    });
}

/// What is mounted in the source is shown too, and stays mounted there when the pod's view of it goes.
#[test]
fn root_mounts_in_the_source_are_shown_and_outlive_the_pod() {
    if !can_run("root_mounts_in_the_source_are_shown_and_outlive_the_pod") {
        return;
    }
    let scratch = Scratch::new();
    let source = scratch.path().join("user");
    let memory = |name: &str| {
        let target = source.join(name);
        fs::create_dir_all(&target).unwrap();
        Linux
            .mount(&MountRequest::Tmpfs { target: target.clone(), bytes: Some(1 << 16), mode: 0o755 })
            .unwrap();
        fs::write(target.join("note"), name).unwrap();
        target
    };
    // A mount of its own, in a propagation group, as systemd makes all of them.
    fs::create_dir_all(&source).unwrap();
    Linux
        .mount(&MountRequest::Bind { source: source.clone(), target: source.clone(), read_only: false })
        .unwrap();
    share(&source);
    let early = memory("early");
    let request = request(&scratch, &source, PathKind::Directory);
    Linux.bind_path(&request).unwrap();
    assert_eq!(fs::read(request.target.join("early/note")).unwrap(), b"early");
    let late = memory("late");
    assert_eq!(fs::read(request.target.join("late/note")).unwrap(), b"late", "it follows the node's mounts");
    Linux.unbind_path(&request.target).unwrap();
    assert!(!request.target.exists());
    assert_eq!(fs::read(early.join("note")).unwrap(), b"early");
    assert_eq!(fs::read(late.join("note")).unwrap(), b"late");
}

#[expect(clippy::disallowed_methods, reason = "this is host::linux; no other way shares a mount")]
fn share(target: &Path) {
    let none = None::<&str>;
    nix::mount::mount(none, target, none, nix::mount::MsFlags::MS_SHARED, none).unwrap();
}

/// A pool on a file server that may be gone is known by the mount table; every other is opened.
#[test]
fn a_directory_on_a_file_server_is_not_touched() {
    let mount = |id, target: &str, root: &str, fs_type: &str| MountEntry {
        id,
        target: target.into(),
        root: root.into(),
        fs_type: fs_type.into(),
        number: (0, u32::try_from(id).unwrap()),
        parent: 0,
        options: String::new(),
        source: String::new(),
        super_options: String::new(),
    };
    let mounts = [
        mount(1, "/", "/", "ext4"),
        mount(2, "/srv/common", "/", "xfs"),
        mount(3, "/srv/common", "/export", "nfs4"),
        mount(4, "/srv/common/local", "/", "ext4"),
    ];
    let place = |path: &str| super::on_server(Path::new(path), &mounts).map(|at| (at.number.1, at.inside));
    let rows = [
        ("/srv/common", Some((3, "/export"))),
        ("/srv/common/pool/a", Some((3, "/export/pool/a"))),
        ("/srv/common/local/pool", None),
        ("/srv/common2", None),
        ("/", None),
    ];
    for (path, wanted) in rows {
        assert_eq!(place(path), wanted.map(|(number, inside)| (number, inside.into())), "{path}");
    }
}
