//! OCI bundles: a container as a pod describes it, turned into the `config.json` that runc reads.
//!
//! Pure but for three looks (the image's `/etc/passwd`, the cgroup version, what this process may grant) and the files
//! it writes. Knows no API object and starts nothing.
//!
//! ```text
//!  ContainerSpec ─► user (whose names are the image's) ─► profile (capabilities, masks, devices, seccomp) ─► config.json
//! ```
//!
//! The default profile is that of containerd: fourteen capabilities, masked and read-only paths in `/proc` and `/sys`,
//! every device denied but the usual ones (runc adds those), a filter of system calls. What cannot be honoured is
//! refused with the name of the field.

mod bundle;
mod capabilities;
mod error;
mod etc;
mod process;
#[cfg(test)]
mod root_tests;
mod seccomp;
mod spec;
mod user;

pub use bundle::{is_complete, write_bundle};
pub use error::Error;
pub use etc::{EtcFiles, EtcNetwork, write_etc_files};
pub use process::{command, environment};
pub use spec::{ContainerSpec, Mount, Propagation, Resources, Seccomp, Security, UserRequest};
