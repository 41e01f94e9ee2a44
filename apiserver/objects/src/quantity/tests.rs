//! Quantities against the canonical forms of Kubernetes, and against plain rationals.

use num_bigint::BigInt;
use proptest::prelude::*;

use super::{Format, Quantity};

fn q(text: &str) -> Quantity {
    Quantity::parse(text).expect(text)
}

#[test]
fn canonical_forms() {
    let rows = [
        ("0", "0"),
        ("0Gi", "0"),
        ("1Gi", "1Gi"),
        ("1024Mi", "1Gi"),
        ("1000Mi", "1000Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("1024", "1024"),
        ("1Ki", "1Ki"),
        ("1023Ki", "1023Ki"),
        ("0.1Gi", "107374182400m"),
        ("1000", "1k"),
        ("100m", "100m"),
        ("0.1", "100m"),
        ("1500m", "1500m"),
        ("2000m", "2"),
        ("1e3", "1e3"),
        ("1E3", "1e3"),
        ("1E", "1E"),
        ("12e6", "12e6"),
        ("1.2e5", "120e3"),
        ("1e-3", "1e-3"),
        ("5", "5"),
        (".5", "500m"),
        ("5.", "5"),
        ("+7k", "7k"),
        ("-7k", "-7k"),
        ("0.1n", "1n"),
        ("-0.1n", "-1n"),
        ("1.0000000001", "1000000001n"),
        ("100Ei", "100Ei"),
        ("1024Ei", "1024Ei"),
        ("100000E", "100000E"),
        ("9223372036854775808", "9223372036854775808"),
        ("340282366920938463463374607431768211456", "340282366920938463463374607431768211456"),
        ("000100", "100"),
    ];
    for (text, canonical) in rows {
        assert_eq!(q(text).to_string(), canonical, "{text}");
    }
}

#[test]
fn what_is_no_quantity_says_the_way_out() {
    let rows = [
        ("1Gi1", "did you mean 1Gi?"),
        ("10gi", "did you mean 10Gi?"),
        ("10GB", "did you mean 10G?"),
        ("10GiB", "did you mean 10Gi?"),
        ("10 Gi", "did you mean 10Gi?"),
        ("5K", "did you mean 5k?"),
        ("ten", "must begin with a number"),
        ("", "it is empty"),
        (".", "must begin with a number"),
        ("-", "must begin with a number"),
        ("1e", "is no unit"),
        ("1e3x", "is no unit"),
        ("1e+", "is no unit"),
        ("1e100000", "exponent is beyond"),
        ("1e99999999999999999999", "exponent is beyond"),
        ("1.2.3", "is no unit"),
        ("1 ", "is no unit"),
    ];
    for (text, part) in rows {
        let error = Quantity::parse(text).expect_err(text).to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn amounts_round_up_to_bytes() {
    let rows = [
        ("1Gi", Some(1 << 30)),
        ("0.5", Some(1)),
        ("1n", Some(1)),
        ("1.1Ki", Some(1127)),
        ("-1", None),
        ("16Ei", None),
        ("15Ei", Some(15 << 60)),
    ];
    for (text, bytes) in rows {
        assert_eq!(q(text).to_bytes(), bytes, "{text}");
    }
    assert_eq!(q("16Ei").to_units(), Some(1 << 64));
    assert_eq!(q("1.5").to_millis(), Some(1500));
    assert_eq!(Quantity::of_bytes(1 << 30).to_string(), "1Gi");
}

#[test]
fn sums_keep_the_first_form() {
    assert_eq!((&q("1Gi") + &q("1G")).format(), Format::BinarySi);
    assert_eq!((&q("0") + &q("1Gi")).to_string(), "1Gi");
    assert_eq!((&q("1G") - &q("1")).to_string(), "999999999");
    assert!((&q("1") - &q("2")).is_negative());
}

#[test]
fn numbers_are_quantities_too() {
    assert_eq!(Quantity::from_value(&serde_json::json!(2)).expect("a number").to_string(), "2");
    assert_eq!(Quantity::from_value(&serde_json::json!(0.5)).expect("a number").to_string(), "500m");
    assert!(Quantity::from_value(&serde_json::json!(true)).is_err());
}

/// A number and unit, with the exact value as a fraction.
fn written() -> impl Strategy<Value = (String, BigInt, u32)> {
    let units = prop::sample::select(vec![
        ("", 0, 0),
        ("m", -3, 0),
        ("k", 3, 0),
        ("M", 6, 0),
        ("E", 18, 0),
        ("Ki", 0, 10),
        ("Gi", 0, 30),
        ("Ei", 0, 60),
        ("e5", 5, 0),
        ("E-2", -2, 0),
    ]);
    (any::<bool>(), any::<u64>(), 0_u32..1000, units).prop_map(
        |(minus, whole, thousandths, (unit, ten, two))| {
            let sign = if minus { "-" } else { "" };
            // In units of 10^-6: three digits behind the point and at most 10^-3 by the unit.
            let value: BigInt = (BigInt::from(whole) * 1000 + thousandths)
                * BigInt::from(10).pow(u32::try_from(ten + 3).expect("at least 10^-3"))
                * BigInt::from(2).pow(two);
            let value = if minus { -value } else { value };
            (format!("{sign}{whole}.{thousandths:03}{unit}"), value, two)
        },
    )
}

proptest! {
    #[test]
    fn printing_loses_nothing((text, _, _) in written()) {
        let first = q(&text);
        let again = q(&first.to_string());
        prop_assert_eq!(&first, &again);
        prop_assert_eq!(first.to_string(), again.to_string());
    }

    #[test]
    fn order_is_that_of_rationals((a, x, _) in written(), (b, y, _) in written()) {
        prop_assert_eq!(q(&a).cmp(&q(&b)), x.cmp(&y));
        prop_assert_eq!(BigInt::from(&(&q(&a) + &q(&b))), (&x + &y) * 1000);
        prop_assert_eq!(BigInt::from(&(&q(&a) - &q(&b))), (&x - &y) * 1000);
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,12}") {
        if let Ok(quantity) = Quantity::parse(&text) {
            prop_assert_eq!(&quantity, &q(&quantity.to_string()));
        }
    }
}
