//! What a quota's `gpu` asks of a Pod.
//!
//! CoCalc reads the labels and tolerations from small texts (`gpu=cocalc,zone=x`) without checking them; its
//! slips reach the cluster and are kept here: a trailing comma makes a toleration of the empty key, which
//! tolerates every `NoSchedule` taint.

use indexmap::IndexMap;

use super::coerce;
use crate::json::Json;

/// The resource that is meant where the license names none.
pub const DEFAULT_RESOURCE: &str = "nvidia.com/gpu";

/// What the Pod gets for its GPUs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GpuInfo {
    /// Resource limits: name and amount, as the license has it.
    pub limits: Vec<(String, Json)>,
    /// Labels that the node must have; `None` if the license names none. A label without a value is left out,
    /// as it is in CoCalc's JSON.
    pub node_selector: Option<Vec<(String, String)>>,
    /// Tolerations; `None` if the license names none.
    pub tolerations: Option<Vec<Toleration>>,
}

/// A toleration of taints with effect `NoSchedule`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toleration {
    /// Key of the taint; the empty one stands for all.
    pub key: String,
    /// Operator `Equal` with this value, or `Exists`.
    pub value: Option<String>,
}

impl Toleration {
    /// The toleration as it stands in a Pod.
    pub fn to_json(&self) -> Json {
        let mut members = vec![("key", Json::string(&self.key))];
        match &self.value {
            Some(value) => {
                members.extend([
                    ("operator", Json::string("Equal")),
                    ("value", Json::string(value)),
                ]);
            }
            None => members.push(("operator", Json::string("Exists"))),
        }
        members.push(("effect", Json::string("NoSchedule")));
        Json::map(members)
    }
}

/// What a quota's `gpu` asks for (CoCalc's `gpu.ts`). Nothing at all unless it is an object with `num` above 0.
pub fn gpu_info(gpu: &Json) -> GpuInfo {
    let Some(num) = gpu.get_non_null("num").filter(|num| coerce::to_number(num) > 0.0) else {
        return GpuInfo::default();
    };
    let resource = gpu.get_non_null("resource").map_or_else(
        || DEFAULT_RESOURCE.to_owned(),
        |resource| coerce::to_string(resource).to_string_lossy(),
    );
    let text = |name| {
        gpu.get(name)
            .and_then(Json::as_str)
            .filter(|text| !text.is_empty())
    };
    GpuInfo {
        limits: vec![(resource, num.clone())],
        node_selector: text("nodeLabel").map(|text| {
            let labels: IndexMap<&str, Option<&str>> = pairs(text).collect();
            let owned = |(key, value): (&str, Option<&str>)| Some((key.to_owned(), value?.to_owned()));
            labels.into_iter().filter_map(owned).collect()
        }),
        tolerations: text("toleration").map(|text| {
            pairs(text)
                .map(|(key, value)| Toleration {
                    key: key.to_owned(),
                    value: value.map(str::to_owned),
                })
                .collect()
        }),
    }
}

/// `a=b, c` as `(a, b)`, `(c, none)`; what follows a second `=` is lost.
fn pairs(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    text.split(',').map(|pair| {
        let mut parts = coerce::trim(pair).split('=');
        (parts.next().unwrap_or_default(), parts.next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_given_again_without_a_value_is_lost() {
        let gpu = crate::json::parse(r#"{"num": 1, "nodeLabel": "a=b,c=d,a"}"#).unwrap();
        assert_eq!(
            gpu_info(&gpu).node_selector,
            Some(vec![("c".to_owned(), "d".to_owned())])
        );
    }
}
