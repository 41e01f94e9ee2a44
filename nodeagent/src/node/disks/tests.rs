//! The rows of the tables.

use orlop_backends::driver::{Code, Error};

use super::*;

fn disk(pools: &[&str], own: bool, [promised, total, free]: [u64; 3]) -> Disk {
    let room = Ok(Room { promised: promised * MIB, total: total * MIB, free: free * MIB });
    Disk { pools: pools.iter().map(|&pool| pool.to_owned()).collect(), own, room }
}

fn silent(pool: &str) -> Disk {
    let message = "it has not answered".to_owned();
    let volume = format!("{pool}/*");
    let error = Error { operation: "look for room for", volume, message, code: Code::Internal, source: None };
    Disk { pools: vec![pool.to_owned()], own: false, room: Err(error) }
}

fn words(disk: &Disk) -> String {
    match judge(disk) {
        Verdict::Short(words) | Verdict::Unknown(words) => words,
        Verdict::Room => panic!("{disk:?} has room"),
    }
}

#[test]
fn each_disk_is_judged_by_itself() {
    for enough in [
        disk(&["a"], false, [0, 0, 0]),
        disk(&["a"], false, [100, 100, 0]),
        disk(&["a", "b"], true, [100, 164, 64]),
        disk(&[], true, [0, 64, 64]),
    ] {
        assert_eq!(judge(&enough), Verdict::Room, "{enough:?}");
    }
    for (short, parts) in [
        (
            disk(&["a"], false, [101, 100, 80]),
            &["the disk of pool a: 101 MiB are promised", "room for 100 MiB", "Remove other files"][..],
        ),
        (disk(&["a", "b"], true, [101, 100, 80]), &["of pools a, b and the node's own files", "image rm"]),
        (disk(&["a"], true, [0, 63, 63]), &["of pool a and the node's own files: 63 MiB are free"]),
        (disk(&[], true, [0, 63, 63]), &["the disk of the node's own files: 63 MiB are free", "image rm"]),
    ] {
        assert!(matches!(judge(&short), Verdict::Short(_)));
        for part in parts {
            assert!(words(&short).contains(part), "{part:?} is not in {}", words(&short));
        }
    }
    assert!(!words(&disk(&["a"], false, [101, 100, 80])).contains("image"), "no images lie there");
    let bytes_short = Disk { room: Ok(Room { promised: MIB + 1, total: MIB, free: 0 }), ..silent("a") };
    assert!(words(&bytes_short).contains("2 MiB are promised to volumes and there is room for 1 MiB"));
    assert!(matches!(judge(&silent("a")), Verdict::Unknown(why) if why.contains("a/*: it has not answered")));
}

/// What was wrong once: a full small disk behind an empty large one.
#[test]
fn a_short_disk_is_told_beside_one_that_has_room() {
    let mut disks = Disks::default();
    let large = disk(&["default"], true, [10, 100_000, 90_000]);
    let turns = disks.learn(&[large, disk(&["fast"], false, [40, 30, 0])]);
    assert!(
        matches!(turns.as_slice(), [Turn::Short(why)] if why.starts_with("the disk of pool fast: 40 MiB"))
    );
    let condition = disks.condition();
    assert_eq!(condition.status, "True");
    assert!(condition.message.starts_with("the disk of pool fast") && !condition.message.contains("default"));
}

#[test]
fn the_condition() {
    let (room, short) = (disk(&["a"], false, [1, 2, 1]), disk(&["b"], false, [2, 1, 1]));
    let is = |disks: &Disks| disks.condition().status;
    assert_eq!(not_seen().status, "Unknown", "before the first look");
    let mut disks = Disks::default();
    assert_eq!(is(&disks), "False", "a node without pools");
    assert!(disks.learn(&[room]).is_empty());
    assert_eq!(is(&disks), "False");
    assert!(matches!(disks.learn(&[silent("c")]).as_slice(), [Turn::Silent(_)]));
    assert_eq!((is(&disks), disks.condition().message), ("Unknown", words(&silent("c"))));
    assert!(disks.learn(&[silent("c")]).is_empty(), "told once");
    disks.learn(&[short]);
    assert_eq!(is(&disks), "True", "what is known to be short is not hidden by what is not known");
}

#[test]
fn a_failed_look_says_neither_yes_nor_no() {
    let mut disks = Disks::default();
    disks.learn(&[disk(&["a"], false, [1, 2, 1])]);
    assert_eq!(disks.learn(&[silent("a")]).len(), 1);
    assert_eq!(disks.condition().status, "False", "as before");
    disks.learn(&[disk(&["a"], false, [2, 1, 1])]);
    let before = disks.condition();
    assert_eq!(disks.learn(&[silent("a")]).len(), 1, "silent again, which is told again");
    assert_eq!((before.status, disks.condition()), ("True", before.clone()), "as before");
    assert!(matches!(disks.learn(&[disk(&["a"], false, [1, 2, 1])]).as_slice(), [Turn::Room(_)]));
}

#[test]
fn numbers_that_change_are_told_once() {
    let mut disks = Disks::default();
    assert_eq!(disks.learn(&[disk(&["a"], true, [20, 10, 0])]).len(), 1);
    let before = disks.condition();
    assert!(disks.learn(&[disk(&["a"], true, [20, 9, 0])]).is_empty());
    assert_eq!(disks.condition(), before);
    // Another pool turns out to lie on the same disk: that is said.
    assert_eq!(disks.learn(&[disk(&["a", "b"], true, [20, 9, 0])]).len(), 1);
    assert!(disks.condition().message.starts_with("the disk of pools a, b and"));
    let turns = disks.learn(&[disk(&["a", "b"], true, [20, 99, 90])]);
    assert_eq!(turns, [Turn::Room("the disk of pools a, b and the node's own files".to_owned())]);
    assert_eq!(disks.condition().status, "False");
}
