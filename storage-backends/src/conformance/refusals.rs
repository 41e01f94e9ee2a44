//! What a driver must not do, and how it says so.

use super::{Stand, done, reference, refused};
use crate::{
    driver::{Code, Stage, VolumeRef},
    host::MountRequest,
};

pub(super) async fn another_size_or_type_already_exists(stand: &Stand) {
    let volume = stand.create(1).await;
    let mut larger = stand.request(1);
    larger.bytes = volume.bytes + (1 << 20);
    refused("create with another size", stand.driver.create(larger).await, Code::AlreadyExists);
    assert_eq!(done("list", stand.driver.list().await), [volume]);
}

pub(super) async fn handles_and_parameters_are_checked(stand: &Stand) {
    for bad in ["", "pvc-1", "../x", "pvc-../../etc/shadow", "/dev/vda"] {
        let mut request = stand.request(1);
        request.name = bad.into();
        refused("create with a bad name", stand.driver.create(request).await, Code::InvalidArgument);
        let volume = || VolumeRef {
            handle: bad.into(),
            attributes: [].into(),
            deadline: std::time::Duration::from_secs(5),
        };
        refused("delete with a bad handle", stand.driver.delete(volume()).await, Code::InvalidArgument);
        refused("attach with a bad handle", stand.driver.attach(volume()).await, Code::InvalidArgument);
    }
    let mut request = stand.request(1);
    request.parameters = [("noSuchParameter".to_owned(), "x".to_owned())].into();
    let why = refused("an unknown parameter", stand.driver.create(request).await, Code::InvalidArgument);
    assert!(why.contains("noSuchParameter"), "the parameter is named: {why}");
    let mut request = stand.request(1);
    request.bytes = 0;
    refused("a size of 0", stand.driver.create(request).await, Code::InvalidArgument);
    assert_eq!(done("list", stand.driver.list().await), [], "nothing half made");
}

pub(super) async fn what_does_not_exist_cannot_be_attached(stand: &Stand) {
    let volume = stand.create(1).await;
    done("delete", stand.driver.delete(reference(&volume)).await);
    if stand.attaches() {
        refused("attach", stand.driver.attach(reference(&volume)).await, Code::NotFound);
    }
    done("detach", stand.driver.detach(reference(&volume)).await);
}

pub(super) async fn order_up(stand: &Stand) {
    let volume = stand.create(1).await;
    let (staged, pod) = (stand.place("staged"), stand.place("pod"));
    if stand.attaches() {
        refused("stage before attach", stand.stage(&volume, None, &staged).await, Code::FailedPrecondition);
    }
    let device = done("attach", stand.driver.attach(reference(&volume)).await);
    let early = stand.publish(&volume, &staged, &pod, false).await;
    refused("publish before stage", early, Code::FailedPrecondition);
    if stand.attaches() {
        let other = Some("/dev/loop-of-somebody-else".into());
        refused(
            "stage of another device",
            stand.stage(&volume, other, &staged).await,
            Code::FailedPrecondition,
        );
    }
    let nowhere = stand.scratch.join("nowhere");
    refused("stage where nothing is", stand.stage(&volume, device, &nowhere).await, Code::FailedPrecondition);
    assert_eq!((stand.mounts_at(&staged), stand.mounts_at(&pod)), (0, 0));
    done("detach", stand.driver.detach(reference(&volume)).await);
    done("delete", stand.driver.delete(reference(&volume)).await);
}

