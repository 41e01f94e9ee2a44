//! From a server's name to a mount that is nowhere yet, by fsopen(2).
//!
//! The kernel is told addresses, never names, and only where somebody listens: a mount that waits for a server that is
//! not there would wait for minutes. Which version to speak is found out here, as the kernel speaks the one it is told.
//!
//! | what the server says | next |
//! |---|---|
//! | that version is not spoken (EPROTONOSUPPORT, EINVAL, EOPNOTSUPP) | the next older version |
//! | no such path (ENOENT), version 4 | the next older; at the end this error: old servers show version 4 no paths |
//! | anything else | the error, or that of a newer version where it says more |
//!
//! Version 3 keeps locks by two more programs, rpc.statd here and on the server. Without it the kernel would mount, and
//! every lock fail or hang; so it is asked for before, or `nolock`.

use std::{
    net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs},
    os::fd::OwnedFd,
    path::Path,
    time::Duration,
};

use orlop_objects::nfs::{Options, Version, options};
use rustix::{
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
        fsmount, fsopen,
    },
};

use super::{super::child::Failure, words};
use crate::host::share::Share;

const PORT: u16 = 2049;
/// How long an address may take to accept a connection.
const ACCEPT: Duration = Duration::from_secs(5);

/// Fails at once, in words, when this kernel has no NFS client and cannot load one.
pub(in super::super) fn require_client() -> Result<(), Failure> {
    match fsopen("nfs", FsOpenFlags::FSOPEN_CLOEXEC) {
        Ok(_) => Ok(()),
        Err(Errno::NODEV) => Err(Failure::Unsupported(words::no_client())),
        Err(errno) => Err(errno.into()),
    }
}

/// The share for a visit: calls that are not answered fail after a while instead of waiting for ever. That is safe
/// there, where every step looks again, and would not be for what a pod writes.
pub(super) fn for_a_visit(share: &Share) -> Share {
    const WAITING: [&str; 5] = ["hard", "soft", "softerr", "timeo", "retrans"];
    let all = share.options.iter().flat_map(|list| list.split(',')).map(str::trim);
    let kept = all.filter(|option| !WAITING.contains(&option.split('=').next().unwrap_or_default()));
    let own = ["soft", "timeo=50", "retrans=2"];
    Share { options: kept.chain(own).map(str::to_owned).collect(), ..share.clone() }
}

/// A share as a mount that is nowhere yet.
pub(super) fn connect(share: &Share) -> Result<OwnedFd, Failure> {
    let options = options(&share.options).map_err(Failure::Refused)?;
    require_client()?;
    let addresses = resolve(&share.server, options.port.unwrap_or(PORT))?;
    let mut told = None;
    for version in &options.versions {
        match try_addresses(share, &options, *version, &addresses) {
            Ok(mount) => return Ok(mount),
            Err(failure) if is_older_worth_a_try(&failure) => told = Some(more_telling(told, failure)),
            Err(failure) => return Err(more_telling(told, failure)),
        }
    }
    Err(told.unwrap_or_else(|| Failure::Refused("no version of NFS was asked for".to_owned())))
}

/// Which of two versions' failures says more: that there is no such path says more than that a version is not spoken,
/// or that an older one finds nobody who listens; anything else is news.
fn more_telling(before: Option<Failure>, now: Failure) -> Failure {
    match before {
        Some(before) if is(&before, &[Errno::NOENT]) || is_unreachable(&now) => before,
        Some(before) if is_older_worth_a_try(&now) && !is(&now, &[Errno::NOENT]) => before,
        _ => now,
    }
}

fn is(failure: &Failure, errnos: &[Errno]) -> bool {
    matches!(failure, Failure::Os(errno, _) if errnos.iter().any(|known| known.raw_os_error() == *errno))
}

fn is_older_worth_a_try(failure: &Failure) -> bool {
    is(failure, &[Errno::PROTONOSUPPORT, Errno::INVAL, Errno::OPNOTSUPP, Errno::PROTOTYPE, Errno::NOENT])
}

