//! `kill -9` at every effect of create, attach, stage, publish, start, stop, unpublish, unstage, detach, delete, on the
//! real kernel: after a restart the same end.
//!
//! `ORLOP_CRASHES='after create 1,before start 1'` chooses; without it Orlop dies before and after every effect that the
//! story has each time it is told.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use orlop_e2e::{
    crash::{Effect, Moment, Plan},
    machine,
    story::Story,
};

const ORLOP: &str = env!("CARGO_BIN_EXE_crashing-orlop");
/// Stories told at the same time: most of each is waiting.
const TELLERS: usize = 3;
/// How often a story is told again in which the planned effect did not come up: how work is cut into effects depends on
/// what happens at the same time.
const TRIES: usize = 4;
/// Deaths while an effect that takes its time is under way, in milliseconds from its beginning.
const DURING: &[(&str, u64)] = &[
    ("make_filesystem", 1),
    ("make_filesystem", 4),
    ("create", 2),
    ("create", 5),
    ("create", 10),
    ("create", 20),
    ("start", 3),
    ("start", 8),
    ("delete", 2),
    ("delete", 5),
];

type Plans = Arc<Mutex<Vec<Plan>>>;

/// The effects of one story without a crash.
async fn effects(story: &mut Story) -> Result<Vec<Effect>> {
    let file = story.cluster.dir().with_file_name("effects");
    let deaths = story.tell(Path::new(ORLOP), &[("ORLOP_EFFECTS", &file.to_string_lossy())]).await?;
    ensure!(deaths == 0, "nobody planned a death");
    std::fs::read_to_string(file)?.lines().map(str::parse).collect()
}

/// How many of each kind there are in every one of these stories.
fn common(stories: &[Vec<Effect>]) -> BTreeMap<&str, usize> {
    let count = |story: &[Effect], kind: &str| story.iter().filter(|effect| effect.kind == kind).count();
    let kinds = stories.iter().flatten().map(|effect| effect.kind.as_str());
    kinds.map(|kind| (kind, stories.iter().map(|story| count(story, kind)).min().unwrap_or(0))).collect()
}

/// Before and after every effect, and in the middle of the long ones.
fn every(counts: &BTreeMap<&str, usize>) -> Vec<Plan> {
    let plan = |moment, kind: &str, number| Plan { moment, kind: kind.to_owned(), number };
    let effects = counts.iter().flat_map(|(kind, count)| (1..=*count).map(move |number| (*kind, number)));
    let edges =
        effects.flat_map(|(kind, number)| [Moment::Before, Moment::After].map(|m| plan(m, kind, number)));
    let during = |(kind, ms): &(&str, u64)| plan(Moment::During(Duration::from_millis(*ms)), kind, 1);
    edges.chain(DURING.iter().map(during)).collect()
}

fn chosen(counts: &BTreeMap<&str, usize>) -> Result<Vec<Plan>> {
    match std::env::var("ORLOP_CRASHES") {
        Ok(plans) => plans.split(',').map(str::parse).collect(),
        Err(_) => Ok(every(counts)),
    }
}

/// One death, told until it happens.
async fn die(story: &mut Story, plan: &Plan) -> Result<()> {
    for _ in 0..TRIES {
        if story.tell(Path::new(ORLOP), &[("ORLOP_CRASH", &plan.to_string())]).await? > 0 {
            return Ok(());
        }
    }
    anyhow::bail!("the effect did not come up in {TRIES} stories")
}

/// Takes plan after plan until there are none left; answers what went wrong.
async fn tell(mut story: Story, plans: Plans) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    loop {
        let Some(plan) = plans.lock().expect("not poisoned").pop() else { return Ok(faults) };
        if let Err(error) = die(&mut story, &plan).await {
            eprintln!("{plan}: FAILED");
            faults.push(format!("{plan}: {error:#}\n{}", story.cluster.log()));
            // What it left would spoil the next one.
            story = Story::prepare()?;
        } else {
            eprintln!("{plan}: the same end");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_crash_at_every_effect() -> Result<()> {
    if !machine::can_run("root_crash_at_every_effect") {
        return Ok(());
    }
    let mut stories = (0..TELLERS).map(|_| Story::prepare()).collect::<Result<Vec<_>>>()?;
    let found = try_join_all(stories.iter_mut().map(effects)).await.context("the story without a crash")?;
    let mut plans = chosen(&common(&found))?;
    println!("{} effects in the story, {} crashes", found[0].len(), plans.len());
    plans.reverse();
    let plans = Plans::new(plans.into());
    let tellers = stories.into_iter().map(|story| tokio::spawn(tell(story, Arc::clone(&plans))));
    let outcomes = futures::future::join_all(tellers).await;
    let mut faults = Vec::new();
    for outcome in outcomes {
        faults.extend(outcome??);
    }
    assert!(faults.is_empty(), "{} crashes did not end well:\n{}", faults.len(), faults.join("\n\n"));
    Ok(())
}