pub(super) async fn order_down(stand: &Stand) {
    let volume = stand.create(1).await;
    let (staged, pod) = (stand.place("staged"), stand.place("pod"));
    let device = done("attach", stand.driver.attach(reference(&volume)).await);
    let attached = stand.attaches();
    if attached {
        refused(
            "delete while attached",
            stand.driver.delete(reference(&volume)).await,
            Code::FailedPrecondition,
        );
    }
    done("stage", stand.stage(&volume, device, &staged).await);
    done("publish", stand.publish(&volume, &staged, &pod, false).await);
    let early = stand.driver.unstage(reference(&volume), staged.clone()).await;
    let why = refused("unstage while published", early, Code::FailedPrecondition);
    assert!(why.contains(&pod.display().to_string()), "the place is named: {why}");
    if attached {
        refused(
            "detach while mounted",
            stand.driver.detach(reference(&volume)).await,
            Code::FailedPrecondition,
        );
    }
    refused("delete while mounted", stand.driver.delete(reference(&volume)).await, Code::FailedPrecondition);
    stand.write(&pod.join("file"), b"x").expect("after all refusals the volume still works");
    done("unpublish", stand.driver.unpublish(reference(&volume), pod).await);
    done("unstage", stand.driver.unstage(reference(&volume), staged).await);
    done("detach", stand.driver.detach(reference(&volume)).await);
    done("delete", stand.driver.delete(reference(&volume)).await);
}

pub(super) async fn a_foreign_mount_at_the_target_stays(stand: &Stand) {
    let volume = stand.create(1).await;
    let (foreign, staged) = (stand.place("foreign"), stand.place("staged"));
    let device = done("attach", stand.driver.attach(reference(&volume)).await);
    let tmpfs = MountRequest::Tmpfs { target: foreign.clone(), bytes: Some(1 << 20), mode: 0o700 };
    stand.host.mount(&tmpfs).expect("a tmpfs can be mounted");
    refused("stage on it", stand.stage(&volume, device.clone(), &foreign).await, Code::FailedPrecondition);
    let unstage = stand.driver.unstage(reference(&volume), foreign.clone()).await;
    refused("unstage of it", unstage, Code::FailedPrecondition);
    let unpublish = stand.driver.unpublish(reference(&volume), foreign.clone()).await;
    refused("unpublish of it", unpublish, Code::FailedPrecondition);
    done("stage", stand.stage(&volume, device, &staged).await);
    let publish = stand.publish(&volume, &staged, &foreign, false).await;
    refused("publish on it", publish, Code::FailedPrecondition);
    assert_eq!(stand.mounts_at(&foreign), 1, "it is still there");
    stand.host.unmount(&foreign).expect("it can be unmounted");
    done("unstage", stand.driver.unstage(reference(&volume), staged).await);
    done("detach", stand.driver.detach(reference(&volume)).await);
    done("delete", stand.driver.delete(reference(&volume)).await);
}

pub(super) async fn mount_options_are_checked(stand: &Stand) {
    let volume = stand.create(1).await;
    let staged = stand.place("staged");
    let device = done("attach", stand.driver.attach(reference(&volume)).await);
    let with = |option: &str| Stage {
        volume: reference(&volume),
        device: device.clone(),
        target: staged.clone(),
        fs_type: None,
        mount_options: vec![option.to_owned()],
    };
    let why = refused("an unsafe option", stand.driver.stage(with("nobarrier")).await, Code::InvalidArgument);
    assert!(why.contains("nobarrier"), "the option is named: {why}");
    let wrong = Stage { fs_type: Some("vfat".into()), ..with("noatime") };
    refused("another file system type", stand.driver.stage(wrong).await, Code::InvalidArgument);
    assert_eq!(stand.mounts_at(&staged), 0);
    done("stage", stand.driver.stage(with("noatime")).await);
    refused("read-only on what is writable", stand.driver.stage(with("ro")).await, Code::FailedPrecondition);
    done("unstage", stand.driver.unstage(reference(&volume), staged.clone()).await);
    done("stage read-only", stand.driver.stage(with("ro")).await);
    stand.write(&staged.join("file"), b"x").expect_err("it is read-only");
    done("unstage", stand.driver.unstage(reference(&volume), staged.clone()).await);
    done("detach", stand.driver.detach(reference(&volume)).await);
    done("delete", stand.driver.delete(reference(&volume)).await);
}
