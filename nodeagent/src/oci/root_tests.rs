//! The whole way on the real kernel: archive → image → overlay → bundle → conmon and runc, and what the process then
//! finds itself in. The only tests that show runc accepts what this room writes.

use std::{fs, path::Path, path::PathBuf, time::Duration};

use orlop_backends::host::{
    ContainerRequest, ContainerStatus, Host, MountRequest, Namespace, Runtime,
    linux::{Linux, LinuxRuntime, RuntimeConfig},
};
use tar::EntryType;

use super::*;
use crate::images::{ImageStore, testing};

/// One pod's worth of machine; taken down when dropped.
struct Bench {
    dir: tempfile::TempDir,
    runtime: LinuxRuntime,
    store: ImageStore,
}

impl Bench {
    /// `None`, said loudly, where the tests cannot run.
    fn new(test: &str) -> Option<Self> {
        if !testing::is_root(test) {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let instance = dir.path().file_name().unwrap().to_string_lossy().replace(".tmp", "oci");
        let runtime = LinuxRuntime::new(RuntimeConfig { run_dir: dir.path().join("run"), instance }).unwrap();
        if let Err(e) = runtime.check_programs() {
            let _ = std::io::Write::write_fmt(
                &mut std::io::stderr(),
                format_args!("SKIPPED {test}: {}\n", e.source),
            );
            return None;
        }
        let Ok(busybox) = fs::read("/bin/busybox") else {
            let _ = std::io::Write::write_fmt(
                &mut std::io::stderr(),
                format_args!("SKIPPED {test}: no /bin/busybox (package busybox-static)\n"),
            );
            return None;
        };
        let store = ImageStore::open(&dir.path().join("images")).unwrap();
        let bench = Self { dir, runtime, store };
        bench.load(&busybox);
        let all = [Namespace::Net, Namespace::Ipc, Namespace::Uts];
        bench.runtime.pin_namespaces(&bench.path("ns"), &all, "pod-0").unwrap();
        Some(bench)
    }

    /// An image of two layers, the upper of which hides a file of the lower and leads a path out of the root.
    fn load(&self, busybox: &[u8]) {
        let mut lower = testing::Layer::new()
            .dir("bin", 0o755)
            .entry(EntryType::Regular, "bin/busybox", "", 0o755, busybox)
            .dir("etc", 0o755)
            .file("etc/passwd", "root:x:0:0:::\nbob:x:1000:100:::\n")
            .file("etc/group", "disk:x:6:bob\n")
            .file("etc/hidden", "must not be seen");
        for applet in
            ["sh", "cat", "ls", "sleep", "id", "grep", "mount", "mknod", "hostname", "unshare", "touch", "dd"]
        {
            lower = lower.symlink(&format!("bin/{applet}"), "busybox");
        }
        let escape = self.dir.path().join("outside");
        fs::create_dir(&escape).unwrap();
        let upper =
            testing::Layer::new().file("etc/.wh.hidden", "").symlink("data", escape.to_str().unwrap());
        let members = testing::saved(&["busybox"], &[lower.done(), upper.done()]);
        self.store.load(&testing::archive(self.dir.path(), &members)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn spec(&self, id: &str, script: &str) -> ContainerSpec {
        let image = self.store.find("busybox").unwrap().unwrap();
        let bundle = self.path(id);
        for part in ["rootfs", "upper", "work"] {
            fs::create_dir_all(bundle.join(part)).unwrap();
        }
        let (upper, work) = (bundle.join("upper"), bundle.join("work"));
        let target = bundle.join("rootfs");
        let overlay =
            MountRequest::Overlay { lower: image.layers.clone(), upper, work, target: target.clone() };
        Linux.mount(&overlay).unwrap();
        let args = vec!["/bin/sh".into(), "-c".into(), script.into()];
        ContainerSpec {
            id: id.into(),
            image: image.reference,
            rootfs: target,
            args,
            env: environment(&image.config, "pod-0", &[("GREETING".into(), "hello".into())]),
            namespaces: self.path("ns"),
            hostname: "pod-0".into(),
            cgroup: format!("/orlop-{}/pod-1/{id}", self.instance()),
            ..ContainerSpec::default()
        }
    }

    fn instance(&self) -> String {
        self.dir.path().file_name().unwrap().to_string_lossy().replace(".tmp", "oci")
    }

    /// Runs a container to its end; answers its exit code and what it printed.
    fn run(&self, spec: &ContainerSpec) -> (Option<i32>, String) {
        let bundle = self.path(&spec.id);
        write_bundle(&bundle, spec).unwrap();
        let log = bundle.join("log");
        let request = ContainerRequest { id: spec.id.clone(), bundle: bundle.clone(), log: log.clone() };
        self.runtime.create(&request).unwrap_or_else(|e| panic!("{e}: {}", e.source));
        self.runtime.start(&spec.id).unwrap();
        loop {
            let all = self.runtime.containers().unwrap();
            let found = all.iter().find(|c| c.id == spec.id).unwrap();
            if let ContainerStatus::Exited { code, .. } = found.status {
                let log = fs::read_to_string(log).unwrap();
                let lines = log.lines().map(|line| line.splitn(4, ' ').nth(3).unwrap());
                return (code, lines.collect::<Vec<_>>().join("\n"));
            }
            self.runtime.wait_for_exit(Duration::from_millis(20)).unwrap();
        }
    }

    fn says(&self, spec: &ContainerSpec) -> String {
        let (code, said) = self.run(spec);
        assert_eq!(code, Some(0), "{said}");
        said
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for container in self.runtime.containers().unwrap_or_default() {
            let _ = self.runtime.delete(&container.id);
        }
        let _ = self.runtime.unpin_namespaces(&self.path("ns"));
        let below: Vec<_> = Linux.mounts().unwrap_or_default();
        for mount in below.iter().rev().filter(|mount| mount.target.starts_with(self.dir.path())) {
            let _ = Linux.unmount(&mount.target);
        }
    }
}

fn bind(source: &Path, target: &str, read_only: bool) -> Mount {
    Mount { source: source.into(), target: target.into(), read_only, propagation: Propagation::Private }
}

#[test]
fn root_an_image_runs_with_its_layers_environment_and_host_name() {
    let Some(bench) = Bench::new("root_an_image_runs_with_its_layers_environment_and_host_name") else {
        return;
    };
    let script =
        "echo $GREETING $HOSTNAME $PATH; hostname; ls /etc; ls /proc/self/fd; cat /proc/1/comm; true";
    let said = bench.says(&bench.spec("c1", script));
    assert_eq!(said, "hello pod-0 /bin\npod-0\ngroup\npasswd\n0\n1\n2\n3\nsh");
}

#[test]
fn root_the_default_profile_is_in_force() {
    let Some(bench) = Bench::new("root_the_default_profile_is_in_force") else { return };
    let script = "grep -E '^(Cap|Seccomp:|NoNewPrivs)' /proc/self/status
        cat /proc/kcore /proc/keys /proc/timer_list /proc/interrupts 2>/dev/null | grep -c .
        ls /sys/firmware | grep -c .
        touch /proc/sys/kernel/domainname 2>&1 | grep -o 'Read-only file system'
        touch /sys/x 2>&1 | grep -o 'Read-only file system'
        mount -t tmpfs none /bin 2>&1 | grep -o 'denied\\|not permitted' 
        unshare -U true 2>&1 | grep -o 'not permitted'
        mknod /tmpdev b 7 0 && dd if=/tmpdev count=1 2>&1 | grep -o 'not permitted'
        dd if=/dev/zero of=/dev/null bs=1 count=1 2>/dev/null && echo usual devices work";
    let said = bench.says(&bench.spec("c1", script));
    let lines: Vec<&str> = said.lines().collect();
    // Inherited and ambient none; the fourteen by their bits; filter mode 2 (proc(5)).
    let set = "00000000a80425fb";
    let caps = ["CapInh:\t0000000000000000".to_owned(), format!("CapPrm:\t{set}"), format!("CapEff:\t{set}")];
    assert_eq!(&lines[..3], &caps, "{said}");
    assert_eq!(
        lines[3..6],
        [format!("CapBnd:\t{set}"), "CapAmb:\t0000000000000000".into(), "NoNewPrivs:\t0".into()]
    );
    assert_eq!(lines[6], "Seccomp:\t2");
    let ro = "Read-only file system";
    assert_eq!(
        lines[7..],
        ["0", "0", ro, ro, "denied", "not permitted", "not permitted", "usual devices work"],
        "{said}"
    );
}

#[test]
fn root_security_fields_are_honoured() {
    let Some(bench) = Bench::new("root_security_fields_are_honoured") else { return };
    let script = "id -u; id -g; id -G; grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp:)' /proc/self/status; touch /x 2>&1";
    let mut spec = bench.spec("c1", script);
    spec.user =
        UserRequest { image: "bob".into(), groups: vec![2000], non_root: true, ..UserRequest::default() };
    spec.security = Security {
        drop: vec!["ALL".into()],
        add: vec!["NET_BIND_SERVICE".into()],
        read_only_root: true,
        allow_privilege_escalation: false,
        seccomp: Seccomp::Unconfined,
        privileged: false,
    };
    let (code, said) = bench.run(&spec);
    assert_eq!(code, Some(1));
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..3], ["1000", "100", "100 6 2000"], "{said}");
    assert_eq!(
        lines[3..7],
        ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000400", "NoNewPrivs:\t1", "Seccomp:\t0"]
    );
    assert!(lines[7].ends_with("Read-only file system"), "{said}");
}

#[test]
fn root_volumes_are_mounted_inside_whatever_links_the_image_holds() {
    let Some(bench) = Bench::new("root_volumes_are_mounted_inside_whatever_links_the_image_holds") else {
        return;
    };
    let volume = bench.path("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("file"), "of the volume\n").unwrap();
    let mut spec =
        bench.spec("c1", "cat /data/deep/file; touch /data/deep/new 2>&1; touch /rw/new && ls /rw");
    spec.mounts = vec![bind(&volume, "/data/deep", true), bind(&volume, "/rw", false)];
    let said = bench.says(&spec);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "of the volume");
    assert!(lines[1].ends_with("Read-only file system"), "{said}");
    assert_eq!(lines[2..], ["file", "new"]);
    // `/data` of the image is a link to this directory of the host: it must have been resolved inside the root.
    assert_eq!(fs::read_dir(bench.path("outside")).unwrap().count(), 0);
}

#[test]
fn root_limits_and_scores_reach_the_kernel() {
    let Some(bench) = Bench::new("root_limits_and_scores_reach_the_kernel") else { return };
    let script = "cat /proc/self/oom_score_adj; cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max \
                  /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; true";
    let mut spec = bench.spec("c1", script);
    spec.resources =
        Resources { memory: Some(64 << 20), cpu_shares: Some(2), cpu_millis: Some(500), pids: Some(50) };
    spec.oom_score_adj = Some(900);
    assert_eq!(bench.says(&spec), format!("900\n{}\n50", 64 << 20));
    // Refused or not: a score that this process may not set harms nobody.
    let mut spec = bench.spec("c2", "exit 0");
    spec.oom_score_adj = Some(-998);
    assert_eq!(bench.run(&spec).0, Some(0));
}

#[test]
fn root_memory_beyond_the_limit_kills_with_137() {
    let Some(bench) = Bench::new("root_memory_beyond_the_limit_kills_with_137") else { return };
    let mut spec = bench.spec("c1", "exec dd if=/dev/zero of=/dev/null bs=100M count=1");
    spec.resources.memory = Some(16 << 20);
    assert_eq!(bench.run(&spec).0, Some(137));
    assert!(bench.path("c1/oom").exists(), "the monitor says why");
    assert!(!Path::new("/oom").exists(), "and says it in the bundle alone");
}

#[test]
fn root_the_hosts_network_is_joined_when_asked_for() {
    let Some(bench) = Bench::new("root_the_hosts_network_is_joined_when_asked_for") else { return };
    let mut spec = bench.spec("c1", "ls -l /proc/self/ns/net | grep -o 'net:.*'");
    spec.host_network = true;
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(bench.says(&spec), own.to_str().unwrap());
}
