//! What is asked, of whom, and what silence costs.

use super::*;
use crate::host::{
    Host,
    linux::{
        Linux, loops,
        scratch::{Scratch, can_run},
    },
};

/// A device that does what one on a dead server does, in a child that is asked about it.
const SILENT: &str = "/dev/none-silent";

/// Hangs when it is that device.
pub(super) fn hang(device: &Path) {
    while device == Path::new(SILENT) {
        thread::park();
    }
}

fn round(device: &str, number: u64) -> Round {
    Round { device: device.into(), number: Some(number) }
}

#[test]
fn what_is_known_is_not_asked_and_what_cannot_be_asked_says_why() {
    let id = FileId { device: 3, inode: 4 };
    let file = Path::new("/pool/a.img");
    remember(&round("/dev/none-5", 1), file, id);
    let devices = ["/dev/none-5", "/dev/none-6", "/dev/null"].map(|device| (round(device, 1), file));
    let [known, missing, other] = &of(&devices, |_| true)[..] else { panic!("one for each") };
    assert_eq!((known, missing), (&Ok(id), &Err(Untold::NoNode)));
    assert!(matches!(other, Err(Untold::Failed(why)) if why.contains("ioctl")), "{other:?}");
    assert_eq!(
        recall(&devices[1].0, file).map(Told::file),
        Some(Err(Untold::NoNode)),
        "it is left alone for a while"
    );
    // What is no longer what was listed has told nothing about that.
    let late = [(round("/dev/none-7", 1), file)];
    assert!(matches!(&of(&late, |_| false)[..], [Err(Untold::Failed(why))] if why.contains("another file")));
    assert_eq!(recall(&late[0].0, file), None);
}

/// One that is silent is unknown alone, and who is asked with it has told all the same.
#[test]
fn root_a_silent_loop_device_keeps_no_other_from_telling() {
    if !can_run("root_a_silent_loop_device_keeps_no_other_from_telling") {
        return;
    }
    let scratch = Scratch::new();
    let attached = ["a.img", "b.img"].map(|name| {
        let file = scratch.path().join(name);
        Linux.create_sparse(&file, 1 << 20).unwrap();
        Linux.attach_loop(&file, false).unwrap()
    });
    // As after a start: all are asked.
    let forget = || attached.iter().for_each(|device| known::forget(&device.device));
    forget();
    let listed = Linux.loops().unwrap();
    for device in &attached {
        assert!(device.backing.is_ok() && listed.contains(device), "{device:?}");
    }
    forget();
    let rounds = attached.each_ref().map(|device| loops::round(device.number.1).unwrap());
    let silent = round(SILENT, 1);
    let [first, last] = rounds;
    let file = scratch.path().join("a.img");
    let devices = [first, silent.clone(), last].map(|round| (round, file.as_path()));
    let [first, unknown, last] = &of(&devices, |_| true)[..] else { panic!("one for each") };
    assert_eq!((first, last), (&attached[0].backing, &attached[1].backing));
    assert_eq!(unknown, &Err(Untold::Silent));
    assert!(recall(&silent, &file).is_some(), "it is left alone for a while");
}
