//! Which nodes have the pool that a class means, and which can export what they make there. Pure.
//!
//! | parameter `pool` of the class | the node's pools | can make its volumes |
//! |---|---|---|
//! | – (a class of neither loop files nor exports of Orlop's own) | any | yes |
//! | names one | with it | yes |
//! | names one | without it | no |
//! | none | with `default`, or just one | yes |
//! | none | several, none of them `default` | no |
//! | none | says nothing of pools | yes: its agent will tell |
//!
//! A node without an NFS server keeps an export for its own pods alone: it is chosen where no other can be.

use std::collections::BTreeMap;

use k8s_openapi::api::{core::v1::Node, storage::v1::StorageClass};
use orlop_backends::drivers::loop_file::{DEFAULT_POOL, POOL_LABEL, POOL_PARAMETER};
use orlop_objects::{exports::SERVES, nfs};

use crate::facts::labels;

/// The pools that a node has, in order.
pub(crate) fn of(node: &Node) -> Vec<&str> {
    labels(node.metadata.labels.as_ref()).keys().filter_map(|label| label.strip_prefix(POOL_LABEL)).collect()
}

fn asked(class: &StorageClass) -> Option<&str> {
    class.parameters.as_ref()?.get(POOL_PARAMETER).map(String::as_str)
}

/// Whether the class's volumes are exports of Orlop's own.
fn is_exported(class: &StorageClass) -> bool {
    let none = BTreeMap::new();
    nfs::asks_for_own(&class.provisioner, class.parameters.as_ref().unwrap_or(&none))
}

/// Whether another node should rather make a volume of the class: one that can export it.
pub(crate) fn is_second_choice(class: &StorageClass, node: &Node) -> bool {
    is_exported(class) && !labels(node.metadata.labels.as_ref()).contains_key(SERVES)
}

/// Why a node cannot make a volume of the class, as what follows "node(s) "; `None` when its pools do not stand against it.
pub(crate) fn refusal(class: &StorageClass, node: &Node) -> Option<String> {
    if class.provisioner != crate::LOOP_DRIVER && !is_exported(class) {
        return None;
    }
    let (has, asked) = (of(node), asked(class));
    let fits = match asked {
        Some(name) => has.contains(&name),
        None => has.len() < 2 || has.contains(&DEFAULT_POOL),
    };
    let name = class.metadata.name.as_deref().unwrap_or_default();
    let list = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
    match asked {
        _ if fits => None,
        Some(pool) => Some(format!(
            "had no pool {pool:?}, which class {name:?} names in its parameter pool (pools there: {list})"
        )),
        None => {
            Some(format!("had several pools, and class {name:?} has no parameter pool (pools there: {list})"))
        }
    }
}

/// What a person can do about it.
pub(crate) const ADVICE: &str = "Name a pool that nodes have in the parameter pool of a new class, or start an agent with --pool NAME=DIR";

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{node, seen, with};

    /// The rows of the table.
    #[test]
    fn which_nodes_have_the_pool() {
        let class = |more: Value| {
            let base = json!({"metadata": {"name": "c"}, "provisioner": "loop.orlop.dev"});
            seen::<StorageClass>(&with(base, &more))
        };
        let having = |pools: &[&str]| {
            let labels: serde_json::Map<String, Value> =
                pools.iter().map(|pool| (format!("{POOL_LABEL}{pool}"), "1f".into())).collect();
            seen::<Node>(&node("n", json!({"metadata": {"labels": labels}})))
        };
        let fast = || class(json!({"parameters": {"pool": "fast"}}));
        let own = || class(json!({"provisioner": "nfs.orlop.dev", "parameters": {"pool": "fast"}}));
        let share =
            class(json!({"provisioner": "nfs.orlop.dev", "parameters": {"server": "nfs", "share": "/"}}));
        let none = || class(json!({}));
        let foreign = class(json!({"provisioner": "nfs.csi.k8s.io", "parameters": {"pool": "fast"}}));
        for (class, pools, fits) in [
            (foreign, &["slow"][..], true),
            (own(), &["fast"], true),
            (own(), &["slow"], false),
            (share, &["fast", "slow"], true),
            (fast(), &["fast", "slow"], true),
            (fast(), &["slow"], false),
            (fast(), &[], false),
            (none(), &["default", "slow"], true),
            (none(), &["slow"], true),
            (none(), &["fast", "slow"], false),
            (none(), &[], true),
        ] {
            assert_eq!(refusal(&class, &having(pools)).is_none(), fits, "{:?} {pools:?}", class.parameters);
        }
        let why = refusal(&fast(), &having(&["default", "slow"])).expect("refused");
        assert!(
            why.contains("\"fast\"") && why.contains("class \"c\"") && why.contains("default, slow"),
            "{why}"
        );
    }

    #[test]
    fn exports_are_rather_made_where_there_is_a_server() {
        let class = |provisioner: &str, parameters: Value| {
            let value =
                json!({"metadata": {"name": "c"}, "provisioner": provisioner, "parameters": parameters});
            seen::<StorageClass>(&value)
        };
        let bare = seen::<Node>(&node("n", json!({})));
        let serves = seen::<Node>(&node("n", json!({"metadata": {"labels": {SERVES: "true"}}})));
        let own = class("nfs.orlop.dev", json!({}));
        assert!(is_second_choice(&own, &bare) && !is_second_choice(&own, &serves));
        for other in [class("loop.orlop.dev", json!({})), class("nfs.orlop.dev", json!({"server": "s"}))] {
            assert!(!is_second_choice(&other, &bare), "{:?}", other.parameters);
        }
    }
}
