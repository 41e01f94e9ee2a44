//! A pool that two machines see: they make volumes at once, take turns with one, die anywhere, and no volume ever has two
//! devices.

use std::{collections::BTreeSet, io, path::Path, sync::Arc, time::Duration};

use super::super::{LoopDriver, Node, PoolConfig, PoolUse};
use crate::{
    conformance::{self, Stand, name, reference},
    driver::{Code, Create, Driver, Error, Publish, Reach, Stage, Volume, VolumeRef},
    host::{
        Host,
        fake::{Content, Fake},
        faulty::{Faulty, Plan},
    },
};

const POOL: &str = "/common";

fn site() -> Fake {
    let fake = Fake::new(20 << 30);
    for dir in [POOL, "/a", "/b", "/scratch"] {
        fake.create_dir(Path::new(dir)).unwrap();
    }
    fake
}

fn open(host: impl Host, node: &str, boot: &str) -> LoopDriver {
    let pool = PoolConfig {
        name: "common".into(),
        dir: POOL.into(),
        shared: true,
        known_id: None,
        private: false,
        used: PoolUse::Wanted,
    };
    let node = Node { name: node.into(), boot: boot.into() };
    let host: Arc<dyn Host> = Arc::new(host);
    LoopDriver::open(&host, &[pool], "0123abcd", &node).unwrap()
}

fn request(number: u32, bytes: u64) -> Create {
    Create { name: name(number), bytes, deadline: Duration::from_secs(60), ..Create::default() }
}

fn image() -> String {
    format!("{POOL}/{}.img", name(1))
}

thread_local! {
    static MACHINE: std::cell::RefCell<Fake> = std::cell::RefCell::new(Fake::default());
}

fn write(_: &Stand, path: &Path, data: &[u8]) -> io::Result<()> {
    MACHINE.with_borrow(|fake| fake.write(path, data)).map_err(io::Error::other)
}

fn read(_: &Stand, path: &Path) -> io::Result<Vec<u8>> {
    match MACHINE.with_borrow(|fake| fake.read(path)) {
        Some(Content::Data(data)) => Ok(data),
        other => Err(io::Error::other(format!("{other:?}"))),
    }
}

#[tokio::test]
async fn conformance_of_a_shared_pool() {
    conformance::check(|_| {
        let fake = site();
        MACHINE.set(fake.clone());
        let driver = Arc::new(open(fake.clone(), "a", "a1"));
        Stand { driver, host: Arc::new(fake), scratch: "/scratch".into(), bytes: 64 << 20, write, read }
    })
    .await;
}

#[tokio::test]
async fn a_volume_says_where_it_is_and_which_nodes_it_reaches() {
    let fake = site();
    let driver = open(fake.clone(), "a", "a1");
    let volume = driver.create(request(1, 64 << 20)).await.unwrap();
    assert_eq!(volume.handle, format!("common/{}", name(1)));
    let topology = driver.topology();
    let (key, value) = topology.first_key_value().unwrap();
    assert_eq!(key, "topology.orlop.dev/pool-common");
    assert_eq!(volume.reach, Reach::Topology { key: key.clone(), value: value.clone() });
    assert_eq!(open(fake.neighbour(), "b", "b1").topology(), topology, "the same directory is the same pool");
    for elsewhere in [name(1), format!("other/{}", name(1))] {
        let error = driver.attach(VolumeRef { handle: elsewhere, ..reference(&volume) }).await.unwrap_err();
        assert_eq!(error.code, Code::InvalidArgument);
        assert!(error.message.contains("which this node does not have; it has common"), "{error}");
    }
}

#[tokio::test]
async fn a_volume_for_several_nodes_at_once_is_refused() {
    let driver = open(site(), "a", "a1");
    let mut asked = request(1, 64 << 20);
    asked.claim.access_modes = vec!["ReadWriteOnce".into(), "ReadWriteMany".into()];
    let error = driver.create(asked).await.unwrap_err();
    assert_eq!(error.code, Code::InvalidArgument);
    assert!(
        error.message.contains("access mode ReadWriteMany") && error.message.contains("class nfs"),
        "{error}"
    );
}

