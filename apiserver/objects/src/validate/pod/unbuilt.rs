//! Fields of pods that Orlop cannot honour yet: one table, a sentence for each.
//!
//! A field that restricts, or that the pod needs to work, is refused, so that nothing runs less confined or other than
//! its author thinks. A field that adds comfort is stored, with a warning. What stands here leaves the table when it is
//! built; what stands nowhere is honoured, or means nothing on one machine.

use serde_json::Value;

use crate::{Cause, FieldError, validate::at::At};

/// What becomes of a pod that has the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is not created.
    Refuse,
    /// It is created, and the client warned.
    Warn,
}

/// Which values of the field are meant.
#[derive(Clone, Copy, Debug)]
enum When {
    /// Any that is not empty.
    There,
    /// `true`.
    True,
    /// `false`.
    False,
    /// Any text but these.
    Not(&'static [&'static str]),
    /// This text.
    Is(&'static str),
    /// The test of the field and the pod's spec says so.
    Test(fn(&At<'_>, &At<'_>) -> bool),
}

/// One row: a field of the pod's spec (`[]` for each item, `{}` for each entry), its values, the answer, and the way out.
/// What is said of `containers[]` holds for init containers too.
#[derive(Debug)]
pub struct Row {
    /// The field below `spec`.
    pub path: &'static str,
    when: When,
    /// What becomes of the pod.
    pub answer: Answer,
    /// What is not built, and what to do instead.
    pub sentence: &'static str,
}

const fn refuse(path: &'static str, when: When, sentence: &'static str) -> Row {
    Row { path, when, answer: Answer::Refuse, sentence }
}

const fn warn(path: &'static str, when: When, sentence: &'static str) -> Row {
    Row { path, when, answer: Answer::Warn, sentence }
}

use When::{False, Is, Not, Test, There, True};

