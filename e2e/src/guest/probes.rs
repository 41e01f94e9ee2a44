//! What a user would notice of a node while something else goes on: how long requests and starts of pods take, and how
//! often the node is heard of. Measured inside the guest, so that the line to it counts for nothing; by as few programs as
//! can be, for starting one is what an emulated processor is slowest at.

use std::{fmt, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Nodes, PATIENCE};
use crate::{manifests, sample::Sample};

/// Whose renewals are the node's heartbeats.
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
const PODS: &str = "/api/v1/namespaces/default/pods";
/// Where all that the server says of the lease is written.
const RENEWALS: &str = "/run/renewals";
/// Ends when it is asked to, at once.
const SCRIPT: &str = "trap exit TERM; sleep 3600 & wait";

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Requests for all pods of the namespace.
    pub gets: Sample,
    /// From a pod's creation until the server says that it runs.
    pub starts: Sample,
    /// From one renewal of the node's lease to the next.
    pub heartbeats: Sample,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  GET pods            {}", self.gets.tail())?;
        writeln!(f, "  pod → Running       {}", self.starts.tail())?;
        write!(f, "  between heartbeats  {}", self.heartbeats.tail())
    }
}

/// Measures on the first node.
pub struct Probes<'a> {
    nodes: &'a Nodes,
    /// Measurements so far: each has pods of its own names.
    rounds: usize,
    /// Renewals that were counted.
    renewals: usize,
}

impl<'a> Probes<'a> {
    /// Begins to listen to the node's heartbeats.
    pub fn new(nodes: &'a Nodes) -> Result<Self> {
        let node = nodes.node(1);
        let watch = nodes.curl(&format!("{LEASES}?watch=true&fieldSelector=metadata.name={}", node.name()));
        node.run(&format!("setsid {watch} -N >{RENEWALS} 2>&1 & echo started"))?;
        node.until("a heartbeat", &format!("grep -q renewTime {RENEWALS}"))?;
        Ok(Self { nodes, rounds: 0, renewals: 0 })
    }

    /// Measures for so long, and adds what it found; of heartbeats, all since it was asked last.
    pub fn measure(&mut self, time: Duration, figures: &mut Figures) -> Result<()> {
        self.rounds += 1;
        let (node, seconds) = (self.nodes.node(1), time.as_secs());
        let (gets, starts) = (node.send(&self.gets(seconds))?, node.send(&self.starts(seconds))?);
        for (pending, sample) in [(gets, &mut figures.gets), (starts, &mut figures.starts)] {
            let answer = pending.wait(time + PATIENCE)?;
            ensure!(answer.code == 0, "a probe ended with {}: {}", answer.code, answer.output);
            for word in answer.output.split_whitespace() {
                let seconds = word.parse().with_context(|| format!("{word:?} is no time"))?;
                sample.push(Duration::from_secs_f64(seconds));
            }
        }
        let renewed = self.renewed()?;
        for pair in renewed.get(self.renewals..).unwrap_or_default().windows(2) {
            figures.heartbeats.push(pair[1].duration_since(pair[0]).try_into()?);
        }
        self.renewals = renewed.len().saturating_sub(1);
        Ok(())
    }

    /// When the lease was renewed, as the agent wrote it.
    fn renewed(&self) -> Result<Vec<jiff::Timestamp>> {
        let said = self.nodes.node(1).run(&format!("cat {RENEWALS}"))?;
        renewals(&said)
    }

    /// A request, half a second, and so on.
    fn gets(&self, seconds: u64) -> String {
        let get = self.nodes.curl(PODS);
        format!(
            "end=$((SECONDS + {seconds}))
             while [ $SECONDS -lt $end ]; do {get} -o /dev/null -w '%{{time_total}}\\n'; sleep 0.5; done"
        )
    }

    /// A pod after the other: created, seen to run, deleted, seen to be gone. All of it is seen on one watch.
    fn starts(&self, seconds: u64) -> String {
        let name = format!("probe-{}-$n", self.rounds);
        let pod = manifests::pod(&name, SCRIPT, None).to_string().replace("$n", "'$n'");
        let [watch, create, delete] = [
            format!("{PODS}?watch=true&fieldSelector=metadata.name={name}"),
            PODS.to_owned(),
            format!("{PODS}/{name}"),
        ]
        .map(|path| self.nodes.curl(&path));
        format!(
            "end=$((SECONDS + {seconds})) n=0
             while [ $SECONDS -lt $end ]; do
                 n=$((n + 1))
                 exec 4< <(exec {watch} -N)
                 watch=$! begun=${{EPOCHREALTIME/./}}
                 {create} -X POST -d '{pod}' >/dev/null || exit
                 grep -q -m 1 '\"phase\":\"Running\"' <&4 || exit
                 took=$((${{EPOCHREALTIME/./}} - begun))
                 printf '%d.%06d\\n' $((took / 1000000)) $((took % 1000000))
                 {delete} -X DELETE >/dev/null || exit
                 grep -q -m 1 '\"type\":\"DELETED\"' <&4 || exit
                 kill $watch
                 exec 4<&-
             done"
        )
    }
}

/// The renewals that a watch has told, in order; the last line may still be being written.
fn renewals(watched: &str) -> Result<Vec<jiff::Timestamp>> {
    let events = watched.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut all = Vec::new();
    for event in events {
        let time = event["object"]["spec"]["renewTime"].as_str();
        let time = time.with_context(|| format!("a lease without renewTime: {event}"))?;
        all.push(time.parse()?);
    }
    all.dedup();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn renewals_are_read_from_a_watch_that_is_not_over() {
        let event = |time: &str| json!({"type": "MODIFIED", "object": {"spec": {"renewTime": time}}});
        let (first, second) = (event("2026-11-25T23:59:59.900000Z"), event("2026-11-26T00:00:04.950000Z"));
        let all = renewals(&format!("{first}\n{first}\n{second}\n{{\"type\":\"MODI")).unwrap();
        assert_eq!(all.len(), 2, "{all:?}");
        assert_eq!(Duration::try_from(all[1].duration_since(all[0])).unwrap(), Duration::from_millis(5050));
        assert!(renewals(&format!("{}\n", json!({"type": "ERROR"}))).is_err(), "a watch that failed is told");
    }
}
