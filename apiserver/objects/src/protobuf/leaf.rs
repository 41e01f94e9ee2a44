//! Single values: what each form of the table looks like on the wire.
//!
//! | form                | wire                                                        |
//! |---------------------|-------------------------------------------------------------|
//! | text                | bytes in UTF-8                                              |
//! | bytes               | bytes                                                       |
//! | boolean, integers   | varint; negative ones in two's complement of 64 bits        |
//! | number              | eight bytes                                                 |
//! | quantity            | a message: 1 its text; empty is 0                           |
//! | time, microtime     | a message: 1 seconds, 2 nanoseconds; both 0 is none         |
//! | int-or-string       | a message: 1 which (0 or 1), 2 the integer, 3 the text      |
//! | raw, fields, any    | a message: 1 the bytes of a JSON value; empty is none       |

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    Error,
    wire::{Part, Payload, Spot},
};
use crate::{decode, schema::table::Leaf, time};

/// The value that JSON has for it; `Null` is none.
pub(super) fn read(leaf: Leaf, payload: Payload<'_>, spot: Spot) -> Result<Value, Error> {
    Ok(match leaf {
        Leaf::String => payload.bytes(spot)?.text(spot)?.into(),
        Leaf::Bytes => STANDARD.encode(payload.bytes(spot)?.bytes).into(),
        Leaf::Boolean | Leaf::Int32 | Leaf::Int64 => number(leaf, payload.varint(spot)?),
        Leaf::Double => match payload {
            Payload::Fixed64(bits) => f64::from_bits(bits).into(),
            other => return Err(spot.fault(format!("8 bytes were expected, and it is {}", other.word()))),
        },
        Leaf::Quantity => quantity(payload.bytes(spot)?)?,
        Leaf::Time => instant(payload.bytes(spot)?, spot)?.map_or(Value::Null, |t| time::seconds(t).into()),
        Leaf::MicroTime => {
            instant(payload.bytes(spot)?, spot)?.map_or(Value::Null, |t| time::micros(t).into())
        }
        Leaf::IntOrString => int_or_string(payload.bytes(spot)?)?,
        Leaf::Raw | Leaf::FieldsV1 | Leaf::Any => raw(payload.bytes(spot)?, spot)?,
    })
}

/// A varint as one of the three forms that have it. An integer of 32 bits keeps what is too much, for whoever checks it.
pub(super) fn number(leaf: Leaf, varint: u64) -> Value {
    if leaf == Leaf::Boolean { (varint != 0).into() } else { varint.cast_signed().into() }
}

/// What a map's entry holds that does not say its value.
pub(super) fn nothing(leaf: Leaf) -> Value {
    match leaf {
        Leaf::String | Leaf::Bytes => "".into(),
        Leaf::Boolean => false.into(),
        Leaf::Int32 | Leaf::Int64 | Leaf::Double | Leaf::IntOrString => 0.into(),
        Leaf::Quantity => "0".into(),
        Leaf::Time | Leaf::MicroTime | Leaf::Raw | Leaf::FieldsV1 | Leaf::Any => Value::Null,
    }
}

/// Whether a writer writes this for a field that holds nothing.
pub(super) fn is_nothing(leaf: Leaf, value: &Value) -> bool {
    match leaf {
        Leaf::String | Leaf::Boolean | Leaf::Int32 | Leaf::Int64 | Leaf::IntOrString => {
            *value == nothing(leaf)
        }
        _ => value.is_null(),
    }
}

fn quantity(part: Part<'_>) -> Result<Value, Error> {
    let mut text = "0";
    let mut fields = part.fields("Quantity");
    while let Some(field) = fields.next()? {
        if field.tag == 1 {
            text = field.payload.bytes(field.spot)?.text(field.spot)?;
        }
    }
    Ok(if text.is_empty() { "0" } else { text }.into())
}

fn instant(part: Part<'_>, spot: Spot) -> Result<Option<Timestamp>, Error> {
    let (mut seconds, mut nanos) = (0, 0);
    let mut fields = part.fields("Time");
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => seconds = field.payload.varint(field.spot)?.cast_signed(),
            2 => nanos = field.payload.varint(field.spot)?.cast_signed(),
            _ => {}
        }
    }
    if (seconds, nanos) == (0, 0) {
        return Ok(None);
    }
    let time = i32::try_from(nanos).ok().and_then(|nanos| Timestamp::new(seconds, nanos).ok());
    time.map(Some).ok_or_else(|| spot.fault(format!("{seconds} s and {nanos} ns after 1970 is no time")))
}

fn int_or_string(part: Part<'_>) -> Result<Value, Error> {
    let (mut which, mut number, mut text) = (0, 0, "");
    let mut fields = part.fields("IntOrString");
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => which = field.payload.varint(field.spot)?,
            2 => number = field.payload.varint(field.spot)?.cast_signed(),
            3 => text = field.payload.bytes(field.spot)?.text(field.spot)?,
            _ => {}
        }
    }
    Ok(if which == 0 { number.into() } else { text.into() })
}

fn raw(part: Part<'_>, spot: Spot) -> Result<Value, Error> {
    let mut json: &[u8] = &[];
    let mut fields = part.fields("RawExtension");
    while let Some(field) = fields.next()? {
        if field.tag == 1 {
            json = field.payload.bytes(field.spot)?.bytes;
        }
    }
    if json.is_empty() {
        return Ok(Value::Null);
    }
    decode::value(json).map_err(|failure| match failure {
        decode::Failure::Syntax(text) => spot.fault(format!("what is embedded is not JSON: {text}")),
        other => spot.fault(format!("what is embedded is too large: {other}")),
    })
}
