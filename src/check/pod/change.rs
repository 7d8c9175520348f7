//! What the patches made of a pod that CoCalc, or the admin, can hardly want.
//!
//! Kubernetes accepts all of this. The template itself mounts a volume at `/home/user` and may well run a
//! privileged sidecar, so only what is new or changed counts.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::{PodFinding, Report, at::At, containers::plain_path};

/// What CoCalc itself puts into a project's pod.
const PLATFORM: [&str; 6] = ["/home/user", "/cocalc", "/ext", "/tmp", "/secrets", "/data"];

/// What Linux needs at these places. Mounts below them are usual (`/opt/lab`, `/usr/share/data`).
const SYSTEM: [&str; 18] = [
    "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/proc",
    "/root", "/run", "/sbin", "/srv", "/sys", "/usr", "/var",
];

/// Compares the pod before license patches with the one after them. `before` is `null` where all of the pod is
/// to be judged.
///
/// Paths lead into `after`.
pub fn check_change(before: &Value, after: &Value) -> Vec<PodFinding> {
    let mut report = Report::default();
    let (before, after) = (At::root(before), At::root(after));
    identity(&before, &after, &mut report);
    let [volumes_were, volumes] = [&before, &after].map(|pod| by_name(&pod.at(&["spec", "volumes"])));
    for list in ["initContainers", "containers"] {
        let were = by_name(&before.get("spec").get(list));
        for container in after.get("spec").get(list).items() {
            let was = were.get(container.get("name").text());
            mounts(&volumes_were, was, &volumes, &container, &mut report);
            privileged(was, &container, &mut report);
        }
    }
    host(&before, &after, &mut report);
    unmounted(&before, &after, &mut report);
    report.findings
}

/// The elements of a list by their names; of twins the first.
fn by_name<'v>(list: &At<'v>) -> HashMap<&'v str, At<'v>> {
    let mut found = HashMap::with_capacity(list.len());
    for element in list.items() {
        found.entry(element.get("name").text()).or_insert(element);
    }
    found
}

/// CoCalc finds a project's pod by its name and labels.
fn identity(before: &At<'_>, after: &At<'_>, report: &mut Report) {
    if !before.is_set() {
        return;
    }
    for path in [
        &["metadata", "name"][..],
        &["metadata", "labels", "run"],
        &["metadata", "labels", "project_id"],
    ] {
        let (was, is) = (before.at(path), after.at(path));
        if was.is_set() && was.value() != is.value() {
            let now = if is.is_set() {
                format!("is {} now", is.value())
            } else {
                "is gone".to_owned()
            };
            report.error(
                "project-identity",
                &is,
                format!(
                    "it was {} and {now}: CoCalc finds a project's pod by it, and would lose the pod",
                    was.value()
                ),
            );
        }
    }
}

/// Where a volume is mounted at a place that CoCalc or the image needs. What was mounted there before is no
/// finding, whatever it is called now.
fn mounts(
    volumes_were: &HashMap<&str, At<'_>>,
    was: Option<&At<'_>>,
    volumes: &HashMap<&str, At<'_>>,
    container: &At<'_>,
    report: &mut Report,
) {
    let before: HashMap<_, At<'_>> = was
        .into_iter()
        .flat_map(|was| was.get("volumeMounts").items())
        .map(|old| (plain_path(old.get("mountPath").text()), old))
        .collect();
    for mount in container.get("volumeMounts").items() {
        let path = mount.get("mountPath");
        if path.text().is_empty() {
            continue;
        }
        let place = plain_path(path.text());
        if let Some(old) = before.get(&*place) {
            let is = |name: &'static str| old.get(name).text() == mount.get(name).text();
            let same = is("name")
                || is("subPath")
                    && is("subPathExpr")
                    && contents(volumes_were, old) == contents(volumes, &mount);
            if let Some(own) = PLATFORM.iter().find(|own| !same && place == **own) {
                report.warning(
                    "mount-hides-platform",
                    &path,
                    format!("it puts another volume in the place of CoCalc's own {own}"),
                );
            }
            continue;
        }
        let above = |of: &str| {
            place == "/" || place == of || of.strip_prefix(&*place).is_some_and(|rest| rest.starts_with('/'))
        };
        if let Some(hidden) = PLATFORM.iter().find(|hidden| above(hidden)) {
            report.warning(
                "mount-hides-platform",
                &path,
                format!("a volume at {place} hides CoCalc's own {hidden}; mount it below, or at a place of its own"),
            );
        } else if SYSTEM.contains(&&*place) {
            report.warning(
                "mount-hides-system",
                &path,
                format!("a volume at {place} hides what the image has there; mount it below"),
            );
        } else if place.starts_with("/home/user/") {
            report.note(
                "mount-in-home",
                &path,
                "the kubelet makes the mount point in the project's home directory, owned by root",
            );
        }
    }
}

