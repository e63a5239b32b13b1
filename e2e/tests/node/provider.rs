//! A certified provider (`e2e/apps/provider`) in a pod, which the operator has to ask for its keys.

use anyhow::{Context, ensure};
use e2e::provider::vouched;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::manifests::{list, workload};
use crate::release::{rollback, upgrade};
use crate::scene::Scene;

/// A provider with its own CA.
pub(crate) struct Provider {
    issuer: String,
    ca: String,
    /// Of its Service.
    address: String,
}

impl Provider {
    /// Starts one in the namespace of a test.
    pub(crate) async fn start(scene: &Scene<'_>) -> anyhow::Result<Self> {
        let host = format!("provider.{}.svc", scene.namespace.name);
        let issuer = format!("https://{host}");
        let vouched = vouched(&host)?;
        let mut deployment = workload(
            "Deployment",
            "provider",
            1,
            json!({
                "name": "app",
                "command": ["node", "/apps/provider/index.js"],
                "env": [
                    {"name": "HOST", "value": "0.0.0.0"}, {"name": "PORT", "value": "8443"},
                    {"name": "ISSUER", "value": issuer},
                    {"name": "CERT", "value": "/tls/tls.crt"}, {"name": "KEY", "value": "/tls/tls.key"},
                ],
                "ports": [{"containerPort": 8443}],
                "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1},
                "volumeMounts": [{"name": "tls", "mountPath": "/tls"}],
            }),
        );
        deployment["spec"]["template"]["spec"]["volumes"] =
            json!([{"name": "tls", "secret": {"secretName": "provider-tls"}}]);
        let named =
            |api: &str, kind: &str, name: &str| json!({"apiVersion": api, "kind": kind, "metadata": {"name": name}});
        let mut secret = named("v1", "Secret", "provider-tls");
        secret["stringData"] = json!({"tls.crt": vouched.certificate, "tls.key": vouched.key});
        let mut vouching = named("v1", "ConfigMap", "provider-ca");
        vouching["data"] = json!({"ca.crt": vouched.ca});
        let mut service = named("v1", "Service", "provider");
        service["spec"] = json!({"selector": {"app": "provider"}, "ports": [{"port": 443, "targetPort": 8443}]});
        scene.apply(&list(&[secret, vouching, deployment, service])).await?;
        scene.rolled_out("provider").await?;
        let address = scene.kubectl(&["get", "service", "provider", "-o", "jsonpath={.spec.clusterIP}"]).await?;
        Ok(Self { issuer, ca: vouched.ca, address })
    }

    /// It as an entry of `issuers`, with discovery.
    pub(crate) fn as_issuer(&self) -> Value {
        json!({
            "name": "main", "issuer": self.issuer, "audiences": ["users-api"],
            "keys": {"caBundle": {"configMapName": "provider-ca", "key": "ca.crt"}},
        })
    }

    /// Runs a test while the operator may ask it; afterwards the release is as it was.
    pub(crate) async fn allowed(&self, test: impl AsyncFnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        upgrade(&["--set", &format!("issuers.allowedNetworks={{{}/32}}", self.address)]).await?;
        let result = test().await;
        rollback().await?;
        result
    }

    /// An RFC 9068 access token for the scope, by the client's credentials (RFC 6749, section 4.4).
    pub(crate) async fn token(&self, caller: &Caller, scope: &str) -> anyhow::Result<String> {
        let answer = caller
            .call(&json!({
                "method": "POST", "url": format!("{}/token", self.issuer), "ca": self.ca, "certificate": false,
                "headers": {"content-type": "application/x-www-form-urlencoded"},
                "body": format!("grant_type=client_credentials&client_id=orders&client_secret=not-a-secret-in-a-test&scope={scope}"),
            }))
            .await?;
        ensure!(answer["status"] == 200, "{answer}");
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap_or_default())?;
        Ok(body["access_token"].as_str().context("an access token")?.to_owned())
    }
}
