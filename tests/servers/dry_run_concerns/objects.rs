//! Objects that the pod names, and that must be there.

use serde_json::{Value, json};

use crate::support::api_server::{ApiServer, NAMESPACE};

use super::{add, create, look, server, volume};

#[test]
fn a_pod_whose_claims_wait_for_their_first_consumer_is_no_concern() {
    let server = server();
    let phases = server.kubectl(&[
        "-n",
        NAMESPACE,
        "get",
        "pvc",
        "-o",
        "jsonpath={.items[*].status.phase}",
    ]);
    assert_eq!(phases, "Pending Pending Pending");
    // The Secret project-UUID, which CoCalc makes, is not there either.
    let secrets = server.kubectl(&["-n", NAMESPACE, "get", "secrets", "-o", "name"]);
    assert_eq!(secrets, "secret/regcred\n");
    look(&server, &json!([])).finds(&[]);
}

#[test]
fn a_missing_claim_is_a_concern_and_its_operation_is_to_blame() {
    let server = server();
    let looked = look(
        &server,
        &volume(json!({"persistentVolumeClaim": {"claimName": "genomes"}})),
    );
    looked.finds(&[(
        "spec.volumes[7].persistentVolumeClaim.claimName",
        "PersistentVolumeClaim \"genomes\" does not exist in namespace \"cocalc\"; the pod will not start without it",
    )]);
    looked.blames_operation(0);
    assert_eq!(looked.concerns[0].blame[0]["path"], "/spec/volumes/-");
    server.kubectl(&["-n", NAMESPACE, "delete", "pvc", "projects-data", "--wait=false"]);
    server.kubectl(&[
        "-n",
        NAMESPACE,
        "patch",
        "pvc",
        "projects-data",
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":null}}"#,
    ]);
    let looked = look(&server, &json!([]));
    assert_eq!(
        looked.concerns[0].blame,
        [json!({"by": "template", "path": "/spec/volumes/0/persistentVolumeClaim/claimName"})]
    );
}

#[test]
fn a_claim_that_has_lost_its_volume_or_is_being_deleted_is_a_concern() {
    let server = server();
    let lost = r#"{"status":{"phase":"Lost"}}"#;
    server.kubectl(&[
        "-n",
        NAMESPACE,
        "patch",
        "pvc",
        "storage-extra",
        "--subresource=status",
        "--type=merge",
        "-p",
        lost,
    ]);
    server.kubectl(&[
        "-n",
        NAMESPACE,
        "delete",
        "pvc",
        "projects-software",
        "--wait=false",
    ]);
    let looked = look(&server, &json!([]));
    looked.finds(&[
        (
            "spec.volumes[1].persistentVolumeClaim.claimName",
            "PersistentVolumeClaim \"projects-software\" is being deleted; no new pod can use it",
        ),
        (
            "spec.volumes[6].persistentVolumeClaim.claimName",
            "PersistentVolumeClaim \"storage-extra\" has lost its volume (phase Lost)",
        ),
    ]);
    assert_eq!(
        looked.concerns[1].blame[0]["license"],
        "5e0a9e17-3b8c-4d21-a6f0-91c27d84b35e"
    );
}

#[test]
fn a_claims_name_that_no_claim_can_have_is_never_asked_for() {
    let server = server();
    for name in ["Bad_Claim", "../secrets/regcred"] {
        let looked = look(
            &server,
            &volume(json!({"persistentVolumeClaim": {"claimName": name}})),
        );
        assert_eq!(looked.concerns.len(), 1, "{name}");
        assert!(looked.concerns[0].message.contains("does not exist"), "{name}");
    }
    let asked = server.requests();
    let is_bad = |line: &&Value| {
        line["requestURI"]
            .as_str()
            .is_some_and(|uri| uri.contains("Bad_Claim") || uri.contains(".."))
    };
    assert_eq!(asked.iter().find(is_bad), None);
}

