//! The corpus of evil layers, and what honest ones become. All need root: owners and marks of overlayfs are set.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt, symlink},
    path::Path,
};

use proptest::strategy::Strategy;

use super::{super::testing::*, *};

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new(test: &str) -> Option<Self> {
        is_root(test).then(|| {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir_all(dir.path().join("layer")).unwrap();
            fs::write(dir.path().join("secret"), "outside").unwrap();
            Self { dir }
        })
    }

    fn layer(&self) -> PathBuf {
        self.dir.path().join("layer")
    }

    fn unpack(&self, layer: Layer) -> Result<u64> {
        self.over(&[], layer)
    }

    fn over(&self, lower: &[&Path], layer: Layer) -> Result<u64> {
        let open = |path: &Path| rustix::fs::open(path, DIRECTORY, Mode::empty()).unwrap();
        let lower = lower.iter().map(|path| open(path)).collect();
        Unpacker::new(open(&self.layer()), lower).unwrap().unpack(layer.done().as_slice())
    }

    /// Unpacks what must not get out; the file beside the layer's root is untouched whatever happened.
    fn evil(&self, layer: Layer) -> String {
        let result = self.unpack(layer);
        assert_eq!(fs::read_to_string(self.dir.path().join("secret")).unwrap(), "outside");
        assert_eq!(fs::read_dir(self.dir.path()).unwrap().count(), 2, "something was made outside");
        match result {
            Ok(_) => "done".into(),
            Err(Fault::Refused { entry, reason }) => format!("{entry}: {reason}"),
            Err(Fault::Write { operation, entry, source }) => format!("{operation} {entry}: {source}"),
            Err(Fault::Read(e)) => format!("read: {e}"),
        }
    }

    fn is_whiteout(&self, name: &str) -> bool {
        let meta = fs::symlink_metadata(self.layer().join(name)).unwrap();
        meta.file_type().is_char_device() && meta.rdev() == 0
    }

    fn is_opaque(&self, name: &str) -> bool {
        let mut value = [0; 8];
        rustix::fs::lgetxattr(self.layer().join(name), OPAQUE, &mut value).is_ok_and(|n| value[..n] == *b"y")
    }

    fn meta(&self, name: &str) -> fs::Metadata {
        fs::symlink_metadata(self.layer().join(name)).unwrap()
    }
}

#[test]
fn root_names_that_lead_out_are_refused() {
    let Some(bench) = Bench::new("root_names_that_lead_out_are_refused") else { return };
    let up = "must not lead upwards";
    assert!(bench.evil(Layer::new().file("../secret", "in")).contains(up));
    assert!(bench.evil(Layer::new().file("a/../../secret", "in")).contains(up));
    assert!(bench.evil(Layer::new().hard_link("mine", "../secret")).contains(up));
    assert!(bench.evil(Layer::new().file("..", "in")).contains(up));
    assert!(bench.evil(Layer::new().file(".wh...", "")).contains("must name what it hides"));
    assert!(bench.evil(Layer::new().file(".wh..", "")).contains("must name what it hides"));
    assert!(bench.evil(Layer::new().file(".wh.", "")).contains("must name what it hides"));
}

#[test]
fn root_absolute_names_and_links_stay_beneath_the_root() {
    let Some(bench) = Bench::new("root_absolute_names_and_links_stay_beneath_the_root") else { return };
    let outside = bench.dir.path().to_str().unwrap().to_owned();
    let layer = Layer::new()
        .file("/abs", "in")
        .dir("real", 0o755)
        .symlink("link", "/real")
        .file("link/through", "in")
        .symlink("up", "../../../../real")
        .file("up/too", "in");
    assert_eq!(bench.evil(layer), "done");
    assert!(bench.layer().join("abs").exists());
    assert!(bench.layer().join("real/through").exists() && bench.layer().join("real/too").exists());

    // A link to the directory that holds the secret, then a write, a link and a whiteout through it.
    for attack in [
        Layer::new().symlink("out", &outside).file("out/secret", "in"),
        Layer::new().symlink("out", "..").file("out/secret", "in"),
        Layer::new().symlink("out", &outside).file("out/.wh.secret", ""),
        Layer::new().symlink("out", &outside).file("out/.wh..wh..opq", ""),
        Layer::new().symlink("out", &outside).hard_link("mine", "out/secret"),
        Layer::new().symlink("out", &format!("{outside}/secret")).hard_link("mine", "out").file("mine", "in"),
        Layer::new().symlink("secret", &format!("{outside}/secret")).file("secret", "in"),
        Layer::new().symlink("d", &outside).dir("d", 0o777),
    ] {
        bench.evil(attack);
        crate::images::tree::remove_tree(bench.dir.path(), "layer").unwrap();
        fs::create_dir(bench.layer()).unwrap();
    }
}

