//! The fake refuses what Linux refuses, with the same error.

use super::{super::Cause, *};

fn errno(result: Result<impl std::fmt::Debug>) -> i32 {
    match result.unwrap_err().source {
        Cause::Os(error) => error.raw_os_error().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn machine() -> Fake {
    let fake = Fake::new(1 << 30);
    fake.create_dir(Path::new("/pool")).unwrap();
    fake.create_dir(Path::new("/a/b")).unwrap();
    fake.create_dir(Path::new("/c")).unwrap();
    fake.create_sparse(Path::new("/pool/x"), 8 << 20).unwrap();
    fake.make_filesystem(Path::new("/pool/x"), FsType::Ext4, "u").unwrap();
    fake
}

fn device(target: &str) -> MountRequest {
    MountRequest::Device {
        source: "/dev/loop0".into(),
        target: target.into(),
        fs_type: FsType::Ext4,
        read_only: false,
        options: vec![],
    }
}

fn bind(source: &str, target: &str, read_only: bool) -> MountRequest {
    MountRequest::Bind { source: source.into(), target: target.into(), read_only }
}

use nix::libc;

#[test]
fn files() {
    let fake = machine();
    assert_eq!(errno(fake.create_sparse(Path::new("/pool/x"), 1)), libc::EEXIST);
    assert_eq!(errno(fake.create_sparse(Path::new("/none/x"), 1)), libc::ENOENT);
    assert_eq!(errno(fake.rename(Path::new("/pool/y"), Path::new("/pool/z"))), libc::ENOENT);
    fake.create_sparse(Path::new("/pool/y"), 1).unwrap();
    assert_eq!(errno(fake.rename(Path::new("/pool/y"), Path::new("/pool/x"))), libc::EEXIST);
    assert_eq!(errno(fake.remove_dir(Path::new("/pool"))), libc::ENOTEMPTY);
    assert_eq!(errno(fake.remove_dir(Path::new("/pool/x"))), libc::ENOTDIR);
    assert_eq!(errno(fake.allocate(Path::new("/pool/y"), 2 << 30)), libc::ENOSPC);
    assert_eq!(fake.list_dir(Path::new("/pool")).unwrap(), ["x", "y"]);
    fake.remove_tree(Path::new("/pool")).unwrap();
    assert_eq!(fake.file(Path::new("/pool/x")).unwrap(), None);
}

#[test]
fn what_is_written_below_a_mount_is_in_the_mounted_file_system() {
    let fake = machine();
    fake.attach_loop(Path::new("/pool/x"), false).unwrap();
    fake.mount(&device("/a")).unwrap();
    assert_eq!(fake.file(Path::new("/a/b")).unwrap(), None, "hidden by the mount");
    fake.write(Path::new("/a/hello"), b"hi").unwrap();
    fake.mount(&bind("/a", "/c", true)).unwrap();
    assert_eq!(fake.read(Path::new("/c/hello")), Some(Content::Data(b"hi".to_vec())));
    assert_eq!(errno(fake.write(Path::new("/c/other"), b"x")), libc::EROFS);
    assert_eq!(errno(fake.write(Path::new("/a/big"), &vec![1; 9 << 20])), libc::ENOSPC);
    fake.unmount(Path::new("/c")).unwrap();
    fake.unmount(Path::new("/a")).unwrap();
    assert_eq!(fake.read(Path::new("/a/hello")), None);
    assert!(fake.file(Path::new("/a/b")).unwrap().is_some());
}

#[test]
fn busy_and_stacked_mounts() {
    let fake = machine();
    fake.attach_loop(Path::new("/pool/x"), false).unwrap();
    assert_eq!(errno(fake.mount(&device("/none"))), libc::ENOENT);
    assert_eq!(errno(fake.unmount(Path::new("/a"))), libc::EINVAL);
    fake.mount(&device("/a")).unwrap();
    fake.mount(&device("/a")).unwrap();
    let at: Vec<_> =
        fake.mounts().unwrap().into_iter().filter(|mount| mount.target == Path::new("/a")).collect();
    assert_eq!((at.len(), at[1].parent), (2, at[0].id));
    assert_eq!(errno(fake.detach_loop(Path::new("/dev/loop0"))), libc::EBUSY);
    assert_eq!(errno(fake.remove_dir(Path::new("/a"))), libc::EBUSY);
    assert!(matches!(fake.remove_tree(Path::new("/a")).unwrap_err().source, Cause::Refused(_)));
    fake.create_dir(Path::new("/a/sub")).unwrap();
    fake.mount(&bind("/c", "/a/sub", false)).unwrap();
    assert_eq!(errno(fake.unmount(Path::new("/a"))), libc::EBUSY);
    for target in ["/a/sub", "/a", "/a"] {
        fake.unmount(Path::new(target)).unwrap();
    }
    fake.detach_loop(Path::new("/dev/loop0")).unwrap();
    assert_eq!(errno(fake.detach_loop(Path::new("/dev/loop0"))), libc::ENXIO);
}

#[test]
fn an_unlinked_file_lives_while_a_device_holds_it() {
    let fake = machine();
    let held = fake.attach_loop(Path::new("/pool/x"), false).unwrap();
    fake.remove_file(Path::new("/pool/x")).unwrap();
    assert_eq!(fake.loops().unwrap()[0].path, Path::new("/pool/x (deleted)"));
    assert!(matches!(fake.probe(&held.device).unwrap(), Probe::FileSystem { .. }));
    fake.detach_loop(&held.device).unwrap();
    assert_eq!(fake.loops().unwrap(), []);
}

#[test]
fn a_reboot_keeps_files_alone() {
    let fake = machine();
    fake.attach_loop(Path::new("/pool/x"), false).unwrap();
    fake.mount(&device("/a")).unwrap();
    fake.clone().reboot();
    assert_eq!((fake.loops().unwrap().len(), fake.mounts().unwrap().len()), (0, 1));
    assert!(matches!(fake.probe(Path::new("/pool/x")).unwrap(), Probe::FileSystem { .. }));
}

#[test]
fn a_second_mkfs_is_refused_and_noticed() {
    let fake = machine();
    assert_eq!(fake.overwritten(), 0);
    fake.make_filesystem(Path::new("/pool/x"), FsType::Ext4, "u").unwrap_err();
    assert_eq!((fake.overwritten(), fake.formatted("u")), (1, 1));
}