#[test]
fn missing_config_maps_and_secrets_are_concerns_wherever_they_are_named() {
    let server = server();
    for (patch, field, object) in [
        (
            volume(json!({"configMap": {"name": "lab"}})),
            "spec.volumes[7].configMap.name",
            "ConfigMap",
        ),
        (
            volume(json!({"secret": {"secretName": "lab"}})),
            "spec.volumes[7].secret.secretName",
            "Secret",
        ),
        (
            volume(json!({"projected": {"sources": [{"downwardAPI": {}}, {"configMap": {"name": "lab"}}]}})),
            "spec.volumes[7].projected.sources[1].configMap.name",
            "ConfigMap",
        ),
        (
            volume(json!({"projected": {"sources": [{"secret": {"name": "lab"}}]}})),
            "spec.volumes[7].projected.sources[0].secret.name",
            "Secret",
        ),
        (
            volume(json!({"csi": {"driver": "smb.example", "nodePublishSecretRef": {"name": "lab"}}})),
            "spec.volumes[7].csi.nodePublishSecretRef.name",
            "Secret",
        ),
        (
            volume(json!({"azureFile": {"shareName": "s", "secretName": "lab"}})),
            "spec.volumes[7].azureFile.secretName",
            "Secret",
        ),
        (
            json!([add(
                "/spec/containers/0/envFrom",
                json!([{"secretRef": {"name": "lab"}}])
            )]),
            "spec.containers[0].envFrom[0].secretRef.name",
            "Secret",
        ),
        (
            json!([add(
                "/spec/containers/1/envFrom",
                json!([{"configMapRef": {"name": "lab"}}])
            )]),
            "spec.containers[1].envFrom[0].configMapRef.name",
            "ConfigMap",
        ),
        (
            json!([add(
                "/spec/containers/0/env/-",
                json!({"name": "A", "valueFrom": {"secretKeyRef": {"name": "lab", "key": "a"}}})
            )]),
            "spec.containers[0].env[5].valueFrom.secretKeyRef.name",
            "Secret",
        ),
        (
            json!([add(
                "/spec/initContainers/-",
                json!({"name": "i", "image": "busybox:1.36",
                       "envFrom": [{"secretRef": {"name": "lab"}}]})
            )]),
            "spec.initContainers[0].envFrom[0].secretRef.name",
            "Secret",
        ),
    ] {
        let looked = look(&server, &patch);
        let message = format!(
            "{object} \"lab\" does not exist in namespace \"cocalc\"; the pod will not start without it"
        );
        looked.finds(&[(field, &message)]);
        looked.blames_operation(0);
    }
}

#[test]
fn a_missing_pull_secret_is_said_to_be_one() {
    let server = server();
    let looked = look(
        &server,
        &json!([add("/spec/imagePullSecrets/-", json!({"name": "lab-registry"}))]),
    );
    looked.finds(&[(
        "spec.imagePullSecrets[1].name",
        "Secret \"lab-registry\" does not exist in namespace \"cocalc\"; images are pulled without it",
    )]);
    looked.blames_operation(0);
}

#[test]
fn what_is_optional_or_mounted_by_no_container_may_be_missing() {
    let server = server();
    for patch in [
        volume(json!({"configMap": {"name": "lab", "optional": true}})),
        volume(json!({"projected": {"sources": [{"secret": {"name": "lab", "optional": true}}]}})),
        json!([add(
            "/spec/containers/0/envFrom",
            json!([{"secretRef": {"name": "lab", "optional": true}}])
        )]),
        json!([add(
            "/spec/volumes/-",
            json!({"name": "more", "configMap": {"name": "lab"}})
        )]),
    ] {
        look(&server, &patch).finds(&[]);
    }
    // The scheduler waits for a claim even then.
    let claim = json!([add(
        "/spec/volumes/-",
        json!({"name": "more", "persistentVolumeClaim": {"claimName": "lab"}})
    )]);
    assert_eq!(look(&server, &claim).concerns.len(), 1);
}

