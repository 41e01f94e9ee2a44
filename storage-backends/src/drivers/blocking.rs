//! Blocking work off the async runtime: a deadline for who waits, and one call at a time per volume.
//!
//! A thread cannot be stopped. When the deadline passes, the caller gets its answer and the work goes on; until it has
//! ended, further calls for that volume wait, and are answered Aborted at their own deadline: no two ever run at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use super::fault::Context;
use crate::driver::{Code, Error};

type Turns = Arc<Mutex<HashMap<String, Arc<Turn<()>>>>>;

/// Volumes that a call is under way or waits for.
#[derive(Clone, Debug, Default)]
pub(in crate::drivers) struct Busy {
    turns: Turns,
}

/// Held while a call for a volume is under way.
#[derive(Debug)]
pub(in crate::drivers) struct Mine {
    _turn: OwnedMutexGuard<()>,
}

impl Busy {
    /// Waits for this volume's other calls to end.
    pub(in crate::drivers) async fn claim(
        &self,
        context: &Context,
        deadline: Duration,
    ) -> Result<Mine, Error> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            // Those that nobody holds or waits for.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(context.volume.clone()).or_default())
        };
        match tokio::time::timeout(deadline, turn.lock_owned()).await {
            Ok(turn) => Ok(Mine { _turn: turn }),
            Err(_) => Err(context.fail(
                Code::Aborted,
                format!(
                    "an earlier call for this volume is still under way after {deadline:?}; it is tried again"
                ),
            )),
        }
    }
}

/// Runs blocking work on a thread of the pool.
pub(in crate::drivers) async fn run<T: Send + 'static>(
    context: Context,
    deadline: Duration,
    work: impl FnOnce(&Context) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    within(context, deadline, async move |context| {
        let inside = context.clone();
        match tokio::task::spawn_blocking(move || work(&inside)).await {
            Ok(answer) => answer,
            Err(error) => Err(context.fail(Code::Internal, format!("the call did not end: {error}"))),
        }
    })
    .await
}

/// Gives `work` that long.
pub(in crate::drivers) async fn within<T>(
    context: Context,
    deadline: Duration,
    work: impl AsyncFnOnce(Context) -> Result<T, Error>,
) -> Result<T, Error> {
    match tokio::time::timeout(deadline, work(context.clone())).await {
        Ok(answer) => answer,
        Err(_) => {
            Err(context.fail(Code::Internal, format!("no answer within {deadline:?}; it is tried again")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn who_waits_gets_an_answer_and_the_volume_stays_busy_until_the_work_ends() {
        let busy = Busy::default();
        let context = Context::new("stage", "v");
        let mine = busy.claim(&context, LONG).await.unwrap();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let late = run(context.clone(), SHORT, move |_| {
            let _mine = mine;
            let _ = wait.recv();
            Ok(())
        })
        .await;
        assert!(late.unwrap_err().message.starts_with("no answer within 1ms"));
        assert_eq!(busy.claim(&context, SHORT).await.unwrap_err().code, Code::Aborted);
        busy.claim(&Context::new("stage", "other"), LONG).await.unwrap();
        go.send(()).unwrap();
        busy.claim(&context, LONG).await.unwrap();
    }
}
