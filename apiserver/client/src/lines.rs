//! Lines out of pieces of bytes.

use bytes::{Bytes, BytesMut};

/// Longest line: an event holds one object, and an object is at most 3 MiB.
const LONGEST: usize = 8 * 1024 * 1024;

/// Collects pieces and gives out whole lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    buffer: BytesMut,
    /// How much of the buffer has been searched without a line end.
    searched: usize,
}

impl Lines {
    /// Takes in a piece; `false` when the line has grown beyond reason.
    pub(crate) fn push(&mut self, piece: &Bytes) -> bool {
        self.buffer.extend_from_slice(piece);
        self.buffer.len() <= LONGEST
    }

    /// The next whole line, without its end.
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        let found = self.buffer[self.searched..].iter().position(|b| *b == b'\n');
        let Some(at) = found.map(|at| at + self.searched) else {
            self.searched = self.buffer.len();
            return None;
        };
        self.searched = 0;
        let line = self.buffer.split_to(at + 1).freeze();
        Some(line.slice(..at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_whatever_the_pieces() {
        let text = b"one\ntwo\n\nthree";
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let mut found = Vec::new();
            for piece in text.chunks(size) {
                assert!(lines.push(&Bytes::copy_from_slice(piece)));
                while let Some(line) = lines.next() {
                    found.push(line);
                }
            }
            assert_eq!(found, [&b"one"[..], b"two", b""]);
        }
    }
}
