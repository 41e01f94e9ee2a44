//! The store against a plain map, through any sequence of writes, deletions, conflicts and restarts.

use std::{collections::BTreeMap, convert::Infallible, path::Path};

use orlop_objects::{Key, Object, kind};
use proptest::prelude::*;
use serde_json::json;

use crate::{Change, Options, Store, Tx, Watch, engine::memory::Memory};

#[derive(Clone, Debug)]
enum Step {
    Put { name: u8, text: u8, lazy: bool },
    Delete { name: u8 },
    Restart,
}

/// What is stored under a name: the text, and the revision that wrote it.
type Model = BTreeMap<String, (String, u64)>;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0u8..5, 0u8..3, any::<bool>()).prop_map(|(name, text, lazy)| Step::Put { name, text, lazy }),
        2 => (0u8..5).prop_map(|name| Step::Delete { name }),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..40)
}

fn write(tx: &mut Tx<'_>, step: &Step) {
    let key = |name: &u8| Key::new(&kind::CONFIG_MAP, "n", name.to_string());
    match step {
        Step::Put { name, text, lazy } => {
            if *lazy {
                tx.lazy();
            }
            let text = text.to_string().repeat(usize::from(*text) * 40_000);
            let value =
                json!({"metadata": {"name": name.to_string(), "namespace": "n"}, "data": {"text": text}});
            tx.put(Object::from_value(&kind::CONFIG_MAP, &value).expect("has metadata"));
        }
        Step::Delete { name } => tx.delete(&key(name)),
        Step::Restart => {}
    }
}

fn text(object: &Object) -> String {
    object.value()["data"]["text"].as_str().unwrap_or_default().to_owned()
}

fn content(store: &Store) -> Model {
    let snapshot = store.snapshot();
    let all = snapshot.list(&kind::CONFIG_MAP, None, None);
    all.map(|object| (object.key.name.clone(), (text(object), object.revision))).collect()
}

/// Follows a watch to `revision`, applying what it says to what was listed before.
async fn follow(watch: &mut Watch, mirror: &mut Model, revision: u64) {
    while watch.seen() < revision {
        let Change { key, revision, old, new } = watch.next().await.expect("open");
        assert_eq!(old.map(|old| (text(&old), old.revision)), mirror.get(&key.name).cloned());
        match new {
            Some(new) => mirror.insert(key.name, (text(&new), revision)),
            None => mirror.remove(&key.name),
        };
    }
}

fn check(steps: Vec<Step>, open: impl Fn() -> Store) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut store = open();
        let mut newest = store.snapshot().revision();
        let (mut model, mut mirror) = (Model::new(), Model::new());
        let mut watch = store.watch(&kind::CONFIG_MAP, newest).expect("the present");
        for step in steps {
            if matches!(step, Step::Restart) {
                drop((store, watch));
                store = open();
                watch = store.watch(&kind::CONFIG_MAP, newest).expect("a clean restart leaves no gap");
            }
            let done = store.update(|tx| {
                write(tx, &step);
                Ok::<_, Infallible>(())
            });
            let done = done.await.expect("nobody else writes");
            let before = model.clone();
            match &step {
                Step::Put { name, text, .. } => {
                    let text = text.to_string().repeat(usize::from(*text) * 40_000);
                    if model.get(&name.to_string()).is_none_or(|(kept, _)| *kept != text) {
                        model.insert(name.to_string(), (text, done.revision));
                    }
                }
                Step::Delete { name } => drop(model.remove(&name.to_string())),
                Step::Restart => {}
            }
            assert_eq!(done.changed, model != before);
            assert_eq!(done.revision, newest + u64::from(done.changed));
            newest = done.revision;
            assert!(content(&store) == model);
            follow(&mut watch, &mut mirror, newest).await;
            assert!(mirror == model, "a list and its watch come to the same");
        }
    });
}

fn on_disk(path: &Path) -> Store {
    Store::open(path, Options::default()).expect("opens")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_memory_it_is_a_map(steps in steps()) {
        let memory = Memory::default();
        check(steps, || Store::on_engine(Box::new(memory.clone())));
    }

    #[test]
    fn on_disk_it_is_a_map(steps in steps()) {
        let dir = tempfile::tempdir().expect("a directory");
        check(steps, || on_disk(dir.path()));
    }
}
