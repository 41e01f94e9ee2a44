//! The plan for one volume of this node.
//!
//! "Wanted" is a VolumeAttachment that is not being deleted (or a driver that attaches nowhere); "users" are pods that
//! want to run with it; "touched" means that the journal says it may be attached or staged. A volume is "kept here" when
//! other nodes mount it and this one is to serve it, as long as it exists.
//!
//! | attachment | users | here | steps |
//! |---|---|---|---|
//! | any | any | a look failed | wait |
//! | wanted | any | not attached | Attach |
//! | wanted | any | attached, not reported | Report |
//! | wanted | some | attached, not staged | Stage |
//! | wanted | none | staged, published to nobody | Unstage |
//! | wanted | none | staged, published | wait for the pod's own plan |
//! | not wanted | any | published | wait for the pod's own plan |
//! | not wanted | any | touched or staged | Unstage, Detach, Forget |
//! | deleted | any | nothing left | ReleaseAttachment |
//! | none, claim wants it made | – | – | Make |
//! | none, was being made, nobody wants it | – | no PersistentVolume | Unmake |
//! | none, was being made | – | PersistentVolume exists | ForgetMaking |
//! | none, its data is to go | – | nothing left | DeleteData, ReleaseVolume |
//!
//! What is staged may be left from an attachment that went without its agent, and be another node's by now. So a pod that
//! has not got the volume yet gets it only when it is *given* to this node:
//!
//! | its driver attaches | attachment | given |
//! |---|---|---|
//! | any | wanted | yes |
//! | any | deleted | no: it is about to go |
//! | somewhere | none | no: it may be another node's |
//! | nowhere | none | yes |
//!
//! Pods that have it keep it, whatever becomes of the attachment.
//!
//! | kept | here | steps |
//! |---|---|---|
//! | here | not mounted | Serve, before all others |
//! | here | mounted, not exported to its clients | Export, after all others: pods of this node need it not |
//! | here | exported, and the volume does not say so | Tell |
//! | elsewhere, or no more | anything of it is served, published to nobody | Unserve, after Unstage, before DeleteData |
//! | elsewhere | users, and the keeper does not let this node in | wait instead of Stage, with the keeper's reason |

use orlop_backends::driver::{Attach, Served};

use super::Look;

/// What is wanted of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// Where its driver attaches.
    pub attach: Option<Attach>,
    /// Its attachment to this node.
    pub attachment: Option<Attachment>,
    /// Pods that want to run with it.
    pub users: usize,
    /// A claim wants it made here.
    pub making: bool,
    /// There is a PersistentVolume for it.
    pub exists: bool,
    /// Its PersistentVolume says that its data is to be removed here.
    pub to_delete: bool,
    /// It is kept here: to be served to other nodes.
    pub keep: bool,
    /// Its PersistentVolume says what is so of its export.
    pub told: bool,
    /// It is kept by another node, which does not let this one in.
    pub shut_out: bool,
}

/// An attachment to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// Asked for; `reported` when its status says attached.
    Wanted {
        /// Its status says attached.
        reported: bool,
    },
    /// Its deletion was asked for; `held` while our finalizer is on it.
    Deleted {
        /// Our finalizer is on it.
        held: bool,
    },
}

/// What is there of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Attached, as far as this life of the agent knows.
    pub attached: bool,
    /// Mounted at its staging place.
    pub staged: bool,
    /// Number of pods it is published to.
    pub published: usize,
    /// The journal says it may be attached or staged.
    pub touched: bool,
    /// The journal says it may have been made.
    pub making: bool,
    /// How far it is served to other nodes.
    pub served: Served,
}

/// One step. Every one reaches a fact and may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make the volume and post its PersistentVolume.
    Make,
    /// Remove a volume whose claim went away before it had a PersistentVolume.
    Unmake,
    /// Its PersistentVolume exists: the making needs no memory any more.
    ForgetMaking,
    /// Attach.
    Attach,
    /// Say in the attachment's status that it is attached.
    Report,
    /// Mount at its staging place.
    Stage,
    /// Unmount from its staging place.
    Unstage,
    /// Detach.
    Detach,
    /// Nothing of it is left here: end its record.
    Forget,
    /// Take our finalizer off the attachment.
    ReleaseAttachment,
    /// Remove its data.
    DeleteData,
    /// Take the provisioner's finalizer off the PersistentVolume.
    ReleaseVolume,
    /// Attach and mount it for other nodes.
    Serve,
    /// Let its clients mount it.
    Export,
    /// Say in the PersistentVolume who can mount it.
    Tell,
    /// Take the export back, unmount and detach.
    Unserve,
}

