//! Blocking work off the async runtime: a deadline for who waits, and one call at a time per volume.
//!
//! A thread cannot be stopped. When the deadline passes, the caller gets its answer and the work goes on; until it has
//! ended, further calls for that volume are answered Aborted, so no two ever run at once.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::fault::Context;
use crate::driver::{Code, Error};

/// Volumes that a call is under way for.
#[derive(Clone, Debug, Default)]
pub(super) struct Busy {
    volumes: Arc<Mutex<HashSet<String>>>,
}

/// Held while a call for a volume is under way.
#[derive(Debug)]
pub(super) struct Mine {
    volumes: Arc<Mutex<HashSet<String>>>,
    volume: String,
}

impl Busy {
    pub(super) fn claim(&self, context: &Context) -> Result<Mine, Error> {
        let mut volumes = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        if volumes.insert(context.volume.clone()) {
            Ok(Mine { volumes: Arc::clone(&self.volumes), volume: context.volume.clone() })
        } else {
            Err(context.fail(Code::Aborted, "another call for this volume is under way; it is tried again"))
        }
    }
}

impl Drop for Mine {
    fn drop(&mut self) {
        self.volumes.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.volume);
    }
}

/// Runs blocking work on a thread of the pool.
pub(super) async fn run<T: Send + 'static>(
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
pub(super) async fn within<T>(
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

    #[tokio::test]
    async fn who_waits_gets_an_answer_and_the_volume_stays_busy_until_the_work_ends() {
        let busy = Busy::default();
        let context = Context::new("stage", "v");
        let mine = busy.claim(&context).unwrap();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (ended, end) = tokio::sync::oneshot::channel();
        let late = within(context.clone(), Duration::from_millis(1), async |context| {
            tokio::task::spawn_blocking(move || {
                let _ = wait.recv();
                drop(mine);
                let _ = ended.send(());
            });
            std::future::pending::<()>().await;
            Err::<(), _>(context.fail(Code::Internal, "never"))
        })
        .await;
        assert!(late.unwrap_err().message.starts_with("no answer within 1ms"));
        assert_eq!(busy.claim(&context).unwrap_err().code, Code::Aborted);
        assert!(busy.claim(&Context::new("stage", "other")).is_ok());
        go.send(()).unwrap();
        end.await.unwrap();
        assert!(busy.claim(&context).is_ok());
    }
}
