//! A template's short name: what `pod-template-hash` and the names of revisions end in.

use orlop_objects::canonical;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// No vowels, so that a name spells nothing; no 0, 1, 3, which look like letters.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Up to ten characters for a template; another `collisions` gives other ones, should the name be taken.
pub(crate) fn of(template: &Value, collisions: i32) -> String {
    let mut hasher = Sha256::new();
    hasher.update(canonical::to_bytes(template));
    if collisions > 0 {
        hasher.update(collisions.to_be_bytes());
    }
    let digest = hasher.finalize();
    let number = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    let letter = |digit: u8| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()]);
    number.to_string().bytes().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::of;

    #[test]
    fn equal_templates_have_one_name() {
        let template = json!({"spec": {"containers": [{"name": "c", "image": "a"}]}});
        let other = json!({"spec": {"containers": [{"name": "c", "image": "b"}]}});
        assert_eq!(of(&template, 0), of(&template.clone(), 0));
        assert_ne!(of(&template, 0), of(&other, 0));
        assert_ne!(of(&template, 0), of(&template, 1));
        assert!(of(&template, 0).len() <= 10);
    }
}
