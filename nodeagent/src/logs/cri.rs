//! CRI's log lines: `<RFC 3339 time> <stdout|stderr> <tags> <text>`, where the tag `P` says that the line goes on in the
//! next one, and `F` that it ends here (kubernetes/design-proposals-archive, kubelet-cri-logging). Pure.

use jiff::Timestamp;

/// One line of a log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// The time as written.
    pub(super) time: &'a [u8],
    /// Whether the text ends with a line feed.
    pub(super) full: bool,
    /// What the container wrote.
    pub(super) text: &'a [u8],
}

/// Reads one line without its line feed; a line of another form is text without a time.
pub(super) fn parse(line: &[u8]) -> Line<'_> {
    let mut parts = line.splitn(4, |b| *b == b' ');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(time), Some(b"stdout" | b"stderr"), Some(tags), Some(text)) => {
            Line { time, full: !tags.split(|b| *b == b':').any(|tag| tag == b"P"), text }
        }
        _ => Line { time: b"", full: true, text: line },
    }
}

impl Line<'_> {
    /// Whether it was written at `since` or later.
    pub(super) fn is_since(&self, since: Option<Timestamp>) -> bool {
        let Some(since) = since else { return true };
        self.time().is_none_or(|time| time >= since)
    }

    fn time(&self) -> Option<Timestamp> {
        std::str::from_utf8(self.time).ok()?.parse().ok()
    }

    /// Appends the text as a reader sees it; `fresh` says that the line before it ended.
    pub(super) fn write(&self, out: &mut Vec<u8>, timestamps: bool, fresh: bool) {
        if timestamps && fresh {
            match self.time() {
                // As Kubernetes prints it: UTC, nine digits. conmon writes local time with its offset.
                Some(time) => {
                    out.extend_from_slice(time.strftime("%Y-%m-%dT%H:%M:%S%.9fZ").to_string().as_bytes());
                }
                None => out.extend_from_slice(self.time),
            }
            out.push(b' ');
        }
        out.extend_from_slice(self.text);
        if self.full {
            out.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_partial_ones_joined() {
        let file = b"2026-01-01T00:00:00.5Z stdout P hel\n2026-01-01T00:00:00.6Z stdout F lo  you\nodd\n";
        let mut out = Vec::new();
        let mut fresh = true;
        for line in file.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            let line = parse(line);
            line.write(&mut out, false, fresh);
            fresh = line.full;
        }
        assert_eq!(out, b"hello  you\nodd\n");
        let line = parse(b"2026-01-01T00:00:00.5Z stderr F ");
        assert_eq!((line.full, line.text), (true, &b""[..]));
    }

    #[test]
    fn times_are_told_in_utc() {
        let rows = [
            ("2026-01-01T00:00:05.5+00:00 stdout F x", "2026-01-01T00:00:05.500000000Z x\n"),
            ("2026-01-01T02:00:05.123456789+02:00 stdout F x", "2026-01-01T00:00:05.123456789Z x\n"),
        ];
        for (line, expected) in rows {
            let mut out = Vec::new();
            parse(line.as_bytes()).write(&mut out, true, true);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }

    #[test]
    fn the_time_of_a_line_is_compared() {
        let line = parse(b"2026-01-01T00:00:05.5+00:00 stdout F x");
        assert!(line.is_since("2026-01-01T00:00:05Z".parse().ok()));
        assert!(!line.is_since("2026-01-01T00:00:06Z".parse().ok()));
        assert!(line.is_since(None));
    }
}
