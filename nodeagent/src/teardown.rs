//! `orlop down`: everything of this instance leaves the machine, from journal and kernel alone; the data stays.
//!
//! Containers are stopped with their pods' grace, volumes unpublished, unstaged, detached. What a pod that is still wanted
//! needs again stays: its directories on disk, its logs, the record of how its containers ended.

mod devices;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use orlop_backends::host::{self, LoopDevice};

use self::devices::{Seen, Whose};
use crate::{
    Parts, clock,
    error::Error,
    ids::{ContainerId, VolumeId},
    journal::{PodIntent, Subject},
    machine::Machine,
    paths::{Place, handle_hash},
    plan::{
        Look,
        container::RestartPolicy,
        pod::{Goal, Step, Want, Wire, plan},
    },
};

/// Grace of a pod whose record is lost.
const GRACE: i64 = 30;
/// How long killed containers may take to be gone.
const AFTER_KILL: Duration = Duration::from_secs(10);
/// How often one thing is tried.
const TRIES: usize = 3;

/// What taking everything down did, and what it could not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Pods that had anything here which had to go; records, logs and directories stay.
    pub pods: usize,
    /// Volumes that may have been attached.
    pub volumes: usize,
    /// What is still here, in words, each with the reason where it is known.
    pub left: Vec<String>,
}

impl Report {
    /// Whether nothing of this instance is left on the machine.
    pub fn is_clean(&self) -> bool {
        self.left.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let many = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        write!(f, "took down {} and {}; data stays", many(self.pods, "pod"), many(self.volumes, "volume"))?;
        self.left.iter().try_for_each(|left| write!(f, "\nstill here: {left}"))
    }
}

/// Takes everything of this instance off the machine. No agent of the instance may run meanwhile.
pub async fn teardown(parts: Parts) -> Result<Report, Error> {
    let machine = crate::open(parts).await?;
    let pods = machine.blocking(Machine::pods_here).await?;
    let mut report = Report::default();
    let mut stuck = BTreeSet::new();
    let stops = pods.iter().map(|uid| stop_pod(&machine, uid));
    for (uid, outcome) in pods.iter().zip(futures::future::join_all(stops).await) {
        match outcome {
            Ok(had) => report.pods += usize::from(had),
            Err(error) => {
                report.pods += 1;
                report.left.push(format!("pod {uid}: {}", error.chain()));
                stuck.insert(uid.clone());
            }
        }
    }
    for subject in machine.journal.subjects() {
        let Subject::Volume(id) = subject else { continue };
        report.volumes += 1;
        if let Err(error) = take_down_volume(&machine, &id).await {
            report.left.push(format!("volume {id}: {}", error.chain()));
        }
    }
    if let Err(error) = machine.rest().await {
        report.left.push(format!("exports: {}", error.chain()));
    }
    let found = machine.blocking(move |m| sweep(m, &stuck)).await?;
    report.left.extend(found);
    report.left.extend(machine.blocking(Machine::take_down_network).await?);
    machine.blocking(remove_run_dir).await?;
    machine.journal.settle().await?;
    Ok(report)
}

/// Answers whether there was anything to be taken down.
async fn stop_pod(machine: &Machine, uid: &str) -> Result<bool, Error> {
    let intent = machine.journal.pod(uid);
    let grace = intent.as_ref().map_or(GRACE, |i| i.grace);
    let mut stop = Stop {
        deadline: clock::now() + Duration::from_secs(u64::try_from(grace).unwrap_or_default()),
        asked: BTreeMap::new(),
        killed: None,
    };
    let (mut tries, mut had) = (0, false);
    loop {
        let name = uid.to_owned();
        let mut look = machine.blocking(move |m| m.look_at_pod(&name, None)).await?;
        let alive = look.seen.attempts.values().any(crate::plan::pod::Attempt::is_alive);
        if alive {
            had = true;
            stop.round(machine, uid, &mut look.seen).await?;
            continue;
        }
        // What is on disk may be wanted again.
        let memory = look.seen.memory.clone();
        look.seen.empty.retain(|name| memory.contains(name));
        look.seen.place = false;
        let rest = want(uid, Goal::Rest);
        let steps: Vec<Step> =
            plan(&rest, &Look::Seen(look.seen), clock::now()).groups.into_iter().flatten().collect();
        if steps.is_empty() {
            return Ok(had);
        }
        had = true;
        tries += 1;
        for step in steps {
            let outcome = take_down_step(machine, uid, intent.as_ref(), step).await;
            if tries >= TRIES {
                outcome?;
            }
        }
    }
}

