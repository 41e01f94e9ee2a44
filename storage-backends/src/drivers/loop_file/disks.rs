//! The disks below a node's pools and its own directory: how much room there is on each for what was promised there.
//!
//! | a place: a pool's directory, or the node's own | is counted |
//! |---|---|
//! | answers | together with all others on the same file system, shared pools among them |
//! | fails, or is not there | for itself, as unknown |
//! | does not answer in time, or has not answered an earlier look yet | for itself, as unknown |
//! | of a pool that the node goes on without | for itself, as unknown: nobody looks |
//!
//! Only looks: no lock is waited for and nothing is tidied up. So it may be done while another process has the pools, and
//! a place that keeps its caller waiting, as a file server may, keeps one thread and nobody else. What is being made has
//! its full length and counts as promised; what is renamed or removed meanwhile may be missed for once.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::{beside, fault::Context};
use crate::{
    driver::{Code, Disk, Error, Room},
    host::{self, Cause, Host},
};

/// How long a look at one place may take before the others are told of without it.
const PATIENCE: Duration = Duration::from_secs(5);

/// A directory that shares its disk with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The pool that it is; `None`: the node's own directory, with images, logs and what containers write.
    pub pool: Option<String>,
    /// The directory.
    pub dir: PathBuf,
}

impl Place {
    /// All places of a node: its pools, and its own directory.
    pub fn of_node(pools: impl IntoIterator<Item = (String, PathBuf)>, own: PathBuf) -> Vec<Self> {
        let pools = pools.into_iter().map(|(name, dir)| Self { pool: Some(name), dir });
        pools.chain([Self { pool: None, dir: own }]).collect()
    }

    /// What a failed look is told of.
    fn context(&self) -> Context {
        let name =
            self.pool.as_ref().map_or_else(|| self.dir.display().to_string(), |pool| format!("{pool}/*"));
        Context::new("look for room for", &name)
    }
}

/// What one place holds, and where.
#[derive(Clone, Copy, Debug)]
struct Found {
    file_system: u64,
    promised: u64,
    occupied: u64,
    free: u64,
}

/// Looks at the disks, with one look under way at each place and no more. Clones know of each other's.
#[derive(Clone, Debug, Default)]
pub struct Lookout {
    under_way: Arc<Mutex<BTreeSet<PathBuf>>>,
}

/// A look that is under way, until it is dropped.
struct UnderWay {
    all: Lookout,
    dir: PathBuf,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.all.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.dir);
    }
}

impl Lookout {
    /// The disks that these places lie on. Blocks, but for no longer than a few seconds.
    pub fn look(&self, host: &Arc<dyn Host>, places: Vec<Place>) -> Vec<Disk> {
        let host = Arc::clone(host);
        group(self.ask(places, PATIENCE, move |place| {
            survey(host.as_ref(), place).map_err(|error| place.context().host(error))
        }))
    }

    /// Asks each place on a thread of its own.
    fn ask(
        &self,
        places: Vec<Place>,
        patience: Duration,
        work: impl Fn(&Place) -> Result<Found, Error> + Send + Sync + 'static,
    ) -> Vec<(Place, Result<Found, Error>)> {
        let until = Instant::now() + patience;
        let (tell, told) = mpsc::channel();
        let work = Arc::new(work);
        let mut answers = Vec::new();
        for (number, place) in places.into_iter().enumerate() {
            let silent = format!(
                "it has not answered within {patience:?}; see what keeps its disk or file server busy"
            );
            answers.push((place.clone(), Err(place.context().fail(Code::Internal, silent))));
            let Some(under_way) = self.begin(&place) else { continue };
            let (tell, work) = (tell.clone(), Arc::clone(&work));
            // Where there can be no thread there is no answer, which is what is told already.
            drop(thread::Builder::new().name("disks".to_owned()).spawn(move || {
                let answer = work(&place);
                drop(under_way);
                // Nobody waits any more for what comes too late.
                let _ = tell.send((number, answer));
            }));
        }
        drop(tell);
        while let Ok((number, answer)) = told.recv_timeout(until.saturating_duration_since(Instant::now())) {
            answers[number].1 = answer;
        }
        answers
    }

    /// `None`: an earlier look at the place has not come back.
    fn begin(&self, place: &Place) -> Option<UnderWay> {
        let fresh = self.under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(place.dir.clone());
        fresh.then(|| UnderWay { all: self.clone(), dir: place.dir.clone() })
    }
}

fn survey(host: &dyn Host, place: &Place) -> host::Result<Found> {
    let missing = || host::Error {
        operation: "look for",
        object: place.dir.display().to_string(),
        source: Cause::Refused("it does not exist; create it, or mount what belongs there".to_owned()),
    };
    let file_system = host.file_system(&place.dir)?.ok_or_else(missing)?;
    let free = host.space(&place.dir)?.available;
    let mut found = Found { file_system, promised: 0, occupied: 0, free };
    let Some(pool) = &place.pool else { return Ok(found) };
    for (_, file) in beside::files(host, pool, &place.dir)? {
        found.promised = found.promised.saturating_add(file.length);
        found.occupied = found.occupied.saturating_add(file.allocated);
    }
    Ok(found)
}

