//! The directory of a volume, from the class's pattern and the claim. Pure.
//!
//! | variable | stands for |
//! |---|---|
//! | `${namespace}`, `${.PVC.namespace}`, `${pvc.metadata.namespace}` | the claim's namespace |
//! | `${claim}`, `${.PVC.name}`, `${pvc.metadata.name}` | the claim's name |
//! | `${volume}`, `${pv.metadata.name}` | the volume's name |
//! | `${.PVC.annotations.KEY}`, `${.PVC.labels.KEY}` | the claim's own words, under the same rules |
//!
//! What comes out is taken apart at its slashes, and every part is checked by itself (`orlop_objects::nfs::directory`).
//! Whoever may write a claim chooses a name here, and nothing but a name.

use orlop_objects::nfs;

use crate::driver::ClaimMeta;

/// The directory where a class says nothing.
pub(super) const DEFAULT: &str = "${namespace}-${claim}-${volume}";

/// The directory, part by part. `parameter` names the pattern in errors.
pub(super) fn directory(
    parameter: &str,
    pattern: &str,
    claim: &ClaimMeta,
    volume: &str,
) -> Result<Vec<String>, String> {
    let text = expand(parameter, pattern, claim, volume)?;
    nfs::directory(&text)
        .map_err(|why| format!("parameter {parameter} {pattern:?} gives the directory {text:?}: {why}"))
}

fn expand(parameter: &str, pattern: &str, claim: &ClaimMeta, volume: &str) -> Result<String, String> {
    let mut text = String::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once("${") {
        let (variable, behind) = after
            .split_once('}')
            .ok_or_else(|| format!("parameter {parameter} {pattern:?} has a ${{ without its }}"))?;
        text.push_str(before);
        text.push_str(value(parameter, variable, claim, volume)?);
        rest = behind;
    }
    text.push_str(rest);
    Ok(text)
}

fn value<'a>(
    parameter: &str,
    variable: &str,
    claim: &'a ClaimMeta,
    volume: &'a str,
) -> Result<&'a str, String> {
    let own = |what: &str, key: &str, found: Option<&'a String>| {
        found.map(String::as_str).ok_or_else(|| {
            format!("parameter {parameter} asks for the claim's {what} {key:?}, which it does not have; add it to the claim")
        })
    };
    match variable {
        "namespace" | ".PVC.namespace" | "pvc.metadata.namespace" => Ok(&claim.namespace),
        "claim" | ".PVC.name" | "pvc.metadata.name" => Ok(&claim.name),
        "volume" | "pv.metadata.name" => Ok(volume),
        _ => {
            if let Some(key) = variable.strip_prefix(".PVC.annotations.") {
                return own("annotation", key, claim.annotations.get(key));
            }
            if let Some(key) = variable.strip_prefix(".PVC.labels.") {
                return own("label", key, claim.labels.get(key));
            }
            Err(format!(
                "parameter {parameter} has ${{{variable}}}, which is not known; known are ${{.PVC.namespace}}, \
                 ${{.PVC.name}}, ${{.PVC.annotations.KEY}}, ${{.PVC.labels.KEY}} and ${{pv.metadata.name}}"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOLUME: &str = "pvc-0b6ad0f6-94a5-4b0e-a8c4-3d1b8d1f2a77";

    fn claim() -> ClaimMeta {
        ClaimMeta {
            namespace: "default".into(),
            name: "data-web-0".into(),
            labels: [("team".to_owned(), "blue".to_owned())].into(),
            annotations: [
                ("nfs.io/storage-path".to_owned(), "a/b".to_owned()),
                ("up".to_owned(), "../../etc".to_owned()),
            ]
            .into(),
            ..ClaimMeta::default()
        }
    }

    fn directory(pattern: &str) -> Result<String, String> {
        super::directory("pathPattern", pattern, &claim(), VOLUME).map(|parts| parts.join("/"))
    }

    #[test]
    fn all_dialects_mean_the_same() {
        let rows = [
            (DEFAULT, format!("default-data-web-0-{VOLUME}")),
            ("${.PVC.namespace}/${.PVC.name}", "default/data-web-0".into()),
            (
                "${pvc.metadata.namespace}/${pvc.metadata.name}/${pv.metadata.name}",
                format!("default/data-web-0/{VOLUME}"),
            ),
            ("${.PVC.annotations.nfs.io/storage-path}", "a/b".into()),
            ("${.PVC.labels.team}-x", "blue-x".into()),
            ("fixed", "fixed".into()),
        ];
        for (pattern, wanted) in rows {
            assert_eq!(directory(pattern).as_ref(), Ok(&wanted), "{pattern}");
        }
    }

    #[test]
    fn what_is_not_known_or_not_there_is_named() {
        for (pattern, named) in [
            ("${.PVC.annotations.none}", "\"none\""),
            ("${.PVC.labels.none}", "\"none\""),
            ("${.PV.name}", "${.PV.name}"),
            ("${HOME}", "${HOME}"),
            ("${.PVC.name", "without its }"),
            ("a/${}", "${}"),
        ] {
            let why = directory(pattern).unwrap_err();
            assert!(why.contains(named) && why.contains("pathPattern"), "{pattern}: {why}");
        }
    }

    #[test]
    fn long_names_are_refused_in_words() {
        let why = directory(&"x".repeat(201)).unwrap_err();
        assert!(why.contains("201 bytes") && why.contains("shorten"), "{why}");
    }
}
