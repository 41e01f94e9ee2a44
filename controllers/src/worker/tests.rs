//! The worker, with time stopped: what is looked at, when, and never twice at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use orlop_objects::{Key, Kind, Object, kind};
use orlop_registry::{DeleteOptions, Registry};
use orlop_store::{Snapshot, Store};
use serde_json::json;
use tokio::{sync::watch, task::JoinHandle, time::Instant};

use super::{Controller, Due, Next, Reader, Related, Worker};
use crate::{Error, error::stale};

/// What a run of a key answers, in turn; `Settled` when nothing is left.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Wait(Option<Duration>),
    Fail,
    Lose,
    Slow(Duration),
}

#[derive(Default)]
struct Log {
    runs: Vec<(String, Duration)>,
    running: HashMap<String, usize>,
    answers: HashMap<String, Vec<Answer>>,
}

/// Looks at config maps, writes down what it does, and answers as it is told. A secret concerns the config map that it
/// names; a service account concerns whatever waits.
struct Scribe {
    log: Arc<Mutex<Log>>,
    start: Instant,
}

impl Controller for Scribe {
    type Verdict = ();
    type View = Vec<Key>;

    const KEYS: &'static [&'static Kind] = &[&kind::CONFIG_MAP];
    const NAME: &'static str = "scribe";
    const WATCHES: &'static [&'static Kind] = &[&kind::CONFIG_MAP, &kind::SECRET, &kind::SERVICE_ACCOUNT];

    fn related(&self, object: &Object, _: &Snapshot) -> Related {
        match object.key.kind.kind {
            "ConfigMap" => Related::itself(object),
            "Secret" => Related::keys(object.meta.labels.get("for").map(|name| key(name))),
            _ => Related::waiting(),
        }
    }

    fn view(&self, keys: &[Due], _: &mut Reader) -> Vec<Key> {
        keys.iter().map(|due| due.key.clone()).collect()
    }

    fn decide(view: &Vec<Key>) -> Vec<(Key, ())> {
        view.iter().map(|key| (key.clone(), ())).collect()
    }

    async fn apply(&self, key: &Key, (): ()) -> Result<Next, Error> {
        let answer = {
            let mut log = self.log.lock().expect("no test panics while it writes");
            let running = log.running.entry(key.name.clone()).or_default();
            *running += 1;
            assert_eq!(*running, 1, "one run per key at a time");
            log.runs.push((key.name.clone(), self.start.elapsed()));
            let answers = log.answers.entry(key.name.clone()).or_default();
            if answers.is_empty() { None } else { Some(answers.remove(0)) }
        };
        let done = match answer {
            None => Ok(Next::Settled),
            Some(Answer::Wait(after)) => Ok(Next::Waiting(after.map(|after| super::now() + after))),
            Some(Answer::Fail) => {
                let refused = orlop_registry::Error::BadRequest("told to".to_owned());
                Err(Error::doing("fail", key)(refused))
            }
            Some(Answer::Lose) => Err(Error::doing("race", key)(stale(key))),
            Some(Answer::Slow(time)) => {
                tokio::time::sleep(time).await;
                Ok(Next::Settled)
            }
        };
        let mut log = self.log.lock().expect("no test panics while it writes");
        log.running.insert(key.name.clone(), 0);
        done
    }
}

fn key(name: &str) -> Key {
    Key::new(&kind::CONFIG_MAP, "default", name)
}

struct Desk {
    registry: Registry,
    log: Arc<Mutex<Log>>,
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

impl Desk {
    async fn new() -> Self {
        let registry = Registry::new(Store::in_memory());
        let (stop, _) = watch::channel(false);
        let desk = Self { registry, log: Arc::default(), stop, task: None };
        desk.create_in(&kind::NAMESPACE, "", json!({"metadata": {"name": "default"}})).await;
        desk
    }

    fn start(&mut self) {
        let scribe = Scribe { log: self.log.clone(), start: Instant::now() };
        let worker = Worker::new(scribe, self.registry.clone());
        self.task = Some(tokio::spawn(worker.run(self.stop.subscribe())));
    }

    async fn create_in(&self, kind: &'static Kind, namespace: &str, body: serde_json::Value) {
        let who = crate::who("test");
        let made = self.registry.create(kind, namespace, body, &who, false);
        with_time_held(made).await.expect("it is valid");
    }

    async fn create(&self, kind: &'static Kind, name: &str, concerns: &str) {
        let meta = json!({"name": name, "labels": {"for": concerns}});
        self.create_in(kind, "default", json!({"metadata": meta})).await;
    }

    async fn delete(&self, kind: &'static Kind, name: &str) {
        let key = Key::new(kind, "default", name);
        let options = DeleteOptions::default();
        let who = crate::who("test");
        with_time_held(self.registry.delete(&key, &options, &who)).await.expect("it is there");
    }

    fn answer(&self, name: &str, answers: &[Answer]) {
        let mut log = self.log.lock().expect("no test panics while it writes");
        log.answers.insert(name.to_owned(), answers.to_vec());
    }

