//! What may be written about NFS: the names of its driver, servers, paths, directories and mount options. Pure.
//!
//! The API's validation and the driver ask the same functions, so that what is refused at the door is refused at the
//! mount as well, whatever wrote it.

mod directory;
mod on_delete;
mod options;

use std::collections::BTreeMap;

pub use directory::{OWN, directory};
pub use on_delete::OnDelete;
pub use options::{Options, Version, options};

/// The driver's own name.
pub const DRIVER: &str = "nfs.orlop.dev";
/// Names by which many manifests ask for volumes on an NFS server; here they mean [`DRIVER`].
pub const ALIASES: [&str; 2] = [SUBDIR_PROVISIONER, CSI_DRIVER_NFS];
/// The provisioner that makes a directory per claim.
pub const SUBDIR_PROVISIONER: &str = "k8s-sigs.io/nfs-subdir-external-provisioner";
/// The CSI driver for NFS.
pub const CSI_DRIVER_NFS: &str = "nfs.csi.k8s.io";

/// The parameters of a class under which it may name the server; one of them, not several.
pub const SERVER_PARAMETERS: [&str; 2] = ["server", "nfs.server"];
/// The same for the path that the server exports.
pub const SHARE_PARAMETERS: [&str; 3] = ["share", "path", "nfs.path"];

/// Longest host name (RFC 1035), and longest path that every NFS server takes (RFC 1813's MNTPATHLEN).
const SERVER: usize = 253;
const PATH: usize = 1024;

/// The driver that a class's provisioner means.
pub fn driver_of(provisioner: &str) -> &str {
    if ALIASES.contains(&provisioner) { DRIVER } else { provisioner }
}

/// Whether a class asks for exports of Orlop's own: it has the driver's own name and names no server.
pub fn asks_for_own(provisioner: &str, parameters: &BTreeMap<String, String>) -> bool {
    let mut names = SERVER_PARAMETERS.iter().chain(&SHARE_PARAMETERS);
    provisioner == DRIVER && !names.any(|name| parameters.contains_key(*name))
}

/// What is wrong with a server's name or address; `None` when nothing is.
pub fn server(text: &str) -> Option<&'static str> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if bare.parse::<std::net::Ipv6Addr>().is_ok() {
        return None;
    }
    if text.is_empty() {
        return Some("must name the NFS server");
    }
    if text.len() > SERVER {
        return Some("is longer than any host name, which has at most 253 characters");
    }
    if text.split('.').any(|label| label.is_empty() || label.starts_with('-')) {
        return Some("must be a host name or an address, none of whose parts is empty or begins with -");
    }
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (!text.bytes().all(is_allowed))
        .then_some("must be a host name or an address: letters, digits, - and . only, or an IPv6 address")
}

/// What is wrong with a path on a server; `None` when nothing is.
pub fn path(text: &str) -> Option<&'static str> {
    if !text.starts_with('/') {
        return Some("must be an absolute path");
    }
    if text.len() > PATH {
        return Some("is longer than NFS servers take, which is 1024 bytes");
    }
    if text.chars().any(char::is_control) {
        return Some("must not contain control characters");
    }
    if text.split('/').any(|part| matches!(part, "." | "..")) {
        return Some("must not contain '.' or '..' as a part");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_names_or_addresses_and_nothing_else() {
        for good in ["nfs", "nfs.example.org", "10.0.0.1", "fd00::1", "[fd00::1]", "a-b.c", "my_nas"] {
            assert_eq!(server(good), None, "{good}");
        }
        let long = "a".repeat(254);
        let bad = [
            "",
            "-oport=1",
            "-",
            "a,b",
            "a b",
            "a\tb",
            "a\n",
            "nfs:/x",
            "user@nfs",
            "a/b",
            "..",
            "a..b",
            ".a",
            "a.",
            "[a]",
            "fe80::1%eth0",
            "a;b",
            "$(x)",
            "a.-b",
            "ä",
            &long,
        ];
        for bad in bad {
            assert!(server(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn paths_are_absolute_and_go_nowhere_but_down() {
        for good in ["/", "/srv", "/srv/with blank", "/a..b", "/...", "/a,b"] {
            assert_eq!(path(good), None, "{good}");
        }
        for bad in
            ["", "srv", "/..", "/a/../b", "/a/..", "/./a", "/a\nb", "/a\0", &format!("/{}", "a".repeat(1024))]
        {
            assert!(path(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn aliases_mean_the_driver_and_other_names_themselves() {
        assert_eq!(driver_of("nfs.csi.k8s.io"), DRIVER);
        assert_eq!(driver_of("k8s-sigs.io/nfs-subdir-external-provisioner"), DRIVER);
        assert_eq!(driver_of(DRIVER), DRIVER);
        assert_eq!(driver_of("loop.orlop.dev"), "loop.orlop.dev");
    }

    #[test]
    fn a_class_without_a_server_asks_for_an_export_of_our_own() {
        let asks = |provisioner: &str, parameter: &str| {
            asks_for_own(provisioner, &[(parameter.to_owned(), "x".to_owned())].into())
        };
        assert!(asks(DRIVER, "pool") && asks_for_own(DRIVER, &BTreeMap::new()));
        assert!(!asks(DRIVER, "server") && !asks(DRIVER, "share") && !asks(CSI_DRIVER_NFS, "pool"));
    }
}
