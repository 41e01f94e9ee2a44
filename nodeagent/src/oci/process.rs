//! What a container runs: the merge of a pod's `command`, `args` and `env` with its image's. Pure.
//!
//! | pod's command | pod's args | runs |
//! |---|---|---|
//! | – | – | image entrypoint + image cmd |
//! | – | args | image entrypoint + args |
//! | command | – | command |
//! | command | args | command + args |
//!
//! An empty list counts as absent, as in Kubernetes.

use crate::images::ImageConfig;

/// Where programs are looked for when neither the image nor the pod says so.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Program and arguments; empty when neither the pod nor the image names a program.
pub fn command(image: &ImageConfig, command: Option<&[String]>, args: Option<&[String]>) -> Vec<String> {
    let given = |list: Option<&[String]>| list.filter(|list| !list.is_empty()).map(<[String]>::to_vec);
    match (given(command), given(args)) {
        (Some(command), args) => [command, args.unwrap_or_default()].concat(),
        (None, Some(args)) => [image.entrypoint.clone(), args].concat(),
        (None, None) => [image.entrypoint.clone(), image.cmd.clone()].concat(),
    }
}

/// `NAME=value` lines: the image's, overridden and followed by the pod's; a `PATH` and `HOSTNAME` where there is none.
pub fn environment(image: &ImageConfig, hostname: &str, pod: &[(String, String)]) -> Vec<String> {
    let mut lines = vec![PATH.to_owned(), format!("HOSTNAME={hostname}")];
    let own = pod.iter().map(|(name, value)| format!("{name}={value}"));
    for line in image.env.iter().cloned().chain(own) {
        let name = line.split_once('=').map_or(line.as_str(), |(name, _)| name);
        let same = |old: &String| old.split_once('=').is_some_and(|(known, _)| known == name);
        match lines.iter().position(same) {
            Some(place) => lines[place] = line,
            None => lines.push(line),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &str) -> Vec<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn command_follows_the_table() {
        let image =
            ImageConfig { entrypoint: list("/entry -e"), cmd: list("one two"), ..ImageConfig::default() };
        let rows = [
            ("", "", "/entry -e one two"),
            ("", "three", "/entry -e three"),
            ("/bin/sh -c", "", "/bin/sh -c"),
            ("/bin/sh -c", "true", "/bin/sh -c true"),
        ];
        for (given, args, runs) in rows {
            assert_eq!(
                command(&image, Some(&list(given)), Some(&list(args))),
                list(runs),
                "{given} | {args}"
            );
        }
        assert_eq!(command(&image, None, None), list("/entry -e one two"));
        assert!(command(&ImageConfig::default(), None, None).is_empty());
    }

    #[test]
    fn the_pods_environment_overrides_the_images() {
        let image = ImageConfig { env: list("PATH=/bin A=1 B=2"), ..ImageConfig::default() };
        let pod = [("B".to_owned(), "3=4".to_owned()), ("C".to_owned(), String::new())];
        assert_eq!(environment(&image, "web", &pod), list("PATH=/bin HOSTNAME=web A=1 B=3=4 C="));
        assert!(environment(&ImageConfig::default(), "h", &[])[0].starts_with("PATH=/usr/local/sbin:"));
    }
}
