//! Quantities as the agent needs them: whole units that fit a machine word.

use orlop_objects::quantity::Quantity;

/// A quantity's value in whole units, rounded up; `None` when it is not one that fits.
pub(crate) fn whole(text: &str) -> Option<u64> {
    Quantity::parse(text).ok()?.to_bytes()
}

/// A quantity's value in thousandths.
pub(crate) fn millis(text: &str) -> Option<u64> {
    Quantity::parse(text).ok()?.to_millis()
}
