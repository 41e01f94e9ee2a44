//! The store as its users see it: what loads, what is refused, what is left behind. Owners are set, so root is needed.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};

use orlop_backends::host::fake::Fake;

use super::{store::hex, testing::*, *};
use crate::error::chain;

struct Bench {
    dir: tempfile::TempDir,
    store: ImageStore,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = ImageStore::open(&dir.path().join("images")).unwrap();
        Self { dir, store }
    }

    fn load(&self, members: &[(String, Vec<u8>)]) -> Result<Vec<Image>, Error> {
        self.store.load(&archive(self.dir.path(), members))
    }

    fn refusal(&self, members: &[(String, Vec<u8>)]) -> String {
        let error = chain(&self.load(members).unwrap_err());
        self.is_clean();
        error
    }

    /// Nothing half made: no work in progress, no blob and no layer that no name leads to.
    fn is_clean(&self) {
        let images = self.store.list().unwrap();
        let known: Vec<PathBuf> = images.iter().flat_map(|image| image.layers.clone()).collect();
        for entry in fs::read_dir(self.store.layers()).unwrap() {
            let path = entry.unwrap().path().with_extension("");
            assert!(known.contains(&path), "{} is left over", path.display());
        }
        let ids: Vec<String> = images.iter().map(|image| image.id.replace("sha256:", "")).collect();
        for entry in fs::read_dir(self.store.blobs()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(ids.contains(&name), "blob {name} is left over");
        }
        let _lock = self.store.lock().unwrap();
        assert_eq!(fs::read_dir(self.store.tmp()).unwrap().count(), 0);
    }
}

fn layer(text: &str) -> Vec<u8> {
    Layer::new().dir("etc", 0o755).file("etc/text", text).done()
}

#[test]
fn root_what_docker_saves_is_loaded_found_and_removed() {
    if !is_root("root_what_docker_saves_is_loaded_found_and_removed") {
        return;
    }
    let bench = Bench::new();
    let loaded = bench.load(&saved(&["app:1", "me/app:2"], &[layer("one"), layer("two!")])).unwrap();
    let names: Vec<&str> = loaded.iter().map(|image| image.reference.as_str()).collect();
    assert_eq!(names, ["docker.io/library/app:1", "docker.io/me/app:2"]);
    let image = bench.store.find("app:1").unwrap().unwrap();
    assert_eq!(image, loaded[0]);
    assert_eq!((image.size, image.config.cmd.as_slice()), (7, &["sh".to_owned()][..]));
    let top = fs::read_to_string(image.layers[0].join("etc/text")).unwrap();
    let bottom = fs::read_to_string(image.layers[1].join("etc/text")).unwrap();
    assert_eq!((top.as_str(), bottom.as_str()), ("two!", "one"));
    assert_eq!(bench.store.find(&image.id).unwrap().unwrap().id, image.id);
    assert_eq!(bench.store.find("app:2").unwrap(), None);
    bench.is_clean();

    let busy = runs(&image.layers);
    let removed = bench.store.remove("app:1", &busy).unwrap();
    assert_eq!((removed.images.len(), removed.bytes), (0, 0), "another name still leads to it");
    let error = bench.store.remove("me/app:2", &busy).unwrap_err().to_string();
    assert!(error.contains("docker.io/me/app:2 is in use"), "{error}");
    assert!(bench.store.find("me/app:2").unwrap().is_some(), "nothing is changed");
    let removed = bench.store.remove("me/app:2", &Fake::default()).unwrap();
    assert_eq!((removed.images, removed.bytes), (vec![image.id], 7));
    assert!(matches!(bench.store.remove("me/app:2", &busy), Err(Error::NotFound(_))));
    assert_eq!(bench.store.list().unwrap(), []);
    bench.is_clean();
}

#[test]
fn root_layers_are_shared_and_stay_while_one_image_has_them() {
    if !is_root("root_layers_are_shared_and_stay_while_one_image_has_them") {
        return;
    }
    let bench = Bench::new();
    bench.load(&saved(&["a"], &[layer("base"), layer("a")])).unwrap();
    bench.load(&saved(&["b"], &[layer("base"), layer("b")])).unwrap();
    let (a, b) = (bench.store.find("a").unwrap().unwrap(), bench.store.find("b").unwrap().unwrap());
    assert_eq!(a.layers[1], b.layers[1]);
    assert_ne!(a.layers[0], b.layers[0]);
    // What runs from b stands on what both have, and not on what goes.
    bench.store.remove("a", &runs(&b.layers)).unwrap();
    assert!(!a.layers[0].exists() && b.layers.iter().all(|layer| layer.exists()));
    assert_eq!(bench.store.find("b").unwrap().unwrap().size, 5);
    bench.is_clean();
}

