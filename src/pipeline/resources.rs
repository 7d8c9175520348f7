//! From the quota to the pod: requests and limits, `/ext`, network, GPU, dedicated VM.
//!
//! This step is CoCalc's own and not public. What its documentation, its help texts and its ancestor tell is
//! built here; the rest is a field of [`Assumptions`].

use crate::{
    json::{Json, number_text},
    json_patch::{Document, Key, SetError},
    snapshot::{
        Assumptions, CpuFormat, GpuPlacement, LimitBelowRequest, MemorySuffix, Network, NetworkPlace,
        ProjectContainer,
    },
};

use super::{gpu::gpu_info, provenance::QuotaField, quota::Quota};

/// Something of the quota that the template has no place for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The container that users work in is not there.
    #[error(
        "the template has no container {0}, so CPU, memory, /ext and GPU of the quota have no place; \
             set assumptions.project_container"
    )]
    NoContainer(String),
    /// No mount at the path that `ext_rw` makes writable.
    #[error(
        "a license makes {0} writable (ext_rw), but the project's container mounts nothing there; \
             set assumptions.software_mount"
    )]
    NoSoftwareMount(String),
    /// Something on the way to a field is no map or list.
    #[error("the quota's {field} has no place in the template: {message}")]
    NoPlace {
        /// The value of the quota.
        field: &'static str,
        /// What is in the way.
        message: String,
    },
}

/// Puts the quota into the pod. Whatever has no place is left out and reported.
pub fn put_into_pod(document: &mut Document, quota: &Quota, assumptions: &Assumptions) -> Vec<Misfit> {
    let mut pod = Pod {
        document,
        misfits: Vec::new(),
    };
    if let Some(container) = pod.container(&assumptions.project_container) {
        pod.resources(container, quota, assumptions);
        if quota.ext_rw {
            pod.software_writable(container, &assumptions.software_mount);
        }
        pod.gpu(container, quota, assumptions.gpu);
    }
    if let Some(network) = &assumptions.network {
        pod.network(network, quota.network);
    }
    pod.dedicated_vm(quota, assumptions);
    pod.misfits
}

/// The four numbers of a container's `resources` as they are written, after the safeguards.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Amounts {
    cpu_request: f64,
    cpu_limit: f64,
    memory_request: f64,
    memory_limit: f64,
}

impl Amounts {
    fn new(quota: &Quota, assumptions: &Assumptions) -> Self {
        let adjustment = assumptions.mem_request_adjustment;
        let mut memory_request = quota.memory_request;
        if let Some(lim) = adjustment.lim {
            memory_request = memory_request.min(lim);
        }
        if let Some(pct) = adjustment.pct {
            memory_request = memory_request.min((quota.memory_limit * pct / 100.0).floor());
        }
        let settle = |request: f64, limit: f64| match assumptions.limit_below_request {
            LimitBelowRequest::RaiseLimit => (request, limit.max(request)),
            LimitBelowRequest::LowerRequest => (request.min(limit), limit),
            LimitBelowRequest::Keep => (request, limit),
        };
        let (cpu_request, cpu_limit) = settle(quota.cpu_request, quota.cpu_limit);
        let (memory_request, memory_limit) = settle(memory_request, quota.memory_limit);
        Self {
            cpu_request,
            cpu_limit,
            memory_request,
            memory_limit,
        }
    }
}

/// A number of cores as a Kubernetes quantity. The API server rounds up to milli-cores, and so does `Milli`.
pub fn cpu_quantity(cores: f64, format: CpuFormat) -> String {
    match format {
        CpuFormat::Decimal => js_text(cores),
        CpuFormat::Milli => {
            // 1.1 cores are 1100.0000000000002 milli-cores in doubles; nobody means 1101.
            let milli = (cores * 1000.0 - 1e-6).ceil();
            if milli % 1000.0 == 0.0 {
                js_text(milli / 1000.0)
            } else {
                format!("{}m", js_text(milli))
            }
        }
    }
}

