//! `orlop` as a library: command line and wiring. Owns no policy; every decision is made in a crate below.
//!
//! The one thing that a caller may put in is what stands between Orlop and the machine ([`Wrap`]): the binary puts in
//! nothing, a test something that dies at a chosen effect.

mod cli;
mod down;
mod home;
mod image;
mod machine;
mod node;
mod reset;
mod up;

use std::process::ExitCode;

use clap::Parser;

pub use machine::{Machine, Wrap};

/// Does what the command line asks for, on the machine as `wrap` shows it.
pub fn main_on(wrap: Wrap<'_>) -> ExitCode {
    // Two crypto providers in one graph make rustls panic on its default, so the one is named here, first thing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match cli::Cli::parse().run(wrap) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("orlop: {error:#}");
            ExitCode::FAILURE
        }
    }
}
