//! Containers of busybox on the real kernel: conmon, runc, namespaces, cgroups. All need root.

use std::os::unix::fs::symlink;

use serde_json::json;

use super::*;

mod deaths;

const LONG: Duration = Duration::from_secs(60);

/// An instance with its own run directory and a root file system; everything is taken down when dropped.
struct Bench {
    dir: tempfile::TempDir,
    runtime: LinuxRuntime,
}

impl Bench {
    /// `None`, said loudly, where the tests cannot run.
    fn new(test: &str) -> Option<Self> {
        let busybox = Path::new("/bin/busybox");
        let reason = if !rustix::process::geteuid().is_root() {
            Some("not root".to_owned())
        } else if !busybox.exists() {
            Some("no /bin/busybox (package busybox-static)".to_owned())
        } else {
            conmon::find("conmon", "conmon")
                .and(conmon::find("runc", "runc"))
                .err()
                .map(|e| e.source.to_string())
        };
        if let Some(reason) = reason {
            let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("SKIPPED {test}: {reason}\n"));
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("rootfs/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::copy(busybox, bin.join("busybox")).unwrap();
        for applet in ["sh", "sleep", "ls", "cat", "hostname", "ifconfig"] {
            symlink("busybox", bin.join(applet)).unwrap();
        }
        let runtime = LinuxRuntime::new(Self::config(dir.path())).unwrap();
        Some(Self { dir, runtime })
    }

    fn config(dir: &Path) -> RuntimeConfig {
        let instance = dir.file_name().unwrap().to_string_lossy().trim_start_matches(".tmp").to_owned();
        RuntimeConfig { run_dir: dir.join("run"), instance }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn request(&self, id: &str, script: &str, namespaces: &serde_json::Value) -> ContainerRequest {
        let bundle = self.path(id);
        fs::create_dir_all(&bundle).unwrap();
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {"user": {"uid": 0, "gid": 0}, "cwd": "/", "args": ["/bin/sh", "-c", script],
                        "env": ["PATH=/bin"]},
            "root": {"path": self.path("rootfs")},
            // Each has a /dev of its own: runc makes links in it, and several share the root.
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                       {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}],
            "linux": {
                "cgroupsPath": format!("/orlop-{}/pod-x/{id}", self.runtime.config.instance),
                "namespaces": namespaces,
                "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            },
        });
        fs::write(bundle.join("config.json"), config.to_string()).unwrap();
        ContainerRequest { id: id.into(), bundle, log: self.path("logs").join(id) }
    }

    fn create(&self, id: &str, script: &str) {
        let own = json!([{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}]);
        self.runtime.create(&self.request(id, script, &own)).unwrap();
    }

    fn run(&self, id: &str, script: &str) -> String {
        self.create(id, script);
        self.runtime.start(id).unwrap();
        self.until(id, |c| matches!(c.status, ContainerStatus::Exited { .. }));
        fs::read_to_string(self.path("logs").join(id)).unwrap()
    }

    fn find(&self, id: &str) -> Option<Container> {
        self.runtime.containers().unwrap().into_iter().find(|c| c.id == id)
    }

    fn until(&self, id: &str, reached: impl Fn(&Container) -> bool) -> Container {
        let begun = Instant::now();
        loop {
            let found = self.find(id).unwrap_or_else(|| panic!("{id} is not listed"));
            if reached(&found) {
                return found;
            }
            assert!(begun.elapsed() < LONG, "{found:?}");
            self.runtime.wait_for_exit(Duration::from_millis(20)).unwrap();
        }
    }

    fn log_has(&self, id: &str, text: &str) {
        let begun = Instant::now();
        while !fs::read_to_string(self.path("logs").join(id)).unwrap().contains(text) {
            assert!(begun.elapsed() < LONG);
            self.runtime.wait_for_exit(Duration::from_millis(20)).unwrap();
        }
    }

