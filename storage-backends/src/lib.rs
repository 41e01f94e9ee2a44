//! Storage drivers behind one trait, and the one seam to Linux below them.
//!
//! Owns: [`driver`] (the trait, in the words of the CSI spec), its implementations, the conformance suite they all
//! pass, and [`host`], the only place that runs a program, a mount call or an ioctl.
//! Must not know: the store, HTTP.

pub mod conformance;
pub mod driver;
pub mod drivers;
pub mod host;
