//! A store of another build is brought up to date once, and only where something is missing.

use std::path::Path;

use orlop_objects::{Key, Object, kind};
use orlop_store::{Options, Store};
use serde_json::json;

use super::config;
use crate::{Registry, schema};

fn open(dir: &Path, schema: &str) -> Registry {
    let options = Options { schema: schema.to_owned(), ..Options::default() };
    Registry::new(Store::open(dir, options).expect("opens"))
}

#[tokio::test]
async fn objects_of_an_older_schema_get_the_defaults_of_this_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let old = open(dir.path(), "an older one");
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default", "uid": "u"},
        "spec": {"containers": [{"name": "c", "image": "busybox:1"}]}});
    let mut map = config("m");
    map["metadata"]["namespace"] = "default".into();
    for (kind, value) in [(&kind::POD, pod), (&kind::CONFIG_MAP, map)] {
        let object = Object::from_value(kind, &value).expect("has metadata");
        let put = |tx: &mut orlop_store::Tx<'_>| {
            tx.put(object.clone());
            Ok::<_, ()>(())
        };
        old.store().update(put).await.expect("commits");
    }
    assert_eq!(old.adopt_schema().await.expect("nothing to do"), 0);
    drop(old);

    let key = Key::new(&kind::POD, "default", "p");
    for changed in [1, 0] {
        let new = open(dir.path(), &schema());
        assert_eq!(new.adopt_schema().await.expect("adopts"), changed);
        assert!(!new.store().schema_changed());
        let snapshot = new.snapshot();
        let pod = snapshot.get(&key).expect("it is there");
        assert_eq!((pod.value()["spec"]["restartPolicy"].clone(), &*pod.meta.uid), (json!("Always"), "u"));
        let map = snapshot.get(&Key::new(&kind::CONFIG_MAP, "default", "m")).expect("it is there");
        assert_eq!((map.revision, snapshot.revision()), (1001, 1002), "what lacked nothing was not written");
    }
}
