//! What was sent, as refusals show it: enough to know it again. A refusal that echoes megabytes helps nobody, and a list of a
//! hundred of them is more than the body that it refuses.

use std::{borrow::Cow, io};

use serde_json::Value;

/// As many characters of a text are shown.
const TEXT: usize = 64;
/// As many bytes of a field's value are: the longest name has 253.
const FIELD: usize = 256;

/// A text that was sent, cut where it is longer than 64 characters.
pub fn text(sent: &str) -> Cow<'_, str> {
    match sent.char_indices().nth(TEXT) {
        Some((end, _)) => format!("{}…", &sent[..end]).into(),
        None => sent.into(),
    }
}

/// A value that was sent, as a text without quotes or as JSON, cut likewise.
pub fn value(sent: &Value) -> Cow<'_, str> {
    match sent {
        Value::String(sent) => text(sent),
        other => text(&field(other)).into_owned().into(),
    }
}

/// The value of a field as JSON, cut where it is longer than a name can be. What is not shown is not written either.
pub(crate) fn field(sent: &Value) -> String {
    let mut shown = Shown(Vec::new());
    let whole = serde_json::to_writer(&mut shown, sent).is_ok();
    let text = String::from_utf8_lossy(&shown.0);
    // A character that was cut in two is left out.
    if whole { text.into_owned() } else { format!("{}…", text.trim_end_matches('\u{fffd}')) }
}

/// As much of what is written as is shown; then it is full.
struct Shown(Vec<u8>);

impl io::Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = FIELD - self.0.len();
        if room == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = room.min(bytes.len());
        self.0.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_short_is_shown_whole_and_what_is_long_is_cut() {
        assert_eq!(text("a"), "a");
        assert_eq!(text(&"ü".repeat(64)), "ü".repeat(64));
        assert_eq!(text(&"ü".repeat(65)), "ü".repeat(64) + "…");
        assert_eq!((value(&json!("a")), value(&json!({"a": 1}))), ("a".into(), "{\"a\":1}".into()));
        assert_eq!(value(&json!(vec![1; 1000])).chars().count(), 65);
        assert_eq!(field(&json!("a".repeat(254))), format!("\"{}\"", "a".repeat(254)));
        assert_eq!(field(&json!("a".repeat(255))), format!("\"{}…", "a".repeat(255)));
        // The last one would be cut in two.
        assert_eq!(field(&json!("ü".repeat(1000))), format!("\"{}…", "ü".repeat(127)));
    }
}
