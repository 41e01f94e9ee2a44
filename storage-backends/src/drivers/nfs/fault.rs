//! What a server or the kernel answered, as a sentence with a way out. The one table of numbers.

use nix::errno::Errno;

use crate::{
    driver::{Code, Error},
    drivers::fault::Context,
    host::{
        self, Cause, Share,
        share::{Refusal, marker_path},
    },
};

/// What each number means on a file server, and what to do.
#[rustfmt::skip]
const TABLE: &[(Errno, &str)] = &[
    (Errno::ECONNREFUSED, "nothing listens for NFS there: start the server, or name its port with port= in mountOptions"),
    (Errno::ETIMEDOUT, "the server does not answer: it is down, or a firewall lets nothing through to it; it is tried again"),
    (Errno::EHOSTUNREACH, "this node has no way to the server: check its address and the routes"),
    (Errno::ENETUNREACH, "this node has no way to the server's network: check its address and the routes"),
    (Errno::EHOSTDOWN, "the server's machine is down"),
    (Errno::EPROTONOSUPPORT, "the server does not speak this version of NFS: leave nfsvers out of mountOptions, or name one that it speaks"),
    (Errno::EPROTOTYPE, "the server does not speak this version of NFS over TCP: leave nfsvers out of mountOptions, or name one that it speaks"),
    (Errno::EOPNOTSUPP, "the server does not speak this version of NFS: leave nfsvers out of mountOptions, or name one that it speaks"),
    (Errno::EACCES, "the server refuses this node: its export must name this node's address as a client, and let root write (no_root_squash) or everybody"),
    (Errno::EPERM, "the server refuses this to root of this node: export the share with no_root_squash, or leave uid and gid out of the class"),
    (Errno::ENOENT, "the server has no such path for this node: compare the path with the server's list of exports"),
    (Errno::ENOTDIR, "the path on the server is not a directory"),
    (Errno::EROFS, "the share is read-only: export it for writing, or mount it with readOnly"),
    (Errno::ENOSPC, "the share is full: make room on the server"),
    (Errno::EDQUOT, "the share's quota is used up: raise it on the server"),
    (Errno::ESTALE, "the directory is gone on the server, or exported anew under another identity: restart the pods that use it"),
    (Errno::EIO, "the server stopped answering, or cannot read its own disk: see its log; it is tried again"),
    (Errno::ENAMETOOLONG, "the server does not take a name this long: choose a shorter pathPattern"),
    (Errno::EINVAL, "the kernel does not take the options together: see mountOptions, and `dmesg` on the node"),
    (Errno::EBUSY, "a process still has files open there, or works in it: it must end first"),
    (Errno::ENOTEMPTY, "something is written there while it is removed: stop what writes; it is tried again"),
    (Errno::EAGAIN, "the server is busy; it is tried again"),
    (Errno::ECONNRESET, "the server ended the connection: see its log; it is tried again"),
    (Errno::EPIPE, "the server ended the connection: see its log; it is tried again"),
];

/// What a number means on a file server.
fn meaning(errno: i32) -> Option<&'static str> {
    TABLE.iter().find(|(known, _)| *known as i32 == errno).map(|(_, meaning)| *meaning)
}

/// A failure of the machine, or of the server behind it.
pub(super) fn host(context: &Context, error: host::Error, server: &str) -> Error {
    let why = match &error.source {
        Cause::Os(source) | Cause::Told { error: source, .. } => {
            source.raw_os_error().and_then(meaning).map(str::to_owned)
        }
        Cause::Timeout(_) => {
            Some(format!("{server} does not answer; it is tried again, and goes on by itself"))
        }
        Cause::Hanging { .. } => {
            Some("no more are made until it answers again; then all goes on by itself".to_owned())
        }
        _ => None,
    };
    let code = match &error.source {
        // Another node may have what this one has not.
        Cause::Unsupported(_) => Code::OutOfRange,
        Cause::Os(source) if source.raw_os_error() == Some(Errno::EBUSY as i32) => Code::FailedPrecondition,
        Cause::Refused(_) | Cause::NotIts(_) => Code::FailedPrecondition,
        _ => Code::Internal,
    };
    let hint = why.map(|why| format!("; {why}")).unwrap_or_default();
    let message = format!("{error}: {}{hint}", error.source);
    Error {
        operation: context.operation,
        volume: context.volume.clone(),
        message,
        code,
        source: Some(Box::new(error)),
    }
}

/// A failure of a server on one of its shares. Many servers hear no port from 1024 on, Orlop's own among them, and most say
/// it as if there were no such path, or no such client.
pub(super) fn of_share(context: &Context, error: host::Error, share: &Share) -> Error {
    let refused = [Errno::ENOENT, Errno::EACCES, Errno::EPERM];
    let is_refused = match &error.source {
        Cause::Os(source) | Cause::Told { error: source, .. } => {
            refused.iter().any(|errno| source.raw_os_error() == Some(*errno as i32))
        }
        _ => false,
    };
    let mut error = host(context, error, &share.server);
    if is_refused && comes_from_any_port(share) {
        error.message.push_str(
            "; and leave noresvport out of mountOptions: many servers, those of class nfs among them, answer so to whoever \
             does not come from a port below 1024",
        );
    }
    error
}

