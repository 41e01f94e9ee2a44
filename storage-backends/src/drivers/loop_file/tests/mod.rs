//! The loop driver on the fake machine, with faults, and on the real kernel.

mod crash;
mod fake;
mod root;
mod shared;
