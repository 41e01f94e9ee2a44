//! Where the items of a list are that an item of the patch may mean, kept while the list is merged.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};

/// An item by all members of the list's own key.
type Exact = (Value, Vec<Option<Value>>);

/// The places of a list's items, by key, and by all members of their key.
pub(super) struct Places {
    by_key: HashMap<Value, Vec<usize>>,
    exact: HashMap<Exact, BTreeSet<usize>>,
    /// How often the order names a key.
    ordered: HashMap<Value, usize>,
}

impl Places {
    /// The items of `list` as they are; `members` are those of an item beside its `key`.
    pub(super) fn of(
        list: &[Value],
        order: &[Value],
        key: &str,
        members: impl Fn(&Map<String, Value>) -> Vec<Option<Value>>,
    ) -> Self {
        let mut places = Self { by_key: HashMap::new(), exact: HashMap::new(), ordered: HashMap::new() };
        for (place, item) in list.iter().enumerate() {
            if let Some((item, value)) = item.as_object().and_then(|item| Some((item, item.get(key)?))) {
                places.add(place, value, members(item));
            }
        }
        for value in order.iter().filter_map(|item| item.get(key)) {
            *places.ordered.entry(value.clone()).or_default() += 1;
        }
        places
    }

    /// The place of the item that is meant; none when it is a new one.
    pub(super) fn find(&self, key: &Value, members: &[Option<Value>]) -> Option<usize> {
        let here = self.by_key.get(key)?;
        let exact = self.exact.get(&(key.clone(), members.to_vec())).and_then(BTreeSet::first);
        let is_new = || self.ordered.get(key).is_some_and(|asked| *asked > here.len());
        exact.or_else(|| if is_new() { None } else { here.first() }).copied()
    }

    /// An item that has come behind the others.
    pub(super) fn add(&mut self, place: usize, key: &Value, members: Vec<Option<Value>>) {
        self.by_key.entry(key.clone()).or_default().push(place);
        self.exact.entry((key.clone(), members)).or_default().insert(place);
    }

    /// An item whose members beside the key have changed.
    pub(super) fn change(
        &mut self,
        place: usize,
        key: &Value,
        before: Vec<Option<Value>>,
        now: Vec<Option<Value>>,
    ) {
        if before == now {
            return;
        }
        if let Some(places) = self.exact.get_mut(&(key.clone(), before)) {
            places.remove(&place);
        }
        self.exact.entry((key.clone(), now)).or_default().insert(place);
    }
}
