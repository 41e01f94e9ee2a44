//! The wire format: tags, varints, lengths. Every place is counted from the body's first byte.

use super::Error;

/// What a field carries.
#[derive(Clone, Copy, Debug)]
pub(super) enum Payload<'a> {
    /// A number of seven bits a byte.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// Four bytes.
    Fixed32(u32),
    /// A length, and that many bytes.
    Bytes(Part<'a>),
}

impl<'a> Payload<'a> {
    /// Whether it is what a writer writes for a field that holds nothing.
    pub(super) fn is_nothing(self) -> bool {
        match self {
            Self::Varint(n) | Self::Fixed64(n) => n == 0,
            Self::Fixed32(n) => n == 0,
            Self::Bytes(part) => part.bytes.is_empty(),
        }
    }

    /// The bytes, where it is bytes.
    pub(super) fn bytes(self, at: Spot) -> Result<Part<'a>, Error> {
        match self {
            Self::Bytes(part) => Ok(part),
            other => Err(at.fault(format!("a length was expected, and it is {}", other.word()))),
        }
    }

    /// The number, where it is one.
    pub(super) fn varint(self, at: Spot) -> Result<u64, Error> {
        match self {
            Self::Varint(n) => Ok(n),
            other => Err(at.fault(format!("a varint was expected, and it is {}", other.word()))),
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Varint(_) => "a varint",
            Self::Fixed64(_) => "a number of 8 bytes",
            Self::Fixed32(_) => "a number of 4 bytes",
            Self::Bytes(_) => "a length",
        }
    }
}

/// A place in the body, and the message that it belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    pub(super) message: &'static str,
    pub(super) at: usize,
}

impl Spot {
    /// What is wrong here.
    pub(super) fn fault(self, fault: impl Into<String>) -> Error {
        Error { message: self.message, at: self.at, fault: fault.into() }
    }
}

/// A part of the body that knows where it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Part<'a> {
    /// The text that it is.
    pub(super) fn text(self, at: Spot) -> Result<&'a str, Error> {
        std::str::from_utf8(self.bytes).map_err(|e| at.fault(format!("the text is not UTF-8: {e}")))
    }

    /// Its fields, as those of a message of this name.
    pub(super) fn fields(self, message: &'static str) -> Fields<'a> {
        Fields { rest: self, message }
    }
}

/// One field of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    pub(super) tag: u32,
    pub(super) payload: Payload<'a>,
    pub(super) spot: Spot,
}

/// The fields of a message, in their order on the wire.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    rest: Part<'a>,
    message: &'static str,
}

impl<'a> Fields<'a> {
    /// The next field; none at the end of the message.
    pub(super) fn next(&mut self) -> Result<Option<Field<'a>>, Error> {
        if self.rest.bytes.is_empty() {
            return Ok(None);
        }
        let spot = self.spot();
        let key = self.varint()?;
        let tag = u32::try_from(key >> 3).ok().filter(|tag| (1..1 << 29).contains(tag));
        let tag = tag.ok_or_else(|| spot.fault(format!("{} is no field number", key >> 3)))?;
        let payload = match key & 7 {
            0 => Payload::Varint(self.varint()?),
            1 => Payload::Fixed64(u64::from_le_bytes(self.fixed()?)),
            2 => Payload::Bytes(self.length()?),
            5 => Payload::Fixed32(u32::from_le_bytes(self.fixed()?)),
            other => return Err(spot.fault(format!("field {tag} has wire type {other}, which is not used"))),
        };
        Ok(Some(Field { tag, payload, spot }))
    }

    /// The varints that follow each other up to the end, as packed lists have them.
    pub(super) fn packed(mut self) -> Result<Vec<u64>, Error> {
        let mut numbers = Vec::new();
        while !self.rest.bytes.is_empty() {
            numbers.push(self.varint()?);
        }
        Ok(numbers)
    }

    fn spot(&self) -> Spot {
        Spot { message: self.message, at: self.rest.at }
    }

    fn varint(&mut self) -> Result<u64, Error> {
        let spot = self.spot();
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.fixed()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                // The tenth byte has one bit of the 64.
                return if shift == 63 && byte > 1 {
                    Err(spot.fault("a varint has more than 64 bits"))
                } else {
                    Ok(number)
                };
            }
        }
        Err(spot.fault("a varint has more than 64 bits"))
    }

    fn length(&mut self) -> Result<Part<'a>, Error> {
        let spot = self.spot();
        let said = self.varint()?;
        let length = usize::try_from(said).ok().filter(|n| *n <= self.rest.bytes.len());
        let left = self.rest.bytes.len();
        let length = length.ok_or_else(|| {
            spot.fault(format!("it is cut off: {said} bytes are announced, and {left} are left"))
        })?;
        Ok(self.take(length))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let left = self.rest.bytes.len();
        let Some(bytes) = self.rest.bytes.first_chunk::<N>() else {
            return Err(self
                .spot()
                .fault(format!("it is cut off: {N} bytes are needed, and {left} are left")));
        };
        self.take(N);
        Ok(*bytes)
    }

    /// Takes bytes off that are known to be there.
    fn take(&mut self, length: usize) -> Part<'a> {
        let (bytes, rest) = self.rest.bytes.split_at(length);
        let taken = Part { bytes, at: self.rest.at };
        self.rest = Part { bytes: rest, at: self.rest.at + length };
        taken
    }
}
