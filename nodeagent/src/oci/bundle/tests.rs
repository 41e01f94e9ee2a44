//! The config by its members. Whether runc takes it, and what a container then sees, is shown by the `root_` tests.

use super::*;
use crate::oci::{Security, UserRequest};

const MACHINE: Machine =
    Machine { unified_cgroups: false, grantable: u64::MAX, oom_score_adj: 0, arch: "x86_64" };

fn spec() -> ContainerSpec {
    ContainerSpec {
        args: vec!["/bin/true".into()],
        rootfs: "/r".into(),
        namespaces: "/ns".into(),
        cgroup: "/orlop-1/pod-2/c".into(),
        ..ContainerSpec::default()
    }
}

fn root() -> user::User {
    user::User { uid: 0, gid: 0, groups: vec![] }
}

fn made(spec: &ContainerSpec) -> Value {
    config(spec, &root(), MACHINE).unwrap()
}

fn refusal(spec: &ContainerSpec) -> String {
    config(spec, &root(), MACHINE).unwrap_err().to_string()
}

fn mount(target: &str) -> Mount {
    Mount { source: "/src".into(), target: target.into(), read_only: true, propagation: Propagation::Private }
}

fn targets(config: &Value) -> Vec<&str> {
    config["mounts"].as_array().unwrap().iter().map(|m| m["destination"].as_str().unwrap()).collect()
}

#[test]
fn the_default_profile_restricts() {
    let config = made(&spec());
    assert_eq!(config["process"]["capabilities"]["bounding"].as_array().unwrap().len(), 14);
    assert!(config["process"]["capabilities"]["ambient"].is_null());
    assert!(config["process"]["capabilities"]["inheritable"].is_null());
    assert_eq!(config["linux"]["resources"]["devices"], json!([{"allow": false, "access": "rwm"}]));
    assert_eq!(config["linux"]["seccomp"]["defaultAction"], "SCMP_ACT_ERRNO");
    assert!(config["process"]["rlimits"].is_null());
    assert_eq!(config["process"]["noNewPrivileges"], false);
    assert_eq!(config["process"]["cwd"], "/");
}

#[test]
fn security_fields_arrive() {
    let security = Security {
        read_only_root: true,
        allow_privilege_escalation: false,
        seccomp: Seccomp::Unconfined,
        drop: vec!["ALL".into()],
        ..Security::default()
    };
    let config = made(&ContainerSpec { security, ..spec() });
    assert_eq!(config["root"]["readonly"], true);
    assert_eq!(config["process"]["noNewPrivileges"], true);
    assert!(config["linux"]["seccomp"].is_null());
    assert_eq!(config["process"]["capabilities"]["bounding"], json!([]));
}

#[test]
fn namespaces_are_joined_but_for_the_hosts() {
    let kinds = |spec: &ContainerSpec, machine| {
        let config = config(spec, &root(), machine).unwrap();
        let list = config["linux"]["namespaces"].as_array().unwrap().clone();
        list.iter()
            .map(|n| format!("{}={}", n["type"], n["path"]).replace('"', ""))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(kinds(&spec(), MACHINE), "pid=null mount=null ipc=/ns/ipc network=/ns/net uts=/ns/uts");
    let host = ContainerSpec { host_network: true, ..spec() };
    let v2 = Machine { unified_cgroups: true, ..MACHINE };
    assert_eq!(kinds(&host, v2), "pid=null mount=null ipc=/ns/ipc cgroup=null");
}

#[test]
fn limits_become_cgroup_values() {
    let resources =
        Resources { memory: Some(1 << 20), cpu_shares: Some(0), cpu_millis: Some(250), pids: Some(10) };
    let config = made(&ContainerSpec { resources, ..spec() });
    let found = &config["linux"]["resources"];
    assert_eq!(found["memory"], json!({"limit": 1 << 20}));
    assert_eq!(found["cpu"], json!({"shares": 2, "period": 100_000, "quota": 25_000}));
    assert_eq!(found["pids"], json!({"limit": 10}));
}

#[test]
fn a_pods_mount_replaces_the_usual_one_and_parents_come_first() {
    let mounts = vec![mount("/data/deep"), mount("/dev/shm/"), mount("/data")];
    let config = made(&ContainerSpec { mounts, ..spec() });
    let all = targets(&config);
    assert!(!all.contains(&"/dev/shm"), "{all:?}");
    assert_eq!(all[all.len() - 3..], ["/data", "/data/deep", "/dev/shm/"]);
    let last = config["mounts"].as_array().unwrap().last().unwrap();
    assert_eq!(last["options"], json!(["rbind", "ro", "rprivate"]));
}

#[test]
fn bad_input_is_refused_by_its_field() {
    let security = Security { privileged: true, ..Security::default() };
    let cases = [
        (ContainerSpec { security, ..spec() }, "securityContext.privileged: "),
        (
            ContainerSpec { args: vec![], image: "img".into(), ..spec() },
            "command: neither the container nor its image img",
        ),
        (ContainerSpec { cwd: "tmp".into(), ..spec() }, "workingDir: \"tmp\" must be absolute"),
        (ContainerSpec { cwd: "/proc/self/fd/7".into(), ..spec() }, "workingDir: "),
        (ContainerSpec { cwd: "/./proc/1".into(), ..spec() }, "workingDir: "),
        (ContainerSpec { cwd: "/a/../proc".into(), ..spec() }, "workingDir: "),
        (ContainerSpec { mounts: vec![mount("/")], ..spec() }, "volumeMounts.mountPath: \"/\""),
        (ContainerSpec { mounts: vec![mount("data")], ..spec() }, "volumeMounts.mountPath: \"data\""),
        (ContainerSpec { mounts: vec![mount("/a/../..")], ..spec() }, "volumeMounts.mountPath: "),
        (ContainerSpec { mounts: vec![mount("/proc/sys")], ..spec() }, "volumeMounts.mountPath: "),
    ];
    for (bad, begins) in cases {
        assert!(refusal(&bad).starts_with(begins), "{}", refusal(&bad));
    }
}

#[test]
fn an_oom_score_is_never_one_that_the_kernel_would_refuse() {
    let poor = Machine { grantable: !(1 << 24), oom_score_adj: 100, ..MACHINE };
    assert_eq!(oom_score(-998, MACHINE), -998);
    assert_eq!(oom_score(-998, poor), 100);
    assert_eq!(oom_score(1000, poor), 1000);
    assert_eq!(oom_score(5000, MACHINE), 1000);
}

#[test]
fn the_file_is_written_whole_and_again() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("r")).unwrap();
    let mut spec = ContainerSpec { rootfs: dir.path().join("r"), ..spec() };
    spec.user = UserRequest { uid: Some(7), ..UserRequest::default() };
    spec.env = vec!["LONG=".to_owned() + &"x".repeat(5000)];
    write_bundle(dir.path(), &spec).unwrap();
    spec.env.clear();
    write_bundle(dir.path(), &spec).unwrap();
    let text = fs::read(dir.path().join("config.json")).unwrap();
    let config: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(config["process"]["user"], json!({"uid": 7, "gid": 0, "additionalGids": []}));
    assert!(!dir.path().join("config.json.unfinished").exists());
}

#[test]
fn a_bundle_is_not_there_until_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = ContainerSpec { rootfs: dir.path().join("r"), ..spec() };
    spec.user = UserRequest { uid: Some(7), ..UserRequest::default() };
    // Stands for any end before the last byte.
    fs::create_dir(dir.path().join("config.json.unfinished")).unwrap();
    write_bundle(dir.path(), &spec).unwrap_err();
    assert!(!dir.path().join("config.json").exists());
}
