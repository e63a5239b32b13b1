//! `doorward inject`: the same as the webhook, for what people have in files.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper of tests that cannot go on has failed its test"
)]

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use clap::Parser;
use compile::source;
use operator::admission::{Lookup, PODS_PATH, Service, Unavailable};
use operator::args::Args;
use operator::inject::Settings;
use serde_json::{Value, json};

fn run(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_doorward"))
        .arg("inject")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn read(text: &str) -> Vec<Value> {
    source::read("test", text).unwrap().into_iter().map(|document| document.value).collect()
}

/// What comes out for objects that go in.
fn injected(input: &str) -> Vec<Value> {
    let output = run(&["-f", "-"], input);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    read(&String::from_utf8(output.stdout).unwrap())
}

fn pod(annotations: &str) -> String {
    format!(
        "metadata:
  name: orders
  annotations: {annotations}
spec:
  containers:
  - name: app
    image: app
    ports: [{{containerPort: 3000, name: http}}]
    readinessProbe: {{httpGet: {{path: /ready, port: http}}}}
    env: [{{name: A, value: 'yes'}}, {{name: B, value: '0777'}}, {{name: C, value: 'null'}}, {{name: D, value: \"a\\nb\"}}]
"
    )
}

const ASKS: &str = "{doorward.dev/inject: 'true'}";

/// A manifest of a kind, with the pod where that kind has it.
fn workload(kind: &str, path: &[&str]) -> Value {
    let mut value = read(&pod(ASKS)).remove(0);
    for name in path.iter().rev() {
        value = json!({*name: value});
    }
    let fields = value.as_object_mut().unwrap();
    fields.insert("kind".into(), kind.into());
    if !path.is_empty() {
        fields.insert("metadata".into(), json!({"name": "orders", "namespace": "shop"}));
    }
    value
}

const KINDS: [(&str, &[&str]); 9] = [
    ("Pod", &[]),
    ("PodTemplate", &["template"]),
    ("Deployment", &["spec", "template"]),
    ("StatefulSet", &["spec", "template"]),
    ("DaemonSet", &["spec", "template"]),
    ("ReplicaSet", &["spec", "template"]),
    ("ReplicationController", &["spec", "template"]),
    ("Job", &["spec", "template"]),
    ("CronJob", &["spec", "jobTemplate", "spec", "template"]),
];

fn first_of(object: &Value, path: &[&str]) -> Value {
    let pod = path.iter().fold(object, |value, name| &value[*name]);
    pod["spec"]["initContainers"][1]["name"].clone()
}

#[test]
fn every_kind_that_makes_pods_is_injected() {
    let inputs: Vec<Value> = KINDS.iter().map(|(kind, path)| workload(kind, path)).collect();
    let documents: Vec<String> = inputs.iter().map(Value::to_string).collect();
    let outputs = injected(&documents.join("\n---\n"));
    assert_eq!(outputs.len(), KINDS.len());
    for ((kind, path), output) in KINDS.iter().zip(&outputs) {
        assert_eq!((output["kind"].as_str(), first_of(output, path)), (Some(*kind), json!("doorward")), "{kind}");
    }
    let list = injected(&json!({"kind": "List", "items": inputs}).to_string());
    assert_eq!(list, [json!({"kind": "List", "items": outputs})]);
}

#[test]
fn what_makes_no_pod_is_passed_through() {
    let config_map =
        json!({"kind": "ConfigMap", "data": {"a": "two\nlines\n", "b": "x".repeat(500)}, "n": [1, true, null, {}]});
    let alone =
        workload("Deployment", &["spec", "template"]).to_string().replace("doorward.dev/inject", "example.com/x");
    let input = format!("{config_map}\n---\n{alone}\n---\n---\nkind: ApiAuthPolicy\n");
    assert_eq!(injected(&input), read(&input));
}

/// Readers of YAML 1.1, kubectl among them, must take for text what is text.
#[test]
fn words_that_kubectl_would_take_for_something_else_are_quoted() {
    let words = [
        "yes",
        "No",
        "on",
        "OFF",
        "y",
        "true",
        "~",
        "null",
        "0x1f",
        "0777",
        "1e3",
        "1_000",
        "12:30:45",
        "2001-01-01",
        "",
    ];
    let input = json!({"kind": "ConfigMap", "data": words}).to_string();
    assert_eq!(injected(&input), read(&input));
    let text = String::from_utf8(run(&["-f", "-"], &input).stdout).unwrap();
    for word in words {
        assert!(text.contains(&format!("- \"{word}\"")) || text.contains(&format!("- '{word}'")), "{word} in {text}");
    }
}

/// The API server, which knows a namespace without labels.
struct Api;

impl Lookup for Api {
    async fn namespace_labels(&self, _: &str) -> Result<BTreeMap<String, String>, Unavailable> {
        Ok(BTreeMap::new())
    }

    async fn config_map(&self, _: &str, _: &str) -> Result<Option<Arc<Value>>, Unavailable> {
        Ok(None)
    }
}

/// What vouches for the operator; whether it could is not looked at here.
const CA: &str = "-----BEGIN CERTIFICATE-----";

/// The pod that the API server has after the webhook was asked.
fn by_the_webhook(pod: &Value, arguments: &[&str]) -> Value {
    let arguments = Args::parse_from([&["doorward-operator"], arguments].concat());
    let settings = Settings { ca_bundle: CA.to_owned(), ..arguments.injection().unwrap() };
    let service = Service::new(Api, "doorward".into(), settings, compile::Settings::default());
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {"uid": "1", "operation": "CREATE", "namespace": "default", "object": pod},
    });
    let request = http::Request::post(PODS_PATH).body(Bytes::from(review.to_string())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let response = runtime.block_on(service.call(request));
    let response: Value = serde_json::from_slice(response.body()).unwrap();
    let patch =
        base64::engine::general_purpose::STANDARD.decode(response["response"]["patch"].as_str().unwrap()).unwrap();
    let mut pod = pod.clone();
    for operation in serde_json::from_slice::<Vec<Value>>(&patch).unwrap() {
        apply(&mut pod, &operation);
    }
    pod
}

/// One operation of RFC 6902, as far as the webhook uses them.
fn apply(pod: &mut Value, operation: &Value) {
    let (parent, key) = operation["path"].as_str().unwrap().rsplit_once('/').unwrap();
    let key = key.replace("~1", "/").replace("~0", "~");
    match (operation["op"].as_str().unwrap(), pod.pointer_mut(parent).unwrap()) {
        ("add" | "replace", Value::Object(fields)) => drop(fields.insert(key, operation["value"].clone())),
        ("remove", Value::Object(fields)) => drop(fields.shift_remove(&key)),
        ("add", Value::Array(entries)) => entries.insert(key.parse().unwrap(), operation["value"].clone()),
        ("replace", Value::Array(entries)) => entries[key.parse::<usize>().unwrap()] = operation["value"].clone(),
        (other, _) => panic!("unexpected operation `{other}`"),
    }
}

#[test]
fn the_webhook_does_the_same() {
    let annotations =
        "{doorward.dev/inject: 'true', doorward.dev/client-certificate: 'true', doorward.dev/tls-secret: x}";
    let manifest = format!("kind: Pod\napiVersion: v1\n{}", pod(annotations));
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.crt");
    std::fs::write(&ca, CA).unwrap();
    let with_ca = |manifest: &str, more: &[&str]| {
        let output = run(&[&["-f", "-", "--ca", ca.to_str().unwrap()], more].concat(), manifest);
        read(&String::from_utf8(output.stdout).unwrap()).remove(0)
    };
    let by_command = with_ca(&manifest, &[]);
    assert_eq!(by_command, by_the_webhook(&read(&manifest)[0], &[]));
    // As an operator with other values would, which has the same flags.
    let resources =
        ["--sidecar-cpu=10m", "--sidecar-cpu-limit=1", "--sidecar-memory=1Gi", "--sidecar-memory-limit=2Gi"];
    let with_values = with_ca(&manifest, &resources);
    assert_ne!(with_values, by_command);
    assert_eq!(with_values, by_the_webhook(&read(&manifest)[0], &resources));
    let refused = run(&["-f", "-", "--sidecar-memory=1Gi"], &manifest);
    assert!(String::from_utf8(refused.stderr).unwrap().contains("raise the limit"));
    // And what the command wrote passes the webhook unchanged.
    let written = serde_yaml::to_string(&by_command).unwrap();
    assert_eq!(with_ca(&written, &[]), by_command);
}

#[test]
fn refusals_name_file_line_and_field() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("orders.yaml");
    let manifest = "kind: Deployment
metadata: {name: orders}
spec:
  template:
    metadata:
      annotations:
        doorward.dev/injekt: \"true\"
    spec: {containers: [{name: app}]}
";
    std::fs::write(&file, manifest).unwrap();
    let output = run(&["-f", file.to_str().unwrap()], "");
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(1), true));
    let said = String::from_utf8(output.stderr).unwrap();
    let place = format!(
        "{}:7:30: error[unknown_annotation]: spec.template.metadata.annotations[doorward.dev/injekt]: \
         unknown annotation `doorward.dev/injekt`; did you mean `doorward.dev/inject`?",
        file.display()
    );
    assert!(said.contains(&place), "{said}");
    assert_eq!(run(&["-f", "/does/not/exist"], "").status.code(), Some(2));
    assert_eq!(run(&["-f", "-"], "a: [").status.code(), Some(1));
}

