//! A node's view of claims, whose connection breaks.

use std::collections::BTreeMap;

use orlop_objects::kind;
use orlop_registry::{Registry, Who};
use serde_json::{Value, json};

use super::*;
use crate::{Identity, authorize};

const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// What a client knows: its set, and the version from which it watches on.
#[derive(Clone)]
struct Known {
    set: BTreeMap<Key, Revision>,
    version: Revision,
}

impl Known {
    /// As a client takes in a line.
    fn hear(&mut self, (event, object): &Event) {
        match *event {
            "DELETED" => drop(self.set.remove(&object.key)),
            _ => drop(self.set.insert(object.key.clone(), object.revision)),
        }
        self.version = self.version.max(object.revision);
    }
}

struct World {
    store: Store,
    registry: Registry,
}

impl World {
    async fn create(&self, kind: &'static Kind, body: Value) {
        let who = Who { user: "test".into(), manager: "test".into() };
        let namespace = if *kind == kind::NAMESPACE { "" } else { "a" };
        self.registry.create(kind, namespace, body, &who, false).await.expect("is created");
    }

    async fn claim(&self, name: &str, node: Option<&str>) {
        let body = json!({"metadata": {"name": name,
                "annotations": {SELECTED_NODE: node.unwrap_or("other")}},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "c",
                "resources": {"requests": {"storage": "1Gi"}}}});
        self.create(&kind::PERSISTENT_VOLUME_CLAIM, body).await;
    }

    async fn pod(&self, name: &str, claim: &str) {
        let body = json!({"metadata": {"name": name}, "spec": {"nodeName": "n",
            "containers": [{"name": "c", "image": "i"}],
            "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]}});
        self.create(&kind::POD, body).await;
    }

    /// Writes the object again, changed, or takes it out.
    async fn change(&self, kind: &'static Kind, name: &str, to: Option<&str>) {
        let label = |to| move |value: &mut Value| value["metadata"]["labels"] = json!({"to": to});
        self.write(&Key::new(kind, "a", name), to.map(label)).await;
    }

    /// Chooses another node for a claim.
    async fn choose(&self, name: &str, node: &str) {
        let annotation =
            |value: &mut Value| value["metadata"]["annotations"][SELECTED_NODE] = node.to_owned().into();
        self.write(&Key::new(&kind::PERSISTENT_VOLUME_CLAIM, "a", name), Some(annotation)).await;
    }

    async fn write(&self, key: &Key, edit: Option<impl Fn(&mut Value) + Send + Sync>) {
        let write = |tx: &mut orlop_store::Tx<'_>| {
            let Some(edit) = &edit else {
                tx.delete(key);
                return Ok::<(), ()>(());
            };
            let mut value = tx.get(key).expect("is there").value();
            edit(&mut value);
            tx.put(Object::from_value(key.kind, &value).expect("is one"));
            Ok(())
        };
        self.store.update(write).await.map(drop).expect("is written");
    }

    fn view(&self, from: Revision) -> View {
        let scope =
            authorize::scope(&Identity::node("n"), &kind::PERSISTENT_VOLUME_CLAIM).expect("is scoped");
        let from = self.store.snapshot_at(from).expect("is kept");
        View::open(&self.store, &kind::PERSISTENT_VOLUME_CLAIM, scope, &Filter::default(), &from)
            .expect("is kept")
    }

    /// All lines that there are after a version.
    fn lines(&self, from: Revision) -> Vec<Event> {
        let mut view = self.view(from);
        let mut lines = Vec::new();
        while let Some(change) = view.next().now_or_never() {
            lines.extend(view.events(&change.expect("keeps up"), &Filter::default()));
        }
        assert_eq!(view.seen(), self.store.snapshot().revision());
        lines
    }

    fn truth(&self) -> BTreeMap<Key, Revision> {
        let view = self.view(self.store.snapshot().revision());
        view.all().map(|object| (object.key.clone(), object.revision)).collect()
    }
}

#[tokio::test]
async fn nothing_is_lost_when_the_connection_breaks_between_any_two_lines() {
    let store = Store::in_memory();
    let world = World { registry: Registry::new(store.clone()), store };
    world.create(&kind::NAMESPACE, json!({"metadata": {"name": "a"}})).await;
    for name in ["far", "away", "gone"] {
        world.claim(name, None).await;
    }
    for name in ["own", "left", "lost", "anew", "back"] {
        world.claim(name, Some("n")).await;
    }
    world.pod("old", "gone").await;
    let begin = world.store.snapshot().revision();
    let known = Known { set: world.truth(), version: begin };
    assert_eq!(known.set.len(), 6, "{:?}", known.set);

    let (pod, claim) = (&kind::POD, &kind::PERSISTENT_VOLUME_CLAIM);
    // All of it is queued before the first line is told.
    world.pod("first", "far").await;
    world.change(claim, "own", Some("1")).await;
    world.pod("second", "away").await;
    world.change(claim, "far", Some("1")).await;
    world.change(pod, "old", None).await;
    world.change(claim, "left", None).await;
    world.change(claim, "own", Some("2")).await;
    world.claim("left", Some("n")).await;
    // What leaves and changes again, without coming back: by its pod, by its node, and by another of its name.
    world.change(claim, "gone", Some("1")).await;
    world.choose("lost", "other").await;
    world.change(claim, "anew", None).await;
    world.choose("back", "other").await;
    world.change(claim, "own", Some("3")).await;
    world.change(claim, "lost", Some("1")).await;
    world.claim("anew", None).await;
    world.choose("back", "n").await;

    let lines = world.lines(begin);
    assert!(lines.len() >= 10, "{lines:?}");
    // Of what came back, whoever hears a part of this knows nothing when it leaves again.
    world.choose("back", "other").await;
    world.change(claim, "back", Some("1")).await;
    for broken in 0..=lines.len() {
        let mut known = known.clone();
        lines[..broken].iter().for_each(|line| known.hear(line));
        for line in world.lines(known.version) {
            known.hear(&line);
        }
        assert_eq!(known.set, world.truth(), "after {:?}", &lines[..broken]);
    }
}
