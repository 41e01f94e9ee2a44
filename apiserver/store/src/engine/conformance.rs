//! What every engine must do, once: compared with a plain map, through batches, barriers and reopening.

use std::{collections::BTreeMap, path::Path};

use proptest::prelude::*;

use super::{Engine, Op, logged::Logged, memory::Memory, sled::Sled};
use crate::Sync;

/// Small, at the edge of a piece, several pieces.
const SIZES: [usize; 7] = [0, 3, 2000, 64 << 10, (64 << 10) + 1, 200_000, 1 << 20];

#[derive(Clone, Debug)]
enum Step {
    /// Keys (of 8) with the index of a size; `None` deletes.
    Batch(BTreeMap<u8, Option<usize>>),
    Sync,
    Reopen,
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = prop_oneof![3 => (0..SIZES.len()).prop_map(Some), 1 => Just(None)];
    let step = prop_oneof![
        6 => prop::collection::btree_map(0u8..8, write, 1..5).prop_map(Step::Batch),
        2 => Just(Step::Sync),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..40)
}

fn content(engine: &mut dyn Engine) -> BTreeMap<String, Vec<u8>> {
    let (mut content, mut order) = (BTreeMap::new(), Vec::new());
    let loaded = engine.load(&mut |key, value| {
        order.push(key.to_owned());
        content.insert(key.to_owned(), value.to_vec());
        Ok(())
    });
    loaded.expect("loads");
    assert!(order.is_sorted(), "keys come in order: {order:?}");
    content
}

/// `open` opens the same disk again; the one before is dropped first, with everything synced.
fn check(steps: Vec<Step>, mut open: impl FnMut() -> Box<dyn Engine>) {
    let mut model = BTreeMap::new();
    // What a crash may leave: the last barrier, or the end of any batch since.
    let mut possible = vec![model.clone()];
    let mut engine = open();
    assert_eq!(content(&mut *engine), model);
    for (n, step) in steps.into_iter().enumerate() {
        match step {
            Step::Batch(writes) => {
                let mut ops = Vec::new();
                for (key, size) in writes {
                    let (key, value) = (format!("o/{key}"), size.map(|s| vec![n as u8; SIZES[s]]));
                    match &value {
                        Some(value) => model.insert(key.clone(), value.clone()),
                        None => model.remove(&key),
                    };
                    ops.push(Op { key, value });
                }
                engine.apply(ops).expect("writes");
                possible.push(model.clone());
            }
            Step::Sync => {
                engine.sync().expect("syncs");
                possible = vec![model.clone()];
            }
            Step::Reopen => {
                engine.sync().expect("syncs");
                drop(engine);
                engine = open();
                assert!(content(&mut *engine) == model, "step {n}");
                possible = vec![model.clone()];
            }
            Step::Crash => {
                drop(engine);
                engine = open();
                let found = content(&mut *engine);
                assert!(possible.contains(&found), "step {n}: neither a barrier nor the end of a batch");
                model = found;
                possible = vec![model.clone()];
            }
        }
    }
    engine.sync().expect("syncs");
    drop(engine);
    assert!(content(&mut *open()) == model, "at the end");
}

fn open_logged(path: &Path) -> Box<dyn Engine> {
    if !path.join("wal").exists() {
        Logged::create(path).expect("creates");
    }
    Box::new(Logged::open(path, Sync::Data).expect("opens"))
}

fn open_sled(path: &Path) -> Box<dyn Engine> {
    let sled = Sled::open(path, Sync::Data).expect("opens");
    let blobs = std::fs::read_dir(path.join("blobs")).expect("sled makes it").count();
    assert_eq!(blobs, 0, "sled never syncs what it puts into files of their own");
    Box::new(sled)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn memory_is_a_map(steps in steps()) {
        let memory = Memory::default();
        check(steps, || Box::new(memory.clone()));
    }

    #[test]
    fn sled_is_a_map(steps in steps()) {
        let dir = tempfile::tempdir().expect("a directory");
        check(steps, || open_sled(dir.path()));
    }

    #[test]
    fn sled_behind_a_log_is_a_map(steps in steps()) {
        let dir = tempfile::tempdir().expect("a directory");
        check(steps, || open_logged(dir.path()));
    }
}
