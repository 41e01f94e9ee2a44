//! The query string: percent-decoded pairs, read by name.

use std::borrow::Cow;

use crate::failure::Failure;

/// Decoded parameters in their order.
#[derive(Debug, Default)]
pub(crate) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// Reads `a=b&c=d`.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Failure> {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name, true)?, decode(value, true)?))
        });
        pairs.collect::<Result<_, Failure>>().map(Self)
    }

    /// The first value of `name`; an empty value counts as none, as Kubernetes' decoder has it.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_ref())
            .filter(|value| !value.is_empty())
    }

    /// Whether `name` is there at all, with whatever value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    /// Every value of `name`.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_ref())
    }

    /// A switch: absent, `false` (however it is cased) and `0` are off, anything else is on, as Kubernetes has it. Python's
    /// client says `True`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        let off = |value: &str| value == "0" || value.eq_ignore_ascii_case("false");
        self.get(name).map_or_else(|| self.has(name), |value| !off(value))
    }

    /// A whole number.
    pub(crate) fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, Failure> {
        let read = |text: &str| {
            text.parse().map_err(|_| {
                Failure::bad_request(format!(
                    "query parameter {name}: \"{text}\" is not a number that it can be"
                ))
            })
        };
        self.get(name).map(read).transpose()
    }
}

/// Undoes percent-encoding; `plus` says whether `+` is a blank (it is in queries, not in paths).
pub(crate) fn decode(text: &str, plus: bool) -> Result<Cow<'_, str>, Failure> {
    if !text.bytes().any(|b| b == b'%' || (plus && b == b'+')) {
        return Ok(Cow::Borrowed(text));
    }
    let broken = || Failure::bad_request(format!("the URL holds broken percent-encoding: \"{text}\""));
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16)).ok_or_else(broken);
                // Two hexadecimal digits are below 256.
                u8::try_from(digit()? * 16 + digit()?).map_err(|_| broken())?
            }
            b'+' if plus => b' ',
            other => other,
        });
    }
    String::from_utf8(out).map(Cow::Owned).map_err(|_| broken())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded() {
        let query = Query::parse("fieldSelector=a%3Db%2Cc!%3D&limit=500&watch&x=a+b&follow=false")
            .expect("is well-formed");
        assert_eq!(query.get("fieldSelector"), Some("a=b,c!="));
        assert_eq!(query.number::<u64>("limit").expect("is a number"), Some(500));
        assert_eq!(query.get("x"), Some("a b"));
    }

    #[test]
    fn a_switch_is_on_unless_it_says_that_it_is_off() {
        for (text, on) in [
            ("watch=true", true),
            ("watch=True", true),
            ("watch=1", true),
            ("watch=yes", true),
            ("watch=", true),
            ("watch", true),
            ("watch=false", false),
            ("watch=False", false),
            ("watch=0", false),
            ("follow=true", false),
        ] {
            assert_eq!(Query::parse(text).expect("is well-formed").flag("watch"), on, "{text}");
        }
    }

    #[test]
    fn what_is_broken_is_refused() {
        for text in ["a=%", "a=%4", "a=%zz", "a=%ff"] {
            assert!(Query::parse(text).is_err(), "{text}");
        }
        let query = Query::parse("limit=many").expect("is well-formed");
        assert!(query.number::<u64>("limit").is_err());
    }
}
