//! What a command says on standard output. Its reader may go away (`orlop up | head -1`): then nobody listens any more,
//! which is no reason for a server to die or for a drain to stop half-way, as `println!` would have it by its panic.

use std::{
    fmt,
    io::{self, Write},
};

/// As `println!`, whether or not somebody listens.
macro_rules! say {
    ($($words:tt)*) => { $crate::say::line(format_args!($($words)*)) };
}
pub(crate) use say;

pub(crate) fn line(words: fmt::Arguments<'_>) {
    to(&mut io::stdout().lock(), words);
}

/// A full disk behind standard output is told apart: what was to be written there is lost.
fn to(out: &mut impl Write, words: fmt::Arguments<'_>) {
    match writeln!(out, "{words}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            tracing::warn!(%error, "write to standard output");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        let (reader, mut writer) = io::pipe().unwrap();
        to(&mut writer, format_args!("one"));
        let mut reader = io::BufReader::new(reader);
        let mut line = String::new();
        io::BufRead::read_line(&mut reader, &mut line).unwrap();
        assert_eq!(line, "one\n");
        drop(reader);
        to(&mut writer, format_args!("two"));
    }
}