/// A machine on which a container stands on these layers.
fn runs(layers: &[PathBuf]) -> Fake {
    let machine = machine(layers);
    run_on(&machine, layers);
    machine
}

#[test]
fn root_of_an_image_that_cannot_be_read_what_runs_from_it_stays() {
    if !is_root("root_of_an_image_that_cannot_be_read_what_runs_from_it_stays") {
        return;
    }
    let bench = Bench::new();
    let [a, b] = ["a", "b"].map(|name| bench.load(&saved(&[name], &[layer(name)])).unwrap().remove(0));
    fs::write(bench.store.blobs().join(hex(&a.id)), "spoilt").unwrap();
    // Whose the layers are is not known: b goes, and none of them.
    let machine = runs(&a.layers);
    let removed = bench.store.remove("b", &machine).unwrap();
    assert_eq!((removed.images.as_slice(), removed.bytes), (&[b.id][..], 0));
    assert!(a.layers[0].exists() && b.layers[0].exists());
    assert!(matches!(bench.store.remove("a", &machine), Err(Error::InUse(_))));
    // With it they go, b's as well.
    assert_eq!(bench.store.remove("a", &Fake::default()).unwrap().bytes, 2);
    assert!(!a.layers[0].exists() && !b.layers[0].exists());
    bench.is_clean();
}

#[test]
fn root_no_image_goes_between_being_found_and_being_mounted() {
    if !is_root("root_no_image_goes_between_being_found_and_being_mounted") {
        return;
    }
    let bench = Bench::new();
    bench.load(&saved(&["a"], &[layer("a")])).unwrap();
    let held = bench.store.hold().unwrap();
    let found = bench.store.find("a").unwrap().unwrap();
    let machine = machine(&found.layers);
    std::thread::scope(|scope| {
        let removal = scope.spawn(|| bench.store.remove("a", &machine));
        let inode = fs::metadata(bench.dir.path().join("images/mounting")).unwrap().ino();
        let waits = || {
            let locks = fs::read_to_string("/proc/locks").unwrap();
            locks.lines().any(|lock| lock.contains("->") && lock.contains(&format!(":{inode} ")))
        };
        while !waits() && !removal.is_finished() {
            std::thread::yield_now();
        }
        run_on(&machine, &found.layers);
        drop(held);
        assert!(matches!(removal.join().unwrap(), Err(Error::InUse(_))));
    });
    assert!(found.layers[0].exists());
}

#[test]
fn root_a_name_that_moves_leaves_the_old_image_under_its_id() {
    if !is_root("root_a_name_that_moves_leaves_the_old_image_under_its_id") {
        return;
    }
    let bench = Bench::new();
    let old = bench.load(&saved(&["a"], &[layer("old")])).unwrap().remove(0);
    bench.load(&saved(&["a"], &[layer("new")])).unwrap();
    assert_ne!(bench.store.find("a").unwrap().unwrap().id, old.id);
    let kept = bench.store.find(&old.id).unwrap().unwrap();
    assert_eq!((kept.reference, kept.layers), (old.id.clone(), old.layers));
    bench.load(&saved(&["a"], &[layer("old")])).unwrap();
    let names: Vec<String> = bench.store.list().unwrap().into_iter().map(|image| image.reference).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(!names.contains(&old.id), "it has a name again");
    bench.is_clean();
}

