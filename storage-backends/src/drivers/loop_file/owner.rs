//! Who has a volume of a shared pool attached: a small file beside it, written before its device is made and removed
//! after the device is gone, always under the pool's lock. The API's attachments are the first guard against a second
//! writer; this is the second one, kept where the data is.
//!
//! | record | attach | stage | detach | delete |
//! |---|---|---|---|---|
//! | none | a device holds the file: refused, it is not ours; else taken | refused: attach first | devices go | removed |
//! | this node, this boot | used as it is, whatever came of it | goes on | devices go, then the record | devices: refused; else removed |
//! | this node, an earlier boot | taken anew: nothing is attached any more | refused: attach first | the record goes | removed |
//! | another node | refused, naming it | refused, naming it | the same boot: its devices are left alone; else ours go | refused, naming it |
//! | damaged | refused: who has it is not known | refused | refused | refused |
//!
//! Two nodes on one machine (one boot) see each other's devices; the record says whose they are.
//!
//! **A dead owner.** A node that comes back removes its records that have no device behind them, when its agent starts. For
//! a node that does not come back the API decides: once an administrator has set the out-of-service taint or removed the
//! node, and nothing is attached there for the API any more, [`fence`] takes its record away. On one and the same machine
//! the kernel has the last word: what is still mounted there is in use, whatever the API says.
//!
//! Nothing here stops a node that is said to be off and is not: it writes on, and once more when it comes back and unmounts.
//! That takes fencing, which there is not; the taint is a promise that the node is off.

use std::path::PathBuf;

use super::{
    attach,
    fault::Context,
    pools::{Node, Pool},
    request::Handle,
};
use crate::{
    driver::{Code, Error},
    host::{self, LoopDevice},
};

/// First line of a record.
const FORM: &str = "orlop-owner 1";

/// Who has a volume attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    node: String,
    boot: String,
}

/// How a node stands to a volume's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Nobody,
    Ours,
    /// Ours, before this machine's kernel started.
    OursBefore,
    Others(Record),
    Damaged,
}

impl Record {
    fn of(node: &Node) -> Self {
        Self { node: node.name.clone(), boot: node.boot.clone() }
    }

    fn write(&self) -> String {
        format!("{FORM}\nnode {}\nboot {}\n", self.node, self.boot)
    }

    fn parse(content: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(content).ok()?.lines();
        (lines.next()? == FORM).then_some(())?;
        let mut field =
            |name: &str| lines.next()?.strip_prefix(name).filter(|v| !v.is_empty()).map(str::to_owned);
        Some(Self { node: field("node ")?, boot: field("boot ")? })
    }

    /// Whether it was written by a node on this machine, since it started.
    pub(super) fn is_of_this_boot(&self, node: &Node) -> bool {
        self.boot == node.boot
    }
}

fn path(pool: &Pool, handle: &Handle) -> PathBuf {
    pool.dir.join(handle.owner_name())
}

/// What the record says to this node.
pub(super) fn standing(pool: &Pool, handle: &Handle) -> host::Result<Standing> {
    let content = pool.host.read_file(&path(pool, handle))?;
    Ok(judge(content.as_deref(), &pool.node))
}

fn judge(content: Option<&[u8]>, node: &Node) -> Standing {
    let Some(content) = content else { return Standing::Nobody };
    match Record::parse(content) {
        None => Standing::Damaged,
        Some(record) if record.node != node.name => Standing::Others(record),
        Some(record) if record.boot == node.boot => Standing::Ours,
        Some(_) => Standing::OursBefore,
    }
}

/// Why what needs the volume for itself is refused; `None` when it is not another's.
pub(super) fn refusal(pool: &Pool, handle: &Handle, standing: &Standing) -> Option<String> {
    match standing {
        Standing::Others(record) => Some(format!(
            "node {:?} has it attached; it is attached here when it is detached there. If that node is gone for good, say \
             so: kubectl taint node {0} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute",
            record.node
        )),
        Standing::Damaged => Some(format!(
            "{} is damaged, so it is not known which node has it attached; make sure that none has, then remove that file",
            path(pool, handle).display()
        )),
        _ => None,
    }
}

