//! Our custom resource, on the cluster.

use anyhow::{Context, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Client, CustomResourceExt};
use serde_json::{Value, json};

use crate::limits::PATIENCE;
use crate::wait::eventually;

/// What users apply.
const MANIFEST: &str = include_str!("../../crds/doorward.dev_apiauthpolicies.yaml");

/// Applies the committed manifest and waits until policies can be listed. Every test that needs policies calls it; the second
/// changes nothing.
///
/// # Errors
/// The API server's refusal, or where the definition is not served in time.
pub async fn applied(client: &Client) -> anyhow::Result<CustomResourceDefinition> {
    let manifest: Value = serde_yaml::from_str(MANIFEST).context("the committed manifest is no YAML")?;
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = crds::ApiAuthPolicy::crd_name();
    let parameters = PatchParams::apply("doorward-e2e").force();
    let applied = definitions.patch(name, &parameters, &Patch::Apply(&manifest)).await;
    applied.context("the API server refuses our definition")?;
    eventually(PATIENCE, "the definition is established and served", async || {
        let definition = definitions.get(name).await?;
        let conditions = json!(definition.status.as_ref().and_then(|status| status.conditions.as_ref()));
        for wanted in ["Established", "NamesAccepted"] {
            let conditions = conditions.as_array().into_iter().flatten();
            let held = conditions.filter(|one| one.get("type") == Some(&json!(wanted)));
            ensure!(held.clone().any(|one| one.get("status") == Some(&json!("True"))), "{wanted} is not true");
        }
        let resource = ApiResource::erase::<crds::ApiAuthPolicy>(&());
        let policies: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        policies.list(&ListParams::default().limit(1)).await?;
        Ok(definition)
    })
    .await
}
