//! Whom a container's process runs as: names and numbers of the image and the pod made into uid, gid and groups.
//!
//! The image's own `/etc/passwd` and `/etc/group` decide, opened beneath the root file system whatever links they are.
//!
//! | pod | image's User | uid | gid | supplementary groups |
//! |---|---|---|---|---|
//! | – | empty | 0 | of root in passwd, else 0 | root's in group |
//! | – | `name` | of name, refused when unknown | of name | name's in group |
//! | – | `7` | 7 | of 7 in passwd, else 0 | 7's in group |
//! | – | `a:b` | of a | of b (name or number) | none |
//! | runAsUser | any | runAsUser | of it in passwd, else 0 | its in group |
//! | runAsGroup | any | as above | runAsGroup | as above |
//!
//! `fsGroup` and `supplementalGroups` are added to whatever the table gives.

use std::{io::Read, path::Path};

use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::{Error, UserRequest, error::At};

/// A user as the kernel wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
}

/// An account file is a few kilobytes; more than this is an attack on memory.
const LIMIT: u64 = 4 << 20;

/// Looks a user up in the image beneath `rootfs`.
pub(super) fn resolve(request: &UserRequest, rootfs: &Path) -> Result<User, Error> {
    let passwd = read_beneath(rootfs, "etc/passwd")?;
    let group = read_beneath(rootfs, "etc/group")?;
    decide(request, &passwd, &group)
}

/// The table, on the text of both files.
fn decide(request: &UserRequest, passwd: &str, group: &str) -> Result<User, Error> {
    let (name, image_group) = match request.image.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (request.image.as_str(), None),
    };
    let account = match request.uid {
        Some(uid) => account(passwd, &uid.to_string()).unwrap_or_else(|| Account::bare(uid)),
        None => lookup(passwd, if name.is_empty() { "0" } else { name })?,
    };
    let named_group = image_group.filter(|_| request.uid.is_none());
    let gid = match (request.gid, named_group) {
        (Some(gid), _) => gid,
        (None, Some(name)) => group_id(group, name)?,
        (None, None) => account.gid,
    };
    if request.non_root && account.uid == 0 {
        return Err(Error::RunsAsRoot);
    }
    let mut groups = if named_group.is_some() { Vec::new() } else { member_of(group, &account.name) };
    groups.extend(&request.groups);
    groups.retain(|g| *g != gid);
    groups.sort_unstable();
    groups.dedup();
    Ok(User { uid: account.uid, gid, groups })
}

/// A line of passwd.
#[derive(Clone, Debug)]
struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    fn bare(uid: u32) -> Self {
        Self { name: String::new(), uid, gid: 0 }
    }
}

/// The account of a name or number; a number needs no line.
fn lookup(passwd: &str, name: &str) -> Result<Account, Error> {
    match (account(passwd, name), name.parse()) {
        (Some(account), _) => Ok(account),
        (None, Ok(uid)) => Ok(Account::bare(uid)),
        (None, Err(_)) => Err(Error::Refused {
            field: "image",
            reason: format!(
                "its user {name:?} is not in its /etc/passwd; set securityContext.runAsUser to a number"
            ),
        }),
    }
}

/// The first line whose name, else whose number is `wanted`.
fn account(passwd: &str, wanted: &str) -> Option<Account> {
    let line = |line: &str| {
        let mut fields = line.split(':');
        let (name, uid, gid) = (fields.next()?, fields.nth(1)?, fields.next()?);
        Some(Account { name: name.to_owned(), uid: uid.parse().ok()?, gid: gid.parse().ok()? })
    };
    let mut accounts = passwd.lines().filter_map(line);
    let number: Option<u32> = wanted.parse().ok();
    accounts.find(|a| a.name == wanted || number == Some(a.uid))
}

fn group_id(group: &str, wanted: &str) -> Result<u32, Error> {
    let named = group.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == wanted).then(|| fields.nth(1)?.parse().ok())?
    });
    named.or_else(|| wanted.parse().ok()).ok_or_else(|| Error::Refused {
        field: "image",
        reason: format!(
            "its group {wanted:?} is not in its /etc/group; set securityContext.runAsGroup to a number"
        ),
    })
}

