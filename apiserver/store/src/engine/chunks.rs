//! Large values in pieces. sled moves pages above a quarter of its segment into files of their own, which it never
//! syncs; a leaf holds up to 16 values, so none may be larger than a piece.
//!
//! A value up to 64 KiB is stored behind the byte 0. Of a larger one the byte 1 and the number of pieces (4 bytes, big
//! endian) are stored under its key, and piece n under `\0<key>\0<n>`; no key of ours begins with NUL.

use std::collections::HashMap;

use super::Op;

/// The largest piece.
pub(crate) const PIECE: usize = 64 << 10;
/// The first key behind those of pieces.
pub(crate) const FIRST_KEY: &[u8] = &[1];

const WHOLE: u8 = 0;
const PIECES: u8 = 1;

/// One write as the tree gets it.
pub(crate) type RawOp = (Vec<u8>, Option<Vec<u8>>);

/// A stored value, before its pieces are fetched.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stored<'a> {
    /// The value.
    Whole(&'a [u8]),
    /// How many pieces it has.
    Pieces(u32),
}

/// Reads what is stored under a key; `None` when it makes no sense.
pub(crate) fn parse(stored: &[u8]) -> Option<Stored<'_>> {
    match stored.split_first()? {
        (&WHOLE, value) => Some(Stored::Whole(value)),
        (&PIECES, count) => Some(Stored::Pieces(u32::from_be_bytes(count.try_into().ok()?))),
        _ => None,
    }
}

/// The key of piece `n`.
pub(crate) fn piece_key(key: &str, n: u32) -> Vec<u8> {
    [b"\0", key.as_bytes(), b"\0", &n.to_be_bytes()].concat()
}

/// How many pieces each large value has, so that pieces of replaced values are removed.
#[derive(Debug, Default)]
pub(crate) struct Large(HashMap<String, u32>);

impl Large {
    /// Remembers a large value found on disk.
    pub(crate) fn found(&mut self, key: &str, pieces: u32) {
        self.0.insert(key.to_owned(), pieces);
    }

    /// What the tree has to write for `op`.
    pub(crate) fn write(&mut self, op: Op, out: &mut Vec<RawOp>) {
        let Op { key, value } = op;
        let pieces = match &value {
            Some(value) if value.len() > PIECE => {
                let pieces = value.chunks(PIECE).zip(0u32..);
                out.extend(pieces.map(|(piece, n)| (piece_key(&key, n), Some(piece.to_vec()))));
                value.len().div_ceil(PIECE).try_into().unwrap_or(u32::MAX)
            }
            _ => 0,
        };
        let before = if pieces == 0 { self.0.remove(&key) } else { self.0.insert(key.clone(), pieces) };
        out.extend((pieces..before.unwrap_or(0)).map(|n| (piece_key(&key, n), None)));
        let stored = value.map(|value| match pieces {
            0 => [&[WHOLE], &*value].concat(),
            pieces => [&[PIECES][..], &pieces.to_be_bytes()].concat(),
        });
        out.push((key.into_bytes(), stored));
    }
}

#[cfg(test)]
mod tests {
    use super::{Large, PIECE, RawOp, Stored, parse};
    use crate::engine::Op;

    fn write(large: &mut Large, size: Option<usize>) -> Vec<RawOp> {
        let mut out = Vec::new();
        large.write(Op { key: "o/k".into(), value: size.map(|n| vec![7; n]) }, &mut out);
        out
    }

    #[test]
    fn pieces_come_and_go_with_the_value() {
        // (size, pieces written, pieces removed)
        let table = [
            (Some(PIECE), 0, 0),
            (Some(PIECE + 1), 2, 0),
            (Some(5 * PIECE), 5, 0),
            (Some(3 * PIECE - 1), 3, 2),
            (Some(0), 0, 3),
            (Some(2 * PIECE), 2, 0),
            (None, 0, 2),
            (None, 0, 0),
        ];
        let mut large = Large::default();
        for (size, written, removed) in table {
            let ops = write(&mut large, size);
            let (last, pieces) = ops.split_last().expect("the key itself");
            assert_eq!(pieces.iter().filter(|(_, value)| value.is_some()).count(), written, "{size:?}");
            assert_eq!(pieces.iter().filter(|(_, value)| value.is_none()).count(), removed, "{size:?}");
            assert!(ops.iter().all(|(_, value)| value.as_ref().is_none_or(|v| v.len() <= PIECE + 1)));
            match (size, &last.1) {
                (None, None) => {}
                (Some(_), Some(stored)) if written > 0 => {
                    assert_eq!(parse(stored), Some(Stored::Pieces(written as u32)));
                }
                (Some(size), Some(stored)) => assert_eq!(parse(stored), Some(Stored::Whole(&vec![7; size]))),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn nonsense_is_noticed() {
        for stored in [&[][..], &[2, 0], &[1, 0], &[1, 0, 0, 0, 0, 0]] {
            assert_eq!(parse(stored), None, "{stored:?}");
        }
    }
}
