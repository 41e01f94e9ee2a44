//! The two processes of the power-cut test: one that writes into a store, and one that opens what a cut has left.
//!
//! `power_cut write STORE ACKS SEED data|none` writes until it is killed; a line goes to ACKS after each commit.
//! `power_cut check STORE BEFORE AFTER` says whether everything acknowledged in BEFORE is in the store; AFTER is the same
//! file, copied after the cut. Exit code 1 and the reason otherwise.
#![allow(clippy::unwrap_used, reason = "a process of a test that cannot go on should stop there")]

mod acks;
mod check;
mod content;
mod write;

use std::{path::Path, process::ExitCode};

use orlop_store::Sync;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["write", store, acks, seed, sync] => {
            let sync = if sync == "none" { Sync::None } else { Sync::Data };
            write::run(Path::new(store), Path::new(acks), seed.parse().unwrap(), sync)
        }
        ["check", store, before, after] => check::run(Path::new(store), Path::new(before), Path::new(after))
            .map(|summary| println!("{summary}")),
        _ => Err("usage: power_cut write STORE ACKS SEED data|none, or power_cut check STORE BEFORE AFTER"
            .to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            println!("{reason}");
            ExitCode::FAILURE
        }
    }
}
