//! Image references: how a short name becomes a full one. Pure.
//!
//! The grammar is that of the distribution project's reference package, the defaults are Docker's:
//!
//! | written | means |
//! |---|---|
//! | `busybox` | `docker.io/library/busybox:latest` |
//! | `library/busybox:1.35` | `docker.io/library/busybox:1.35` |
//! | `me/app` | `docker.io/me/app:latest` |
//! | `index.docker.io/me/app` | `docker.io/me/app:latest` |
//! | `localhost/app` | `localhost/app:latest` (no default registry: the first part is a host) |
//! | `registry:5000/app` | `registry:5000/app:latest` |
//! | `ghcr.io/me/app:v1@sha256:…` | the digest decides, the tag is kept for show |
//! | `sha256:…`, 64 hex digits | an image id |

use super::Error;

/// A reference in its full form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Registry and path: `docker.io/library/busybox`.
    pub repository: String,
    /// Its tag; absent when only a digest was given.
    pub tag: Option<String>,
    /// A manifest digest: `sha256:…`.
    pub digest: Option<String>,
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl Reference {
    /// Parses a reference as written and fills in what Docker would.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |reason| Error::Reference { reference: text.to_owned(), reason };
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) if is_digest(digest) => (named, Some(digest.to_owned())),
            Some(_) => {
                return Err(wrong("what follows @ must be sha256: and 64 lower-case hex digits"));
            }
            None => (text, None),
        };
        let (name, tag) = split_tag(named);
        if name.is_empty() {
            return Err(wrong("the name is empty"));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong(
                "a tag is up to 128 letters, digits, _, . and -, and begins with none of . and -",
            ));
        }
        let repository = full_name(name);
        check_name(&repository).map_err(wrong)?;
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some("latest".to_owned()),
        };
        Ok(Self { repository, tag, digest })
    }
}

/// Whether this is an image id as `orlop image ls` and Kubernetes write it: the full digest, with or without prefix.
pub(super) fn as_id(text: &str) -> Option<String> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    let digest = format!("sha256:{hex}");
    is_digest(&digest).then_some(digest)
}

/// Whether the text is a sha256 digest in full form.
pub(super) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

/// A colon is the tag's only when no slash follows; else it is a port's.
fn split_tag(named: &str) -> (&str, Option<&str>) {
    match named.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (named, None),
    }
}

fn full_name(name: &str) -> String {
    let (host, path) = match name.split_once('/') {
        Some((first, rest)) if is_host(first) => (first, rest),
        _ => ("docker.io", name),
    };
    let host = if host == "index.docker.io" { "docker.io" } else { host };
    if host == "docker.io" && !path.contains('/') {
        format!("{host}/library/{path}")
    } else {
        format!("{host}/{path}")
    }
}

/// Docker's rule for telling a registry from the first part of a path.
fn is_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

fn check_name(repository: &str) -> Result<(), &'static str> {
    let (host, path) = repository.split_once('/').ok_or("the name is empty")?;
    if repository.len() > 255 {
        return Err("a name is at most 255 characters");
    }
    if !is_registry(host) {
        return Err("the registry is not a host name with an optional :port");
    }
    if !path.split('/').all(is_path_part) {
        return Err(
            "each part of the name is lower-case letters and digits, joined by single . _ -, by __ or by dashes",
        );
    }
    Ok(())
}

fn is_registry(host: &str) -> bool {
    let (name, port) = host.rsplit_once(':').map_or((host, None), |(n, p)| (n, Some(p)));
    let label = |l: &str| !l.is_empty() && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let v6 = name.starts_with('[') && name.ends_with(']') && name.len() > 2;
    (v6 || name.split('.').all(label))
        && port.is_none_or(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_path_part(part: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let ends = bytes.first().is_some_and(|b| word(*b)) && bytes.last().is_some_and(|b| word(*b));
    let separators = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    ends && separators.into_iter().all(|s| matches!(s, "" | "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(text: &str) -> String {
        match Reference::parse(text) {
            Ok(reference) => reference.to_string(),
            Err(Error::Reference { reason, .. }) => format!("error: {reason}"),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn short_names_resolve_as_dockers_do() {
        let hex = "0123456789abcdef".repeat(4);
        let rows = [
            ("busybox", "docker.io/library/busybox:latest".to_owned()),
            ("busybox:1.35", "docker.io/library/busybox:1.35".to_owned()),
            ("library/busybox:1.35", "docker.io/library/busybox:1.35".to_owned()),
            ("me/app", "docker.io/me/app:latest".to_owned()),
            ("index.docker.io/me/app", "docker.io/me/app:latest".to_owned()),
            ("docker.io/busybox", "docker.io/library/busybox:latest".to_owned()),
            ("localhost/app", "localhost/app:latest".to_owned()),
            ("localhost:5000/a/b:v1", "localhost:5000/a/b:v1".to_owned()),
            ("registry:5000/app", "registry:5000/app:latest".to_owned()),
            ("ghcr.io/me/app__x:V1", "ghcr.io/me/app__x:V1".to_owned()),
            ("busybox@sha256:HEX", "docker.io/library/busybox@sha256:HEX".to_owned()),
            ("busybox:1@sha256:HEX", "docker.io/library/busybox:1@sha256:HEX".to_owned()),
        ];
        for (written, means) in rows {
            assert_eq!(full(&written.replace("HEX", &hex)), means.replace("HEX", &hex), "{written}");
        }
    }

    #[test]
    fn names_outside_the_grammar_are_refused() {
        for written in [
            "",
            ":tag",
            "UPPER",
            "me//app",
            "a/../b",
            "app:",
            "app:-x",
            "app:a b",
            "app@sha256:12",
            "a..b",
            "-a",
            "a___b",
        ] {
            assert!(full(written).starts_with("error: "), "{written} passed as {}", full(written));
        }
    }

    #[test]
    fn an_id_is_a_whole_digest() {
        let hex = "0123456789abcdef".repeat(4);
        assert_eq!(as_id(&hex), Some(format!("sha256:{hex}")));
        assert_eq!(as_id(&format!("sha256:{hex}")), Some(format!("sha256:{hex}")));
        assert_eq!(as_id("busybox"), None);
        assert_eq!(as_id("deadbeef"), None);
    }

    proptest::proptest! {
        #[test]
        fn a_full_name_means_itself(text in "[a-z0-9./:@_-]{1,40}") {
            if let Ok(reference) = Reference::parse(&text) {
                let full = reference.to_string();
                proptest::prop_assert_eq!(Reference::parse(&full).unwrap(), reference);
                proptest::prop_assert!(full.split('/').count() > 1);
            }
        }

        #[test]
        fn any_text_is_judged_without_panic(text in ".{0,60}") {
            let _ = Reference::parse(&text);
        }
    }
}
