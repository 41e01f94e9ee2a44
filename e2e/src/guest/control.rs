//! The line to a guest: scripts go in, exit codes and output come back, several at a time.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use base64::{Engine, prelude::BASE64_STANDARD};

/// What came of a script.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The exit code; 128 and the signal's number for a script that a signal ended.
    pub code: i32,
    /// Standard output and standard error, as they came.
    pub output: String,
}

/// A script that was given to a guest and whose answer was not looked at yet.
pub struct Pending {
    answer: Receiver<Answer>,
}

impl Pending {
    /// Waits for the answer.
    pub fn wait(self, patience: Duration) -> Result<Answer> {
        match self.answer.recv_timeout(patience) {
            Ok(answer) => Ok(answer),
            Err(RecvTimeoutError::Timeout) => bail!("no answer within {patience:?}"),
            Err(RecvTimeoutError::Disconnected) => bail!("the guest went away"),
        }
    }

    /// Whether the answer has not come yet.
    pub fn runs(&mut self) -> bool {
        let Ok(answer) = self.answer.try_recv() else { return true };
        // Kept for `wait`.
        let (put_back, again) = channel();
        self.answer = again;
        put_back.send(answer).is_err()
    }
}

type Waiting = Mutex<Option<HashMap<u64, Sender<Answer>>>>;

pub(super) struct Control {
    line: Mutex<UnixStream>,
    next: AtomicU64,
    /// Who waits for which number; `None` after the guest went away.
    waiting: Arc<Waiting>,
}

impl Control {
    pub(super) fn new(line: UnixStream) -> Result<Self> {
        let answers = BufReader::new(line.try_clone()?);
        let waiting: Arc<Waiting> = Arc::new(Mutex::new(Some(HashMap::new())));
        let told = Arc::clone(&waiting);
        std::thread::spawn(move || {
            for line in answers.lines().map_while(Result::ok) {
                deliver(&line, &told);
            }
            // Whoever waits learns that nothing will come.
            *told.lock().unwrap() = None;
        });
        Ok(Self { line: Mutex::new(line), next: AtomicU64::new(1), waiting })
    }

    pub(super) fn send(&self, script: &str) -> Result<Pending> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = channel();
        self.waiting.lock().unwrap().as_mut().context("the guest went away")?.insert(number, sender);
        let line = format!("{number} {}\n", BASE64_STANDARD.encode(script));
        self.line.lock().unwrap().write_all(line.as_bytes()).context("the guest went away")?;
        Ok(Pending { answer })
    }
}

fn deliver(line: &str, waiting: &Waiting) {
    let Some((number, answer)) = parse(line) else { return };
    let sender = waiting.lock().unwrap().as_mut().and_then(|waiting| waiting.remove(&number));
    if let Some(sender) = sender {
        // Whoever asked may have given up.
        let _ = sender.send(answer);
    }
}

fn parse(line: &str) -> Option<(u64, Answer)> {
    let mut words = line.trim_end().split(' ');
    let number = words.next()?.parse().ok()?;
    let code = words.next()?.parse().ok()?;
    let output = BASE64_STANDARD.decode(words.next().unwrap_or("")).ok()?;
    Some((number, Answer { code, output: String::from_utf8_lossy(&output).into_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers the scripts that come on its end with their own text, the last one first.
    fn echo_backwards(mut guest: UnixStream, count: usize) {
        let mut lines = BufReader::new(guest.try_clone().unwrap()).lines();
        let mut asked: Vec<String> = (0..count).map(|_| lines.next().unwrap().unwrap()).collect();
        asked.reverse();
        for line in asked {
            let (number, script) = line.split_once(' ').unwrap();
            writeln!(guest, "{number} 3 {script}").unwrap();
        }
    }

    #[test]
    fn each_script_gets_its_own_answer_in_whatever_order() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let control = Control::new(ours).unwrap();
        let guest = std::thread::spawn(move || echo_backwards(theirs, 2));
        let (first, second) = (control.send("first\nof two").unwrap(), control.send("second").unwrap());
        let patience = Duration::from_secs(10);
        assert_eq!(second.wait(patience).unwrap(), Answer { code: 3, output: "second".into() });
        assert_eq!(first.wait(patience).unwrap(), Answer { code: 3, output: "first\nof two".into() });
        guest.join().unwrap();
    }

    #[test]
    fn a_guest_that_goes_away_is_told_to_all_that_wait_and_ask() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let control = Control::new(ours).unwrap();
        let mut pending = control.send("sleep 1000").unwrap();
        assert!(pending.runs());
        drop(theirs);
        let error = pending.wait(Duration::from_secs(10)).unwrap_err();
        assert_eq!(error.to_string(), "the guest went away");
        let error = control.send("true").err().expect("nobody is there");
        assert_eq!(error.to_string(), "the guest went away");
    }

    #[test]
    fn what_is_no_answer_is_passed_over() {
        for line in ["", "ready", "1", "1 x", "1 0 ***"] {
            assert_eq!(parse(line), None, "{line:?}");
        }
        assert_eq!(parse("7 0 "), Some((7, Answer { code: 0, output: String::new() })));
    }
}
