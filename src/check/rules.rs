//! The table of rules: every id that a finding can have.

use super::Severity;

/// What a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A license of a project.
    License,
    /// The template.
    Template,
    /// The making of a patch.
    Making,
    /// An operation of a patch.
    Operation,
    /// The pod, as the API server sees it.
    Pod,
    /// What the patches made of the pod.
    Change,
}

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its id, as findings carry it.
    pub id: &'static str,
    /// The severity of its usual finding.
    pub severity: Severity,
    /// What it looks at.
    pub subject: Subject,
    /// Whether the API server warns too, when a pod like that is created.
    pub server_warns: bool,
    /// What it finds, in a sentence.
    pub explanation: &'static str,
    /// Something that it finds.
    pub example: &'static str,
}

/// All rules, by what they look at.
pub fn rules() -> &'static [Rule] {
    RULES
}

/// The rule of this id.
pub fn rule(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id)
}

/// Whether the API server gives a warning where this rule finds something, as far as it accepts the pod: see
/// [`super::pod::Warned`].
pub fn server_warns(id: &str) -> bool {
    rule(id).is_some_and(|rule| rule.server_warns)
}

const fn rule_of(
    id: &'static str,
    severity: Severity,
    subject: Subject,
    explanation: &'static str,
    example: &'static str,
) -> Rule {
    Rule {
        id,
        severity,
        subject,
        server_warns: false,
        explanation,
        example,
    }
}

impl Rule {
    const fn as_the_server(self) -> Self {
        Self {
            server_warns: true,
            ..self
        }
    }
}

