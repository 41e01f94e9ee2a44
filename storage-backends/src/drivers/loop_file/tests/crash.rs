//! Death at every effect of a volume's life: the next process reaches the same end, and nothing is left over.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::super::LoopDriver;
use crate::{
    conformance::name,
    driver::{Create, Driver, Error, Publish, Stage, VolumeRef},
    host::{
        Host,
        fake::{Content, Fake},
        faulty::{Faulty, Plan},
        linux::{
            Linux,
            scratch::{Scratch, can_run},
        },
    },
};

/// Where a story takes place.
struct Story {
    base: PathBuf,
}

impl Story {
    fn pool(&self) -> PathBuf {
        self.base.join("pool")
    }

    fn staged(&self) -> PathBuf {
        self.base.join("staged")
    }

    fn pod(&self) -> PathBuf {
        self.base.join("pod")
    }

    fn kept(&self) -> PathBuf {
        self.base.join("pod/kept")
    }

    fn driver(&self, host: impl Host) -> LoopDriver {
        LoopDriver::new(Arc::new(host), self.pool())
    }

    async fn up(&self, driver: &LoopDriver, read_only: bool) -> Result<(), Error> {
        let create = Create {
            name: name(1),
            bytes: 16 << 20,
            fs_type: None,
            parameters: [("provisioning".to_owned(), "thick".to_owned())].into(),
            deadline: LONG,
            ..Create::default()
        };
        driver.create(create).await?;
        let device = driver.attach(volume()).await?;
        let target = self.staged();
        driver
            .stage(Stage { volume: volume(), device, target, fs_type: None, mount_options: vec![] })
            .await?;
        driver
            .publish(Publish { volume: volume(), staged: self.staged(), target: self.pod(), read_only })
            .await
    }

    async fn down(&self, driver: &LoopDriver) -> Result<(), Error> {
        driver.unpublish(volume(), self.pod()).await?;
        driver.unstage(volume(), self.staged()).await?;
        driver.detach(volume()).await?;
        driver.delete(volume()).await
    }

    /// Lives a whole life on a machine that dies as planned, writing into the volume between up and down. Answers the
    /// effects it had, and whether it came so far as to write.
    async fn live<H: Host>(
        &self,
        machine: H,
        plan: Plan,
        write: impl Fn(&Path),
    ) -> (Vec<&'static str>, bool) {
        let host = Arc::new(Faulty::new(machine, plan));
        let driver = LoopDriver::new(host.clone(), self.pool());
        let mut written = false;
        if self.up(&driver, false).await.is_ok() {
            write(&self.kept());
            written = true;
            let _ = self.down(&driver).await;
        }
        (host.effects(), written)
    }

    /// Loop devices and mounts of the story, and the files of its pool.
    fn found(&self, host: &impl Host) -> (usize, usize, Vec<String>) {
        let loops = host.loops().unwrap().iter().filter(|device| device.path.starts_with(&self.base)).count();
        let own = [self.staged(), self.pod()];
        let mounts = host.mounts().unwrap().iter().filter(|mount| own.contains(&mount.target)).count();
        (loops, mounts, host.list_dir(&self.pool()).unwrap())
    }

    fn check_up(&self, host: &impl Host, case: &str) {
        let file = format!("{}.img", name(1));
        assert_eq!(
            self.found(host),
            (1, 2, vec![file]),
            "{case}: one device, staged and published, one file"
        );
    }

    fn check_down(&self, host: &impl Host, case: &str) {
        assert_eq!(self.found(host), (0, 0, vec![]), "{case}: no device, mount or file is left");
    }
}

const LONG: Duration = Duration::from_secs(60);

fn volume() -> VolumeRef {
    VolumeRef { handle: name(1), attributes: [].into(), deadline: LONG }
}

fn machine() -> (Fake, Story) {
    let fake = Fake::new(1 << 30);
    let story = Story { base: "/story".into() };
    fake.create_dir(&story.staged()).unwrap();
    fake.create_dir(&story.pod()).unwrap();
    (fake, story)
}

async fn live(fake: &Fake, story: &Story, plan: Plan) -> (Vec<&'static str>, bool) {
    story.live(fake.clone(), plan, |path| fake.write(path, b"data").unwrap()).await
}

async fn effects() -> Vec<&'static str> {
    let (fake, story) = machine();
    live(&fake, &story, Plan::default()).await.0
}

