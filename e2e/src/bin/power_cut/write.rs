//! The writer: tasks that write objects of every size, so that small and large ones share flushes.

use std::{convert::Infallible, path::Path, sync::Arc};

use orlop_store::{Options, Store, Sync, Tx};

use crate::{
    acks::{Ack, Did, Log},
    content::{self, Numbers, SIZES},
};

/// Tasks for each size.
const TASKS: u64 = 2;
/// Objects of each task.
const OBJECTS: u64 = 4;

/// Writes until the process is killed.
pub(crate) fn run(store: &Path, acks: &Path, seed: u64, sync: Sync) -> Result<(), String> {
    let log = Arc::new(Log::create(acks));
    let store = Store::open(store, Options { sync, ..Options::default() })
        .map_err(|e| format!("{:#}", anyhow::Error::from(e)))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let tasks = (0..SIZES.len()).flat_map(|size| (0..TASKS).map(move |task| (size, task)));
        let tasks: Vec<_> = tasks
            .map(|(size, task)| tokio::spawn(write(store.clone(), log.clone(), seed, size, task)))
            .collect();
        for task in tasks {
            task.await.map_err(|e| e.to_string())??;
        }
        Ok(())
    })
}

async fn write(store: Store, log: Arc<Log>, seed: u64, size: usize, task: u64) -> Result<(), String> {
    let mut numbers = Numbers(seed ^ (size as u64 * 1000 + task));
    for version in 1.. {
        let name = content::name(size, task, numbers.next() % OBJECTS);
        let did = match numbers.next() % 10 {
            0 => Did::Delete,
            1 => Did::Lazy,
            _ => Did::Put,
        };
        if did == Did::Delete {
            log.write(&Ack { did: Did::Trying, name: name.clone(), version, revision: 0 });
        }
        let done = store.update(|tx| {
            transact(tx, did, &name, version);
            Ok::<_, Infallible>(())
        });
        let done = done.await.map_err(|e| e.to_string())?;
        // Deleting what is not there promises nothing new.
        if done.changed {
            log.write(&Ack { did, name, version, revision: done.revision });
        }
    }
    Ok(())
}

fn transact(tx: &mut Tx<'_>, did: Did, name: &str, version: u64) {
    if did == Did::Lazy {
        tx.lazy();
    }
    for key in content::keys(name) {
        match did {
            Did::Delete | Did::Trying => tx.delete(&key),
            Did::Put | Did::Lazy => tx.put(content::object(&key, version)),
        }
    }
}