/// An amount of memory as a Kubernetes quantity; `amount` counts what CoCalc calls MB.
pub fn memory_quantity(amount: f64, suffix: MemorySuffix) -> String {
    let suffix = match suffix {
        MemorySuffix::Mi => "Mi",
        MemorySuffix::M => "M",
    };
    format!("{}{suffix}", js_text(amount))
}

/// A number put into a string by JavaScript.
fn js_text(number: f64) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        number_text(number)
    }
}

struct Pod<'a> {
    document: &'a mut Document,
    misfits: Vec<Misfit>,
}

impl Pod<'_> {
    fn set(&mut self, path: &[Key<'_>], value: &Json, field: QuotaField) {
        let result = self.document.set(path, value, field.step());
        self.report(result, field);
    }

    fn set_string(&mut self, path: &[Key<'_>], text: &str, field: QuotaField) {
        let result = self.document.set_string(path, text, field.step());
        self.report(result, field);
    }

    fn report(&mut self, result: Result<(), SetError>, field: QuotaField) {
        if let Err(error) = result {
            self.misfits.push(Misfit::NoPlace {
                field: field.name(),
                message: error.to_string(),
            });
        }
    }

    fn container(&mut self, which: &ProjectContainer) -> Option<usize> {
        let containers = [Key::Name("spec"), Key::Name("containers")];
        let count = self.document.list_len(&containers).unwrap_or(0);
        let found = match which {
            ProjectContainer::Index(index) => Some(*index).filter(|index| *index < count),
            ProjectContainer::Name(name) => (0..count).find(|index| {
                let path = [
                    Key::Name("spec"),
                    Key::Name("containers"),
                    Key::Index(*index),
                    Key::Name("name"),
                ];
                self.document.get(&path).as_ref().and_then(Json::as_str) == Some(name)
            }),
        };
        if found.is_none() {
            self.misfits.push(Misfit::NoContainer(match which {
                ProjectContainer::Index(index) => index.to_string(),
                ProjectContainer::Name(name) => format!("{name:?}"),
            }));
        }
        found
    }

    fn resources(&mut self, container: usize, quota: &Quota, assumptions: &Assumptions) {
        let amounts = Amounts::new(quota, assumptions);
        let cpu = |cores| cpu_quantity(cores, assumptions.cpu_format);
        let memory = |amount| memory_quantity(amount, assumptions.memory_suffix);
        for (kind, name, text, field) in [
            (
                "requests",
                "cpu",
                cpu(amounts.cpu_request),
                QuotaField::CpuRequest,
            ),
            (
                "requests",
                "memory",
                memory(amounts.memory_request),
                QuotaField::MemoryRequest,
            ),
            ("limits", "cpu", cpu(amounts.cpu_limit), QuotaField::CpuLimit),
            (
                "limits",
                "memory",
                memory(amounts.memory_limit),
                QuotaField::MemoryLimit,
            ),
        ] {
            let path = [
                Key::Name("spec"),
                Key::Name("containers"),
                Key::Index(container),
                Key::Name("resources"),
                Key::Name(kind),
                Key::Name(name),
            ];
            self.set_string(&path, &text, field);
        }
    }

    fn software_writable(&mut self, container: usize, mount_path: &str) {
        let mounts = self
            .document
            .list_len(&in_container(container, &[Key::Name("volumeMounts")]))
            .unwrap_or(0);
        let mut found = false;
        for mount in 0..mounts {
            let at = |name| in_container(container, &[Key::Name("volumeMounts"), Key::Index(mount), name]);
            let here = self.document.get(&at(Key::Name("mountPath")));
            if here.as_ref().and_then(Json::as_str) == Some(mount_path) {
                found = true;
                self.set(&at(Key::Name("readOnly")), &Json::Bool(false), QuotaField::ExtRw);
            }
        }
        if !found {
            self.misfits.push(Misfit::NoSoftwareMount(mount_path.to_owned()));
        }
    }

    fn gpu(&mut self, container: usize, quota: &Quota, placement: GpuPlacement) {
        let info = gpu_info(&quota.gpu);
        for (resource, number) in &info.limits {
            let path = in_container(
                container,
                &[Key::Name("resources"), Key::Name("limits"), Key::Name(resource)],
            );
            self.set(&path, number, QuotaField::Gpu);
        }
        let selector = [Key::Name("spec"), Key::Name("nodeSelector")];
        let tolerations = [Key::Name("spec"), Key::Name("tolerations")];
        if placement == GpuPlacement::Replace {
            if info.node_selector.is_some() {
                self.set(
                    &selector,
                    &Json::map(Vec::<(String, Json)>::new()),
                    QuotaField::Gpu,
                );
            }
            if info.tolerations.is_some() {
                self.set(&tolerations, &Json::list(Vec::new()), QuotaField::Gpu);
            }
        }
        for (name, value) in info.node_selector.iter().flatten() {
            self.set(
                &[selector[0], selector[1], Key::Name(name)],
                &Json::string(value),
                QuotaField::Gpu,
            );
        }
        for toleration in info.tolerations.iter().flatten() {
            self.set(
                &[tolerations[0], tolerations[1], Key::End],
                &toleration.to_json(),
                QuotaField::Gpu,
            );
        }
    }

    fn network(&mut self, network: &Network, on: bool) {
        let (kind, name) = match &network.place {
            NetworkPlace::Label(name) => ("labels", name),
            NetworkPlace::Annotation(name) => ("annotations", name),
        };
        let value = if on { &network.on } else { &network.off };
        let path = [Key::Name("metadata"), Key::Name(kind), Key::Name(name)];
        self.set_string(&path, value, QuotaField::Network);
    }

    /// The node is prepared with taint `KEY=NAME:NoSchedule` and label `KEY=NAME`. An empty name is no VM.
    fn dedicated_vm(&mut self, quota: &Quota, assumptions: &Assumptions) {
        let Some(name) = quota
            .dedicated_vm
            .get("name")
            .and_then(Json::as_str)
            .filter(|n| !n.is_empty())
        else {
            return;
        };
        let key = Json::string(&assumptions.dedicated_vm.key);
        let toleration = Json::map([
            ("key", key.clone()),
            ("operator", Json::string("Equal")),
            ("value", Json::string(name)),
            ("effect", Json::string("NoSchedule")),
        ]);
        let expression = Json::map([
            ("key", key),
            ("operator", Json::string("In")),
            ("values", Json::list(vec![Json::string(name)])),
        ]);
        let term = Json::map([
            ("weight", Json::Number(f64::from(assumptions.dedicated_vm.weight))),
            (
                "preference",
                Json::map([("matchExpressions", Json::list(vec![expression]))]),
            ),
        ]);
        self.set(
            &[Key::Name("spec"), Key::Name("tolerations"), Key::End],
            &toleration,
            QuotaField::DedicatedVm,
        );
        let preferred = [
            Key::Name("spec"),
            Key::Name("affinity"),
            Key::Name("nodeAffinity"),
            Key::Name("preferredDuringSchedulingIgnoredDuringExecution"),
            Key::End,
        ];
        self.set(&preferred, &term, QuotaField::DedicatedVm);
    }
}

fn in_container<'a>(container: usize, rest: &[Key<'a>]) -> Vec<Key<'a>> {
    let mut path = vec![Key::Name("spec"), Key::Name("containers"), Key::Index(container)];
    path.extend_from_slice(rest);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_rounded_up_to_milli_cores_and_whole_ones_stay_whole() {
        for (cores, text) in [
            (0.02, "20m"),
            (0.1, "100m"),
            (1.0, "1"),
            (1.1, "1100m"),
            (0.07, "70m"),
            (1.0 / 3.0, "334m"),
            (0.009_765_625, "10m"),
            (0.0, "0"),
            (64.0, "64"),
        ] {
            assert_eq!(cpu_quantity(cores, CpuFormat::Milli), text);
        }
        assert_eq!(cpu_quantity(1.0 / 3.0, CpuFormat::Decimal), "0.3333333333333333");
    }

    #[test]
    fn memory_carries_its_suffix() {
        assert_eq!(memory_quantity(1000.0, MemorySuffix::Mi), "1000Mi");
        assert_eq!(memory_quantity(16000.0, MemorySuffix::M), "16000M");
        assert_eq!(memory_quantity(f64::NAN, MemorySuffix::Mi), "NaNMi");
    }
}
