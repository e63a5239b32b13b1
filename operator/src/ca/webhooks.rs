//! `caBundle` of the webhook configurations: by it the API server knows the operator.

use super::store::{StoreError, within};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource};
use serde_json::{Value, json};
use std::fmt::Debug;

/// The configurations that name the operator's webhooks.
#[derive(Clone, Debug, Default)]
pub struct Webhooks {
    /// Names of `MutatingWebhookConfiguration`s.
    pub mutating: Vec<String>,
    /// Names of `ValidatingWebhookConfiguration`s.
    pub validating: Vec<String>,
}

/// Makes `caBundle` of every webhook in these configurations equal to the bundle; one that is not there is passed over.
/// Nothing is written where nothing differs.
///
/// # Errors
/// See [`StoreError`]; the rest is done all the same and the first error told.
pub async fn patch_webhooks(client: &Client, webhooks: &Webhooks, bundle: &str) -> Result<(), StoreError> {
    let mut outcome = Ok(());
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    for name in &webhooks.mutating {
        let told = |found: &MutatingWebhookConfiguration| {
            let webhooks = found.webhooks.iter().flatten();
            webhooks.map(|webhook| (webhook.name.clone(), webhook.client_config.clone())).collect()
        };
        outcome = outcome.and(patch(&mutating, name, bundle, told).await);
    }
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    for name in &webhooks.validating {
        let told = |found: &ValidatingWebhookConfiguration| {
            let webhooks = found.webhooks.iter().flatten();
            webhooks.map(|webhook| (webhook.name.clone(), webhook.client_config.clone())).collect()
        };
        outcome = outcome.and(patch(&validating, name, bundle, told).await);
    }
    outcome
}

async fn patch<K>(
    api: &Api<K>,
    name: &str,
    bundle: &str,
    told: impl Fn(&K) -> Vec<(String, WebhookClientConfig)>,
) -> Result<(), StoreError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + serde::de::DeserializeOwned,
{
    let Some(found) = within(api.get_opt(name)).await? else { return Ok(()) };
    let Some(change) = change(&told(&found), found.meta().resource_version.as_deref(), bundle) else { return Ok(()) };
    within(api.patch(name, &PatchParams::default(), &Patch::Strategic(change))).await.map(|_| ())
}

/// The patch that brings the bundle in; none where it is there. Webhooks are merged by name, and only if nobody else wrote
/// meanwhile: a patch for a webhook that is gone would make a broken one.
fn change(told: &[(String, WebhookClientConfig)], version: Option<&str>, bundle: &str) -> Option<Value> {
    let wanted = ByteString(bundle.as_bytes().to_vec());
    let differing: Vec<Value> = told
        .iter()
        .filter(|(_, config)| config.ca_bundle.as_ref() != Some(&wanted))
        .map(|(name, _)| json!({ "name": name, "clientConfig": { "caBundle": &wanted } }))
        .collect();
    (!differing.is_empty()).then(|| json!({ "metadata": { "resourceVersion": version }, "webhooks": differing }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_patched() {
        let config = |bundle: &str| WebhookClientConfig {
            ca_bundle: Some(ByteString(bundle.as_bytes().to_vec())),
            ..WebhookClientConfig::default()
        };
        let told = [("pods".to_owned(), config("old")), ("policies".to_owned(), config("new"))];
        let patch = change(&told, Some("7"), "new").unwrap();
        assert_eq!(
            patch,
            json!({
                "metadata": { "resourceVersion": "7" },
                "webhooks": [{ "name": "pods", "clientConfig": { "caBundle": "bmV3" } }],
            })
        );
        assert_eq!(change(&told[1..], Some("7"), "new"), None);
        let absent = [("pods".to_owned(), WebhookClientConfig::default())];
        assert!(change(&absent, None, "new").is_some());
    }
}
