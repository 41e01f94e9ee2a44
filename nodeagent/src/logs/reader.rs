//! Reading one log file: from the right place, a piece at a time, as text. Follows no growth itself. Blocks.

use std::{
    fs::File,
    io::{ErrorKind, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::Path,
};

use super::{cri, options::Options};

const PIECE: usize = 64 * 1024;

/// A place in a log file.
#[derive(Debug)]
pub(super) struct Reader {
    file: File,
    options: Options,
    /// A line that has no line feed yet.
    rest: Vec<u8>,
    fresh: bool,
    sent: usize,
}

impl Reader {
    /// Opens the file where the options say that reading begins.
    pub(super) fn open(path: &Path, options: Options) -> std::io::Result<Self> {
        let mut file = File::open(path)?;
        if let Some(lines) = options.tail_lines {
            let start = tail(&mut file, lines)?;
            file.seek(SeekFrom::Start(start))?;
        }
        Ok(Self { file, options, rest: Vec::new(), fresh: true, sent: 0 })
    }

    /// Goes on at the beginning of the file that has taken this one's place; answers whether one has. The caller has read
    /// this one to its end.
    pub(super) fn go_on(&mut self, path: &Path) -> std::io::Result<bool> {
        let file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            opened => opened?,
        };
        let (here, there) = (self.file.metadata()?, file.metadata()?);
        if (here.dev(), here.ino()) == (there.dev(), there.ino()) {
            return Ok(false);
        }
        self.file = file;
        self.rest.clear();
        Ok(true)
    }

    /// Text up to the present end, or a large piece of it; empty at the end.
    pub(super) fn read(&mut self) -> std::io::Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut piece = vec![0; PIECE];
        while out.is_empty() {
            let length = self.file.read(&mut piece)?;
            if length == 0 {
                break;
            }
            self.rest.extend_from_slice(&piece[..length]);
            self.take_lines(&mut out);
        }
        if let Some(limit) = self.options.limit_bytes {
            out.truncate(limit.saturating_sub(self.sent));
        }
        self.sent += out.len();
        Ok(out)
    }

    /// Whether the reader has had all the bytes it asked for.
    pub(super) fn is_full(&self) -> bool {
        self.options.limit_bytes.is_some_and(|limit| self.sent >= limit)
    }

    fn take_lines(&mut self, out: &mut Vec<u8>) {
        let Some(end) = self.rest.iter().rposition(|b| *b == b'\n') else { return };
        let whole: Vec<u8> = self.rest.drain(..=end).collect();
        for line in whole[..end].split(|b| *b == b'\n') {
            let line = cri::parse(line);
            if line.is_since(self.options.since) {
                line.write(out, self.options.timestamps, self.fresh);
                self.fresh = line.full;
            }
        }
    }
}

/// Where the last `lines` whole lines of text begin: read backwards, so that long logs cost nothing.
fn tail(file: &mut File, lines: usize) -> std::io::Result<u64> {
    let end = file.seek(SeekFrom::End(0))?;
    let (mut start, mut found, mut bytes) = (end, 0, Vec::new());
    while start > 0 {
        let step = start.min(PIECE as u64);
        start -= step;
        let mut piece = vec![0; usize::try_from(step).unwrap_or(PIECE)];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut piece)?;
        piece.extend_from_slice(&bytes);
        bytes = piece;
        found = bytes.iter().filter(|b| **b == b'\n').count();
        // One more than asked for: the line before the first may be a part of it.
        if found > lines.saturating_add(1) * 2 {
            break;
        }
    }
    let _ = found;
    Ok(start + offset_of_tail(&bytes, lines) as u64)
}

/// Offset of the last `lines` lines of text in whole file lines; parts of one line count as one.
fn offset_of_tail(bytes: &[u8], lines: usize) -> usize {
    let mut starts = vec![0];
    starts.extend(bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1));
    starts.pop_if(|last| *last == bytes.len());
    let mut first = bytes.len();
    let mut left = lines;
    for pair in starts.iter().rev() {
        let end = bytes[*pair..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |at| pair + at);
        if cri::parse(&bytes[*pair..end]).full {
            if left == 0 {
                break;
            }
            left -= 1;
        }
        first = *pair;
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &[u8] = b"2026-01-01T00:00:01Z stdout F one\n2026-01-01T00:00:02Z stdout P tw\n2026-01-01T00:00:03Z stdout F o\n2026-01-01T00:00:04Z stderr F three\n";

    fn read(options: Options) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        std::fs::write(&path, LOG).unwrap();
        let mut reader = Reader::open(&path, options).unwrap();
        let mut all = Vec::new();
        loop {
            let piece = reader.read().unwrap();
            if piece.is_empty() {
                return String::from_utf8(all).unwrap();
            }
            all.extend(piece);
        }
    }

    #[test]
    fn reading_goes_on_in_the_file_that_takes_the_place() {
        let dir = tempfile::tempdir().unwrap();
        let (path, fresh) = (dir.path().join("0.log"), dir.path().join("0.log.tmp"));
        std::fs::write(&path, LOG).unwrap();
        let mut reader = Reader::open(&path, Options { tail_lines: Some(1), ..Options::default() }).unwrap();
        assert!(!reader.go_on(&path).unwrap(), "it is the same");
        assert_eq!(reader.read().unwrap(), b"three\n");
        std::fs::write(&fresh, b"2026-01-01T00:00:05Z stdout F four\n").unwrap();
        std::fs::rename(&fresh, &path).unwrap();
        assert_eq!(reader.read().unwrap(), b"");
        assert!(reader.go_on(&path).unwrap());
        assert_eq!(reader.read().unwrap(), b"four\n");
        std::fs::remove_file(&path).unwrap();
        assert!(!reader.go_on(&path).unwrap(), "there is no other");
    }

    #[test]
    fn whole_tail_since_limit_and_timestamps() {
        let of = |change: fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            read(options)
        };
        assert_eq!(of(|_| {}), "one\ntwo\nthree\n");
        assert_eq!(of(|o| o.tail_lines = Some(0)), "");
        assert_eq!(of(|o| o.tail_lines = Some(1)), "three\n");
        assert_eq!(of(|o| o.tail_lines = Some(2)), "two\nthree\n");
        assert_eq!(of(|o| o.tail_lines = Some(99)), "one\ntwo\nthree\n");
        assert_eq!(of(|o| o.since = "2026-01-01T00:00:04Z".parse().ok()), "three\n");
        assert_eq!(of(|o| o.limit_bytes = Some(6)), "one\ntw");
        assert!(
            of(|o| o.timestamps = true)
                .starts_with("2026-01-01T00:00:01.000000000Z one\n2026-01-01T00:00:02.000000000Z two\n")
        );
    }
}
