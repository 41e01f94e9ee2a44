//! The main job by stock kubectl: every verb that a storage tutorial uses, and the words that its reader expects.
#![allow(clippy::disallowed_methods, reason = "these tests run kubectl; that is what they are for")]

use std::{
    io::Read,
    process::{Child, Stdio},
};

use anyhow::{Context, Result, ensure};
use orlop_e2e::{
    cluster::{Cluster, said},
    images,
    kubectl::Kubectl,
    machine,
};

/// A kubectl that watches until it is asked what it saw.
struct Watch {
    child: Option<Child>,
    /// What it has said before it was asked.
    before: String,
}

impl Watch {
    fn start(kubectl: &Kubectl<'_>, arguments: &str) -> Result<Self> {
        let child = kubectl.command(arguments).stdout(Stdio::piped()).spawn()?;
        Ok(Self { child: Some(child), before: String::new() })
    }

    /// The same, which watches already: it has shown a line with `first` in it.
    fn begun(kubectl: &Kubectl<'_>, arguments: &str, first: &str) -> Result<Self> {
        let mut watch = Self::start(kubectl, arguments)?;
        let stdout = watch.child.as_mut().and_then(|child| child.stdout.as_mut()).context("its output")?;
        let mut byte = [0];
        while !watch.before.ends_with('\n') || !watch.before.contains(first) {
            ensure!(stdout.read(&mut byte)? == 1, "{first:?} was not shown: {}", watch.before);
            watch.before.push(byte[0].into());
        }
        Ok(watch)
    }

