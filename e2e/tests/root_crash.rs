//! `kill -9` at effects of create, attach, stage, publish, start, stop, unpublish, unstage, detach, delete, on the real
//! kernel: after a restart the same end.
//!
//! A sample by default; `ORLOP_CRASHES=all` takes every effect, before and after; `ORLOP_CRASHES='after create 1'` one.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};

use anyhow::{Context, Result};
use orlop_e2e::{
    crash::{Effect, Moment, Plan},
    machine,
    story::Story,
};

const ORLOP: &str = env!("CARGO_BIN_EXE_crashing-orlop");
/// Stories told at the same time: most of each is waiting.
const TELLERS: usize = 3;
/// Deaths while an effect that takes its time is under way, in milliseconds from its beginning.
const DURING: &[(&str, u64)] =
    &[("make_filesystem", 2), ("create", 5), ("create", 15), ("start", 5), ("delete", 5)];

/// The effects of one story without a crash.
async fn effects(story: &mut Story) -> Result<Vec<Effect>> {
    let file = story.cluster.dir().with_file_name("effects");
    let deaths = story.tell(Path::new(ORLOP), &[("ORLOP_EFFECTS", &file.to_string_lossy())]).await?;
    assert_eq!(deaths, 0, "nobody planned a death");
    std::fs::read_to_string(file)?.lines().map(str::parse).collect()
}

/// Before and after every effect.
fn all(effects: &[Effect]) -> Vec<Plan> {
    let both = |effect: &Effect| {
        [Moment::Before, Moment::After].map(|moment| Plan {
            moment,
            kind: effect.kind.clone(),
            number: effect.number,
        })
    };
    effects.iter().flat_map(both).collect()
}

/// For each kind of effect one death before its first and one after its last, and the ones in the middle.
fn sample(effects: &[Effect]) -> Vec<Plan> {
    let mut last = BTreeMap::new();
    for effect in effects {
        last.insert(effect.kind.as_str(), effect.number);
    }
    let plan = |moment, kind: &str, number| Plan { moment, kind: kind.to_owned(), number };
    let edges = last
        .iter()
        .flat_map(|(kind, last)| [plan(Moment::Before, kind, 1), plan(Moment::After, kind, *last)]);
    let middle =
        DURING.iter().map(|(kind, ms)| plan(Moment::During(std::time::Duration::from_millis(*ms)), kind, 1));
    edges.chain(middle).collect()
}

fn plans(effects: &[Effect]) -> Result<Vec<Plan>> {
    match std::env::var("ORLOP_CRASHES").as_deref() {
        Err(_) => Ok(sample(effects)),
        Ok("all") => Ok(all(effects)),
        Ok(plans) => plans.split(',').map(str::parse).collect(),
    }
}

/// Tells the story for plan after plan until there are none left; answers what went wrong.
async fn tell(mut story: Story, plans: Arc<Mutex<Vec<Plan>>>) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    loop {
        let Some(plan) = plans.lock().expect("not poisoned").pop() else { return Ok(faults) };
        let text = plan.to_string();
        let begun = std::time::Instant::now();
        let outcome = story.tell(Path::new(ORLOP), &[("ORLOP_CRASH", &text)]).await;
        eprintln!("{text}: {} after {:?}", if outcome.is_ok() { "ok" } else { "FAILED" }, begun.elapsed());
        match outcome {
            Ok(1) => {}
            Ok(deaths) => faults.push(format!("{text}: died {deaths} times instead of once")),
            Err(error) => {
                faults.push(format!("{text}: {error:#}\n{}", story.cluster.log()));
                // What it left would spoil the next one.
                story = Story::prepare()?;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn root_crash_at_every_kind_of_effect() -> Result<()> {
    if !machine::can_run("root_crash_at_every_kind_of_effect") {
        return Ok(());
    }
    let mut story = Story::prepare()?;
    let effects = effects(&mut story).await.context("the story without a crash")?;
    let mut plans = plans(&effects)?;
    plans.reverse();
    println!("{} effects, {} crashes", effects.len(), plans.len());
    let plans = Arc::new(Mutex::new(plans));
    let mut tellers = tokio::task::JoinSet::new();
    tellers.spawn(tell(story, Arc::clone(&plans)));
    for _ in 1..TELLERS {
        tellers.spawn(tell(Story::prepare()?, Arc::clone(&plans)));
    }
    let mut faults = Vec::new();
    while let Some(outcome) = tellers.join_next().await {
        faults.extend(outcome??);
    }
    assert!(faults.is_empty(), "{} crashes did not end well:\n{}", faults.len(), faults.join("\n\n"));
    Ok(())
}