fn comes_from_any_port(share: &Share) -> bool {
    let options = orlop_objects::nfs::options(&share.options).unwrap_or_default();
    let said = options.client.iter().rfind(|(name, _)| matches!(*name, "resvport" | "noresvport"));
    said.is_some_and(|(name, _)| *name == "noresvport")
}

/// Why a directory is not shown as a volume's.
pub(super) fn not_its(context: &Context, share: &Share, directory: &[String], why: Refusal) -> Error {
    let (text, mark) = (directory.join("/"), marker_path(directory));
    let found = match why {
        Refusal::Unmarked => format!("{mark} there, which must name it, is missing"),
        Refusal::Foreign(marker) => {
            format!("{mark} there says that it belongs to volume {} of claim {}", marker.volume, marker.claim)
        }
        _ => format!("{mark} there, which must name it, cannot be understood"),
    };
    let path = format!("{}/{text}", share.path.trim_end_matches('/'));
    let message = format!(
        "directory {text} of {share} is not marked as this volume's, so it is not mounted: {found}. If it is this volume's, \
         bring that file back on the server, as it was; to use the directory without, make a PersistentVolume with \
         spec.nfs (server: {}, path: {path})",
        share.server
    );
    context.fail(Code::FailedPrecondition, message)
}

/// Why a visit changed nothing.
pub(super) fn refused(context: &Context, share: &Share, directory: &[String], why: Refusal) -> Error {
    let directory = directory.join("/");
    let (code, text) = match why {
        Refusal::Unmarked if context.operation == "create" => (
            Code::AlreadyExists,
            format!(
                "directory {directory} of {share} is there already and is no volume's; move it away, choose another \
                 pathPattern, or use what is in it by a class with onDelete: retain"
            ),
        ),
        Refusal::Unmarked => (
            Code::FailedPrecondition,
            format!(
                "directory {directory} of {share} does not carry this volume's mark, so nothing is removed; if it may go, \
                 remove it on the server"
            ),
        ),
        Refusal::Foreign(marker) => (
            if context.operation == "create" { Code::AlreadyExists } else { Code::FailedPrecondition },
            format!(
                "directory {directory} of {share} belongs to volume {} of claim {}, so nothing is changed; choose a \
                 pathPattern that gives every claim its own",
                marker.volume, marker.claim
            ),
        ),
        Refusal::Within(marker) => (
            Code::InvalidArgument,
            format!(
                "directory {directory} of {share} would lie in {}, which is the directory of volume {} of claim {}; \
                 choose a pathPattern that gives every claim its own",
                marker.directory, marker.volume, marker.claim
            ),
        ),
        Refusal::Above(marker) if context.operation != "create" => (
            Code::FailedPrecondition,
            format!(
                "{} lies in directory {directory} of {share}, and is the directory of volume {} of claim {}, so nothing is \
                 removed; delete that claim first",
                marker.directory, marker.volume, marker.claim
            ),
        ),
        Refusal::Above(marker) => (
            Code::InvalidArgument,
            format!(
                "{} lies in directory {directory} of {share}, and is the directory of volume {} of claim {}, so it is not \
                 given to another claim; choose a pathPattern that gives every claim its own",
                marker.directory, marker.volume, marker.claim
            ),
        ),
        Refusal::NotADirectory(what) => (
            Code::FailedPrecondition,
            format!(
                "{what} of {share} is not a directory all the way: a part of it is a file, a link or another file \
                 system; nothing is changed, move it away on the server"
            ),
        ),
        Refusal::Damaged(what) => (
            Code::FailedPrecondition,
            format!(
                "{what} of {share} says whose directory {directory} is, and cannot be read; nothing is changed, correct \
                 or remove that file on the server"
            ),
        ),
        Refusal::ArchivesTaken(names) => (
            Code::FailedPrecondition,
            format!(
                "{} of {share} are there already; move them away on the server, it is tried again",
                names.join(" and ")
            ),
        ),
    };
    context.fail(code, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_that_bad_input_can_bring_has_a_sentence_with_a_way_out() {
        let context = Context::new("stage", "v");
        for errno in [
            Errno::ECONNREFUSED,
            Errno::ETIMEDOUT,
            Errno::EPROTONOSUPPORT,
            Errno::EACCES,
            Errno::EPERM,
            Errno::ENOENT,
            Errno::EROFS,
            Errno::ENOSPC,
            Errno::ESTALE,
            Errno::EIO,
            Errno::EHOSTUNREACH,
        ] {
            let error = host::Error {
                operation: "mount",
                object: "nfs:/srv".into(),
                source: Cause::Os(std::io::Error::from(errno)),
            };
            let said = host(&context, error, "nfs").message;
            assert!(said.starts_with("mount nfs:/srv: ") && said.contains("; "), "{said}");
        }
    }

    #[test]
    fn no_number_stands_twice() {
        for (at, (errno, _)) in TABLE.iter().enumerate() {
            assert!(!TABLE[..at].iter().any(|(before, _)| before == errno), "{errno}");
        }
    }
}
