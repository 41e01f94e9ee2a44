//! The addresses of objects and collections.

use orlop_objects::{Key, Kind};

/// The path of a collection; of all namespaces where none is given.
pub(crate) fn collection(kind: &Kind, namespace: Option<&str>, query: &[(&str, &str)]) -> String {
    let mut path = root(kind);
    if let Some(namespace) = namespace.filter(|ns| !ns.is_empty()) {
        path.push_str("/namespaces/");
        encode(&mut path, namespace);
    }
    path.push('/');
    path.push_str(kind.plural);
    for (n, (name, value)) in query.iter().enumerate() {
        path.push(if n == 0 { '?' } else { '&' });
        encode(&mut path, name);
        path.push('=');
        encode(&mut path, value);
    }
    path
}

/// The path of one object, or of its subresource.
pub(crate) fn object(key: &Key, subresource: Option<&str>) -> String {
    let mut path = collection(key.kind, Some(&key.namespace), &[]);
    path.push('/');
    encode(&mut path, &key.name);
    if let Some(subresource) = subresource {
        path.push('/');
        encode(&mut path, subresource);
    }
    path
}

fn root(kind: &Kind) -> String {
    match kind.group {
        "" => format!("/api/{}", kind.version),
        group => format!("/apis/{group}/{}", kind.version),
    }
}

fn encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use orlop_objects::kind;

    use super::*;

    #[test]
    fn addresses() {
        let pod = Key::new(&kind::POD, "a", "p");
        let attachment = Key::cluster(&kind::VOLUME_ATTACHMENT, "csi-1");
        assert_eq!(object(&pod, Some("status")), "/api/v1/namespaces/a/pods/p/status");
        assert_eq!(object(&attachment, None), "/apis/storage.k8s.io/v1/volumeattachments/csi-1");
        assert_eq!(
            collection(&kind::POD, None, &[("fieldSelector", "spec.nodeName=n 1"), ("limit", "5")]),
            "/api/v1/pods?fieldSelector=spec.nodeName%3Dn%201&limit=5"
        );
    }
}
