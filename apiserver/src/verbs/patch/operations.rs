//! JSON patch (RFC 6902): a list of operations, each within bounds. What a few bytes ask for may be a lot:
//!
//! | operations | cost without a bound |
//! |---|---|
//! | `copy` of the document into itself | doubles it, each time |
//! | `add` and `remove` at the front of a list | move the whole list, each time |
//! | `move` and `copy` of an object into its own depths | doubles its depth, until walking it takes all of a thread's stack |

use json_patch::PatchOperation;
use orlop_objects::{
    Cause, FieldError, Key,
    decode::{MOST_DEPTH, MOST_OBJECTS, size},
    quote,
};
use orlop_registry::Error;
use serde_json::Value;

use crate::{body, failure::Failure};

/// Operations in one JSON patch, as in Kubernetes.
const OPERATIONS: usize = 10_000;
/// How many bytes the `copy` operations of one JSON patch may add, as in Kubernetes.
const GROWTH: usize = body::LIMIT;
/// How many values, however small, they may add: a value takes more than its bytes.
const COPIES: usize = 10 * MOST_OBJECTS;
/// How many values all operations of one JSON patch may move about.
const MOVES: usize = 10_000_000;

/// Reads a JSON patch.
pub(super) fn read(bytes: &[u8]) -> Result<json_patch::Patch, Failure> {
    let patch: json_patch::Patch = serde_json::from_value(body::json(bytes)?).map_err(|e| {
        Failure::bad_request(format!("the body is not a JSON patch: {}", quote::text(&e.to_string())))
    })?;
    if patch.0.len() > OPERATIONS {
        return Err(Failure::too_large(format!(
            "the JSON patch has {} operations; {OPERATIONS} are allowed",
            patch.0.len()
        )));
    }
    Ok(patch)
}

/// Operations one by one, so that what each costs is known before it is done.
pub(super) fn apply(key: &Key, mut value: Value, patch: &json_patch::Patch) -> Result<Value, Error> {
    let mut costs = Costs::default();
    for operation in &patch.0 {
        costs.add(&value, operation)?;
        json_patch::patch_unsafe(&mut value, std::slice::from_ref(operation)).map_err(|e| {
            let error = FieldError::new("patch", Cause::Invalid, e.to_string());
            Error::Invalid { key: key.clone(), causes: vec![error] }
        })?;
    }
    Ok(value)
}

/// What the operations so far have cost.
#[derive(Debug, Default)]
struct Costs {
    bytes: usize,
    copies: usize,
    moves: usize,
}

impl Costs {
    /// Adds an operation on the document as it is before.
    fn add(&mut self, document: &Value, operation: &PatchOperation) -> Result<(), Error> {
        match operation {
            PatchOperation::Add(add) => {
                weigh(&add.value, add.path.as_str())?;
                self.moves += length_around(document, add.path.as_str());
            }
            PatchOperation::Replace(replace) => drop(weigh(&replace.value, replace.path.as_str())?),
            PatchOperation::Remove(remove) => self.moves += length_around(document, remove.path.as_str()),
            PatchOperation::Move(at) => {
                let (from, to) = (at.from.as_str(), at.path.as_str());
                self.moves += length_around(document, from) + length_around(document, to);
                self.moves += document.pointer(from).map_or(Ok(0), |moved| weigh(moved, to))?;
            }
            PatchOperation::Copy(at) => {
                let (from, to) = (at.from.as_str(), at.path.as_str());
                self.moves += length_around(document, to);
                if let Some(copied) = document.pointer(from) {
                    self.copies += weigh(copied, to)?;
                    self.bytes += copied.to_string().len();
                }
            }
            PatchOperation::Test(_) => {}
        }
        self.within()
    }

    fn within(&self) -> Result<(), Error> {
        let refused = if self.bytes > GROWTH {
            format!("the copy operations of the JSON patch add more than {GROWTH} bytes")
        } else if self.copies > COPIES {
            format!("the copy operations of the JSON patch add more than {COPIES} values")
        } else if self.moves > MOVES {
            format!(
                "the operations of the JSON patch move more than {MOVES} values about; replace the list as a whole"
            )
        } else {
            return Ok(());
        };
        Err(Error::BadRequest(refused))
    }
}

/// The length of the list that an item at this path is put into or taken out of: all behind it move.
fn length_around(document: &Value, path: &str) -> usize {
    let list = path.rsplit_once('/').and_then(|(above, _)| document.pointer(above)?.as_array());
    list.map_or(0, Vec::len)
}