/// Adds up what lies on one file system. Free space is told by each of its directories, and less by one that has a quota.
fn group(answers: Vec<(Place, Result<Found, Error>)>) -> Vec<Disk> {
    let mut disks: BTreeMap<u64, (Vec<Place>, Found)> = BTreeMap::new();
    let mut unknown = Vec::new();
    for (place, answer) in answers {
        match answer {
            Ok(found) => {
                let (places, sum) =
                    disks.entry(found.file_system).or_insert_with(|| (Vec::new(), Found::nothing(found)));
                sum.promised = sum.promised.saturating_add(found.promised);
                sum.occupied = sum.occupied.saturating_add(found.occupied);
                sum.free = sum.free.min(found.free);
                places.push(place);
            }
            Err(error) => unknown.push(disk(vec![place], Err(error))),
        }
    }
    let known = disks.into_values().map(|(places, sum)| {
        let total = sum.free.saturating_add(sum.occupied);
        disk(places, Ok(Room { promised: sum.promised, total, free: sum.free }))
    });
    known.chain(unknown).collect()
}

/// Nothing is known of any of these.
pub(super) fn unknown(places: Vec<Place>, why: &str) -> Vec<Disk> {
    let one = |place: Place| {
        let error = place.context().fail(Code::Internal, why);
        disk(vec![place], Err(error))
    };
    places.into_iter().map(one).collect()
}

impl Found {
    /// The disk of what was found, before anything on it is counted.
    fn nothing(first: Self) -> Self {
        Self { promised: 0, occupied: 0, ..first }
    }
}

fn disk(places: Vec<Place>, room: Result<Room, Error>) -> Disk {
    let own = places.iter().any(|place| place.pool.is_none());
    Disk { pools: places.into_iter().filter_map(|place| place.pool).collect(), own, room }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> Place {
        Place { pool: Some(name.to_owned()), dir: format!("/{name}").into() }
    }

    fn found(file_system: u64, promised: u64, occupied: u64, free: u64) -> Found {
        Found { file_system, promised, occupied, free }
    }

    /// The rows of the table, the last but one.
    #[test]
    fn places_are_counted_by_the_disk_that_they_lie_on() {
        let own = Place { pool: None, dir: "/own".into() };
        let failed = place("broken").context().fail(Code::Internal, "input/output error");
        let disks = group(vec![
            (place("a"), Ok(found(1, 30, 10, 50))),
            (place("broken"), Err(failed)),
            (place("apart"), Ok(found(2, 5, 1, 7))),
            (place("b"), Ok(found(1, 40, 20, 49))),
            (own, Ok(found(1, 0, 0, 50))),
        ]);
        let told = |disk: &Disk| (disk.pools.join(","), disk.own, disk.room.as_ref().ok().copied());
        assert_eq!(
            disks.iter().map(told).collect::<Vec<_>>(),
            [
                ("a,b".to_owned(), true, Some(Room { promised: 70, total: 79, free: 49 })),
                ("apart".to_owned(), false, Some(Room { promised: 5, total: 8, free: 7 })),
                ("broken".to_owned(), false, None),
            ]
        );
    }

    /// The last row: who does not answer keeps one thread, and nobody from the others' answers.
    #[test]
    fn a_silent_place_is_asked_once_and_silences_no_other() {
        let lookout = Lookout::default();
        let (go, wait) = mpsc::channel::<()>();
        let (wait, asked) = (Arc::new(Mutex::new(wait)), Arc::new(Mutex::new(0)));
        let look = |patience| {
            let (wait, asked) = (Arc::clone(&wait), Arc::clone(&asked));
            lookout.ask(vec![place("silent"), place("quick")], patience, move |place| {
                if place.pool.as_deref() == Some("silent") {
                    *asked.lock().unwrap() += 1;
                    let _ = wait.lock().unwrap().recv();
                }
                Ok(found(1, 0, 0, 0))
            })
        };
        let until_quick = || loop {
            let answers = look(Duration::from_millis(1));
            let why = answers[0].1.as_ref().unwrap_err().to_string();
            assert!(why.contains("silent/*") && why.contains("has not answered"), "{why}");
            if answers[1].1.is_ok() {
                break;
            }
        };
        until_quick();
        // Its thread may not have come to run yet.
        while *asked.lock().unwrap() == 0 {
            thread::yield_now();
        }
        until_quick();
        assert_eq!(*asked.lock().unwrap(), 1);
        drop(go);
        // It has come back: the next look asks again.
        while look(Duration::from_secs(60)).iter().any(|(_, answer)| answer.is_err()) {}
    }
}
