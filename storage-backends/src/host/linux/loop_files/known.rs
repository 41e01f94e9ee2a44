//! What is remembered of loop devices: which file each holds, or that it is not to be asked now.
//!
//! | of a device is known | so long |
//! |---|---|
//! | the file that it holds | as it holds that, by the kernel's number; where there is none, it is not kept |
//! | that it has told nothing | for some time, while it holds the same, by that number or else by the file's path |
//! | that a child which was left behind still asks it | until that child is gone |

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Mutex,
    time::Instant,
};

use super::super::{
    super::{FileId, Untold},
    lock,
};

/// A device, and which of the things it was made to hold in its life is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Round {
    pub(in super::super) device: PathBuf,
    /// `None`: this kernel does not number them.
    pub(in super::super) number: Option<u64>,
}

/// What is known of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It holds this file.
    File(FileId),
    /// It has told nothing, why, and is not to be asked before then.
    NothingUntil(Instant, Untold),
}

impl Told {
    pub(super) fn file(self) -> Result<FileId, Untold> {
        match self {
            Self::File(id) => Ok(id),
            Self::NothingUntil(_, why) => Err(why),
        }
    }
}

/// What a device was last known by.
#[derive(Debug)]
struct Known {
    number: Option<u64>,
    /// Of its file: tells what it holds where no number does.
    path: PathBuf,
    told: Told,
}

/// One entry per device of the machine.
static KNOWN: Mutex<BTreeMap<PathBuf, Known>> = Mutex::new(BTreeMap::new());
/// Those that children which were left behind still ask.
static WAITING: Mutex<BTreeSet<Round>> = Mutex::new(BTreeSet::new());

/// Held while a child that was left behind lives.
#[derive(Debug)]
pub(super) struct Waiting(Vec<Round>);

impl Waiting {
    pub(super) fn on(rounds: Vec<Round>) -> Self {
        lock(&WAITING).extend(rounds.iter().cloned());
        Self(rounds)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        lock(&WAITING).retain(|round| !self.0.contains(round));
    }
}

/// Answers what is known from now on. While the device was asked, whoever attached the file may have said so, or it may
/// have been made to hold another: the number grows with each, and the newest word stands.
pub(super) fn keep(round: &Round, path: &Path, told: Told) -> Told {
    let mut known = lock(&KNOWN);
    match known.get(&round.device) {
        Some(newer) if newer.number > round.number => return told,
        Some(Known { number, told: Told::File(id), .. }) if *number == round.number => {
            return Told::File(*id);
        }
        _ => {}
    }
    if round.number.is_none() && matches!(told, Told::File(_)) {
        known.remove(&round.device);
    } else {
        let entry = Known { number: round.number, path: path.to_owned(), told: told.clone() };
        known.insert(round.device.clone(), entry);
    }
    told
}

/// What is known of a device; `None` when it is to be asked.
pub(super) fn recall(round: &Round, path: &Path) -> Option<Told> {
    let known = lock(&KNOWN);
    let is_same =
        |known: &&Known| known.number == round.number && (round.number.is_some() || known.path == path);
    let told = known.get(&round.device).filter(is_same).map(|known| known.told.clone());
    match told {
        Some(Told::NothingUntil(then, _)) if then <= Instant::now() => {}
        Some(told) => return Some(told),
        None => {}
    }
    lock(&WAITING).contains(round).then(|| Told::NothingUntil(Instant::now(), Untold::Silent))
}

/// Takes down what whoever attached a file knows.
pub(in super::super) fn remember(round: &Round, path: &Path, id: FileId) {
    let _ = keep(round, path, Told::File(id));
}

/// As after a start of this process.
#[cfg(test)]
pub(super) fn forget(device: &Path) {
    lock(&KNOWN).remove(device);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const FILE: &str = "/pool/a.img";

    fn round(device: &str, number: u64) -> Round {
        Round { device: device.into(), number: Some(number) }
    }

    fn rests() -> Told {
        Told::NothingUntil(Instant::now() + Duration::from_secs(3600), Untold::Silent)
    }

    fn rested() -> Told {
        Told::NothingUntil(Instant::now(), Untold::Silent)
    }

    fn known(round: &Round) -> Option<Told> {
        recall(round, Path::new(FILE))
    }

    /// Answers what is known from then on.
    fn learn(round: &Round, told: Told) -> Told {
        keep(round, Path::new(FILE), told)
    }

    #[test]
    fn what_is_known_holds_until_something_else_is_attached() {
        let id = FileId { device: 1, inode: 2 };
        let (one, two) = (round("/dev/none-1", 7), round("/dev/none-2", 1));
        assert_eq!(known(&one), None, "not asked about yet");
        remember(&one, Path::new(FILE), id);
        assert_eq!(known(&one), Some(Told::File(id)));
        assert_eq!(
            recall(&one, Path::new("/renamed.img")),
            Some(Told::File(id)),
            "the number says that it is the same"
        );
        assert_eq!(known(&round("/dev/none-1", 9)), None, "something else");
        let silent = rests();
        learn(&two, silent.clone());
        assert_eq!(known(&two), Some(silent.clone()));
        learn(&two, rested());
        assert_eq!(known(&two), None, "it has rested");
        learn(&two, Told::File(id));
        assert_eq!(learn(&two, silent.clone()), Told::File(id), "its attacher's word stands");
        let next = round("/dev/none-2", 3);
        assert_eq!(learn(&next, silent.clone()), silent, "not for what is attached next");
        learn(&next, Told::File(id));
        assert_eq!(learn(&round("/dev/none-2", 2), silent.clone()), silent, "what is gone");
        assert_eq!(known(&next), Some(Told::File(id)), "and says nothing of what is there");
    }

    /// A kernel that numbers nothing.
    #[test]
    fn without_a_number_a_silent_device_rests_and_a_file_is_asked_for_anew() {
        let (id, plain) =
            (FileId { device: 1, inode: 2 }, Round { device: "/dev/none-3".into(), number: None });
        let silent = rests();
        learn(&plain, silent.clone());
        assert_eq!(known(&plain), Some(silent));
        assert_eq!(recall(&plain, Path::new("/pool/b.img")), None, "something else");
        remember(&plain, Path::new(FILE), id);
        assert_eq!(known(&plain), None, "nothing tells it from what is attached next");
    }

    #[test]
    fn a_device_that_a_child_was_left_with_is_not_asked_again_before_that_is_gone() {
        let stuck = round("/dev/none-4", 1);
        learn(&stuck, rested());
        let child = Waiting::on(vec![stuck.clone()]);
        assert!(matches!(known(&stuck), Some(Told::NothingUntil(_, Untold::Silent))));
        assert_eq!(known(&round("/dev/none-4", 2)), None, "something else");
        drop(child);
        assert_eq!(known(&stuck), None);
    }
}
