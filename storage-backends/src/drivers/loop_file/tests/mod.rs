//! The loop driver on the fake machine, with faults, and on the real kernel.

mod beside;
mod crash;
mod fake;
mod root;
mod shared;