#[test]
fn flags_and_namespaces_count() {
    let namespace = "kind: Namespace
metadata: {name: shop, labels: {doorward.dev/injection: enabled, pod-security.kubernetes.io/enforce: baseline}}
---
";
    let manifest = format!("{namespace}kind: Pod\n{}", pod("{}"));
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.crt");
    std::fs::write(&ca, "the bundle").unwrap();
    let args = [
        "-f",
        "-",
        "-n",
        "shop",
        "--ca",
        ca.to_str().unwrap(),
        "--image",
        "i",
        "--capture-image",
        "c",
        "--operator",
        "https://o",
    ];
    let output = run(&args, &manifest);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("warning: metadata.annotations[doorward.dev/capture]: the namespace enforces"), "{said}");
    assert!(!said.contains("--ca"), "{said}");
    let pod = read(&String::from_utf8(output.stdout).unwrap()).remove(1);
    let containers = &pod["spec"]["initContainers"];
    assert_eq!((&containers[0]["image"], &containers[1]["image"]), (&json!("c"), &json!("i")));
    assert_eq!(containers[1]["env"][0], json!({"name": "DOORWARD_OPERATOR", "value": "https://o"}));
    assert_eq!(containers[1]["env"][1], json!({"name": "DOORWARD_CA_BUNDLE", "value": "the bundle"}));
    // Of another namespace nothing is known, and nothing is asked.
    assert_eq!(injected(&manifest), read(&manifest));
}
