//! Revisions: which templates a stateful set or a daemon set has had.
//!
//! | the newest template | there is | verdict |
//! |---|---|---|
//! | equals that of the last revision | | it is the one to update to |
//! | equals that of an earlier one | | Renumber that one: the set was rolled back |
//! | equals none | its name is taken | the set gets a collision more, and with it another name |
//! | equals none | | Remember it |
//!
//! Revisions that no pod is made of, and that are neither current nor to come, are kept up to the history's limit.

use std::{collections::BTreeSet, sync::Arc};

use futures::future::try_join_all;
use orlop_objects::{Key, Kind, Object, kind, schema, selector::LabelSelector};
use orlop_registry::Part;
use orlop_store::Snapshot;
use serde_json::{Value, json};

use super::{
    family::{self, Moves},
    hash, make,
};
use crate::{Error, edit, parts::Parts};

/// A remembered template.
#[derive(Debug)]
pub(crate) struct Revision {
    /// The object.
    pub(crate) object: Arc<Object>,
    /// Its number.
    pub(crate) number: i64,
    /// The template.
    pub(crate) template: Value,
}

impl Revision {
    /// Reads a revision of a workload of `kind`.
    pub(crate) fn of(object: Arc<Object>, kind: &'static Kind) -> Self {
        let mut value = object.value();
        let mut data = value["data"].take();
        // What a later version of the schema adds to all templates does not make an old one another.
        schema::apply_defaults(kind, &mut data);
        let mut template = data["spec"]["template"].take();
        if let Some(fields) = template.as_object_mut() {
            fields.remove("$patch");
        }
        Self { number: value["revision"].as_i64().unwrap_or(0), template, object }
    }

    /// Its name, which is what pods are labelled with.
    pub(crate) fn name(&self) -> &str {
        &self.object.meta.name
    }
}

/// One step towards the revisions that there should be.
#[derive(Debug)]
pub(crate) enum Step {
    /// Make a revision.
    Remember(Value),
    /// Give a revision a new number.
    Renumber(Arc<Object>, i64),
    /// Delete revisions.
    Forget(Vec<Arc<Object>>),
}

/// The templates that a set has had.
#[derive(Debug)]
pub(crate) struct History {
    /// Its revisions, by number.
    pub(crate) revisions: Vec<Revision>,
    /// The name that a revision of the newest template gets.
    pub(crate) name: String,
    /// Whether there is a revision of this name, of whatever template.
    pub(crate) taken: bool,
}

/// How the newest template stands in the history.
#[derive(Debug)]
pub(crate) enum Newest<'a> {
    /// As the last revision.
    Known(&'a Revision),
    /// Nowhere, and the name that it would get is another's.
    Taken,
    /// It will once this is done.
    Missing(Step),
}

impl History {
    /// Reads the history of a set with this newest template and so many collisions, and what it adopts and lets go.
    pub(crate) fn of(
        snapshot: &Snapshot,
        set: &Object,
        selector: &LabelSelector,
        template: &Value,
        collisions: i32,
    ) -> (Self, Moves) {
        let family = family::of(snapshot, set, selector, &kind::CONTROLLER_REVISION);
        let mut revisions: Vec<Revision> =
            family.own.into_iter().map(|object| Revision::of(object, set.key.kind)).collect();
        revisions.sort_by(|a, b| (a.number, a.name()).cmp(&(b.number, b.name())));
        let name = format!("{}-{}", set.key.name, hash::of(template, collisions));
        let namesake = snapshot.get(&Key::new(&kind::CONTROLLER_REVISION, &*set.key.namespace, &*name));
        (Self { revisions, name, taken: namesake.is_some() }, family.moves)
    }

    /// Looks for the newest template of `set`.
    pub(crate) fn newest(&self, set: &Object, template: &Value) -> Newest<'_> {
        let next = self.revisions.last().map_or(0, |last| last.number) + 1;
        match self.revisions.iter().rposition(|revision| revision.template == *template) {
            Some(n) if n + 1 == self.revisions.len() => Newest::Known(&self.revisions[n]),
            Some(n) => Newest::Missing(Step::Renumber(self.revisions[n].object.clone(), next)),
            None if self.taken => Newest::Taken,
            None => Newest::Missing(Step::Remember(form(set, template, &self.name, next))),
        }
    }

    /// Forgets those that there is no room for, if any, the oldest first; `alive` are in use.
    pub(crate) fn tidy(&self, alive: &BTreeSet<&str>, limit: Option<i32>) -> Option<Step> {
        let unused: Vec<&Revision> =
            self.revisions.iter().filter(|revision| !alive.contains(revision.name())).collect();
        let over = unused.len().saturating_sub(usize::try_from(limit.unwrap_or(10)).unwrap_or(0));
        let gone: Vec<_> = unused.iter().take(over).map(|revision| revision.object.clone()).collect();
        (!gone.is_empty()).then_some(Step::Forget(gone))
    }
}