    fn cgroups(&self) -> Vec<PathBuf> {
        let name = format!("orlop-{}", self.runtime.config.instance);
        let roots = fs::read_dir("/sys/fs/cgroup").unwrap().map(|e| e.unwrap().path());
        let all = std::iter::once(PathBuf::from("/sys/fs/cgroup")).chain(roots);
        all.map(|root| root.join(&name)).filter(|path| path.exists()).collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for container in self.runtime.containers().unwrap_or_default() {
            let _ = self.runtime.delete(&container.id);
        }
        let _ = self.runtime.unpin_namespaces(&self.path("ns"));
    }
}

#[test]
fn root_a_container_lives_and_leaves_nothing() {
    let Some(bench) = Bench::new("root_a_container_lives_and_leaves_nothing") else { return };
    bench.create("c1", "echo out; echo err >&2; exit 7");
    let created = bench.find("c1").unwrap();
    assert_eq!(created.status, ContainerStatus::Created);
    assert_eq!(fs::read_to_string(bench.path("c1/pid")).unwrap(), created.process.unwrap().pid.to_string());
    let strays = names(&bench.path("c1")).unwrap().into_iter().chain(names(Path::new("/")).unwrap());
    assert_eq!(strays.filter(|name| name == "oom" || name.starts_with("pidfile-c1")).count(), 0);
    bench.runtime.start("c1").unwrap();
    let ended = bench.until("c1", |c| matches!(c.status, ContainerStatus::Exited { .. }));
    assert!(
        matches!(ended.status, ContainerStatus::Exited { code: Some(7), at: Some(at) } if at > 1_600_000_000)
    );
    let log = fs::read_to_string(bench.path("logs/c1")).unwrap();
    let mut lines: Vec<&str> = log.lines().map(|l| l.split_once(' ').unwrap().1).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["stderr F err", "stdout F out"]);

    bench.runtime.delete("c1").unwrap();
    assert_eq!(bench.find("c1").unwrap().status, ended.status, "the exit stays on record");
    bench.runtime.delete("c1").unwrap();
    bench.runtime.forget_exit("c1").unwrap();
    assert_eq!(bench.find("c1"), None);
    assert_eq!(bench.cgroups(), Vec::<PathBuf>::new());
    assert_eq!(names(&bench.path("run/monitors")).unwrap(), Vec::<String>::new());
}

#[test]
fn root_what_is_damaged_of_one_container_is_no_matter_to_others() {
    let Some(bench) = Bench::new("root_what_is_damaged_of_one_container_is_no_matter_to_others") else {
        return;
    };
    // No file can be read where a directory is.
    let state = bench.runtime.dir("runc").join("u_c_1/state.json");
    fs::create_dir_all(&state).unwrap();
    bench.runtime.containers().unwrap_err();
    bench.runtime.containers_of("u_c_").unwrap_err();
    assert_eq!(bench.runtime.containers_of("v_c_").unwrap(), []);
    fs::remove_dir(&state).unwrap();
    fs::remove_dir(state.parent().unwrap()).unwrap();
}

