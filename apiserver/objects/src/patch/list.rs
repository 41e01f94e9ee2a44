//! Lists that merge: items by their key, plain values by themselves.
//!
//! The strategy's key is one field. Where the list has a key of several members (ports: number and protocol), an item
//! whose every member is the same is the one; else, when `$setElementOrder` names the number more often than it is
//! there, the item is new (Kubernetes would overwrite the other protocol's port); else the first of this number is meant.

use serde_json::{Map, Value};

use super::{
    DELETE, Directive, ORDER, Where, directive, merge_object, object_type, order, without_directives,
};
use crate::{
    Cause, FieldError,
    schema::table::{Field, Type},
};

/// An item of the patch: its index, its fields, what it says about itself.
type Item<'a> = (usize, &'a Map<String, Value>, Directive);

/// A list's place and keys.
pub(super) struct Keyed {
    ty: Option<&'static Type>,
    /// The strategy's key; empty for plain values.
    key: &'static str,
    /// The members of the list's own key beside it.
    others: Vec<&'static str>,
    path: String,
}

impl Keyed {
    pub(super) fn of(field: Option<&'static Field>, path: String) -> Self {
        let key = field.map_or("", |f| f.key);
        let keys = field.map_or("", |f| f.keys).split(',');
        let others = keys.filter(|k| !k.is_empty() && *k != key).collect();
        Self { ty: field.and_then(|f| object_type(&f.shape)), key, others, path }
    }

    /// The merged list, in order.
    pub(super) fn merge(
        &self,
        original: &[Value],
        patch: &[Value],
        order: Option<&Value>,
    ) -> Result<Vec<Value>, FieldError> {
        let order = order.map(|o| self.order_list(o)).transpose()?;
        let merged = if self.key.is_empty() {
            self.merge_values(original.to_vec(), patch)?
        } else {
            self.merge_items(original.to_vec(), patch, order)?
        };
        Ok(order::arrange(merged, order.unwrap_or(patch), original, self.key))
    }

    fn order_list<'a>(&self, order: &'a Value) -> Result<&'a [Value], FieldError> {
        let path = format!("{ORDER}{}", self.path);
        let detail = "must be the list's items in order, each with its key alone";
        let items = order.as_array().ok_or_else(|| FieldError::invalid(&path, order, detail))?;
        let whole = |item: &Value| self.key.is_empty() || item.get(self.key).is_some();
        if items.iter().all(whole) { Ok(items) } else { Err(FieldError::invalid(path, order, detail)) }
    }

    fn merge_values(&self, mut list: Vec<Value>, patch: &[Value]) -> Result<Vec<Value>, FieldError> {
        for value in patch {
            if value.is_object() || value.is_array() {
                return Err(FieldError::invalid(&self.path, value, "this list holds plain values"));
            }
            if !list.contains(value) {
                list.push(value.clone());
            }
        }
        Ok(list)
    }

    fn merge_items(
        &self,
        mut list: Vec<Value>,
        patch: &[Value],
        order: Option<&[Value]>,
    ) -> Result<Vec<Value>, FieldError> {
        let items = self.items(patch)?;
        if items.iter().any(|(_, _, d)| *d == Directive::Replace) {
            let kept = items.iter().filter(|(_, _, d)| *d == Directive::Merge);
            return Ok(kept.map(|(_, item, _)| Value::Object(without_directives(item))).collect());
        }
        for (_, item, _) in items.iter().filter(|(_, _, d)| *d == Directive::Delete) {
            list.retain(|there| !self.named_by(there, item));
        }
        for (n, item, _) in items.iter().filter(|(_, _, d)| *d == Directive::Merge) {
            let at = Where { ty: self.ty, path: format!("{}[{n}]", self.path) };
            match self.find(&list, item, order) {
                Some(place) => {
                    let Value::Object(there) = list[place].take() else {
                        continue;
                    };
                    list[place] = Value::Object(merge_object(there, item, &at)?);
                }
                None => list.push(Value::Object(merge_object(Map::new(), item, &at)?)),
            }
        }
        Ok(list)
    }

    /// The patch's items with their index and directive; each names its key, but for the one that says `replace`.
    fn items<'a>(&self, patch: &'a [Value]) -> Result<Vec<Item<'a>>, FieldError> {
        let read = |(n, item): (usize, &'a Value)| {
            let path = format!("{}[{n}]", self.path);
            let Value::Object(fields) = item else {
                return Err(FieldError::invalid(path, item, "this list holds objects"));
            };
            let directive = directive(fields, &path)?;
            if directive != Directive::Replace && fields.get(self.key).is_none_or(Value::is_null) {
                let detail = format!("the item must name its {}, by which the list is merged", self.key);
                return Err(FieldError::new(format!("{path}.{}", self.key), Cause::Required, detail));
            }
            Ok((n, fields, directive))
        };
        patch.iter().enumerate().map(read).collect()
    }

    /// The place of the item that `item` means.
    fn find(&self, list: &[Value], item: &Map<String, Value>, order: Option<&[Value]>) -> Option<usize> {
        let same_key = |there: &&Value| there.get(self.key) == item.get(self.key);
        let exact = |there: &Value| {
            same_key(&there)
                && self.others.iter().all(|o| self.member(there.get(o), o) == self.member(item.get(*o), o))
        };
        if let Some(place) = list.iter().position(exact) {
            return Some(place);
        }
        let asked = order.unwrap_or_default().iter().filter(same_key).count();
        if asked > list.iter().filter(same_key).count() {
            return None;
        }
        list.iter().position(|there| same_key(&there))
    }

    /// Whether a deletion by `item` means this one: its key is the same, and so is every other member that is given.
    fn named_by(&self, there: &Value, item: &Map<String, Value>) -> bool {
        let same = |name: &str| self.member(there.get(name), name) == self.member(item.get(name), name);
        same(self.key) && self.others.iter().all(|o| !item.contains_key(*o) || same(o))
    }

    /// A member's value, or its default when it is absent.
    fn member(&self, value: Option<&Value>, name: &str) -> Option<Value> {
        value.cloned().or_else(|| self.ty.and_then(|ty| ty.field(name)).and_then(Field::default_value))
    }
}

/// `$deleteFromPrimitiveList`: takes values out of a list of plain values.
pub(super) fn delete_values(list: &mut Value, values: &Value, path: &str) -> Result<(), FieldError> {
    let Some(gone) = values.as_array() else {
        return Err(FieldError::invalid(format!("{DELETE}{path}"), values, "must be a list of values"));
    };
    if let Value::Array(items) = list {
        items.retain(|item| !gone.contains(item));
    }
    Ok(())
}
