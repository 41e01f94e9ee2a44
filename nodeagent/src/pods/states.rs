//! The state of each container: what the machine shows, and where that has forgotten (a reboot), what the status says.
//!
//! | the machine's latest attempt | the status's latest attempt | state |
//! |---|---|---|
//! | A > B, no record | any B | Prepared(A) |
//! | A ≥ B, being created or left half made | any B | Prepared(A) |
//! | A ≥ B, created / running / ended | any B | Prepared(A) / Running(A) / Ended(A) |
//! | none, A < B, or A = B without a record | B ended | Ended(B) as reported |
//! | none, A < B, or A = B without a record | B did not end | Ended(B), nobody knows how |
//! | none | none | New |

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use orlop_backends::host::ContainerStatus;

use crate::{
    ids::ContainerId,
    plan::{
        container::{Exit, State},
        pod::Attempt,
    },
};

/// The reason of a container that the kernel killed for want of memory.
pub(crate) const OOM_KILLED: &str = "OOMKilled";

/// What a status says of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reported {
    pub(crate) attempt: u32,
    pub(crate) started: Option<Timestamp>,
    pub(crate) exit: Option<Exit>,
}

/// The status of a container by name, init containers too.
pub(crate) fn status_of<'a>(pod: &'a core::Pod, name: &str) -> Option<&'a core::ContainerStatus> {
    let status = pod.status.as_ref()?;
    let all = [&status.container_statuses, &status.init_container_statuses];
    all.into_iter().flatten().flatten().find(|s| s.name == name)
}

/// Attempts that a status tells of: the current one, then the one before it.
pub(crate) fn reported(status: &core::ContainerStatus) -> Vec<Reported> {
    let states = [&status.state, &status.last_state];
    let mut all: Vec<Reported> = states.into_iter().flatten().filter_map(|s| of_state(s, status)).collect();
    all.sort_by_key(|r| std::cmp::Reverse(r.attempt));
    all
}

fn of_state(state: &core::ContainerState, status: &core::ContainerStatus) -> Option<Reported> {
    let attempt =
        |uri: Option<&String>| uri?.strip_prefix("runc://")?.parse::<ContainerId>().ok().map(|id| id.attempt);
    if let Some(running) = &state.running {
        let started = running.started_at.as_ref().map(|t| t.0);
        return Some(Reported { attempt: attempt(status.container_id.as_ref())?, started, exit: None });
    }
    let ended = state.terminated.as_ref()?;
    let started = ended.started_at.as_ref().map(|t| t.0);
    let code = (ended.reason.as_deref() != Some("ContainerStatusUnknown")).then_some(ended.exit_code);
    let oom = ended.reason.as_deref() == Some(OOM_KILLED);
    let exit = Exit { code, oom, started, at: ended.finished_at.as_ref().map(|t| t.0) };
    Some(Reported { attempt: attempt(ended.container_id.as_ref())?, started, exit: Some(exit) })
}

/// A container's state. `started` is when its attempts were started in this life of the agent.
pub(crate) fn state_of(
    pod: &str,
    name: &str,
    attempts: &BTreeMap<ContainerId, Attempt>,
    status: Option<&core::ContainerStatus>,
    started: &BTreeMap<ContainerId, Timestamp>,
) -> State {
    let known = status.map(reported).unwrap_or_default();
    let latest = attempts.iter().rfind(|(id, _)| id.pod == pod && id.container == name);
    let told = known.first();
    match (latest, told) {
        (Some((id, attempt)), told) if told.is_none_or(|t| tops(id.attempt, attempt, t)) => {
            let since = start_of(&known, id.attempt).or_else(|| started.get(id).copied());
            of_attempt(id.attempt, attempt, since, was_told_of_oom(&known, id.attempt))
        }
        (_, Some(told)) => {
            let lost = Exit { code: None, oom: false, started: told.started, at: None };
            State::Ended { attempt: told.attempt, exit: told.exit.clone().unwrap_or(lost) }
        }
        (_, None) => State::New,
    }
}

/// Whether what the machine has of an attempt outweighs what was reported. A directory alone does not: it survives a
/// reboot, the process that was reported does not.
fn tops(number: u32, attempt: &Attempt, told: &Reported) -> bool {
    number > told.attempt || number == told.attempt && attempt.status.is_some()
}

fn start_of(known: &[Reported], attempt: u32) -> Option<Timestamp> {
    known.iter().find(|r| r.attempt == attempt)?.started
}

