//! Whether each of a node's disks still has the room that was promised on it. Pure.
//!
//! | a disk | verdict |
//! |---|---|
//! | could not be looked at | Unknown |
//! | more is promised than is free and occupied by volumes: others filled it, or the class overcommits | Short |
//! | the node's own files are on it, and less is free than a log needs | Short |
//! | anything else | Room |
//!
//! A pool keeps what was known of its disk while looks at it fail. From all of them, the node's condition:
//!
//! | known of the disks | DiskPressure |
//! |---|---|
//! | one is Short | True, with the words of all that are |
//! | none is Short, one has never answered | Unknown, and why |
//! | there has been no look yet | Unknown |
//! | all have Room | False |

use std::collections::{BTreeMap, BTreeSet};

use orlop_backends::{
    driver::{Disk, Room},
    host::LOG_BYTES,
};

use super::kernel::Condition;

const MIB: u64 = 1 << 20;

/// What a look at a disk says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is room for what was promised.
    Room,
    /// There is not: which disk, the arithmetic and the way out.
    Short(String),
    /// It could not be looked at: why.
    Unknown(String),
}

/// The first table.
pub fn judge(disk: &Disk) -> Verdict {
    let room = match &disk.room {
        Ok(room) => room,
        Err(error) => return Verdict::Unknown(error.to_string()),
    };
    let Room { promised, total, free } = *room;
    let (name, images) = (name(disk), if disk.own { "images (orlop image rm) or " } else { "" });
    if promised > total {
        return Verdict::Short(format!(
            "{name}: {} MiB are promised to volumes and there is room for {} MiB of them: their pods may fail to write \
             although the volumes are not full. Remove {images}other files from that disk, or volumes that nobody needs",
            promised.div_ceil(MIB),
            total / MIB
        ));
    }
    if disk.own && free < LOG_BYTES {
        return Verdict::Short(format!(
            "{name}: {} MiB are free, which is less than the {} MiB of one container's log: containers may fail to write \
             what is not in a volume. Remove {images}other files from that disk",
            free / MIB,
            LOG_BYTES / MIB
        ));
    }
    Verdict::Room
}

/// Which disk it is, by what lies on it.
fn name(disk: &Disk) -> String {
    let own = "the node's own files";
    match (disk.pools.as_slice(), disk.own) {
        ([], _) => format!("the disk of {own}"),
        ([pool], false) => format!("the disk of pool {pool}"),
        ([pool], true) => format!("the disk of pool {pool} and {own}"),
        (pools, false) => format!("the disk of pools {}", pools.join(", ")),
        (pools, true) => format!("the disk of pools {} and {own}", pools.join(", ")),
    }
}

/// What the Node says before the first look.
pub(super) fn not_seen() -> Condition {
    condition("Unknown", "DisksNotSeen", "the disks of the pools have not been looked at yet".to_owned())
}

fn condition(status: &'static str, reason: &'static str, message: String) -> Condition {
    Condition { name: "DiskPressure", status, reason, message }
}

/// What a look has changed, for who has to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// A disk became short of room: the words of the verdict.
    Short(String),
    /// One that was short has room again: its name.
    Room(String),
    /// A pool, or the node's own directory, does not answer any more: why.
    Silent(String),
}

/// What is known of the disk below a pool, or below the node's own directory.
#[derive(Clone, Debug)]
struct Known {
    verdict: Verdict,
    answers: bool,
}

/// What is known of all of them. The words of a disk that is short stay as long as it is: numbers that change with every
/// look are no reason to write the Node again.
#[derive(Debug, Default)]
pub(super) struct Disks {
    /// By the pool's name; `None` is the node's own directory.
    known: BTreeMap<Option<String>, Known>,
}

impl Disks {
    /// Takes in a look at all disks.
    pub(super) fn learn(&mut self, found: &[Disk]) -> Vec<Turn> {
        found.iter().filter_map(|disk| self.learn_one(disk)).collect()
    }

    fn learn_one(&mut self, disk: &Disk) -> Option<Turn> {
        let mut places: Vec<Option<String>> = disk.pools.iter().cloned().map(Some).collect();
        places.extend(disk.own.then_some(None));
        let before: Vec<Known> = places.iter().filter_map(|place| self.known.get(place).cloned()).collect();
        let is_short = |known: &Known| matches!(known.verdict, Verdict::Short(_));
        let (now, turn) = match judge(disk) {
            Verdict::Unknown(why) => {
                let turn = before.iter().all(|known| known.answers).then(|| Turn::Silent(why.clone()));
                (before.first().map_or(Verdict::Unknown(why), |known| known.verdict.clone()), turn)
            }
            Verdict::Room => (Verdict::Room, before.iter().any(is_short).then(|| Turn::Room(name(disk)))),
            // As before, when all that lies on it knew of it.
            Verdict::Short(_) if before.len() == places.len() && before.iter().all(is_short) => {
                (before[0].verdict.clone(), None)
            }
            Verdict::Short(words) => (Verdict::Short(words.clone()), Some(Turn::Short(words))),
        };
        let known = Known { verdict: now, answers: disk.room.is_ok() };
        self.known.extend(places.into_iter().map(|place| (place, known.clone())));
        turn
    }

    /// The second table, when there has been a look.
    pub(super) fn condition(&self) -> Condition {
        let (mut short, mut unknown) = (BTreeSet::new(), BTreeSet::new());
        for known in self.known.values() {
            match &known.verdict {
                Verdict::Room => {}
                Verdict::Short(words) => drop(short.insert(words.as_str())),
                Verdict::Unknown(why) => drop(unknown.insert(why.as_str())),
            }
        }
        let (status, reason, words) = match (short.is_empty(), unknown.is_empty()) {
            (false, _) => ("True", "KubeletHasDiskPressure", short),
            (true, false) => ("Unknown", "DisksNotSeen", unknown),
            (true, true) => {
                ("False", "KubeletHasNoDiskPressure", BTreeSet::from(["the pools have room for all volumes"]))
            }
        };
        let words: Vec<&str> = words.into_iter().collect();
        condition(status, reason, words.join("; "))
    }
}

#[cfg(test)]
mod tests;
