//! What the workload controllers share: the pods of a workload, who belongs to whom, making and removing pods.
//!
//! | room | owns |
//! |---|---|
//! | `pods` | what a workload needs to know of a pod, read once per version |
//! | `family` | which objects are a workload's, which it adopts, which it lets go |
//! | `make` | a pod from a template; several at once by slow start |
//! | `portion` | a number or a percentage of a number |
//! | `hash` | a template's short name |
//! | `pass` | the facts of a pass, and a verdict about a set |
//! | `revisions` | the templates that a workload has had |
//!
//! Must not know: any one workload's policy.

pub(crate) mod family;
pub(crate) mod hash;
pub(crate) mod make;
pub(crate) mod pass;
pub(crate) mod pods;
pub(crate) mod portion;
pub(crate) mod revisions;
#[cfg(test)]
pub(crate) mod testing;
