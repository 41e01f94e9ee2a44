//! Which nodes have the pool that a class of loop files means. Pure.
//!
//! | parameter `pool` of the class | the node's pools | can make its volumes |
//! |---|---|---|
//! | – (another driver's class) | any | yes |
//! | names one | with it | yes |
//! | names one | without it | no |
//! | none | with `default`, or just one | yes |
//! | none | several, none of them `default` | no |
//! | none | says nothing of pools | yes: its agent will tell |

use k8s_openapi::api::{core::v1::Node, storage::v1::StorageClass};
use orlop_backends::drivers::loop_file::{DEFAULT_POOL, POOL_LABEL, POOL_PARAMETER};

use crate::facts::labels;

/// The pools that a node has, in order.
pub(crate) fn of(node: &Node) -> Vec<&str> {
    labels(node.metadata.labels.as_ref()).keys().filter_map(|label| label.strip_prefix(POOL_LABEL)).collect()
}

fn asked(class: &StorageClass) -> Option<&str> {
    class.parameters.as_ref()?.get(POOL_PARAMETER).map(String::as_str)
}

/// Why a node cannot make a volume of the class, as what follows "node(s) "; `None` when its pools do not stand against it.
pub(crate) fn refusal(class: &StorageClass, node: &Node) -> Option<String> {
    if class.provisioner != crate::LOOP_DRIVER {
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
        let none = || class(json!({}));
        let foreign = class(json!({"provisioner": "nfs.csi.k8s.io", "parameters": {"pool": "fast"}}));
        for (class, pools, fits) in [
            (foreign, &["slow"][..], true),
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
}
