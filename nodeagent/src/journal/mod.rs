//! The journal: what this agent *may have touched*, on disk before it touches it.
//!
//! One append-only file. A record is written and synced before the *first* effect on a volume or pod; its end is
//! appended without a sync, since every step can be repeated. At start a torn tail is cut off and the file is rewritten
//! with the records that still stand. Owns that file. Must not know: what is wanted, what the kernel holds.

mod codec;
mod writer;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{error::Error, ids::VolumeId};

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Subject {
    /// The making of a volume whose PersistentVolume does not exist yet.
    Making(VolumeId),
    /// A volume that may be attached or staged.
    Volume(VolumeId),
    /// A pod, by uid, that may have anything at all.
    Pod(String),
}

/// What may have been touched, with all that is needed to undo it without the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Intent {
    /// A volume is being made for a claim.
    Making {
        /// The volume.
        id: VolumeId,
        /// The claim's namespace and name, for messages.
        claim: String,
        /// The handle that it is made under; empty in records of versions whose handles were the volumes' names.
        #[serde(default)]
        handle: String,
        /// What removing it needs to know beside the handle.
        #[serde(default)]
        attributes: BTreeMap<String, String>,
        /// It is complete, and other nodes can have used it since: its PersistentVolume may have been posted, and gone again.
        #[serde(default)]
        offered: bool,
    },
    /// A volume is being attached and staged.
    Volume(VolumeIntent),
    /// A pod is being set up.
    Pod(PodIntent),
}

/// A volume that may be attached and staged here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeIntent {
    /// The volume.
    pub id: VolumeId,
    /// Its PersistentVolume.
    pub name: String,
    /// What the driver needs to know.
    pub attributes: BTreeMap<String, String>,
}

/// A pod that may have containers, namespaces, mounts and directories here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodIntent {
    /// Its uid.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Seconds that its containers get to end.
    pub grace: i64,
    /// Volumes that may be published to it.
    pub volumes: Vec<VolumeIntent>,
    /// The address that is its alone as long as this record stands.
    #[serde(default)]
    pub address: Option<Ipv4Addr>,
}

impl Intent {
    /// What it is about.
    pub fn subject(&self) -> Subject {
        match self {
            Self::Making { id, .. } => Subject::Making(id.clone()),
            Self::Volume(volume) => Subject::Volume(volume.id.clone()),
            Self::Pod(pod) => Subject::Pod(pod.uid.clone()),
        }
    }
}

/// One line of the file.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Record {
    Begin(Intent),
    End(Subject),
}

/// The journal. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Journal {
    standing: Arc<Mutex<BTreeMap<Subject, Intent>>>,
    writer: writer::Writer,
}

impl Journal {
    /// Opens or makes the journal at `path`. Reads all of it and rewrites it compactly. Blocks.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let standing = codec::load(path)?;
        let writer = writer::Writer::start(path)?;
        Ok(Self { standing: Arc::new(Mutex::new(standing)), writer })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Subject, Intent>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an intent on disk; what it announces may happen once this has answered `Ok`.
    pub async fn begin(&self, intent: Intent) -> Result<(), Error> {
        let subject = intent.subject();
        if self.lock().get(&subject) == Some(&intent) {
            return Ok(());
        }
        self.writer.append(codec::line(&Record::Begin(intent.clone()))).await?;
        self.lock().insert(subject, intent);
        Ok(())
    }

    /// Says that nothing of `subject` is left.
    pub fn end(&self, subject: &Subject) {
        if self.lock().remove(subject).is_some() {
            self.writer.append_later(codec::line(&Record::End(subject.clone())));
        }
    }

    /// Waits until everything that was said so far is on disk: what is said last would else be lost with the process.
    pub async fn settle(&self) -> Result<(), Error> {
        self.writer.append(Vec::new()).await
    }

    /// The record about `subject` that stands.
    pub fn find(&self, subject: &Subject) -> Option<Intent> {
        self.lock().get(subject).cloned()
    }

    /// The pod's record, where one stands.
    pub fn pod(&self, uid: &str) -> Option<PodIntent> {
        match self.find(&Subject::Pod(uid.to_owned()))? {
            Intent::Pod(pod) => Some(pod),
            _ => None,
        }
    }

    /// The records of all pods.
    pub fn pods(&self) -> Vec<PodIntent> {
        let standing = self.lock();
        let pods = standing.values().filter_map(|intent| match intent {
            Intent::Pod(pod) => Some(pod.clone()),
            _ => None,
        });
        pods.collect()
    }

    /// The volume's record, where one stands.
    pub fn volume(&self, id: &VolumeId) -> Option<VolumeIntent> {
        match self.find(&Subject::Volume(id.clone()))? {
            Intent::Volume(volume) => Some(volume),
            _ => None,
        }
    }

    /// All subjects that may have been touched.
    pub fn subjects(&self) -> BTreeSet<Subject> {
        self.lock().keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests;
