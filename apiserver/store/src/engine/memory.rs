//! The engine that keeps nothing: for tests, and the model that the others are compared with.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Engine, Op, Visit};
use crate::Error;

/// Bytes in a map. Clones share them, so that a test can open "the same disk" again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl Engine for Memory {
    fn load(&mut self, each: &mut Visit<'_>) -> Result<(), Error> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.iter().try_for_each(|(key, value)| each(key, value))
    }

    fn apply(&mut self, ops: Vec<Op>) -> Result<(), Error> {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for Op { key, value } in ops {
            match value {
                Some(value) => map.insert(key, value),
                None => map.remove(&key),
            };
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        Ok(())
    }
}
