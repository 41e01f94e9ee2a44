//! Quantities as numbers: whole units rounded up, or thousandths. Pure.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Written;
use orlop_objects::Quantity;

/// Whole units (bytes, pods), rounded up; beyond all bounds it is the most there is, and 0 for what is no quantity or
/// negative (validation lets none in).
pub(crate) fn units(quantity: &Written) -> u128 {
    amount(quantity, Quantity::to_units)
}

/// Thousandths (of a CPU), rounded up; bounds as for [`units`].
pub(crate) fn millis(quantity: &Written) -> u128 {
    amount(quantity, |quantity| quantity.to_millis().map(u128::from))
}

fn amount(written: &Written, read: impl Fn(&Quantity) -> Option<u128>) -> u128 {
    match Quantity::parse(&written.0) {
        Ok(quantity) if quantity.is_negative() => 0,
        Ok(quantity) => read(&quantity).unwrap_or(u128::MAX),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_become_numbers_rounded_up() {
        let rows: [(&str, u128, u128); 9] = [
            ("1Gi", 1 << 30, 1000 << 30),
            ("0.5", 1, 500),
            ("500m", 1, 500),
            ("1.5Gi", 3 << 29, 3000 << 29),
            ("10M", 10_000_000, 10_000_000_000),
            ("2e3", 2000, 2_000_000),
            ("110", 110, 110_000),
            ("100u", 1, 1),
            ("nonsense", 0, 0),
        ];
        for (text, whole, thousandths) in rows {
            let quantity = Written(text.to_owned());
            assert_eq!((units(&quantity), millis(&quantity)), (whole, thousandths), "{text}");
        }
    }
}
