//! `orlop` that dies where its environment says (`orlop_e2e::crash`); in all else the same command line and wiring.

use std::process::ExitCode;

use orlop_e2e::crash::Dying;

fn main() -> ExitCode {
    orlop::main_on(&|machine| {
        Dying::from_environment(machine).expect("a plan that can be read").into_machine()
    })
}
