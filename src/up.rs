//! `orlop up`: server and agent in one process.

use std::{path::Path, time::Instant};

use anyhow::{Context, Result};
use orlop_nodeagent::Agent;

use crate::{
    Wrap, agent,
    cli::{self, Up},
    home::Home,
    machine, node, process,
    server::Server,
};

/// Runs until SIGINT or SIGTERM. Containers, mounts and loop devices stay as they are.
pub(crate) fn run(dir: &Path, flags: &Up, wrap: Wrap<'_>) -> Result<()> {
    let begun = Instant::now();
    machine::require_root("up")?;
    let home = Home::create(dir)?;
    process::run(async {
        machine::tell_missing_programs();
        let name = node::name(flags.node.node_name.as_deref())?;
        let pod_cidr = flags.node.pod_cidr.or(flags.server.cluster_cidrs.first().copied());
        let server = Server::start(&home, &flags.server, "127.0.0.1:6443", Some((&name, pod_cidr))).await?;
        let node = cli::Node { pod_cidr, ..flags.node.clone() };
        let config = node::config(&home, &node, agent::in_process(&server, name), wrap)?;
        let agent = Agent::start(config).await.context("start the node agent")?;
        server.say_ready(&home, begun);
        process::until_stopped().await?;
        tracing::info!("stopping; containers go on (`orlop down` stops them)");
        agent.stop().await;
        server.stop().await;
        Ok(())
    })
}