/// Why a volume with users is not staged, when its keeper says why.
pub const SHUT_OUT: &str = "its keeper does not let this node in yet";

/// Steps, and why the plan ends there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In order; each may rely on those before it.
    pub steps: Vec<Step>,
    /// What must happen elsewhere first.
    pub wait: Option<&'static str>,
}

/// What to do about a volume.
pub fn plan(want: &Want, seen: &Look<Seen>) -> Plan {
    let Look::Seen(seen) = seen else {
        return waiting("this node could not be looked at");
    };
    let wanted = is_given(want.attach, want.attachment) && (want.attachment.is_some() || want.users > 0);
    let mut plan = if wanted { build(want, seen) } else { tear_down(want, seen) };
    if want.keep {
        serve(want, seen, &mut plan.steps);
    }
    plan
}

/// Whether this node may show the volume to one more pod.
pub fn is_given(attach: Option<Attach>, attachment: Option<Attachment>) -> bool {
    match attachment {
        Some(Attachment::Wanted { .. }) => true,
        Some(Attachment::Deleted { .. }) => false,
        None => attach == Some(Attach::None),
    }
}

/// What other nodes need of a volume that is kept here.
fn serve(want: &Want, seen: &Seen, steps: &mut Vec<Step>) {
    if !seen.served.up {
        steps.insert(0, Step::Serve);
    }
    if !seen.served.exported {
        steps.push(Step::Export);
    } else if !want.told {
        steps.push(Step::Tell);
    }
}

fn waiting(reason: &'static str) -> Plan {
    Plan { steps: Vec::new(), wait: Some(reason) }
}

fn build(want: &Want, seen: &Seen) -> Plan {
    let mut steps = Vec::new();
    if want.users == 0 && seen.staged {
        if seen.published > 0 {
            return waiting("it is still published to a pod");
        }
        steps.push(Step::Unstage);
    }
    if !seen.attached {
        if want.attach == Some(Attach::Controller) {
            return Plan { steps, wait: Some("it is not attached to this node yet") };
        }
        steps.push(Step::Attach);
    }
    let on_node = want.attach == Some(Attach::Node);
    if on_node && want.attachment == Some(Attachment::Wanted { reported: false }) {
        steps.push(Step::Report);
    }
    if want.users > 0 && !seen.staged {
        if want.shut_out {
            return Plan { steps, wait: Some(SHUT_OUT) };
        }
        steps.push(Step::Stage);
    }
    Plan { steps, wait: None }
}

fn tear_down(want: &Want, seen: &Seen) -> Plan {
    if seen.published > 0 {
        return waiting("it is still published to a pod");
    }
    let mut steps = Vec::new();
    if seen.touched || seen.staged || seen.attached {
        steps.extend([Step::Unstage, Step::Detach, Step::Forget]);
    }
    if seen.served.touched && !want.keep {
        steps.push(Step::Unserve);
    }
    match want.attachment {
        Some(Attachment::Deleted { held: true }) => steps.push(Step::ReleaseAttachment),
        Some(_) => {}
        None => steps.extend(life(want, seen)),
    }
    Plan { steps, wait: None }
}

/// Making and removing, of a volume that is attached nowhere here.
fn life(want: &Want, seen: &Seen) -> &'static [Step] {
    if want.to_delete {
        &[Step::DeleteData, Step::ReleaseVolume]
    } else if want.exists {
        if seen.making { &[Step::ForgetMaking] } else { &[] }
    } else if want.making {
        &[Step::Make]
    } else if seen.making {
        &[Step::Unmake]
    } else {
        &[]
    }
}

#[cfg(test)]
mod tests;
