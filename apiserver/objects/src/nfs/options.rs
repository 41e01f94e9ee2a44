//! Which mount options of NFS a manifest may ask for. An allow-list: what is not known to leave the node and the data
//! of others safe never reaches the kernel. Meanings: nfs(5), mount(8).
//!
//! Not in it, among others: `addr`, `clientaddr`, `mountaddr`, `mounthost` (the server is what `server` says), `bg` (a
//! mount that is not there must not be reported as one), `udp` (it corrupts data, and kernels refuse it), `fsc` (a cache
//! on the node's disk), `sec=krb5…` (needs keys that nodes do not have).

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 3.
    V3,
    /// 4 with a minor number.
    V4(u8),
}

impl Version {
    fn parse(text: &str) -> Option<Asked> {
        match text {
            "3" | "3.0" => Some(Asked::One(Self::V3)),
            "4" => Some(Asked::Four),
            "4.0" => Some(Asked::One(Self::V4(0))),
            "4.1" => Some(Asked::One(Self::V4(1))),
            "4.2" => Some(Asked::One(Self::V4(2))),
            _ => None,
        }
    }

    /// As the kernel's option `vers` has it.
    pub fn text(self) -> &'static str {
        match self {
            Self::V3 => "3",
            Self::V4(0) => "4.0",
            Self::V4(1) => "4.1",
            Self::V4(_) => "4.2",
        }
    }
}

enum Asked {
    One(Version),
    Four,
}

/// Options, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Names of those that are the mount's own (`ro`, `noatime`, …).
    pub flags: Vec<&'static str>,
    /// Versions to try, in this order.
    pub versions: Vec<Version>,
    /// Where the server listens, where it is said.
    pub port: Option<u16>,
    /// For the NFS client: names, and their values.
    pub client: Vec<(&'static str, Option<String>)>,
}

impl Options {
    /// Whether an option without a value is among them.
    pub fn has(&self, name: &str) -> bool {
        self.client.iter().any(|(known, _)| *known == name)
    }
}

/// Options that ask for what is so anyway, or that only `mount` itself reads.
const NOTHING: [&str; 12] = [
    "defaults", "rw", "dev", "suid", "exec", "async", "auto", "noauto", "_netdev", "nofail", "intr", "nointr",
];
const FLAGS: [&str; 10] = [
    "ro",
    "noatime",
    "nodiratime",
    "relatime",
    "strictatime",
    "nodev",
    "nosuid",
    "noexec",
    "sync",
    "dirsync",
];
const PLAIN: [&str; 19] = [
    "hard",
    "soft",
    "softerr",
    "softreval",
    "nosoftreval",
    "lock",
    "nolock",
    "ac",
    "noac",
    "cto",
    "nocto",
    "acl",
    "noacl",
    "rdirplus",
    "nordirplus",
    "sharecache",
    "nosharecache",
    "resvport",
    "noresvport",
];
/// Options with a number of at most so many digits.
const NUMBERS: [(&str, usize); 13] = [
    ("timeo", 5),
    ("retrans", 3),
    ("rsize", 8),
    ("wsize", 8),
    ("mountport", 5),
    ("nconnect", 2),
    ("max_connect", 2),
    ("acregmin", 5),
    ("acregmax", 5),
    ("acdirmin", 5),
    ("acdirmax", 5),
    ("actimeo", 5),
    ("retry", 5),
];
/// Options with one of these words.
const WORDS: [(&str, &[&str]); 6] = [
    ("proto", &["tcp", "tcp6"]),
    ("mountproto", &["tcp", "tcp6"]),
    ("sec", &["sys"]),
    ("mountvers", &["3"]),
    ("lookupcache", &["all", "none", "pos", "positive"]),
    ("local_lock", &["all", "none", "flock", "posix"]),
];

