//! What pods ask of a node and what a node has: CPU, memory and places. Pure.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, Node, Pod},
    apimachinery::pkg::api::resource::Quantity,
};

use crate::amount;

/// An amount of what nodes give to pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// Thousandths of a CPU.
    pub(crate) cpu: u128,
    /// Bytes.
    pub(crate) memory: u128,
    /// Pods.
    pub(crate) pods: u128,
}

/// What a node can give; `None` where it does not say, which limits nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    /// Thousandths of a CPU.
    pub(crate) cpu: Option<u128>,
    /// Bytes.
    pub(crate) memory: Option<u128>,
    /// Pods.
    pub(crate) pods: Option<u128>,
}

type Amounts = Option<BTreeMap<String, Quantity>>;

impl Load {
    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_add(other.cpu),
            memory: self.memory.saturating_add(other.memory),
            pods: self.pods.saturating_add(other.pods),
        }
    }

    fn most(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.max(other.cpu),
            memory: self.memory.max(other.memory),
            pods: self.pods.max(other.pods),
        }
    }

    fn of_amounts(amounts: &Amounts) -> Self {
        let get = |name: &str| amounts.as_ref().and_then(|a| a.get(name));
        Self {
            cpu: get("cpu").map_or(0, amount::millis),
            memory: get("memory").map_or(0, amount::units),
            pods: 0,
        }
    }

    fn of_container(container: &Container) -> Self {
        let none = None;
        Self::of_amounts(container.resources.as_ref().map_or(&none, |resources| &resources.requests))
    }

    /// What a pod asks for: its containers together or its largest init container, whichever is more, and its overhead.
    /// Init containers that go on running (`restartPolicy: Always`) count with the containers.
    pub(crate) fn of_pod(pod: &Pod) -> Self {
        let Some(spec) = &pod.spec else {
            return Self { pods: 1, ..Self::default() };
        };
        let (mut running, mut starting) = (Self::default(), Self::default());
        for init in spec.init_containers.as_deref().unwrap_or_default() {
            let own = Self::of_container(init);
            if init.restart_policy.as_deref() == Some("Always") {
                running = running.plus(own);
                starting = starting.most(running);
            } else {
                starting = starting.most(running.plus(own));
            }
        }
        let running = spec.containers.iter().map(Self::of_container).fold(running, Self::plus);
        let overhead = Self::of_amounts(&spec.overhead);
        Self { pods: 1, ..running.most(starting).plus(overhead) }
    }
}

impl Room {
    /// What a node can give to pods in all.
    pub(crate) fn of_node(node: &Node) -> Self {
        let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
        let get = |name: &str| allocatable.and_then(|a| a.get(name));
        Self {
            cpu: get("cpu").map(amount::millis),
            memory: get("memory").map(amount::units),
            pods: get("pods").map(amount::units),
        }
    }

    /// What is lacking for `more` beside `used`, in Kubernetes' words.
    pub(crate) fn lacks(self, used: Load, more: Load) -> Vec<&'static str> {
        let over = |room: Option<u128>, used: u128, more: u128| {
            room.is_some_and(|r| more > 0 && used.saturating_add(more) > r)
        };
        let rows = [
            (over(self.pods, used.pods, more.pods), "Too many pods"),
            (over(self.cpu, used.cpu, more.cpu), "Insufficient cpu"),
            (over(self.memory, used.memory, more.memory), "Insufficient memory"),
        ];
        rows.into_iter().filter_map(|(over, words)| over.then_some(words)).collect()
    }

    /// How full `used` makes it, in thousandths: of CPU, memory and places the fullest.
    pub(crate) fn fullness(self, used: Load) -> u128 {
        let part = |used: u128, room: Option<u128>| match room {
            Some(room) if room > 0 => used.saturating_mul(1000) / room,
            _ => 0,
        };
        part(used.cpu, self.cpu).max(part(used.memory, self.memory)).max(part(used.pods, self.pods))
    }
}