#[test]
fn root_an_oci_layout_with_gzipped_layers_is_loaded_for_this_machine() {
    if !is_root("root_an_oci_layout_with_gzipped_layers_is_loaded_for_this_machine") {
        return;
    }
    let bench = Bench::new();
    let name = "ghcr.io/me/app:v1";
    let image = bench.load(&layout(name, &[layer("one"), layer("two")])).unwrap().remove(0);
    assert_eq!((image.reference.as_str(), image.size), (name, 6));
    let record = bench.store.record().unwrap();
    let manifest = record.references[name].manifest.clone().unwrap();
    let by_digest = bench.store.find(&format!("ghcr.io/me/app@{manifest}")).unwrap().unwrap();
    assert_eq!(by_digest.id, image.id);
    assert_eq!(bench.store.find(&format!("ghcr.io/you/app@{manifest}")).unwrap(), None);

    let others: Vec<_> = layout(name, &[layer("one")]);
    let foreign: Vec<_> = others
        .into_iter()
        .map(|(name, data)| {
            let text = String::from_utf8_lossy(&data).into_owned();
            if name == "index.json" {
                return (
                    name,
                    br#"{"manifests":[{"digest":"x","platform":{"os":"linux","architecture":"s390x"}}]}"#
                        .to_vec(),
                );
            }
            (name, text.into_bytes())
        })
        .collect();
    assert!(bench.refusal(&foreign).contains("is for linux/s390x"));
}

#[test]
fn root_a_whole_archive_may_be_gzipped() {
    if !is_root("root_a_whole_archive_may_be_gzipped") {
        return;
    }
    let bench = Bench::new();
    let path = bench.dir.path().join("image.tar.gz");
    fs::write(&path, gzip(&tar(&saved(&["a"], &[layer("x")])))).unwrap();
    assert_eq!(bench.store.load(&path).unwrap()[0].reference, "docker.io/library/a:latest");
    bench.is_clean();
    fs::write(&path, &gzip(&tar(&saved(&["b"], &[layer("y")])))[..200]).unwrap();
    assert!(bench.store.load(&path).unwrap_err().to_string().contains("its compression"));
    bench.is_clean();
}

#[test]
fn what_is_no_image_says_what_was_expected() {
    let bench = Bench::new();
    let expected = "; expected what `docker save IMAGE -o FILE` writes, or an OCI image layout in a tar";
    let file = bench.dir.path().join("file");
    for (content, reason) in [
        (
            b"just some text, much longer than a header of five hundred and twelve bytes ".repeat(20),
            "it is no tar",
        ),
        (Vec::new(), "it holds neither manifest.json nor index.json"),
        (tar(&[("hello".into(), b"world".to_vec())]), "it holds neither manifest.json nor index.json"),
        (tar(&[("manifest.json".into(), b"[]".to_vec())]), "its manifest names no image"),
        (tar(&[("manifest.json".into(), b"{oops".to_vec())]), "manifest.json: "),
    ] {
        fs::write(&file, content).unwrap();
        let error = bench.store.load(&file).unwrap_err().to_string();
        assert!(error.contains(reason) && error.ends_with(expected), "{error}");
    }
    assert!(bench.store.load(bench.dir.path()).unwrap_err().to_string().contains("it is no regular file"));
    let error = chain(&bench.store.load(&bench.dir.path().join("none")).unwrap_err());
    assert!(error.ends_with("none: No such file or directory (os error 2)"), "{error}");
    bench.is_clean();
}

#[test]
fn root_archives_that_lie_are_refused_and_leave_nothing() {
    if !is_root("root_archives_that_lie_are_refused_and_leave_nothing") {
        return;
    }
    let bench = Bench::new();
    let good = || saved(&["a"], &[layer("one"), layer("two")]);
    let mut members = good();
    members[1].1.push(b' ');
    assert!(bench.refusal(&members).contains("not the one it is named by"));

    members = good();
    members[3].1 = layer("other");
    assert!(bench.refusal(&members).contains("layer 1/layer.tar unpacks to sha256:"));

    members = good();
    members.pop();
    assert!(bench.refusal(&members).contains("it names 1/layer.tar, which is not in it"));

    members = good();
    let cut = members[3].1.len() - 1500;
    members[3].1.truncate(cut);
    assert!(bench.refusal(&members).contains("layer 1/layer.tar: it is no tar, or is cut off"));

    members = good();
    members[3].1 = b"line one\nline two\n".repeat(100);
    let error = bench.refusal(&members);
    assert!(error.contains("layer 1/layer.tar: it is no tar") && !error.contains("line"), "{error}");

    members = good();
    let manifest = String::from_utf8(members[0].1.clone()).unwrap().replace("\"0/layer.tar\",", "");
    members[0].1 = manifest.into_bytes();
    assert!(bench.refusal(&members).contains("it has 1 layers, its image wants 2"));

    let mut layout = layout("a:1", &[layer("one")]);
    layout[2].1 = gzip(&layer("six"));
    assert!(bench.refusal(&layout).contains("sha256:"));

    let whole = tar(&good());
    let path = bench.dir.path().join("cut.tar");
    for length in (0..whole.len()).step_by(512) {
        fs::write(&path, &whole[..length]).unwrap();
        if bench.store.load(&path).is_ok() {
            assert!(length + 2048 >= whole.len(), "loaded from {length} of {} bytes", whole.len());
            bench.store.remove("a", &Fake::default()).unwrap();
        }
        bench.is_clean();
    }
}