/// The table. Rows of one field stand together; the first that applies answers.
#[rustfmt::skip]
pub static ROWS: &[Row] = &[
    // --- volumes
    refuse("volumes[].{}", Test(other_source), "volumes of this kind are not built yet; use emptyDir, hostPath, nfs, or a PersistentVolumeClaim that persistentVolumeClaim.claimName names"),
    refuse("volumes[].emptyDir.medium", Not(&["Memory"]), "only memory and the node's disk are offered; set Memory, or leave it out"),
    warn("volumes[].emptyDir", Test(limit_on_disk), "sizeLimit is no limit on disk yet, and nothing is evicted for it; set medium: Memory, or use a claim, whose size is a hard limit"),
    refuse("containers[].volumeDevices", There, "raw block volumes are not built yet; use volumeMode Filesystem and volumeMounts"),
    refuse("containers[].volumeMounts[].subPath", There, "subPath is not built yet; mount the whole volume and use a directory of it"),
    refuse("containers[].volumeMounts[].subPathExpr", There, "subPathExpr is not built yet; mount the whole volume and use a directory of it"),
    refuse("containers[].volumeMounts[].mountPropagation", Is("Bidirectional"), "mounts of a container do not reach the node yet; use HostToContainer"),
    refuse("containers[].volumeMounts[].recursiveReadOnly", Is("Enabled"), "recursive read-only mounts are not built yet; use readOnly alone, or IfPossible"),
    warn("containers[].volumeMounts[].recursiveReadOnly", Is("IfPossible"), "recursive read-only mounts are not built yet; the mount is read-only, not what is mounted below it"),

    // --- containers beside the main ones
    refuse("ephemeralContainers", There, "ephemeral containers are not built yet; make a pod of its own that mounts what is to be inspected"),

    // --- where and when the pod may run
    refuse("schedulingGates", There, "scheduling gates are not built yet; create the pod when it may be scheduled"),
    refuse("runtimeClassName", There, "runc is the only runtime; leave it out"),
    refuse("os.name", Not(&["linux"]), "nodes run linux; leave it out"),
    refuse("affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution", There, "affinity between pods is not built yet; use nodeSelector or nodeName"),
    refuse("affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution", There, "anti-affinity between pods is not built yet; use nodeSelector or nodeName"),
    warn("affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution", There, "preferences among nodes are not built yet and are ignored"),
    warn("affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution", There, "preferences among nodes are not built yet and are ignored"),
    warn("affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution", There, "preferences among nodes are not built yet and are ignored"),
    refuse("topologySpreadConstraints[].whenUnsatisfiable", Is("DoNotSchedule"), "spreading over nodes is not built yet; use ScheduleAnyway, or nodeSelector"),
    warn("topologySpreadConstraints[].whenUnsatisfiable", Is("ScheduleAnyway"), "spreading over nodes is not built yet and is ignored"),
    warn("schedulerName", Not(&["default-scheduler"]), "no scheduler of this name is part of Orlop; the pod waits until a client of yours binds it"),
    warn("priorityClassName", There, "priorities are not built yet; no pod is preempted"),
    warn("readinessGates", There, "readiness gates are not built yet; the pod is ready when its containers are"),
    refuse("activeDeadlineSeconds", There, "deadlines are not built yet; end the command yourself, for example with timeout(1)"),

    // --- namespaces of the kernel
    refuse("hostPID", True, "sharing the node's processes is not built yet; leave it out"),
    refuse("hostIPC", True, "sharing the node's IPC namespace is not built yet; leave it out"),
    refuse("shareProcessNamespace", True, "containers that see each other's processes are not built yet; leave it out"),
    refuse("hostUsers", False, "user namespaces are not built yet; leave it out, and set runAsUser for an unprivileged user"),
    refuse("containers[].ports[].hostPort", Test(not_in_host_network), "ports of the node are not built yet; reach the pod at its own address (status.podIP), or use hostNetwork: true"),
    warn("dnsPolicy", Not(&["ClusterFirst", "Default"]), "names of the cluster are not resolved yet; pods ask the node's name servers"),
    warn("dnsConfig", There, "is not honoured yet; pods ask the node's name servers"),
    warn("subdomain", There, "pods have no names in DNS yet"),
    warn("setHostnameAsFQDN", True, "pods have no names in DNS yet; the host name is the short one"),
    refuse("hostnameOverride", There, "is not built yet; use hostname"),

    // --- security
    refuse("securityContext.fsGroup", There, "ownership of volumes by group is not built yet; set runAsUser, and chown the volume's root once"),
    refuse("securityContext.seLinuxOptions", There, "SELinux labels are not built yet; leave them out"),
    refuse("securityContext.appArmorProfile.type", Not(&["Unconfined"]), "AppArmor profiles are not built yet; leave it out"),
    refuse("securityContext.seccompProfile.type", Is("Localhost"), "filters from files are not built yet; use RuntimeDefault, or leave it out"),
    refuse("securityContext.sysctls", There, "sysctls are not built yet; leave them out"),
    refuse("securityContext.supplementalGroupsPolicy", Is("Strict"), "groups of the image cannot be kept out yet; leave it out"),
    refuse("securityContext.windowsOptions", There, "nodes run linux; leave it out"),
    refuse("containers[].securityContext.privileged", True, "privileged containers are not built yet; add the capabilities that it needs"),
    refuse("containers[].securityContext.procMount", Not(&["Default"]), "/proc is always masked; leave it out"),
    refuse("containers[].securityContext.seLinuxOptions", There, "SELinux labels are not built yet; leave them out"),
    refuse("containers[].securityContext.appArmorProfile.type", Not(&["Unconfined"]), "AppArmor profiles are not built yet; leave it out"),
    refuse("containers[].securityContext.seccompProfile.type", Is("Localhost"), "filters from files are not built yet; use RuntimeDefault, or leave it out"),
    refuse("containers[].securityContext.windowsOptions", There, "nodes run linux; leave it out"),
    warn("automountServiceAccountToken", True, "tokens of service accounts are not built yet; none is mounted"),
    warn("imagePullSecrets", There, "images are not pulled yet; load them with: orlop image load FILE"),

    // --- environment, resources, life
    refuse("containers[].envFrom", There, "variables from ConfigMaps and Secrets are not built yet; write them in env"),
    refuse("containers[].env[].valueFrom.configMapKeyRef", There, "variables from ConfigMaps are not built yet; write the value in env"),
    refuse("containers[].env[].valueFrom.secretKeyRef", There, "variables from Secrets are not built yet; write the value in env"),
    refuse("containers[].env[].valueFrom.resourceFieldRef", There, "variables from resources are not built yet; write the value in env"),
    refuse("containers[].env[].valueFrom.fileKeyRef", There, "variables from files are not built yet; write the value in env"),
    refuse("containers[].resources.limits.{}", Test(other_resource), "only limits of cpu and memory are enforced yet; leave it out"),
    refuse("containers[].resources.requests.{}", Test(other_resource), "nodes offer only cpu and memory yet; leave it out"),
    refuse("containers[].resources.claims", There, "device claims are not built yet; leave them out"),
    refuse("resources", There, "resources of a whole pod are not built yet; set them for each container"),
    refuse("resourceClaims", There, "device claims are not built yet; leave them out"),
    refuse("containers[].restartPolicy", There, "restart policies of single containers are not built yet; use the pod's, and make a sidecar one of the containers"),
    refuse("containers[].restartPolicyRules", There, "restart rules are not built yet; use the pod's restartPolicy"),
    warn("containers[].livenessProbe", There, "probes are not built yet; the container is restarted only when it ends"),
    warn("containers[].readinessProbe", There, "probes are not built yet; the container is ready when it runs"),
    warn("containers[].startupProbe", There, "probes are not built yet; the container has started when it runs"),
    warn("containers[].lifecycle", There, "lifecycle hooks are not built yet and are not run; handle SIGTERM instead"),
    warn("containers[].stdin", True, "no input is attached yet; the container reads the end of a file"),
    warn("containers[].tty", True, "terminals are not built yet; the container has none"),
    warn("containers[].terminationMessagePath", Not(&["/dev/termination-log"]), "termination messages are not read yet"),
    warn("containers[].terminationMessagePolicy", Not(&["File"]), "termination messages are not read yet"),
    warn("containers[].resizePolicy", There, "resources cannot be changed while a container runs"),
];

