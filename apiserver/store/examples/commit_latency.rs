//! What one commit costs, beside appending the same bytes to a file and syncing it: same disk, same run, interleaved.
//!
//! `cargo run --profile ci -p orlop-store --example commit_latency -- DIR [ROUNDS]`

use std::{
    convert::Infallible,
    fs::File,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use orlop_objects::{Object, kind};
use orlop_store::{Options, Store};

/// Commits of each kind in one round.
const COMMITS: usize = 100;

fn object(name: &str, text: &str) -> Object {
    let value = serde_json::json!({"metadata": {"name": name, "namespace": "n"}, "data": {"text": text}});
    Object::from_value(&kind::CONFIG_MAP, &value).expect("has metadata")
}

fn timed(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let dir = Path::new(args.first().expect("a directory on the disk to measure"));
    let rounds: usize = args.get(1).map_or(7, |n| n.parse().expect("a number of rounds"));
    std::fs::create_dir_all(dir).expect("makes the directory");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    let store = Store::open(&dir.join("store"), Options::default()).expect("opens");
    let mut raw = File::create(dir.join("raw")).expect("creates");
    for size in [2_000, 12_000, 40_000, 500_000] {
        let text = "x".repeat(size);
        let (mut floors, mut commits) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let (mut floor, mut commit) = (Vec::new(), Vec::new());
            for n in 0..COMMITS {
                let object = object(&format!("{size}-{round}-{n}"), &text);
                floor.push(timed(|| {
                    raw.write_all(&object.bytes).expect("appends");
                    raw.sync_data().expect("syncs");
                }));
                let (store, object) = (store.clone(), object.clone());
                commit.push(timed(|| {
                    // A task of the runtime, as a request is.
                    let task = runtime.spawn(async move {
                        let done = store.update(move |tx| {
                            tx.put(object.clone());
                            Ok::<_, Infallible>(())
                        });
                        done.await.expect("commits").revision
                    });
                    runtime.block_on(task).expect("no panic");
                }));
            }
            floors.push(median(&mut floor));
            commits.push(median(&mut commit));
        }
        let ratios = floors.iter().zip(&commits).map(|(f, c)| c.as_secs_f64() / f.as_secs_f64());
        let mut ratios: Vec<_> = ratios.collect();
        ratios.sort_by(f64::total_cmp);
        let (low, middle, high) = (ratios[0], ratios[rounds / 2], ratios[rounds - 1]);
        let (floor, commit) = (median(&mut floors), median(&mut commits));
        println!(
            "{size:>7} bytes: append + fdatasync {floor:>9.1?}, commit {commit:>9.1?}, ratio {middle:.2} ({low:.2} to {high:.2})"
        );
    }
}
