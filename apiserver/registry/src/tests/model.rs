//! Any sequence of writes to one pod keeps the promises of the door.

use orlop_objects::{Key, kind};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Bench, pod};
use crate::{DeleteOptions, Part};

#[derive(Clone, Debug)]
enum Step {
    Label(u8),
    Image(u8),
    Finalizers(u8),
    Phase(&'static str),
    Bind,
    Delete(Option<i64>),
    Pass(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u8..3).prop_map(Step::Label),
        (0_u8..3).prop_map(Step::Image),
        (0_u8..3).prop_map(Step::Finalizers),
        prop::sample::select(vec!["Pending", "Running", "Succeeded"]).prop_map(Step::Phase),
        Just(Step::Bind),
        prop::option::of(0_i64..40).prop_map(Step::Delete),
        (0_u8..20).prop_map(Step::Pass),
    ]
}

/// Carries out a step; whether the door took it does not matter here.
async fn take(bench: &Bench, key: &Key, step: &Step) {
    let main = |f: Box<dyn Fn(&mut Value) + Send>| async move {
        let _ = bench.try_change(key, Part::Main, move |v| f(v)).await;
    };
    match step.clone() {
        Step::Label(n) => {
            main(Box::new(move |v| v["metadata"]["labels"] = json!({"n": n.to_string()}))).await;
        }
        Step::Image(n) => {
            main(Box::new(move |v| v["spec"]["containers"][0]["image"] = format!("i:{n}").into())).await;
        }
        Step::Finalizers(n) => {
            let all: Vec<String> = (0..n).map(|n| format!("x.io/{n}")).collect();
            main(Box::new(move |v| v["metadata"]["finalizers"] = json!(all))).await;
        }
        Step::Phase(phase) => {
            let _ = bench.try_change(key, Part::Status, |v| v["status"]["phase"] = phase.into()).await;
        }
        Step::Bind => {
            let _ = bench.registry.bind(key, "laptop", &bench.who, false).await;
        }
        Step::Delete(grace) => {
            let options = DeleteOptions { grace, ..Default::default() };
            let _ = bench.registry.delete(key, &options, &bench.who).await;
        }
        Step::Pass(seconds) => bench.pass(seconds.into()),
    }
}

async fn promises(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let bench = Bench::new().await;
    let key = bench.create(&kind::POD, "default", pod("web")).await.key.clone();
    for step in steps {
        let old = bench.get(&key).expect("checked below");
        take(&bench, &key, &step).await;
        let Some(new) = bench.get(&key) else {
            // It goes when somebody asks for it, or lets go of it, and nobody holds it.
            let asked = matches!(step, Step::Delete(_)) && old.meta.finalizers.is_empty();
            let let_go = matches!(step, Step::Finalizers(0)) && old.meta.is_terminating();
            prop_assert!(asked || let_go, "gone by {:?}", step);
            return Ok(());
        };
        prop_assert_eq!(new.revision > old.revision, new.bytes != old.bytes);
        prop_assert_eq!(&new.meta.uid, &old.meta.uid);
        prop_assert_eq!(&new.meta.creation_timestamp, &old.meta.creation_timestamp);
        let (before, after) = (old.value(), new.value());
        let asked_to_go = new.meta.is_terminating() && !old.meta.is_terminating();
        let grown = i64::from(before["spec"] != after["spec"] || asked_to_go);
        prop_assert_eq!(new.meta.generation, old.meta.generation + grown);
        if let Some(was) = &old.meta.deletion_timestamp {
            let is = new.meta.deletion_timestamp.as_ref();
            prop_assert!(is.is_some_and(|is| is <= was), "{:?} later than {}", is, was);
            let kept = new.meta.finalizers.iter().all(|f| old.meta.finalizers.contains(f));
            prop_assert!(kept, "finalizers came: {:?}", new.meta.finalizers);
        }
        if before["status"] != after["status"] {
            prop_assert!(matches!(step, Step::Phase(_) | Step::Bind));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn any_sequence_keeps_the_promises(steps in prop::collection::vec(step(), 1..16)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(promises(steps))?;
    }
}