/// The deadline is the child's: what a resolver does not answer in time is killed with it.
fn resolve(server: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    if let Some(why) = orlop_objects::nfs::server(server) {
        return Err(Failure::Refused(format!("server {server:?} {why}")));
    }
    let bare = server.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let unknown = |why: String| {
        Failure::Refused(format!(
            "the name {server:?} of the server is not known on this node ({why}); correct it, or give its address"
        ))
    };
    let found: Vec<SocketAddr> =
        (bare, port).to_socket_addrs().map_err(|error| unknown(error.to_string()))?.collect();
    if found.is_empty() { Err(unknown("no address".to_owned())) } else { Ok(found) }
}

fn try_addresses(
    share: &Share,
    options: &Options,
    version: Version,
    addresses: &[SocketAddr],
) -> Result<OwnedFd, Failure> {
    let mut failed = None;
    for address in addresses {
        let outcome = is_listening(options, version, address)
            .and_then(|()| mount(share, options, version, address.ip()));
        match outcome {
            Err(failure) if is_unreachable(&failure) => failed = Some(failure),
            other => return other,
        }
    }
    Err(failed.unwrap_or_else(|| Failure::Refused("the server has no address".to_owned())))
}

/// Version 3 is found by way of the server's port mapper, which the kernel asks.
fn is_listening(options: &Options, version: Version, address: &SocketAddr) -> Result<(), Failure> {
    if version == Version::V3 && options.port.is_none() {
        return Ok(());
    }
    match TcpStream::connect_timeout(address, ACCEPT) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::TimedOut => Err(Errno::TIMEDOUT.into()),
        Err(error) => Err(error.into()),
    }
}

fn is_unreachable(failure: &Failure) -> bool {
    is(
        failure,
        &[Errno::CONNREFUSED, Errno::TIMEDOUT, Errno::HOSTUNREACH, Errno::NETUNREACH, Errno::HOSTDOWN],
    )
}

fn mount(share: &Share, options: &Options, version: Version, address: IpAddr) -> Result<OwnedFd, Failure> {
    if version == Version::V3 && !options.has("nolock") && !has_statd() {
        return Err(Failure::Unsupported(words::no_statd().to_owned()));
    }
    let context = fsopen("nfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    configure(&context, share, options, version, address)
        .and_then(|()| fsconfig_create(&context))
        .and_then(|()| fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()))
        .map_err(|errno| Failure::Os(errno.raw_os_error(), words::told(&context)))
}

fn configure(
    context: &OwnedFd,
    share: &Share,
    options: &Options,
    version: Version,
    address: IpAddr,
) -> rustix::io::Result<()> {
    let proto = if address.is_ipv6() { "tcp6" } else { "tcp" };
    let said = |name: &str| options.client.iter().any(|(known, _)| *known == name);
    let is_literal = share.server.contains(':') && !share.server.starts_with('[');
    let host = if is_literal { format!("[{}]", share.server) } else { share.server.clone() };
    fsconfig_set_string(context, "source", format!("{host}:{}", share.path))?;
    fsconfig_set_string(context, "vers", version.text())?;
    fsconfig_set_string(context, "addr", address.to_string())?;
    if !said("proto") {
        fsconfig_set_string(context, "proto", proto)?;
    }
    if version == Version::V3 && !said("mountproto") {
        fsconfig_set_string(context, "mountproto", proto)?;
    }
    if let Some(port) = options.port {
        fsconfig_set_string(context, "port", port.to_string())?;
    }
    for (name, value) in &options.client {
        match value {
            Some(value) => fsconfig_set_string(context, *name, value.as_str())?,
            None => fsconfig_set_flag(context, *name)?,
        }
    }
    options
        .flags
        .iter()
        .filter(|flag| matches!(**flag, "sync" | "dirsync"))
        .try_for_each(|flag| fsconfig_set_flag(context, *flag))
}

