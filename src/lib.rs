//! `orlop` as a library: command line and wiring. Owns no policy; every decision is made in a crate below.
//!
//! The one thing that a caller may put in is what stands between Orlop and the machine ([`Wrap`]): the binary puts in
//! nothing, a test something that dies at a chosen effect.

#![warn(clippy::print_stdout)] // `say` says it: it bears a reader that goes away

mod address;
mod agent;
mod certificates;
mod cli;
mod cluster_info;
mod down;
mod home;
mod image;
mod local;
mod machine;
mod node;
mod nodes;
mod pools;
mod process;
mod random;
mod reset;
mod say;
mod server;
mod token;
mod up;

use std::process::ExitCode;

use clap::Parser;

pub use machine::{Machine, Wrap};

/// Does what the command line asks for, on the machine as `wrap` shows it.
pub fn main_on(wrap: Wrap<'_>) -> ExitCode {
    // What may hang is done by a child of this same program, which is nothing else.
    if let Some(code) = orlop_backends::host::linux::main_if_child() {
        return code;
    }
    // Two crypto providers in one graph make rustls panic on its default, so the one is named here, first thing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match cli::Cli::parse().run(wrap) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(
                "orlop: {error:#}{}",
                if disk_is_full(&error) { "; free space there, and try again" } else { "" }
            );
            ExitCode::FAILURE
        }
    }
}

fn disk_is_full(error: &anyhow::Error) -> bool {
    let full = |cause: &std::io::Error| cause.kind() == std::io::ErrorKind::StorageFull;
    error.chain().any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(full))
}
