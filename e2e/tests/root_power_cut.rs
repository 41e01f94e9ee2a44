//! The power is cut while the store writes, and while it is created: everything acknowledged is there afterwards.
#![allow(clippy::disallowed_methods, reason = "end-to-end tests run programs; that is what they are for")]

mod power_cut;

#[test]
fn root_power_cut() {
    let cuts = power_cut::cuts(40);
    let Some(outcome) = power_cut::run("root_power_cut", "data", cuts, |_| false) else {
        return;
    };
    assert_eq!(outcome.faults, Vec::<String>::new(), "{} images were whole", outcome.whole);
    assert_eq!(outcome.whole, cuts);
}

/// The test above can fail: it does so as soon as the barrier is taken out.
#[test]
fn root_power_cut_without_sync_fails() {
    let name = "root_power_cut_without_sync_fails";
    let Some(outcome) = power_cut::run(name, "none", 40, |outcome| !outcome.faults.is_empty()) else {
        return;
    };
    assert!(!outcome.faults.is_empty(), "{} images without a barrier, and nothing was lost", outcome.whole);
}
