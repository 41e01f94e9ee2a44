//! On the machine in memory: what becomes of directories, and what a server that fails is told as.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::errno::Errno;

use super::{SERVER, SHARE, name, reference, request};
use crate::{
    driver::{Code, Driver, Publish, Reach, Stage, Volume},
    drivers::nfs::{NAME, NfsDriver},
    host::{
        Host,
        fake::{Content, Fake},
        faulty::Faulty,
    },
};

fn stand() -> (Fake, NfsDriver) {
    let fake = Fake::default();
    fake.serve(SERVER, SHARE, 10 << 30);
    for place in ["/staged", "/pod", "/reader"] {
        fake.create_dir(Path::new(place)).unwrap();
    }
    (fake.clone(), NfsDriver::new(Arc::new(fake)))
}

fn stage(volume: &Volume, options: &[&str]) -> Stage {
    Stage {
        volume: reference(volume),
        device: None,
        target: "/staged".into(),
        fs_type: None,
        mount_options: options.iter().map(|&option| option.to_owned()).collect(),
    }
}

fn publish(volume: &Volume, target: &str, read_only: bool) -> Publish {
    Publish { volume: reference(volume), staged: "/staged".into(), target: target.into(), read_only }
}

#[tokio::test]
async fn every_step_may_be_repeated_and_data_stays() {
    let (fake, driver) = stand();
    let volume = driver.create(request(1, &[])).await.unwrap();
    assert_eq!(driver.create(request(1, &[])).await.unwrap(), volume, "the same name is the same volume");
    assert_eq!(volume.reach, Reach::Everywhere);
    assert_eq!(driver.attributes(&request(1, &[])).unwrap(), volume.attributes, "known before it is made");
    for round in 0..2 {
        for _ in 0..2 {
            driver.stage(stage(&volume, &[])).await.unwrap();
            driver.publish(publish(&volume, "/pod", false)).await.unwrap();
            driver.publish(publish(&volume, "/reader", true)).await.unwrap();
        }
        if round > 0 {
            assert_eq!(fake.read(Path::new("/pod/kept")), Some(Content::Data(b"data".to_vec())));
        }
        fake.write(Path::new("/pod/kept"), b"data").unwrap();
        fake.write(Path::new("/reader/kept"), b"data").unwrap_err();
        let busy = driver.delete(reference(&volume)).await.unwrap_err();
        assert!(busy.code == Code::FailedPrecondition && busy.message.contains("/staged"), "{busy}");
        for _ in 0..2 {
            driver.unpublish(reference(&volume), PathBuf::from("/pod")).await.unwrap();
            driver.unpublish(reference(&volume), PathBuf::from("/reader")).await.unwrap();
            driver.unstage(reference(&volume), PathBuf::from("/staged")).await.unwrap();
        }
        assert_eq!(fake.mounts().unwrap().len(), 1, "only the machine's own root");
    }
    for _ in 0..2 {
        driver.delete(reference(&volume)).await.unwrap();
    }
    assert_eq!(fake.on_share(SERVER, SHARE, ""), [".orlop"]);
    assert!(fake.on_share(SERVER, SHARE, ".orlop/volumes").is_empty());
}

#[tokio::test]
async fn the_same_share_in_two_classes_is_two_sets_of_directories() {
    let (fake, driver) = stand();
    let one = driver.create(request(1, &[])).await.unwrap();
    let mut other = request(2, &[("pathPattern", "${.PVC.namespace}-${.PVC.name}"), ("onDelete", "archive")]);
    other.provisioner = orlop_objects::nfs::SUBDIR_PROVISIONER.to_owned();
    let two = driver.create(other).await.unwrap();
    // A third class whose pattern gives the directory that the second has given already.
    let clash = driver.create(request(3, &[("pathPattern", "default-data-2")])).await.unwrap_err();
    assert_eq!(clash.code, Code::AlreadyExists);
    assert!(clash.message.contains(&name(2)) && clash.message.contains("default/data-2"), "{clash}");
    driver.delete(reference(&one)).await.unwrap();
    driver.delete(reference(&two)).await.unwrap();
    assert_eq!(fake.on_share(SERVER, SHARE, ""), [".orlop", "archived-default-data-2"]);
}

#[tokio::test]
async fn a_volume_that_says_another_ones_directory_removes_nothing() {
    let (fake, driver) = stand();
    let (one, two) =
        (driver.create(request(1, &[])).await.unwrap(), driver.create(request(2, &[])).await.unwrap());
    let mut forged = reference(&one);
    forged.attributes.clone_from(&two.attributes);
    for on_delete in ["delete", "archive", "retain"] {
        forged.attributes.insert("onDelete".to_owned(), on_delete.to_owned());
        let error = driver.delete(forged.clone()).await.unwrap_err();
        assert!(error.code == Code::FailedPrecondition && error.message.contains(&two.handle), "{error}");
    }
    assert_eq!(fake.on_share(SERVER, SHARE, "").len(), 3);
}

