//! Messages: walks the wire beside the schema table and makes the object. A message that comes again is laid over what was
//! there, a value that comes again replaces it, as the format wants it.

use serde_json::{Map, Value};

use super::{
    Error, Message,
    index::{Slot, Slots},
    leaf,
    wire::{self, Part, Payload, Spot},
};
use crate::{
    decode::{MOST, MOST_OBJECTS},
    schema::table::{self, Leaf, Shape, Type},
};

pub(super) fn read(root: &'static Type, part: Part<'_>) -> Result<Message, Error> {
    let mut walk = Walk { unknown: Vec::new(), path: Vec::new(), objects: 0 };
    let mut fields = Map::new();
    walk.object(root, part, &mut fields)?;
    Ok(Message { value: Value::Object(fields), unknown: walk.unknown })
}

/// The walk: where it is, and what it found. The table has no type within itself, so that it is no deeper than the table.
struct Walk {
    unknown: Vec<String>,
    path: Vec<Step>,
    /// How many messages it has come to that are objects: two bytes each, and hundreds in memory. They are counted here, since
    /// whoever counts what has been made counts too late.
    objects: usize,
}

enum Step {
    Field(&'static str),
    Item(usize),
    Key(String),
}

impl Walk {
    fn object(
        &mut self,
        ty: &'static Type,
        part: Part<'_>,
        to: &mut Map<String, Value>,
    ) -> Result<(), Error> {
        self.objects += 1;
        if self.objects > MOST_OBJECTS {
            let spot = Spot { message: name(ty), at: part.at };
            let fault =
                format!("this is one object too many: a body may hold {MOST_OBJECTS}; make several of it");
            return Err(spot.fault(fault));
        }
        self.slots(Slots::of(ty), ty, "", part, to)
    }

    /// The fields of a message, or of one that JSON does not show: `inside` are the tags that led to it, `2/`.
    fn slots(
        &mut self,
        slots: &'static Slots,
        ty: &'static Type,
        inside: &str,
        part: Part<'_>,
        to: &mut Map<String, Value>,
    ) -> Result<(), Error> {
        let mut fields = part.fields(name(ty));
        while let Some(found) = fields.next()? {
            match slots.get(found.tag) {
                Some(Slot::Field(field)) => {
                    self.path.push(Step::Field(field.name));
                    self.field(field, found, to)?;
                    self.path.pop();
                }
                Some(Slot::Inline(inner)) => {
                    let inside = format!("{inside}{}/", found.tag);
                    self.slots(inner, ty, &inside, found.payload.bytes(found.spot)?, to)?;
                }
                None => self.unknown(ty, inside, found),
            }
        }
        Ok(())
    }

    fn field(
        &mut self,
        field: &'static table::Field,
        found: wire::Field<'_>,
        to: &mut Map<String, Value>,
    ) -> Result<(), Error> {
        let entry = || field.name.to_owned();
        match &field.shape {
            Shape::Leaf(form) => {
                let value = leaf::read(*form, found.payload, found.spot)?;
                let nothing = leaf::is_nothing(*form, &value);
                if value.is_null() || (nothing && !field.pointer && !field.required) {
                    to.remove(field.name);
                } else {
                    to.insert(entry(), value);
                }
            }
            Shape::Object(ty) => {
                let inner = to.entry(entry()).or_insert_with(|| Map::new().into());
                let part = found.payload.bytes(found.spot)?;
                if let Value::Object(inner) = inner {
                    self.object(ty.get(), part, inner)?;
                }
            }
            Shape::List(item) => {
                let list = to.entry(entry()).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(list) = list {
                    self.item(item, found, list)?;
                }
            }
            Shape::Map(item) => {
                let map = to.entry(entry()).or_insert_with(|| Map::new().into());
                if let Value::Object(map) = map {
                    self.pair(item, found, map)?;
                }
            }
        }
        Ok(())
    }

    /// One item of a list, or several where numbers are packed.
    fn item(
        &mut self,
        item: &'static Shape,
        found: wire::Field<'_>,
        to: &mut Vec<Value>,
    ) -> Result<(), Error> {
        if let (Shape::Leaf(form @ (Leaf::Boolean | Leaf::Int32 | Leaf::Int64)), Payload::Bytes(part)) =
            (item, found.payload)
        {
            let numbers = part.fields(found.spot.message).packed()?;
            to.extend(numbers.into_iter().map(|n| leaf::number(*form, n)));
            return Ok(());
        }
        self.path.push(Step::Item(to.len()));
        to.push(self.value(item, found)?);
        self.path.pop();
        Ok(())
    }

    /// One entry of a map: a message of 1 key and 2 value.
    fn pair(
        &mut self,
        item: &'static Shape,
        found: wire::Field<'_>,
        to: &mut Map<String, Value>,
    ) -> Result<(), Error> {
        let (mut key, mut value) = ("", None);
        let mut fields = found.payload.bytes(found.spot)?.fields(found.spot.message);
        while let Some(field) = fields.next()? {
            match field.tag {
                1 => key = field.payload.bytes(field.spot)?.text(field.spot)?,
                2 => value = Some(field),
                _ => {}
            }
        }
        self.path.push(Step::Key(key.to_owned()));
        let value = match value {
            Some(field) => self.value(item, field)?,
            None => nothing(item),
        };
        self.path.pop();
        to.insert(key.to_owned(), value);
        Ok(())
    }

    /// A value that stands for itself, in a list or a map.
    fn value(&mut self, shape: &'static Shape, found: wire::Field<'_>) -> Result<Value, Error> {
        match shape {
            Shape::Leaf(form) => leaf::read(*form, found.payload, found.spot),
            Shape::Object(ty) => {
                let mut fields = Map::new();
                self.object(ty.get(), found.payload.bytes(found.spot)?, &mut fields)?;
                Ok(fields.into())
            }
            // A list in a list or a map has a message of its own, with the items under 1.
            Shape::List(item) => {
                let mut items = Vec::new();
                let mut fields = found.payload.bytes(found.spot)?.fields(found.spot.message);
                while let Some(field) = fields.next()? {
                    if field.tag == 1 {
                        self.item(item, field, &mut items)?;
                    }
                }
                Ok(items.into())
            }
            Shape::Map(_) => Err(found.spot.fault("maps within lists or maps are not read")),
        }
    }

    /// Notes a tag that the table lacks, if it says anything: newer writers also write what holds nothing.
    fn unknown(&mut self, ty: &Type, inside: &str, found: wire::Field<'_>) {
        if found.payload.is_nothing() || self.unknown.len() >= MOST {
            return;
        }
        let mut place = String::new();
        for step in &self.path {
            let dot = if place.is_empty() { "" } else { "." };
            match step {
                Step::Field(name) => place.extend([dot, name]),
                Step::Key(key) => place.extend([dot, key]),
                Step::Item(n) => place.push_str(&format!("[{n}]")),
            }
        }
        let colon = if place.is_empty() { "" } else { ": " };
        self.unknown.push(format!("{place}{colon}field {inside}{} of {}", found.tag, name(ty)));
    }
}

fn nothing(shape: &Shape) -> Value {
    match shape {
        Shape::Leaf(form) => leaf::nothing(*form),
        Shape::List(_) => Value::Array(Vec::new()),
        Shape::Object(_) | Shape::Map(_) => Map::new().into(),
    }
}

/// The last word of a type's name.
fn name(ty: &Type) -> &'static str {
    ty.name.rsplit('.').next().unwrap_or(ty.name)
}
