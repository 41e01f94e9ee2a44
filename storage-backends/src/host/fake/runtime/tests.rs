//! The fake's containers behave as the contract says.

use serde_json::json;

use super::*;
use crate::host::{Host, MountRequest};

fn request(dir: &Path, id: &str) -> ContainerRequest {
    let config = json!({"root": {"path": "/c/rootfs"}, "mounts": [
        {"type": "proc", "source": "proc"}, {"type": "bind", "source": "/vol/sub"}]});
    fs::write(dir.join("config.json"), config.to_string()).unwrap();
    ContainerRequest { id: id.into(), bundle: dir.into(), log: dir.join("log") }
}

fn status(fake: &Fake, id: &str) -> Option<ContainerStatus> {
    fake.containers().unwrap().into_iter().find(|c| c.id == id).map(|c| c.status)
}

#[test]
fn a_container_lives_ends_and_is_forgotten() {
    let (fake, dir) = (Fake::default(), tempfile::tempdir().unwrap());
    fake.create(&request(dir.path(), "a")).unwrap();
    assert_eq!(status(&fake, "a"), Some(ContainerStatus::Created));
    let first = fake.containers().unwrap();
    fake.create(&request(dir.path(), "a")).unwrap();
    assert_eq!(fake.containers().unwrap(), first, "the first one is untouched");
    fake.start("a").unwrap();
    assert!(fake.create(&request(dir.path(), "a")).is_err());
    let crashed = fake.clone();
    drop(fake);
    assert_eq!(status(&crashed, "a"), Some(ContainerStatus::Running));
    crashed.ignore_signals("a");
    crashed.signal("a", 15).unwrap();
    assert_eq!(status(&crashed, "a"), Some(ContainerStatus::Running));
    crashed.exit("a", 3);
    crashed.wait_for_exit(Duration::from_secs(60)).unwrap();
    assert!(matches!(status(&crashed, "a"), Some(ContainerStatus::Exited { code: Some(3), .. })));
    crashed.delete("a").unwrap();
    crashed.delete("a").unwrap();
    assert!(matches!(status(&crashed, "a"), Some(ContainerStatus::Exited { code: Some(3), .. })));
    crashed.forget_exit("a").unwrap();
    assert_eq!(status(&crashed, "a"), None);
    assert!(crashed.start("a").is_err());
}

#[test]
fn a_half_made_container_is_made_or_goes() {
    let (fake, dir) = (Fake::default(), tempfile::tempdir().unwrap());
    for id in ["a", "b"] {
        fake.leave_half_made(id);
        assert_eq!(status(&fake, id), Some(ContainerStatus::Creating));
        assert!(fake.start(id).is_err());
    }
    fake.create(&request(dir.path(), "a")).unwrap();
    fake.delete("b").unwrap();
    assert_eq!((status(&fake, "a"), status(&fake, "b")), (Some(ContainerStatus::Created), None));
}

#[test]
fn a_living_container_holds_its_mounts() {
    let (fake, dir) = (Fake::default(), tempfile::tempdir().unwrap());
    let vol = Path::new("/vol");
    fake.create_dir(vol).unwrap();
    fake.mount(&MountRequest::Tmpfs { target: vol.into(), bytes: None, mode: 0o755 }).unwrap();
    fake.create(&request(dir.path(), "a")).unwrap();
    assert!(fake.unmount(vol).is_err());
    fake.exit("a", 0);
    fake.unmount(vol).unwrap();
}

#[test]
fn namespaces_are_pinned_and_a_reboot_ends_everything() {
    let (fake, dir) = (Fake::default(), tempfile::tempdir().unwrap());
    let ns = Path::new("/run/ns");
    fake.pin_namespaces(ns, &[Namespace::Net, Namespace::Uts], "h").unwrap();
    fake.pin_namespaces(ns, &[Namespace::Net, Namespace::Uts], "h").unwrap();
    assert_eq!(fake.mounts().unwrap().iter().filter(|m| m.fs_type == "nsfs").count(), 2);
    fake.unpin_namespaces(ns).unwrap();
    fake.unpin_namespaces(ns).unwrap();
    assert_eq!(fake.file(ns).unwrap(), None);
    fake.create(&request(dir.path(), "a")).unwrap();
    let boot = fake.boot_id().unwrap();
    fake.reboot();
    assert_ne!(fake.boot_id().unwrap(), boot);
    assert_eq!(fake.containers().unwrap(), []);
}
