//! What an Event says, without the numbers that change from one repeat to the next.

/// The message with `#` for each word that is a number: messages of one gist are one Event, which counts up.
///
/// Free space, durations and sizes differ at every attempt; without this each attempt would leave an Event of its own.
pub fn gist(message: &str) -> String {
    let words: Vec<&str> = message.split(' ').map(|word| if is_number(word) { "#" } else { word }).collect();
    words.join(" ")
}

/// `12`, `54.17`, `3,`; not `10.0.0.1`, `c1` or `0/1`.
fn is_number(word: &str) -> bool {
    let word = word.trim_end_matches([',', ';', ':', '.', ')']);
    let (whole, fraction) = word.split_once('.').unwrap_or((word, "0"));
    [whole, fraction].iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::gist;

    #[test]
    fn numbers_that_stand_alone_are_left_out() {
        let rows = [
            ("the pool has 54.17 GiB, of which 0 bytes", "the pool has # GiB, of which # bytes"),
            ("tried 3, then 4; it took 1.5.", "tried # then # it took #"),
            ("Created container: c1", "Created container: c1"),
            ("0/1 nodes are available", "0/1 nodes are available"),
            ("dial 10.0.0.1 . .5 5.", "dial 10.0.0.1 . .5 #"),
            ("", ""),
        ];
        for (message, expected) in rows {
            assert_eq!(gist(message), expected);
        }
    }
}
