//! The life of a volume when all goes well, every step twice.

use super::{Stand, done, reference};

pub(super) async fn create_twice_answers_the_same(stand: &Stand) {
    let first = stand.create(1).await;
    let request = stand.request(1);
    assert!(first.handle.ends_with(&request.name), "whose volume it is can be seen: {first:?}");
    assert_eq!(done("handle", stand.driver.handle(&request)), first.handle, "known before it is made");
    assert!(first.bytes >= stand.bytes, "never less than asked for: {first:?}");
    assert_eq!(stand.create(1).await, first, "the same name is the same volume");
    assert_eq!(done("list", stand.driver.list().await), [first]);
}

pub(super) async fn delete_twice_is_fine(stand: &Stand) {
    let volume = stand.create(1).await;
    for _ in 0..2 {
        done("delete", stand.driver.delete(reference(&volume)).await);
    }
    assert_eq!(done("list", stand.driver.list().await), []);
    assert_eq!(stand.create(1).await, volume, "the name is free again");
}

pub(super) async fn list_shows_what_there_is(stand: &Stand) {
    assert_eq!(done("list", stand.driver.list().await), []);
    let (one, two) = (stand.create(1).await, stand.create(2).await);
    assert_eq!(done("list", stand.driver.list().await), [one.clone(), two.clone()]);
    done("delete", stand.driver.delete(reference(&one)).await);
    assert_eq!(done("list", stand.driver.list().await), [two]);
}

pub(super) async fn attach_twice_answers_the_same_device(stand: &Stand) {
    let volume = stand.create(1).await;
    let before = stand.host.loops().expect("loop devices can be listed").len();
    let device = done("attach", stand.driver.attach(reference(&volume)).await);
    assert_eq!(device.is_some(), stand.attaches(), "a device when there is something to attach");
    assert_eq!(done("attach", stand.driver.attach(reference(&volume)).await), device);
    for _ in 0..2 {
        done("detach", stand.driver.detach(reference(&volume)).await);
    }
    let ours = |stand: &Stand| {
        let loops = stand.host.loops().expect("loop devices can be listed");
        loops
            .iter()
            .filter(|found| Some(&found.device) == device.as_ref())
            .filter(|found| found.path.starts_with(&stand.scratch))
            .count()
    };
    assert_eq!(ours(stand), 0, "detached, of {before} devices before");
    done("delete", stand.driver.delete(reference(&volume)).await);
}

pub(super) async fn every_step_may_be_repeated_and_data_stays(stand: &Stand) {
    let volume = stand.create(1).await;
    let (staged, pod) = (stand.place("staged"), stand.place("pod"));
    for round in 0..2u8 {
        let mut device = None;
        for _ in 0..2 {
            device = done("attach", stand.driver.attach(reference(&volume)).await);
        }
        for _ in 0..2 {
            done("stage", stand.stage(&volume, device.clone(), &staged).await);
        }
        for _ in 0..2 {
            done("publish", stand.publish(&volume, &staged, &pod, false).await);
        }
        assert_eq!((stand.mounts_at(&staged), stand.mounts_at(&pod)), (1, 1), "mounted once each");
        if round > 0 {
            assert_eq!(stand.read(&pod.join("kept")).expect("the file is there again"), b"data");
        }
        stand.write(&pod.join("kept"), b"data").expect("the volume takes a file");
        for _ in 0..2 {
            done("unpublish", stand.driver.unpublish(reference(&volume), pod.clone()).await);
        }
        for _ in 0..2 {
            done("unstage", stand.driver.unstage(reference(&volume), staged.clone()).await);
        }
        for _ in 0..2 {
            done("detach", stand.driver.detach(reference(&volume)).await);
        }
        assert_eq!((stand.mounts_at(&staged), stand.mounts_at(&pod)), (0, 0), "nothing is mounted");
        stand.read(&pod.join("kept")).expect_err("the data is in the volume and not in the directory below");
    }
    done("delete", stand.driver.delete(reference(&volume)).await);
    done("unpublish when all is gone", stand.driver.unpublish(reference(&volume), pod).await);
    let nowhere = stand.scratch.join("nowhere");
    done("unstage from where nothing is", stand.driver.unstage(reference(&volume), nowhere).await);
}

pub(super) async fn two_pods_share_a_volume_one_read_only(stand: &Stand) {
    let volume = stand.create(1).await;
    let (staged, writer, reader) = (stand.place("staged"), stand.place("writer"), stand.place("reader"));
    let device = done("attach", stand.driver.attach(reference(&volume)).await);
    done("stage", stand.stage(&volume, device, &staged).await);
    done("publish", stand.publish(&volume, &staged, &writer, false).await);
    done("publish read-only", stand.publish(&volume, &staged, &reader, true).await);
    done("publish read-only again", stand.publish(&volume, &staged, &reader, true).await);
    stand.write(&writer.join("shared"), b"x").expect("the writer writes");
    assert_eq!(stand.read(&reader.join("shared")).expect("the reader reads"), b"x");
    stand.write(&reader.join("other"), b"x").expect_err("the reader cannot write");
    done("unpublish", stand.driver.unpublish(reference(&volume), writer).await);
    assert_eq!(stand.read(&reader.join("shared")).expect("the reader still reads"), b"x");
    done("unpublish", stand.driver.unpublish(reference(&volume), reader).await);
    done("unstage", stand.driver.unstage(reference(&volume), staged).await);
    done("detach", stand.driver.detach(reference(&volume)).await);
    done("delete", stand.driver.delete(reference(&volume)).await);
}

/// The driver has no memory that matters: what another one began, this one finds by looking. Here the other one is
/// the machine itself: a volume is staged twice over by hand, and the driver clears both.
pub(super) async fn a_new_process_goes_on_where_the_old_one_was(stand: &Stand) {
    let volume = stand.create(1).await;
    let staged = stand.place("staged");
    let Some(device) = done("attach", stand.driver.attach(reference(&volume)).await) else { return };
    done("stage", stand.stage(&volume, Some(device.clone()), &staged).await);
    let again =
        crate::host::MountRequest::Bind { source: staged.clone(), target: staged.clone(), read_only: false };
    stand.host.mount(&again).expect("a second mount on top");
    assert_eq!(stand.mounts_at(&staged), 2);
    done("stage on what is there", stand.stage(&volume, Some(device), &staged).await);
    done("unstage clears the whole stack", stand.driver.unstage(reference(&volume), staged.clone()).await);
    assert_eq!(stand.mounts_at(&staged), 0);
    done("detach", stand.driver.detach(reference(&volume)).await);
    done("delete", stand.driver.delete(reference(&volume)).await);
}
