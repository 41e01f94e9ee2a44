//! Saying in the log what takes long. Most calls into the kernel cannot be given a deadline, and a pod's status is written when
//! a pass is over: without a word, a step that hangs looks like an agent that does nothing.

use std::{fmt::Debug, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// How long something takes before it is worth a word, and how long until the next one.
const SLOW: Duration = Duration::from_secs(15);

/// Does `work`, and says again and again that it is still at it; `of` is whose work it is.
pub(crate) async fn told<T>(of: &str, what: &impl Debug, work: impl Future<Output = T>) -> T {
    heard(work, |taken| tracing::warn!(of, ?what, seconds = taken.as_secs(), "this takes long")).await
}

async fn heard<T>(work: impl Future<Output = T>, mut tell: impl FnMut(Duration)) -> T {
    let begun = Instant::now();
    let mut due = interval_at(begun + SLOW, SLOW);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            _ = due.tick() => tell(begun.elapsed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_what_takes_long_is_told_and_again() {
        let mut told: Vec<Duration> = Vec::new();
        assert_eq!(heard(async { 1 }, |taken| told.push(taken)).await, 1);
        heard(sleep(SLOW / 2), |taken| told.push(taken)).await;
        assert!(told.is_empty());
        heard(sleep(SLOW * 5 / 2), |taken| told.push(taken)).await;
        assert_eq!(told, [SLOW, SLOW * 2]);
    }
}