#[tokio::test]
async fn two_nodes_never_promise_more_than_there_is() {
    let fake = site();
    let nodes = [open(fake.clone(), "a", "a1"), open(fake.neighbour(), "b", "b1")];
    // 20 GiB: three of 6 GiB fit, whoever makes them.
    let made = (1..=8u32).map(|number| {
        let driver = nodes[number as usize % 2].clone();
        tokio::spawn(async move { driver.create(request(number, 6 << 30)).await })
    });
    let mut fit = 0;
    for outcome in futures::future::join_all(made).await {
        match outcome.unwrap() {
            Ok(_) => fit += 1,
            Err(error) => {
                assert_eq!(error.code, Code::ResourceExhausted, "{error}");
                assert!(error.message.contains("are promised to"), "the arithmetic is shown: {error}");
            }
        }
    }
    assert_eq!(fit, 3);
    for driver in &nodes {
        assert_eq!(driver.capacity().await.unwrap().promised, 18 << 30);
        assert_eq!(driver.list().await.unwrap().len(), 3);
    }
}

/// A promise is seen by the other node while the file is still being made, and goes with a maker that dies.
#[tokio::test]
async fn what_is_being_made_counts_and_what_a_dead_maker_left_does_not() {
    let fake = site();
    let other = open(fake.neighbour(), "b", "b1");
    let making = format!("{POOL}/{}.making", name(1));
    fake.create_sparse(Path::new(&making), 15 << 30).unwrap();
    let maker = fake.lock(Path::new(&making)).unwrap().expect("nobody else has it");
    assert_eq!(other.create(request(2, 6 << 30)).await.unwrap_err().code, Code::ResourceExhausted);
    let again = other.create(request(1, 15 << 30)).await.unwrap_err();
    assert!(again.code == Code::Aborted && again.message.contains("another node is making it"), "{again}");
    drop(maker);
    other.create(request(2, 6 << 30)).await.unwrap();
    assert_eq!(fake.file(Path::new(&making)).unwrap(), None);
}

/// Between a list of the files and a look at each, none changes its name: it would be counted under neither.
#[tokio::test]
async fn what_is_made_gets_its_name_in_the_pools_turn() {
    let fake = site();
    // Two locks to open the pool, its turn and the file's for the promise; then the turn again, which is not to be had.
    let dying = Arc::new(Faulty::new(fake.clone(), "lock: 4*off, error(EIO)".parse().unwrap()));
    let driver = open_dying(&dying, "a").unwrap();
    let error = driver.create(request(1, 64 << 20)).await.unwrap_err();
    assert!(error.message.contains("lock /common/.lock"), "{error}");
    let effects = dying.effects();
    assert!(effects.contains(&"make_filesystem") && !effects.contains(&"rename"), "{effects:?}");
    let left = |name: &String| name.ends_with(".img") || name.ends_with(".making");
    assert!(!fake.list_dir(Path::new(POOL)).unwrap().iter().any(left), "nothing half made");
}

/// A node's way with the volume: its own staging place, so that two at once would be seen.
struct Visit<'a> {
    driver: &'a LoopDriver,
    place: &'a str,
}

impl Visit<'_> {
    async fn up(&self, volume: &Volume) -> Result<(), Error> {
        let device = self.driver.attach(reference(volume)).await?;
        let stage = Stage {
            volume: reference(volume),
            device,
            target: self.place.into(),
            fs_type: None,
            mount_options: vec![],
        };
        self.driver.stage(stage).await
    }

    async fn down(&self, volume: &Volume) -> Result<(), Error> {
        self.driver.unstage(reference(volume), self.place.into()).await?;
        self.driver.detach(reference(volume)).await
    }
}

fn count(fake: &Fake, place: &str) -> Option<u64> {
    match fake.read(&Path::new(place).join("count")) {
        Some(Content::Data(data)) => String::from_utf8(data).ok()?.parse().ok(),
        _ => None,
    }
}

