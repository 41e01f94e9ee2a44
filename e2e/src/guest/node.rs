//! Guests that are nodes of one Orlop: the first is server and node, the others join it. What a test wants of the cluster
//! it asks by the first one's socket, with curl in the guest.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{Guest, Lab, Shape, control::Answer};
use crate::{cluster, images};

/// Where a node keeps everything, on a disk of its own.
const DATA: &str = "/disk/data";
/// The namespace of all tests.
const NAMESPACE: &str = "/api/v1/namespaces/default";

/// Nodes in guests; the first is also the server.
pub struct Nodes {
    nodes: Vec<Guest>,
    archive: PathBuf,
    _scratch: tempfile::TempDir,
}

impl Nodes {
    /// Starts `count` nodes, `node-1` and so on, with the image busybox on each.
    pub fn start(lab: &Lab, count: u8) -> Result<Self> {
        let scratch = tempfile::Builder::new().prefix("orlop-nodes.").tempdir()?;
        let archive = scratch.path().join("busybox.tar");
        // Before any guest looks: what a guest has looked for and not found it may remember.
        images::write_busybox(&archive)?;
        let shapes = (1..=count).map(|i| Shape::new(&format!("node-{i}"), 20 + i));
        let nodes = shapes.map(|shape| lab.start(shape)).collect::<Result<Vec<_>>>()?;
        let all = Self { nodes, archive, _scratch: scratch };
        all.on_each(|node| {
            node.run("mkfs.ext4 -q /dev/vda")?;
            prepare(node)
        })?;
        all.serve()?;
        all.on_each(|node| {
            if node.name() != all.server().name() {
                let token = all.orlop(all.server(), "token create --quiet")?;
                node.run(&format!("(umask 077; echo '{token}' >/run/token)"))?;
                all.agent(node)?;
            }
            all.orlop(node, &format!("image load {}", all.archive.display()))?;
            Ok(())
        })?;
        Ok(all)
    }

