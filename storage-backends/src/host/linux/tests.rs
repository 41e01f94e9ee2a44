//! Mounts, loop devices and the remover on the real kernel.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::{
    super::{Cause, Host, MountRequest},
    Linux,
    scratch::{Scratch, can_run},
};

fn directories<const N: usize>(scratch: &Scratch, names: [&str; N]) -> [PathBuf; N] {
    names.map(|name| {
        let path = scratch.path().join(name);
        Linux.create_dir(&path).unwrap();
        path
    })
}

fn options_of(target: &Path) -> String {
    let mounts = Linux.mounts().unwrap();
    mounts.into_iter().rfind(|mount| mount.target == target).unwrap().options
}

#[test]
fn root_an_overlay_shows_its_topmost_layer_and_writes_above_all() {
    if !can_run("root_an_overlay_shows_its_topmost_layer_and_writes_above_all") {
        return;
    }
    let scratch = Scratch::new();
    let [top, bottom, upper, work, target] =
        directories(&scratch, ["top", "bottom", "upper", "work", "target"]);
    fs::write(top.join("both"), b"top").unwrap();
    fs::write(bottom.join("both"), b"bottom").unwrap();
    fs::write(bottom.join("below"), b"bottom").unwrap();
    let lower = vec![top.clone(), bottom.clone()];
    Linux
        .mount(&MountRequest::Overlay { lower, upper: upper.clone(), work, target: target.clone() })
        .unwrap();
    assert_eq!(fs::read(target.join("both")).unwrap(), b"top");
    fs::write(target.join("below"), b"changed").unwrap();
    assert_eq!(fs::read(upper.join("below")).unwrap(), b"changed");
    assert_eq!(fs::read(bottom.join("below")).unwrap(), b"bottom");
}

#[test]
fn paths_that_overlayfs_would_take_apart_are_refused() {
    let request = MountRequest::Overlay {
        lower: vec!["/images/a:b".into()],
        upper: "/upper".into(),
        work: "/work".into(),
        target: "/target".into(),
    };
    let error = Linux.mount(&request).unwrap_err();
    assert!(matches!(&error.source, Cause::Refused(why) if why.contains("/images/a:b")), "{error:?}");
}

#[test]
fn root_a_read_only_bind_keeps_the_other_flags() {
    if !can_run("root_a_read_only_bind_keeps_the_other_flags") {
        return;
    }
    let scratch = Scratch::new();
    let [memory, shown] = directories(&scratch, ["memory", "shown"]);
    Linux.mount(&MountRequest::Tmpfs { target: memory.clone(), bytes: Some(1 << 20), mode: 0o755 }).unwrap();
    fs::write(memory.join("file"), b"x").unwrap();
    let bind = |read_only| MountRequest::Bind { source: memory.clone(), target: shown.clone(), read_only };
    Linux.mount(&bind(true)).unwrap();
    for option in ["ro", "nosuid", "nodev"] {
        assert!(options_of(&shown).split(',').any(|found| found == option), "{}", options_of(&shown));
    }
    let error = fs::write(shown.join("file"), b"y").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ReadOnlyFilesystem);
    fs::write(memory.join("file"), b"y").unwrap();
    Linux.unmount(&shown).unwrap();
    Linux.unmount(&shown).unwrap_err();
}

#[test]
fn root_a_tmpfs_has_the_size_that_was_asked_for() {
    if !can_run("root_a_tmpfs_has_the_size_that_was_asked_for") {
        return;
    }
    let scratch = Scratch::new();
    let [memory] = directories(&scratch, ["memory"]);
    Linux.mount(&MountRequest::Tmpfs { target: memory.clone(), bytes: Some(1 << 20), mode: 0o700 }).unwrap();
    assert_eq!(Linux.space(&memory).unwrap().total, 1 << 20);
    let error = fs::write(memory.join("big"), vec![1; 2 << 20]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}

#[test]
fn root_unmounting_does_not_follow_a_link() {
    if !can_run("root_unmounting_does_not_follow_a_link") {
        return;
    }
    let scratch = Scratch::new();
    let [memory] = directories(&scratch, ["memory"]);
    Linux.mount(&MountRequest::Tmpfs { target: memory.clone(), bytes: None, mode: 0o700 }).unwrap();
    let link = scratch.path().join("link");
    std::os::unix::fs::symlink(&memory, &link).unwrap();
    Linux.unmount(&link).unwrap_err();
    assert!(options_of(&memory).contains("rw"));
}

#[test]
fn root_what_is_in_use_is_not_unmounted() {
    if !can_run("root_what_is_in_use_is_not_unmounted") {
        return;
    }
    let scratch = Scratch::new();
    let [memory] = directories(&scratch, ["memory"]);
    Linux.mount(&MountRequest::Tmpfs { target: memory.clone(), bytes: None, mode: 0o700 }).unwrap();
    let open = fs::File::create(memory.join("open")).unwrap();
    let error = Linux.unmount(&memory).unwrap_err();
    assert!(
        matches!(&error.source, Cause::Os(error) if error.kind() == io::ErrorKind::ResourceBusy),
        "{error:?}"
    );
    drop(open);
    Linux.unmount(&memory).unwrap();
}

/// All devices of the machine are listed together: a name that somebody gave one of their files must not hide the rest.
#[test]
fn root_a_loop_devices_file_may_have_any_name() {
    if !can_run("root_a_loop_devices_file_may_have_any_name") {
        return;
    }
    let scratch = Scratch::new();
    let file = scratch.path().join(OsStr::from_bytes(b"\xff.img"));
    Linux.create_sparse(&file, 1 << 20).unwrap();
    let device = Linux.attach_loop(&file, false).unwrap();
    assert_eq!(device.path, file);
    let listed = Linux.loops().unwrap();
    assert!(listed.contains(&device), "{listed:?}");
    Linux.detach_loop(&device.device).unwrap();
    assert_eq!(scratch.loops(), Vec::<PathBuf>::new());
}
