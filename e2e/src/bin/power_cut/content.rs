//! What the writer writes: a function of name, version and size, so that the checker can compute it again.

use orlop_objects::{Key, Kind, Object, kind};
use serde_json::json;

/// Bytes of text in an object. The last makes an object just below the 1 MiB that a transaction may hold.
pub(crate) const SIZES: [usize; 5] = [2_000, 12_000, 40_000, 500_000, (1 << 20) - 300];

/// Objects up to this size are written as a pair, in one transaction.
const PAIRED: usize = 40_000;

/// A small generator of numbers (SplitMix64): the same for the same seed.
#[derive(Clone, Debug)]
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The name that `task` gives to its `n`th object of a size (an index into [`SIZES`]).
pub(crate) fn name(size: usize, task: u64, n: u64) -> String {
    format!("size{size}-{task}-{n}")
}

/// The keys that a transaction on `name` writes.
pub(crate) fn keys(name: &str) -> Vec<Key> {
    let kinds: &[&'static Kind] =
        if size_of(name) <= PAIRED { &[&kind::CONFIG_MAP, &kind::SECRET] } else { &[&kind::CONFIG_MAP] };
    kinds.iter().map(|kind| Key::new(kind, "n", name)).collect()
}

/// One of the objects that version `version` of `name` consists of.
pub(crate) fn object(key: &Key, version: u64) -> Object {
    let value = json!({
        "metadata": {"name": key.name, "namespace": key.namespace, "labels": {"version": version.to_string()}},
        "data": {"text": text(&key.name, version)},
    });
    Object::from_value(key.kind, &value).unwrap()
}

fn size_of(name: &str) -> usize {
    let digits: String = name.chars().filter(char::is_ascii_digit).take(1).collect();
    SIZES[digits.parse::<usize>().unwrap()]
}

/// Letters that no compression or zero page could pass for.
fn text(name: &str, version: u64) -> String {
    let seed = name.bytes().fold(version, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mut numbers = Numbers(seed);
    let size = size_of(name);
    let mut text = String::with_capacity(size + 16);
    while text.len() < size {
        text.push_str(&format!("{:016x}", numbers.next()));
    }
    text.truncate(size);
    text
}