/// Whether the program that keeps locks of version 3 runs here.
fn has_statd() -> bool {
    let pid = std::fs::read_to_string("/run/rpc.statd.pid").unwrap_or_default();
    let pid = pid.trim();
    !pid.is_empty() && Path::new("/proc").join(pid).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visit_does_not_wait_for_ever_whatever_the_class_says() {
        let share = Share {
            server: "nfs".into(),
            path: "/srv".into(),
            options: vec!["hard,port=22049".into(), "timeo=600".into(), "nfsvers=4.2".into()],
        };
        let visit = for_a_visit(&share);
        assert_eq!(visit.options, ["port=22049", "nfsvers=4.2", "soft", "timeo=50", "retrans=2"]);
        assert!(options(&visit.options).is_ok());
    }

    #[test]
    fn of_several_versions_failures_the_one_that_says_most_is_told() {
        let os = |errno: Errno| Failure::from(errno);
        let locks = || Failure::Unsupported(words::no_statd().to_owned());
        let rows = [
            // A server of 4.1 alone, and a path that it has not.
            (
                vec![
                    os(Errno::PROTONOSUPPORT),
                    os(Errno::NOENT),
                    os(Errno::PROTONOSUPPORT),
                    os(Errno::CONNREFUSED),
                ],
                Errno::NOENT,
            ),
            (vec![os(Errno::NOENT), locks()], Errno::NOENT),
            (vec![os(Errno::PROTONOSUPPORT), os(Errno::CONNREFUSED)], Errno::PROTONOSUPPORT),
            (vec![os(Errno::PROTONOSUPPORT), os(Errno::ACCESS)], Errno::ACCESS),
            (vec![os(Errno::CONNREFUSED)], Errno::CONNREFUSED),
        ];
        for (failures, wanted) in rows {
            let told = failures.into_iter().fold(None, |told, now| Some(more_telling(told, now)));
            assert!(told.as_ref().is_some_and(|told| is(told, &[wanted])), "{wanted}: {told:?}");
        }
        let old_server = more_telling(Some(os(Errno::PROTONOSUPPORT)), locks());
        assert!(matches!(old_server, Failure::Unsupported(_)), "{old_server:?}");
    }

    #[test]
    fn addresses_need_no_resolver_and_names_that_do_not_exist_say_so() {
        assert_eq!(resolve("127.0.0.1", 2049).unwrap(), ["127.0.0.1:2049".parse().unwrap()]);
        assert_eq!(resolve("[::1]", 2049).unwrap(), ["[::1]:2049".parse().unwrap()]);
        assert_eq!(resolve("::1", 9).unwrap(), ["[::1]:9".parse().unwrap()]);
        let Err(Failure::Refused(why)) = resolve("nowhere.invalid", 2049) else { panic!("it is not known") };
        assert!(why.contains("nowhere.invalid") && why.contains("correct it"), "{why}");
        assert!(
            matches!(resolve("-oport=1", 2049), Err(Failure::Refused(why)) if why.contains("begins with -"))
        );
    }

    #[test]
    fn a_kernel_without_a_client_says_so_and_what_to_do() {
        match require_client() {
            Ok(()) => {
                let known = std::fs::read_to_string("/proc/filesystems").unwrap();
                assert!(known.lines().any(|line| line.trim_end().ends_with("nfs")), "{known}");
            }
            Err(Failure::Unsupported(why)) => {
                assert!(
                    why.contains("NFS client") && (why.contains("modprobe nfs") || why.contains("boot one")),
                    "{why}"
                );
            }
            // Who may not mount may not ask either.
            Err(Failure::Os(errno, _)) => assert_eq!(errno, Errno::PERM.raw_os_error()),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn nobody_listening_is_said_at_once_and_not_after_minutes() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let refused = is_listening(&Options::default(), Version::V4(2), &free);
        assert!(matches!(refused, Err(Failure::Os(errno, _)) if errno == Errno::CONNREFUSED.raw_os_error()));
    }
}
