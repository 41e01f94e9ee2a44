//! What becomes of one container of a pod that is to run.
//!
//! | its latest attempt | restart policy | verdict |
//! |---|---|---|
//! | none | any | Start(0) |
//! | prepared or created, not started | any | Start(same) |
//! | running | any | Keep |
//! | ended with 0 | Never, OnFailure | Done(success) |
//! | ended otherwise | Never | Done(failure) |
//! | ended | otherwise, back-off over | Start(next) |
//! | ended | otherwise, back-off not over | BackOff(until) |
//!
//! An attempt that the status knows as begun and the machine knows nothing of (a reboot) has ended in an unknown way. Back-off: none before the
//! first restart, then 10 s, doubling to 5 minutes; a run of 10 minutes starts it anew.

use jiff::{SignedDuration, Timestamp};

use crate::ids::ContainerId;

const FIRST: i64 = 10;
const LONGEST: i64 = 300;
const HEALTHY: i64 = 600;

/// `spec.restartPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Restart whatever happens.
    Always,
    /// Restart unless it ended with 0.
    OnFailure,
    /// Never restart.
    Never,
}

impl RestartPolicy {
    /// Reads `spec.restartPolicy`; absent is Always.
    pub fn of(text: Option<&str>) -> Self {
        match text {
            Some("Never") => Self::Never,
            Some("OnFailure") => Self::OnFailure,
            _ => Self::Always,
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code; `None` when nobody saw it.
    pub code: Option<i32>,
    /// The kernel killed in it for want of memory.
    pub oom: bool,
    /// When it began, where known.
    pub started: Option<Timestamp>,
    /// When it ended, where known.
    pub at: Option<Timestamp>,
}

/// The latest attempt to run a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// There was none.
    New,
    /// Its bundle is complete, or it was created; it has not been started.
    Prepared {
        /// The attempt.
        attempt: u32,
        /// The runtime knows it already.
        created: bool,
    },
    /// Its process runs.
    Running {
        /// The attempt.
        attempt: u32,
        /// Since when, where known.
        since: Option<Timestamp>,
    },
    /// Its process ended.
    Ended {
        /// The attempt.
        attempt: u32,
        /// How.
        exit: Exit,
    },
}

impl State {
    /// The attempt's number, which is the container's restart count.
    pub fn attempt(&self) -> u32 {
        match self {
            Self::New => 0,
            Self::Prepared { attempt, .. } | Self::Running { attempt, .. } | Self::Ended { attempt, .. } => {
                *attempt
            }
        }
    }

    /// Whether it was ever started.
    pub fn was_started(&self) -> bool {
        match self {
            Self::New => false,
            Self::Prepared { attempt, .. } => *attempt > 0,
            Self::Running { .. } | Self::Ended { .. } => true,
        }
    }

    /// Whether it ended with 0.
    pub fn succeeded(&self) -> bool {
        matches!(self, Self::Ended { exit: Exit { code: Some(0), .. }, .. })
    }

    /// The id of its attempt, for a container of this name in this pod.
    pub fn id(&self, pod: &str, name: &str) -> Option<ContainerId> {
        (*self != Self::New).then(|| ContainerId::new(pod, name, self.attempt()))
    }
}

/// What is to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it runs.
    Keep,
    /// Nothing more: it has ended for good.
    Done {
        /// With 0.
        success: bool,
    },
    /// Start this attempt.
    Start(u32),
    /// Start the next attempt, then.
    BackOff(Timestamp),
}

/// What is to happen with a container; `streak` is how many short runs preceded the latest attempt.
pub fn decide(state: &State, policy: RestartPolicy, streak: u32, now: Timestamp) -> Verdict {
    let (attempt, exit) = match state {
        State::New => return Verdict::Start(0),
        State::Prepared { attempt, .. } => return Verdict::Start(*attempt),
        State::Running { .. } => return Verdict::Keep,
        State::Ended { attempt, exit } => (*attempt, exit),
    };
    let success = exit.code == Some(0);
    match policy {
        RestartPolicy::Never => return Verdict::Done { success },
        RestartPolicy::OnFailure if success => return Verdict::Done { success },
        RestartPolicy::OnFailure | RestartPolicy::Always => {}
    }
    let until = exit.at.map_or(now, |at| at + back_off(exit, streak));
    if until <= now { Verdict::Start(attempt + 1) } else { Verdict::BackOff(until) }
}

/// How long to wait after an end before the next attempt.
pub fn back_off(exit: &Exit, streak: u32) -> SignedDuration {
    if streak == 0 || was_healthy(exit) {
        return SignedDuration::ZERO;
    }
    let doubled = FIRST.saturating_mul(1_i64.checked_shl(streak - 1).filter(|f| *f > 0).unwrap_or(i64::MAX));
    SignedDuration::from_secs(doubled.min(LONGEST))
}

/// Whether the attempt ran long enough for what came before it to be forgiven.
pub fn was_healthy(exit: &Exit) -> bool {
    exit.started.zip(exit.at).is_some_and(|(from, to)| to.duration_since(from).as_secs() >= HEALTHY)
}

#[cfg(test)]
mod tests {
    use super::{RestartPolicy::*, Verdict::*, *};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ended(attempt: u32, code: Option<i32>, started: i64, ended: i64) -> State {
        State::Ended {
            attempt,
            exit: Exit { code, oom: false, started: Some(at(started)), at: Some(at(ended)) },
        }
    }

    #[test]
    fn the_table() {
        let created = State::Prepared { attempt: 3, created: true };
        let running = State::Running { attempt: 1, since: None };
        let rows = [
            (State::New, Always, Start(0)),
            (created, Never, Start(3)),
            (running, Never, Keep),
            (ended(0, Some(0), 90, 99), Never, Done { success: true }),
            (ended(0, Some(0), 90, 99), OnFailure, Done { success: true }),
            (ended(0, Some(1), 90, 99), Never, Done { success: false }),
            (ended(0, None, 90, 99), Never, Done { success: false }),
            (ended(0, Some(0), 90, 99), Always, Start(1)),
            (ended(4, Some(1), 90, 99), OnFailure, Start(5)),
            (ended(4, None, 90, 99), OnFailure, Start(5)),
        ];
        for (state, policy, verdict) in rows {
            assert_eq!(decide(&state, policy, 0, at(100)), verdict, "{state:?} {policy:?}");
        }
        assert_eq!(decide(&ended(1, Some(1), 90, 99), Always, 1, at(100)), BackOff(at(109)));
        assert_eq!(decide(&ended(1, Some(1), 90, 99), Always, 1, at(109)), Start(2));
    }

    #[test]
    fn back_off_doubles_to_five_minutes_and_is_forgiven_after_a_long_run() {
        let short = Exit { code: Some(1), oom: false, started: Some(at(0)), at: Some(at(1)) };
        let seconds = |streak| back_off(&short, streak).as_secs();
        assert_eq!(
            [0, 1, 2, 3, 4, 5, 6, 7, 64, u32::MAX].map(seconds),
            [0, 10, 20, 40, 80, 160, 300, 300, 300, 300]
        );
        let long = Exit { at: Some(at(600)), ..short };
        assert_eq!(back_off(&long, 9).as_secs(), 0);
    }
}
