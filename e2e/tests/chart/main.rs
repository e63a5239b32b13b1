//! The chart as helm renders it: what the API server says of it, and that it says what the code says.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a helper of tests that cannot go on has failed its test"
)]

mod helm;
mod rights;

use e2e::kubectl::kubectl;
use operator::admission::configuration;
use operator::args::Args;
use serde_json::{Value, json};

use crate::helm::{Rendered, helm, refusal, render};

/// Sets of values that together use every value.
const VALUES: [&[&str]; 4] = [
    &[],
    &["--set", "replicas=1,networkPolicy.enabled=false,priorityClassName=system-cluster-critical,log.format=text"],
    &[
        "--set",
        "ca.secretName=own-ca,issuers.keysMaxStale=24h,issuers.allowedNetworks={10.0.0.0/8,fd00::/8},trustDomain=example.com",
        "--set",
        "clusterDomain=k8s.example,log.level=debug,sidecar.resources.requests.cpu=1m,sidecar.resources.limits.memory=1Gi,sidecar.resources.limits.cpu=2",
    ],
    &[
        "--set-json",
        r#"images={"operator":{"registry":"","repository":"team/o","tag":"9"},"sidecar":{"registry":"r.example:5000","repository":"s","tag":"8"},"pullSecrets":[{"name":"x"}]}"#,
        "--set-json",
        r#"tolerations=[{"key":"a","operator":"Exists"}]"#,
        "--set",
        "nodeSelector.a=b,podLabels.team=x,podAnnotations.note=y,networkPolicy.egressPorts={443},networkPolicy.apiServers={10.0.0.0/24,fd00::/64},resources.requests.cpu=1",
    ],
];

#[tokio::test]
async fn the_api_server_takes_what_is_rendered() -> anyhow::Result<()> {
    helm(&["lint", "--strict", helm::CHART]).await?.success()?;
    for values in VALUES {
        let rendered = render(values).await?;
        let answer =
            kubectl(&["apply", "--server-side", "--dry-run=server", "--force-conflicts", "-f", "-"], &rendered.text)
                .await?;
        assert!(!answer.stderr.contains("arning"), "{values:?}: {}", answer.stderr);
        answer.success()?;
    }
    Ok(())
}

#[tokio::test]
async fn webhooks_are_those_of_the_code() -> anyhow::Result<()> {
    let rendered = render(&[]).await?;
    for wanted in [configuration::mutating(helm::NAMESPACE), configuration::validating(helm::NAMESPACE)] {
        let found = rendered.one(wanted["kind"].as_str().unwrap());
        for member in ["apiVersion", "kind", "webhooks"] {
            assert_eq!(found[member], wanted[member]);
        }
        assert_eq!(found["metadata"]["name"], wanted["metadata"]["name"]);
    }
    let service = rendered.one("Service");
    assert_eq!(service["metadata"]["name"], configuration::SERVICE);
    let ports = service["spec"]["ports"].as_array().unwrap();
    assert!(ports.iter().any(|port| port["port"] == json!(configuration::PORT)));
    Ok(())
}

#[tokio::test]
async fn every_value_reaches_the_operator() -> anyhow::Result<()> {
    let plain = arguments(&render(VALUES[0]).await?);
    // As the code has them by itself: `doorward inject` gives what the webhook gives.
    assert_eq!(plain.injection()?, arguments_of(&[]).injection()?);
    assert_eq!(format!("{plain:?}"), format!("{:?}", arguments_of(&[])));

    let set = arguments(&render(VALUES[2]).await?);
    assert_eq!((set.trust_domain.as_str(), set.cluster_domain.as_str()), ("example.com", "k8s.example"));
    assert_eq!(set.issuer_networks, ["10.0.0.0/8".parse()?, "fd00::/8".parse()?]);
    assert_eq!(set.keys_max_stale.map(|time| time.as_secs()), Some(86_400));
    assert_eq!((set.ca_secret.as_deref(), set.log_level.as_str()), (Some("own-ca"), "debug"));
    let resources = set.injection()?.resources;
    assert_eq!((resources.cpu.as_str(), resources.memory_limit.as_str()), ("1m", "1Gi"));

    let images = render(VALUES[3]).await?;
    assert_eq!(container(&images)["image"], "team/o:9");
    assert_eq!(arguments(&images).sidecar_image, "r.example:5000/s:8");
    let default = concat!("docker.io/doorward/capture:", env!("CARGO_PKG_VERSION"));
    assert_eq!(arguments(&images).capture_image, default);
    Ok(())
}

#[tokio::test]
async fn wrong_values_are_refused() -> anyhow::Result<()> {
    for (wrong, named) in [
        ("replica=3", "replica"),
        ("replicas=0", "replicas"),
        ("log.level=verbose", "level"),
        ("issuers.allowedNetwork={10.0.0.0/8}", "allowedNetwork"),
        ("issuers.allowedNetworks={10.0.0.0}", "allowedNetworks"),
        ("issuers.keysMaxStale=1d", "keysMaxStale"),
        ("images.sidecar.tags=1", "tags"),
        ("images.sidecar.repository=UPPER", "repository"),
        ("sidecar.resources.limits.memory=lots", "memory"),
        ("sidecar.resources.limits.memory=128m", "memory"),
        ("sidecar.resources.limits.cpu=lots", "cpu"),
        ("networkPolicy.apiServers={10.0.0.1}", "apiServers"),
        ("trustDomain=https://x", "trustDomain"),
        ("networkPolicy.enabled=perhaps", "enabled"),
    ] {
        let told = refusal(&["--set", wrong]).await?;
        assert!(told.contains(named), "{wrong}: {told}");
    }
    let told = refusal(&["--kube-version", "1.32.9"]).await?;
    assert!(told.contains("1.33.0"), "{told}");
    // As part of another chart.
    render(&["--set", "global.anything=1"]).await?;
    Ok(())
}

#[tokio::test]
async fn the_definition_is_kept_and_the_versions_are_one() -> anyhow::Result<()> {
    let rendered = render(&[]).await?;
    let found = rendered.one("CustomResourceDefinition");
    assert_eq!(found["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    let written: Value = serde_yaml::from_str(include_str!("../../../crds/doorward.dev_apiauthpolicies.yaml"))?;
    assert_eq!(normal(&found["spec"]), normal(&written["spec"]));
    let chart: Value = serde_yaml::from_str(include_str!("../../../charts/doorward/Chart.yaml"))?;
    for member in ["version", "appVersion"] {
        assert_eq!(chart[member], env!("CARGO_PKG_VERSION"));
    }
    Ok(())
}

/// helm writes `1.0` as `1`.
fn normal(value: &Value) -> Value {
    match value {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), normal(value))).collect(),
        Value::Array(items) => items.iter().map(normal).collect(),
        Value::Number(number) => json!(number.as_f64()),
        other => other.clone(),
    }
}

fn container(rendered: &Rendered) -> Value {
    rendered.one("Deployment")["spec"]["template"]["spec"]["containers"][0].clone()
}

fn arguments(rendered: &Rendered) -> Args {
    let args = container(rendered)["args"].clone();
    let args: Vec<&str> = args.as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
    arguments_of(&args)
}

fn arguments_of(args: &[&str]) -> Args {
    let own = ["doorward-operator", "--name=x", "--namespace=doorward"];
    clap::Parser::parse_from(own.iter().chain(args))
}
