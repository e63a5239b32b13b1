//! The largest policies: what the API server takes, and who refuses what is larger.
//!
//! The schema bounds the count and the length of everything, which bounds what CEL costs; all bounds at once would be
//! gigabytes. A policy as a whole is bounded by what the API server and etcd take, 1.5 MiB.

use std::time::Instant;

use anyhow::ensure;
use e2e::definition;
use e2e::figures::tell;
use e2e::namespace::within;
use serde_json::{Value, json};

use crate::scene::{Way, compiled, policy, read_back, write};

/// Rules, issuers and entries at most, as api says.
const RULES: usize = 500;
const ISSUERS: usize = 16;

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|index| format!("{prefix}{index}")).collect()
}

fn issuers() -> Value {
    let one = |index: usize| {
        json!({
            "name": format!("issuer-{index}"),
            "issuer": format!("https://login-{index}.example.com"),
            "audiences": names("audience-", 16),
            "clients": names("client-", 64),
            "requiredClaims": names("claim-", 32),
            "algorithms": ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"],
            "identity": {"roles": "/realm_access/roles", "tenant": "tid"},
        })
    };
    (0..ISSUERS).map(one).collect()
}

/// A rule whose `require` has every field, with lists of up to `entries`.
fn rule(index: usize, entries: usize) -> Value {
    let most = |most: usize| entries.min(most);
    let claim = |index: usize| json!({"claim": format!("c{index}"), "anyOf": names("v", entries)});
    let caller = |index: usize| json!({"serviceAccount": format!("web/web-{index}")});
    json!({
        "path": format!("/r{index}/{{a}}"),
        "methods": ["GET", "PUT"],
        "hosts": (0..most(32)).map(|host| format!("h{host}.example.com")).collect::<Vec<_>>(),
        "ips": (0..most(64)).map(|octet| format!("198.51.100.{octet}")).collect::<Vec<_>>(),
        "require": {
            "issuers": names("issuer-", most(ISSUERS)),
            "clients": names("c", entries), "scopes": names("s", entries), "anyScope": names("s", entries),
            "roles": names("r", entries), "anyRole": names("r", entries), "anyGroup": names("g", entries),
            "claims": (0..most(32)).map(claim).collect::<Vec<_>>(),
            "pathParams": {"a": "subject"},
            "callers": (0..most(32)).map(caller).collect::<Vec<_>>(),
            "boundToken": "Certificate",
            "maxAuthAge": "15m",
        },
    })
}

fn spec(rules: Vec<Value>) -> Value {
    json!({"selector": {"matchLabels": {"app": "users"}}, "tls": {"mode": "Mutual"}, "issuers": issuers(), "rules": rules})
}

/// The bounds that are reached together without leaving what etcd takes.
fn largest() -> [(&'static str, Value); 3] {
    let short = |index: usize| json!({"path": format!("/r{index}/{{a}}"), "require": {"callers": (0..32).map(|one| json!({"dns": format!("workload-{one}.of-rule-{index}.svc.cluster.local")})).collect::<Vec<_>>()}});
    [
        // 500 rules, every field of `require`, each list with some entries, and all issuers.
        ("every-field", spec((0..RULES).map(|index| rule(index, 8)).collect())),
        // What CEL looks at most: 16,000 callers.
        ("every-caller", spec((0..RULES).map(short).collect())),
        // Rules in which every list is as long as may be.
        ("every-entry", spec((0..60).map(|index| rule(index, 64)).collect())),
    ]
}

#[tokio::test]
async fn the_largest_policies_are_taken_kept_and_compiled() -> anyhow::Result<()> {
    within("large", async |namespace| {
        definition::applied(&namespace.client()).await?;
        for (name, spec) in largest() {
            let sent = policy(&namespace.name, name, &spec);
            let bytes = sent.to_string().len();
            ensure!(bytes > 600_000, "{name}: {bytes} bytes are not large");
            let begin = Instant::now();
            write(namespace, Way::Apply, &sent, false).await.map_err(|error| anyhow::anyhow!("{name}: {error}"))?;
            let taken = begin.elapsed();
            let kept = read_back(namespace, name).await?;
            assert!(kept["spec"] == spec, "{name}: not kept as it was written");
            let begin = Instant::now();
            let (usable, found) = compiled(kept, &[]);
            tell(&format!("{name}: {bytes} bytes, applied in {taken:.1?}, compiled in {:.1?}", begin.elapsed()));
            assert!(usable.is_some() && found.is_empty(), "{name}: {:?}", found.iter().take(3).collect::<Vec<_>>());
        }
        Ok(())
    })
    .await
}

/// What is larger than etcd takes is refused as a whole, never cut.
#[tokio::test]
async fn what_is_too_large_is_refused() -> anyhow::Result<()> {
    within("too-large", async |namespace| {
        definition::applied(&namespace.client()).await?;
        for (name, rules) in [("etcd", 100), ("request", 200)] {
            let spec = spec((0..rules).map(|index| rule(index, 64)).collect());
            let sent = policy(&namespace.name, name, &spec);
            let bytes = sent.to_string().len();
            let Err(error) = write(namespace, Way::Apply, &sent, false).await else {
                anyhow::bail!("{name}: {bytes} bytes are accepted")
            };
            tell(&format!("{name}: {bytes} bytes: {error}"));
            let kube::Error::Api(status) = error else { anyhow::bail!("{name}: not by the API server: {error}") };
            let said = status.message.contains("too large") || status.code == 413;
            ensure!(said, "{name}: {} {}", status.code, status.message);
            ensure!(namespace.policies().get_opt(name).await?.is_none(), "{name}: something is there");
        }
        Ok(())
    })
    .await
}