#[tokio::test]
async fn what_one_node_has_another_does_not_get() {
    let fake = site();
    let there = fake.neighbour();
    let (a, b) = (open(fake.clone(), "a", "a1"), open(there.clone(), "b", "b1"));
    let volume = a.create(request(1, 64 << 20)).await.unwrap();
    a.attach(reference(&volume)).await.unwrap();
    let error = b.attach(reference(&volume)).await.unwrap_err();
    assert_eq!(error.code, Code::FailedPrecondition);
    assert!(
        error.message.contains("node \"a\" has it attached") && error.message.contains("out-of-service"),
        "{error}"
    );
    let error = b.delete(reference(&volume)).await.unwrap_err();
    assert!(error.message.contains("node \"a\" has it attached"), "{error}");
    b.detach(reference(&volume)).await.unwrap();
    assert_eq!(fake.devices_of(Path::new(&image())), 1, "what is another's stays");
    a.detach(reference(&volume)).await.unwrap();
    b.attach(reference(&volume)).await.unwrap();
    assert_eq!(fake.devices_of(Path::new(&image())), 1);
}

/// Two nodes on one machine see each other's devices, and keep their hands off.
#[tokio::test]
async fn on_one_machine_devices_are_not_taken_for_ones_own() {
    let fake = site();
    let (a, b) = (open(fake.clone(), "a", "m1"), open(fake.clone(), "b", "m1"));
    let volume = a.create(request(1, 64 << 20)).await.unwrap();
    Visit { driver: &a, place: "/a" }.up(&volume).await.unwrap();
    assert!(Visit { driver: &b, place: "/b" }.up(&volume).await.unwrap_err().message.contains("node \"a\""));
    let stage = Stage {
        volume: reference(&volume),
        device: None,
        target: "/b".into(),
        fs_type: None,
        mount_options: vec![],
    };
    assert!(
        b.stage(stage).await.unwrap_err().message.contains("node \"a\""),
        "not by leaving out the attaching"
    );
    Visit { driver: &b, place: "/b" }.down(&volume).await.unwrap();
    assert_eq!((fake.loops().unwrap().len(), fake.mounts().unwrap().len()), (1, 2));
    // What is mounted on this very machine is in use, whoever says that its node is gone.
    let error = b.fence(reference(&volume), "a".into()).await.unwrap_err();
    assert!(error.message.contains("in use on this very machine"), "{error}");
    Visit { driver: &a, place: "/a" }.down(&volume).await.unwrap();
    Visit { driver: &b, place: "/b" }.up(&volume).await.unwrap();
}

#[tokio::test]
async fn a_dead_owner_can_be_resolved() {
    let fake = site();
    let there = fake.neighbour();
    let (a, b) = (open(fake.clone(), "a", "a1"), open(there.clone(), "b", "b1"));
    let volume = a.create(request(1, 64 << 20)).await.unwrap();
    let owner = || b.holder(reference(&volume));
    a.attach(reference(&volume)).await.unwrap();
    assert_eq!(owner().await.unwrap().as_deref(), Some("a"));
    // The same node after a reboot: nothing is attached any more, and its agent says so by starting.
    fake.reboot();
    let again = open(fake.clone(), "a", "a2");
    assert_eq!(owner().await.unwrap(), None);
    again.attach(reference(&volume)).await.unwrap();
    // Its agent dies and comes back: what is attached stays attached.
    let again = open(fake.clone(), "a", "a2");
    assert_eq!(owner().await.unwrap().as_deref(), Some("a"));
    again.attach(reference(&volume)).await.unwrap();
    // It never comes back, and somebody says so.
    b.fence(reference(&volume), "somebody else".into()).await.unwrap();
    assert_eq!(owner().await.unwrap().as_deref(), Some("a"), "not of that one");
    b.fence(reference(&volume), "a".into()).await.unwrap();
    b.attach(reference(&volume)).await.unwrap();
    // It was wrong: the node lets go of what it had, and leaves the new owner's alone.
    again.detach(reference(&volume)).await.unwrap();
    assert_eq!((fake.loops().unwrap().len(), there.loops().unwrap().len()), (0, 1));
    assert!(again.attach(reference(&volume)).await.unwrap_err().message.contains("node \"b\""));
}