#[test]
fn root_a_link_planted_before_in_the_directory_is_not_followed() {
    let Some(bench) = Bench::new("root_a_link_planted_before_in_the_directory_is_not_followed") else {
        return;
    };
    symlink(bench.dir.path(), bench.layer().join("planted")).unwrap();
    bench.evil(Layer::new().file("planted/secret", "in"));
}

#[test]
fn root_hard_links_reach_only_files_of_the_layer() {
    let Some(bench) = Bench::new("root_hard_links_reach_only_files_of_the_layer") else { return };
    let good = Layer::new().file("a", "text").hard_link("b", "/a").hard_link("./b", "a").hard_link("a", "a");
    assert_eq!(bench.evil(good), "done");
    assert_eq!(bench.meta("a").ino(), bench.meta("b").ino());
    assert!(bench.evil(Layer::new().hard_link("c", "etc/shadow")).contains("which is no file of this layer"));
    assert!(
        bench
            .evil(Layer::new().dir("d", 0o755).hard_link("e", "d"))
            .contains("which is no file of this layer")
    );
    assert!(
        bench
            .evil(Layer::new().file(".wh.w", "").hard_link("v", "w"))
            .contains("which is no file of this layer")
    );
}

#[test]
fn root_whiteouts_become_overlayfs_marks() {
    let Some(bench) = Bench::new("root_whiteouts_become_overlayfs_marks") else { return };
    let layer = Layer::new()
        .file("gone/.wh.one", "")
        .file("all/.wh..wh..opq", "")
        .file("all/new", "x")
        .file("kept", "x")
        .file(".wh.kept", "")
        .dir("both", 0o755)
        .file(".wh.both", "")
        .file(".wh.later", "")
        .dir("later", 0o755)
        .file(".wh.under", "")
        .file("under/file", "x")
        .file(".wh..wh.plnk", "");
    assert_eq!(bench.evil(layer), "done");
    assert!(bench.is_whiteout("gone/one") && !bench.is_opaque("gone"));
    assert!(bench.is_opaque("all") && bench.layer().join("all/new").exists());
    assert!(bench.meta("kept").is_file(), "a whiteout hides what is below, not what the layer brings");
    assert!(bench.is_opaque("both") && bench.is_opaque("later") && bench.is_opaque("under"));
    assert_eq!(fs::read_dir(bench.layer()).unwrap().count(), 6);
}

#[test]
fn root_marks_of_overlayfs_cannot_be_forged() {
    let Some(bench) = Bench::new("root_marks_of_overlayfs_cannot_be_forged") else { return };
    assert!(bench.evil(Layer::new().device("w", 0, 0)).contains("overlayfs's own mark"));
    let records: [(&str, &[u8]); 3] = [
        ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
        ("SCHILY.xattr.user.fine", b"yes"),
    ];
    assert_eq!(bench.evil(Layer::new().pax(&records).dir("d", 0o755)), "done");
    assert!(!bench.is_opaque("d"));
    let mut value = [0; 8];
    assert!(rustix::fs::lgetxattr(bench.layer().join("d"), "trusted.overlay.redirect", &mut value).is_err());
    let n = rustix::fs::lgetxattr(bench.layer().join("d"), "user.fine", &mut value).unwrap();
    assert_eq!(&value[..n], b"yes");
}

