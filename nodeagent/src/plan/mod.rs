//! Pure plans: what is wanted and what is there in, steps and the reason for waiting out.
//!
//! One plan for a volume ([`volume`]), one for a pod ([`pod`]); what becomes of one container is decided in
//! [`container`]. Plans tear down before they build, deepest first, and never read a clock: `now` is an input. They are
//! made again after their steps were carried out, until one has no steps left. What a look could not tell is
//! [`Look::Unknown`]: a plan then waits and destroys nothing.

pub mod container;
pub mod pod;
pub mod volume;

/// What a look at the machine told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look<T> {
    /// This is so.
    Seen(T),
    /// The look failed; nothing follows from that.
    Unknown(String),
}

impl<T> Look<T> {
    /// A look's outcome.
    pub fn of<E: std::error::Error>(outcome: Result<T, E>) -> Self {
        match outcome {
            Ok(seen) => Self::Seen(seen),
            Err(error) => Self::Unknown(crate::error::chain(&error)),
        }
    }
}