#[test]
fn a_key_that_a_config_map_lacks_is_a_concern() {
    let server = server();
    create(
        &server,
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "lab"}, "data": {"a": "1"}, "binaryData": {"b": "MQ=="}}),
    );
    let items = |keys: &[&str]| {
        let items: Vec<Value> = keys.iter().map(|key| json!({"key": key, "path": key})).collect();
        volume(json!({"configMap": {"name": "lab", "items": items}}))
    };
    look(&server, &items(&["a", "b"])).finds(&[]);
    let looked = look(&server, &items(&["a", "c"]));
    looked.finds(&[(
        "spec.volumes[7].configMap.items[1].key",
        "ConfigMap \"lab\" has no key \"c\"; the pod will not start without it",
    )]);
    looked.blames_operation(0);
    let variable = json!([add(
        "/spec/containers/0/env/-",
        json!({"name": "A", "valueFrom": {"configMapKeyRef": {"name": "lab", "key": "c"}}})
    )]);
    look(&server, &variable).finds(&[(
        "spec.containers[0].env[5].valueFrom.configMapKeyRef.key",
        "ConfigMap \"lab\" has no key \"c\"; the pod will not start without it",
    )]);
}

/// A pod with a device, by a claim or by a template of claims.
fn device(member: &str, name: &str) -> Value {
    json!([
        add("/spec/resourceClaims", json!([{"name": "gpu", member: name}])),
        add("/spec/containers/0/resources/claims", json!([{"name": "gpu"}])),
    ])
}

#[test]
fn a_missing_resource_claim_or_template_is_a_concern() {
    let server = server();
    for (member, kind) in [
        ("resourceClaimName", "ResourceClaim"),
        ("resourceClaimTemplateName", "ResourceClaimTemplate"),
    ] {
        let looked = look(&server, &device(member, "lab-gpu"));
        let message = format!(
            "{kind} \"lab-gpu\" does not exist in namespace \"cocalc\"; the pod will not start without it"
        );
        looked.finds(&[(&format!("spec.resourceClaims[0].{member}"), &message)]);
        looked.blames_operation(0);
    }
    let devices =
        json!({"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.example"}}]}});
    let metadata = |name: &str| json!({"name": name, "finalizers": ["example.com/kept"]});
    let version = "resource.k8s.io/v1";
    create(
        &server,
        json!({"apiVersion": version, "kind": "ResourceClaim", "metadata": metadata("lab-gpu"), "spec": devices}),
    );
    create(
        &server,
        json!({"apiVersion": version, "kind": "ResourceClaimTemplate", "metadata": metadata("lab-gpu"),
               "spec": {"spec": devices}}),
    );
    look(&server, &device("resourceClaimName", "lab-gpu")).finds(&[]);
    look(&server, &device("resourceClaimTemplateName", "lab-gpu")).finds(&[]);
    server.kubectl(&[
        "-n",
        NAMESPACE,
        "delete",
        "resourceclaim",
        "lab-gpu",
        "--wait=false",
    ]);
    look(&server, &device("resourceClaimName", "lab-gpu")).finds(&[(
        "spec.resourceClaims[0].resourceClaimName",
        "ResourceClaim \"lab-gpu\" is being deleted; no new pod can use it",
    )]);
}

#[test]
fn where_no_claims_to_devices_are_served_that_is_the_concern() {
    let server = ApiServer::start_with(&["--runtime-config=resource.k8s.io/v1=false"]);
    // The cluster has no node, which is another one.
    let looked = look(&server, &device("resourceClaimTemplateName", "lab-gpu"));
    let of_claim: Vec<_> = looked
        .concerns
        .iter()
        .filter(|concern| concern.field.starts_with("spec.resourceClaims"))
        .map(|concern| &*concern.message)
        .collect();
    assert_eq!(
        of_claim,
        [
            "there is no ResourceClaimTemplate \"lab-gpu\": the cluster does not serve resource.k8s.io, so no pod gets \
             devices by claims"
        ]
    );
    assert_eq!(looked.notes, [""; 0]);
}
