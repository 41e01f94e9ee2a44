//! Quantities: `10Gi`, `500m`, `1e3`. Exact, of any size, and written back in the form they came in.
//!
//! The grammar and the canonical form are those of `k8s.io/apimachinery/pkg/api/resource`: a signed decimal number and
//! a suffix of one of three families. Two deviations: nothing is capped at 2^63-1, and what is finer than a
//! nano-unit is refused nowhere but rounded up, away from zero, as there.

mod canonical;
mod parse;
mod print;

#[cfg(test)]
mod tests;

use std::{
    cmp::Ordering,
    ops::{Add, Sub},
};

use num_bigint::{BigInt, BigUint, Sign};
use serde_json::Value;

pub use canonical::canonicalize;

/// Nano-units in one unit.
const NANO: u64 = 1_000_000_000;

/// The family of suffixes that a quantity is written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `Ki Mi Gi Ti Pi Ei`: powers of 1024.
    BinarySi,
    /// `n u m k M G T P E` and none: powers of 1000.
    DecimalSi,
    /// `e3`, `E-3`: powers of ten.
    DecimalExponent,
}

/// Why a text is no quantity, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a quantity: {problem}")]
pub struct QuantityError {
    text: String,
    problem: String,
}

impl QuantityError {
    /// What is wrong, without the text itself.
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

/// An exact amount. Compared by amount: `1Gi` equals `1024Mi`.
#[derive(Clone, Debug)]
pub struct Quantity {
    nanos: BigInt,
    format: Format,
}

impl Quantity {
    /// Reads `text`.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        parse::parse(text)
    }

    /// Reads a field: manifests may hold a plain number where a quantity is wanted.
    pub fn from_value(value: &Value) -> Result<Self, QuantityError> {
        match value {
            Value::String(text) => Self::parse(text),
            Value::Number(number) => Self::parse(&number.to_string()),
            other => Err(QuantityError {
                text: other.to_string(),
                problem: "write a number with a unit, such as 10Gi".to_owned(),
            }),
        }
    }

    /// `units` whole units.
    pub fn whole(units: u128, format: Format) -> Self {
        Self { nanos: BigInt::from(units) * NANO, format }
    }

    /// `bytes` in the binary form: `Quantity::of_bytes(1 << 30)` is `1Gi`.
    pub fn of_bytes(bytes: u64) -> Self {
        Self::whole(bytes.into(), Format::BinarySi)
    }

    /// The family it is written in.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whole units, a started one counted. `None` when it is negative or beyond `u64`.
    pub fn to_bytes(&self) -> Option<u64> {
        u64::try_from(self.ceil()?).ok()
    }

    /// The same for comparing what no disk holds; `None` when it is negative or beyond `u128`.
    pub fn to_units(&self) -> Option<u128> {
        u128::try_from(self.ceil()?).ok()
    }

    /// Thousandths of a unit (of CPUs), a started one counted. `None` when it is negative or beyond `u64`.
    pub fn to_millis(&self) -> Option<u64> {
        u64::try_from(div_ceil(self.magnitude()?, NANO / 1000)).ok()
    }

    /// Whether it is nothing.
    pub fn is_zero(&self) -> bool {
        self.nanos.sign() == Sign::NoSign
    }

    /// Whether it is less than nothing.
    pub fn is_negative(&self) -> bool {
        self.nanos.sign() == Sign::Minus
    }

    fn ceil(&self) -> Option<BigUint> {
        Some(div_ceil(self.magnitude()?, NANO))
    }

    fn magnitude(&self) -> Option<&BigUint> {
        (!self.is_negative()).then(|| self.nanos.magnitude())
    }

    /// The form of a sum is that of its first part, unless that is zero.
    fn joined(&self, other: &Self, nanos: BigInt) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        Self { nanos, format }
    }
}

fn div_ceil(amount: &BigUint, divisor: u64) -> BigUint {
    (amount + (divisor - 1)) / divisor
}

impl std::str::FromStr for Quantity {
    type Err = QuantityError;
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        Self::parse(text)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl Add for &Quantity {
    type Output = Quantity;
    fn add(self, other: Self) -> Quantity {
        self.joined(other, &self.nanos + &other.nanos)
    }
}

impl Sub for &Quantity {
    type Output = Quantity;
    fn sub(self, other: Self) -> Quantity {
        self.joined(other, &self.nanos - &other.nanos)
    }
}
