//! A JSON reader that notices what `serde_json::Value` hides: keys that are there twice, and how much it is.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{Failure, MOST};

/// Parses a whole document; the second half names the path of the keys that came again (their last value stands). An object
/// of six bytes takes a hundred times that in memory: the one after the `most` allowed is not made.
pub(super) fn parse(bytes: &[u8], most: usize) -> Result<(Value, Vec<String>), Failure> {
    let seen = Seen { duplicates: RefCell::default(), objects: Cell::new(0), most };
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Reader { path: None, seen: &seen }.deserialize(&mut reader);
    match value.and_then(|value| reader.end().map(|()| value)) {
        Ok(value) => Ok((value, seen.duplicates.into_inner())),
        Err(_) if seen.objects.get() > most => Err(Failure::TooMany(most)),
        Err(error) => Err(Failure::Syntax(error.to_string())),
    }
}

/// What has been seen so far.
struct Seen {
    duplicates: RefCell<Vec<String>>,
    objects: Cell<usize>,
    most: usize,
}

/// Where the reader stands: a list from the leaf to the root that costs nothing while nothing is wrong.
struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    step: Step<'a>,
}

enum Step<'a> {
    Key(&'a str),
    Item(usize),
}

fn text(place: Option<&Place<'_>>) -> String {
    let Some(place) = place else { return String::new() };
    let above = text(place.parent);
    match place.step {
        Step::Item(n) => format!("{above}[{n}]"),
        Step::Key(key) if above.is_empty() => key.to_owned(),
        Step::Key(key) => format!("{above}.{key}"),
    }
}

struct Reader<'a> {
    path: Option<&'a Place<'a>>,
    seen: &'a Seen,
}

impl Reader<'_> {
    fn below<'b>(&'b self, place: &'b Place<'b>) -> Reader<'b> {
        Reader { path: Some(place), seen: self.seen }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<Value, E> {
        Number::from_f64(v).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let place = Place { parent: self.path, step: Step::Item(list.len()) };
            let Some(item) = items.next_element_seed(self.below(&place))? else {
                break;
            };
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        self.seen.objects.set(self.seen.objects.get() + 1);
        if self.seen.objects.get() > self.seen.most {
            return Err(A::Error::custom("too many objects"));
        }
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let place = Place { parent: self.path, step: Step::Key(&key) };
            let value = entries.next_value_seed(self.below(&place))?;
            // Each has a path, which may be as long as the body.
            let mut duplicates = self.seen.duplicates.borrow_mut();
            if map.contains_key(&key) && duplicates.len() < MOST {
                duplicates.push(text(Some(&place)));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}