/// Groups that list a user as a member.
fn member_of(group: &str, user: &str) -> Vec<u32> {
    let line = |line: &str| {
        let mut fields = line.split(':');
        let gid = fields.nth(2)?.parse().ok()?;
        fields.next()?.split(',').any(|member| !user.is_empty() && member == user).then_some(gid)
    };
    group.lines().filter_map(line).collect()
}

/// The text of a file of the image; empty when the image has none.
fn read_beneath(rootfs: &Path, name: &str) -> Result<String, Error> {
    let path = rootfs.join(name);
    // A root file system that is not there has no accounts; that it is missing is runc's to say.
    let root =
        match rustix::fs::open(rootfs, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(root) => root,
            Err(rustix::io::Errno::NOENT) => return Ok(String::new()),
            Err(source) => return Err(source).at("open", rootfs),
        };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    match rustix::fs::openat2(&root, name, flags, Mode::empty(), resolve) {
        Ok(file) => {
            let mut bytes = Vec::new();
            std::fs::File::from(file).take(LIMIT).read_to_end(&mut bytes).at("read", &path)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(String::new()),
        Err(source) => Err(source).at("open", &path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/:\nbroken\nbob:x:1000:100::/home/bob:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nwheel:x:10:root,bob\nusers:x:100:\ndisk:x:6:bob,web\n";

    fn check(image: &str, uid: Option<u32>, gid: Option<u32>, more: &[u32]) -> String {
        let groups = more.to_vec();
        let request = UserRequest { image: image.into(), uid, gid, groups, non_root: false };
        match decide(&request, PASSWD, GROUP) {
            Ok(user) => format!("{} {} {:?}", user.uid, user.gid, user.groups),
            Err(e) => format!("error: {e}"),
        }
    }

    #[test]
    fn users_follow_the_table() {
        assert_eq!(check("", None, None, &[]), "0 0 [10]");
        assert_eq!(check("bob", None, None, &[]), "1000 100 [6, 10]");
        assert_eq!(check("33", None, None, &[]), "33 34 [6]");
        assert_eq!(check("7", None, None, &[]), "7 0 []");
        assert_eq!(check("bob:wheel", None, None, &[]), "1000 10 []");
        assert_eq!(check("bob:77", None, None, &[]), "1000 77 []");
        assert_eq!(check("bob:wheel", Some(33), None, &[]), "33 34 [6]");
        assert_eq!(check("bob", Some(5000), None, &[2000, 2000]), "5000 0 [2000]");
        assert_eq!(check("bob", None, Some(9), &[9, 8]), "1000 9 [6, 8, 10]");
        assert!(check("nobody", None, None, &[]).contains("\"nobody\" is not in its /etc/passwd"));
        assert!(check("bob:staff", None, None, &[]).contains("\"staff\" is not in its /etc/group"));
    }

    #[test]
    fn non_root_is_checked_on_the_number() {
        let request =
            |image: &str| UserRequest { image: image.into(), non_root: true, ..UserRequest::default() };
        assert!(matches!(decide(&request(""), PASSWD, GROUP), Err(Error::RunsAsRoot)));
        assert!(matches!(decide(&request("root"), PASSWD, GROUP), Err(Error::RunsAsRoot)));
        assert!(decide(&request("bob"), PASSWD, GROUP).is_ok());
    }

    #[test]
    fn account_files_are_read_beneath_the_root() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", dir.path().join("etc/passwd")).unwrap();
        assert_eq!(
            read_beneath(dir.path(), "etc/passwd").unwrap(),
            "",
            "the link leads to the image's own file"
        );
        std::fs::write(dir.path().join("etc/hostname"), "mine").unwrap();
        assert_eq!(read_beneath(dir.path(), "etc/passwd").unwrap(), "mine");
    }
}