/// How many values a value is that is put at this path, where it must not stand too deep.
fn weigh(value: &Value, path: &str) -> Result<usize, Error> {
    let left = MOST_DEPTH.checked_sub(path.matches('/').count());
    left.and_then(|left| size(value, left)).ok_or_else(|| {
        let text =
            format!("the JSON patch makes lists and objects stand in each other more than {MOST_DEPTH} deep");
        Error::BadRequest(text)
    })
}

#[cfg(test)]
mod tests {
    use orlop_objects::kind;
    use serde_json::json;

    use super::*;

    fn patched(document: Value, operations: Vec<Value>) -> Result<Value, String> {
        let patch = serde_json::from_value(operations.into()).expect("is a patch");
        let key = Key::new(&kind::CONFIG_MAP, "default", "x");
        apply(&key, document, &patch).map_err(|error| match error {
            Error::BadRequest(message) => message,
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn every_operation_is_done() {
        let operations = vec![
            json!({"op": "add", "path": "/list/0", "value": 1}),
            json!({"op": "copy", "from": "/list/0", "path": "/one"}),
            json!({"op": "move", "from": "/list/1", "path": "/two"}),
            json!({"op": "replace", "path": "/list/0", "value": {"a": []}}),
            json!({"op": "test", "path": "/two", "value": 2}),
            json!({"op": "remove", "path": "/gone"}),
        ];
        let wanted = json!({"list": [{"a": []}], "one": 1, "two": 2});
        assert_eq!(patched(json!({"list": [2], "gone": null}), operations), Ok(wanted));
        let absent = patched(json!({}), vec![json!({"op": "remove", "path": "/x"})]);
        assert!(absent.is_err_and(|error| error.contains("Invalid")));
    }

    /// Doubling by `copy` would fill the memory within forty operations.
    #[test]
    fn copies_may_not_add_up_beyond_the_limit() {
        let doubling = |n| json!({"op": "copy", "from": "", "path": format!("/x{n}")});
        let refused = patched(json!({"data": {"a": "y".repeat(1000)}}), (0..40).map(doubling).collect());
        assert_eq!(refused, Err("the copy operations of the JSON patch add more than 3145728 bytes".into()));
        // What is small in bytes is not small in memory.
        let refused = patched(json!({"list": vec![json!({}); 1000]}), (0..40).map(doubling).collect());
        assert_eq!(refused, Err("the copy operations of the JSON patch add more than 200000 values".into()));
    }

    /// Each of these operations moves all items of the list.
    #[test]
    fn lists_are_not_moved_about_without_end() {
        let list = json!({"list": vec![0; 100_000]});
        for operation in [
            json!({"op": "add", "path": "/list/0", "value": 0}),
            json!({"op": "remove", "path": "/list/0"}),
            json!({"op": "move", "from": "/list/0", "path": "/list/1"}),
            json!({"op": "move", "from": "/list", "path": "/list"}),
            json!({"op": "copy", "from": "/list/0", "path": "/list/0"}),
        ] {
            let refused = patched(list.clone(), vec![operation; 200]).expect_err("it is too much");
            assert!(
                refused.starts_with("the operations of the JSON patch move more than 10000000"),
                "{refused}"
            );
        }
    }

    /// A value of a hundred thousand levels fits a body, and no stack.
    #[test]
    fn nothing_is_put_deeper_than_it_can_be_read() {
        let deeper = |n: u32| "/a".repeat(1 << n);
        let copies = (0..16).map(|n| json!({"op": "copy", "from": "/a", "path": format!("/a{}", deeper(n))}));
        let adds = (1..200).map(|n| json!({"op": "add", "path": "/a".repeat(n), "value": {}}));
        // What grows at one place is moved under what has grown at the other.
        let moves = (1..200).flat_map(|n| {
            let (here, there) = if n % 2 == 0 { ("/a", "/b") } else { ("/b", "/a") };
            let under = json!({"op": "add", "path": here, "value": {"x": {}}});
            [under, json!({"op": "move", "from": there, "path": format!("{here}/x/y")})]
        });
        for operations in [copies.collect::<Vec<_>>(), adds.collect(), moves.collect()] {
            let refused = patched(json!({"a": {}}), operations).expect_err("it is too deep");
            assert!(refused.contains("more than 100 deep"), "{refused}");
        }
    }

    #[test]
    fn there_may_be_ten_thousand_operations() {
        let operations = |count| {
            let test = json!({"op": "test", "path": "/data/a", "value": "1"});
            read(json!(vec![test; count]).to_string().as_bytes())
        };
        assert!(operations(10_000).is_ok());
        let refused = operations(10_001).expect_err("is too long");
        assert_eq!(refused.message, "the JSON patch has 10001 operations; 10000 are allowed");
    }
}
