//! What is left when a creator dies: a conmon that goes on by itself, wherever it had got to, or half a container.

use std::os::unix::fs::PermissionsExt;

use super::*;

const CREATING: Option<ContainerStatus> = Some(ContainerStatus::Creating);

impl Bench {
    /// A conmon whose creator is dead, and whose runc first does this.
    fn abandon(&self, id: &str, script: &str, first: &str) -> ContainerRequest {
        let request = self.request(id, script, &json!([{"type": "pid"}, {"type": "mount"}]));
        let _ = fs::create_dir(self.path("logs"));
        let (slow, runc) = (self.path(&format!("runc-of-{id}")), conmon::find("runc", "runc").unwrap());
        let text = format!("#!/bin/sh\n{first}\nexec {} \"$@\"\n", runc.display());
        fs::write(&slow, text).unwrap();
        fs::set_permissions(&slow, fs::Permissions::from_mode(0o755)).unwrap();
        conmon::abandon(&self.runtime.config, &request, &slow);
        request
    }

    fn status(&self, id: &str) -> Option<ContainerStatus> {
        self.find(id).map(|container| container.status)
    }

    fn is_locked(&self, id: &str) -> bool {
        making::is_locked(&self.runtime.config, id).unwrap()
    }

    /// A command that waits until `let_go` is called, or the directory is gone.
    fn held(&self, id: &str) -> String {
        let (dir, go) = (self.dir.path().display(), self.path(&format!("go-{id}")));
        format!("while [ -e {dir} ] && [ ! -e {} ]; do sleep 0.02; done", go.display())
    }

    fn let_go(&self, id: &str) {
        fs::write(self.path(&format!("go-{id}")), "").unwrap();
    }
}

#[test]
fn root_a_container_is_created_though_its_creator_died() {
    let Some(bench) = Bench::new("root_a_container_is_created_though_its_creator_died") else { return };
    let held = bench.held("c1");
    let request = bench.abandon("c1", "exit 4", &held);
    assert!(bench.is_locked("c1"));
    assert_eq!(bench.status("c1"), CREATING, "there is nothing of it but who makes it");
    std::thread::scope(|scope| {
        let created = scope.spawn(|| bench.runtime.create(&request));
        // The cgroup that it is about to be given is nobody's to sweep.
        bench.runtime.sweep();
        bench.let_go("c1");
        created.join().unwrap().unwrap();
    });
    let created = bench.find("c1").unwrap();
    assert_eq!(created.status, ContainerStatus::Created);
    bench.runtime.create(&request).unwrap();
    assert_eq!(bench.find("c1").unwrap(), created, "it was not made again");

    bench.runtime.start("c1").unwrap();
    let ended = bench.until("c1", |c| matches!(c.status, ContainerStatus::Exited { .. }));
    assert!(matches!(ended.status, ContainerStatus::Exited { code: Some(4), .. }), "{ended:?}");
    bench.runtime.delete("c1").unwrap();
    assert_eq!(names(&bench.path("run/monitors")).unwrap(), Vec::<String>::new());
}

#[test]
fn root_a_monitor_whose_creator_died_gets_into_its_group() {
    let Some(bench) = Bench::new("root_a_monitor_whose_creator_died_gets_into_its_group") else { return };
    let request = bench.abandon("c1", "sleep 1000", "");
    bench.runtime.create(&request).unwrap();
    let pid: u32 = fs::read_to_string(bench.path("run/monitors/c1")).unwrap().trim().parse().unwrap();
    let group = || fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let own = format!("/orlop-{}/monitors", bench.runtime.config.instance);
    assert!(!group().contains(&own));
    bench.runtime.start("c1").unwrap();
    assert!(group().contains(&own), "{}", group());
    assert_eq!(bench.status("c1"), Some(ContainerStatus::Running));
}

/// Nobody makes it any more: it never was started, whatever is there of it.
#[test]
fn root_a_half_made_container_is_listed_and_made_or_deleted() {
    let Some(bench) = Bench::new("root_a_half_made_container_is_listed_and_made_or_deleted") else { return };
    for id in ["c1", "c2"] {
        fs::create_dir(bench.path("run/runc").join(id)).unwrap();
        fs::write(bench.path("run/runc").join(id).join("exec.fifo"), "").unwrap();
        assert_eq!(bench.status(id), CREATING);
    }
    bench.runtime.delete("c1").unwrap();
    assert_eq!(bench.find("c1"), None);
    bench.create("c2", "true");
    assert_eq!(bench.status("c2"), Some(ContainerStatus::Created));
}

#[test]
fn root_a_creation_that_nobody_wants_is_ended() {
    let Some(bench) = Bench::new("root_a_creation_that_nobody_wants_is_ended") else { return };
    // One that comes about while it is waited for.
    let held = bench.held("c1");
    bench.abandon("c1", "sleep 1000", &held);
    bench.let_go("c1");
    bench.runtime.delete("c1").unwrap();
    // One that never does.
    bench.abandon("c2", "sleep 1000", "while :; do sleep 1000; done");
    bench.runtime.delete("c2").unwrap();
    for id in ["c1", "c2"] {
        assert!(!bench.is_locked(id), "nobody is left who could make {id}");
        // The first has an exit on record when its process was there in time to be killed.
        assert!(matches!(bench.status(id), None | Some(ContainerStatus::Exited { .. })));
    }
    assert_eq!(names(&bench.path("run/monitors")).unwrap(), Vec::<String>::new());
    assert_eq!(bench.cgroups(), Vec::<PathBuf>::new());
}
