//! The command line: what can be asked for, and which room answers. Flags are read here and nowhere else.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use orlop_objects::cidr::{Cidr, CidrError};

use crate::{Wrap, agent, down, image, nodes, pools::PoolFlag, reset, server, token, up};

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
    /// Run the server alone in the foreground; agents join it
    Server(Server),
    /// Run a node in the foreground that belongs to a server elsewhere
    Agent(Agent),
    /// The nodes of this cluster
    #[command(subcommand)]
    Node(NodeCommand),
    /// Tokens by which machines join
    #[command(subcommand)]
    Token(Token),
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
    #[command(flatten)]
    pub(crate) server: Server,
    #[command(flatten)]
    pub(crate) node: Node,
}

/// What a server can be told.
#[derive(Args, Debug)]
pub(crate) struct Server {
    /// Address of the HTTPS API; port 0 takes a free one [default: 127.0.0.1:6443 of `up`, 0.0.0.0:6443 of `server`]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Another name or address by which this server is reached; may be repeated, and join commands say the first
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_san: Vec<String>,
    /// How long nothing may be heard of a node before it counts as not ready (at least 2s)
    #[arg(long, default_value = "20s", value_parser = seconds, value_name = "TIME")]
    pub(crate) node_grace: Duration,
    /// How many seconds pods that say nothing of it stay on a node that is not ready
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    pub(crate) default_toleration_seconds: u32,
    /// Where all nodes' pods may have their addresses; no node gets a range beyond it, whatever it asks for. May be given
    /// several times [default: 10.0.0.0/8; of `up` the --pod-cidr as well]
    #[arg(long = "cluster-cidr", value_parser = pod_range, value_name = "RANGE")]
    pub(crate) cluster_cidrs: Vec<Cidr>,
}

/// A time in whole seconds: an agent renews its lease four times in it, and a lease says it in seconds.
fn seconds(text: &str) -> Result<Duration, String> {
    match text.strip_suffix('s').unwrap_or(text).parse() {
        Ok(seconds @ 2..=86400) => Ok(Duration::from_secs(seconds)),
        _ => Err("give whole seconds from 2s to 86400s, as in 20s".to_owned()),
    }
}

/// A range in which the server would give none is refused here.
fn pod_range(text: &str) -> Result<Cidr, String> {
    let range: Cidr = text.parse().map_err(|error: CidrError| error.to_string())?;
    if range.length() > 28 {
        return Err(format!("{range} is too small for the pods of a node: give at least a /28"));
    }
    Ok(range)
}

/// What a node can be told.
#[derive(Args, Clone, Debug)]
pub(crate) struct Node {
    /// Name of this node [default: the host name]
    #[arg(long, value_name = "NAME")]
    pub(crate) node_name: Option<String>,
    /// Address by which the server and other nodes reach this one [default: the one it speaks from]
    #[arg(long, value_name = "IP")]
    pub(crate) address: Option<IpAddr>,
    /// A directory for volumes, chosen by the parameter `pool` of a class; `,shared` when other nodes see the same
    /// directory. May be given several times [default: `default`, in the data directory]
    #[arg(long = "pool", value_name = "NAME=DIR[,shared]")]
    pub(crate) pools: Vec<PoolFlag>,
    /// Where this node takes a range for its pods' addresses from, at least a /28; the server's --cluster-cidr must hold it
    /// [default: 10.0.0.0/8; of `up` the first --cluster-cidr]
    #[arg(long, value_parser = pod_range, value_name = "RANGE")]
    pub(crate) pod_cidr: Option<Cidr>,
}

/// Flags of `orlop agent`.
#[derive(Args, Debug)]
pub(crate) struct Agent {
    /// Where the server is
    #[arg(long, value_name = "URL")]
    pub(crate) server: String,
    /// File with the token that lets this node in; needed for the first start only
    #[arg(long, value_name = "FILE")]
    pub(crate) token: Option<PathBuf>,
    /// Where this agent listens for its server; port 0 takes a free one
    #[arg(long, default_value = "0.0.0.0:0", value_name = "ADDRESS:PORT")]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) node: Node,
}

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token and print the command that joins by it; good once, for 24 hours
    Create {
        /// Print the token alone
        #[arg(long, short)]
        quiet: bool,
    },
}

/// What can be done with nodes.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// List the nodes
    #[command(visible_alias = "list")]
    Ls,
    /// Have a node take no new pods, and evict those that it has
    Drain(Drain),
    /// Take a node out of the cluster; its agent is not let in any more until it joins anew
    #[command(visible_alias = "remove")]
    Rm {
        /// The node
        #[arg(value_name = "NAME")]
        name: String,
        /// The machine is off for good: give up its pods, and declare its volumes detached
        #[arg(long)]
        force: bool,
    },
}

/// Flags of `orlop node drain`.
#[derive(Args, Debug)]
pub(crate) struct Drain {
    /// The node
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Evict pods that have no controller as well; they are gone for good
    #[arg(long)]
    pub(crate) force: bool,
    /// Evict pods with emptyDir volumes as well; that data is gone
    #[arg(long)]
    pub(crate) delete_emptydir_data: bool,
    /// Seconds that pods get to end, whatever they say themselves
    #[arg(long, value_name = "SECONDS")]
    pub(crate) grace_period: Option<u32>,
    /// Seconds until it gives up and says what is left; 0 waits without end
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    pub(crate) timeout: u64,
    /// Taken for kubectl's sake: pods of DaemonSets always stay
    #[arg(long, hide = true)]
    pub(crate) ignore_daemonsets: bool,
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
            Command::Server(flags) => server::run(&self.data_dir, &flags),
            Command::Agent(flags) => agent::run(&self.data_dir, &flags, wrap),
            Command::Node(command) => nodes::run(&self.data_dir, &command),
            Command::Token(command) => token::run(&self.data_dir, &command),
            Command::Down => down::run(&self.data_dir, wrap),
            Command::Reset(flags) => reset::run(&self.data_dir, &flags, wrap),
            Command::Image(command) => image::run(&self.data_dir, &command),
        }
    }
}