    /// Does the same on all nodes at once.
    fn on_each(&self, work: impl Fn(&Guest) -> Result<()> + Sync) -> Result<()> {
        std::thread::scope(|scope| {
            let running: Vec<_> = self.nodes.iter().map(|node| scope.spawn(|| work(node))).collect();
            running
                .into_iter()
                .try_for_each(|done| done.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }

    /// The node of this number, from 1.
    pub fn node(&self, number: usize) -> &Guest {
        &self.nodes[number - 1]
    }

    /// The same, to be switched off and on.
    pub fn node_mut(&mut self, number: usize) -> &mut Guest {
        &mut self.nodes[number - 1]
    }

    fn server(&self) -> &Guest {
        &self.nodes[0]
    }

    /// Starts Orlop on a node that was without power, from what is on its disk.
    pub fn start_again(&self, number: usize) -> Result<()> {
        let node = self.node(number);
        prepare(node)?;
        if number == 1 { self.serve() } else { self.agent(node) }
    }

    /// Starts `orlop up` on the first node (again).
    pub fn serve(&self) -> Result<()> {
        self.serve_with("")
    }

    /// The same with more flags.
    pub fn serve_with(&self, more: &str) -> Result<()> {
        let server = self.server();
        let flags = format!("up --listen 0.0.0.0:6443 --tls-san {0} --address {0} {more}", server.address());
        self.daemon(server, &flags)?;
        server.until("the API", &format!("{} http://orlop/readyz", curl()))?;
        self.until_ready(server.name())
    }

    /// Starts the agent of another node (again).
    pub fn agent(&self, node: &Guest) -> Result<()> {
        let url = format!("https://{}:6443", self.server().address());
        self.daemon(
            node,
            &format!(
                "agent --server {url} $(ls /run/token 2>/dev/null | sed s/^/--token=/) --address {}",
                node.address()
            ),
        )?;
        self.until_ready(node.name())
    }

    fn daemon(&self, node: &Guest, flags: &str) -> Result<()> {
        let (orlop, name) = (cluster::binary(), node.name());
        node.run(&format!(
            "export ORLOP_DATA_DIR={DATA}
             setsid {} {flags} --node-name {name} >>/run/orlop.log 2>&1 & echo $! >/run/orlop.pid",
            orlop.display()
        ))?;
        Ok(())
    }

    /// The command that asks the first node's API for a path; the shell may fill in what the path leaves open.
    pub fn curl(&self, path: &str) -> String {
        format!("{} \"http://orlop{path}\"", curl())
    }

    /// A command of the binary in a node's data directory.
    pub fn orlop(&self, node: &Guest, arguments: &str) -> Result<String> {
        node.run(&format!("ORLOP_DATA_DIR={DATA} {} {arguments}", cluster::binary().display()))
    }

    /// What a node's Orlop said last.
    pub fn said(&self, number: usize) -> String {
        self.node(number).run("tail -n 40 /run/orlop.log").unwrap_or_default()
    }

    /// Waits until the server says that a node is Ready.
    pub fn until_ready(&self, name: &str) -> Result<()> {
        self.until(&format!("/api/v1/nodes/{name}"), "Ready", |node| {
            condition(node, "Ready") == Some("True")
        })?;
        Ok(())
    }

    /// Creates an object below a collection's path.
    pub fn create(&self, collection: &str, body: &Value) -> Result<()> {
        let curl = self.curl(collection);
        let script = format!("{curl} -X POST -d @- >/dev/null <<'END'\n{body}\nEND");
        self.server().run(&script)?;
        Ok(())
    }

    /// Creates a pod.
    pub fn pod(&self, body: &Value) -> Result<()> {
        self.create(&format!("{NAMESPACE}/pods"), body)
    }

    /// Creates a claim of many writers on a class.
    pub fn claim_of_many(&self, name: &str, class: &str, size: &str) -> Result<()> {
        let spec = json!({"storageClassName": class, "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": size}}});
        let body = json!({"metadata": {"name": name}, "spec": spec});
        self.create(&format!("{NAMESPACE}/persistentvolumeclaims"), &body)
    }

    /// What an object is now; `None` when it is not there.
    pub fn get(&self, path: &str) -> Result<Option<Value>> {
        let answer = self.server().answer(&self.curl(path))?;
        Ok(serde_json::from_str(&answer.output).ok().filter(|_| answer.code == 0))
    }

    /// Waits until an object satisfies `reached`.
    pub fn until(&self, path: &str, what: &str, reached: impl Fn(&Value) -> bool) -> Result<Value> {
        let ask = self.curl(path);
        self.server()
            .until_json(&format!("{path}: {what}"), &ask, reached)
            .with_context(|| format!("-- orlop on node-1 said:\n{}", self.said(1)))
    }

    /// Waits for the phase of a pod.
    pub fn until_pod(&self, name: &str, phase: &str) -> Result<Value> {
        self.until(&format!("{NAMESPACE}/pods/{name}"), phase, |pod| pod["status"]["phase"] == phase)
    }

    /// Waits for the phase of a claim.
    pub fn until_claim(&self, name: &str, phase: &str) -> Result<Value> {
        let path = format!("{NAMESPACE}/persistentvolumeclaims/{name}");
        self.until(&path, phase, |claim| claim["status"]["phase"] == phase)
    }

    /// The log of a pod, as far as it goes.
    pub fn log(&self, pod: &str) -> Result<String> {
        self.server().run(&self.curl(&format!("{NAMESPACE}/pods/{pod}/log")))
    }

    /// Waits until the log of a pod holds `words`.
    pub fn until_logged(&self, pod: &str, words: &str) -> Result<()> {
        let ask = format!("{} | grep -F '{words}'", self.curl(&format!("{NAMESPACE}/pods/{pod}/log")));
        self.server().until(&format!("`{words}` in the log of {pod}"), &ask)?;
        Ok(())
    }

    /// Waits until an Event about an object holds `words`; answers all that it says.
    pub fn until_said_of(&self, name: &str, words: &str) -> Result<String> {
        let events = format!("{NAMESPACE}/events?fieldSelector=involvedObject.name={name}");
        // Where it is not said, what is said instead.
        let messages = r#"grep -oE '"message":"([^"\\]|\\.)*"'"#;
        let ask = format!(
            "said=$({} | {messages}); grep -F '{words}' <<<\"$said\" || {{ echo \"$said\"; false; }}",
            self.curl(&events)
        );
        let said = self.server().until(&format!("`{words}` in an Event of {name}"), &ask)?;
        let event: Value = serde_json::from_str(&format!("{{{}}}", said.lines().next().unwrap_or_default()))?;
        Ok(event["message"].as_str().unwrap_or_default().to_owned())
    }

    /// Changes an object by a merge patch.
    pub fn patch(&self, path: &str, body: &Value) -> Result<()> {
        let header = "-H 'Content-Type: application/merge-patch+json'";
        let curl = format!("curl -fsS --unix-socket {DATA}/api.sock {header}");
        self.server().run(&format!("{curl} -X PATCH http://orlop{path} -d '{body}' >/dev/null"))?;
        Ok(())
    }

    /// Deletes an object of the tests' namespace and waits until it is gone.
    pub fn delete(&self, plural: &str, name: &str) -> Result<()> {
        self.delete_at(&format!("{NAMESPACE}/{plural}/{name}"))
    }

    /// The same for any object.
    pub fn delete_at(&self, path: &str) -> Result<()> {
        let url = format!("http://orlop{path}");
        self.server().run(&format!("{} -X DELETE >/dev/null", self.curl(path)))?;
        let gone = format!(
            "[ $(curl -s -o /dev/null -w '%{{http_code}}' --unix-socket {DATA}/api.sock {url}) = 404 ]"
        );
        self.server().until(&format!("{path} gone"), &gone)?;
        Ok(())
    }

    /// Takes a node down as far as that goes.
    pub fn try_down(&self, node: &Guest) -> Result<Answer> {
        node.answer(&format!("ORLOP_DATA_DIR={DATA} {} down", cluster::binary().display()))
    }

    /// Takes every node down and answers what each said; nothing of Orlop is mounted or attached afterwards.
    pub fn down(&self) -> Result<Vec<String>> {
        let mut said = Vec::new();
        for node in self.nodes.iter().rev() {
            said.push(self.orlop(node, "down")?);
            node.run(&format!(
                "! grep -F ' {DATA}/' /proc/self/mountinfo && [ -z \"$(losetup --list --noheadings)\" ]"
            ))?;
        }
        Ok(said)
    }
}

/// What a machine does at its start: no udev loads modules here.
fn prepare(node: &Guest) -> Result<()> {
    node.run("modprobe loop && mkdir -p /disk && mount /dev/vda /disk")?;
    Ok(())
}

/// A condition's status.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind)?["status"].as_str()
}

fn curl() -> String {
    format!("curl -fsS --unix-socket {DATA}/api.sock -H 'Content-Type: application/json'")
}
