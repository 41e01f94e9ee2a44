//! A JSON reader that notices what `serde_json::Value` hides: keys that are there twice.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Parses a whole document; the second half names the path of every key that came again (its last value stands).
pub(super) fn parse(bytes: &[u8]) -> serde_json::Result<(Value, Vec<String>)> {
    let duplicates = RefCell::new(Vec::new());
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Reader { path: None, duplicates: &duplicates }.deserialize(&mut reader)?;
    reader.end()?;
    Ok((value, duplicates.into_inner()))
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
    duplicates: &'a RefCell<Vec<String>>,
}

impl Reader<'_> {
    fn below<'b>(&'b self, place: &'b Place<'b>) -> Reader<'b> {
        Reader { path: Some(place), duplicates: self.duplicates }
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
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let place = Place { parent: self.path, step: Step::Key(&key) };
            let value = entries.next_value_seed(self.below(&place))?;
            if map.contains_key(&key) {
                self.duplicates.borrow_mut().push(text(Some(&place)));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}