    /// Waits until `name` has been run `count` times, and answers when each run was.
    async fn runs(&self, name: &str, count: usize) -> Vec<Duration> {
        loop {
            let runs: Vec<Duration> = {
                let log = self.log.lock().expect("no test panics while it writes");
                log.runs.iter().filter(|(run, _)| run == name).map(|(_, at)| *at).collect()
            };
            if runs.len() >= count {
                return runs;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// The store commits on a thread of its own: without this the stopped clock would jump ahead while it does.
async fn with_time_held<T>(work: impl Future<Output = T>) -> T {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let holder = tokio::task::spawn_blocking(move || held.recv());
    let done = work.await;
    drop(release);
    let _ = holder.await;
    done
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn everything_there_is_looked_at_once_after_the_start() {
    let mut desk = Desk::new().await;
    desk.create(&kind::CONFIG_MAP, "a", "").await;
    desk.create(&kind::CONFIG_MAP, "b", "").await;
    desk.start();
    assert_eq!(desk.runs("a", 1).await.len(), 1);
    assert_eq!(desk.runs("b", 1).await.len(), 1);
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(desk.runs("a", 1).await.len(), 1, "nothing changed since");
}

#[tokio::test(start_paused = true)]
async fn a_change_wakes_what_it_concerns_and_what_it_concerned_before() {
    let mut desk = Desk::new().await;
    desk.create(&kind::CONFIG_MAP, "a", "").await;
    desk.start();
    desk.runs("a", 1).await;
    desk.create(&kind::SECRET, "s", "a").await;
    desk.runs("a", 2).await;
    desk.delete(&kind::SECRET, "s").await;
    assert_eq!(desk.runs("a", 3).await.len(), 3, "what is gone concerned it");
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_woken_by_what_concerns_the_waiting_and_who_is_settled_is_not() {
    let mut desk = Desk::new().await;
    desk.answer("waits", &[Answer::Wait(None)]);
    desk.create(&kind::CONFIG_MAP, "waits", "").await;
    desk.create(&kind::CONFIG_MAP, "settled", "").await;
    desk.start();
    desk.runs("waits", 1).await;
    desk.runs("settled", 1).await;
    desk.create(&kind::SERVICE_ACCOUNT, "news", "").await;
    desk.runs("waits", 2).await;
    desk.create(&kind::SERVICE_ACCOUNT, "more-news", "").await;
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(desk.runs("waits", 2).await.len(), 2, "it is settled since");
    assert_eq!(desk.runs("settled", 1).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_its_time() {
    let mut desk = Desk::new().await;
    desk.answer("a", &[Answer::Wait(Some(30 * SECOND))]);
    desk.create(&kind::CONFIG_MAP, "a", "").await;
    desk.start();
    let runs = desk.runs("a", 2).await;
    assert!(runs[1] - runs[0] >= 30 * SECOND && runs[1] - runs[0] < 31 * SECOND, "{runs:?}");
}

#[tokio::test(start_paused = true)]
async fn failures_back_off_and_lost_races_do_not() {
    let mut desk = Desk::new().await;
    desk.answer("fails", &[Answer::Fail; 4]);
    desk.answer("loses", &[Answer::Lose; 2]);
    desk.create(&kind::CONFIG_MAP, "fails", "").await;
    desk.create(&kind::CONFIG_MAP, "loses", "").await;
    desk.start();
    let lost = desk.runs("loses", 3).await;
    assert!(lost[2] - lost[0] < SECOND / 20, "{lost:?}");
    let failed = desk.runs("fails", 5).await;
    let pauses: Vec<Duration> = failed.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.windows(2).all(|pair| pair[1] > pair[0]), "{pauses:?}");
    assert!(pauses[3] >= SECOND * 2 / 5, "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn what_changes_during_a_run_is_looked_at_after_it() {
    let mut desk = Desk::new().await;
    desk.answer("a", &[Answer::Slow(10 * SECOND)]);
    desk.create(&kind::CONFIG_MAP, "a", "").await;
    desk.start();
    desk.runs("a", 1).await;
    for n in 0..3 {
        desk.create(&kind::SECRET, &format!("s{n}"), "a").await;
    }
    let runs = desk.runs("a", 2).await;
    assert!(runs[1] - runs[0] >= 10 * SECOND, "{runs:?}");
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(desk.runs("a", 2).await.len(), 2, "three changes, one more run");
}

#[tokio::test(start_paused = true)]
async fn stop_ends_a_run_that_has_begun() {
    let mut desk = Desk::new().await;
    desk.answer("a", &[Answer::Slow(10 * SECOND)]);
    desk.create(&kind::CONFIG_MAP, "a", "").await;
    desk.start();
    desk.runs("a", 1).await;
    desk.stop.send_replace(true);
    desk.task.take().expect("it runs").await.expect("it does not panic");
    let log = desk.log.lock().expect("no test panics while it writes");
    assert_eq!(log.running["a"], 0, "the run went to its end");
}
