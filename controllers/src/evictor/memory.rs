//! Since when each pod has had to do with each taint of its node, and since when a node has been missing, as this server
//! saw it. Times that stand in taints come from other clocks, or from before a restart during which nobody was heard.

use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

use k8s_openapi::api::core::v1::Taint;
use orlop_objects::Key;

/// What is remembered.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pods: HashMap<Key, Pod>,
    missing: HashMap<String, Instant>,
}

#[derive(Debug)]
struct Pod {
    uid: String,
    /// A taint that was put on anew has another time, and counts anew.
    taints: Vec<(Taint, Instant)>,
}

impl Memory {
    /// Takes in the taints under which a pod stands now; answers since when each, and under which it stood before.
    pub(crate) fn stand(
        &mut self,
        key: &Key,
        uid: &str,
        taints: &[Taint],
        now: Instant,
    ) -> (Vec<(Taint, Instant)>, Vec<Taint>) {
        let old =
            self.pods.remove(key).filter(|pod| pod.uid == uid).map(|pod| pod.taints).unwrap_or_default();
        let since = |taint: &Taint| {
            let found = old.iter().find(|(seen, _)| seen == taint);
            (taint.clone(), found.map_or(now, |(_, at)| *at))
        };
        let stands: Vec<(Taint, Instant)> = taints.iter().map(since).collect();
        if !stands.is_empty() {
            self.pods.insert(key.clone(), Pod { uid: uid.to_owned(), taints: stands.clone() });
        }
        (stands, old.into_iter().map(|(taint, _)| taint).collect())
    }

    /// Forgets a pod that is gone.
    pub(crate) fn forget(&mut self, key: &Key) {
        self.pods.remove(key);
    }

    /// Since when a node has been missing.
    pub(crate) fn missing(&mut self, node: &str, now: Instant) -> Instant {
        *self.missing.entry(node.to_owned()).or_insert(now)
    }

    /// Forgets that nodes were missing which are there.
    pub(crate) fn found(&mut self, nodes: &HashSet<&str>) {
        self.missing.retain(|node, _| !nodes.contains(node.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use orlop_objects::kind;

    use super::*;

    #[test]
    fn a_taint_counts_from_when_it_was_first_seen_at_the_pod() {
        let (start, key) = (Instant::now(), Key::new(&kind::POD, "default", "web"));
        let taint =
            |key: &str| Taint { key: key.to_owned(), effect: "NoExecute".to_owned(), ..Taint::default() };
        let later = start + Duration::from_secs(5);
        let mut memory = Memory::default();
        assert_eq!(memory.stand(&key, "1", &[taint("a")], start), (vec![(taint("a"), start)], vec![]));
        let both = vec![(taint("a"), start), (taint("b"), later)];
        assert_eq!(memory.stand(&key, "1", &[taint("a"), taint("b")], later), (both, vec![taint("a")]));
        assert_eq!(
            memory.stand(&key, "2", &[taint("a")], later),
            (vec![(taint("a"), later)], vec![]),
            "another pod"
        );
        assert_eq!(memory.stand(&key, "2", &[], later), (vec![], vec![taint("a")]));
        assert_eq!(memory.stand(&key, "2", &[], later), (vec![], vec![]));
        memory.forget(&key);
        assert_eq!(memory.missing("n1", start), start);
        assert_eq!(memory.missing("n1", later), start);
        memory.found(&HashSet::from(["n1"]));
        assert_eq!(memory.missing("n1", later), later);
    }
}
