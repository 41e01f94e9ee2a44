//! The loop driver on the fake machine, with faults, and on the real kernel.

mod beside;
mod crash;
mod disks;
mod fake;
mod left_out;
mod root;
mod shared;