/// Makes this node the owner, or says who is. The caller holds the pool's lock.
pub(super) fn take(
    pool: &Pool,
    context: &Context,
    handle: &Handle,
    devices: &[LoopDevice],
) -> Result<(), Error> {
    let standing = standing(pool, handle).map_err(|error| context.host(error))?;
    if let Some(why) = refusal(pool, handle, &standing) {
        return Err(context.fail(Code::FailedPrecondition, why));
    }
    if standing == Standing::Ours {
        return Ok(());
    }
    if let Some(device) = devices.first() {
        let why = format!(
            "{} holds it, though no node has it attached; it was not attached by Orlop: detach it",
            device.device.display()
        );
        return Err(context.fail(Code::FailedPrecondition, why));
    }
    let write = || {
        if standing == Standing::OursBefore {
            pool.host.remove_file(&path(pool, handle))?;
        }
        pool.host.create_file(&path(pool, handle), Record::of(&pool.node).write().as_bytes())
    };
    write().map_err(|error| context.host(error))
}

/// Removes the record of this node, where there is one. The caller holds the pool's lock.
pub(super) fn release(pool: &Pool, handle: &Handle) -> host::Result<()> {
    match standing(pool, handle)? {
        Standing::Ours | Standing::OursBefore => pool.host.remove_file(&path(pool, handle)),
        _ => Ok(()),
    }
}

/// The other node that has the volume attached.
pub(super) fn holder(pool: &Pool, handle: &Handle) -> host::Result<Option<String>> {
    Ok(match standing(pool, handle)? {
        Standing::Others(record) => Some(record.node),
        _ => None,
    })
}

/// Takes the record of a node away that is known to be gone for good.
pub(super) fn fence(pool: &Pool, context: &Context, handle: &Handle, node: &str) -> Result<(), Error> {
    let _turn = pool.turn().map_err(|error| context.host(error))?;
    let record = match standing(pool, handle).map_err(|error| context.host(error))? {
        Standing::Others(record) if record.node == node => record,
        _ => return Ok(()),
    };
    if record.is_of_this_boot(&pool.node) {
        for device in attach::devices(pool, handle).map_err(|error| context.host(error))? {
            pool.host.detach_loop(&device.device).map_err(|error| {
                let refused = context.host(error);
                let why = format!(
                    "node {node:?} is said to be out of service, but {} is still in use on this very machine: {}",
                    device.device.display(),
                    refused.message
                );
                context.fail(Code::FailedPrecondition, why)
            })?;
        }
    }
    pool.host.remove_file(&path(pool, handle)).map_err(|error| context.host(error))?;
    tracing::warn!(volume = %handle, node, "taken from a node that is out of service");
    Ok(())
}

/// Removes the records of this node that have nothing behind them: left by a crash, or by an earlier boot.
pub(super) fn tidy(pool: &Pool) -> host::Result<()> {
    let _turn = pool.turn()?;
    for name in pool.host.list_dir(&pool.dir)? {
        let Some(handle) = Handle::of_owner(&pool.name, &name) else { continue };
        let empty = match standing(pool, &handle)? {
            Standing::Ours => has_none(pool, &handle),
            Standing::OursBefore => true,
            _ => false,
        };
        if empty {
            tracing::info!(volume = %handle, "an earlier life of this node had it attached");
            release(pool, &handle)?;
        }
    }
    Ok(())
}

/// Whether no device holds it. A look that fails is no "no": the record stays.
fn has_none(pool: &Pool, handle: &Handle) -> bool {
    attach::devices(pool, handle)
        .inspect_err(|error| tracing::warn!(volume = %handle, %error, "it stays recorded as attached here"))
        .is_ok_and(|devices| devices.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, boot: &str) -> Node {
        Node { name: name.into(), boot: boot.into() }
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_nothing_else_is_one() {
        let record = Record::of(&node("a", "b1"));
        assert_eq!(Record::parse(record.write().as_bytes()), Some(record));
        for text in [
            "",
            "orlop-owner 1\n",
            "orlop-owner 1\nnode a\n",
            "orlop-owner 1\nnode \nboot b\n",
            "node a\nboot b\n",
        ] {
            assert_eq!(Record::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(Record::parse(b"\xff"), None);
    }

    /// The rows of the table.
    #[test]
    fn standings() {
        let me = node("a", "b1");
        let by = |name: &str, boot: &str| Record::of(&node(name, boot)).write().into_bytes();
        assert_eq!(judge(None, &me), Standing::Nobody);
        assert_eq!(judge(Some(&by("a", "b1")), &me), Standing::Ours);
        assert_eq!(judge(Some(&by("a", "b0")), &me), Standing::OursBefore);
        for boot in ["b1", "b2"] {
            let other = Record::of(&node("c", boot));
            assert_eq!(judge(Some(&by("c", boot)), &me), Standing::Others(other));
        }
        assert_eq!(judge(Some(b"x"), &me), Standing::Damaged);
    }
}
