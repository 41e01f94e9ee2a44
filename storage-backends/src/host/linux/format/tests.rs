//! The rows of the table, and the real programs on real files (no root needed: files, not devices).

use std::{fs, io::Write};

use super::*;

fn said(code: i32, stdout: &str, stderr: &str) -> Output {
    Output { code: Some(code), stdout: stdout.into(), stderr: stderr.into() }
}

#[test]
fn only_exit_2_without_a_word_is_nothing() {
    assert!(matches!(judge(&said(2, "", "")), Verdict::Nothing));
    assert!(matches!(judge(&said(2, "", "error: /x: No such file or directory\n")), Verdict::Failed));
    assert!(matches!(judge(&said(1, "", "")), Verdict::Failed));
    assert!(matches!(judge(&said(4, "", "usage")), Verdict::Failed));
    assert!(matches!(
        judge(&Output { code: None, stdout: String::new(), stderr: String::new() }),
        Verdict::Failed
    ));
    assert!(matches!(judge(&said(8, "", "")), Verdict::Found(Probe::Other(_))));
}

#[test]
fn reads_what_blkid_exports() {
    let xfs =
        "DEVNAME=y\nUUID=8d5bb4e5-0f5f-4ab5-8e2a-111111111111\nBLOCK_SIZE=512\nTYPE=xfs\nUSAGE=filesystem\n";
    let uuid = Some("8d5bb4e5-0f5f-4ab5-8e2a-111111111111".to_owned());
    assert_eq!(read_export(xfs), Probe::FileSystem { kind: "xfs".into(), uuid });
    assert_eq!(read_export("TYPE=LVM2_member\nUSAGE=raid\n"), Probe::Other("LVM2_member".into()));
    assert_eq!(read_export("PTUUID=1\nPTTYPE=gpt\n"), Probe::Other("a partition table (gpt)".into()));
    assert!(matches!(read_export(""), Probe::Other(_)));
}

const UUID: &str = "0b6ad0f6-94a5-4b0e-a8c4-3d1b8d1f2a77";

#[test]
fn what_is_made_is_found_with_its_uuid() {
    let dir = tempfile::tempdir().unwrap();
    for (fs_type, bytes) in [(FsType::Ext4, 8 << 20), (FsType::Ext4, 1 << 30), (FsType::Xfs, 300 << 20)] {
        let path = dir.path().join(format!("{fs_type}-{bytes}"));
        File::create(&path).unwrap().set_len(bytes).unwrap();
        assert_eq!(probe(&path).unwrap(), Probe::Blank);
        make(&path, fs_type, UUID).unwrap();
        let expected = Probe::FileSystem { kind: fs_type.to_string(), uuid: Some(UUID.into()) };
        assert_eq!(probe(&path).unwrap(), expected);
        assert_eq!(fs::metadata(&path).unwrap().len(), bytes);
    }
}

#[test]
fn data_in_the_file_is_not_taken_for_zeros() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("old");
    let mut file = File::create(&path).unwrap();
    file.set_len(16 << 20).unwrap();
    assert!(is_one_hole(&path));
    file.write_all(&[0xA5; 4096]).unwrap();
    assert!(!is_one_hole(&path));
}

#[test]
fn a_failed_probe_is_never_blank() {
    let dir = tempfile::tempdir().unwrap();
    probe(&dir.path().join("missing")).unwrap_err();
    probe(dir.path()).unwrap_err();
    probe(Path::new("/dev/null")).unwrap_err();
}

#[test]
fn a_partition_table_is_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dos");
    let mut sector = vec![0u8; 1 << 20];
    sector[510..512].copy_from_slice(&[0x55, 0xAA]);
    // One Linux partition from sector 2048 on.
    sector[446..462].copy_from_slice(&[0, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0]);
    fs::write(&path, &sector).unwrap();
    assert!(matches!(probe(&path).unwrap(), Probe::Other(what) if what.contains("dos")));
}

#[test]
fn our_own_look_overrules_a_blkid_that_sees_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged");
    let mut image = vec![0u8; 1 << 20];
    // The magic number of ext2/3/4 over nonsense: blkid's checks fail, but it is not proven blank.
    image[1080..1082].copy_from_slice(&[0x53, 0xEF]);
    fs::write(&path, &image).unwrap();
    assert_ne!(probe(&path).ok(), Some(Probe::Blank));
}

#[test]
fn nothing_is_formatted_over_something() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("taken");
    File::create(&path).unwrap().set_len(16 << 20).unwrap();
    make(&path, FsType::Ext4, UUID).unwrap();
    let error = make(&path, FsType::Ext4, "8d5bb4e5-0f5f-4ab5-8e2a-111111111111").unwrap_err();
    assert!(matches!(&error.source, Cause::Refused(why) if why.contains("ext4")), "{error:?}");
    assert!(matches!(probe(&path).unwrap(), Probe::FileSystem { uuid: Some(uuid), .. } if uuid == UUID));
}