const RULES: &[Rule] = &[
    rule_of(
        "licenses-not-looked-at",
        Severity::Warning,
        Subject::License,
        "No source holds projects, so no license is applied.",
        "render -f template.yaml, without --database",
    ),
    rule_of(
        "license-run-limit-zero",
        Severity::Warning,
        Subject::License,
        r#"A run limit of 0 is no "unlimited": CoCalc takes the license as used up."#,
        "run_limit: 0",
    ),
    rule_of(
        "license-exhausted",
        Severity::Warning,
        Subject::License,
        "As many projects run with the license as it allows.",
        "run_limit: 1, and one other project runs",
    ),
    rule_of(
        "license-expired",
        Severity::Warning,
        Subject::License,
        "The license's time is over.",
        "expires: 2020-01-01T00:00:00Z",
    ),
    rule_of(
        "license-not-yet-active",
        Severity::Warning,
        Subject::License,
        "The license's time has not come, or it has no date of activation.",
        "activates: null",
    ),
    rule_of(
        "license-not-judged",
        Severity::Warning,
        Subject::License,
        "The license's boost is neither true nor false, so CoCalc never judges it: what the project holds stays.",
        "quota: {boost: 1}",
    ),
    rule_of(
        "license-orphan",
        Severity::Warning,
        Subject::License,
        "The license is stored in the project and has no row: its quota and patch stay in force.",
        "a license that was deleted",
    ),
    rule_of(
        "license-not-a-uuid",
        Severity::Warning,
        Subject::License,
        "The key in the project's licenses is no UUID, so CoCalc looks up no row.",
        "site_license: {lab: {}}",
    ),
    rule_of(
        "license-ineffective",
        Severity::Warning,
        Subject::License,
        "CoCalc finds that the license adds nothing.",
        "a quota smaller than the defaults",
    ),
    rule_of(
        "license-incompatible",
        Severity::Warning,
        Subject::License,
        "The hosting class differs from the one that won, so the quota is not added; the patch is applied.",
        "a member license beside one that is always running",
    ),
    rule_of(
        "patch-lost-status",
        Severity::Warning,
        Subject::License,
        "The patch is lost because of the status that is stored with the license.",
        "status: expired",
    ),
    rule_of(
        "patch-lost-dedicated-disk",
        Severity::Warning,
        Subject::License,
        "From a license for a dedicated disk CoCalc takes nothing but the disk.",
        "quota: {dedicated_disk: {…}, patch: …}",
    ),
    rule_of(
        "patch-lost-dedicated-vm",
        Severity::Warning,
        Subject::License,
        "With a dedicated VM CoCalc applies no patch at all.",
        "quota: {dedicated_vm: true}",
    ),
    rule_of(
        "patch-dropped",
        Severity::Warning,
        Subject::License,
        "CoCalc's check does not like the patch and drops all of it, in silence. An error if it is the patch under review.",
        r#"[{"op":"add"}], which has no path"#,
    ),
    rule_of(
        "candidate-not-applied",
        Severity::Warning,
        Subject::License,
        "The patch under review does not reach the pod.",
        "--for-license of an expired license",
    ),
    rule_of(
        "yaml-patch",
        Severity::Note,
        Subject::Making,
        "The patch was given as YAML; the license's field takes JSON only.",
        "- {op: remove, path: /spec/hostname}",
    ),
    rule_of(
        "merge-patch",
        Severity::Note,
        Subject::Making,
        "A merge patch was given, and a license takes a JSON Patch: the operations that it would be.",
        r#"{"metadata": {"labels": {"team": "bio"}}}"#,
    ),
    rule_of(
        "order-matters",
        Severity::Warning,
        Subject::Making,
        "The made patch gives the wanted pod only after the other licenses' patches; licenses are applied in the order of their ids.",
        "a patch that edits what another license adds",
    ),
    rule_of(
        "assumption",
        Severity::Note,
        Subject::Making,
        "Under another assumption about CoCalc's closed part the rendered pod would have what the live pod has.",
        "memory: 16G in a live pod where 16000Mi is rendered",
    ),
    rule_of(
        "unexplained-difference",
        Severity::Warning,
        Subject::Making,
        "The live pod and the rendered one differ in a way that no assumption explains.",
        "a label that somebody added to the running pod",
    ),
    rule_of(
        "frozen-value",
        Severity::Warning,
        Subject::Making,
        "The patch writes a value that a placeholder or the quota would compute.",
        "an edited memory limit",
    ),
    rule_of(
        "live-indices",
        Severity::Warning,
        Subject::Making,
        "The patch is made for a live pod; the template may have other indices.",
        "--before live.yaml without a template",
    ),
    rule_of(
        "no-edit",
        Severity::Note,
        Subject::Making,
        "There is no difference that a patch would make.",
        "two equal files",
    ),
    rule_of(
        "belongs-to-kubernetes",
        Severity::Note,
        Subject::Making,
        "An edit of what the API server or admission writes is left out.",
        "an edited status",
    ),
    rule_of(
        "not-in-template",
        Severity::Warning,
        Subject::Making,
        "What was removed from the live pod is not in the template, so no patch removes it.",
        "an injected volume",
    ),
    rule_of(
        "injected-element-edited",
        Severity::Warning,
        Subject::Making,
        "An injected element was edited; the patch adds it whole.",
        "an injected sidecar with another image",
    ),
    rule_of(
        "injected-kept",
        Severity::Note,
        Subject::Making,
        "The patch writes what admission would only have added to an empty place.",
        "pull secrets of the service account",
    ),
    rule_of(
        "order-without-meaning",
        Severity::Note,
        Subject::Making,
        "A change of order that Kubernetes does not see is left out.",
        "tolerations in another order",
    ),
    rule_of(
        "key-not-addressable",
        Severity::Note,
        Subject::Making,
        "A map is replaced as a whole, because CoCalc's library refuses a path to one of its keys.",
        "a key __proto__",
    ),
    rule_of(
        "list-replaced",
        Severity::Note,
        Subject::Making,
        "A list is replaced as a whole, because too many elements differ.",
        "2,000 other variables",
    ),
    rule_of(
        "guard-left-out",
        Severity::Warning,
        Subject::Making,
        "An index is not tested, because CoCalc's library cannot compare the value.",
        "a value with a member hasOwnProperty",
    ),
    rule_of(
        "new-template-fails",
        Severity::Error,
        Subject::Making,
        "A patch that works with the present template fails with the new one.",
        "--new-template new.yaml",
    ),
    rule_of(
        "new-template-project-container",
        Severity::Warning,
        Subject::Making,
        "The index of the project's container means another container in the new template: the quota moves into it.",
        "project_container: 0, and a sidecar that comes first",
    ),
    rule_of(
        "new-template-other-element",
        Severity::Warning,
        Subject::Making,
        "An index means another element in the new template.",
        "/spec/containers/0 was project, is datastore",
    ),
    rule_of(
        "quota-without-a-place",
        Severity::Warning,
        Subject::Template,
        "The template has no place for a value of the quota.",
        "no container to take the memory limit",
    ),
    rule_of(
        "placeholder-misspelt",
        Severity::Warning,
        Subject::Template,
        "A word in braces is no placeholder and stays as it is.",
        "{PROJECT_TAGS}",
    ),
    rule_of(
        "placeholder-left",
        Severity::Note,
        Subject::Template,
        "No project is named, so placeholders stay as they are.",
        "render --example without a project",
    ),
    rule_of(
        "placeholder-unescaped",
        Severity::Warning,
        Subject::Template,
        "A placeholder's value holds a quote or a backslash and is put into the template's text as it is.",
        r#"--set PROJECT_TAG='a"b'"#,
    ),
    rule_of(
        "template-duplicate-key",
        Severity::Warning,
        Subject::Template,
        "A key stands twice in one object; CoCalc takes the last.",
        r#"{"spec": {}, "spec": {}}"#,
    ),
    rule_of(
        "not-a-pod",
        Severity::Error,
        Subject::Template,
        "The result is no object of kind Pod with a name.",
        "a patch that replaces the root",
    ),
    rule_of(
        "operation-without-effect",
        Severity::Warning,
        Subject::Operation,
        "CoCalc accepts the operation, and it does nothing.",
        r#"{"op":"remove","path":"/metadata/labels/none"}"#,
    ),
    rule_of(
        "operation-fails",
        Severity::Error,
        Subject::Operation,
        "CoCalc fails at the operation, and the project does not start.",
        r#"{"op":"move","from":"","path":"/spec/old"}"#,
    ),
    rule_of(
        "missing-parent",
        Severity::Error,
        Subject::Operation,
        "Something on the path is not there, so the project does not start.",
        r#"{"op":"add","path":"/spec/affinity/nodeAffinity","value":{}}"#,
    ),
    rule_of(
        "append-without-list",
        Severity::Error,
        Subject::Operation,
        "The list to append to is not there, so the project does not start.",
        r#"{"op":"add","path":"/spec/hostAliases/-","value":{}}"#,
    ),
    rule_of(
        "test-fails",
        Severity::Error,
        Subject::Operation,
        "The value is not the one tested for, so the project does not start.",
        r#"{"op":"test","path":"/spec/containers/0/name","value":"other"}"#,
    ),
    rule_of(
        "banned-name",
        Severity::Error,
        Subject::Operation,
        "CoCalc's library refuses __proto__ and constructor/prototype in paths, even as ordinary names.",
        r#"{"op":"add","path":"/metadata/labels/__proto__","value":"x"}"#,
    ),
    rule_of(
        "test-has-own-property",
        Severity::Error,
        Subject::Operation,
        "CoCalc's library cannot compare values with a member hasOwnProperty.",
        r#"{"op":"test","path":"/metadata/labels","value":{"hasOwnProperty":"x"}}"#,
    ),
    rule_of(
        "move-target-not-yet-there",
        Severity::Error,
        Subject::Operation,
        "The target of the move is only there once the value is gone from its old place; CoCalc looks first.",
        r#"{"op":"move","from":"/l/0","path":"/l/1/b/c"}"#,
    ),
    rule_of(
        "path-not-text",
        Severity::Error,
        Subject::Operation,
        r#"The path is no string: CoCalc fails at it, or takes 0 and false as a member "undefined"."#,
        r#"{"op":"remove","path":5}"#,
    ),
    rule_of(
        "path-without-slash",
        Severity::Warning,
        Subject::Operation,
        "The path does not start with a slash: CoCalc drops everything before the first one.",
        r#"{"op":"add","path":"metadata/name","value":"x"}"#,
    ),
    rule_of(
        "bad-escape",
        Severity::Warning,
        Subject::Operation,
        "A ~ is followed by neither 0 nor 1: CoCalc takes it as it stands.",
        r#"{"op":"add","path":"/metadata/labels/a~b","value":"x"}"#,
    ),
    rule_of(
        "empty-index",
        Severity::Warning,
        Subject::Operation,
        "A path ends with a slash where an index is needed: CoCalc takes it as 0.",
        r#"{"op":"add","path":"/spec/tolerations/","value":{}}"#,
    ),
    rule_of(
        "leading-zero",
        Severity::Warning,
        Subject::Operation,
        "An index has a leading zero: CoCalc takes it as the number.",
        r#"{"op":"remove","path":"/spec/containers/01"}"#,
    ),
    rule_of(
        "index-wraps",
        Severity::Warning,
        Subject::Operation,
        "An index has more than 31 bits: CoCalc wraps it.",
        r#"{"op":"remove","path":"/spec/containers/4294967296"}"#,
    ),
    rule_of(
        "list-length",
        Severity::Warning,
        Subject::Operation,
        r#""length" is a property of JavaScript's lists: writing it cuts or stretches the list."#,
        r#"{"op":"replace","path":"/spec/containers/length","value":1}"#,
    ),
    rule_of(
        "inherited-name",
        Severity::Warning,
        Subject::Operation,
        "The name is one that every JavaScript object inherits: nothing of the pod changes.",
        r#"{"op":"add","path":"/metadata/labels/constructor/x","value":1}"#,
    ),
    rule_of(
        "below-scalar",
        Severity::Warning,
        Subject::Operation,
        "Something on the path is a string, a number or a boolean: CoCalc writes nothing below it.",
        r#"{"op":"add","path":"/metadata/name/x","value":1}"#,
    ),
    rule_of(
        "remove-by-name",
        Severity::Warning,
        Subject::Operation,
        "A list element is removed by a name: CoCalc removes the first one.",
        r#"{"op":"remove","path":"/spec/containers/datastore"}"#,
    ),
    rule_of(
        "list-element-by-name",
        Severity::Warning,
        Subject::Operation,
        "A list element is written by a name: nothing is printed.",
        r#"{"op":"add","path":"/spec/containers/redis","value":{}}"#,
    ),
    rule_of(
        "index-past-end",
        Severity::Warning,
        Subject::Operation,
        "The index is past the end of the list: CoCalc appends.",
        r#"{"op":"add","path":"/spec/tolerations/9","value":{}}"#,
    ),
    rule_of(
        "replace-at-end",
        Severity::Warning,
        Subject::Operation,
        "There is nothing to replace at the end of the list: CoCalc appends.",
        r#"{"op":"replace","path":"/spec/tolerations/-","value":{}}"#,
    ),
    rule_of(
        "replace-past-end",
        Severity::Warning,
        Subject::Operation,
        "The index is past the end of the list: CoCalc fills the gap with null.",
        r#"{"op":"replace","path":"/spec/tolerations/9","value":{}}"#,
    ),
    rule_of(
        "replace-missing",
        Severity::Note,
        Subject::Operation,
        "There is nothing to replace: CoCalc adds it, other tools fail.",
        r#"{"op":"replace","path":"/spec/priorityClassName","value":"x"}"#,
    ),
    rule_of(
        "value-missing",
        Severity::Warning,
        Subject::Operation,
        "The operation has no value: CoCalc deletes the member, or puts null into the list.",
        r#"{"op":"add","path":"/metadata/labels"}"#,
    ),
    rule_of(
        "from-missing",
        Severity::Warning,
        Subject::Operation,
        "The operation has no from: CoCalc deletes what stands at its path, or puts null there.",
        r#"{"op":"copy","path":"/metadata/labels"}"#,
    ),
    rule_of(
        "from-nothing",
        Severity::Warning,
        Subject::Operation,
        "Nothing stands at from: CoCalc deletes what stands at the path, or puts null there.",
        r#"{"op":"move","from":"/metadata/none","path":"/metadata/labels"}"#,
    ),
    rule_of(
        "move-into-itself",
        Severity::Warning,
        Subject::Operation,
        "A value is moved into itself: in a list it ends up in its neighbour.",
        r#"{"op":"move","from":"/spec/containers/0","path":"/spec/containers/0/inner"}"#,
    ),
    rule_of(
        "root-removed",
        Severity::Warning,
        Subject::Operation,
        "The whole document is removed: CoCalc goes on with null.",
        r#"{"op":"remove","path":""}"#,
    ),
    rule_of(
        "number-out-of-range",
        Severity::Warning,
        Subject::Operation,
        "A number is beyond what a double can hold: CoCalc sends null.",
        r#"{"op":"add","path":"/spec/priority","value":1e400}"#,
    ),
    rule_of(
        "number-rounded",
        Severity::Note,
        Subject::Operation,
        "A whole number is above 9007199254740991: CoCalc rounds it.",
        r#"{"op":"test","path":"/spec/priority","value":9007199254740993}"#,
    ),
    rule_of(
        "operation-duplicate-key",
        Severity::Warning,
        Subject::Operation,
        "A key stands twice in one object of an operation; CoCalc takes the last.",
        r#"{"op":"add","path":"/spec/hostname","path":"/spec/subdomain","value":"x"}"#,
    ),
    rule_of(
        "lone-surrogate",
        Severity::Warning,
        Subject::Operation,
        "A string holds half of a surrogate pair, which Kubernetes cannot store.",
        r#"{"op":"add","path":"/metadata/labels/x","value":"\ud800"}"#,
    ),
    rule_of(
        "add-overwrites",
        Severity::Warning,
        Subject::Operation,
        "Something is there already and is overwritten. A note if it is a single value.",
        r#"{"op":"add","path":"/spec/tolerations","value":[]}"#,
    ),
    rule_of(
        "index-without-guard",
        Severity::Warning,
        Subject::Operation,
        "An index is relied on without a test of what stands there.",
        r#"{"op":"replace","path":"/spec/containers/0/image","value":"x"}"#,
    ),
    rule_of(
        "depends-on-other-license",
        Severity::Note,
        Subject::Operation,
        "The operation relies on what another license's patch has put there; patches are applied in the order of the licenses' ids.",
        r#"{"op":"add","path":"/spec/affinity/nodeAffinity","value":{}}, where another license adds /spec/affinity"#,
    ),
    rule_of(
        "undoes-other-license",
        Severity::Warning,
        Subject::Operation,
        "The operation overwrites or removes what another license's patch has put there.",
        r#"{"op":"remove","path":"/spec/affinity"}, where another license adds it"#,
    ),
    rule_of(
        "pod-unknown-field",
        Severity::Error,
        Subject::Pod,
        "Kubernetes knows no such field and drops it; with strict validation the pod is refused.",
        "nodeSelecter: {}",
    ),
    rule_of(
        "pod-wrong-type",
        Severity::Error,
        Subject::Pod,
        "The value is of another type than the field.",
        "env: [{name: N, value: 5}]",
    ),
    rule_of(
        "pod-quantity",
        Severity::Error,
        Subject::Pod,
        "The value is no quantity, or not a whole number of pieces.",
        "memory: 8GB",
    ),
    rule_of(
        "pod-kind",
        Severity::Error,
        Subject::Pod,
        "The object is no Pod of v1.",
        "kind: Deployment",
    ),
    rule_of(
        "pod-kind-missing",
        Severity::Note,
        Subject::Pod,
        "kind or apiVersion is missing; the API server does not mind.",
        "a pod without kind",
    ),
    rule_of(
        "pod-required",
        Severity::Error,
        Subject::Pod,
        "A field that is needed is missing or empty.",
        "a container without image",
    ),
    rule_of(
        "pod-name",
        Severity::Error,
        Subject::Pod,
        "A name has characters that are not allowed, or too many.",
        "metadata.name: Project_1",
    ),
    rule_of(
        "pod-label",
        Severity::Error,
        Subject::Pod,
        "A label's key or value has characters that are not allowed, or too many.",
        "mylabel: not valid!",
    ),
    rule_of(
        "pod-annotation",
        Severity::Error,
        Subject::Pod,
        "An annotation's key or value is not allowed, or all together are too large.",
        "a key with a blank",
    ),
    rule_of(
        "pod-env-name",
        Severity::Error,
        Subject::Pod,
        "The name of an environment variable is not allowed.",
        "name: A=B",
    ),
    rule_of(
        "pod-env-name-unusual",
        Severity::Warning,
        Subject::Pod,
        "The name of an environment variable is allowed by new API servers only.",
        "name: A B",
    ),
    rule_of(
        "pod-env-control-character",
        Severity::Warning,
        Subject::Pod,
        "The value of an environment variable holds a NUL or an escape character.",
        r#"value: "a\0b""#,
    ),
    rule_of(
        "pod-duplicate-env",
        Severity::Warning,
        Subject::Pod,
        "An environment variable is set twice, the second time without the first value; the last one counts.",
        "two variables PATH",
    )
    .as_the_server(),
    rule_of(
        "pod-unsupported-value",
        Severity::Error,
        Subject::Pod,
        "The value is none of those that Kubernetes knows.",
        "restartPolicy: always",
    ),
    rule_of(
        "pod-out-of-range",
        Severity::Error,
        Subject::Pod,
        "A number is too small or too large.",
        "containerPort: 70000",
    ),
    rule_of(
        "pod-invalid",
        Severity::Error,
        Subject::Pod,
        "The value does not fit the others.",
        "a volumeDevice that is no claim",
    ),
    rule_of(
        "pod-forbidden",
        Severity::Error,
        Subject::Pod,
        "The field is not allowed here.",
        "a livenessProbe of an init container",
    ),
    rule_of(
        "pod-one-of",
        Severity::Error,
        Subject::Pod,
        "Exactly one of several fields must be there.",
        "a volume that is emptyDir and hostPath",
    ),
    rule_of(
        "pod-duplicate-name",
        Severity::Error,
        Subject::Pod,
        "Two elements of a list have the same name.",
        "two volumes home",
    ),
    rule_of(
        "pod-duplicate-path",
        Severity::Error,
        Subject::Pod,
        "Two mounts of a container, or two files of a volume, have the same path.",
        "two volumeMounts at /tmp",
    ),
    rule_of(
        "pod-mount-without-volume",
        Severity::Error,
        Subject::Pod,
        "A mount names a volume that the pod does not have.",
        "volumeMounts: [{name: nope, mountPath: /x}]",
    ),
    rule_of(
        "pod-path",
        Severity::Error,
        Subject::Pod,
        "A path is absolute where it must be relative, the reverse, or leads upwards.",
        "subPath: ../x",
    ),
    rule_of(
        "pod-resource-name",
        Severity::Error,
        Subject::Pod,
        "There is no such resource of a container.",
        "limits: {gpu: 1}",
    ),
    rule_of(
        "pod-request-above-limit",
        Severity::Error,
        Subject::Pod,
        "A request exceeds its limit, or differs where it must be equal.",
        "requests 8Gi, limits 4Gi",
    ),
    rule_of(
        "pod-address",
        Severity::Error,
        Subject::Pod,
        "The text is no IP address.",
        "hostAliases: [{ip: license}]",
    ),
    rule_of(
        "pod-old-address",
        Severity::Warning,
        Subject::Pod,
        "Kubernetes 1.36 and newer refuse this form of an IP address.",
        "nameservers: [010.0.0.1]",
    ),
    rule_of(
        "pod-priority",
        Severity::Warning,
        Subject::Pod,
        "The API server computes the priority and refuses another number.",
        "priority: 5",
    ),
    rule_of(
        "pod-volume-without-type",
        Severity::Note,
        Subject::Pod,
        "A volume has no type and becomes an empty directory.",
        "volumes: [{name: lab}]",
    ),
    rule_of(
        "pod-volume-unsupported",
        Severity::Warning,
        Subject::Pod,
        "Kubernetes accepts this type of volume and cannot mount it any more.",
        "cephfs: {…}",
    )
    .as_the_server(),
    rule_of(
        "pod-empty-dir-medium",
        Severity::Warning,
        Subject::Pod,
        "There is no such medium; the pod is accepted and does not start.",
        "medium: memory",
    ),
    rule_of(
        "pod-claim-name",
        Severity::Warning,
        Subject::Pod,
        "No claim can have this name; the pod is accepted and does not start.",
        "claimName: Bad_Claim",
    ),
    rule_of(
        "pod-relative-mount-path",
        Severity::Warning,
        Subject::Pod,
        "A mountPath is relative.",
        "mountPath: tmp",
    ),
    rule_of(
        "pod-colon-in-mount-path",
        Severity::Warning,
        Subject::Pod,
        "A mountPath holds a colon.",
        "mountPath: /a:b",
    ),
    rule_of(
        "pod-same-mount-path",
        Severity::Warning,
        Subject::Pod,
        "Two mounts lead to the same place, written differently.",
        "/tmp and /tmp/",
    ),
    rule_of(
        "pod-duplicate-port",
        Severity::Warning,
        Subject::Pod,
        "A port is declared twice, by whatever containers.",
        "two ports 2222/TCP",
    )
    .as_the_server(),
    rule_of(
        "pod-null",
        Severity::Warning,
        Subject::Pod,
        "A label is null and becomes an empty text.",
        "mylabel: null",
    ),
    rule_of(
        "pod-negative-grace",
        Severity::Warning,
        Subject::Pod,
        "A negative grace period counts as one second.",
        "terminationGracePeriodSeconds: -5",
    ),
    rule_of(
        "pod-host-name",
        Severity::Warning,
        Subject::Pod,
        "The pod's name is its host name, and has a dot or more than 63 characters.",
        "a name of 100 characters",
    )
    .as_the_server(),
    rule_of(
        "pod-fractional-bytes",
        Severity::Warning,
        Subject::Pod,
        "Memory or storage is no whole number of bytes; mostly m was written for M.",
        "memory: 512m",
    )
    .as_the_server(),
    rule_of(
        "pod-overlapping-paths",
        Severity::Warning,
        Subject::Pod,
        "Two files of a volume have the same path, or one is a folder of the other.",
        "items at a and a/b",
    )
    .as_the_server(),
    rule_of(
        "pod-projection-without-source",
        Severity::Warning,
        Subject::Pod,
        "A source of a projected volume is empty.",
        "sources: [{}]",
    )
    .as_the_server(),
    rule_of(
        "pod-null-selector",
        Severity::Warning,
        Subject::Pod,
        "A spread constraint or an affinity between pods has no label selector, and matches no pod.",
        "podAffinityTerm: {topologyKey: zone}",
    )
    .as_the_server(),
    rule_of(
        "pod-pull-secret",
        Severity::Warning,
        Subject::Pod,
        "A pull secret has no name, or is named twice.",
        "imagePullSecrets: [{name: a}, {name: a}]",
    )
    .as_the_server(),
    rule_of(
        "pod-duplicate-host-alias",
        Severity::Warning,
        Subject::Pod,
        "An address of hostAliases stands there twice.",
        "two entries with ip: 10.0.0.1",
    )
    .as_the_server(),
    rule_of(
        "pod-old-node-label",
        Severity::Warning,
        Subject::Pod,
        "A selector, an affinity or a spread constraint asks for a label that Kubernetes has given up.",
        "nodeSelector: {beta.kubernetes.io/arch: amd64}",
    )
    .as_the_server(),
    rule_of(
        "pod-label-of-no-node",
        Severity::Warning,
        Subject::Pod,
        "A preferred node affinity asks for what is no value of a label.",
        "values: [not valid!]",
    )
    .as_the_server(),
    rule_of(
        "pod-old-annotation",
        Severity::Warning,
        Subject::Pod,
        "A field has replaced this annotation.",
        "container.apparmor.security.beta.kubernetes.io/project",
    )
    .as_the_server(),
    rule_of(
        "pod-duplicate-port-name",
        Severity::Warning,
        Subject::Pod,
        "Ports of two containers have the same name.",
        "http in project and in init",
    )
    .as_the_server(),
    rule_of(
        "pod-host-ip-without-port",
        Severity::Warning,
        Subject::Pod,
        "A port has an address of the node, and no port of the node.",
        "hostIP: 10.0.0.1",
    )
    .as_the_server(),
    rule_of(
        "pod-address-form",
        Severity::Warning,
        Subject::Pod,
        "An IPv6 address is not in its shortest form.",
        "nameservers: [FD00::1]",
    )
    .as_the_server(),
    rule_of(
        "pod-duplicate-owner",
        Severity::Warning,
        Subject::Pod,
        "The same owner is named twice.",
        "ownerReferences with the same entry twice",
    )
    .as_the_server(),
    rule_of(
        "pod-server-field",
        Severity::Note,
        Subject::Pod,
        "The API server sets this field itself and drops what is here.",
        "metadata.uid",
    ),
    rule_of(
        "project-identity",
        Severity::Error,
        Subject::Change,
        "A patch changes the name or a label by which CoCalc finds the pod.",
        r#"{"op":"replace","path":"/metadata/labels/run","value":"x"}"#,
    ),
    rule_of(
        "mount-hides-platform",
        Severity::Warning,
        Subject::Change,
        "A patch mounts a volume at or above what CoCalc itself puts there.",
        "mountPath: /home/user",
    ),
    rule_of(
        "mount-hides-system",
        Severity::Warning,
        Subject::Change,
        "A patch mounts a volume over a directory that Linux needs.",
        "mountPath: /usr",
    ),
    rule_of(
        "mount-in-home",
        Severity::Note,
        Subject::Change,
        "The kubelet makes the mount point in the project's home directory, owned by root.",
        "mountPath: /home/user/lab",
    ),
    rule_of(
        "volume-without-mount",
        Severity::Note,
        Subject::Change,
        "No container mounts a volume that a patch added, or whose mounts it removed.",
        r#"{"op":"add","path":"/spec/volumes/-","value":{"name":"lab","emptyDir":{}}}, and nothing else"#,
    ),
    rule_of(
        "privileged-container",
        Severity::Warning,
        Subject::Change,
        "A patch makes a container privileged.",
        "securityContext: {privileged: true}",
    ),
    rule_of(
        "host-namespace",
        Severity::Warning,
        Subject::Change,
        "A patch lets the project see its node's network, processes or shared memory.",
        "hostNetwork: true",
    ),
    rule_of(
        "host-path",
        Severity::Warning,
        Subject::Change,
        "A patch gives the project a directory of its node.",
        "hostPath: {path: /}",
    ),
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// Ids of rules in the sources: names joined by `-` that are an argument of what makes findings.
    fn used() -> BTreeSet<String> {
        let makers = [
            "Finding::new(",
            "Note::new(",
            ".note(",
            ".warning(",
            ".warning_at(",
            ".warning_with(",
            ".push((",
            ".error(",
            ".error_at(",
            ".error_with(",
            ".error_full(",
            ".syntax(",
            "warn(",
            "error(",
            "WITHOUT_EFFECT: &str =",
        ];
        let mut used = BTreeSet::new();
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]").next().unwrap();
                let mut pieces = text.split('"');
                let mut before = pieces.next().unwrap().to_owned();
                // Quotes come in pairs, but for those in characters, which only shift the pairs.
                for piece in pieces {
                    let id =
                        piece.contains('-') && piece.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
                    let start = before.trim_end();
                    if id && makers.iter().any(|maker| start.ends_with(maker)) {
                        used.insert(piece.to_owned());
                    }
                    before = piece.to_owned();
                }
            }
        }
        used
    }

    #[test]
    fn every_rule_that_a_finding_can_have_is_in_the_table() {
        let table: BTreeSet<String> = rules().iter().map(|rule| rule.id.to_owned()).collect();
        let used = used();
        assert!(used.len() > 80, "{used:?}");
        let missing: Vec<_> = used.difference(&table).collect();
        assert_eq!(missing, [""; 0]);
    }

    #[test]
    fn every_rule_of_the_table_is_used() {
        let mut sources = String::new();
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.file_name().unwrap() != "rules.rs" {
                    sources.push_str(&fs::read_to_string(&path).unwrap());
                }
            }
        }
        for rule in rules() {
            let quoted =
                sources.contains(&format!("\"{}\"", rule.id)) || sources.contains(&format!("[{}]", rule.id));
            assert!(quoted, "nothing has the rule {}", rule.id);
        }
    }

    #[test]
    fn no_id_stands_twice_and_every_rule_is_a_sentence() {
        let ids: BTreeSet<_> = rules().iter().map(|rule| rule.id).collect();
        assert_eq!(ids.len(), rules().len());
        for rule in rules() {
            assert!(
                rule.explanation.ends_with('.') && !rule.example.is_empty(),
                "{rule:?}"
            );
            assert_eq!(super::rule(rule.id), Some(rule));
        }
    }
}
