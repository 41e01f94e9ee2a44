//! The canonical text: no fraction, the largest unit that keeps it exact.

use std::fmt;

use num_bigint::{BigInt, BigUint};

use super::{Format, NANO, Quantity};

const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        let sign = if self.is_negative() { "-" } else { "" };
        let magnitude = self.nanos.magnitude();
        let (digits, suffix) = match self.format {
            Format::BinarySi => binary(magnitude).unwrap_or_else(|| decimal(magnitude)),
            Format::DecimalSi => decimal(magnitude),
            Format::DecimalExponent => exponent(magnitude),
        };
        f.pad(&format!("{sign}{digits}{suffix}"))
    }
}

/// `None` where the binary form would lose something or says nothing: a fraction, or less than 1024.
fn binary(nanos: &BigUint) -> Option<(BigUint, String)> {
    let whole = nanos / NANO;
    if &whole * NANO != *nanos || whole < BigUint::from(1024_u32) {
        return None;
    }
    let factors = whole.trailing_zeros().unwrap_or(0) / 10;
    let unit = usize::try_from(factors).unwrap_or(usize::MAX).min(BINARY.len() - 1);
    Some((whole >> (10 * unit), BINARY[unit].to_owned()))
}

fn decimal(nanos: &BigUint) -> (BigUint, String) {
    let (digits, exponent) = thousands(nanos, 18);
    let unit = DECIMAL.iter().find(|(_, e)| *e == exponent).map_or("", |(unit, _)| unit);
    (digits, unit.to_owned())
}

fn exponent(nanos: &BigUint) -> (BigUint, String) {
    let (digits, exponent) = thousands(nanos, i32::MAX);
    (digits, if exponent == 0 { String::new() } else { format!("e{exponent}") })
}

/// Digits and an exponent that is a multiple of three, as large as possible up to `largest`.
fn thousands(nanos: &BigUint, largest: i32) -> (BigUint, i32) {
    let thousand = BigUint::from(1000_u32);
    let (mut digits, mut exponent) = (nanos.clone(), -9);
    while exponent < largest {
        let next = &digits / &thousand;
        if &next * &thousand != digits {
            break;
        }
        digits = next;
        exponent += 3;
    }
    (digits, exponent)
}

impl From<&Quantity> for BigInt {
    /// The amount in nano-units.
    fn from(quantity: &Quantity) -> Self {
        quantity.nanos.clone()
    }
}