/// A revision to be made: `data` is the patch by which `kubectl rollout undo` goes back to it.
pub(crate) fn form(set: &Object, template: &Value, name: &str, number: i64) -> Value {
    let mut patch = template.clone();
    patch["$patch"] = "replace".into();
    json!({
        "metadata": {"name": name, "labels": template["metadata"]["labels"],
            "ownerReferences": [family::reference(set)]},
        "data": {"spec": {"template": patch}},
        "revision": number,
    })
}

/// Takes one step for `set`.
pub(crate) async fn carry_out(parts: &Parts, set: &Object, step: &Step) -> Result<(), Error> {
    match step {
        Step::Remember(form) => {
            let made = make::create(parts, set, &kind::CONTROLLER_REVISION, form).await;
            made.map(drop).map_err(Error::doing("remember the template of", &set.key))
        }
        Step::Renumber(revision, number) => {
            let renumber = |value: &mut Value, _| value["revision"] = (*number).into();
            let seen = (&revision.key, revision.revision);
            let done = edit::change(&parts.registry, &parts.who, seen, Part::Main, renumber).await;
            done.map_err(Error::doing("renumber", &revision.key))
        }
        Step::Forget(revisions) => {
            let gone = revisions.iter().map(|revision| make::delete_one(parts, revision));
            try_join_all(gone).await.map(drop)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{testing::object, workloads::testing};

    fn set(image: &str) -> Value {
        let mut set = json!({"metadata": {"name": "web", "namespace": "default", "uid": "s1"},
            "spec": {"template": {"metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": image}]}}}});
        schema::apply_defaults(&kind::STATEFUL_SET, &mut set);
        set
    }

    #[test]
    fn every_row_of_the_table() {
        let rows: [(&[&str], &str, bool, &str); 6] = [
            (&[], "a", false, "remember web-h 1"),
            (&["a"], "a", true, "web-a"),
            (&["a", "b"], "a", false, "renumber web-a 3"),
            (&["a", "b"], "a", true, "renumber web-a 3"),
            (&["a", "b"], "c", false, "remember web-h 3"),
            (&["a", "b"], "c", true, "taken"),
        ];
        for (images, image, taken, wanted) in rows {
            let set = set(image);
            let history = History { taken, ..testing::history(&kind::STATEFUL_SET, &set, images) };
            let found = match history.newest(&object(&kind::STATEFUL_SET, &set), &set["spec"]["template"]) {
                Newest::Known(revision) => revision.name().to_owned(),
                Newest::Taken => "taken".to_owned(),
                Newest::Missing(Step::Remember(form)) => {
                    format!(
                        "remember {} {}",
                        form["metadata"]["name"].as_str().unwrap_or("?"),
                        form["revision"]
                    )
                }
                Newest::Missing(Step::Renumber(revision, number)) => {
                    format!("renumber {} {number}", revision.meta.name)
                }
                Newest::Missing(Step::Forget(_)) => "forget".to_owned(),
            };
            assert_eq!(found, wanted, "{images:?} {image} {taken}");
        }
    }

    #[test]
    fn what_nobody_uses_is_kept_up_to_the_limit() {
        let history = testing::history(&kind::STATEFUL_SET, &set("d"), &["a", "b", "c", "d"]);
        let alive = BTreeSet::from(["web-a", "web-d"]);
        let gone = |limit| match history.tidy(&alive, limit) {
            Some(Step::Forget(gone)) => gone.iter().map(|o| o.meta.name.clone()).collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        assert_eq!(gone(Some(0)), ["web-b", "web-c"]);
        assert_eq!(gone(Some(1)), ["web-b"]);
        assert_eq!(gone(Some(2)), [""; 0]);
        assert_eq!(gone(None), [""; 0]);
    }
}
