//! The first scenario: an application that knows nothing of this, one annotation, one policy.

use std::net::SocketAddr;

use anyhow::ensure;
use serde_json::{Value, json};

use crate::manifests::users;
use crate::provider::Provider;
use crate::scene::{Scene, scene};

/// Who may do what.
pub(crate) fn rules() -> Value {
    json!([
        {"path": "/public/**", "allow": "Anonymous"},
        {"path": "/users/**", "allow": "Authenticated"},
        {"path": "/admin", "require": {"scopes": ["admin"]}},
    ])
}

#[tokio::test]
async fn one_annotation_and_one_policy_protect_an_application() -> anyhow::Result<()> {
    scene("first", async |scene| {
        scene.apply(&users(1, &json!([{"name": "HOST", "value": "0.0.0.0"}]))).await?;
        scene.annotate("users", &json!({"doorward.dev/inject": "true"})).await?;
        scene.policy("users", "users", json!({"tls": {"mode": "Mutual"}, "rules": rules()})).await?;
        scene.enforced("users").await?;
        scene.rolled_out("users").await?;
        every_way_in(scene, &scene.token("")?, &scene.token("admin")?).await
    })
    .await
}

/// The same with a provider in the cluster, which is asked where the chart's values allow its network.
#[tokio::test]
async fn a_provider_in_the_cluster_is_asked_where_its_network_is_allowed() -> anyhow::Result<()> {
    scene("provider", async |scene| {
        let provider = Provider::start(scene).await?;
        scene.apply(&users(1, &json!([{"name": "HOST", "value": "0.0.0.0"}]))).await?;
        scene.annotate("users", &json!({"doorward.dev/inject": "true"})).await?;
        let spec = json!({"tls": {"mode": "Mutual"}, "issuers": [provider.as_issuer()], "rules": rules()});
        scene.policy("users", "users", spec).await?;
        scene.says("users", "KeysReady", "False", "AddressForbidden").await?;
        scene.rolled_out("users").await?;
        let asked = provider.allowed(async || {
            scene.says("users", "KeysReady", "True", "KeysReady").await?;
            scene.enforced("users").await?;
            let caller = scene.caller().await?;
            every_way_in(scene, &provider.token(&caller, "users:read").await?, &provider.token(&caller, "admin").await?)
                .await
        });
        asked.await
    })
    .await
}

/// By each address: what is refused, what is let in, and that the application saw exactly the latter.
pub(crate) async fn every_way_in(scene: &Scene<'_>, plain: &str, admin: &str) -> anyhow::Result<()> {
    let caller = scene.caller().await?;
    let namespace = &scene.namespace.name;
    let name = format!("users.{namespace}.svc");
    let mut wanted = Vec::new();
    for (way, host) in ways(scene).await? {
        let cases = [
            (None, true, "/users", "401"),
            (Some(plain), true, "/users", "200"),
            (Some(plain), true, "/admin", "403"),
            (Some(admin), true, "/admin", "200"),
            (None, true, "/public/hello", "200"),
            (None, true, "/elsewhere", "403"),
        ];
        let input = |token: Option<&str>, certificate: bool, path: &str, scheme: &str, number: usize| {
            let mut headers = json!({"x-nonce": format!("{way}-{number}")});
            if let Some(token) = token {
                headers["authorization"] = json!(format!("Bearer {token}"));
            }
            json!({"url": format!("{scheme}://{host}{path}"), "servername": name, "certificate": certificate, "headers": headers})
        };
        for (number, (token, certificate, path, outcome)) in cases.into_iter().enumerate() {
            let answer = caller.call(&input(token, certificate, path, "https", number)).await?;
            let seen = answer["status"].as_u64().map(|status| status.to_string()).unwrap_or_default();
            ensure!(seen == outcome, "{way} {path}: {answer}, not {outcome}");
            if outcome == "200" {
                wanted.push(format!("{way}-{number}"));
            }
        }
        // With the best token, but without a certificate, or without TLS.
        for (certificate, scheme) in [(false, "https"), (true, "http")] {
            let answer = caller.call(&input(Some(admin), certificate, "/admin", scheme, 99)).await?;
            ensure!(answer["status"] != 200, "{way} {scheme}: {answer}");
        }
    }
    let mut nonces: Vec<String> = scene.log("users").await?.iter().filter_map(nonce).collect();
    nonces.sort();
    wanted.sort();
    ensure!(nonces == wanted, "the application saw {nonces:?}, not {wanted:?}");
    Ok(())
}

/// Every way in: what it is called, and its address. All but the names once for each family that the cluster has.
async fn ways(scene: &Scene<'_>) -> anyhow::Result<Vec<(String, String)>> {
    let namespace = &scene.namespace.name;
    let service = async |name: &str, path: &str| {
        scene.kubectl(&["get", "service", name, "-o", &format!("jsonpath={path}")]).await
    };
    let nodes = ["get", "nodes", "-o", "jsonpath={.items[0].status.addresses[?(@.type==\"InternalIP\")].address}"];
    let node_port = service("users-node", "{.spec.ports[0].nodePort}").await?.parse()?;
    let mut ways = vec![
        ("service".to_owned(), format!("users.{namespace}.svc:80")),
        ("headless".to_owned(), format!("users-headless.{namespace}.svc:3000")),
    ];
    let mut families = Vec::new();
    for (what, addresses, port) in [
        ("pod", scene.pod("users", "{.status.podIPs[*].ip}").await?, 3000),
        ("ip", service("users", "{.spec.clusterIPs[*]}").await?, 80),
        ("node", scene.kubectl(&nodes).await?, node_port),
    ] {
        for (number, address) in addresses.split_whitespace().enumerate() {
            ways.push((format!("{what}{number}"), SocketAddr::new(address.parse()?, port).to_string()));
        }
        families.push(addresses.split_whitespace().count());
    }
    ensure!(families.iter().all(|count| *count > 0 && Some(count) == families.last()), "{ways:?}");
    Ok(ways)
}

fn nonce(line: &Value) -> Option<String> {
    Some(line["headers"]["x-nonce"].as_str()?.to_owned())
}
