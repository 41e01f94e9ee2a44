//! Passing packets on: the kernel's switch, and rules of iptables in chains that carry the instance's mark.
//!
//! The rules let pods through where a firewall drops what is passed on (docker's does), and let them reach beyond the
//! cluster under this machine's address. Without the program iptables there is no such firewall to be opened, as far as can
//! be told, and no such address: that is said, and pods of the cluster still reach each other.
//!
//! | what a pod sends | where to | arrives |
//! |---|---|---|
//! | from an address that no pod of this node has | anywhere beyond the bridge | not at all |
//! | from its own | a pod of another node | from its own address |
//! | TCP or UDP | beyond the cluster's pods, also to another node | from the node's address and **no reserved port** |
//! | anything else | the same | from the node's address |
//! | anything | this machine | from its own address: it is not passed on |
//!
//! **A pod is not taken for its node.** Servers of files believe an address, and that a port below 1024 is spoken for by the
//! administrator of that machine. A pod may have such a port of its own; with it and the node's address it could read and
//! forge what is exported to the node. So it is given another port on its way out, wherever the server is and whoever runs
//! it. A pod's own address towards other nodes would do as much for nodes of one segment, but those of another have no way
//! back to it. A connection keeps the address and port with which it began.

use std::{ffi::OsString, fs, io, time::Duration};

use crate::host::{Cause, Error, Result, linux::program::Program, network::Passage};

const SWITCH: &str = "/proc/sys/net/ipv4/ip_forward";
const DEADLINE: Duration = Duration::from_secs(20);

/// Ports that nobody needs a right for.
const NO_RESERVED: &str = "1024-65535";

/// A chain of ours, and the kernel's own from which it is entered.
struct Chain {
    table: &'static str,
    from: &'static str,
    rules: Vec<String>,
}

/// Ensures all of it; answers what could not be done.
pub(super) fn open(passage: &Passage) -> Vec<String> {
    let mut troubles = Vec::new();
    if let Err(error) = switch_on() {
        troubles.push(format!(
            "this machine does not pass packets on, so that pods reach only those on it: {SWITCH}: {error}; run \
             `sysctl net.ipv4.ip_forward=1`"
        ));
    }
    for chain in chains(passage) {
        match ensure(&chain, &passage.mark) {
            Ok(()) => {}
            Err(Error { source: Cause::Missing { package, .. }, .. }) => {
                troubles.push(format!(
                    "pods do not reach beyond the cluster, and no firewall is opened for them: install the package {package}"
                ));
                break;
            }
            Err(error) => troubles.push(format!(
                "pods may not reach beyond this machine: {error}: {}; look at `iptables -t {} -S`",
                error.source, chain.table
            )),
        }
    }
    troubles
}

/// Forwarding is one switch for the whole machine: it is left on for whoever else relies on it by then.
fn switch_on() -> io::Result<()> {
    if fs::read_to_string(SWITCH)?.trim() != "0" {
        return Ok(());
    }
    fs::write(SWITCH, "1\n")?;
    tracing::info!("switched on net.ipv4.ip_forward: this machine passes packets of pods on");
    Ok(())
}

fn name(mark: &str) -> String {
    format!("ORLOP-{mark}")
}

/// The rules, in the words in which iptables lists them.
fn chains(passage: &Passage) -> [Chain; 2] {
    let (range, bridge) = (passage.range, &passage.bridge);
    let mut leave: Vec<String> =
        passage.peers.iter().map(|peer| format!("-s {range} -d {peer} -j RETURN")).collect();
    let beyond = format!("-s {range} ! -o {bridge}");
    for protocol in ["tcp", "udp"] {
        leave.push(format!("{beyond} -p {protocol} -j MASQUERADE --to-ports {NO_RESERVED}"));
    }
    leave.push(format!("{beyond} -j MASQUERADE"));
    let through = vec![
        format!("! -s {range} -i {bridge} -j DROP"),
        format!("-i {bridge} -j ACCEPT"),
        format!("-o {bridge} -j ACCEPT"),
    ];
    [
        Chain { table: "filter", from: "FORWARD", rules: through },
        Chain { table: "nat", from: "POSTROUTING", rules: leave },
    ]
}

