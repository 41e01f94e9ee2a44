//! Carrying out plans: one pass over a volume ([`volume`]) or a pod ([`pod`]) is look, plan, execute, look again.
//!
//! A step reaches a fact: what is so already is left alone. The intent is in the journal before the first effect. A step that
//! failed is held back until its retry is due, and told in an Event. No policy: that is the plans'.

pub(crate) mod container;
mod fence;
mod making;
mod own_places;
pub(crate) mod pod;
mod pod_run;
mod pod_steps;
mod pod_tell;
pub(crate) mod serving;
pub(crate) mod volume;

use tokio::time::Instant;

/// A step that failed, and when it may be tried again.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// What a status says (`CreateContainerError`); empty where none does.
    pub(crate) reason: &'static str,
    /// What went wrong and what to do.
    pub(crate) message: String,
    /// How often it failed in a row.
    pub(crate) count: u32,
    /// When it may be tried again.
    pub(crate) retry_at: Instant,
}

impl Failure {
    /// The next failure of the same step, after `count` earlier ones.
    pub(crate) fn again(count: u32, reason: &'static str, message: String) -> Self {
        let count = count.saturating_add(1);
        Self { reason, message, count, retry_at: Instant::now() + crate::core::retry_after(count) }
    }
}
