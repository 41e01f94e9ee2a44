//! A server that is there already and a node, each a guest with a kernel of Debian's: what no machine without an NFS
//! client can show. Everything here is seen through the node's API and the server's disk.

use orlop_e2e::{
    cluster,
    guest::{Guest, Lab, Shape},
    images,
};
use serde_json::{Value, json};

const GANESHA: &str = "
NFS_CORE_PARAM {
  Protocols = 4; NFS_Port = 2049; Enable_UDP = false; Enable_RQUOTA = false; mount_path_pseudo = true;
}
NFSV4 { Grace_Period = 5; Lease_Lifetime = 30; Minor_Versions = 1, 2; RecoveryBackend = fs; Only_Numeric_Owners = true; }
NFS_KRB5 { Active_krb5 = false; }
EXPORT_DEFAULTS { Access_Type = RW; Squash = No_Root_Squash; SecType = sys; Transports = TCP; Protocols = 4; }
EXPORT { Export_Id = 1; Path = /srv/shared; Pseudo = /shared; FSAL { Name = VFS; } }
";

/// A node's way to its API.
const API: &str = "curl -fsS --unix-socket /disk/data/api.sock -H 'Content-Type: application/json'";

fn serve(server: &Guest) {
    let script = format!(
        "mkfs.ext4 -q /dev/vda && mkdir -p /srv/shared /run/ganesha /var/lib/nfs/ganesha && mount /dev/vda /srv/shared
         cat >/run/ganesha.conf <<'END'\n{GANESHA}END
         ganesha.nfsd -f /run/ganesha.conf -L /run/ganesha.log -p /run/ganesha.pid -N NIV_EVENT"
    );
    server.run(&script).expect("the server's disk");
    server.until("a server that listens", "ss -ltn | grep -q :2049").expect("it listens");
}

fn up(node: &Guest, archive: &str) {
    let orlop = cluster::binary();
    let orlop = orlop.display();
    node.run(&format!(
        "mkfs.ext4 -q /dev/vda && mkdir -p /disk && mount /dev/vda /disk
         export ORLOP_DATA_DIR=/disk/data
         {orlop} up --listen 127.0.0.1:0 --node-name node >/run/orlop.log 2>&1 &"
    ))
    .expect("a node");
    node.until("the API", &format!("{API} http://orlop/readyz")).expect("it answers");
    node.run(&format!("ORLOP_DATA_DIR=/disk/data {orlop} image load {archive}")).expect("an image");
}

fn post(node: &Guest, path: &str, body: &Value) {
    let script = format!("{API} -X POST http://orlop{path} -d @- >/dev/null <<'END'\n{body}\nEND");
    node.run(&script).expect(path);
}

fn delete(node: &Guest, path: &str) {
    node.run(&format!("{API} -X DELETE http://orlop{path} >/dev/null")).expect(path);
}

fn until_phase(node: &Guest, pod: &str, phase: &str) {
    let ask =
        format!("{API} http://orlop/api/v1/namespaces/default/pods/{pod} | grep -q '\"phase\":\"{phase}\"'");
    node.until(&format!("pod {pod} {phase}"), &ask).expect(pod);
}

fn until_gone(node: &Guest, path: &str) {
    node.until(&format!("{path} gone"), &format!("! {API} http://orlop{path} >/dev/null 2>&1")).expect(path);
}

fn pod(name: &str, script: &str, volumes: &Value) -> Value {
    let mounts: Vec<Value> = volumes
        .as_array()
        .into_iter()
        .flatten()
        .map(|volume| json!({"name": volume["name"], "mountPath": format!("/{}", volume["name"].as_str().unwrap_or_default())}))
        .collect();
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "volumes": volumes,
        "containers": [{"name": "main", "image": "busybox", "command": ["sh", "-c", script], "volumeMounts": mounts}]}})
}

const PODS: &str = "/api/v1/namespaces/default/pods";
const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";

#[test]
#[ignore = "minutes in guests: make test-vm"]
fn vm_a_claim_on_a_server_that_stops_and_comes_back() {
    let Some(lab) = Lab::open("vm_a_claim_on_a_server_that_stops_and_comes_back") else { return };
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let archive = scratch.path().join("busybox.tar");
    images::write_busybox(&archive).expect("an image");
    let server = lab.start(Shape::new("server", 11)).expect("a guest");
    let node = lab.start(Shape::new("node", 12)).expect("a guest");
    serve(&server);
    up(&node, &archive.display().to_string());

    let share = json!({"server": server.address(), "share": "/shared", "archiveOnDelete": "true"});
    post(
        &node,
        "/apis/storage.k8s.io/v1/storageclasses",
        &json!({"metadata": {"name": "nfs-client"},
        "provisioner": "k8s-sigs.io/nfs-subdir-external-provisioner", "parameters": share}),
    );
    post(
        &node,
        CLAIMS,
        &json!({"metadata": {"name": "data"}, "spec": {"storageClassName": "nfs-client",
        "accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Mi"}}}}),
    );
    let claimed = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
    let writer = "echo one >/data/one && while :; do date >/data/now; sleep 1; done";
    post(&node, PODS, &pod("writer", writer, &claimed));
    until_phase(&node, "writer", "Running");
    server.until("the file", "grep -qx one /srv/shared/default-data-pvc-*/one").expect("it is on the server");
    let mounted = node.run("grep ' nfs4 ' /proc/self/mountinfo").expect("it is mounted");
    assert!(mounted.contains("vers=4.2") && mounted.contains(",hard,"), "{mounted}");

    // The server stops. Pods without it start and end, and so does the one that uses it.
    server.run("kill -STOP $(cat /run/ganesha.pid)").expect("it is stopped");
    post(&node, PODS, &pod("other", "true", &json!([])));
    until_phase(&node, "other", "Succeeded");
    delete(&node, &format!("{PODS}/writer"));
    until_gone(&node, &format!("{PODS}/writer"));
    post(&node, PODS, &pod("reader", "grep -qx one /data/one", &claimed));
    let told = format!("{API} http://orlop/api/v1/namespaces/default/events | grep -q 'does not answer'");
    node.until("words about the server", &told).expect("it is told");

    // It comes back, and everything goes on by itself.
    server.run("kill -CONT $(cat /run/ganesha.pid)").expect("it goes on");
    until_phase(&node, "reader", "Succeeded");
    delete(&node, &format!("{PODS}/reader"));
    until_gone(&node, &format!("{PODS}/reader"));
    delete(&node, &format!("{CLAIMS}/data"));
    server
        .until("the archive", "grep -qx one /srv/shared/archived-default-data-pvc-*/one")
        .expect("it is kept");
    node.until("nothing mounted", "! grep -q ' nfs4 ' /proc/self/mountinfo").expect("nothing is left");
}
