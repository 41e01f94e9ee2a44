//! `orlop`, the binary: command line and wiring. Owns no policy; every decision is made in a crate below.

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

fn main() -> ExitCode {
    // Two crypto providers in one graph make rustls panic on its default, so the one is named here, first thing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("orlop: {error:#}");
            ExitCode::FAILURE
        }
    }
}
