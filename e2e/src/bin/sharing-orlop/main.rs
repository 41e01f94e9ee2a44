//! `orlop` on a machine whose file servers are the directories in `ORLOP_SERVERS` (`orlop_backends::host::linux::StandIn`);
//! in all else the same command line and wiring.

use std::{process::ExitCode, sync::Arc};

use orlop::Machine;
use orlop_backends::host::linux::StandIn;

fn main() -> ExitCode {
    orlop::main_on(&|machine| {
        let servers = std::env::var_os("ORLOP_SERVERS").expect("the directory of the servers");
        Machine { host: Arc::new(StandIn::new(machine.host.clone(), servers)), ..machine }
    })
}
