//! What the kernel does not say, or says where nobody looks.

use std::{fs::File, io::Read, os::fd::OwnedFd};

/// This kernel has no NFS client, and what to do.
pub(super) fn no_client() -> String {
    let kernel = rustix::system::uname();
    let release = kernel.release().to_string_lossy();
    let kept = std::fs::read_to_string(format!("/lib/modules/{release}/modules.dep")).unwrap_or_default();
    if kept.contains("/nfs.ko") {
        format!(
            "the NFS client of this node's kernel ({release}) is not loaded, and could not be; run `modprobe nfs` on the node"
        )
    } else {
        format!(
            "this node's kernel ({release}) has no NFS client; boot one that has the module nfs (Debian's package \
             linux-image-amd64 does), or let the pod run on a node that has one"
        )
    }
}

/// Version 3 without its keeper of locks, and what to do.
pub(super) fn no_statd() -> &'static str {
    "NFS version 3 keeps locks by rpc.statd, which does not run on this node; install the package nfs-common and run \
     `systemctl start rpc-statd`, or add nolock to mountOptions (locks then hold among the pods of one node only), or \
     let the server speak version 4"
}

/// What the kernel tells of a mount that failed, beside its number: one message for every read.
pub(super) fn told(context: &OwnedFd) -> String {
    let Ok(mut log) = context.try_clone().map(File::from) else { return String::new() };
    let mut told = Vec::new();
    let mut message = [0; 512];
    while let Ok(length) = log.read(&mut message) {
        if length == 0 || told.len() >= 8 {
            break;
        }
        let text = String::from_utf8_lossy(&message[..length]);
        let text = text.trim();
        // `e ` is an error, `w ` a warning, `i ` information.
        told.push(text.get(2..).unwrap_or(text).to_owned());
    }
    told.join("; ")
}
