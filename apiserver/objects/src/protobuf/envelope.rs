//! What every body begins with: four bytes, and a `runtime.Unknown` that says what the message inside is.

use super::{
    Error,
    wire::{Part, Spot},
};
use crate::quote;

const MAGIC: &[u8] = b"k8s\0";
const NAME: &str = "runtime.Unknown";
/// The one form of what is inside.
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// An opened envelope.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// `v1`, `apps/v1`; empty where it is not said.
    pub api_version: &'a str,
    /// `Pod`; empty where it is not said.
    pub kind: &'a str,
    pub(super) message: Part<'a>,
}

impl<'a> Envelope<'a> {
    /// Opens a body.
    pub fn open(body: &'a [u8]) -> Result<Self, Error> {
        let start = Spot { message: NAME, at: 0 };
        let rest = body.strip_prefix(MAGIC).ok_or_else(|| {
            start.fault("Kubernetes' protobuf begins with the bytes 6b 38 73 00 (\"k8s\" and a zero)")
        })?;
        let at = MAGIC.len();
        let mut envelope = Self { api_version: "", kind: "", message: Part { bytes: &[], at } };
        let mut fields = Part { bytes: rest, at }.fields(NAME);
        while let Some(field) = fields.next()? {
            let spot = field.spot;
            match field.tag {
                1 => envelope.type_meta(field.payload.bytes(spot)?)?,
                2 => envelope.message = field.payload.bytes(spot)?,
                3 => match field.payload.bytes(spot)?.text(spot)? {
                    "" => {}
                    other => {
                        let other = quote::text(other);
                        let fault =
                            format!("the message is encoded as {other:?}; send it without contentEncoding");
                        return Err(spot.fault(fault));
                    }
                },
                4 => match field.payload.bytes(spot)?.text(spot)? {
                    "" | PROTOBUF => {}
                    other => {
                        let other = quote::text(other);
                        let fault = format!(
                            "the message is {other:?} inside; send that as the body, with this Content-Type"
                        );
                        return Err(spot.fault(fault));
                    }
                },
                _ => {}
            }
        }
        Ok(envelope)
    }

    fn type_meta(&mut self, part: Part<'a>) -> Result<(), Error> {
        let mut fields = part.fields("runtime.TypeMeta");
        while let Some(field) = fields.next()? {
            match field.tag {
                1 => self.api_version = field.payload.bytes(field.spot)?.text(field.spot)?,
                2 => self.kind = field.payload.bytes(field.spot)?.text(field.spot)?,
                _ => {}
            }
        }
        Ok(())
    }
}