/// A volume that says another ones directory is shown nothing of it, whatever it is.
#[tokio::test]
async fn a_volume_is_shown_its_own_directory_alone() {
    let (fake, driver) = stand();
    let (one, two) =
        (driver.create(request(1, &[])).await.unwrap(), driver.create(request(2, &[])).await.unwrap());
    let whole = by_hand();
    driver.stage(stage(&whole, &[])).await.unwrap();
    fake.create_dir(Path::new("/staged/nobodys")).unwrap();
    driver.unstage(reference(&whole), "/staged".into()).await.unwrap();
    let said = |directory: Option<&str>| {
        let mut forged = one.clone();
        match directory {
            Some(text) => drop(forged.attributes.insert("subDir".to_owned(), text.to_owned())),
            None => drop(forged.attributes.remove("subDir")),
        }
        forged
    };
    let others = two.attributes["subDir"].as_str();
    for (directory, words) in [
        (Some(others), "belongs to volume pvc-"),
        (Some("nobodys"), ".orlop/volumes/nobodys there, which must name it, is missing"),
        (Some("nowhere"), "is missing"),
        (None, "the whole share"),
    ] {
        let error = driver.stage(stage(&said(directory), &[])).await.unwrap_err();
        assert!(
            error.message.contains(words) && error.message.contains("spec.nfs"),
            "{directory:?}: {error}"
        );
        assert_eq!(fake.mounts().unwrap().len(), 1, "only the machine's own root");
    }
    driver.stage(stage(&one, &[])).await.unwrap();
    driver.unstage(reference(&one), "/staged".into()).await.unwrap();
    // Whoever may write on the share has taken its mark away.
    driver.stage(stage(&whole, &[])).await.unwrap();
    let mark = format!("/staged/.orlop/volumes/{}", one.attributes["subDir"]);
    fake.remove_file(Path::new(&mark)).unwrap();
    driver.unstage(reference(&whole), "/staged".into()).await.unwrap();
    let error = driver.stage(stage(&one, &[])).await.unwrap_err();
    assert_eq!(error.code, Code::FailedPrecondition, "{error}");
    assert!(error.message.contains("bring that file back"), "{error}");
}

/// The share itself, as people name it.
fn by_hand() -> Volume {
    Volume {
        handle: "nfs-0123456789abcdef0123456789abcdef".to_owned(),
        bytes: 1,
        attributes: super::map(&[("server", SERVER), ("share", SHARE)]),
        reach: Reach::Everywhere,
    }
}

/// Orlop's own exports answer so to a node that comes from any port.
#[tokio::test]
async fn a_server_that_may_not_hear_this_port_is_told_so() {
    let (fake, driver) = stand();
    for errno in [Errno::ENOENT, Errno::EACCES, Errno::EPERM] {
        fake.let_server_fail(SERVER, Some(errno));
        for (options, is_told) in [
            (&["noresvport"][..], true),
            (&["resvport,noresvport"], true),
            (&["noresvport", "resvport"], false),
            (&[], false),
        ] {
            let error = driver.stage(stage(&by_hand(), options)).await.unwrap_err();
            assert_eq!(error.message.contains("leave noresvport out"), is_told, "{options:?}: {error}");
        }
    }
    fake.let_server_fail(SERVER, Some(Errno::ECONNREFUSED));
    let error = driver.stage(stage(&by_hand(), &["noresvport"])).await.unwrap_err();
    assert!(!error.message.contains("noresvport"), "{error}");
}

#[tokio::test]
async fn what_a_server_answers_is_told_with_a_way_out() {
    let (fake, driver) = stand();
    let volume = driver.create(request(1, &[])).await.unwrap();
    let rows = [
        (Errno::ECONNREFUSED, "start the server"),
        (Errno::ETIMEDOUT, "does not answer"),
        (Errno::EPROTONOSUPPORT, "leave nfsvers out"),
        (Errno::EACCES, "no_root_squash"),
        (Errno::EROFS, "export it for writing"),
        (Errno::ENOSPC, "make room"),
        (Errno::ESTALE, "restart the pods"),
        (Errno::EIO, "see its log"),
    ];
    for (errno, words) in rows {
        fake.let_server_fail(SERVER, Some(errno));
        for error in [
            driver.create(request(2, &[])).await.unwrap_err(),
            driver.delete(reference(&volume)).await.unwrap_err(),
            driver.stage(stage(&volume, &[])).await.unwrap_err(),
        ] {
            assert!(error.message.contains(words) && error.message.contains(SERVER), "{errno}: {error}");
            assert_eq!(error.code.retry(), crate::driver::Retry::Later, "{error}");
        }
    }
    fake.let_server_fail(SERVER, None);
    assert!(
        !fake.on_share(SERVER, SHARE, "").iter().any(|entry| entry.contains("data-2")),
        "nothing half made"
    );
    driver.stage(stage(&volume, &[])).await.unwrap();
    driver.publish(publish(&volume, "/pod", false)).await.unwrap();
    driver.ready(reference(&volume), "/pod".into()).await.unwrap();
    fake.let_server_fail(SERVER, Some(Errno::ETIMEDOUT));
    let gone = driver.ready(reference(&volume), "/pod".into()).await.unwrap_err();
    assert!(gone.message.contains("does not answer"), "{gone}");
    // A server that is gone keeps nobody from taking the volume away.
    driver.unpublish(reference(&volume), "/pod".into()).await.unwrap();
    driver.unstage(reference(&volume), "/staged".into()).await.unwrap();
}

