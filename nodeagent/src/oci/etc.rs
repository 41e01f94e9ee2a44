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
    /// The host's network: its resolv.conf is shown too.
    pub host_network: bool,
    /// `hostAliases`: address and names.
    pub aliases: Vec<(String, Vec<String>)>,
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
    text += &format!("127.0.0.1\t{}\n", files.hostname);
    for (address, names) in &files.aliases {
        text += &format!("{address}\t{}\n", names.join(" "));
    }
    text
}

/// A pod with a network namespace of its own reaches no name server: the file says so rather than naming one in vain.
fn resolv_conf(files: &EtcFiles) -> Result<String, Error> {
    if !files.host_network {
        return Ok("# This pod has a loopback only; there is no name server to ask.\n".to_owned());
    }
    let path = Path::new("/etc/resolv.conf");
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(source).at("read", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_names_the_pod_and_its_aliases() {
        let dir = tempfile::tempdir().unwrap();
        let aliases = vec![("10.0.0.9".to_owned(), vec!["db".to_owned(), "db.local".to_owned()])];
        let files = EtcFiles { hostname: "web-0".into(), host_network: false, aliases };
        let mounts = write_etc_files(dir.path(), &files).unwrap();
        let targets: Vec<_> = mounts.iter().map(|m| m.target.as_str()).collect();
        assert_eq!(targets, ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"]);
        let hosts = fs::read_to_string(&mounts[0].source).unwrap();
        assert!(hosts.contains("127.0.0.1\tlocalhost\n"), "{hosts}");
        assert!(hosts.ends_with("127.0.0.1\tweb-0\n10.0.0.9\tdb db.local\n"), "{hosts}");
        assert_eq!(fs::read_to_string(&mounts[1].source).unwrap(), "web-0\n");
    }
}
