//! What a misspelt field was probably meant to be.

use crate::schema::table::Type;

/// The field of `ty` whose name is nearest to `name`, if one is near: other capitals, or a slip or two.
pub(super) fn nearest(ty: &Type, name: &str) -> Option<&'static str> {
    let wanted = name.to_lowercase();
    let slips = |field: &str| distance(&wanted, &field.to_lowercase());
    let near = ty.fields.iter().map(|f| (slips(f.name), f.name));
    // One slip in three letters is a slip; more is another word.
    near.filter(|(slips, _)| *slips <= 2.min(wanted.chars().count() / 3)).min().map(|(_, name)| name)
}

/// How many letters must be put in, left out, changed or swapped with their neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let above = &rows[i - 1];
            let changed = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};
    use crate::schema::table::short;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let rows = [
            ("core.v1.Container", "imagee", Some("image")),
            ("core.v1.Container", "volumemounts", Some("volumeMounts")),
            ("core.v1.PersistentVolumeClaimSpec", "accessMode", Some("accessModes")),
            ("core.v1.PersistentVolumeClaimSpec", "storageclassName", Some("storageClassName")),
            ("meta.v1.ObjectMeta", "lables", Some("labels")),
            ("core.v1.PodSpec", "foo", None),
            ("core.v1.PodSpec", "x", None),
            ("core.v1.PodSpec", "replicas", None),
        ];
        for (ty, name, meant) in rows {
            assert_eq!(nearest(short(ty).expect(ty), name), meant, "{name}");
        }
    }

    #[test]
    fn distances() {
        for (a, b, slips) in
            [("", "", 0), ("abc", "abc", 0), ("abc", "acb", 1), ("abc", "ab", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a, b), slips, "{a} {b}");
        }
    }
}
