//! Handles: `pvc-<claim uid>` of what was made for a claim, `nfs-<32 hex digits>` of what people made by hand.

use crate::drivers::claim_uid;

/// A checked handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Handle {
    /// Of a volume that was made for a claim.
    Made(String),
    /// Of a volume or a pod that names a server and a path itself: never made, never removed.
    ByHand,
}

impl Handle {
    /// Takes exactly what is made here, and the node agent.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let is_digest = |digest: &str| {
            digest.len() == 32 && digest.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
        };
        if claim_uid(text).is_some() {
            Ok(Self::Made(text.to_owned()))
        } else if text.strip_prefix("nfs-").is_some_and(is_digest) {
            Ok(Self::ByHand)
        } else {
            Err(format!(
                "volumeHandle {text:?} is not one of {}: it must be pvc- and the UID of a claim; for a server and path \
                 of your own use a PersistentVolume with spec.nfs",
                super::NAME
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_never_paths() {
        let made = "pvc-0b6ad0f6-94a5-4b0e-a8c4-3d1b8d1f2a77";
        assert_eq!(Handle::parse(made), Ok(Handle::Made(made.to_owned())));
        assert_eq!(Handle::parse("nfs-0123456789abcdef0123456789abcdef"), Ok(Handle::ByHand));
        for bad in [
            "",
            "pvc-",
            "pvc-1",
            "../x",
            "pvc-../../etc/shadow",
            "pvc-0B6AD0F6-94a5-4b0e-a8c4-3d1b8d1f2a77",
            "pvc-0b6ad0f6-94a5-4b0e-a8c4-3d1b8d1f2a77/..",
            "pvc-0b6ad0f6-94a5-4b0e-a8c4-3d1b8d1f2a77#/etc##",
            "nfs-",
            "nfs-0123456789abcdef0123456789abcdeg",
            "nfs-../../../../../../../../etc/passwd0",
            "server#/share#dir#uuid#",
            "pvc-00000000-0000-0000-0000-000000000000",
        ] {
            Handle::parse(bad).unwrap_err();
        }
    }
}
