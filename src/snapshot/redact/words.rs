//! The words that stay in a redacted snapshot, each list with its reason.

use std::collections::{HashMap, HashSet};

use k8s_openapi::api::core::v1::Pod;
use serde::{
    Deserialize,
    de::{
        DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor,
        value::{BorrowedStrDeserializer, StrDeserializer},
    },
};

use crate::{json, json::Json, pipeline::placeholders::Placeholder, snapshot::example::example};

/// Members of columns and of operations, and of the objects around a pod: structure, not content.
const MEMBERS: &str = "op path from value test replace remove move copy add \
    template replicas selector strategy jobTemplate schedule data metadata spec status items list \
    quota upgrades settings users group site_license run_quota license reason patch notes title description \
    cpu ram disk memory mem cores cpu_shares memory_request memory_limit cpu_limit cpu_request disk_quota mintime network \
    member member_host always_running privileged ephemeral_state ephemeral_disk dedicated_cpu dedicated_ram \
    dedicated_vm dedicated_disk dedicated_disks machine size_gb speed name boost ext_rw idle_timeout user gpu num \
    toleration nodeLabel resource internet mem_oc cpu_oc disableInternet pay_as_you_go pay_as_you_go_quotas account_id \
    purchase_id limit_below_request hosting_incompatible env state default max_upgrades default_quotas kucalc \
    true false null __proto__ constructor prototype length hasOwnProperty";

/// Words of Kubernetes' own labels, annotations, taints and resources, and of the vendors whose resources CoCalc asks
/// for: `node.kubernetes.io/not-ready`, `hugepages-2Mi`, `nvidia.com/gpu`.
const WELL_KNOWN: &str = "kubernetes k8s io com nvidia amd gpu app node apps kubectl topology beta alpha batch \
    authorization scheduling storage volume pod security controller cluster autoscaler container apparmor seccomp \
    failure domain csi networking endpointslice feature role control plane master not ready unreachable unschedulable \
    pressure memory disk pid network unavailable uninitialized cloudprovider out service instance type zone region \
    hostname arch os windows build limit ranger config mirror source hash last applied configuration restartedAt \
    deletion cost default container version component part of managed by created enforce warn audit hugepages requests \
    limits ephemeral pods services secrets configmaps persistentvolumeclaims attachable volumes safe evict scheduler \
    critical unsafe preferAvoidPods";

/// Values of fields that Kubernetes or CoCalc compare, as whole texts. In any case of the letters, since a wrong case
/// is what a finding is about.
const VALUES: &str = "add remove replace move copy test _get \
    Pod List ConfigMap Secret Deployment Job CronJob StatefulSet DaemonSet ReplicaSet Node Event v1 apps/v1 batch/v1 \
    Always Never OnFailure IfNotPresent TCP UDP SCTP HTTP HTTPS Exists DoesNotExist In NotIn Gt Lt Equal \
    NoSchedule PreferNoSchedule NoExecute Memory HugePages Bidirectional HostToContainer None \
    ClusterFirst ClusterFirstWithHostNet Default Directory DirectoryOrCreate File FileOrCreate Socket CharDevice \
    BlockDevice Block Filesystem ReadOnly ReadWrite ReadWriteOnce ReadOnlyMany ReadWriteMany ReadWriteOncePod Shared \
    Dedicated Managed Recursive Disabled Enabled IfPossible RuntimeDefault Localhost Unconfined Unmasked OnRootMismatch \
    Merge Strict DoNotSchedule ScheduleAnyway Honor Ignore NotRequired RestartContainer RestartAllContainers Restart \
    FallbackToLogsOnError PreemptLowerPriority linux windows Guaranteed Burstable BestEffort Pending Running Succeeded \
    Failed Unknown True False PodScheduled Initialized ContainersReady Ready PodReadyToStartContainers DisruptionTarget \
    Unschedulable ContainerCreating CrashLoopBackOff ImagePullBackOff ErrImagePull Completed Error OOMKilled Evicted \
    default-scheduler default foregroundDeletion runtime/default docker/default unconfined \
    CAP_SYS_ADMIN SYS_ADMIN ALL PersistentVolumeClaim ResourceClaim ServiceAccount \
    onprem short medium day academic business standard balanced ssd owner collaborator \
    active ineffective exhausted expired future orphan valid \
    archived archiving closed closing opened opening pending running starting stopping unarchiving \
    ubuntu2404 on off yes no Infinity -Infinity NaN";

