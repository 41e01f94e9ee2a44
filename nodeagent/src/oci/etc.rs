//! The files of `/etc` that a pod's containers share: hosts, hostname, resolv.conf.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Error, Mount, Propagation, error::At};

/// What the files say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EtcFiles {
    /// The pod's host name.
    pub hostname: String,
    /// Whose network it has.
    pub network: EtcNetwork,
    /// `hostAliases`: address and names.
    pub aliases: Vec<(String, Vec<String>)>,
}

/// What network a pod has, as far as its files tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EtcNetwork {
    /// A loopback, and nothing else.
    #[default]
    Loopback,
    /// The node's.
    Node,
    /// One of its own, at this address.
    Own(String),
}

/// Writes the files into `dir`, which exists, and answers the mounts that show them to a container.
///
/// Containers of the pod that already run keep seeing the same files: they are rewritten in place.
pub fn write_etc_files(dir: &Path, files: &EtcFiles) -> Result<Vec<Mount>, Error> {
    let contents = [
        ("hosts", hosts(files)),
        ("hostname", format!("{}\n", files.hostname)),
        ("resolv.conf", resolv_conf(files)?),
    ];
    contents.into_iter().map(|(name, text)| write(&dir.join(name), name, &text)).collect()
}

fn write(path: &Path, name: &str, text: &str) -> Result<Mount, Error> {
    fs::write(path, text).at("write", path)?;
    Ok(Mount {
        source: PathBuf::from(path),
        target: format!("/etc/{name}"),
        read_only: false,
        propagation: Propagation::Private,
    })
}

fn hosts(files: &EtcFiles) -> String {
    let mut text = String::from(
        "# Written by Orlop for this pod.\n\
         127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\n\
         ff00::0\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n",
    );
    let address = match &files.network {
        EtcNetwork::Own(address) => address,
        EtcNetwork::Loopback | EtcNetwork::Node => "127.0.0.1",
    };
    text += &format!("{address}\t{}\n", files.hostname);
    for (address, names) in &files.aliases {
        text += &format!("{address}\t{}\n", names.join(" "));
    }
    text
}

/// The node's name servers, as far as the pod reaches them; the file says so rather than naming one in vain.
fn resolv_conf(files: &EtcFiles) -> Result<String, Error> {
    match files.network {
        EtcNetwork::Loopback => {
            Ok("# This pod has a loopback only; there is no name server to ask.\n".to_owned())
        }
        EtcNetwork::Node => read("/etc/resolv.conf"),
        EtcNetwork::Own(_) => Ok(reached(&read("/etc/resolv.conf")?, &read(RESOLVED)?)),
    }
}

/// Where systemd-resolved, which is asked at the node's loopback, says whom it asks itself.
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

fn read(path: &str) -> Result<String, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(source).at("read", Path::new(path)),
    }
}

/// The node's file without name servers on its loopback, which is not the pod's; where that leaves none, what the node's own
/// resolver asks.
fn reached(text: &str, resolved: &str) -> String {
    let server = |line: &str| line.trim().strip_prefix("nameserver").map(|rest| rest.trim().to_owned());
    let loopback = |line: &&str| {
        let address = server(line).and_then(|text| text.parse::<std::net::IpAddr>().ok());
        address.is_some_and(|address| address.is_loopback())
    };
    for file in [text, resolved] {
        let kept: Vec<&str> = file.lines().filter(|line| !loopback(line)).collect();
        if kept.iter().any(|line| server(line).is_some()) {
            return kept.join("\n") + "\n";
        }
    }
    "# The node's name servers are on its own loopback, which this pod does not reach.\n".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_names_the_pod_and_its_aliases() {
        let dir = tempfile::tempdir().unwrap();
        let aliases = vec![("10.0.0.9".to_owned(), vec!["db".to_owned(), "db.local".to_owned()])];
        let files =
            EtcFiles { hostname: "web-0".into(), network: EtcNetwork::Own("10.1.2.3".into()), aliases };
        let mounts = write_etc_files(dir.path(), &files).unwrap();
        let targets: Vec<_> = mounts.iter().map(|m| m.target.as_str()).collect();
        assert_eq!(targets, ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"]);
        let hosts = fs::read_to_string(&mounts[0].source).unwrap();
        assert!(hosts.contains("127.0.0.1\tlocalhost\n"), "{hosts}");
        assert!(hosts.ends_with("10.1.2.3\tweb-0\n10.0.0.9\tdb db.local\n"), "{hosts}");
        assert_eq!(fs::read_to_string(&mounts[1].source).unwrap(), "web-0\n");
    }

    #[test]
    fn name_servers_on_the_nodes_loopback_are_not_named() {
        let none = "# The node's name servers are on its own loopback, which this pod does not reach.\n";
        let rows = [
            ("search a\nnameserver 192.0.2.1\n", "", "search a\nnameserver 192.0.2.1\n"),
            ("nameserver 127.0.0.53\nnameserver 192.0.2.1\n", "", "nameserver 192.0.2.1\n"),
            (
                "nameserver 127.0.0.53\n",
                "nameserver 192.0.2.7\nsearch b\n",
                "nameserver 192.0.2.7\nsearch b\n",
            ),
            ("nameserver ::1\n", "", none),
            ("", "", none),
        ];
        for (text, resolved, wanted) in rows {
            assert_eq!(reached(text, resolved), wanted, "{text:?} {resolved:?}");
        }
    }
}
