//! Lines as real kernels print them.

use super::*;

fn one(line: &str) -> MountEntry {
    let mut entries = parse(line.as_bytes()).unwrap();
    assert_eq!(entries.len(), 1);
    entries.remove(0)
}

#[test]
fn a_plain_line() {
    let entry =
        one("27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard,resv_strict,resuid=65534,resgid=65534\n");
    assert_eq!(
        entry,
        MountEntry {
            id: 27,
            parent: 1,
            number: (254, 0),
            root: "/".into(),
            target: "/".into(),
            options: "rw,relatime".into(),
            fs_type: "ext4".into(),
            source: "/dev/vda".into(),
            super_options: "rw,discard,resv_strict,resuid=65534,resgid=65534".into(),
        }
    );
}

#[test]
fn optional_fields_from_none_to_many() {
    for optional in
        ["", "shared:12 ", "shared:12 master:1 ", "shared:3 master:2 propagate_from:1 unbindable "]
    {
        let entry = one(&format!("90 27 7:3 / /a rw,nosuid {optional}- xfs /dev/loop3 rw,attr2"));
        assert_eq!(
            (entry.number, entry.fs_type.as_str(), entry.source.as_str()),
            ((7, 3), "xfs", "/dev/loop3")
        );
    }
}

#[test]
fn octal_escapes_in_paths_and_sources() {
    let entry = one(r"91 27 0:52 /with\040blank /mnt/tab\011nl\012back\134slash rw - tmpfs my\040tmp rw");
    assert_eq!(entry.root, PathBuf::from("/with blank"));
    assert_eq!(entry.target, PathBuf::from("/mnt/tab\tnl\nback\\slash"));
    assert_eq!(entry.source, "my tmp");
}

#[test]
fn an_escape_that_is_none_stays() {
    assert_eq!(unescape(br"a\04b\999\0"), br"a\04b\999\0");
}

#[test]
fn the_root_of_a_bind_mount_that_was_unlinked() {
    let entry = one("92 27 254:0 /tmp/gone//deleted /mnt rw,relatime - ext4 /dev/vda rw");
    assert_eq!(entry.root, PathBuf::from("/tmp/gone//deleted"));
}

#[test]
fn a_namespace_pin_and_an_empty_source() {
    let entry = one("93 27 0:4 net:[4026532001] /run/orlop/ns/net rw - nsfs nsfs rw");
    assert_eq!(entry.root, PathBuf::from("net:[4026532001]"));
    let entry = one("94 27 0:60 / /mnt rw - tmpfs  rw");
    assert_eq!((entry.fs_type.as_str(), entry.source.as_str()), ("tmpfs", ""));
}

#[test]
fn stacked_mounts_keep_their_order() {
    let entries =
        parse(b"50 27 7:0 / /a rw - ext4 /dev/loop0 rw\n51 50 7:1 / /a rw - ext4 /dev/loop1 rw\n").unwrap();
    assert_eq!(entries.iter().map(|entry| entry.number.1).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(entries[1].parent, entries[0].id);
}

#[test]
fn a_line_that_is_not_understood_is_an_error() {
    for line in
        ["27 1 254:0 / / rw,relatime ext4 /dev/vda rw", "x 1 254:0 / / rw - ext4 /dev/vda rw", "27 1 2540 /"]
    {
        assert_eq!(parse(line.as_bytes()).unwrap_err().kind(), io::ErrorKind::InvalidData, "{line}");
    }
}

#[test]
fn reads_until_two_readings_agree_and_not_for_ever() {
    for (readings, taken) in [
        (&["a", "a", "never"][..], "a"),
        (&["a", "ab", "ab", "never"], "ab"),
        (&["a", "b", "c", "d", "never"], "d"),
    ] {
        let mut readings = readings.iter();
        let read = stable(|| Ok(readings.next().unwrap().as_bytes().to_owned())).unwrap();
        assert_eq!(read, taken.as_bytes());
    }
}

#[test]
fn the_table_of_this_machine() {
    let entries = read().unwrap();
    assert!(entries.iter().any(|entry| entry.target == Path::new("/")), "{entries:?}");
}

/// As the kernel's `mangle` does it.
fn escape(path: &str) -> String {
    let escaped =
        |c: char| if " \t\n\\#".contains(c) { format!("\\{:03o}", u32::from(c)) } else { c.to_string() };
    path.chars().map(escaped).collect()
}

proptest::proptest! {
    #[test]
    fn every_path_survives_the_kernels_escaping(path in "/[ -~\t\n\u{e4}]{0,40}") {
        let line = format!("1 0 7:0 / {} rw - ext4 /dev/loop0 rw", escape(&path));
        proptest::prop_assert_eq!(&one(&line).target, &PathBuf::from(path));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        let _ = parse(&bytes);
    }
}

#[test]
fn whether_a_mount_or_one_in_it_is_shared() {
    let table = b"27 1 254:0 / / rw shared:1 - ext4 /dev/vda rw\n\
        90 27 0:40 / /a rw master:1 - fuse x rw\n\
        91 90 0:41 / /a/b rw shared:7 master:1 - tmpfs shared:9 rw\n\
        92 27 0:42 / /ab rw - tmpfs shared:9 rw\n";
    let shares = |place: &str| shares_below(table, Path::new(place));
    assert_eq!(["/", "/a", "/a/b", "/ab", "/c"].map(shares), [true, true, true, false, false]);
}