struct Stop {
    deadline: Timestamp,
    asked: BTreeMap<ContainerId, bool>,
    killed: Option<Instant>,
}

impl Stop {
    /// Signals what is due and waits for ends.
    async fn round(
        &mut self,
        machine: &Machine,
        uid: &str,
        seen: &mut crate::plan::pod::Seen,
    ) -> Result<(), Error> {
        if self.killed.is_some_and(|at| at.elapsed() > AFTER_KILL) {
            return Err(Error::Refused("its containers do not end, not even when killed".to_owned()));
        }
        seen.asked = self.asked.clone();
        let want = want(uid, Goal::Stop { deadline: self.deadline });
        let now = clock::now();
        let plan = plan(&want, &Look::Seen(seen.clone()), now);
        for step in plan.groups.into_iter().flatten() {
            let Step::Signal { id, kill } = step else { continue };
            let signalled = id.clone();
            machine.blocking(move |m| crate::execute::container::signal(m, None, &signalled, kill)).await?;
            self.asked.insert(id, kill);
            if kill {
                self.killed.get_or_insert_with(Instant::now);
            }
        }
        let left = self.deadline.duration_since(now);
        let left = Duration::try_from(left)
            .unwrap_or_default()
            .clamp(Duration::from_millis(20), Duration::from_secs(1));
        machine.blocking(move |m| Ok(m.runtime.wait_for_exit(left)?)).await
    }
}

fn want(uid: &str, goal: Goal) -> Want {
    Want {
        uid: uid.to_owned(),
        goal,
        policy: RestartPolicy::Never,
        containers: Vec::new(),
        volumes: Vec::new(),
        wire: Wire::None,
    }
}

async fn take_down_step(
    machine: &Machine,
    uid: &str,
    intent: Option<&PodIntent>,
    step: Step,
) -> Result<(), Error> {
    if let Step::Unpublish(name) = &step {
        let known = intent.and_then(|i| i.volumes.iter().find(|v| v.name == *name));
        return machine.unpublish(uid, name, known).await;
    }
    let uid = uid.to_owned();
    machine.blocking(move |m| m.tear_down_step(&uid, None, &step)).await
}

async fn take_down_volume(machine: &Machine, id: &VolumeId) -> Result<(), Error> {
    let Some(intent) = machine.journal.volume(id) else { return Ok(()) };
    machine.unstage(id, &intent.name, intent.attributes.clone()).await?;
    machine.detach(id, intent.attributes).await?;
    machine.journal.end(&Subject::Volume(id.clone()));
    Ok(())
}

