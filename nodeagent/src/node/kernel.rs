//! Whether the kernel has memory and process numbers left for what runs here. When it has not, it kills, or starts nothing
//! any more, on whatever account; so the Node says it before that happens (conditions MemoryPressure and PIDPressure, and an
//! Event when one begins). Nothing is evicted for it.
//!
//! | left | condition |
//! |---|---|
//! | less than its threshold | True, with the numbers and the way out |
//! | more, and less than half as much again | as before: what goes up and down there is no news |
//! | more than that | False |
//! | could not be looked at | as before; Unknown as long as it never could |
//!
//! The threshold of memory is Kubernetes' own, 100 MiB. Of process numbers Kubernetes has none; here it is a tenth of all
//! that there can be.

use std::sync::{Mutex, PoisonError};

use orlop_backends::host::Load;

use crate::{core::Core, events::about_node};

const MIB: u64 = 1 << 20;
/// Below this there is too little memory.
const MEMORY: u64 = 100 * MIB;

/// What is known of it.
#[derive(Debug, Default)]
pub(crate) struct Kernel(Mutex<[Known; 2]>);

/// Of one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Known {
    #[default]
    Nothing,
    Enough,
    /// And why, in the words of the look that found it first: numbers that change with every look are no reason to write
    /// the Node again.
    TooLittle(String),
}

/// What the Node and an Event call it.
struct Words {
    condition: &'static str,
    enough: &'static str,
    too_little: &'static str,
    enough_event: &'static str,
    too_little_event: &'static str,
    what: &'static str,
}

const WORDS: [Words; 2] = [
    Words {
        condition: "MemoryPressure",
        enough: "KubeletHasSufficientMemory",
        too_little: "KubeletHasInsufficientMemory",
        enough_event: "NodeHasSufficientMemory",
        too_little_event: "NodeHasInsufficientMemory",
        what: "memory",
    },
    Words {
        condition: "PIDPressure",
        enough: "KubeletHasSufficientPID",
        too_little: "KubeletHasInsufficientPID",
        enough_event: "NodeHasSufficientPID",
        too_little_event: "NodeHasInsufficientPID",
        what: "process numbers",
    },
];

/// What the Node says of one of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) name: &'static str,
    pub(super) status: &'static str,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Kernel {
    /// What the Node says of it.
    pub(super) fn conditions(&self) -> [Condition; 2] {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        [known[0].condition(&WORDS[0]), known[1].condition(&WORDS[1])]
    }

    /// Takes in a look, or that there was none; answers what began or ended with it.
    fn learn(&self, load: Option<&Load>) -> Vec<(&'static Words, Known)> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = load.map_or_else(|| known.clone(), |load| decide(&known, load));
        let is_short = |known: &Known| matches!(known, Known::TooLittle(_));
        let turned = known.iter().zip(&now).map(|(before, now)| is_short(before) != is_short(now));
        let told = turned.zip(&now).zip(&WORDS).filter(|((turned, _), _)| *turned);
        let told = told.map(|((_, now), words)| (words, now.clone())).collect();
        *known = now;
        told
    }
}

impl Known {
    fn condition(&self, words: &Words) -> Condition {
        let (status, reason, message) = match self {
            Self::Nothing => (
                "Unknown",
                "KernelNotSeen",
                format!("nobody could see yet how much there is of {}", words.what),
            ),
            Self::Enough => ("False", words.enough, format!("the node has enough {} left", words.what)),
            Self::TooLittle(why) => ("True", words.too_little, why.clone()),
        };
        Condition { name: words.condition, status, reason, message }
    }
}

/// The table, but for its last row.
fn decide(before: &[Known; 2], load: &Load) -> [Known; 2] {
    let free = load.most_tasks.saturating_sub(load.tasks);
    let memory = || {
        format!(
            "{} MiB of memory are available, and less than {} MiB is too little: the kernel kills what is largest when it has \
             none left. End pods, or give their containers limits (resources.limits.memory)",
            load.memory / MIB,
            MEMORY / MIB
        )
    };
    let numbers = || {
        format!(
            "{} of {} process numbers are in use: without free ones no container starts anything. End what has so many (ps \
             -eo nlwp,args), or raise kernel.pid_max and kernel.threads-max",
            load.tasks, load.most_tasks
        )
    };
    [one(&before[0], load.memory, MEMORY, memory), one(&before[1], free, load.most_tasks / 10, numbers)]
}

fn one(before: &Known, left: u64, threshold: u64, words: impl FnOnce() -> String) -> Known {
    match before {
        Known::TooLittle(_) if left < threshold + threshold / 2 => before.clone(),
        _ if left < threshold => Known::TooLittle(words()),
        _ => Known::Enough,
    }
}

/// Looks, and tells what has changed.
pub(super) async fn look(core: &Core) {
    let load = core.machine.blocking(|machine| Ok(machine.runtime.load()?)).await;
    if let Err(error) = &load {
        tracing::warn!(error = error.chain(), "look for the memory and process numbers that are left");
    }
    let node = about_node(&core.node);
    for (words, now) in core.kernel.learn(load.ok().as_ref()) {
        match now {
            Known::TooLittle(why) => {
                tracing::warn!(node = core.node, why, "too little {} is left", words.what);
                core.events.warning(node.clone(), words.too_little_event, why);
            }
            Known::Enough | Known::Nothing => {
                core.events.normal(
                    node.clone(),
                    words.enough_event,
                    format!("there is enough of {} again", words.what),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the table, of both.
    #[test]
    fn too_little_is_told_until_there_is_clearly_enough() {
        let kernel = Kernel::default();
        let says = || kernel.conditions().map(|condition| condition.status);
        // The last row, before there has been a look, and after each.
        let unseen = |kernel: &Kernel| assert!(kernel.learn(None).is_empty());
        assert_eq!(says(), ["Unknown", "Unknown"]);
        unseen(&kernel);
        assert_eq!(says(), ["Unknown", "Unknown"]);
        for (memory, tasks, wanted, turned) in [
            (200, 100, ["False", "False"], vec![]),
            (100, 900, ["False", "False"], vec![]),
            (99, 900, ["True", "False"], vec!["MemoryPressure"]),
            (98, 901, ["True", "True"], vec!["PIDPressure"]),
            (149, 851, ["True", "True"], vec![]),
            (150, 850, ["False", "False"], vec!["MemoryPressure", "PIDPressure"]),
            (149, 851, ["False", "False"], vec![]),
        ] {
            let told = kernel.learn(Some(&Load { memory: memory * MIB, tasks, most_tasks: 1000 }));
            assert_eq!(
                told.iter().map(|(words, _)| words.condition).collect::<Vec<_>>(),
                turned,
                "{memory} {tasks}"
            );
            assert_eq!(says(), wanted, "{memory} {tasks}");
            unseen(&kernel);
            assert_eq!(says(), wanted, "{memory} {tasks}, and then not seen");
        }
    }

    #[test]
    fn the_words_are_those_of_the_first_look() {
        let kernel = Kernel::default();
        for (memory, tasks) in [(99, 950), (98, 960)] {
            kernel.learn(Some(&Load { memory: memory * MIB, tasks, most_tasks: 1000 }));
        }
        let messages = kernel.conditions().map(|condition| condition.message);
        assert!(
            messages[0].starts_with("99 MiB") && messages[0].contains("resources.limits.memory"),
            "{messages:?}"
        );
        assert!(
            messages[1].starts_with("950 of 1000") && messages[1].contains("kernel.pid_max"),
            "{messages:?}"
        );
    }
}