    fn saw(mut self, parts: &[&str]) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        child.kill()?;
        let seen = format!("{}{}", self.before, said(&child.wait_with_output()?));
        for part in parts {
            ensure!(seen.contains(part), "{part:?} was not watched:\n{seen}");
        }
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn usable(test: &str) -> bool {
    machine::can_run(test) && machine::has_kubectl(test)
}

#[test]
fn root_kubectl_tells_the_main_job() -> Result<()> {
    if !usable("root_kubectl_tells_the_main_job") {
        return Ok(());
    }
    let cluster = Cluster::start()?;
    images::load_busybox(&cluster)?;
    let kubectl = Kubectl(&cluster);

    kubectl.until("get nodes", &[" Ready "])?;
    kubectl.until("get storageclass", &["loop (default)", "loop.orlop.dev", "WaitForFirstConsumer"])?;
    let kinds = kubectl.run("api-resources")?;
    for kind in ["persistentvolumeclaims", "pvc", "storage.k8s.io/v1", "VolumeAttachment", "csinodes"] {
        assert!(kinds.contains(kind), "{kind} in\n{kinds}");
    }
    let help = kubectl.run("explain pvc.spec.accessModes")?;
    assert!(help.contains("FIELD: accessModes") && help.contains("string"), "{help}");
    assert!(kubectl.run("explain pod.spec --recursive")?.contains("volumeMounts"));

    kubectl.run("apply -f class.yaml -f claim.yaml")?;
    kubectl.until("get pvc data", &["Pending", "demo", "<unset>"])?;
    kubectl.until(
        "events --for pvc/data",
        &["WaitForFirstConsumer", "waiting for first consumer to be created before binding"],
    )?;
    let watch = Watch::begun(&kubectl, "get pvc data --watch", "Pending")?;

    kubectl.run("create -f writer.yaml")?;
    kubectl.run("wait pod/writer --for=condition=Ready --timeout=60s")?;
    kubectl.run("wait pvc/data --for=jsonpath={.status.phase}=Bound --timeout=60s")?;
    kubectl.until("get pvc data", &["Bound", "pvc-", "64Mi", "RWO", "demo"])?;
    kubectl.until("get pods", &["1/1", "Running"])?;
    kubectl.until("logs writer", &["the volume is full at its own size"])?;
    kubectl.until("describe pvc data", &["Used By:", "writer", "ProvisioningSucceeded", "Bound"])?;
    kubectl
        .until("describe pod writer", &["data (rw)", "ClaimName:", "SuccessfulAttachVolume", "Started"])?;
    kubectl.until("get volumeattachment", &["loop.orlop.dev", "true"])?;
    kubectl.run("describe volumeattachment")?;
    kubectl.until("describe pv", &["loop.orlop.dev", "Node Affinity", "kubernetes.io/hostname"])?;
    kubectl.run("describe node")?;
    kubectl.run("get all,pv,pvc,events -A -o wide")?;

    kubectl.run("label pvc data tier=gold")?;
    kubectl.until("get pvc -l tier=gold", &["data"])?;
    kubectl.run("annotate pvc data note=hello")?;
    kubectl.run("patch pvc data -p '{\"metadata\":{\"labels\":{\"tier\":\"silver\"}}}'")?;
    kubectl
        .run("patch pvc data --type=json -p '[{\"op\":\"remove\",\"path\":\"/metadata/labels/tier\"}]'")?;
    kubectl.until("get pvc data -o jsonpath={.metadata.annotations.note}", &["hello"])?;
    kubectl.run("apply -f claim.yaml")?;
    kubectl.refused("patch pvc data -p '{\"spec\":{\"accessModes\":[\"ReadWriteMany\"]}}'", "spec")?;

    watch.saw(&["Pending", "Bound"])?;

    kubectl.run("delete pod writer")?;
    kubectl.run("apply -f reader.yaml")?;
    kubectl.run("wait pod/reader --for=jsonpath={.status.phase}=Succeeded --timeout=60s")?;
    kubectl.until("get pod reader", &["Completed"])?;
    kubectl.until("logs reader", &["written by writer"])?;
    kubectl.run("delete -f reader.yaml")?;
    kubectl.run("delete pvc data")?;
    kubectl.until("get pv", &["No resources found"])?;
    assert_eq!(machine::left_below(&cluster.dir()), Vec::<String>::new());
    Ok(())
}

const MANIFESTS: &str = "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: one, labels: {app: x}}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 32Mi}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: two, labels: {app: x}}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 32Mi}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: busybox}]}
";

/// Every verb that does not need a running pod: what is typed, and what must be printed.
const VERBS: &[(&str, &[&str])] = &[
    ("diff -f one.yaml", &["+kind: PersistentVolumeClaim", "+  volumeMode: Filesystem"]),
    ("apply -f all.yaml --dry-run=server", &["persistentvolumeclaim/one created (server dry run)"]),
    ("apply -f all.yaml", &["persistentvolumeclaim/one created", "deployment.apps/web created"]),
    ("apply -f all.yaml", &["persistentvolumeclaim/one unchanged", "deployment.apps/web unchanged"]),
    ("get pvc -o name --sort-by=.metadata.name", &["persistentvolumeclaim/one\npersistentvolumeclaim/two"]),
    ("get pvc -o wide --show-labels", &["VOLUMEMODE", "Filesystem", "app=x"]),
    ("get pvc -L app --no-headers", &["Pending", " x"]),
    ("get pvc -o custom-columns=N:.metadata.name,P:.status.phase", &["one   Pending"]),
    ("get pvc one -o jsonpath={.spec.storageClassName}", &["loop"]),
    ("get pvc --field-selector metadata.name=two -o name", &["persistentvolumeclaim/two"]),
    ("get pvc one --subresource=status", &["Pending"]),
    ("patch pvc one --type merge -p '{\"metadata\":{\"labels\":{\"a\":\"b\"}}}'", &["one patched"]),
    (
        "patch deploy web --subresource=status --type merge -p '{\"status\":{\"replicas\":1}}'",
        &["web patched"],
    ),
    ("scale deploy web --replicas=3", &["deployment.apps/web scaled"]),
    ("scale deploy web --replicas=2 --current-replicas=3", &["deployment.apps/web scaled"]),
    ("get deploy web", &["0/2"]),
    ("set image deploy/web c=busybox:2", &["image updated"]),
    ("describe deploy web", &["busybox:2", "RollingUpdate", "2 desired"]),
    ("label pvc two tier=1", &["two labeled"]),
    ("label pvc two tier=2 --overwrite", &["two labeled"]),
    ("annotate pvc two note=x", &["two annotated"]),
    ("taint node --all k=v:NoSchedule", &["tainted"]),
    ("taint node --all k-", &["untainted"]),
    ("edit pvc two", &["persistentvolumeclaim/two edited"]),
    ("get pvc -l edited=yes -o name", &["persistentvolumeclaim/two"]),
    ("replace --force -f one.yaml", &["\"one\" deleted", "persistentvolumeclaim/one replaced"]),
    (
        "apply -f one.yaml --prune -l app=x --prune-allowlist=core/v1/PersistentVolumeClaim",
        &["persistentvolumeclaim/two pruned"],
    ),
    ("wait pvc/two --for=delete --timeout=20s", &[]),
    ("delete pvc one --cascade=orphan --now", &["\"one\" deleted"]),
    ("delete deploy web --cascade=foreground", &["\"web\" deleted"]),
    ("create -f one.yaml", &["persistentvolumeclaim/one created"]),
    ("delete -f one.yaml --force --grace-period=0", &["\"one\" force deleted"]),
    ("get --raw /readyz", &["ok"]),
    ("version", &["Server Version: v1.36"]),
    ("api-versions", &["storage.k8s.io/v1"]),
    ("cluster-info", &["control plane", "is running at"]),
    ("explain pvc.spec.resources --recursive", &["requests"]),
    ("get events.events.k8s.io", &["WaitForFirstConsumer"]),
];

#[test]
fn root_kubectl_knows_every_verb() -> Result<()> {
    if !usable("root_kubectl_knows_every_verb") {
        return Ok(());
    }
    let cluster = Cluster::start()?;
    let kubectl = Kubectl(&cluster);
    let place = cluster.dir().with_file_name("manifests");
    std::fs::create_dir(&place)?;
    std::fs::write(place.join("all.yaml"), MANIFESTS)?;
    std::fs::write(place.join("one.yaml"), MANIFESTS.split("---").next().unwrap_or_default())?;
    let editor = place.join("editor");
    std::fs::write(&editor, "#!/bin/sh\nsed -i 's/^  labels:$/  labels:\\n    edited: \"yes\"/' \"$1\"\n")?;
    std::fs::set_permissions(&editor, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    for (typed, printed) in VERBS {
        let output = kubectl.command(typed).current_dir(&place).env("EDITOR", &editor).output()?;
        let text = said(&output);
        // diff says by its exit code that there is a difference.
        let fine = output.status.success() || (typed.starts_with("diff") && output.status.code() == Some(1));
        assert!(fine, "kubectl {typed}: {text}");
        for part in *printed {
            assert!(text.contains(part), "kubectl {typed}: {part:?} is not in\n{text}");
        }
    }
    Ok(())
}

#[test]
fn root_kubectl_logs_and_events_of_a_pod() -> Result<()> {
    if !usable("root_kubectl_logs_and_events_of_a_pod") {
        return Ok(());
    }
    let cluster = Cluster::start()?;
    images::load_busybox(&cluster)?;
    let kubectl = Kubectl(&cluster);
    let file = cluster.dir().with_file_name("pod.yaml");
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {terminationGracePeriodSeconds: 1, containers: [\
        {name: c, image: busybox, command: [sh, -c, 'echo one; echo two; sleep 1; exit 3']}]}\n";
    std::fs::write(&file, pod)?;
    let watch = Watch::start(&kubectl, "get pods --watch")?;
    let events = Watch::start(&kubectl, "events --watch")?;
    kubectl.run(&format!("create -f {}", file.display()))?;
    kubectl.run("wait pod/p --for=jsonpath={.status.phase}=Running")?;
    kubectl.until("logs p", &["one\ntwo\n"])?;
    assert_eq!(kubectl.run("logs p --tail=1")?, "two\n");
    assert_eq!(kubectl.run("logs p -c c --limit-bytes=3")?, "one");
    assert_eq!(kubectl.run("logs p --since=1h --tail=-1")?, "one\ntwo\n");
    let stamped = kubectl.run("logs p --timestamps --tail=1")?;
    assert!(
        stamped.len() == "2026-01-01T00:00:00.000000000Z two\n".len() && stamped.contains("Z two"),
        "{stamped}"
    );
    // Following ends with the container.
    assert!(kubectl.run("logs p -f")?.starts_with("one\ntwo\n"));
    kubectl.until("get pod p", &["CrashLoopBackOff"])?;
    assert_eq!(kubectl.run("logs p --previous")?, "one\ntwo\n");
    kubectl.until("describe pod p", &["Exit Code:    3", "Back-off restarting failed container"])?;
    kubectl.until("events --for pod/p --types=Warning", &["BackOff"])?;
    kubectl.run("delete pod p --now")?;
    kubectl.refused("logs p", "pods \"p\" not found")?;
    watch.saw(&["Pending", "1/1     Running", "CrashLoopBackOff", "Terminating"])?;
    events.saw(&["Scheduled", "Started container c", "BackOff"])?;
    Ok(())
}

#[test]
fn root_kubectl_is_told_what_is_wrong() -> Result<()> {
    if !usable("root_kubectl_is_told_what_is_wrong") {
        return Ok(());
    }
    let cluster = Cluster::start()?;
    let kubectl = Kubectl(&cluster);
    let scratch = cluster.dir().with_file_name("bad.yaml");
    let bad = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: bad}\nspec:\n  acessModes: [ReadWriteOnce]\n";
    std::fs::write(&scratch, bad)?;
    kubectl.refused(&format!("apply -f {}", scratch.display()), "unknown field \"spec.acessModes\"")?;
    kubectl.refused("get pvc nothing", "persistentvolumeclaims \"nothing\" not found")?;
    kubectl.refused("get nonsense", "the server doesn't have a resource type \"nonsense\"")?;
    std::fs::write(&scratch, bad.replace("PersistentVolumeClaim", "PersistantVolumeClaim"))?;
    kubectl.refused(
        &format!("apply -f {}", scratch.display()),
        "no matches for kind \"PersistantVolumeClaim\" in version \"v1\"",
    )?;
    kubectl.refused("get pods --field-selector spec.nothing=x", "field label not supported: spec.nothing")?;
    kubectl.refused("wait pod/nothing --for=condition=Ready", "pods \"nothing\" not found")?;
    kubectl.refused("wait pvc/nothing --for=create --timeout=1s", "timed out")?;
    kubectl.refused("apply --server-side -f claim.yaml", "kubectl apply` without --server-side")?;
    kubectl.refused("create job j --image=busybox", "the server could not find the requested resource")?;
    Ok(())
}

/// Typed commands send protobuf, and have no other way.
#[test]
fn root_kubectl_creates_by_protobuf() -> Result<()> {
    if !usable("root_kubectl_creates_by_protobuf") {
        return Ok(());
    }
    let cluster = Cluster::start()?;
    images::load_busybox(&cluster)?;
    let kubectl = Kubectl(&cluster);
    let binary = cluster.dir().with_file_name("key.bin");
    std::fs::write(&binary, [0, 0xff, 1, b'x'])?;
    let file = binary.display();

    kubectl.run("create namespace x")?;
    kubectl.until("get namespace x", &["Active"])?;
    kubectl.run("create serviceaccount robot -n x")?;
    kubectl
        .run(&format!("create configmap c --from-literal=a=b --from-literal=empty= --from-file={file}"))?;
    let stored = kubectl.run("get configmap c -o jsonpath={.data}{.binaryData}")?;
    assert_eq!(stored, r#"{"a":"b","empty":""}{"key.bin":"AP8BeA=="}"#);
    kubectl.run(&format!("create secret generic s --from-literal=user=me --from-file={file}"))?;
    let stored = kubectl.run("get secret s -o jsonpath={.type}{.data}")?;
    assert_eq!(stored, r#"Opaque{"key.bin":"AP8BeA==","user":"bWU="}"#);
    kubectl.run("create configmap tried --from-literal=a=b --dry-run=server")?;
    kubectl.refused("get configmap tried", "not found")?;
    kubectl.refused("create configmap c --from-literal=a=b", "\"c\" already exists")?;
    kubectl.refused("create secret generic Bad", "metadata.name")?;

    kubectl.until("get serviceaccount", &["default"])?;
    kubectl.run("create deployment web --image=busybox --replicas=3 -- sleep 3600")?;
    kubectl.run("wait deployment/web --for=condition=Available --timeout=90s")?;
    kubectl.run("scale deployment web --replicas=1")?;
    kubectl.until("get deployment web", &["1/1"])?;
    assert_eq!(kubectl.run("auth can-i create pods")?, "yes\n");
    assert!(kubectl.run("auth whoami")?.contains("system:masters"));
    // Drain deletes with DeleteOptions in protobuf when it does not evict.
    let node = kubectl.run("get nodes -o name")?;
    let node = node.trim().trim_start_matches("node/");
    let drained =
        kubectl.run(&format!("drain {node} --disable-eviction --force --grace-period=1 --timeout=60s"))?;
    assert!(drained.contains("deleted") && drained.contains("drained"), "{drained}");
    Ok(())
}