/// What the journal knows nothing of goes by its path, the last mount first; what refused to go before, because it is in
/// use or somebody else's lies on it, is left alone. Answers what stays.
fn sweep(machine: &Machine, stuck: &BTreeSet<String>) -> Result<Vec<String>, Error> {
    let refused: Vec<Place> = machine
        .journal
        .subjects()
        .into_iter()
        .filter_map(|subject| match subject {
            Subject::Volume(id) => Some(Place::Staged { hash: handle_hash(&id.handle), driver: id.driver }),
            _ => None,
        })
        .collect();
    let may_go = |place: &Place| match place {
        Place::Published { pod, .. }
        | Place::Memory { pod, .. }
        | Place::HostPath { pod, .. }
        | Place::Namespace { pod, .. } => !stuck.contains(pod),
        Place::Rootfs(id) => !stuck.contains(&id.pod),
        Place::Staged { .. } => !refused.contains(place),
        // Not before those that show the same volume to pods: `rest` has said what keeps it.
        Place::Served { .. } => false,
    };
    // The data directory may have a disk of its own: that one is its owner's.
    let ours = |path: &Path| {
        let below_data = path.starts_with(machine.layout.data()) && path != machine.layout.data();
        below_data || path.starts_with(machine.layout.run())
    };
    let mounts = machine.host.mounts()?;
    for mount in mounts.iter().rev() {
        match machine.layout.place(&mount.target).filter(|place| may_go(place)) {
            Some(Place::HostPath { .. }) => {
                report_failure("take away host path", machine.host.unbind_path(&mount.target));
            }
            Some(_) => report_failure("unmount", machine.host.unmount(&mount.target)),
            None => {}
        }
    }
    for (device, whose) in devices_in_pool(machine)? {
        if whose == Whose::Ours {
            report_failure("detach", machine.host.detach_loop(&device.device));
        }
    }
    let mut left: Vec<String> = machine
        .host
        .mounts()?
        .iter()
        .map(|m| &m.target)
        .filter(|t| ours(t))
        .map(|t| format!("mount {}", t.display()))
        .collect();
    left.extend(devices_in_pool(machine)?.iter().filter_map(|(device, whose)| still_there(device, *whose)));
    Ok(left)
}

fn still_there(device: &LoopDevice, whose: Whose) -> Option<String> {
    let (device, file) = (device.device.display(), device.path.display());
    match whose {
        Whose::Ours => Some(format!("loop device {device} of {file}")),
        Whose::Anybodys => Some(format!(
            "loop device {device}: nobody tells whether it holds this node's {file} or another's of the same name. Bring \
             back what serves that file, or detach the device: losetup -d {device}"
        )),
        Whose::Others => None,
    }
}

/// Loop devices of files that are called as volumes in the data directory are, and whose each is. What may lie on a file
/// server is looked at only when the server answers.
fn devices_in_pool(machine: &Machine) -> Result<Vec<(LoopDevice, Whose)>, Error> {
    let pool = machine.layout.data().join("pool");
    let subjects = machine.journal.subjects().into_iter();
    let recorded = subjects.filter_map(|subject| match subject {
        Subject::Volume(id) | Subject::Making(id) => Some(id.handle),
        Subject::Pod(_) => None,
    });
    let recorded: BTreeSet<String> = recorded.collect();
    let found = machine.host.loops()?.into_iter().filter(|device| device.path.starts_with(&pool));
    Ok(found
        .map(|device| {
            let whose = devices::whose(&device, &pool, see(machine, &device.path), &recorded);
            (device, whose)
        })
        .collect())
}

/// What there is by a file's name. Asked by its directory: the file of that name may be gone.
fn see(machine: &Machine, path: &Path) -> Seen {
    let dir = path.parent().unwrap_or(path);
    match machine.host.ask(dir).and_then(|()| machine.host.file(path)) {
        Ok(Some(file)) => Seen::File(file.id),
        Ok(None) => Seen::Nothing,
        Err(error) if error.is_not_found() => Seen::Nothing,
        Err(_) => Seen::Unknown,
    }
}

/// Removes what dies with a boot as far as nothing is in it: the records of pods that are still wanted stay.
fn remove_run_dir(machine: &Machine) -> Result<(), Error> {
    let run = machine.layout.run();
    for part in machine.host.list_dir(run)? {
        let part = run.join(part);
        if machine.host.file(&part)?.is_some_and(|f| f.directory) && machine.host.list_dir(&part)?.is_empty()
        {
            machine.host.remove_dir(&part)?;
        }
    }
    if machine.host.list_dir(run)?.is_empty() { machine.ensure_no_dir(run) } else { Ok(()) }
}

fn report_failure(operation: &str, outcome: host::Result<()>) {
    if let Err(error) = outcome {
        tracing::warn!(operation, error = Error::from(error).chain(), "take down");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_is_left() {
        let clean = Report { pods: 1, volumes: 2, left: Vec::new() };
        assert_eq!(clean.to_string(), "took down 1 pod and 2 volumes; data stays");
        let left = Report { left: vec!["mount /x".to_owned()], ..clean };
        assert!(!left.is_clean());
        assert!(left.to_string().ends_with("\nstill here: mount /x"));
    }
}
