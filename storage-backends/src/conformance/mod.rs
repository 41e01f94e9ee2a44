//! What every driver must do, whatever it is made of. Each case gets a [`Stand`] of its own and panics with a sentence
//! when the driver does not do it, so a driver's test is one line: `conformance::check(make_a_stand).await`.
//!
//! Owns: the meaning of [`Driver`](crate::driver::Driver) beyond its signatures. Must not know: any driver.

use std::{
    fmt::Debug,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    driver::{Attach, Code, Create, Driver, Error, Publish, Stage, Volume, VolumeRef},
    host::Host,
};

mod capacity;
mod life;
mod refusals;

/// A driver on a machine, and how to use what it mounts.
pub struct Stand {
    /// The driver.
    pub driver: Arc<dyn Driver>,
    /// The machine it works on.
    pub host: Arc<dyn Host>,
    /// A directory for targets; exists.
    pub scratch: PathBuf,
    /// A size that the driver can make.
    pub bytes: u64,
    /// Writes a file as a pod would.
    pub write: fn(&Stand, &Path, &[u8]) -> io::Result<()>,
    /// Reads it.
    pub read: fn(&Stand, &Path) -> io::Result<Vec<u8>>,
}

/// Runs all cases, each on a new stand.
pub async fn check(mut stand: impl FnMut(&'static str) -> Stand) {
    life::create_twice_answers_the_same(&stand("create_twice")).await;
    life::delete_twice_is_fine(&stand("delete_twice")).await;
    life::list_shows_what_there_is(&stand("list")).await;
    life::attach_twice_answers_the_same_device(&stand("attach_twice")).await;
    life::every_step_may_be_repeated_and_data_stays(&stand("life")).await;
    life::two_pods_share_a_volume_one_read_only(&stand("two_pods")).await;
    life::a_new_process_goes_on_where_the_old_one_was(&stand("new_process")).await;
    refusals::another_size_or_type_already_exists(&stand("other_size")).await;
    refusals::handles_and_parameters_are_checked(&stand("bad_input")).await;
    refusals::what_does_not_exist_cannot_be_attached(&stand("missing")).await;
    refusals::order_up(&stand("order_up")).await;
    refusals::order_down(&stand("order_down")).await;
    refusals::a_foreign_mount_at_the_target_stays(&stand("foreign")).await;
    refusals::mount_options_are_checked(&stand("options")).await;
    capacity::a_volume_larger_than_the_pool_is_refused(&stand("too_large")).await;
    capacity::promises_are_kept_and_given_back(&stand("promises")).await;
    capacity::parallel_creates_never_promise_too_much(&stand("parallel")).await;
}

/// A handle as the provisioner makes them.
pub fn name(number: u32) -> String {
    format!("pvc-5e0c4f5a-9d2b-4c1e-8a77-{number:012x}")
}

impl Stand {
    /// A request for a volume of the stand's size.
    pub fn request(&self, number: u32) -> Create {
        Create {
            name: name(number),
            bytes: self.bytes,
            provisioner: self.driver.name().to_owned(),
            deadline: Duration::from_secs(120),
            ..Create::default()
        }
    }

    /// Creates a volume.
    pub async fn create(&self, number: u32) -> Volume {
        done("create", self.driver.create(self.request(number)).await)
    }

    /// A directory below the scratch directory.
    pub fn place(&self, name: &str) -> PathBuf {
        let place = self.scratch.join(name);
        self.host.create_dir(&place).expect("the scratch directory takes directories");
        place
    }

    /// Stages at a place.
    pub async fn stage(&self, volume: &Volume, device: Option<PathBuf>, target: &Path) -> Result<(), Error> {
        let request = Stage {
            volume: reference(volume),
            device,
            target: target.to_owned(),
            fs_type: None,
            mount_options: Vec::new(),
        };
        self.driver.stage(request).await
    }

    /// Publishes at a place.
    pub async fn publish(
        &self,
        volume: &Volume,
        staged: &Path,
        target: &Path,
        read_only: bool,
    ) -> Result<(), Error> {
        let request = Publish {
            volume: reference(volume),
            staged: staged.to_owned(),
            target: target.to_owned(),
            read_only,
        };
        self.driver.publish(request).await
    }

    fn attaches(&self) -> bool {
        self.driver.capabilities().attach == Attach::Node
    }

    fn write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        (self.write)(self, path, data)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        (self.read)(self, path)
    }

    fn mounts_at(&self, target: &Path) -> usize {
        let mounts = self.host.mounts().expect("the mount table can be read");
        mounts.iter().filter(|mount| mount.target == target).count()
    }
}

/// Names a volume that was made.
pub fn reference(volume: &Volume) -> VolumeRef {
    VolumeRef {
        handle: volume.handle.clone(),
        attributes: volume.attributes.clone(),
        deadline: Duration::from_secs(120),
    }
}

#[track_caller]
fn done<T>(what: &str, result: Result<T, Error>) -> T {
    result.unwrap_or_else(|error| panic!("{what}: {error} ({:?})", error.code))
}

#[track_caller]
fn refused<T: Debug>(what: &str, result: Result<T, Error>, code: Code) -> String {
    match result {
        Ok(answer) => panic!("{what} is not refused but answered {answer:?}"),
        Err(error) if error.code == code => error.message,
        Err(error) => panic!("{what} is refused as {:?} and not as {code:?}: {error}", error.code),
    }
}
