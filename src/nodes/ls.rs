//! `orlop node ls`: one line per node.

use anyhow::{Context, Result};
use orlop_client::Client;
use orlop_objects::{join::NODE_KEY, kind};
use serde_json::Value;

use crate::say::say;

pub(super) async fn list(client: &Client) -> Result<()> {
    let nodes = client.list(&kind::NODE, None, &[]).await.context("list nodes")?;
    let mut rows = vec![["NAME", "STATUS", "ADDRESS", "PODS", "ATTACHED", "SINCE"].map(str::to_owned)];
    for node in nodes {
        let (name, value) = (&node.key.name, node.value());
        let pods = super::pods(client, name).await?.len();
        let attached = super::attachments(client, name).await?.len();
        let since = node.meta.creation_timestamp.clone();
        rows.push([
            name.clone(),
            status(&value),
            address(&value),
            pods.to_string(),
            attached.to_string(),
            since,
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    for row in &rows {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        say!("{}", cells.join("  ").trim_end());
    }
    Ok(())
}

fn status(node: &Value) -> String {
    let conditions = node["status"]["conditions"].as_array().into_iter().flatten();
    let ready = conditions.filter(|c| c["type"] == "Ready").find_map(|c| c["status"].as_str());
    let mut words = vec![if ready == Some("True") { "Ready" } else { "NotReady" }];
    if node["spec"]["unschedulable"] == true {
        words.push("SchedulingDisabled");
    }
    if node["metadata"]["annotations"][NODE_KEY].is_null() {
        words.push("of the server itself");
    }
    words.join(",")
}

fn address(node: &Value) -> String {
    let addresses = node["status"]["addresses"].as_array().into_iter().flatten();
    let own = addresses.filter(|a| a["type"] == "InternalIP").find_map(|a| a["address"].as_str());
    own.unwrap_or("-").to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_says_what_matters() {
        let node = |ready: &str, cordoned: bool, key: Option<&str>| {
            json!({"metadata": {"annotations": {NODE_KEY: key}}, "spec": {"unschedulable": cordoned},
                "status": {"conditions": [{"type": "DiskPressure", "status": "False"}, {"type": "Ready", "status": ready}]}})
        };
        assert_eq!(status(&node("True", false, Some("k"))), "Ready");
        assert_eq!(status(&node("Unknown", true, Some("k"))), "NotReady,SchedulingDisabled");
        assert_eq!(status(&node("True", false, None)), "Ready,of the server itself");
        assert_eq!(status(&json!({})), "NotReady,of the server itself");
    }
}
