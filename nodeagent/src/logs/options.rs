//! What a reader asks for: the query of a log request. Pure.

use jiff::Timestamp;

/// The query's meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) follow: bool,
    pub(super) previous: bool,
    pub(super) timestamps: bool,
    pub(super) tail_lines: Option<usize>,
    pub(super) since: Option<Timestamp>,
    pub(super) limit_bytes: Option<usize>,
}

impl Options {
    /// Reads a query; says which parameter is wrong.
    pub(super) fn parse(query: &str, now: Timestamp) -> Result<Self, String> {
        let mut options = Self::default();
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, "true"));
            let value = decode(value);
            let wrong = |form: &str| format!("query parameter {name}: {value:?} is not {form}");
            let flag = || match value.as_str() {
                "true" | "1" | "" => Ok(true),
                "false" | "0" => Ok(false),
                _ => Err(wrong("true or false")),
            };
            let number = || value.parse::<usize>().map_err(|_| wrong("a number that is not negative"));
            match name {
                "follow" => options.follow = flag()?,
                "previous" => options.previous = flag()?,
                "timestamps" => options.timestamps = flag()?,
                "tailLines" => options.tail_lines = Some(number()?),
                "limitBytes" => options.limit_bytes = Some(number()?),
                "sinceSeconds" => {
                    let seconds = i64::try_from(number()?).map_err(|_| wrong("a number of seconds"))?;
                    let span = jiff::SignedDuration::from_secs(seconds);
                    options.since = Some(now.checked_sub(span).unwrap_or(Timestamp::MIN));
                }
                "sinceTime" => options.since = Some(value.parse().map_err(|_| wrong("an RFC 3339 time"))?),
                // The server names the container in the path; others are for it alone.
                _ => {}
            }
        }
        Ok(options)
    }
}

/// Percent-decoding; `+` stays, since times hold it.
pub(super) fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        let hex = after
            .get(..2)
            .and_then(|h| std::str::from_utf8(h).ok())
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        match (byte, hex) {
            (b'%', Some(decoded)) => {
                out.push(decoded);
                rest = &after[2..];
            }
            _ => {
                out.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_and_wrong_ones_named() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let parse = |query| Options::parse(query, now);
        let all = parse(
            "follow=true&previous=false&timestamps&tailLines=5&limitBytes=10&sinceSeconds=60&container=x",
        )
        .unwrap();
        assert!(all.follow && all.timestamps && !all.previous);
        assert_eq!(
            (all.tail_lines, all.limit_bytes, all.since),
            (Some(5), Some(10), "2026-01-01T00:00:00Z".parse().ok())
        );
        assert_eq!(
            parse("sinceTime=2026-01-01T00%3A00%3A00Z").unwrap().since,
            "2026-01-01T00:00:00Z".parse().ok()
        );
        assert_eq!(parse("").unwrap(), Options::default());
        for (query, name) in
            [("tailLines=-1", "tailLines"), ("follow=maybe", "follow"), ("sinceTime=soon", "sinceTime")]
        {
            assert!(parse(query).unwrap_err().contains(name));
        }
    }
}