/// Everything in the pod that is refused.
pub fn refusals(pod: &Value) -> Vec<FieldError> {
    refusals_at(&At::root(pod))
}

/// The same for a template, which stands somewhere in its workload.
pub(in crate::validate) fn refusals_at(pod: &At<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    each(pod, Answer::Refuse, |at, row| {
        errors.push(FieldError::new(at.path.clone(), Cause::Forbidden, row.sentence));
    });
    errors
}

/// A warning for everything in the pod that is stored and not honoured.
pub fn warnings(pod: &Value) -> Vec<String> {
    warnings_at(&At::root(pod))
}

/// The same for a template, which stands somewhere in its workload.
pub(in crate::validate) fn warnings_at(pod: &At<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    each(pod, Answer::Warn, |at, row| {
        warnings.push(format!("{}: {}", at.path, row.sentence));
    });
    warnings
}

fn each(pod: &At<'_>, answer: Answer, mut f: impl FnMut(&At<'_>, &Row)) {
    let spec = pod.get("spec");
    for row in ROWS.iter().filter(|row| row.answer == answer) {
        for at in expand(&spec, row.path).iter().filter(|at| row.applies(at, &spec)) {
            f(at, row);
        }
    }
}

impl Row {
    fn applies(&self, at: &At<'_>, spec: &At<'_>) -> bool {
        match self.when {
            There => match at.value {
                // An empty object is a choice (`emptyDir: {}`), an empty list or text is none.
                Value::Object(_) => true,
                _ => !at.is_empty(),
            },
            True => at.is_true(),
            False => *at.value == Value::Bool(false),
            Is(text) => at.text() == text,
            Not(texts) => !at.is_empty() && !texts.contains(&at.text()),
            Test(test) => test(at, spec),
        }
    }
}

/// All places that `path` means.
fn expand<'v>(spec: &At<'v>, path: &str) -> Vec<At<'v>> {
    let mut places = vec![spec.clone()];
    for step in path.split('.') {
        places = match step {
            "{}" => places.iter().flat_map(fields).collect(),
            _ => match step.strip_suffix("[]") {
                Some("containers") => places.iter().flat_map(all_containers).collect(),
                Some(list) => places.iter().flat_map(|at| at.get(list).items()).collect(),
                None => places.iter().map(|at| at.get(step)).collect(),
            },
        };
    }
    places.retain(|at| !at.value.is_null());
    places
}

fn all_containers<'v>(spec: &At<'v>) -> Vec<At<'v>> {
    spec.get("containers").items().chain(spec.get("initContainers").items()).collect()
}

fn fields<'v>(at: &At<'v>) -> Vec<At<'v>> {
    let names = at.value.as_object().into_iter().flatten();
    names.map(|(name, value)| At { path: format!("{}.{name}", at.path), value }).collect()
}

fn last(at: &At<'_>) -> String {
    // Resource names may contain dots (`example.com/gpu`), so the part behind the parent's name is meant.
    let behind = ["limits.", "requests."].iter().find_map(|parent| at.path.split_once(parent));
    behind.map_or_else(|| at.path.rsplit('.').next().unwrap_or_default(), |(_, name)| name).to_owned()
}

fn other_source(at: &At<'_>, _: &At<'_>) -> bool {
    !matches!(last(at).as_str(), "name" | "persistentVolumeClaim" | "emptyDir" | "hostPath" | "nfs")
}

fn limit_on_disk(at: &At<'_>, _: &At<'_>) -> bool {
    !at.get("sizeLimit").value.is_null() && at.get("medium").text() != "Memory"
}

fn other_resource(at: &At<'_>, _: &At<'_>) -> bool {
    !matches!(last(at).as_str(), "cpu" | "memory")
}

fn not_in_host_network(at: &At<'_>, spec: &At<'_>) -> bool {
    !at.is_empty() && at.number() != Some(0) && !spec.get("hostNetwork").is_true()
}

#[cfg(test)]
mod tests;