/// The monitor's word of it goes with the bundle; the status keeps it.
fn was_told_of_oom(known: &[Reported], attempt: u32) -> bool {
    known.iter().any(|r| r.attempt == attempt && r.exit.as_ref().is_some_and(|exit| exit.oom))
}

fn of_attempt(number: u32, attempt: &Attempt, since: Option<Timestamp>, told_oom: bool) -> State {
    match attempt.status {
        None | Some(ContainerStatus::Creating) => State::Prepared { attempt: number, created: false },
        Some(ContainerStatus::Created) => State::Prepared { attempt: number, created: true },
        Some(ContainerStatus::Running) => State::Running { attempt: number, since },
        Some(ContainerStatus::Exited { code, at }) => {
            let at = at.and_then(|at| Timestamp::from_second(at).ok());
            let oom = attempt.oom || told_oom;
            State::Ended { attempt: number, exit: Exit { code, oom, started: since, at } }
        }
    }
}

/// How the attempt before the latest ended: as on record here, or else as reported.
pub(crate) fn exit_before(
    latest: &ContainerId,
    attempts: &BTreeMap<ContainerId, Attempt>,
    status: Option<&core::ContainerStatus>,
    started: &BTreeMap<ContainerId, Timestamp>,
) -> Option<(ContainerId, Exit)> {
    let id = ContainerId { attempt: latest.attempt.checked_sub(1)?, ..latest.clone() };
    let known = status.map(reported).unwrap_or_default();
    let since = start_of(&known, id.attempt).or_else(|| started.get(&id).copied());
    if let Some(attempt) = attempts.get(&id)
        && let State::Ended { exit, .. } =
            of_attempt(id.attempt, attempt, since, was_told_of_oom(&known, id.attempt))
    {
        return Some((id, exit));
    }
    let told = known.into_iter().find(|r| r.attempt == id.attempt)?;
    // It was reported as running and there is a later one: nobody saw it end.
    let lost = Exit { code: None, oom: false, started: told.started, at: None };
    Some((id, told.exit.unwrap_or(lost)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(state: &Value, last: &Value, id: u32) -> core::ContainerStatus {
        let value = json!({"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": id,
            "containerID": format!("runc://u_c_{id}"), "state": state, "lastState": last});
        serde_json::from_value(value).unwrap()
    }

    fn seen(attempt: u32, status: Option<ContainerStatus>) -> BTreeMap<ContainerId, Attempt> {
        let id = ContainerId::new("u", "c", attempt);
        BTreeMap::from([(id, Attempt { status, dir: true, ..Attempt::default() })])
    }

    #[test]
    fn the_table() {
        let running = status(&json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}}), &json!({}), 2);
        let ended = status(
            &json!({"waiting": {"reason": "CrashLoopBackOff"}}),
            &json!({"terminated": {"exitCode": 3, "containerID": "runc://u_c_2", "finishedAt": "2026-01-01T00:00:09Z"}}),
            2,
        );
        let since = "2026-01-01T00:00:00Z".parse().ok();
        let at = "2026-01-01T00:00:09Z".parse().ok();
        let exited = Some(ContainerStatus::Exited { code: Some(0), at: None });
        let none = BTreeMap::new();
        let rows = [
            (seen(3, None), Some(&running), State::Prepared { attempt: 3, created: false }),
            (
                seen(3, Some(ContainerStatus::Creating)),
                Some(&running),
                State::Prepared { attempt: 3, created: false },
            ),
            (
                seen(2, Some(ContainerStatus::Created)),
                Some(&running),
                State::Prepared { attempt: 2, created: true },
            ),
            (seen(2, Some(ContainerStatus::Running)), Some(&running), State::Running { attempt: 2, since }),
            (
                seen(2, exited),
                Some(&running),
                State::Ended {
                    attempt: 2,
                    exit: Exit { code: Some(0), oom: false, started: since, at: None },
                },
            ),
            (
                none.clone(),
                Some(&ended),
                State::Ended { attempt: 2, exit: Exit { code: Some(3), oom: false, started: None, at } },
            ),
            (
                seen(1, exited),
                Some(&running),
                State::Ended { attempt: 2, exit: Exit { code: None, oom: false, started: since, at: None } },
            ),
            (
                seen(2, None),
                Some(&running),
                State::Ended { attempt: 2, exit: Exit { code: None, oom: false, started: since, at: None } },
            ),
            (none, None, State::New),
        ];
        for (attempts, status, state) in rows {
            assert_eq!(state_of("u", "c", &attempts, status, &BTreeMap::new()), state);
        }
    }
}
