//! Which file a loop device holds. Only a call to the device says it, and for that the kernel asks the file's server: when
//! that is gone, the call does not come back. So no thread of Orlop makes it, and no device makes a list of others wait long.
//!
//! | the device, since it was attached | the file it holds |
//! |---|---|
//! | attached by this process, or has been told of before | what it was then: it cannot become another |
//! | not asked about yet | a child asks, about all devices with files in the same directory, each on a thread of its own |
//! | asked about moments ago, and nothing was told | unknown; asked about again later |
//! | a child that was left behind still asks | unknown, until that is gone |
//!
//! So one device that is slow or silent is unknown alone, and however long it is so, it costs one child. The kernel numbers
//! what each disk is made to hold (`diskseq`, since Linux 5.15). Without that every look asks those that do tell.

mod known;

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use nix::libc;
use serde::{Deserialize, Serialize};

pub(super) use self::known::{Round, remember};
use self::known::{Told, Waiting, keep, recall};
use super::{
    super::{Cause, FileId, Untold},
    child::{Call, Job, call_for_each},
    lock, loop_ioctl,
};

/// How long the devices of one directory may take to tell.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long devices that told nothing are left alone.
const REST: Duration = Duration::from_secs(30);
/// How many devices one child asks: as many threads it has.
const AT_ONCE: usize = 256;
/// What a thread needs that asks one device.
const STACK: usize = 128 << 10;

/// Whoever asks holds it: the others take its answer.
static ASKING: Mutex<()> = Mutex::new(());

/// A line of the child's: which of its devices, and its file, or the kernel's number for why it does not tell.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Said(usize, Result<FileId, i32>);

/// The files that devices hold, each asked for with the file's path, or why that is not known. `still` says whether a device
/// that was asked holds what it did when it was listed.
pub(super) fn of(devices: &[(Round, &Path)], still: impl Fn(&Round) -> bool) -> Vec<Result<FileId, Untold>> {
    let recall_all = || devices.iter().map(|(round, path)| recall(round, path)).collect::<Vec<_>>();
    let mut told = recall_all();
    if told.contains(&None) {
        let _turn = lock(&ASKING);
        // Whoever had the turn before may have been told.
        told = recall_all();
        let unknown = (0..devices.len()).filter(|at| told[*at].is_none()).collect();
        for (at, answer) in ask_all(devices, unknown) {
            let (round, path) = &devices[at];
            let known = if still(round) { keep(round, path, answer) } else { another() };
            told[at] = Some(known);
        }
    }
    told.into_iter().map(|told| told.map_or(Err(Untold::Silent), Told::file)).collect()
}

/// Of what was asked too late nothing is known.
fn another() -> Told {
    Told::NothingUntil(Instant::now(), Untold::Failed("it was given another file at this moment".to_owned()))
}

/// Asks about devices, by their places in the list.
fn ask_all(devices: &[(Round, &Path)], places: Vec<usize>) -> Vec<(usize, Told)> {
    let mut together: BTreeMap<&Path, Vec<usize>> = BTreeMap::new();
    for at in places {
        let path = devices[at].1;
        together.entry(path.parent().unwrap_or(path)).or_default().push(at);
    }
    let groups =
        together.iter().flat_map(|(dir, places)| places.chunks(AT_ONCE).map(move |group| (*dir, group)));
    thread::scope(|scope| {
        let asked = groups.map(|(dir, group)| {
            let rounds: Vec<Round> = group.iter().map(|at| devices[*at].0.clone()).collect();
            (group, scope.spawn(move || ask(dir, &rounds)))
        });
        let asked: Vec<_> = asked.collect();
        let answers = asked
            .into_iter()
            .flat_map(|(group, answers)| group.iter().copied().zip(answers.join().unwrap_or_default()));
        answers.collect()
    })
}

/// Asks about the devices with files in one directory.
fn ask(dir: &Path, rounds: &[Round]) -> Vec<Told> {
    let object = format!("loop devices with files in {}", dir.display());
    let asked = Call {
        operation: "look at",
        waits_on: object.clone(),
        object,
        deadline: PATIENCE,
        job: &Job::HeldFiles { devices: rounds.iter().map(|round| round.device.clone()).collect() },
    };
    let (said, outcome) = call_for_each(&asked, || Waiting::on(rounds.to_vec()));
    let rest = || Instant::now() + REST;
    // Who said nothing is silent; when there was nobody who could ask, the next look asks again.
    let nothing = match &outcome {
        Ok(_) => Told::NothingUntil(Instant::now(), Untold::Failed("it was not asked".to_owned())),
        Err(error) if matches!(error.source, Cause::Timeout(_) | Cause::Hanging { .. }) => {
            Told::NothingUntil(rest(), Untold::Silent)
        }
        Err(error) => Told::NothingUntil(Instant::now(), Untold::Failed(error.words())),
    };
    let mut told = vec![nothing; rounds.len()];
    let silent = rounds.len().saturating_sub(said.len());
    for Said(at, held) in said {
        if let Some(told) = told.get_mut(at) {
            *told = held.map_or_else(|errno| Told::NothingUntil(rest(), refused(errno)), Told::File);
        }
    }
    if let Err(error) = outcome {
        tracing::warn!(dir = %dir.display(), silent, %error, "what these loop devices hold is not known now");
    }
    told
}

fn refused(errno: i32) -> Untold {
    match errno {
        libc::ENOENT => Untold::NoNode,
        errno => Untold::Failed(std::io::Error::from_raw_os_error(errno).to_string()),
    }
}

/// The child's part: asks all devices at once, and says what each tells when it does.
pub(super) fn look(devices: &[PathBuf], say: &(impl Fn(&Said) + Sync)) {
    thread::scope(|scope| {
        for (at, device) in devices.iter().enumerate() {
            let one = move || {
                let held = held(device).map_err(|error| error.raw_os_error().unwrap_or(libc::EIO));
                say(&Said(at, held));
            };
            // Where there can be no thread, the others wait for this one.
            if thread::Builder::new().stack_size(STACK).spawn_scoped(scope, one).is_err() {
                one();
            }
        }
    });
}

fn held(device: &Path) -> std::io::Result<FileId> {
    #[cfg(test)]
    tests::hang(device);
    let node = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(device)?;
    Ok(loop_ioctl::status(&node)?.file())
}

#[cfg(test)]
mod tests;
