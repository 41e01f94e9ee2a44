//! The client's mirror: first list, changes, lost connections, lost history.

mod support;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::BoxFuture;
use orlop_apiserver::{ApiServer, Identity};
use orlop_client::{Client, Mirror, Stream, Transport};
use orlop_objects::{Key, kind};
use serde_json::json;
use support::Harness;
use tokio::task::AbortHandle;

/// A way to a server that can be cut, and led to another server.
#[derive(Clone)]
struct Cable {
    server: Arc<Mutex<ApiServer>>,
    wires: Arc<Mutex<Vec<AbortHandle>>>,
}

impl Cable {
    fn new(server: &ApiServer) -> Self {
        Self { server: Arc::new(Mutex::new(server.clone())), wires: Arc::default() }
    }

    fn lead_to(&self, server: &ApiServer) {
        *self.server.lock().expect("is not poisoned") = server.clone();
    }

    fn cut(&self) {
        for wire in self.wires.lock().expect("is not poisoned").drain(..) {
            wire.abort();
        }
    }
}

impl Transport for Cable {
    fn connect(&self) -> BoxFuture<'_, std::io::Result<Box<dyn Stream>>> {
        let mut far = self.server.lock().expect("is not poisoned").connect(Identity::admin());
        let (near, mut middle) = tokio::io::duplex(4096);
        let wire = tokio::spawn(async move {
            let _ = tokio::io::copy_bidirectional(&mut middle, &mut far).await;
        });
        self.wires.lock().expect("is not poisoned").push(wire.abort_handle());
        Box::pin(async { Ok(Box::new(near) as Box<dyn Stream>) })
    }
}

/// Waits until the mirror shows exactly these names.
async fn shows(mirror: &mut Mirror, names: &str) {
    let reached = async {
        loop {
            let set = mirror.ready().await;
            if set.keys().map(|key| key.name.as_str()).collect::<Vec<_>>().join(" ") == names {
                return;
            }
            mirror.changed().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reached)
        .await
        .unwrap_or_else(|_| panic!("never shows {names:?}"));
}

#[tokio::test]
async fn it_tells_the_first_list_and_every_change() {
    let h = Harness::new().await;
    let client = Client::new(Arc::new(Cable::new(&h.server)));
    let mut mirror = client.mirror(&kind::CONFIG_MAP, &[]);
    assert!(mirror.all().is_none(), "nothing is known before the first list");
    assert!(mirror.changed().await.is_empty(), "the first list is empty, and told");
    let key = Key::new(&kind::CONFIG_MAP, "default", "one");
    h.config_map("one", &json!({})).await;
    assert_eq!(mirror.changed().await, std::slice::from_ref(&key));
    assert!(mirror.get(&key).is_some());
    client.delete(&key, &json!({})).await.expect("is deleted");
    assert_eq!(mirror.changed().await, std::slice::from_ref(&key));
    assert_eq!(mirror.all().expect("is known").len(), 0);
}

#[tokio::test]
async fn a_clone_has_everything_before_it_and_goes_on_alone() {
    let h = Harness::new().await;
    h.config_map("one", &json!({})).await;
    let mut first = Client::new(Arc::new(Cable::new(&h.server))).mirror(&kind::CONFIG_MAP, &[]);
    shows(&mut first, "one").await;
    let mut second = first.clone();
    drop(first);
    assert_eq!(second.changed().await, [Key::new(&kind::CONFIG_MAP, "default", "one")]);
    h.config_map("two", &json!({})).await;
    shows(&mut second, "one two").await;
}

#[tokio::test]
async fn it_shows_what_a_selector_selects() {
    let h = Harness::new().await;
    let client = Client::new(Arc::new(Cable::new(&h.server)));
    let mut mirror = client.mirror(&kind::POD, &[("fieldSelector", "spec.nodeName=n")]);
    h.pod("here", Some("n")).await;
    h.pod("elsewhere", Some("m")).await;
    h.pod("here-too", Some("n")).await;
    shows(&mut mirror, "here here-too").await;
}

#[tokio::test]
async fn after_a_lost_connection_it_has_missed_nothing() {
    let h = Harness::new().await;
    h.config_map("stays", &json!({})).await;
    h.config_map("goes", &json!({})).await;
    let cable = Cable::new(&h.server);
    let client = Client::new(Arc::new(cable.clone()));
    let mut mirror = client.mirror(&kind::CONFIG_MAP, &[]);
    shows(&mut mirror, "goes stays").await;
    for round in 0..3 {
        cable.cut();
        h.config_map(&format!("new-{round}"), &json!({})).await;
    }
    h.ask("DELETE /api/v1/namespaces/default/configmaps/goes", &[], "").await;
    shows(&mut mirror, "new-0 new-1 new-2 stays").await;
    client.get(&Key::cluster(&kind::NAMESPACE, "default")).await.expect("calls are made on a new connection");
}

#[tokio::test]
async fn after_a_lost_history_it_lists_again() {
    let (old, new) = (Harness::new().await, Harness::new().await);
    for name in ["a", "b", "c"] {
        old.config_map(name, &json!({})).await;
    }
    let cable = Cable::new(&old.server);
    let mut mirror = Client::new(Arc::new(cable.clone())).mirror(&kind::CONFIG_MAP, &[]);
    shows(&mut mirror, "a b c").await;
    new.config_map("z", &json!({})).await;
    cable.lead_to(&new.server);
    cable.cut();
    shows(&mut mirror, "z").await;
}

/// On a stopped clock that jumps to the next timer.
#[tokio::test(start_paused = true)]
async fn without_a_server_it_tries_ever_more_slowly_but_never_gives_up() {
    #[derive(Default)]
    struct Dead(Mutex<Vec<tokio::time::Instant>>);
    impl Transport for Dead {
        fn connect(&self) -> BoxFuture<'_, std::io::Result<Box<dyn Stream>>> {
            self.0.lock().expect("is not poisoned").push(tokio::time::Instant::now());
            Box::pin(async { Err(std::io::ErrorKind::ConnectionRefused.into()) })
        }
    }
    let dead = Arc::new(Dead::default());
    let mirror = Client::new(dead.clone()).mirror(&kind::CONFIG_MAP, &[]);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(mirror.all().is_none());
    let attempts = dead.0.lock().expect("is not poisoned").clone();
    let pauses: Vec<_> = attempts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[0] < Duration::from_millis(100), "{pauses:?}");
    assert!(pauses.is_sorted(), "{pauses:?}");
    assert!(
        pauses.len() > 50 && pauses.last().is_some_and(|last| *last < Duration::from_secs(11)),
        "{pauses:?}"
    );
}