/// A node was called off and was not: what it still has mounted is shown to no new pod of its own.
#[tokio::test]
async fn what_went_to_another_is_shown_to_no_new_pod() {
    let fake = site();
    fake.create_dir(Path::new("/pod")).unwrap();
    let there = fake.neighbour();
    let (a, b) = (open(fake.clone(), "a", "a1"), open(there, "b", "b1"));
    let volume = a.create(request(1, 64 << 20)).await.unwrap();
    let here = Visit { driver: &a, place: "/a" };
    here.up(&volume).await.unwrap();
    let show = || {
        let (volume, staged, target) = (reference(&volume), "/a".into(), "/pod".into());
        a.publish(Publish { volume, staged, target, read_only: false })
    };
    b.fence(reference(&volume), "a".into()).await.unwrap();
    assert!(show().await.unwrap_err().message.contains("not attached to this node"));
    let elsewhere = Visit { driver: &b, place: "/b" };
    elsewhere.up(&volume).await.unwrap();
    assert!(show().await.unwrap_err().message.contains("node \"b\" has it attached"));
    assert_eq!(fake.mounts().unwrap().iter().filter(|mount| mount.target == Path::new("/pod")).count(), 0);
    elsewhere.down(&volume).await.unwrap();
    here.down(&volume).await.unwrap();
    here.up(&volume).await.unwrap();
    show().await.unwrap();
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_nobodys_leave() {
    let fake = site();
    let a = open(fake.clone(), "a", "a1");
    let volume = a.create(request(1, 64 << 20)).await.unwrap();
    fake.write(Path::new(&format!("{POOL}/{}.owner", name(1))), b"???").unwrap();
    for outcome in [
        a.attach(reference(&volume)).await.map(drop),
        a.detach(reference(&volume)).await,
        a.delete(reference(&volume)).await,
    ] {
        let error = outcome.unwrap_err();
        assert!(error.code == Code::FailedPrecondition && error.message.contains("is damaged"), "{error}");
    }
    let foreign = fake.attach_loop(Path::new(&image()), false).unwrap();
    fake.remove_file(Path::new(&format!("{POOL}/{}.owner", name(1)))).unwrap();
    let error = a.attach(reference(&volume)).await.unwrap_err();
    assert!(error.message.contains(&foreign.device.display().to_string()), "{error}");
}

#[tokio::test]
async fn a_file_that_was_cut_is_not_attached() {
    let fake = site();
    let a = open(fake.clone(), "a", "a1");
    let volume = a.create(request(1, 64 << 20)).await.unwrap();
    fake.remove_file(Path::new(&image())).unwrap();
    fake.create_sparse(Path::new(&image()), 32 << 20).unwrap();
    let error = a.attach(reference(&volume)).await.unwrap_err();
    assert!(error.message.contains("was made with 67108864"), "{error}");
}

/// One move from a to b as the server leads it: b begins when a has said that it is done. Answers a's and b's effects.
async fn a_move(fake: &Fake, there: &Fake, plans: [Plan; 2], volume: &Volume) -> [Vec<&'static str>; 2] {
    let (from, to) = (
        Arc::new(Faulty::new(fake.clone(), plans[0].clone())),
        Arc::new(Faulty::new(there.clone(), plans[1].clone())),
    );
    let a = open_dying(&from, "a");
    if let Some(a) = &a
        && (Visit { driver: a, place: "/a" }).down(volume).await.is_ok()
        && let Some(b) = open_dying(&to, "b")
    {
        let _ = Visit { driver: &b, place: "/b" }.up(volume).await;
    }
    [from.effects(), to.effects()]
}

fn open_dying(host: &Arc<Faulty<Fake>>, node: &str) -> Option<LoopDriver> {
    let pool = PoolConfig {
        name: "common".into(),
        dir: POOL.into(),
        shared: true,
        known_id: None,
        private: false,
        used: PoolUse::Wanted,
    };
    let node = Node { name: node.into(), boot: format!("{node}1") };
    let host: Arc<dyn Host> = host.clone();
    LoopDriver::open(&host, &[pool], "0123abcd", &node).ok()
}

/// A volume that a has up, with a first count in it.
async fn begun(fake: &Fake) -> Volume {
    let a = open(fake.clone(), "a", "a1");
    let volume = a.create(request(1, 64 << 20)).await.unwrap();
    Visit { driver: &a, place: "/a" }.up(&volume).await.unwrap();
    fake.write(Path::new("/a/count"), b"1").unwrap();
    volume
}

/// Dies at every effect of a move, on either side, with and without a power cut: at no time are there two devices, the
/// count is kept, and the nodes that come back finish the move.
#[tokio::test]
async fn a_move_may_die_anywhere() {
    let (fake, there) = {
        let fake = site();
        let there = fake.neighbour();
        (fake, there)
    };
    let volume = begun(&fake).await;
    let effects = a_move(&fake, &there, [Plan::default(), Plan::default()], &volume).await;
    let seen: BTreeSet<&str> = effects.iter().flatten().copied().collect();
    for expected in
        ["unmount", "detach_loop", "drop_cache", "remove_file", "create_file", "attach_loop", "mount"]
    {
        assert!(seen.contains(expected), "the move has {expected}: {effects:?}");
    }
    let mut cases = 0;
    for side in 0..2 {
        for number in 1..=effects[side].len() {
            for plan in [Plan::crash_before(number), Plan::crash_after(number)] {
                for power_cut in [false, true] {
                    let mut plans = [Plan::default(), Plan::default()];
                    plans[side] = plan.clone();
                    die_in_a_move(
                        plans,
                        power_cut,
                        &format!("{side} {} {power_cut}", effects[side][number - 1]),
                    )
                    .await;
                    cases += 1;
                }
            }
        }
    }
    assert!(cases >= 24, "{cases} cases");
}

async fn die_in_a_move(plans: [Plan; 2], power_cut: bool, case: &str) {
    let fake = site();
    let there = fake.neighbour();
    let volume = begun(&fake).await;
    a_move(&fake, &there, plans, &volume).await;
    let devices = || fake.devices_of(Path::new(&image()));
    assert!(devices() <= 1, "{case}: {} devices", devices());
    let boot = if power_cut {
        fake.reboot();
        there.reboot();
        "2"
    } else {
        "1"
    };
    // b is told to attach before a is back: it does so if a has let go, and not otherwise.
    let b = open(there.clone(), "b", &format!("b{boot}"));
    let early = Visit { driver: &b, place: "/b" }.up(&volume).await;
    assert!(devices() <= 1, "{case}: {} devices after {early:?}", devices());
    let a = open(fake.clone(), "a", &format!("a{boot}"));
    if let Err(error) = early {
        assert!(error.message.contains("node \"a\" has it attached"), "{case}: {error}");
        Visit { driver: &a, place: "/a" }
            .down(&volume)
            .await
            .unwrap_or_else(|error| panic!("{case}: {error}"));
        Visit { driver: &b, place: "/b" }.up(&volume).await.unwrap_or_else(|error| panic!("{case}: {error}"));
    }
    assert_eq!(count(&there, "/b"), Some(1), "{case}: what was written is there");
    assert_eq!((devices(), fake.loops().unwrap().len()), (1, 0), "{case}");
    assert!(a.attach(reference(&volume)).await.is_err(), "{case}: and the move is over");
    Visit { driver: &b, place: "/b" }.down(&volume).await.unwrap_or_else(|error| panic!("{case}: {error}"));
    b.delete(reference(&volume)).await.unwrap_or_else(|error| panic!("{case}: {error}"));
    let left: Vec<String> =
        fake.list_dir(Path::new(POOL)).unwrap().into_iter().filter(|name| !name.starts_with('.')).collect();
    assert_eq!(left, Vec::<String>::new(), "{case}");
    assert_eq!(fake.overwritten(), 0, "{case}");
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 64, ..Default::default() })]

    /// Whatever two nodes and an ill-informed server do in whatever order: never two devices.
    #[test]
    fn never_two_devices(steps in proptest::collection::vec((0usize..2, 0usize..5), 1..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let fake = site();
            let hosts = [fake.clone(), fake.neighbour()];
            let mut boots = [1, 1];
            let driver = |node: usize, boot: i32| open(hosts[node].clone(), ["a", "b"][node], &format!("{node}-{boot}"));
            let volume = driver(0, 1).create(request(1, 64 << 20)).await.unwrap();
            let places = ["/a", "/b"];
            for (node, step) in steps {
                if step == 4 {
                    hosts[node].reboot();
                    boots[node] += 1;
                }
                let driver = driver(node, boots[node]);
                let visit = Visit { driver: &driver, place: places[node] };
                let _ = match step {
                    0 => visit.up(&volume).await,
                    1 => visit.down(&volume).await,
                    2 => driver.detach(reference(&volume)).await,
                    3 => driver.attach(reference(&volume)).await.map(drop),
                    _ => Ok(()),
                };
                assert!(fake.devices_of(Path::new(&image())) <= 1);
            }
        });
    }
}
