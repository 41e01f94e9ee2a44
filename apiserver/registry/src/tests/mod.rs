//! The door over the memory engine, with a clock that the test moves.

mod admit;
mod adopt;
mod any;
mod bind;
mod change;
mod create;
mod delete;
mod events;
mod managed;
mod model;
mod race;

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use jiff::Timestamp;
use orlop_objects::{Key, Kind, Object, kind};
use orlop_store::Store;
use serde_json::{Value, json};

use crate::{Error, Outcome, Part, Registry, Who};

/// 2026-01-01T00:00:00Z
const START: i64 = 1_767_225_600;

struct Bench {
    registry: Registry,
    seconds: Arc<AtomicI64>,
    who: Who,
}

impl Bench {
    /// A registry with the namespaces `default` and `team`.
    async fn new() -> Self {
        let seconds = Arc::new(AtomicI64::new(START));
        let clock = Arc::clone(&seconds);
        let now = move || Timestamp::from_second(clock.load(Ordering::SeqCst)).expect("in range");
        let registry = Registry::with_clock(Store::in_memory(), Arc::new(now));
        let bench = Self { registry, seconds, who: Who::new("system:admin", "kubectl") };
        for name in ["default", "team"] {
            bench.create(&kind::NAMESPACE, "", json!({"metadata": {"name": name}})).await;
        }
        bench
    }

    fn pass(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    async fn try_create(&self, kind: &'static Kind, namespace: &str, body: Value) -> Result<Outcome, Error> {
        self.registry.create(kind, namespace, body, &self.who, false).await
    }

    async fn create(&self, kind: &'static Kind, namespace: &str, body: Value) -> Arc<Object> {
        self.try_create(kind, namespace, body).await.expect("it is good").object
    }

    async fn try_change(
        &self,
        key: &Key,
        part: Part,
        f: impl Fn(&mut Value) + Send,
    ) -> Result<Outcome, Error> {
        let change = move |mut value: Value| {
            f(&mut value);
            Ok(value)
        };
        self.registry.change(key, part, &self.who, false, change).await
    }

    async fn change(&self, key: &Key, part: Part, f: impl Fn(&mut Value) + Send) -> Outcome {
        self.try_change(key, part, f).await.expect("it is good")
    }

    fn get(&self, key: &Key) -> Option<Arc<Object>> {
        self.registry.snapshot().get(key)
    }
}

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "main", "image": "busybox:1"}]}})
}

fn config(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"a": "1"}})
}

fn claim(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}})
}

fn class(name: &str, default: bool) -> Value {
    json!({"metadata": {"name": name, "annotations":
        {"storageclass.kubernetes.io/is-default-class": default.to_string()}}, "provisioner": "loop.orlop.dev"})
}
