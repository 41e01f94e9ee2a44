//! What happens to objects whose owners go. Pure.
//!
//! | object | owners | dependents | verdict |
//! |---|---|---|---|
//! | not terminating | all gone, or others under their names | | Delete |
//! | not terminating | one is there | | Wait |
//! | not terminating | one is of a kind not served here, or namespaced while the object is not: unknown is not gone | | Wait |
//! | terminating, finalizer `orphan` | | name it | Orphan: take it out of their owners |
//! | terminating, finalizer `orphan` | | none name it | LetGo |
//! | terminating, finalizer `foregroundDeletion` | | some not asked to go, without another owner that stays | Empty: ask them, to wait for theirs in the same way |
//! | terminating, finalizer `foregroundDeletion` | | some not asked to go, with another owner that stays | Empty: take it out of their owners |
//! | terminating, finalizer `foregroundDeletion` | | some that block it | Wait |
//! | terminating, finalizer `foregroundDeletion` | | none that block it | LetGo |

use orlop_objects::{Key, Revision};

/// Waits for dependents that block it.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// Wants its dependents to stay.
pub(crate) const ORPHAN: &str = "orphan";

/// All that matters for one object.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Its version.
    pub(crate) revision: Revision,
    /// Its uid.
    pub(crate) uid: String,
    /// Whether it is terminating.
    pub(crate) terminating: bool,
    /// Whether it names owners.
    pub(crate) owned: bool,
    /// Whether one of them is there, or may be.
    pub(crate) has_owner: bool,
    /// Which of the two finalizers it has.
    pub(crate) finalizers: Vec<String>,
    /// Objects that name it as an owner, where it has such a finalizer.
    pub(crate) dependents: Vec<Dependent>,
}

/// An object that names another as its owner.
#[derive(Clone, Debug)]
pub(crate) struct Dependent {
    /// Which one.
    pub(crate) key: Key,
    /// Its uid: another object under the same name is not it.
    pub(crate) uid: String,
    /// Whether another of its owners is there, and does not wait for it to go as well.
    pub(crate) kept: bool,
    /// Whether it is terminating.
    pub(crate) terminating: bool,
    /// Whether its owner waits for it.
    pub(crate) blocks: bool,
}

/// What to do about one object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its owners are gone.
    Delete { uid: String },
    /// Its owner is there.
    Wait,
    /// Ask some of its dependents to go first, by their uids, and take it out of the owners of others.
    Empty { uid: String, go: Vec<(Key, String)>, stay: Vec<Key> },
    /// Take it out of the owners of these.
    Orphan { uid: String, keys: Vec<Key> },
    /// Take the finalizer away.
    LetGo { revision: Revision, finalizer: &'static str },
}

/// All verdicts of a pass.
pub(crate) fn decide(view: &[(Key, Facts)]) -> Vec<(Key, Verdict)> {
    view.iter().filter_map(|(key, facts)| Some((key.clone(), decide_one(facts)?))).collect()
}

fn decide_one(facts: &Facts) -> Option<Verdict> {
    let has = |finalizer: &str| facts.finalizers.iter().any(|held| held == finalizer);
    match facts.terminating {
        false if !facts.owned => None,
        false if facts.has_owner => Some(Verdict::Wait),
        false => Some(Verdict::Delete { uid: facts.uid.clone() }),
        true if has(ORPHAN) => Some(orphan(facts)),
        true if has(FOREGROUND) => Some(foreground(facts)),
        true => None,
    }
}

fn orphan(facts: &Facts) -> Verdict {
    let keys: Vec<Key> = facts.dependents.iter().map(|dependent| dependent.key.clone()).collect();
    if keys.is_empty() {
        return Verdict::LetGo { revision: facts.revision, finalizer: ORPHAN };
    }
    Verdict::Orphan { uid: facts.uid.clone(), keys }
}

fn foreground(facts: &Facts) -> Verdict {
    let unasked = facts.dependents.iter().filter(|dependent| !dependent.terminating);
    let (kept, others): (Vec<&Dependent>, Vec<&Dependent>) = unasked.partition(|dependent| dependent.kept);
    if !kept.is_empty() || !others.is_empty() {
        let go = others.into_iter().map(|dependent| (dependent.key.clone(), dependent.uid.clone())).collect();
        let stay = kept.into_iter().map(|dependent| dependent.key.clone()).collect();
        return Verdict::Empty { uid: facts.uid.clone(), go, stay };
    }
    if facts.dependents.iter().any(|dependent| dependent.blocks) {
        return Verdict::Wait;
    }
    Verdict::LetGo { revision: facts.revision, finalizer: FOREGROUND }
}

#[cfg(test)]
mod tests {
    use orlop_objects::kind;

    use super::*;

    fn dependent(terminating: bool, blocks: bool) -> Dependent {
        let key = Key::new(&kind::POD, "default", "p");
        Dependent { key, uid: "up".to_owned(), kept: false, terminating, blocks }
    }

    /// One that another owner keeps.
    fn kept(terminating: bool) -> Dependent {
        let key = Key::new(&kind::POD, "default", "k");
        Dependent { key, uid: "uk".to_owned(), kept: true, terminating, blocks: true }
    }

    #[test]
    fn every_row_of_the_table() {
        let going = |finalizer: &str, dependents: &[Dependent]| Facts {
            revision: 7,
            uid: "u".to_owned(),
            terminating: true,
            finalizers: vec![finalizer.to_owned()],
            dependents: dependents.to_vec(),
            ..Facts::default()
        };
        let live = |owned, has_owner| Facts { uid: "u".to_owned(), owned, has_owner, ..Facts::default() };
        let keys = || vec![Key::new(&kind::POD, "default", "p")];
        let empty = |go: bool, stay: bool| {
            let go = if go { vec![(Key::new(&kind::POD, "default", "p"), "up".to_owned())] } else { vec![] };
            let stay = if stay { vec![Key::new(&kind::POD, "default", "k")] } else { vec![] };
            Some(Verdict::Empty { uid: "u".to_owned(), go, stay })
        };
        let rows = [
            ("owns itself", live(false, false), None),
            ("owners gone", live(true, false), Some(Verdict::Delete { uid: "u".to_owned() })),
            ("owner there", live(true, true), Some(Verdict::Wait)),
            (
                "orphans left",
                going(ORPHAN, &[dependent(false, true)]),
                Some(Verdict::Orphan { uid: "u".to_owned(), keys: keys() }),
            ),
            ("orphaned", going(ORPHAN, &[]), Some(Verdict::LetGo { revision: 7, finalizer: ORPHAN })),
            ("unasked", going(FOREGROUND, &[dependent(false, false)]), empty(true, false)),
            ("another's as well", going(FOREGROUND, &[kept(false)]), empty(false, true)),
            ("one of each", going(FOREGROUND, &[kept(false), dependent(false, true)]), empty(true, true)),
            ("another's, and on its way", going(FOREGROUND, &[kept(true)]), Some(Verdict::Wait)),
            ("blocked", going(FOREGROUND, &[dependent(true, true)]), Some(Verdict::Wait)),
            (
                "not blocked",
                going(FOREGROUND, &[dependent(true, false)]),
                Some(Verdict::LetGo { revision: 7, finalizer: FOREGROUND }),
            ),
            ("others' finalizers", going("example.com/x", &[]), None),
        ];
        for (row, facts, wanted) in rows {
            assert_eq!(decide_one(&facts), wanted, "{row}");
        }
    }
}