#[test]
fn root_a_running_container_is_adopted_with_pid_and_start_time() {
    let Some(bench) = Bench::new("root_a_running_container_is_adopted_with_pid_and_start_time") else {
        return;
    };
    bench.create("c1", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done");
    bench.runtime.start("c1").unwrap();
    bench.runtime.start("c1").unwrap();
    let before = bench.find("c1").unwrap();
    assert_eq!(before.status, ContainerStatus::Running);
    let process = before.process.unwrap();
    let other = LinuxRuntime::new(Bench::config(bench.dir.path())).unwrap();
    assert_eq!(other.containers().unwrap(), [before]);
    assert!(process::lives(process));

    // Another instance on the same machine sees none of it.
    let stranger = tempfile::tempdir().unwrap();
    let stranger = LinuxRuntime::new(Bench::config(stranger.path())).unwrap();
    assert_eq!(stranger.containers().unwrap(), []);
    stranger.signal("c1", 9).unwrap();
    stranger.delete("c1").unwrap();
    assert!(process::lives(process));

    bench.log_has("c1", "ready");
    other.signal("c1", 15).unwrap();
    let ended = bench.until("c1", |c| matches!(c.status, ContainerStatus::Exited { .. }));
    assert!(matches!(ended.status, ContainerStatus::Exited { code: Some(3), .. }), "{ended:?}");
    other.signal("c1", 15).unwrap();
}

#[test]
fn root_monitors_have_a_session_and_a_cgroup_of_their_own() {
    let Some(bench) = Bench::new("root_monitors_have_a_session_and_a_cgroup_of_their_own") else { return };
    bench.create("c1", "sleep 1000");
    let pid: u32 = fs::read_to_string(bench.path("run/monitors/c1")).unwrap().trim().parse().unwrap();
    assert_ne!(session(pid), session(std::process::id()));
    let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(cgroup.contains(&format!("/orlop-{}/monitors", bench.runtime.config.instance)), "{cgroup}");
}

/// The session of a process as `/proc` tells it: 0 where its leader is outside of our pid namespace, which getsid(2)
/// answers as well and rustix takes for impossible.
fn session(pid: u32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    after_name.split_whitespace().nth(3).unwrap().parse().unwrap()
}

#[test]
fn root_delete_kills_what_runs_and_what_is_only_created() {
    let Some(bench) = Bench::new("root_delete_kills_what_runs_and_what_is_only_created") else { return };
    bench.create("c1", "sleep 1000 & sleep 1000");
    bench.runtime.start("c1").unwrap();
    bench.create("c2", "sleep 1000");
    let (one, two) = (bench.find("c1").unwrap().process.unwrap(), bench.find("c2").unwrap().process.unwrap());
    bench.runtime.delete("c1").unwrap();
    bench.runtime.delete("c2").unwrap();
    assert!(!process::lives(one) && !process::lives(two));
    assert!(matches!(bench.find("c1").unwrap().status, ContainerStatus::Exited { code: Some(137), .. }));
    assert_eq!(bench.cgroups(), Vec::<PathBuf>::new());
}

#[test]
fn root_a_container_whose_monitor_was_killed_is_found_and_deleted() {
    let Some(bench) = Bench::new("root_a_container_whose_monitor_was_killed_is_found_and_deleted") else {
        return;
    };
    bench.create("c1", "sleep 1000");
    bench.runtime.start("c1").unwrap();
    let monitor = state::monitor(&bench.path("run/monitors"), "c1").unwrap().unwrap();
    monitor.kill().unwrap();
    assert!(monitor.wait(LONG).unwrap());
    assert_eq!(bench.find("c1").unwrap().status, ContainerStatus::Running);
    bench.runtime.signal("c1", 9).unwrap();
    let ended = bench.until("c1", |c| matches!(c.status, ContainerStatus::Exited { .. }));
    assert_eq!(ended.status, ContainerStatus::Exited { code: None, at: None });
    bench.runtime.delete("c1").unwrap();
    assert_eq!(bench.find("c1"), None);
}

#[test]
fn root_creating_says_what_runc_said() {
    let Some(bench) = Bench::new("root_creating_says_what_runc_said") else { return };
    let mut request = bench.request("c1", "true", &json!([{"type": "mount"}]));
    let config = fs::read_to_string(request.bundle.join("config.json")).unwrap();
    fs::write(request.bundle.join("config.json"), config.replace("rootfs\"", "nowhere\"")).unwrap();
    let error = bench.runtime.create(&request).unwrap_err();
    assert!(error.source.to_string().contains("nowhere: no such file or directory"), "{}", error.source);
    assert_eq!(bench.find("c1"), None);
    assert_eq!(bench.cgroups(), Vec::<PathBuf>::new());

    // A program that is not there is runc's to say, when it creates.
    request = bench.request("c2", "true", &json!([{"type": "mount"}]));
    let config = fs::read_to_string(request.bundle.join("config.json")).unwrap();
    fs::write(request.bundle.join("config.json"), config.replace("/bin/sh", "/bin/nope")).unwrap();
    let error = bench.runtime.create(&request).unwrap_err().source.to_string();
    assert!(error.contains("/bin/nope"), "{error}");
    bench.runtime.create(&bench.request("c2", "true", &json!([{"type": "pid"}, {"type": "mount"}]))).unwrap();
    let first = bench.find("c2").unwrap();
    let again = bench.request("c2", "true", &json!([{"type": "mount"}]));
    bench.runtime.create(&again).unwrap();
    assert_eq!(bench.find("c2").unwrap(), first, "the first one is untouched");
    bench.runtime.start("c2").unwrap();
    assert!(matches!(bench.runtime.create(&again).unwrap_err().source, Cause::Refused(_)));
    request.id = "../up".into();
    assert!(matches!(bench.runtime.create(&request).unwrap_err().source, Cause::Refused(_)));
}

#[test]
fn root_a_container_gets_no_descriptor_of_ours() {
    let Some(bench) = Bench::new("root_a_container_gets_no_descriptor_of_ours") else { return };
    let leaky = fs::File::open(bench.dir.path()).unwrap();
    rustix::io::fcntl_setfd(&leaky, rustix::io::FdFlags::empty()).unwrap();
    let log = bench.run("c1", "exec ls /proc/self/fd");
    let listed: Vec<&str> = log.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    // The last is the directory that `ls` itself reads.
    assert_eq!(listed, ["0", "1", "2", "3"]);
}

#[test]
fn root_pinned_namespaces_are_shared_and_have_a_loopback() {
    let Some(bench) = Bench::new("root_pinned_namespaces_are_shared_and_have_a_loopback") else { return };
    let ns = bench.path("ns");
    let all = [Namespace::Net, Namespace::Ipc, Namespace::Uts];
    bench.runtime.pin_namespaces(&ns, &all, "web-0").unwrap();
    let net = fs::metadata(ns.join("net")).unwrap();
    bench.runtime.pin_namespaces(&ns, &all, "web-0").unwrap();
    let again = fs::metadata(ns.join("net")).unwrap();
    let id = std::os::unix::fs::MetadataExt::ino;
    assert_eq!(id(&net), id(&again), "pinning again makes nothing new");

    let pinned = |kind: &str, file: &str| json!({"type": kind, "path": ns.join(file)});
    let joined = json!([{"type": "pid"}, {"type": "mount"}, pinned("network", "net"), pinned("ipc", "ipc"),
                        pinned("uts", "uts")]);
    let script = "hostname; ifconfig lo; ls -l /proc/self/ns/net";
    bench.runtime.create(&bench.request("c1", script, &joined)).unwrap();
    bench.runtime.start("c1").unwrap();
    bench.until("c1", |c| matches!(c.status, ContainerStatus::Exited { .. }));
    let log = fs::read_to_string(bench.path("logs/c1")).unwrap();
    for expected in ["F web-0\n", "addr:127.0.0.1", &format!("net:[{}]", id(&net))] {
        assert!(log.contains(expected), "{expected} in {log}");
    }
    bench.runtime.unpin_namespaces(&ns).unwrap();
    bench.runtime.unpin_namespaces(&ns).unwrap();
    assert!(!ns.exists());
}

#[test]
fn root_two_containers_are_created_at_once() {
    let Some(bench) = Bench::new("root_two_containers_are_created_at_once") else { return };
    std::thread::scope(|scope| {
        for id in ["a", "b", "c", "d"] {
            let bench = &bench;
            scope.spawn(move || {
                bench.create(id, "exit 0");
                bench.runtime.start(id).unwrap();
            });
        }
    });
    for id in ["a", "b", "c", "d"] {
        let ended = bench.until(id, |c| matches!(c.status, ContainerStatus::Exited { .. }));
        assert!(matches!(ended.status, ContainerStatus::Exited { code: Some(0), .. }), "{ended:?}");
        bench.runtime.delete(id).unwrap();
    }
    assert_eq!(bench.cgroups(), Vec::<PathBuf>::new());
}
