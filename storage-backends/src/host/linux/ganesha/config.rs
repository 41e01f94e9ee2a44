//! The server's configuration: rendered from an [`ExportTable`], which its first line holds as JSON, so that one file is
//! both what the server reads and what Orlop remembers. Pure.
//!
//! - Everybody is refused but the addresses of an export's `CLIENT` block. They are trusted with the user that they say
//!   (`No_Root_Squash`), as pods run as any; so what speaks must be the node's kernel, or its administrator: only ports
//!   below 1024 are heard, which no pod has under its node's address (`host::linux::network`'s firewall). The kernel's
//!   client has one unless it is asked for `noresvport`, which the driver does not let through.
//! - The lease is 30 s: with 5, clients under load lost it. The grace period after a start ends as soon as every client
//!   of before has reclaimed what it had, and at once where there was none; 40 s is only how long missing ones are
//!   waited for.
//! - Pods of this machine use the directories without the server, so it may not believe what it remembers of them:
//!   no attribute and no directory entry is cached.
//! - The owner and scope are the instance's: a client that speaks to two servers of one host name would take them for
//!   one.

use std::{fmt::Write, net::IpAddr, path::Path};

use crate::host::{Cause, Export, ExportTable};

/// Before the table in the first line.
const MARK: &str = "# Orlop writes this file. ";

/// What does not change with the table.
pub(super) struct Places<'a> {
    /// Names the server among others.
    pub(super) instance: &'a str,
    /// Where it keeps who its clients are.
    pub(super) recovery: &'a Path,
}

/// The file that makes the server export this table.
pub(super) fn render(places: &Places<'_>, table: &ExportTable) -> Result<String, Cause> {
    let json = serde_json::to_string(table).map_err(|error| Cause::Refused(error.to_string()))?;
    let (recovery, instance, port) = (quoted(places.recovery)?, places.instance, table.port);
    let mut text = format!(
        "{MARK}{json}\n\
         NFS_CORE_PARAM {{\n  Protocols = 4;\n  NFS_Port = {port};\n  Enable_NLM = false;\n  \
         Enable_RQUOTA = false;\n  Enable_UDP = false;\n  mount_path_pseudo = true;\n}}\n\
         NFSV4 {{\n  Minor_Versions = 2;\n  Lease_Lifetime = 30;\n  Grace_Period = 40;\n  RecoveryBackend = fs;\n  \
         RecoveryRoot = {recovery};\n  Only_Numeric_Owners = true;\n  Delegations = false;\n  \
         Server_Scope = \"orlop-{instance}\";\n  Server_Owner = \"orlop-{instance}\";\n}}\n\
         NFS_KRB5 {{\n  Active_krb5 = false;\n  CCacheDir = {recovery};\n}}\n\
         MDCACHE {{\n  Dir_Chunk = 0;\n}}\n\
         EXPORT_DEFAULTS {{\n  Access_Type = None;\n  Protocols = 4;\n  Transports = TCP;\n  SecType = sys;\n  \
         Squash = No_Root_Squash;\n  PrivilegedPort = true;\n  Attr_Expiration_Time = 0;\n}}\n"
    );
    for export in table.shown() {
        block(&mut text, &table.root, export)?;
    }
    Ok(text)
}

fn block(text: &mut String, root: &Path, export: &Export) -> Result<(), Cause> {
    let name = export.name();
    let (directory, number) = (quoted(&root.join(&name))?, export.number);
    // The server takes no number for an identity that fills all 64 bits.
    let (high, low) = export.volume.as_u64_pair();
    let (high, low) = (high >> 1, low >> 1);
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "EXPORT {{\n  Export_Id = {number};\n  Path = {directory};\n  Pseudo = \"/{name}\";\n  \
         Filesystem_Id = {high}.{low};\n  FSAL {{ Name = VFS; }}\n"
    );
    if !export.clients.is_empty() {
        let clients: Vec<String> = export.clients.iter().map(IpAddr::to_string).collect();
        let _ = writeln!(
            text,
            "  CLIENT {{ Clients = {}; Access_Type = RW; Protocols = 4; Squash = No_Root_Squash; PrivilegedPort = true; }}",
            clients.join(", ")
        );
    }
    text.push_str("}\n");
    Ok(())
}

/// A path in the server's own words. One that could end its quotes is refused: it is ours, so only the data directory
/// can hold such a character.
fn quoted(path: &Path) -> Result<String, Cause> {
    let plain = |c: char| {
        c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | '@' | ':' | '=' | ',' | ' ')
    };
    match path.to_str().filter(|text| text.chars().all(plain)) {
        Some(text) => Ok(format!("\"{text}\"")),
        None => Err(Cause::Refused(format!(
            "{} cannot be exported by nfs-ganesha: its name holds a character that its configuration cannot; choose \
             another data directory",
            path.display()
        ))),
    }
}

/// The table that a file was made from; `None` when it was not made here.
pub(super) fn parse(text: &str) -> Option<ExportTable> {
    serde_json::from_str(text.lines().next()?.strip_prefix(MARK)?).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use uuid::Uuid;

    use super::*;

    fn places() -> Places<'static> {
        Places { instance: "0123abcd", recovery: Path::new("/d/nfs/recovery") }
    }

    fn table(root: &str) -> ExportTable {
        let mut table = ExportTable::new(20_001, root.into());
        for n in [0x11_u128 << 64 | 0x22, u128::MAX] {
            table.add(Uuid::from_u128(n), (n == u128::MAX).then_some("fast"));
        }
        table.exports[0].shown = true;
        table.exports[0].clients = ["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()].into();
        table
    }

    #[test]
    fn what_is_rendered_is_understood_again() {
        let text = render(&places(), &table("/d/nfs/volumes")).unwrap();
        assert_eq!(parse(&text), Some(table("/d/nfs/volumes")));
        assert_eq!(parse("# somebody's own\n"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn an_export_is_for_its_clients_alone_and_only_shown_ones_are_there() {
        let text = render(&places(), &table("/d/nfs/my volumes")).unwrap();
        let name = "pvc-00000000-0000-0011-0000-000000000022";
        for part in [
            "NFS_Port = 20001;".to_owned(),
            "EXPORT_DEFAULTS {\n  Access_Type = None;".to_owned(),
            format!("Path = \"/d/nfs/my volumes/{name}\";\n  Pseudo = \"/{name}\";\n  Filesystem_Id = 8.17;"),
            "Clients = 10.0.0.2, fd00::2; Access_Type = RW;".to_owned(),
            "Squash = No_Root_Squash; PrivilegedPort = true; }".to_owned(),
        ] {
            assert!(text.contains(&part), "{part} is not in\n{text}");
        }
        assert_eq!(text.matches("EXPORT {").count(), 1, "the other one is not shown");
        let mut closed = table("/d/nfs/volumes");
        closed.exports[0].clients = BTreeSet::new();
        let text = render(&places(), &closed).unwrap();
        assert!(!text.contains("CLIENT"), "no client, no access: {text}");
    }

    /// Only the data directory's name is not of our own making, and an administrator's.
    #[test]
    fn a_directory_whose_name_could_say_more_is_refused() {
        for name in [
            "a\"; } EXPORT { x",
            "a\nb",
            "a#b",
            "a;b",
            "a{b}",
            "a\\b",
            "a'b",
            "a$b",
            "a%b",
            "a*b",
            "a\u{7f}b",
        ] {
            let error = render(&places(), &table(&format!("/data/{name}"))).unwrap_err();
            assert!(error.to_string().contains("another data directory"), "{name:?}: {error}");
        }
    }
}