/// Words that count anywhere within a text: folders of every Linux system, which a mount may hide; what admission names
/// its volumes and says of limits that it has set; prefixes of formats and of sysctls; schemes; the parts of
/// `template_source`.
const ANYWHERE: &str = "bin boot dev etc lib lib32 lib64 libx32 home opt proc root run sbin srv sys usr var tmp user \
    secrets serviceaccount kube api access termination log ext global cocalc project projects network outside none \
    dedicated_vm dedicated vm iqn eui naa kernel net ipv4 ipv6 fs mqueue shm shmmax shmall shmmni msg msgmax \
    msgmnb msgmni sem http https sha256 localhost containerd docker n2 highmem standard ConfigMap built example kubernetes \
    io resources LimitRanger plugin set cpu memory ephemeral storage request limit for init container default";

/// What the names of variables are masked for.
pub(super) const SECRETS: [&str; 4] = ["TOKEN", "SECRET", "PASSWORD", "KEY"];

/// All of them.
pub(super) struct Words {
    /// Words that stay in names of members and in paths of operations.
    names: HashSet<String>,
    /// What was found of other words.
    misspelt: HashMap<String, bool>,
    /// The names of fields in lower case, in which misspellings are looked for.
    fields: Vec<String>,
    /// Whole texts that stay, in lower case.
    values: HashSet<String>,
    /// Words that stay within any text.
    anywhere: HashSet<String>,
    /// Values of variables in the built-in template.
    variables: HashSet<String>,
}

impl Words {
    pub(super) fn new() -> Self {
        let fields = fields_of_a_pod();
        let listed = |list: &'static str| list.split_whitespace().map(str::to_owned);
        let mut words = Self {
            fields: fields
                .iter()
                .map(|field| (*field).to_owned())
                .chain(listed(MEMBERS))
                .map(|field| field.to_lowercase())
                .collect(),
            names: fields
                .iter()
                .map(|field| (*field).to_owned())
                .chain(listed(MEMBERS).flat_map(|name| split(&name)))
                .chain(listed(WELL_KNOWN))
                .collect(),
            values: listed(VALUES).map(|value| value.to_lowercase()).collect(),
            anywhere: listed(ANYWHERE).flat_map(|word| split(&word)).collect(),
            variables: HashSet::new(),
            misspelt: HashMap::new(),
        };
        if let Some(template) = example()
            .template
            .and_then(|template| json::parse(&template.text).ok())
        {
            words.learn(&template, false);
        }
        words
    }

    /// The built-in template is CoCalc's as far as it is public: its texts are CoCalc's own words and paths.
    fn learn(&mut self, json: &Json, is_variable: bool) {
        match json {
            Json::String(text) => {
                let text = text.to_string_lossy();
                let without = Placeholder::ALL.iter().fold(text.clone(), |text, placeholder| {
                    text.replace(placeholder.text(), " ")
                });
                self.anywhere.extend(split(&without));
                if is_variable {
                    self.variables.insert(text);
                }
            }
            Json::List(list) => list.iter().for_each(|element| self.learn(element, is_variable)),
            Json::Map(map) => {
                for (name, value) in map.iter() {
                    self.names.extend(split(&name.to_string_lossy()));
                    self.learn(value, *name == "value" && json.get("name").is_some());
                }
            }
            _ => {}
        }
    }

    /// Whether this word of a name, or of a path of an operation, stays: one that is known, or so near to a field's
    /// name that it must be a misspelling of it, which findings are about.
    pub(super) fn is_name(&mut self, word: &str) -> bool {
        if self.names.contains(word) || self.is_anywhere(word) || self.is_value(word) {
            return true;
        }
        if let Some(known) = self.misspelt.get(word) {
            return *known;
        }
        let is_misspelt = self.is_misspelt(word);
        self.misspelt.insert(word.to_owned(), is_misspelt);
        is_misspelt
    }

    fn is_misspelt(&self, word: &str) -> bool {
        let word = word.to_lowercase();
        word.len() >= 3
            && word.is_ascii()
            && self.fields.iter().any(|field| {
                field.len() >= 4
                    && field.len().abs_diff(word.len()) <= field.len() / 2
                    && (field.starts_with(&word)
                        || (field.len().abs_diff(word.len()) <= 1 && strsim::osa_distance(field, &word) <= 1))
            })
    }

