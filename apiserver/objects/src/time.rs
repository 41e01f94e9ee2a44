//! Times as objects carry them: RFC 3339, UTC. Whoever has a clock brings it; none is read here.

use jiff::Timestamp;

/// Whole seconds: `metav1.Time`, as in `creationTimestamp`.
pub fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Microseconds: `metav1.MicroTime`, as in a Lease's `renewTime`.
pub fn micros(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// Reads either form, and any other of RFC 3339.
pub fn parse(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{micros, parse, seconds};

    #[test]
    fn both_forms_are_written_and_read() {
        let time = Timestamp::new(1_767_225_600, 1_500_000).expect("in range");
        assert_eq!(seconds(time), "2026-01-01T00:00:00Z");
        assert_eq!(micros(time), "2026-01-01T00:00:00.001500Z");
        assert_eq!(parse("2026-01-01T00:00:00.001500Z"), Some(time));
        assert_eq!(parse("2026-01-01T01:00:00.0015+01:00"), Some(time));
        assert_eq!(parse("yesterday"), None);
    }
}
