//! Quantities as numbers: whole units rounded up, or thousandths. Pure.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Whole units (bytes, pods), rounded up; 0 for what is no quantity (validation lets none in).
pub(crate) fn units(quantity: &Quantity) -> u128 {
    nano(&quantity.0).div_ceil(1_000_000_000)
}

/// Thousandths (of a CPU), rounded up; 0 for what is no quantity.
pub(crate) fn millis(quantity: &Quantity) -> u128 {
    nano(&quantity.0).div_ceil(1_000_000)
}

fn nano(text: &str) -> u128 {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '+')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let value = whole
        .trim_start_matches('+')
        .parse::<u128>()
        .unwrap_or(0)
        .saturating_mul(1_000_000_000)
        + digits.parse::<u128>().unwrap_or(0);
    let binary = |power: u32| value.saturating_mul(1024u128.saturating_pow(power));
    let decimal = |power: u32| value.saturating_mul(10u128.saturating_pow(power));
    match suffix {
        "" => value,
        "n" => value / 1_000_000_000,
        "u" => value / 1_000_000,
        "m" => value / 1000,
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        exponent => exponent
            .strip_prefix(['e', 'E'])
            .and_then(|power| power.parse().ok())
            .map_or(0, decimal),
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
            let quantity = Quantity(text.to_owned());
            assert_eq!(
                (units(&quantity), millis(&quantity)),
                (whole, thousandths),
                "{text}"
            );
        }
    }
}
