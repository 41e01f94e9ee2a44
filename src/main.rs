//! `orlop`, the binary: the library's command line, on the machine as it is.

use std::process::ExitCode;

fn main() -> ExitCode {
    orlop::main_on(&|machine| machine)
}
