//! The command line: what can be asked for, and which room answers. Flags are read here and nowhere else.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::{Wrap, down, image, reset, up};

/// A container orchestrator small enough for a laptop, whose storage is complete.
#[derive(Debug, Parser)]
#[command(name = "orlop", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Where Orlop keeps everything; also how the other commands find a running Orlop
    #[arg(long, global = true, env = "ORLOP_DATA_DIR", default_value = "/var/lib/orlop", value_name = "DIR")]
    data_dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run server and node in the foreground; says `ready` on standard output
    Up(Up),
    /// Stop all pods, unmount and detach everything; the data stays
    Down,
    /// Remove all data of this Orlop, after asking
    Reset(Reset),
    /// Container images of this node
    #[command(subcommand)]
    Image(Image),
}

/// Flags of `orlop up`.
#[derive(Args, Debug)]
pub(crate) struct Up {
    /// Address of the HTTPS API; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:6443", value_name = "ADDRESS:PORT")]
    pub(crate) listen: SocketAddr,
    /// Name of this node [default: the host name]
    #[arg(long, value_name = "NAME")]
    pub(crate) node_name: Option<String>,
}

/// Flags of `orlop reset`.
#[derive(Args, Debug)]
pub(crate) struct Reset {
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

/// What can be done with images.
#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// Load the images of an archive (what `docker save` writes)
    Load {
        /// The archive
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// List the images
    #[command(visible_alias = "list")]
    Ls,
    /// Remove an image that no container uses
    #[command(visible_alias = "remove")]
    Rm {
        /// The image, by name or id
        #[arg(value_name = "IMAGE")]
        image: String,
    },
}

impl Cli {
    pub(crate) fn run(self, wrap: Wrap<'_>) -> anyhow::Result<()> {
        match self.command {
            Command::Up(flags) => up::run(&self.data_dir, &flags, wrap),
            Command::Down => down::run(&self.data_dir, wrap),
            Command::Reset(flags) => reset::run(&self.data_dir, &flags, wrap),
            Command::Image(command) => image::run(&self.data_dir, &command),
        }
    }
}