/// What a mount's volume is made of, but for its name.
fn contents<'v>(volumes: &HashMap<&str, At<'v>>, mount: &At<'_>) -> Vec<(&'v str, &'v Value)> {
    let volume = volumes.get(mount.get("name").text());
    let fields = volume.into_iter().flat_map(At::entries);
    fields
        .filter(|(name, _)| *name != "name")
        .map(|(name, at)| (name, at.value()))
        .collect()
}

fn privileged(was: Option<&At<'_>>, container: &At<'_>, report: &mut Report) {
    let path = ["securityContext", "privileged"];
    let field = container.at(&path);
    if field.is_true() && !was.is_some_and(|was| was.at(&path).is_true()) {
        report.warning(
            "privileged-container",
            &field,
            "whoever gets into this container has its node",
        );
    }
}

fn host(before: &At<'_>, after: &At<'_>, report: &mut Report) {
    for name in ["hostNetwork", "hostPID", "hostIPC"] {
        let field = after.get("spec").get(name);
        if field.is_true() && !before.get("spec").get(name).is_true() {
            report.warning(
                "host-namespace",
                &field,
                format!("{name} lets the project see its node's own"),
            );
        }
    }
    let volumes = by_name(&before.at(&["spec", "volumes"]));
    for volume in after.at(&["spec", "volumes"]).items() {
        let host = volume.get("hostPath");
        let was = volumes.get(volume.get("name").text());
        if host.is_set() && was.is_none_or(|was| was.get("hostPath").value() != host.value()) {
            report.warning(
                "host-path",
                &host,
                format!(
                    "it gives the project {} of whatever node it runs on",
                    host.get("path").value()
                ),
            );
        }
    }
}