fn ensure(chain: &Chain, mark: &str) -> Result<()> {
    let name = name(mark);
    let wanted: Vec<String> = chain.rules.iter().map(|rule| format!("-A {name} {rule}")).collect();
    let found = list(chain.table)?;
    let ours = |line: &&str| line.starts_with(&format!("-A {name} "));
    if found.lines().filter(ours).ne(wanted.iter().map(String::as_str)) {
        let made = found.lines().any(|line| line == format!("-N {name}"));
        iptables(chain.table, &format!("{} {name}", if made { "-F" } else { "-N" }))?;
        wanted.iter().try_for_each(|rule| iptables(chain.table, rule).map(drop))?;
    }
    // In front, where nothing has dropped the packet yet.
    if !found.lines().any(|line| line == format!("-A {} -j {name}", chain.from)) {
        iptables(chain.table, &format!("-I {} -j {name}", chain.from))?;
    }
    Ok(())
}

/// Removes both chains and the ways into them. Without the program there can be none.
pub(super) fn close(mark: &str) -> Result<()> {
    let name = name(mark);
    for (table, from) in [("filter", "FORWARD"), ("nat", "POSTROUTING")] {
        let found = match list(table) {
            Err(Error { source: Cause::Missing { .. }, .. }) => return Ok(()),
            // A machine that has no such table has no rule in it.
            Err(Error { source: Cause::Program { .. }, .. }) => continue,
            found => found?,
        };
        for _ in found.lines().filter(|line| *line == format!("-A {from} -j {name}")) {
            iptables(table, &format!("-D {from} -j {name}"))?;
        }
        if found.lines().any(|line| line == format!("-N {name}")) {
            iptables(table, &format!("-F {name}"))?;
            iptables(table, &format!("-X {name}"))?;
        }
    }
    Ok(())
}

pub(super) fn list(table: &str) -> Result<String> {
    iptables(table, "-S")
}

/// Runs one command. `-w`: others change the rules as well.
fn iptables(table: &str, command: &str) -> Result<String> {
    let words = format!("-w 10 -t {table} {command}");
    let program = Program {
        operation: "set firewall rule",
        object: command.to_owned(),
        name: "iptables",
        package: "iptables",
        arguments: words.split(' ').map(OsString::from).collect(),
        deadline: DEADLINE,
    };
    program.run()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the table, in the order in which the kernel reads them: the first that fits decides.
    #[test]
    fn rules() {
        let passage = Passage {
            mark: "0123abcd".into(),
            bridge: "b".into(),
            range: "10.1.0.0/24".parse().unwrap(),
            peers: vec!["10.2.0.0/24".parse().unwrap(), "10.3.0.0/24".parse().unwrap()],
        };
        let [filter, nat] = chains(&passage);
        assert_eq!(
            (filter.table, filter.from, nat.table, nat.from),
            ("filter", "FORWARD", "nat", "POSTROUTING")
        );
        assert_eq!(filter.rules, ["! -s 10.1.0.0/24 -i b -j DROP", "-i b -j ACCEPT", "-o b -j ACCEPT"]);
        assert_eq!(
            nat.rules,
            [
                "-s 10.1.0.0/24 -d 10.2.0.0/24 -j RETURN",
                "-s 10.1.0.0/24 -d 10.3.0.0/24 -j RETURN",
                "-s 10.1.0.0/24 ! -o b -p tcp -j MASQUERADE --to-ports 1024-65535",
                "-s 10.1.0.0/24 ! -o b -p udp -j MASQUERADE --to-ports 1024-65535",
                "-s 10.1.0.0/24 ! -o b -j MASQUERADE",
            ]
        );
    }
}
