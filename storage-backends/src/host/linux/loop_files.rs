//! Which file a loop device holds. Only a call to the device says it, and for that the kernel asks the file's server: when
//! that is gone, the call does not come back. So no thread of Orlop makes it, and no device makes a list of others wait long.
//!
//! | the device, since it was attached | the file it holds |
//! |---|---|
//! | attached by this process, or has been told of before | what it was then: it cannot become another |
//! | not asked about yet | a child asks, about all devices with files in the same directory |
//! | asked about moments ago, and nothing was told | unknown; asked about again later |
//!
//! The kernel numbers what each disk is made to hold (`diskseq`, since Linux 5.15). Without that every look asks.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use nix::libc;

use super::{
    super::FileId,
    child::{Answer, Call, Job, call},
    loop_ioctl,
};

/// How long the devices of one directory may take to tell.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long devices that told nothing are left alone.
const REST: Duration = Duration::from_secs(30);

/// A device, and which of the things it was made to hold in its life is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) device: PathBuf,
    /// `None`: this kernel does not number them.
    pub(super) number: Option<u64>,
}

/// What is known of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// It holds this file.
    File(FileId),
    /// It has told nothing, and is not to be asked before then.
    NothingUntil(Instant),
}

impl Told {
    fn file(self) -> Option<FileId> {
        match self {
            Self::File(id) => Some(id),
            Self::NothingUntil(_) => None,
        }
    }
}

/// What each device was last known by: one entry per device of the machine.
static KNOWN: Mutex<BTreeMap<PathBuf, (u64, Told)>> = Mutex::new(BTreeMap::new());
/// Whoever asks holds it: the others take its answer.
static ASKING: Mutex<()> = Mutex::new(());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers what is known from now on. While the device was asked, whoever attached the file may have said so, or it may
/// have been made to hold another: the number grows with each, and the newest word stands.
fn keep(round: &Round, told: Told) -> Told {
    let Some(number) = round.number else { return told };
    let mut known = lock(&KNOWN);
    match known.get(&round.device) {
        Some((of, _)) if *of > number => told,
        Some((of, Told::File(id))) if *of == number => Told::File(*id),
        _ => {
            known.insert(round.device.clone(), (number, told));
            told
        }
    }
}

/// What is known of a device; `None` when it is to be asked.
fn recall(round: &Round) -> Option<Told> {
    let known = lock(&KNOWN);
    let (number, told) = known.get(&round.device)?;
    let rests = match told {
        Told::File(_) => true,
        Told::NothingUntil(then) => Instant::now() < *then,
    };
    (Some(*number) == round.number && rests).then_some(*told)
}

/// Takes down what whoever attached a file knows.
pub(super) fn remember(round: &Round, id: FileId) {
    let _ = keep(round, Told::File(id));
}

/// The files that devices hold, each asked for with the file's path; `None` for those that cannot be known now.
pub(super) fn of(devices: &[(Round, &Path)]) -> Vec<Option<FileId>> {
    let known = || devices.iter().map(|(round, _)| recall(round)).collect::<Option<Vec<Told>>>();
    if let Some(all) = known() {
        return all.into_iter().map(Told::file).collect();
    }
    let _turn = lock(&ASKING);
    let mut told: Vec<_> = devices.iter().map(|(round, _)| recall(round)).collect();
    let mut together: BTreeMap<&Path, Vec<usize>> = BTreeMap::new();
    for (at, (_, path)) in devices.iter().enumerate().filter(|(at, _)| told[*at].is_none()) {
        together.entry(path.parent().unwrap_or(path)).or_default().push(at);
    }
    std::thread::scope(|scope| {
        let asked = together.into_iter().map(|(dir, group)| {
            let names: Vec<PathBuf> = group.iter().map(|at| devices[*at].0.device.clone()).collect();
            (group, scope.spawn(move || ask(dir, names)))
        });
        for (group, answers) in asked.collect::<Vec<_>>() {
            let mut answers = answers.join().unwrap_or_default().into_iter();
            for at in group {
                let rests = Told::NothingUntil(Instant::now() + REST);
                let answer = answers.next().flatten().map_or(rests, Told::File);
                told[at] = Some(keep(&devices[at].0, answer));
            }
        }
    });
    told.into_iter().map(|told| told.and_then(Told::file)).collect()
}

/// Asks about the devices with files in one directory; answers fewer, or none, when they do not tell.
fn ask(dir: &Path, devices: Vec<PathBuf>) -> Vec<Option<FileId>> {
    let object = format!("loop devices with files in {}", dir.display());
    let asked = Call {
        operation: "look at",
        waits_on: object.clone(),
        object,
        deadline: PATIENCE,
        job: &Job::HeldFiles { devices },
    };
    match call(&asked) {
        Ok(Answer::Held(files)) => files,
        Ok(_) => Vec::new(),
        Err(error) => {
            tracing::warn!(dir = %dir.display(), %error, "what these loop devices hold is not known now");
            Vec::new()
        }
    }
}

/// The child's part: asks one device after the other.
pub(super) fn look(devices: &[PathBuf]) -> Vec<Option<FileId>> {
    let one = |device: &PathBuf| {
        let node = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(device).ok()?;
        loop_ioctl::status(&node).ok().map(|info| info.file())
    };
    devices.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(device: &str, number: u64) -> Round {
        Round { device: device.into(), number: Some(number) }
    }

    /// The rows of the table, but the one that asks.
    #[test]
    fn what_is_known_holds_until_something_else_is_attached() {
        let id = FileId { device: 1, inode: 2 };
        assert_eq!(recall(&round("/dev/none-1", 7)), None, "not asked about yet");
        remember(&round("/dev/none-1", 7), id);
        assert_eq!(recall(&round("/dev/none-1", 7)), Some(Told::File(id)));
        assert_eq!(recall(&round("/dev/none-1", 9)), None, "something else");
        let rests = Told::NothingUntil(Instant::now() + REST);
        keep(&round("/dev/none-2", 1), rests);
        assert_eq!(recall(&round("/dev/none-2", 1)), Some(rests));
        keep(&round("/dev/none-2", 1), Told::NothingUntil(Instant::now()));
        assert_eq!(recall(&round("/dev/none-2", 1)), None, "it has rested");
        remember(&round("/dev/none-2", 1), id);
        assert_eq!(keep(&round("/dev/none-2", 1), rests), Told::File(id), "its attacher's word stands");
        assert_eq!(keep(&round("/dev/none-2", 3), rests), rests, "not for what is attached next");
        remember(&round("/dev/none-2", 3), id);
        assert_eq!(keep(&round("/dev/none-2", 2), rests), rests, "what is gone");
        assert_eq!(
            recall(&round("/dev/none-2", 3)),
            Some(Told::File(id)),
            "and says nothing of what is there"
        );
        let unnumbered = Round { device: "/dev/none-3".into(), number: None };
        remember(&unnumbered, id);
        assert_eq!(recall(&unnumbered), None, "nothing tells it from what is attached next");
    }

    /// A device that tells nothing keeps the others from nothing.
    #[test]
    fn what_cannot_be_asked_is_unknown_and_known_ones_are_not_asked() {
        let id = FileId { device: 3, inode: 4 };
        remember(&round("/dev/none-4", 1), id);
        let (known, silent) = (round("/dev/none-4", 1), round("/dev/none-5", 1));
        let file = Path::new("/pool/a.img");
        assert_eq!(of(&[(known.clone(), file), (silent.clone(), file)]), [Some(id), None]);
        assert!(matches!(recall(&silent), Some(Told::NothingUntil(_))));
    }
}
