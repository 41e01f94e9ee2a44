//! Revisions: which templates a stateful set or a daemon set has had.
//!
//! | the newest template | there is | verdict |
//! |---|---|---|
//! | equals that of the last revision | | it is the one to update to |
//! | equals that of an earlier one | | Renumber that one: the set was rolled back |
//! | equals none | | Remember it |
//!
//! Revisions that no pod is made of, and that are neither current nor to come, are kept up to the history's limit.

use std::{collections::BTreeSet, sync::Arc};

use futures::future::try_join_all;
use orlop_objects::{Kind, Object, kind, schema};
use orlop_registry::Part;
use serde_json::{Value, json};

use super::{family, make, parts::Parts};
use crate::{Error, edit};

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

/// What is to be done about the newest template.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Newest {
    /// This one has it.
    Known(usize),
    /// This one has it, and gets this number.
    Renumber(usize, i64),
    /// None has it; the next number.
    Remember(i64),
}

/// Looks for the newest template among the revisions, which are sorted by number.
pub(crate) fn newest(revisions: &[Revision], template: &Value) -> Newest {
    let next = revisions.last().map_or(0, |last| last.number) + 1;
    match revisions.iter().rposition(|revision| revision.template == *template) {
        Some(n) if n + 1 == revisions.len() => Newest::Known(n),
        Some(n) => Newest::Renumber(n, next),
        None => Newest::Remember(next),
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

/// Revisions that the history has no room for, the oldest first; `alive` are in use.
pub(crate) fn surplus(revisions: &[Revision], alive: &BTreeSet<&str>, limit: i32) -> Vec<Arc<Object>> {
    let unused: Vec<&Revision> =
        revisions.iter().filter(|revision| !alive.contains(revision.name())).collect();
    let over = unused.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    unused.iter().take(over).map(|revision| revision.object.clone()).collect()
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

    fn template(image: &str) -> Value {
        let mut data = json!({"spec": {"template": {"metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": image}]}}}});
        schema::apply_defaults(&kind::STATEFUL_SET, &mut data);
        data["spec"]["template"].take()
    }

    fn revisions(images: &[&str]) -> Vec<Revision> {
        let set = json!({"metadata": {"name": "web", "namespace": "default", "uid": "s1"}});
        let set = Object::from_value(&kind::STATEFUL_SET, &set).expect("valid");
        let revision = |(n, image): (usize, &&str)| {
            let form =
                form(&set, &template(image), &format!("web-{image}"), 1 + i64::try_from(n).expect("few"));
            let object = Object::from_value(&kind::CONTROLLER_REVISION, &form).expect("valid");
            Revision::of(Arc::new(object), &kind::STATEFUL_SET)
        };
        images.iter().enumerate().map(revision).collect()
    }

    #[test]
    fn every_row_of_the_table() {
        let rows: [(&[&str], &str, Newest); 4] = [
            (&[], "a", Newest::Remember(1)),
            (&["a"], "a", Newest::Known(0)),
            (&["a", "b"], "a", Newest::Renumber(0, 3)),
            (&["a", "b"], "c", Newest::Remember(3)),
        ];
        for (images, image, wanted) in rows {
            assert_eq!(newest(&revisions(images), &template(image)), wanted, "{images:?} {image}");
        }
    }

    #[test]
    fn what_nobody_uses_is_kept_up_to_the_limit() {
        let revisions = revisions(&["a", "b", "c", "d"]);
        let alive = BTreeSet::from(["web-a", "web-d"]);
        let gone = |limit| {
            surplus(&revisions, &alive, limit).iter().map(|o| o.meta.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(gone(0), ["web-b", "web-c"]);
        assert_eq!(gone(1), ["web-b"]);
        assert_eq!(gone(2), [""; 0]);
    }
}
