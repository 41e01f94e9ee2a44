//! Writers at the same time: one wins, nothing is lost, and no rule is slipped past.

use orlop_objects::{Key, kind};
use serde_json::json;
use tokio::task::JoinSet;

use super::{Bench, config};
use crate::{DeleteOptions, Error, Part};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_creates_it() {
    let bench = Bench::new().await;
    let mut writers = JoinSet::new();
    for _ in 0..16 {
        let (registry, who) = (bench.registry.clone(), bench.who.clone());
        writers.spawn(async move {
            registry.create(&kind::CONFIG_MAP, "default", config("a"), &who, false).await
        });
    }
    let (mut made, mut late) = (0, 0);
    for answer in writers.join_all().await {
        match answer {
            Ok(_) => made += 1,
            Err(Error::AlreadyExists(_)) => late += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((made, late), (1, 15));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_change_is_lost() {
    let bench = Bench::new().await;
    let key = bench.create(&kind::CONFIG_MAP, "default", config("a")).await.key.clone();
    let mut writers = JoinSet::new();
    for n in 0..4 {
        let (registry, who, key) = (bench.registry.clone(), bench.who.clone(), key.clone());
        writers.spawn(async move {
            let change = move |mut value: serde_json::Value| {
                value["data"][format!("k{n}")] = "x".into();
                Ok(value)
            };
            registry.change(&key, Part::Main, &who, false, change).await
        });
    }
    for answer in writers.join_all().await {
        answer.expect("a change of one's own field needs no second try by the caller");
    }
    let data = bench.get(&key).expect("there").value()["data"].clone();
    assert_eq!(data, json!({"a": "1", "k0": "x", "k1": "x", "k2": "x", "k3": "x"}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_comes_into_a_namespace_that_goes() {
    let bench = Bench::new().await;
    let namespace = Key::cluster(&kind::NAMESPACE, "team");
    let mut writers = JoinSet::new();
    for n in 0..32 {
        let (registry, who, namespace) = (bench.registry.clone(), bench.who.clone(), namespace.clone());
        writers.spawn(async move {
            if n == 8 {
                return registry.delete(&namespace, &DeleteOptions::default(), &who).await;
            }
            registry.create(&kind::CONFIG_MAP, "team", config(&format!("c{n}")), &who, false).await
        });
    }
    for answer in writers.join_all().await {
        assert!(matches!(answer, Ok(_) | Err(Error::Forbidden { .. })), "{answer:?}");
    }
    let terminating = bench.get(&namespace).expect("held by its own finalizer");
    assert!(terminating.meta.is_terminating());
    let snapshot = bench.registry.snapshot();
    for object in snapshot.list(&kind::CONFIG_MAP, Some("team"), None) {
        assert!(object.revision < terminating.revision, "{} came too late", object.key);
    }
}
