//! `kill -9` at the effects of create, attach, stage, publish, start, stop, unpublish, unstage, detach, delete, on the real
//! kernel: after a restart the same end.
//!
//! | `ORLOP_CRASHES` | Orlop dies |
//! |---|---|
//! | absent | before and after every effect, of directories the first and last alone; in the middle of long ones; in its second life as well |
//! | `all` | before and after really every effect, and the rest |
//! | `after create 1,before start 1+after * 2` | where it says; `+` is a death in the next life |

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use orlop_e2e::{
    crash::{Effect, Moment, Plan},
    machine,
    story::{Life, Story},
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

/// The deaths of one story, a life each.
type Deaths = Vec<Plan>;

fn plan(moment: Moment, kind: &str, number: usize) -> Plan {
    Plan { moment, kind: kind.to_owned(), number }
}

fn text(deaths: &[Plan]) -> String {
    deaths.iter().map(Plan::to_string).collect::<Vec<_>>().join("+")
}

/// A life that ends as planned.
fn life_of(plan: &Plan) -> Life {
    Life { program: ORLOP.into(), variable: "ORLOP_CRASH", value: plan.to_string() }
}

/// How many effects of each kind a story without a crash has.
async fn count(story: &mut Story) -> Result<BTreeMap<String, usize>> {
    // The first story in a new directory has effects that no later one has.
    story.tell(Vec::new()).await?;
    let (life, file) = recorder(story);
    ensure!(story.tell(vec![life]).await? == 0, "nobody planned a death");
    recorded(&file)
}

/// A life that goes on, and where it records its effects.
fn recorder(story: &Story) -> (Life, PathBuf) {
    let file = story.cluster.dir().with_file_name("effects");
    let value = file.to_string_lossy().into_owned();
    (Life { program: ORLOP.into(), variable: "ORLOP_EFFECTS", value }, file)
}

fn recorded(file: &Path) -> Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for line in std::fs::read_to_string(file)?.lines() {
        let effect: Effect = line.parse()?;
        counts.insert(effect.kind, effect.number);
    }
    Ok(counts)
}

/// What every one of these stories has.
fn common(stories: &[BTreeMap<String, usize>]) -> BTreeMap<&str, usize> {
    let least = |kind: &str| stories.iter().map(|s| s.get(kind).copied().unwrap_or(0)).min().unwrap_or(0);
    stories.iter().flat_map(BTreeMap::keys).map(|kind| (kind.as_str(), least(kind))).collect()
}

fn every(counts: &BTreeMap<&str, usize>, directories: bool) -> Vec<Deaths> {
    let dull = |kind: &str| kind.ends_with("_dir") && !directories;
    let edges = counts.iter().flat_map(|(kind, count)| {
        let numbers = (1..=*count).filter(|n| !dull(kind) || [1, *count].contains(n));
        numbers.flat_map(|n| [Moment::Before, Moment::After].map(|moment| vec![plan(moment, kind, n)]))
    });
    let middles =
        DURING.iter().map(|(kind, ms)| vec![plan(Moment::During(Duration::from_millis(*ms)), kind, 1)]);
    let again = counts.iter().filter(|(_, count)| **count > 0).zip(0..).map(|((kind, _), n)| {
        let moment = if n % 2 == 0 { Moment::Before } else { Moment::After };
        vec![plan(Moment::After, kind, 1), plan(moment, "*", n % 3 + 1)]
    });
    edges.chain(middles).chain(again).collect()
}

fn chosen(counts: &BTreeMap<&str, usize>) -> Result<Vec<Deaths>> {
    let parse = |deaths: &str| deaths.split('+').map(str::parse).collect();
    match std::env::var("ORLOP_CRASHES").as_deref() {
        Err(_) => Ok(every(counts, false)),
        Ok("all") => Ok(every(counts, true)),
        Ok(stories) => stories.split(',').map(parse).collect(),
    }
}

/// Tells of these deaths, until the first of them comes up.
async fn die(story: &mut Story, deaths: &[Plan]) -> Result<()> {
    for _ in 0..TRIES {
        if story.tell(deaths.iter().map(life_of).collect()).await? > 0 {
            return Ok(());
        }
    }
    anyhow::bail!("the effect did not come up in {TRIES} stories")
}

/// Takes one after another until there are none left; answers what went wrong.
async fn tell(mut story: Story, stories: Arc<Mutex<Vec<Deaths>>>) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    loop {
        let Some(deaths) = stories.lock().expect("not poisoned").pop() else { return Ok(faults) };
        let from = story.cluster.log().len();
        if let Err(error) = die(&mut story, &deaths).await {
            eprintln!("{}: FAILED", text(&deaths));
            faults.push(format!("{}: {error:#}\n{}", text(&deaths), &story.cluster.log()[from..]));
            // What it left would spoil the next one.
            story = Story::prepare()?;
        } else {
            eprintln!("{}: the same end", text(&deaths));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_crash_at_every_effect() -> Result<()> {
    if !machine::can_run("root_crash_at_every_effect") {
        return Ok(());
    }
    let mut tellers = (0..TELLERS).map(|_| Story::prepare()).collect::<Result<Vec<_>>>()?;
    let counts = try_join_all(tellers.iter_mut().map(count)).await.context("the story without a crash")?;
    let mut stories = chosen(&common(&counts))?;
    println!(
        "{} effects in the story; it is told {} times",
        counts[0].values().sum::<usize>(),
        stories.len()
    );
    stories.reverse();
    let stories = Arc::new(Mutex::new(stories));
    let tellers = tellers.into_iter().map(|story| tokio::spawn(tell(story, Arc::clone(&stories))));
    let mut faults = Vec::new();
    for outcome in futures::future::join_all(tellers).await {
        faults.extend(outcome??);
    }
    assert!(faults.is_empty(), "{} did not end well:\n{}", faults.len(), faults.join("\n\n"));
    Ok(())
}

/// `orlop down` dies as well, and is run again.
#[tokio::test(flavor = "multi_thread")]
async fn root_crash_at_every_effect_of_down() -> Result<()> {
    if !machine::can_run("root_crash_at_every_effect_of_down") {
        return Ok(());
    }
    let mut story = Story::prepare()?;
    let (life, file) = recorder(&story);
    ensure!(!story.take_down(life).await.context("down without a crash")?, "nobody planned a death");
    for (kind, count) in recorded(&file)? {
        for number in 1..=count {
            for moment in [Moment::Before, Moment::After] {
                let plan = plan(moment, &kind, number);
                let died = story.take_down(life_of(&plan)).await.with_context(|| format!("down: {plan}"))?;
                ensure!(died, "down: {plan}: it did not come up");
                eprintln!("down: {plan}: the same end");
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_end_that_no_orlop_saw_is_told_by_the_next() -> Result<()> {
    if !machine::can_run("root_an_end_that_no_orlop_saw_is_told_by_the_next") {
        return Ok(());
    }
    Story::prepare()?.end_unwatched().await
}
