//! Whether a namespace needs its default service account. Pure.
//!
//! | namespace | account `default` | verdict |
//! |---|---|---|
//! | terminating | | – |
//! | active | there | – |
//! | active | missing | Create |

use orlop_objects::Key;

/// The facts of one pass: namespaces, whether each is active, whether each has its account.
pub(crate) struct View(pub(crate) Vec<(Key, bool, bool)>);

/// What to do about one namespace.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Create the account.
    Create,
}

/// All verdicts of a pass.
pub(crate) fn decide(view: &View) -> Vec<(Key, Verdict)> {
    let needs = view.0.iter().filter(|(_, active, has)| *active && !*has);
    needs.map(|(key, ..)| (key.clone(), Verdict::Create)).collect()
}

#[cfg(test)]
mod tests {
    use orlop_objects::kind;

    use super::*;

    #[test]
    fn an_active_namespace_without_account_gets_one() {
        let key = Key::cluster(&kind::NAMESPACE, "team");
        for (active, has, wanted) in [(false, false, 0), (true, true, 0), (true, false, 1)] {
            assert_eq!(decide(&View(vec![(key.clone(), active, has)])).len(), wanted, "{active} {has}");
        }
    }
}
