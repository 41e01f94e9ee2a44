//! Lists that merge: items by their key, plain values by themselves.
//!
//! The strategy's key is one field. Where the list has a key of several members (ports: number and protocol), an item
//! whose every member is the same is the one; else, when `$setElementOrder` names the number more often than it is
//! there, the item is new (Kubernetes would overwrite the other protocol's port); else the first of this number is meant.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{
    DELETE, Directive, ORDER, Step, Where, directive, merge_object, order, places::Places, without_directives,
};
use crate::{
    Cause, FieldError,
    schema::table::{Field, Type},
};

/// An item of the patch: its index, its fields, what it says about itself.
type Item<'a> = (usize, &'a Map<String, Value>, Directive);

/// A list's place and keys.
pub(super) struct Keyed<'a> {
    at: &'a Where<'a>,
    /// The strategy's key; empty for plain values.
    key: &'static str,
    /// The members of the list's own key beside it.
    others: Vec<&'static str>,
}

impl<'a> Keyed<'a> {
    /// The list at `at`, whose type is that of its items.
    pub(super) fn of(field: Option<&'static Field>, at: &'a Where<'a>) -> Self {
        let key = field.map_or("", |f| f.key);
        let keys = field.map_or("", |f| f.keys).split(',');
        let others = keys.filter(|k| !k.is_empty() && *k != key).collect();
        Self { at, key, others }
    }

    /// The merged list, in order.
    pub(super) fn merge(
        &self,
        original: Vec<Value>,
        patch: &[Value],
        order: Option<&Value>,
    ) -> Result<Vec<Value>, FieldError> {
        let order = order.map(|o| self.order_list(o)).transpose()?;
        let before = order::Ranks::of(&original, self.key);
        let merged = if self.key.is_empty() {
            self.merge_values(original, patch)?
        } else {
            self.merge_items(original, patch, order)?
        };
        Ok(order::arrange(merged, &order::Ranks::of(order.unwrap_or(patch), self.key), &before))
    }

    fn item(&self, n: usize) -> Where<'_> {
        Where { ty: self.at.ty, above: Some(self.at), step: Step::Item(n) }
    }

    fn order_list<'o>(&self, order: &'o Value) -> Result<&'o [Value], FieldError> {
        let whole = |item: &Value| self.key.is_empty() || item.get(self.key).is_some();
        match order.as_array() {
            Some(items) if items.iter().all(whole) => Ok(items),
            _ => {
                let detail = "must be the list's items in order, each with its key alone";
                Err(FieldError::invalid(format!("{ORDER}{}", self.at.path()), order, detail))
            }
        }
    }

    fn merge_values(&self, mut list: Vec<Value>, patch: &[Value]) -> Result<Vec<Value>, FieldError> {
        let mut there: HashSet<Value> = list.iter().cloned().collect();
        for value in patch {
            if value.is_object() || value.is_array() {
                return Err(FieldError::invalid(self.at.path(), value, "this list holds plain values"));
            }
            if there.insert(value.clone()) {
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
        self.delete(&mut list, &items);
        let mut places = Places::of(&list, order.unwrap_or_default(), self.key, |item| self.members(item));
        for (n, item, _) in items.iter().filter(|(_, _, d)| *d == Directive::Merge) {
            let Some(place) = places.find(&item[self.key], &self.members(item)) else {
                let new = merge_object(Map::new(), item, &self.item(*n))?;
                places.add(list.len(), &item[self.key], self.members(&new));
                list.push(Value::Object(new));
                continue;
            };
            if let Value::Object(there) = list[place].take() {
                let before = self.members(&there);
                let merged = merge_object(there, item, &self.item(*n))?;
                places.change(place, &item[self.key], before, self.members(&merged));
                list[place] = Value::Object(merged);
            }
        }
        Ok(list)
    }

    /// The patch's items with their index and directive; each names its key, but for the one that says `replace`.
    fn items<'p>(&self, patch: &'p [Value]) -> Result<Vec<Item<'p>>, FieldError> {
        let read = |(n, item): (usize, &'p Value)| {
            let at = self.item(n);
            let Value::Object(fields) = item else {
                return Err(FieldError::invalid(at.path(), item, "this list holds objects"));
            };
            let directive = directive(fields, &at)?;
            if directive != Directive::Replace && fields.get(self.key).is_none_or(Value::is_null) {
                let detail = format!("the item must name its {}, by which the list is merged", self.key);
                return Err(FieldError::new(at.path_of(self.key), Cause::Required, detail));
            }
            Ok((n, fields, directive))
        };
        patch.iter().enumerate().map(read).collect()
    }

    /// Takes out what the patch deletes: an item goes when its key is the same, and so is every other member that is given.
    fn delete(&self, list: &mut Vec<Value>, items: &[Item<'_>]) {
        let given = |item: &Map<String, Value>| -> Vec<bool> {
            self.others.iter().map(|name| item.contains_key(*name)).collect()
        };
        let named = |item: &Map<String, Value>, given: &[bool]| -> Vec<Option<Value>> {
            let key = self.member(item, self.key);
            let others = self.others.iter().zip(given);
            let others = others.map(|(name, given)| given.then(|| self.member(item, name)).flatten());
            [key].into_iter().chain(others).collect()
        };
        let deleted = items.iter().filter(|(_, _, d)| *d == Directive::Delete);
        let gone: HashSet<(Vec<bool>, Vec<Option<Value>>)> =
            deleted.map(|(_, item, _)| (given(item), named(item, &given(item)))).collect();
        // Of which members are given there are few combinations, however many items there are.
        let combinations: HashSet<Vec<bool>> = gone.iter().map(|(given, _)| given.clone()).collect();
        list.retain(|there| {
            let is_gone = |there: &Map<String, Value>| {
                combinations.iter().any(|given| gone.contains(&(given.clone(), named(there, given))))
            };
            !there.as_object().is_some_and(is_gone)
        });
    }

    /// The members of the list's own key beside the strategy's.
    fn members(&self, item: &Map<String, Value>) -> Vec<Option<Value>> {
        self.others.iter().map(|name| self.member(item, name)).collect()
    }

    /// A member's value, or its default when it is absent.
    fn member(&self, item: &Map<String, Value>, name: &str) -> Option<Value> {
        let default = || self.ty().and_then(|ty| ty.field(name)).and_then(Field::default_value);
        item.get(name).cloned().or_else(default)
    }

    fn ty(&self) -> Option<&'static Type> {
        self.at.ty
    }
}

/// `$deleteFromPrimitiveList`: takes values out of a list of plain values.
pub(super) fn delete_values(
    list: &mut Value,
    values: &Value,
    at: &Where<'_>,
    name: &str,
) -> Result<(), FieldError> {
    let Some(gone) = values.as_array() else {
        let field = format!("{DELETE}{}", at.path_of(name));
        return Err(FieldError::invalid(field, values, "must be a list of values"));
    };
    if let Value::Array(items) = list {
        let gone: HashSet<&Value> = gone.iter().collect();
        items.retain(|item| !gone.contains(item));
    }
    Ok(())
}