/// A volume that the patches added, or whose last mount they removed.
fn unmounted<'v>(before: &At<'v>, after: &At<'v>, report: &mut Report) {
    fn used<'v>(pod: &At<'v>) -> HashSet<&'v str> {
        ["initContainers", "containers", "ephemeralContainers"]
            .into_iter()
            .flat_map(|list| pod.get("spec").get(list).items())
            .flat_map(|container| ["volumeMounts", "volumeDevices"].map(|list| container.get(list)))
            .flat_map(|list| list.items())
            .map(|mount| mount.get("name").text())
            .collect()
    }
    let [volumes_were, volumes] = [before, after].map(|pod| pod.at(&["spec", "volumes"]));
    let (used_before, used_now) = (used(before), used(after));
    let idle_before: HashSet<&str> = volumes_were
        .items()
        .map(|volume| volume.get("name").text())
        .filter(|name| !used_before.contains(name))
        .collect();
    for volume in volumes.items() {
        let name = volume.get("name");
        let text = name.text();
        if !text.is_empty() && !used_now.contains(text) && !idle_before.contains(text) {
            report.note(
                "volume-without-mount",
                &name,
                format!("no container mounts the volume {text:?}"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::json_patch::PathPart;

    fn rules(before: &Value, after: &Value) -> Vec<&'static str> {
        check_change(before, after)
            .into_iter()
            .map(|found| found.finding.rule)
            .collect()
    }

    fn mounted_at(path: &str) -> Value {
        json!({"spec": {"containers": [{"name": "project", "volumeMounts": [{"name": "v", "mountPath": path}]}]}})
    }

    #[test]
    fn a_mount_at_or_above_what_cocalc_needs_is_a_warning_and_one_below_is_fine() {
        for path in ["/home/user", "/home", "/", "/cocalc/", "/secrets", "//data"] {
            assert_eq!(
                rules(&json!({}), &mounted_at(path)),
                ["mount-hides-platform"],
                "{path}"
            );
        }
        for path in ["/usr", "/etc/", "/dev"] {
            assert_eq!(
                rules(&json!({}), &mounted_at(path)),
                ["mount-hides-system"],
                "{path}"
            );
        }
        for path in [
            "/data/lab",
            "/usr/share/lab",
            "/dev/shm",
            "/lab",
            "/extra",
            "/ext/lab",
        ] {
            assert_eq!(rules(&json!({}), &mounted_at(path)), [""; 0], "{path}");
        }
        assert_eq!(
            rules(&json!({}), &mounted_at("/home/user/lab")),
            ["mount-in-home"]
        );
    }

    #[test]
    fn what_the_template_mounts_itself_is_no_finding() {
        assert_eq!(
            rules(&mounted_at("/home/user"), &mounted_at("/home/user")),
            [""; 0]
        );
    }

    #[test]
    fn cocalcs_own_volume_under_another_name_hides_nothing_and_another_volume_does() {
        let pod = |name: &str, server: &str| {
            json!({"spec": {
                "volumes": [{"name": name, "nfs": {"server": server, "path": "/p"}}],
                "containers": [{"name": "project", "volumeMounts": [{"name": name, "mountPath": "/home/user"}]}],
            }})
        };
        assert_eq!(rules(&pod("home", "a"), &pod("homes", "a")), [""; 0]);
        let other = check_change(&pod("home", "a"), &pod("lab", "b"));
        assert_eq!(other.len(), 1);
        assert_eq!(
            other[0].finding.message,
            "it puts another volume in the place of CoCalc's own /home/user"
        );
    }

    #[test]
    fn a_volume_that_a_patch_leaves_without_a_mount_is_a_note_and_one_of_the_template_is_none() {
        let pod = |mounted: &[&str]| {
            let mounts: Vec<Value> = mounted
                .iter()
                .map(|name| json!({"name": name, "mountPath": format!("/mnt/{name}")}))
                .collect();
            json!({"spec": {"volumes": [{"name": "a"}, {"name": "b"}],
                            "containers": [{"name": "project", "volumeMounts": mounts}]}})
        };
        let none = json!({"spec": {"containers": [{"name": "project"}]}});
        let notes = check_change(&none, &pod(&["b"]));
        assert_eq!(notes.len(), 1);
        assert_eq!(notes[0].finding.message, "no container mounts the volume \"a\"");
        assert_eq!(rules(&pod(&["a", "b"]), &pod(&["b"])), ["volume-without-mount"]);
        assert_eq!(rules(&pod(&["b"]), &pod(&["b"])), [""; 0]);
    }

    #[test]
    fn a_changed_name_or_label_loses_the_pod() {
        let before =
            json!({"metadata": {"name": "project-1", "labels": {"run": "project", "project_id": "1"}}});
        assert_eq!(rules(&before, &before), [""; 0]);
        let mut after = before.clone();
        after["metadata"]["labels"]["extra"] = json!("x");
        assert_eq!(rules(&before, &after), [""; 0]);
        after["metadata"]["labels"]["run"] = json!("other");
        assert_eq!(rules(&before, &after), ["project-identity"]);
        let gone = check_change(&before, &json!({"metadata": {"name": "project-1"}}));
        assert_eq!(gone.len(), 2);
        assert!(gone[0].finding.message.contains("is gone"), "{gone:?}");
        assert_eq!(
            gone[0].path,
            ["metadata", "labels", "run"].map(|name| PathPart::Name(name.into()))
        );
    }

    #[test]
    fn what_opens_the_node_is_a_warning_if_a_patch_brought_it() {
        let opened = json!({"spec": {
            "hostNetwork": true, "hostPID": true,
            "volumes": [{"name": "v", "hostPath": {"path": "/"}}],
            "containers": [{"name": "project", "securityContext": {"privileged": true},
                            "volumeMounts": [{"name": "v", "mountPath": "/node"}]}],
        }});
        assert_eq!(
            rules(&json!({}), &opened),
            [
                "privileged-container",
                "host-namespace",
                "host-namespace",
                "host-path"
            ]
        );
        assert_eq!(rules(&opened, &opened), [""; 0]);
    }
}
