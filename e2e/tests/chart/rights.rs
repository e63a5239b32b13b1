//! What the operator's pods may do and are: no more than SECURITY.md gives a reason for.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::helm::{helm, render};

/// The table of SECURITY.md: each right has a line, each line is a right.
#[tokio::test]
async fn every_right_has_its_reason() -> anyhow::Result<()> {
    let security = include_str!("../../../SECURITY.md");
    let table: BTreeSet<String> = security
        .lines()
        .skip_while(|line| !line.starts_with("| where | what |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('|').skip(1).take(3).map(str::trim).collect::<Vec<_>>().join(" | "))
        .collect();
    let mut given = BTreeSet::new();
    for values in [&[][..], &["--set", "ca.secretName=own-ca"]] {
        let rendered = render(values).await?;
        given.extend(rights(rendered.one("ClusterRole"), "cluster"));
        given.extend(rights(rendered.one("Role"), "own namespace"));
    }
    let given: BTreeSet<String> = given.iter().map(|line| line.replace("own-ca", "ca.secretName")).collect();
    assert_eq!(given, table);
    Ok(())
}

fn rights(role: &Value, place: &str) -> Vec<String> {
    let words = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let mut lines = Vec::new();
    for rule in role["rules"].as_array().unwrap() {
        assert_eq!(words(&rule["apiGroups"]).len(), 1);
        let names = words(&rule["resourceNames"]);
        let names = if names.is_empty() { String::new() } else { format!(" `{}`", names.join("`, `")) };
        for resource in words(&rule["resources"]) {
            lines.push(format!("{place} | `{resource}`{names} | {}", words(&rule["verbs"]).join(", ")));
        }
    }
    lines
}

#[tokio::test]
async fn nothing_can_be_read_or_written_that_is_not_ours() -> anyhow::Result<()> {
    let rendered = render(&[]).await?;
    for (kind, own) in [("ClusterRole", false), ("Role", true)] {
        for rule in rendered.one(kind)["rules"].as_array().unwrap() {
            let text = rule.to_string();
            assert!(!text.contains('*'), "{text}");
            assert!(own || !text.contains("secrets"), "{text}");
            let writes = ["create", "update", "patch", "delete"].iter().any(|verb| text.contains(verb));
            assert!(!(writes && text.contains("pods")), "{text}");
        }
    }
    Ok(())
}

/// Pod Security `restricted`, and what it does not ask for.
#[tokio::test]
async fn the_operators_pods_are_restricted() -> anyhow::Result<()> {
    let rendered = render(&[]).await?;
    let spec = rendered.one("Deployment")["spec"]["template"]["spec"].clone();
    let context = &spec["containers"][0]["securityContext"];
    assert_eq!(context["readOnlyRootFilesystem"], true);
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(context["capabilities"]["drop"], serde_json::json!(["ALL"]));
    assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
    assert!(spec["containers"][0]["resources"]["limits"]["memory"].is_string());
    // The API server's own word, by a dry run in a namespace that would refuse everything else.
    let namespace = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"restricted-operator","labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}"#;
    e2e::kubectl::kubectl(&["apply", "-f", "-"], namespace).await?.success()?;
    let pod = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "operator"}, "spec": spec});
    let account = r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"doorward-operator"}}"#;
    let within = ["--namespace", "restricted-operator", "-f", "-"];
    e2e::kubectl::kubectl(&[&["apply"][..], &within].concat(), account).await?.success()?;
    let taken =
        e2e::kubectl::kubectl(&[&["create", "--dry-run=server"][..], &within].concat(), &pod.to_string()).await?;
    let deleted = e2e::kubectl::kubectl(&["delete", "namespace", "restricted-operator", "--wait=false"], "").await?;
    taken.success()?;
    deleted.success().map(drop)
}

#[tokio::test]
async fn a_packed_chart_is_whole() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().to_string_lossy().into_owned();
    helm(&["package", crate::helm::CHART, "--destination", &path]).await?.success()?;
    let packed = format!("{path}/doorward-{}.tgz", env!("CARGO_PKG_VERSION"));
    let rendered = helm(&["template", "doorward", &packed, "--kube-version", "1.33.0"]).await?.success()?;
    assert!(rendered.contains("apiauthpolicies.doorward.dev"));
    Ok(())
}