/// Takes options apart. Each may be a list joined by commas. The error names the option and what may be used.
pub fn options(list: &[String]) -> Result<Options, String> {
    let mut parsed = Options::default();
    let mut versions = None;
    for option in list.iter().flat_map(|list| list.split(',')).map(str::trim) {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, None),
        };
        match (name, value) {
            ("", None) => {}
            ("vers" | "nfsvers", Some(value)) => {
                versions = Some(Version::parse(value).ok_or_else(|| refused(option))?);
            }
            ("minorversion", Some("0")) => versions = Some(Asked::One(Version::V4(0))),
            ("minorversion", Some("1")) => versions = Some(Asked::One(Version::V4(1))),
            ("minorversion", Some("2")) => versions = Some(Asked::One(Version::V4(2))),
            ("port", Some(value)) => {
                let port = value.parse().ok().filter(|port| *port > 0).ok_or_else(|| refused(option))?;
                parsed.port = Some(port);
            }
            ("tcp", None) => parsed.client.push(("proto", Some("tcp".to_owned()))),
            _ if value.is_none() && NOTHING.contains(&name) => {}
            _ => known(&mut parsed, name, value).ok_or_else(|| refused(option))?,
        }
    }
    parsed.versions = match versions {
        Some(Asked::One(version)) => vec![version],
        Some(Asked::Four) => vec![Version::V4(2), Version::V4(1), Version::V4(0)],
        None => vec![Version::V4(2), Version::V4(1), Version::V4(0), Version::V3],
    };
    Ok(parsed)
}

fn known(parsed: &mut Options, name: &str, value: Option<&str>) -> Option<()> {
    let Some(value) = value else {
        if let Some(flag) = FLAGS.iter().find(|flag| **flag == name) {
            parsed.flags.push(flag);
        } else {
            parsed.client.push((PLAIN.iter().find(|plain| **plain == name)?, None));
        }
        return Some(());
    };
    let number =
        |digits: usize| (1..=digits).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
    let name = match NUMBERS.iter().find(|(known, _)| *known == name) {
        Some((known, digits)) => number(*digits).then_some(*known)?,
        None => {
            let (known, words) = WORDS.iter().find(|(known, _)| *known == name)?;
            words.contains(&value).then_some(*known)?
        }
    };
    // How long `mount` itself goes on trying; Orlop tries again by itself.
    if name != "retry" {
        parsed.client.push((name, Some(value.to_owned())));
    }
    Some(())
}

fn refused(option: &str) -> String {
    let numbers = NUMBERS.iter().map(|(name, _)| format!("{name}=N"));
    let words = WORDS.iter().map(|(name, words)| format!("{name}={}", words.join("|")));
    let plain = FLAGS.iter().chain(&PLAIN).map(|name| (*name).to_owned());
    let known: Vec<String> = ["nfsvers=3|4|4.0|4.1|4.2".to_owned(), "port=N".to_owned()]
        .into_iter()
        .chain(plain)
        .chain(numbers)
        .chain(words)
        .collect();
    format!(
        "mount option {option:?} is not allowed for nfs; take it out of mountOptions, or use one of {}",
        known.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[&str]) -> Result<Options, String> {
        super::options(&options.iter().map(|&option| option.into()).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_told_apart() {
        let parsed =
            parse(&["nfsvers=4.1,hard", "noatime", "timeo=600", "port=22049", "tcp", "intr"]).unwrap();
        assert_eq!(parsed.flags, ["noatime"]);
        assert_eq!(parsed.versions, [Version::V4(1)]);
        assert_eq!(parsed.port, Some(22049));
        assert!(parsed.has("hard"));
        assert_eq!(parsed.client[1..], [("timeo", Some("600".into())), ("proto", Some("tcp".into()))]);
    }

    #[test]
    fn without_a_version_all_are_tried_the_newest_first() {
        assert_eq!(
            parse(&[]).unwrap().versions,
            [Version::V4(2), Version::V4(1), Version::V4(0), Version::V3]
        );
        assert_eq!(parse(&["vers=4"]).unwrap().versions.len(), 3);
        assert_eq!(parse(&["minorversion=1"]).unwrap().versions, [Version::V4(1)]);
    }

    #[test]
    fn what_endangers_is_refused_by_name() {
        let bad = [
            "addr=10.0.0.1",
            "clientaddr=10.0.0.1",
            "mounthost=x",
            "mountaddr=10.0.0.1",
            "bg",
            "udp",
            "proto=udp",
            "fsc",
            "sec=krb5",
            "sec=krb5p",
            "nfsvers=2",
            "vers=5",
            "port=0",
            "port=99999",
            "port=x",
            "timeo=",
            "timeo=1x",
            "timeo=999999",
            "bind",
            "remount",
            "loop",
            "context=x",
            "source=/etc",
            "exec=1",
            "ro=1",
            "hard=1",
            "rsize=-1",
            "lookupcache=some",
            "x-systemd.automount",
            "nfsvers",
            "=",
            "=x",
        ];
        for option in bad {
            let error = parse(&["noatime", option]).unwrap_err();
            assert!(error.contains(&format!("{option:?}")) && error.contains("mountOptions"), "{error}");
        }
    }
}
