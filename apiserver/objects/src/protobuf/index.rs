//! The schema table by tags: which field of a type a number on the wire is.

use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

use crate::schema::table::{self, Field, Type};

static MESSAGES: LazyLock<HashMap<&'static str, Slots>> = LazyLock::new(|| {
    let slots = |ty: &'static Type| {
        let mut slots = Slots::default();
        for field in ty.fields.iter().filter(|field| !field.tag.is_empty()) {
            let tags: Option<Vec<u32>> = field.tag.split('/').map(|tag| tag.parse().ok()).collect();
            slots.insert(&tags.unwrap_or_default(), field);
        }
        slots
    };
    table::types().iter().map(|ty| (ty.name, slots(ty))).collect()
});

/// What stands under the tags of one message.
#[derive(Debug, Default)]
pub(super) struct Slots(BTreeMap<u32, Slot>);

/// What stands under one tag.
#[derive(Debug)]
pub(super) enum Slot {
    /// A field of the object.
    Field(&'static Field),
    /// A message whose fields JSON shows among those of the object around it.
    Inline(Slots),
}

impl Slots {
    /// Those of a type.
    pub(super) fn of(ty: &Type) -> &'static Self {
        &MESSAGES[ty.name]
    }

    pub(super) fn get(&self, tag: u32) -> Option<&Slot> {
        self.0.get(&tag)
    }

    fn insert(&mut self, tags: &[u32], field: &'static Field) {
        match tags {
            [] => {}
            [tag] => {
                let before = self.0.insert(*tag, Slot::Field(field));
                debug_assert!(before.is_none(), "tag {tag} of {} is taken", field.name);
            }
            [outer, inner @ ..] => {
                let slot = self.0.entry(*outer).or_insert_with(|| Slot::Inline(Self::default()));
                match slot {
                    Slot::Inline(slots) => slots.insert(inner, field),
                    Slot::Field(other) => debug_assert!(false, "{} is inside {}", field.name, other.name),
                }
            }
        }
    }
}