    /// Whether this whole text is one that Kubernetes or CoCalc knows.
    pub(super) fn is_value(&self, text: &str) -> bool {
        self.values.contains(&text.to_lowercase())
    }

    /// Whether this word stays wherever it is.
    pub(super) fn is_anywhere(&self, word: &str) -> bool {
        self.anywhere.contains(word)
    }

    /// Whether this is the value of a variable of the built-in template.
    pub(super) fn is_variable(&self, text: &str) -> bool {
        self.variables.contains(text)
    }

    /// Whether a stand-in may not be this word: it could be taken for one that stayed.
    pub(super) fn is_taken(&self, word: &str) -> bool {
        self.names.contains(word) || self.is_anywhere(word) || self.is_value(word)
    }
}

fn split(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.chars().any(char::is_alphabetic))
        .map(str::to_owned)
        .collect()
}

/// The names of all fields that a pod can have, asked of the types of k8s-openapi.
fn fields_of_a_pod() -> HashSet<&'static str> {
    let mut found = HashSet::new();
    let collector = Collector {
        found: &mut found,
        is_root: true,
    };
    // Every question is answered with something of the right type, so there is nothing that could fail.
    let _ = Pod::deserialize(collector);
    found
}

/// Answers every question of a type with one element, one member or every field, and notes the names of the fields.
struct Collector<'f> {
    found: &'f mut HashSet<&'static str>,
    is_root: bool,
}

type Never = serde::de::value::Error;

impl<'de> Deserializer<'de> for Collector<'_> {
    type Error = Never;

    /// Only `IntOrString` asks so.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_i64(0)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_bool(false)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_i64(0)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_i64(0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Never> {
        visitor.visit_newtype_struct(StrDeserializer::new(match name {
            "Time" | "MicroTime" => "1970-01-01T00:00:00Z",
            _ => "0",
        }))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_seq(Members {
            names: [""].iter(),
            found: self.found,
        })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_map(Members {
            names: [""].iter(),
            found: self.found,
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Never> {
        self.found.extend(fields);
        // k8s-openapi compares `apiVersion` and `kind`, the first two, itself.
        let names = if self.is_root {
            fields.get(2..).unwrap_or_default()
        } else {
            fields
        };
        visitor.visit_map(Members {
            names: names.iter(),
            found: self.found,
        })
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct enum ignored_any
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_str("")
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_str("")
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_str("")
    }
}

struct Members<'f> {
    names: std::slice::Iter<'static, &'static str>,
    found: &'f mut HashSet<&'static str>,
}

impl Members<'_> {
    fn inner(&mut self) -> Collector<'_> {
        Collector {
            found: self.found,
            is_root: false,
        }
    }
}

impl<'de> SeqAccess<'de> for Members<'_> {
    type Error = Never;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Never> {
        match self.names.next() {
            Some(_) => seed.deserialize(self.inner()).map(Some),
            None => Ok(None),
        }
    }
}

impl<'de> MapAccess<'de> for Members<'_> {
    type Error = Never;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Never> {
        match self.names.next() {
            Some(name) => seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Never> {
        seed.deserialize(self.inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_those_of_a_pod_down_to_its_leaves() {
        let fields = fields_of_a_pod();
        for field in [
            "metadata",
            "managedFields",
            "fieldsV1",
            "containers",
            "mountPath",
            "volumeAttributes",
            "requiredDuringSchedulingIgnoredDuringExecution",
            "matchLabels",
            "httpHeaders",
            "tolerationSeconds",
            "podIPs",
            "observedGeneration",
        ] {
            assert!(fields.contains(field), "{field}");
        }
    }

    #[test]
    fn a_misspelt_field_stays_and_another_word_does_not() {
        let mut words = Words::new();
        for word in [
            "val",
            "nam",
            "imag",
            "pth",
            "mountpath",
            "claimname",
            "enviroment",
            "contianers",
        ] {
            assert_eq!(words.is_name(word), word != "enviroment", "{word}");
        }
        for word in ["acme", "hunter2", "biolab", "containersacme", "xx"] {
            assert!(!words.is_name(word), "{word}");
        }
    }
}