#[test]
fn root_owner_mode_time_and_devices_are_kept() {
    let Some(bench) = Bench::new("root_owner_mode_time_and_devices_are_kept") else { return };
    let layer = Layer::new()
        .dir("d", 0o1777)
        .owned("d/su", 1000, 100, 0o4755)
        .device("null", 1, 3)
        .entry(EntryType::Fifo, "pipe", "", 0o600, b"")
        .symlink("l", "nowhere")
        .file("d/last", "fills the directory after its entry");
    assert_eq!(bench.evil(layer), "done");
    let su = bench.meta("d/su");
    assert_eq!((su.uid(), su.gid(), su.mode() & 0o7777, su.mtime()), (1000, 100, 0o4755, 1_600_000_000));
    let d = bench.meta("d");
    assert_eq!((d.mode() & 0o7777, d.mtime()), (0o1777, 1_700_000_000));
    assert_eq!(bench.meta("null").rdev(), rustix::fs::makedev(1, 3));
    assert!(bench.meta("pipe").file_type().is_fifo());
    assert_eq!(bench.meta("l").mtime(), 1_700_000_000);
}

#[test]
fn root_directories_that_are_only_implied_look_like_those_below() {
    let Some(bench) = Bench::new("root_directories_that_are_only_implied_look_like_those_below") else {
        return;
    };
    let lower = tempfile::tempdir().unwrap();
    fs::create_dir(lower.path().join("tmp")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
    fs::set_permissions(lower.path().join("tmp"), mode).unwrap();
    std::os::unix::fs::chown(lower.path().join("tmp"), Some(5), Some(6)).unwrap();
    bench.over(&[lower.path()], Layer::new().file("tmp/x", "").file("new/y", "")).unwrap();
    let tmp = bench.meta("tmp");
    assert_eq!((tmp.mode() & 0o7777, tmp.uid(), tmp.gid()), (0o1777, 5, 6));
    assert_eq!(bench.meta("new").mode() & 0o7777, 0o755);
}

#[test]
fn root_a_later_entry_replaces_an_earlier_one() {
    let Some(bench) = Bench::new("root_a_later_entry_replaces_an_earlier_one") else { return };
    let layer =
        Layer::new().dir("x", 0o755).file("x/deep", "1").file("x", "file").dir("y", 0o700).dir("y", 0o711);
    assert_eq!(bench.evil(layer), "done");
    assert_eq!(fs::read_to_string(bench.layer().join("x")).unwrap(), "file");
    assert_eq!(bench.meta("y").mode() & 0o7777, 0o711);
    assert!(bench.evil(Layer::new().file("f", "").file("f/below", "")).contains("it is no directory"));
}

/// Names and targets that meet each other often, some of which lead out when a link is followed carelessly.
fn any_entry() -> impl Strategy<Value = (u8, String, String)> {
    let part = proptest::sample::select(vec![
        "a",
        "b",
        "c",
        "a",
        "b",
        "c",
        "a",
        "b",
        "secret",
        "secret",
        ".wh.a",
        ".wh.secret",
        ".wh..wh..opq",
        "..",
    ]);
    let path = |part| proptest::collection::vec(part, 1..4).prop_map(|parts: Vec<&str>| parts.join("/"));
    let targets =
        vec!["..", "../..", "/", "a", "b/..", "../secret", "../../secret", "OUTSIDE", "OUTSIDE/secret"];
    (0_u8..4, path(part), proptest::sample::select(targets).prop_map(str::to_owned))
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..proptest::test_runner::Config::with_cases(400) })]

    #[test]
    fn root_no_sequence_of_entries_gets_out(entries in proptest::collection::vec(any_entry(), 1..12)) {
        if let Some(bench) = Bench::new("root_no_sequence_of_entries_gets_out") {
            let outside = bench.dir.path().to_str().unwrap().to_owned();
            let layer = entries.into_iter().fold(Layer::new(), |layer, (kind, name, target)| {
                let target = target.replace("OUTSIDE", &outside);
                match kind {
                    0 => layer.file(&name, "in"),
                    1 => layer.dir(&name, 0o777),
                    2 => layer.symlink(&name, &target),
                    _ => layer.hard_link(&name, &target),
                }
            });
            let before = fs::metadata(bench.dir.path()).unwrap();
            bench.evil(layer);
            let after = fs::metadata(bench.dir.path()).unwrap();
            proptest::prop_assert_eq!((before.mode(), before.mtime()), (after.mode(), after.mtime()));
            proptest::prop_assert_eq!(fs::metadata(bench.dir.path().join("secret")).unwrap().nlink(), 1);
            let mut mark = [0; 8];
            proptest::prop_assert!(rustix::fs::lgetxattr(bench.dir.path(), OPAQUE, &mut mark).is_err());
        }
    }
}