#[test]
fn root_work_left_by_a_crash_is_cleared() {
    if !is_root("root_work_left_by_a_crash_is_cleared") {
        return;
    }
    let bench = Bench::new();
    fs::create_dir_all(bench.store.tmp().join("layer/deep/er")).unwrap();
    fs::write(bench.store.tmp().join("layer/deep/file"), "x").unwrap();
    bench.load(&saved(&["a"], &[layer("one")])).unwrap();
    bench.is_clean();
}

#[test]
fn root_two_stores_on_one_directory_load_at_once() {
    if !is_root("root_two_stores_on_one_directory_load_at_once") {
        return;
    }
    let bench = Bench::new();
    std::thread::scope(|scope| {
        for i in 0..6 {
            let dir = bench.dir.path();
            scope.spawn(move || {
                let own = dir.join(i.to_string());
                fs::create_dir(&own).unwrap();
                let store = ImageStore::open(&dir.join("images")).unwrap();
                let members = saved(&[&format!("app:{i}")], &[layer("base"), layer(&i.to_string())]);
                store.load(&archive(&own, &members)).unwrap();
            });
        }
    });
    assert_eq!(bench.store.list().unwrap().len(), 6);
    bench.is_clean();
}

#[test]
fn a_damaged_record_is_named() {
    let bench = Bench::new();
    fs::write(bench.dir.path().join("images/references.json"), "{").unwrap();
    let error = bench.store.list().unwrap_err().to_string();
    assert!(error.contains("references.json"), "{error}");
}

#[test]
fn root_a_full_disk_is_said_and_leaves_nothing_half_made() {
    use orlop_backends::host::{Host, MountRequest, linux::Linux};
    if !is_root("root_a_full_disk_is_said_and_leaves_nothing_half_made") {
        return;
    }
    let outer = tempfile::tempdir().unwrap();
    let target = outer.path().to_owned();
    Linux.mount(&MountRequest::Tmpfs { target: target.clone(), bytes: Some(1 << 20), mode: 0o700 }).unwrap();
    let outcome = std::panic::catch_unwind(|| {
        let bench = Bench {
            dir: tempfile::tempdir().unwrap(),
            store: ImageStore::open(&target.join("images")).unwrap(),
        };
        bench.load(&saved(&["small"], &[layer("fits")])).unwrap();
        let large = layer(&"x".repeat(2 << 20));
        let error = bench.refusal(&saved(&["large"], &[layer("fits"), large]));
        assert!(error.contains("No space left on device") && error.contains("orlop image rm"), "{error}");
        assert_eq!(bench.store.find("large").unwrap(), None);
        assert!(bench.store.find("small").unwrap().is_some());
        bench.load(&saved(&["other"], &[layer("fits too")])).unwrap();
    });
    Linux.unmount(&target).unwrap();
    outcome.unwrap();
}

#[test]
fn root_an_image_with_a_damaged_configuration_is_named_removed_and_loaded_anew() {
    if !is_root("root_an_image_with_a_damaged_configuration_is_named_removed_and_loaded_anew") {
        return;
    }
    let bench = Bench::new();
    let members = saved(&["a"], &[layer("one")]);
    let id = bench.load(&members).unwrap().remove(0).id;
    let blob = bench.store.blobs().join(id.replace("sha256:", ""));
    fs::write(&blob, "{}").unwrap();
    let error = bench.store.find("a").unwrap_err().to_string();
    assert!(error.contains(blob.to_str().unwrap()) && error.contains("digest"), "{error}");
    bench.store.remove("a", &Fake::default()).unwrap();
    bench.is_clean();
    bench.load(&members).unwrap();
    assert_eq!(bench.store.find("a").unwrap().unwrap().id, id);
}
