//! Names of the things that an agent looks after. They carry all that is needed to recognise a thing after a crash.
//!
//! Must not know: where things lie (`paths`), what is wanted of them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A volume, as its driver knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VolumeId {
    /// The driver's name.
    pub driver: String,
    /// The driver's name for the volume.
    pub handle: String,
}

impl VolumeId {
    /// Names a volume.
    pub fn new(driver: impl Into<String>, handle: impl Into<String>) -> Self {
        Self { driver: driver.into(), handle: handle.into() }
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.handle, self.driver)
    }
}

/// One attempt to run one container of one pod: `<pod uid>_<container>_<attempt>`.
///
/// Neither a uid nor a container's name can hold an underscore, so the form is unambiguous; attempt 0 is the first
/// start, and the attempt is the container's restart count.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerId {
    /// The pod's uid.
    pub pod: String,
    /// The container's name in the pod.
    pub container: String,
    /// How often the container was restarted before.
    pub attempt: u32,
}

impl ContainerId {
    /// Names an attempt.
    pub fn new(pod: impl Into<String>, container: impl Into<String>, attempt: u32) -> Self {
        Self { pod: pod.into(), container: container.into(), attempt }
    }

    /// How the ids of all attempts of one container begin.
    pub fn beginning(pod: &str, container: &str) -> String {
        format!("{pod}_{container}_")
    }

    /// As `status.containerStatuses[].containerID` has it.
    pub fn uri(&self) -> String {
        format!("runc://{self}")
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}_{}", self.pod, self.container, self.attempt)
    }
}

/// The text is not the id of a container of ours.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a container id of this node agent")]
pub struct NotOurs;

impl FromStr for ContainerId {
    type Err = NotOurs;

    fn from_str(text: &str) -> Result<Self, NotOurs> {
        let mut parts = text.split('_');
        let (Some(pod), Some(container), Some(attempt), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotOurs);
        };
        if !is_safe(pod) || !is_safe(container) {
            return Err(NotOurs);
        }
        Ok(Self::new(pod, container, attempt.parse().map_err(|_| NotOurs)?))
    }
}

/// Whether a uid or name can be one component of a path: no separator, no dot, no underscore, not empty.
pub fn is_safe(component: &str) -> bool {
    !component.is_empty()
        && component.len() <= 128
        && component.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_id_survives_the_round_trip() {
        let id = ContainerId::new("0a-1b", "main", 3);
        assert_eq!(id.to_string(), "0a-1b_main_3");
        assert_eq!("0a-1b_main_3".parse(), Ok(id));
    }

    #[test]
    fn what_others_named_is_not_ours() {
        for text in ["", "a", "a_b", "a_b_c", "a_b_1_2", "../x_b_1", "a__1", "a_b_-1"] {
            assert_eq!(text.parse::<ContainerId>(), Err(NotOurs), "{text}");
        }
    }
}
