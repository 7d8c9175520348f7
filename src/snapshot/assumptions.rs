//! What is not public about CoCalc's pod builder, one field each.
//!
//! CoCalc's quota and license code is public and exact; the service that turns a quota into a Pod is closed. Each
//! thing that had to be assumed is a field here, with a default and its reason. The snapshot file's `assumptions`
//! sets them.

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap as _};
use serde_json::Value;

/// Everything that had to be assumed.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Assumptions {
    /// Suffix of memory quantities. CoCalc's numbers are called MB, but its ancestor and the documented
    /// `mem_request_adjustment.lim` use MiB.
    pub memory_suffix: MemorySuffix,
    /// How a number of cores is written. The ancestor wrote requests in milli-cores.
    pub cpu_format: CpuFormat,
    /// What happens where the computed limit is below the request, which the quota code allows and the API
    /// server refuses; the wording of CoCalc's tests suggests that the limit is raised.
    pub limit_below_request: LimitBelowRequest,
    /// HELM value `manage.mem_request_adjustment`; off unless set.
    pub mem_request_adjustment: MemRequestAdjustment,
    /// The container that users work in. It is the first one in every published example.
    pub project_container: ProjectContainer,
    /// `mountPath` of the mount that `ext_rw` makes writable.
    pub software_mount: String,
    /// What the quota's `network` changes; null: nothing. The ancestor set the label `network`.
    #[serde(deserialize_with = "nullable_network")]
    pub network: Option<Network>,
    /// How GPU node selectors and tolerations meet those of the template.
    pub gpu: GpuPlacement,
    /// Toleration and preferred node affinity of a dedicated VM.
    pub dedicated_vm: DedicatedVm,
    /// What stands beside `quota` in `{project_config}`.
    pub project_config: serde_json::Map<String, Value>,
    /// Whether `applyPatch` is called with validation. The library's default is off.
    pub validate_operation: bool,
    /// What CoCalc does when a patch fails.
    pub on_patch_error: OnPatchError,
    /// What CoCalc asks the API server to do with fields that no Pod has. A client that asks for nothing gets `warn`.
    pub field_validation: FieldValidation,
}

impl Default for Assumptions {
    fn default() -> Self {
        Self {
            memory_suffix: MemorySuffix::Mi,
            cpu_format: CpuFormat::Milli,
            limit_below_request: LimitBelowRequest::RaiseLimit,
            mem_request_adjustment: MemRequestAdjustment::default(),
            project_container: ProjectContainer::Index(0),
            software_mount: "/ext".to_owned(),
            network: Some(Network::default()),
            gpu: GpuPlacement::Merge,
            dedicated_vm: DedicatedVm::default(),
            project_config: serde_json::Map::new(),
            validate_operation: false,
            on_patch_error: OnPatchError::Abort,
            field_validation: FieldValidation::Warn,
        }
    }
}

/// See [`Assumptions::memory_suffix`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum MemorySuffix {
    /// MiB, `1000Mi`
    Mi,
    /// MB, `1000M`
    M,
}

/// See [`Assumptions::cpu_format`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CpuFormat {
    /// `20m`, whole cores as `1`
    Milli,
    /// `0.02`
    Decimal,
}

/// See [`Assumptions::limit_below_request`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitBelowRequest {
    /// The limit becomes the request.
    RaiseLimit,
    /// The request becomes the limit.
    LowerRequest,
    /// Both stay; the API server refuses the pod.
    Keep,
}

/// See [`Assumptions::mem_request_adjustment`]: request = min(request, `lim`, limit · `pct` / 100).
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemRequestAdjustment {
    /// Upper bound of the memory request in MiB.
    pub lim: Option<f64>,
    /// Upper bound in percent of the memory limit.
    pub pct: Option<f64>,
}

/// See [`Assumptions::project_container`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum ProjectContainer {
    /// Its index in `spec.containers`.
    Index(usize),
    /// Its name.
    Name(String),
}

/// See [`Assumptions::network`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Where it stands.
    pub place: NetworkPlace,
    /// The value with internet access.
    pub on: String,
    /// The value without.
    pub off: String,
}

/// A label or an annotation, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkPlace {
    /// `metadata.labels`
    Label(String),
    /// `metadata.annotations`
    Annotation(String),
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (place, name) = match &self.place {
            NetworkPlace::Label(name) => ("label", name),
            NetworkPlace::Annotation(name) => ("annotation", name),
        };
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry(place, name)?;
        map.serialize_entry("off", &self.off)?;
        map.serialize_entry("on", &self.on)?;
        map.end()
    }
}

impl Default for Network {
    fn default() -> Self {
        Self {
            place: NetworkPlace::Label("network".to_owned()),
            on: "outside".to_owned(),
            off: "none".to_owned(),
        }
    }
}

fn nullable_network<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Network>, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields {
        label: Option<String>,
        annotation: Option<String>,
        on: Option<String>,
        off: Option<String>,
    }
    let Some(fields) = Option::<Fields>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let default = Network::default();
    let place = match (fields.label, fields.annotation) {
        (Some(_), Some(_)) => {
            return Err(serde::de::Error::custom(
                "network takes either label or annotation, not both",
            ));
        }
        (Some(name), None) => NetworkPlace::Label(name),
        (None, Some(name)) => NetworkPlace::Annotation(name),
        (None, None) => default.place,
    };
    Ok(Some(Network {
        place,
        on: fields.on.unwrap_or(default.on),
        off: fields.off.unwrap_or(default.off),
    }))
}

/// See [`Assumptions::gpu`]. The limit goes into the project container either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GpuPlacement {
    /// The selector's members are added to the template's, the tolerations appended.
    Merge,
    /// They take the place of the template's.
    Replace,
}

/// See [`Assumptions::dedicated_vm`]. The node is prepared with taint and label `KEY=NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DedicatedVm {
    /// Key of the toleration and of the node affinity.
    pub key: String,
    /// Weight of the preferred node affinity, 1 to 100.
    pub weight: u8,
}

impl Default for DedicatedVm {
    fn default() -> Self {
        Self {
            key: "cocalc-dedicated_vm".to_owned(),
            weight: 100,
        }
    }
}

/// See [`Assumptions::on_patch_error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnPatchError {
    /// The start fails.
    Abort,
    /// The pod is sent without any patch.
    Unpatched,
    /// The pod is sent as the patch left it.
    Half,
}

/// See [`Assumptions::field_validation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldValidation {
    /// The pod is refused.
    Strict,
    /// They are dropped, with a warning.
    Warn,
    /// They are dropped in silence.
    Ignore,
}