#[tokio::test]
async fn an_unknown_server_or_path_is_named() {
    let (_, driver) = stand();
    let mut elsewhere = request(1, &[]);
    elsewhere.parameters.insert("server".to_owned(), "nowhere".to_owned());
    assert!(driver.create(elsewhere).await.unwrap_err().message.contains("nowhere:/srv/nfs"));
    let mut elsewhere = request(1, &[]);
    elsewhere.parameters.insert("share".to_owned(), "/nothing".to_owned());
    let error = driver.create(elsewhere).await.unwrap_err();
    assert!(error.message.contains("/nothing") && error.message.contains("list of exports"), "{error}");
}

#[tokio::test]
async fn read_only_is_kept_and_not_changed_in_place() {
    let (fake, driver) = stand();
    let volume = driver.create(request(1, &[])).await.unwrap();
    driver.stage(stage(&volume, &["ro", "nfsvers=4.1"])).await.unwrap();
    driver.publish(publish(&volume, "/pod", false)).await.unwrap();
    fake.write(Path::new("/pod/x"), b"x").unwrap_err();
    let error = driver.stage(stage(&volume, &[])).await.unwrap_err();
    assert_eq!(error.code, Code::FailedPrecondition, "{error}");
    let error = driver.stage(stage(&volume, &["bg"])).await.unwrap_err();
    assert!(error.code == Code::InvalidArgument && error.message.contains("\"bg\""), "{error}");
}

/// Whatever step of the node's half dies, the next process goes on from what the mount table says.
#[tokio::test]
async fn a_death_at_any_effect_is_mended_by_the_next_process() {
    for after in [false, true] {
        for effect in 1..=8 {
            let fake = Fake::default();
            fake.serve(SERVER, SHARE, 10 << 30);
            fake.create_dir(Path::new("/staged")).unwrap();
            fake.create_dir(Path::new("/pod")).unwrap();
            let plan = format!("crash {} {effect}", if after { "after" } else { "before" });
            let faulty = NfsDriver::new(Arc::new(Faulty::new(fake.clone(), plan.parse().unwrap())));
            let life = async |driver: &NfsDriver| {
                let volume = driver.create(request(1, &[])).await?;
                driver.stage(stage(&volume, &[])).await?;
                driver.publish(publish(&volume, "/pod", true)).await?;
                driver.unpublish(reference(&volume), "/pod".into()).await?;
                driver.unstage(reference(&volume), "/staged".into()).await?;
                driver.delete(reference(&volume)).await
            };
            let _ = life(&faulty).await;
            life(&NfsDriver::new(Arc::new(fake.clone()))).await.unwrap();
            assert_eq!(fake.mounts().unwrap().len(), 1, "{plan}");
            assert_eq!(fake.on_share(SERVER, SHARE, ""), [".orlop"], "{plan}");
        }
    }
}

#[tokio::test]
async fn a_foreign_mount_at_a_target_stays() {
    use crate::host::MountRequest;
    let (fake, driver) = stand();
    let volume = driver.create(request(1, &[])).await.unwrap();
    fake.mount(&MountRequest::Tmpfs { target: "/staged".into(), bytes: None, mode: 0o700 }).unwrap();
    assert_eq!(driver.stage(stage(&volume, &[])).await.unwrap_err().code, Code::FailedPrecondition);
    let unstage = driver.unstage(reference(&volume), "/staged".into()).await;
    assert_eq!(unstage.unwrap_err().code, Code::FailedPrecondition);
    let publish = driver.publish(publish(&volume, "/pod", false)).await;
    assert_eq!(publish.unwrap_err().code, Code::FailedPrecondition, "not staged is not staged");
    assert_eq!(fake.mounts().unwrap().len(), 2);
    assert_eq!(driver.name(), NAME);
}
