//! The door inside one transaction: every method applies all rules to its object.

use std::sync::Arc;

use jiff::Timestamp;
use orlop_objects::{Key, Kind, Object, kind, validate};
use orlop_store::{Snapshot, Tx};
use serde_json::Value;

use crate::{
    DeleteOptions, Error, Outcome, Part, Who, admit, bind, change, create,
    delete::{self, Verdict},
    evict, managed,
};

/// The door inside one transaction. Every method applies all rules to its object; nothing is written unless all pass.
pub struct Door<'a, 'tx> {
    tx: &'a mut Tx<'tx>,
    who: &'a Who,
    now: Timestamp,
    toleration_seconds: u32,
}

impl<'a, 'tx> Door<'a, 'tx> {
    pub(crate) fn new(tx: &'a mut Tx<'tx>, who: &'a Who, now: Timestamp, toleration_seconds: u32) -> Self {
        Self { tx, who, now, toleration_seconds }
    }

    /// The time of the transaction: what its timestamps say.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The snapshot beneath the transaction.
    pub fn snapshot(&self) -> &Snapshot {
        self.tx.snapshot()
    }

    /// Reads one object under the transaction's protection.
    pub fn get(&mut self, key: &Key) -> Option<Arc<Object>> {
        self.tx.get(key)
    }

    /// The transaction need not cause a flush of its own (events).
    pub(crate) fn lazy(&mut self) {
        self.tx.lazy();
    }

    /// Creates an object; `metadata.name` may be empty where `generateName` is given.
    pub fn create(&mut self, kind: &'static Kind, namespace: &str, body: Value) -> Result<Outcome, Error> {
        let mut value = create::prepare(kind, namespace, body, self.now)?;
        let key = Key::new(kind, namespace, crate::json::text(&value, "/metadata/name"));
        create::complete(kind, &mut value);
        let mut warnings = admit::new_object(self.tx, &key, &mut value)?;
        if *kind == kind::POD {
            admit::default_tolerations(&mut value, self.toleration_seconds);
        }
        warnings.extend(admit::second_default(self.tx, &key, None, &value));
        accept(&key, None, &value)?;
        warnings.extend(validate::warnings(None, &value, kind));
        if self.tx.get(&key).is_some() {
            return Err(Error::AlreadyExists(key));
        }
        managed::record(kind, None, &mut value, Part::Main, self.who, self.now);
        let object = self.put(kind, &value)?;
        Ok(Outcome { warnings, ..Outcome::kept(object) })
    }

    /// Changes an object by a function of its current value (with `resourceVersion` in it). A write that changes
    /// nothing writes nothing; one that takes the last finalizer of a terminating object removes it.
    pub fn change(
        &mut self,
        key: &Key,
        part: Part,
        f: impl FnOnce(Value) -> Result<Value, Error>,
    ) -> Result<Outcome, Error> {
        let old = self.tx.get(key).ok_or_else(|| Error::NotFound(key.clone()))?;
        let before = old.value();
        let new = f(old.versioned())?;
        let mut next = change::prepare(key.kind, part, &old, &before, new)?;
        if delete::is_finished(&next) {
            self.tx.delete(key);
            return Ok(Outcome::gone(old));
        }
        if managed::same_but_for_managers(&before, &next) {
            return Ok(Outcome::kept(old));
        }
        accept(key, Some(&before), &next)?;
        let growth = admit::expansion(self.tx, key, &before, &next)?;
        let mut warnings = validate::warnings(Some(&before), &next, key.kind);
        warnings.extend(growth);
        warnings.extend(admit::second_default(self.tx, key, Some(&before), &next));
        managed::record(key.kind, Some(&before), &mut next, part, self.who, self.now);
        let object = self.put(key.kind, &next)?;
        Ok(Outcome { warnings, ..Outcome::kept(object) })
    }

    /// Gives an object the defaults that it lacks; answers whether it lacked any. Nobody has written it, so that nothing
    /// else of it changes.
    pub(crate) fn complete(&mut self, key: &Key) -> Result<bool, Error> {
        let Some(old) = self.tx.get(key) else { return Ok(false) };
        let (before, mut next) = (old.value(), old.value());
        create::complete(key.kind, &mut next);
        if next == before {
            return Ok(false);
        }
        self.put(key.kind, &next).map(|_| true)
    }

    /// Deletes an object by the rules (finalizers, grace).
    pub fn delete(&mut self, key: &Key, options: &DeleteOptions) -> Result<Outcome, Error> {
        let old = self.tx.get(key).ok_or_else(|| Error::NotFound(key.clone()))?;
        delete::check_preconditions(&old, options)?;
        admit::not_immortal(key)?;
        let holds = admit::propagation_holds(self.tx, &old, options.propagation.as_deref());
        match delete::decide(&old, options, &holds, self.now) {
            Verdict::Unchanged => Ok(Outcome::kept(old)),
            Verdict::Terminate(value) => self.put(key.kind, &value).map(Outcome::kept),
            Verdict::Remove => {
                self.tx.delete(key);
                Ok(Outcome::gone(old))
            }
        }
    }

    /// Puts a pod on a node, with the condition PodScheduled.
    pub fn bind(&mut self, pod: &Key, node: &str) -> Result<Outcome, Error> {
        let now = self.now;
        self.change(pod, Part::Whole, |value| bind::bound(pod, value, node, now))
    }

    /// Deletes a pod that did not ask for it, with the condition that says so.
    pub fn evict(
        &mut self,
        pod: &Key,
        options: &DeleteOptions,
        (reason, message): (&str, &str),
    ) -> Result<Outcome, Error> {
        let old = self.tx.get(pod).ok_or_else(|| Error::NotFound(pod.clone()))?;
        // The condition would give the pod another version than the one that the caller means.
        delete::check_preconditions(&old, options)?;
        let now = self.now;
        self.change(pod, Part::Status, |value| Ok(evict::disrupted(value, reason, message, now)))?;
        self.delete(pod, &DeleteOptions { revision: None, ..options.clone() })
    }

    fn put(&mut self, kind: &'static Kind, value: &Value) -> Result<Arc<Object>, Error> {
        let object = Object::from_value(kind, value)
            .map_err(|e| Error::BadRequest(format!("{e}: metadata has a field of the wrong type")))?;
        self.tx.put(object.clone());
        Ok(Arc::new(object))
    }
}

fn accept(key: &Key, old: Option<&Value>, new: &Value) -> Result<(), Error> {
    match validate::validate(old, new, key.kind) {
        causes if causes.is_empty() => Ok(()),
        causes => Err(Error::Invalid { key: key.clone(), causes }),
    }
}
