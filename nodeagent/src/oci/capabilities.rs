//! Capabilities: the default set, and what a pod adds and drops. Pure but for one look at what this process has.

use std::collections::BTreeSet;

use super::{Error, Security};

/// What every container has unless its pod drops it (containerd's and Docker's default).
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// Every capability by its number (linux/capability.h).
const ALL: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The capabilities of a container, with their `CAP_`, in the order of their numbers.
///
/// `grantable` is the mask of what this process has itself: `ALL` means no more than that, and a capability that is
/// named but cannot be given is refused here, where the field can be named.
pub(super) fn resolve(security: &Security, grantable: u64) -> Result<Vec<String>, Error> {
    let add = names(&security.add, "securityContext.capabilities.add")?;
    let drop = names(&security.drop, "securityContext.capabilities.drop")?;
    let granted =
        |name: &str| ALL.iter().position(|n| *n == name).is_some_and(|bit| grantable & (1 << bit) != 0);
    if let Some(name) = add.iter().find(|name| **name != "ALL" && !granted(name)) {
        return Err(Error::Refused {
            field: "securityContext.capabilities.add",
            reason: format!(
                "{name} cannot be given: Orlop itself does not have it on this machine; leave it out"
            ),
        });
    }
    let base: BTreeSet<&str> = if add.contains("ALL") {
        ALL.into_iter().collect()
    } else if drop.contains("ALL") {
        BTreeSet::new()
    } else {
        DEFAULT.into_iter().collect()
    };
    let wanted = |name: &&str| (base.contains(name) && !drop.contains(name)) || add.contains(name);
    Ok(ALL.iter().copied().filter(|n| wanted(n) && granted(n)).map(|n| format!("CAP_{n}")).collect())
}

fn names<'a>(list: &'a [String], field: &'static str) -> Result<BTreeSet<&'a str>, Error> {
    let one = |given: &'a String| {
        let name = given.strip_prefix("CAP_").unwrap_or(given);
        if name == "ALL" || ALL.contains(&name) {
            return Ok(name);
        }
        Err(Error::Refused {
            field,
            reason: format!("{given:?} is no capability of Linux; names are written like NET_ADMIN, or ALL"),
        })
    };
    list.iter().map(one).collect()
}

/// The mask of capabilities that this process can hand on; all of them where that cannot be read.
pub(super) fn grantable() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(u64::MAX)
}

/// Whether a mask holds `CAP_SYS_RESOURCE`, which lowering an out-of-memory score needs.
pub(super) fn may_lower_oom_score(mask: u64) -> bool {
    mask & (1 << 24) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(add: &str, drop: &str) -> String {
        let list = |words: &str| words.split_whitespace().map(str::to_owned).collect();
        let security = Security { add: list(add), drop: list(drop), ..Security::default() };
        match resolve(&security, !(1 << 24)) {
            Ok(found) => found.join(" ").replace("CAP_", ""),
            Err(e) => format!("error: {e}"),
        }
    }

    #[test]
    fn added_and_dropped() {
        assert_eq!(check("", "").split(' ').count(), 14);
        assert_eq!(check("", "ALL"), "");
        assert_eq!(check("NET_BIND_SERVICE", "ALL"), "NET_BIND_SERVICE");
        assert_eq!(check("CAP_SYS_PTRACE", "ALL"), "SYS_PTRACE");
        assert!(!check("", "NET_RAW MKNOD").contains("NET_RAW"));
        assert_eq!(check("ALL", "").split(' ').count(), 40, "all but what this process lacks");
        assert!(!check("ALL", "SYS_ADMIN").contains("SYS_ADMIN"));
    }

    #[test]
    fn what_is_unknown_or_cannot_be_given_is_refused_by_its_field() {
        assert!(
            check("NET_ADMINS", "").starts_with("error: securityContext.capabilities.add: \"NET_ADMINS\"")
        );
        assert!(check("", "nope").starts_with("error: securityContext.capabilities.drop"));
        assert!(check("SYS_RESOURCE", "").contains("SYS_RESOURCE cannot be given"));
    }
}
