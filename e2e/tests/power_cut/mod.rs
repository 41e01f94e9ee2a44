//! A disk whose power can be cut: ext4 on a loop device whose backing file lies on a file system with reflinks.
//!
//! ```text
//! scratch/xfs.img ─loop─► scratch/xfs (XFS)  disk.img ─loop─► scratch/disk (ext4): the writer's
//!                                            cut.img  ─loop─► scratch/cut  (ext4): what a cut has left
//! ```
//!
//! A reflink copy of `disk.img` is, at one instant, everything that the device has ever received: what the page cache
//! of the ext4 above has not written yet is lost, as it is when the power goes. It is the kind case: a disk without a
//! volatile cache.

pub(crate) mod disk;
pub(crate) mod round;

use std::{env, path::Path};

use self::{disk::Disk, round::Round};

/// How often the power is cut on one store, before the next one is created.
const CUTS_PER_ROUND: usize = 5;

/// What became of all cuts.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Images that held everything.
    pub(crate) whole: usize,
    /// What was wrong with the others.
    pub(crate) faults: Vec<String>,
}

/// `ORLOP_POWER_CUTS`, or `default`.
pub(crate) fn cuts(default: usize) -> usize {
    env::var("ORLOP_POWER_CUTS").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// Cuts the power `cuts` times, or until `enough` says so. `None` when the machine cannot; it has been said why.
pub(crate) fn run(test: &str, sync: &str, cuts: usize, enough: impl Fn(&Outcome) -> bool) -> Option<Outcome> {
    if let Some(reason) = disk::reason_to_skip() {
        orlop_e2e::machine::skipped(test, reason);
        return None;
    }
    let scratch = tempfile::Builder::new().prefix("orlop-power-cut-").tempdir().expect("a scratch directory");
    let disk = match Disk::new(scratch.path()) {
        Ok(disk) => disk,
        Err(reason) => {
            orlop_e2e::machine::skipped(test, reason);
            return None;
        }
    };
    let outcome = cut_again_and_again(&disk, scratch.path(), sync, cuts, enough);
    drop(disk);
    assert_eq!(orlop_e2e::machine::left_below(scratch.path()), Vec::<String>::new());
    Some(outcome)
}

fn cut_again_and_again(
    disk: &Disk,
    scratch: &Path,
    sync: &str,
    cuts: usize,
    enough: impl Fn(&Outcome) -> bool,
) -> Outcome {
    let mut outcome = Outcome::default();
    for number in 0..cuts.div_ceil(CUTS_PER_ROUND) {
        let mut round = Round::start(disk, scratch, number, sync);
        for cut in 0..CUTS_PER_ROUND.min(cuts - number * CUTS_PER_ROUND) {
            match round.cut(cut) {
                Ok(summary) => {
                    eprintln!("round {number}, cut {cut}: {summary}");
                    outcome.whole += 1;
                }
                Err(fault) => {
                    eprintln!("round {number}, cut {cut}: FAULT {fault}");
                    outcome.faults.push(fault);
                }
            }
            if enough(&outcome) {
                return outcome;
            }
        }
    }
    outcome
}
