//! From text to quantity, and for every text that is none the way out.

use num_bigint::{BigInt, BigUint, Sign};

use super::{Format, Quantity, QuantityError};

/// Decimal exponents beyond this are a typing error, not an amount, and would only cost memory.
const LARGEST_EXPONENT: u32 = 1000;
/// So are longer numbers.
const MOST_DIGITS: usize = 1000;

const UNITS: &str = "n u m k M G T P E, Ki Mi Gi Ti Pi Ei, or an exponent such as e3";

/// What a suffix multiplies with: `base` to the power of `exponent`.
struct Suffix {
    base: u32,
    exponent: i32,
    format: Format,
}

pub(super) fn parse(text: &str) -> Result<Quantity, QuantityError> {
    read(text).map_err(|problem| QuantityError { text: text.to_owned(), problem })
}

fn read(text: &str) -> Result<Quantity, String> {
    let (sign, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (Sign::Minus, &text[1..]),
        Some(b'+') => (Sign::Plus, &text[1..]),
        _ => (Sign::Plus, text),
    };
    let (whole, rest) = split_digits(unsigned);
    let (fraction, unit) = rest.strip_prefix('.').map_or(("", rest), split_digits);
    if whole.is_empty() && fraction.is_empty() {
        return Err(if text.is_empty() {
            "it is empty; write a number with a unit, such as 10Gi".to_owned()
        } else {
            "it must begin with a number, such as 10Gi".to_owned()
        });
    }
    if whole.len() + fraction.len() > MOST_DIGITS {
        return Err(format!("it has more than {MOST_DIGITS} digits"));
    }
    let suffix = suffix(unit).ok_or_else(|| unknown_unit(&text[..text.len() - unit.len()], unit))?;
    if suffix.exponent.unsigned_abs() > LARGEST_EXPONENT {
        return Err(format!("its exponent is beyond {LARGEST_EXPONENT}"));
    }
    let digits: BigUint = format!("0{whole}{fraction}").parse().map_err(|_| "it is no number".to_owned())?;
    let magnitude = scale_to_nanos(digits, fraction.len(), &suffix);
    Ok(Quantity { nanos: BigInt::from_biguint(sign, magnitude), format: suffix.format })
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// `digits` × 10^-`decimals` × the suffix, in nano-units, rounded away from zero.
fn scale_to_nanos(digits: BigUint, decimals: usize, suffix: &Suffix) -> BigUint {
    let decimals = i64::try_from(decimals).unwrap_or(i64::MAX);
    let (binary, decimal) = if suffix.base == 2 { (suffix.exponent, 0) } else { (0, suffix.exponent) };
    let shifted = digits << binary.unsigned_abs();
    let tens = i64::from(decimal) + 9 - decimals;
    let power = BigUint::from(10_u32).pow(u32::try_from(tens.unsigned_abs()).unwrap_or(u32::MAX));
    if tens >= 0 { shifted * power } else { (shifted + (&power - 1_u32)) / power }
}

fn suffix(unit: &str) -> Option<Suffix> {
    let decimal = |exponent| Some(Suffix { base: 10, exponent, format: Format::DecimalSi });
    let binary = |exponent| Some(Suffix { base: 2, exponent, format: Format::BinarySi });
    match unit {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => exponent(unit),
    }
}

fn exponent(unit: &str) -> Option<Suffix> {
    let digits = unit.strip_prefix(['e', 'E'])?;
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // An exponent too long for i32 is certainly beyond the limit that the caller checks.
    let exponent = digits.parse().unwrap_or(i32::MAX);
    Some(Suffix { base: 10, exponent, format: Format::DecimalExponent })
}

/// The unit that was probably meant: the longest known one that `unit` begins with, or the same in other letters.
fn unknown_unit(number: &str, unit: &str) -> String {
    let known = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "n", "u", "m", "k", "M", "G", "T", "P", "E"];
    let trimmed = unit.trim();
    let no_b = trimmed.strip_suffix(['B', 'b']).unwrap_or(trimmed);
    let meant = known
        .iter()
        .find(|k| {
            k.eq_ignore_ascii_case(no_b) && (k.len() == 2 || !k.eq_ignore_ascii_case("m") || **k == no_b)
        })
        .or_else(|| known.iter().find(|k| no_b.starts_with(**k)));
    let hint = meant.map(|m| format!("; did you mean {number}{m}?")).unwrap_or_default();
    format!("{unit:?} is no unit: after the number comes nothing or one of {UNITS}{hint}")
}