/// Every way to die, and what it is called.
async fn plans() -> Vec<(String, Plan)> {
    let effects = effects().await;
    for expected in [
        "create_sparse",
        "make_filesystem",
        "rename",
        "attach_loop",
        "mount",
        "unmount",
        "detach_loop",
        "remove_file",
    ] {
        assert!(effects.contains(&expected), "the story has {expected}: {effects:?}");
    }
    let cases = effects.iter().enumerate().flat_map(|(index, effect)| {
        let number = index + 1;
        [
            (format!("before {number} {effect}"), Plan::crash_before(number)),
            (format!("after {number} {effect}"), Plan::crash_after(number)),
        ]
    });
    cases.collect()
}

/// After the file is unlinked there is nothing to be kept.
fn is_kept(case: &str, written: bool) -> bool {
    written && !(case.starts_with("after") && case.ends_with("remove_file"))
}

#[tokio::test]
async fn after_a_crash_anywhere_the_same_volume_comes_up_again() {
    for (case, plan) in plans().await {
        let (fake, story) = machine();
        let (_, written) = live(&fake, &story, plan).await;
        let next = story.driver(fake.clone());
        story.up(&next, false).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        story.check_up(&fake, &case);
        if is_kept(&case, written) {
            assert_eq!(fake.read(&story.kept()), Some(Content::Data(b"data".to_vec())), "{case}");
        }
        story.down(&next).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        story.check_down(&fake, &case);
        assert_eq!(fake.overwritten(), 0, "{case}: nothing was to be formatted twice");
    }
}

#[tokio::test]
async fn after_a_crash_anywhere_it_can_be_taken_down() {
    for (case, plan) in plans().await {
        let (fake, story) = machine();
        live(&fake, &story, plan).await;
        let next = story.driver(fake.clone());
        story.down(&next).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(next.list().await.unwrap(), []);
        story.check_down(&fake, &case);
    }
}

#[tokio::test]
async fn after_a_crash_and_a_power_cut_the_same_volume_comes_up_again() {
    for (case, plan) in plans().await {
        let (fake, story) = machine();
        live(&fake, &story, plan).await;
        fake.reboot();
        let next = story.driver(fake.clone());
        story.up(&next, false).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        story.check_up(&fake, &case);
        assert_eq!(fake.overwritten(), 0, "{case}");
    }
}

/// Each effect fails once, without a crash: the same process reaches the same ends when it is asked again.
#[tokio::test]
async fn after_a_failure_anywhere_the_same_process_goes_on() {
    let mut calls = BTreeMap::<&str, usize>::new();
    for effect in effects().await {
        let before = calls.entry(effect).or_default();
        let case = format!("{effect}: {before}*off, error(EIO)");
        *before += 1;
        let (fake, story) = machine();
        let driver = story.driver(Faulty::new(fake.clone(), case.parse().unwrap()));
        let mut failures = 0;
        while let Err(error) = story.up(&driver, false).await {
            failures += 1;
            assert!(failures < 2, "{case}: {error}");
        }
        story.check_up(&fake, &case);
        while let Err(error) = story.down(&driver).await {
            failures += 1;
            assert!(failures < 2, "{case}: {error}");
        }
        story.check_down(&fake, &case);
        assert_eq!((failures, fake.overwritten()), (1, 0), "{case}: the failure is told, once");
    }
}

/// On Linux a read-only bind mount is two system calls: a crash between them leaves a writable one.
#[tokio::test]
async fn a_half_done_read_only_publication_is_done_again() {
    let (fake, story) = machine();
    let driver = story.driver(fake.clone());
    story.up(&driver, false).await.unwrap();
    story.up(&driver, true).await.unwrap();
    story.check_up(&fake, "read-only");
    fake.write(&story.kept(), b"data").unwrap_err();
    let error = story.up(&driver, false).await.unwrap_err();
    assert!(error.message.contains("read-only"), "{error}");
}

#[tokio::test]
async fn root_loop_after_a_crash_anywhere_the_same_volume_comes_up_again() {
    if !can_run("root_loop_after_a_crash_anywhere_the_same_volume_comes_up_again") {
        return;
    }
    for (number, (case, plan)) in plans().await.into_iter().enumerate() {
        let scratch = Scratch::new();
        let story = Story { base: scratch.path().join(number.to_string()) };
        Linux.create_dir(&story.staged()).unwrap();
        Linux.create_dir(&story.pod()).unwrap();
        let (_, written) = story.live(Linux, plan, |path| fs::write(path, b"data").unwrap()).await;
        let next = story.driver(Linux);
        story.up(&next, false).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        story.check_up(&Linux, &case);
        if is_kept(&case, written) {
            assert_eq!(fs::read(story.kept()).unwrap(), b"data", "{case}");
        }
        story.down(&next).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        story.check_down(&Linux, &case);
    }
}
