//! The drivers that are built in. Each passes [`crate::conformance`].

mod blocking;
mod fault;
pub mod loop_file;
pub mod nfs;

/// What the names of all volumes that are made for a claim begin with.
const MADE: &str = "pvc-";

/// The UID of the claim that a volume with this name was made for: `pvc-` and lower-case hexadecimal with hyphens, as
/// the API server makes UIDs, and nothing else.
fn claim_uid(name: &str) -> Option<uuid::Uuid> {
    let uid = name.strip_prefix(MADE)?;
    uuid::Uuid::try_parse(uid)
        .ok()
        .filter(|parsed| !parsed.is_nil() && parsed.hyphenated().to_string() == uid)
}
