//! A volume's directory on a share, part by part: letters, digits, `.`, `_` and `-`, never `.` or `..`, never empty, and the
//! first never Orlop's own directory.

/// Orlop's own directory at a share's root.
pub const OWN: &str = ".orlop";
/// The longest directory: with `archived-` in front and the volume's name behind it is still a name.
const LONGEST: usize = 200;

/// A directory's parts, each checked.
pub fn directory(text: &str) -> Result<Vec<String>, String> {
    if text.len() > LONGEST {
        return Err(format!(
            "it has {} bytes, and {LONGEST} is the most; shorten the names in it",
            text.len()
        ));
    }
    let parts: Vec<String> = text.split('/').map(str::to_owned).collect();
    if let Some(why) = parts.iter().find_map(|part| problem(part)) {
        return Err(why);
    }
    match parts.first() {
        Some(first) if first.to_ascii_lowercase() == OWN => {
            Err(format!("{OWN} is Orlop's own directory on a share"))
        }
        _ => Ok(parts),
    }
}

fn problem(part: &str) -> Option<String> {
    if part.is_empty() {
        return Some("it has an empty part; write no / at its begin or end, and no //".to_owned());
    }
    if matches!(part, "." | "..") {
        return Some(format!("{part:?} is no name; write the directory without . and .."));
    }
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (!part.chars().all(is_allowed))
        .then(|| format!("{part:?} holds more than letters, digits, '.', '_' and '-'; use those alone"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_names_one_below_the_other() {
        for (good, parts) in [("a", vec!["a"]), ("default/data-0/pvc_1", vec!["default", "data-0", "pvc_1"])]
        {
            assert_eq!(directory(good).unwrap(), parts);
        }
        let long = "x".repeat(201);
        for bad in [
            "", "/", "/etc", "a/", "a//b", ".", "..", "../x", "a/..", "a+b", "a b", "a\n", ".orlop",
            ".Orlop/x", &long,
        ] {
            assert!(directory(bad).is_err(), "{bad:?}");
        }
    }
}
