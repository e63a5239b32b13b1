//! The Secret that holds the CA, and the ConfigMap that tells it to callers outside.

use crate::limits::API_TIMEOUT;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use tokio::time::timeout;

/// The key of the bundle in the ConfigMap.
const BUNDLE: &str = "ca.crt";
/// Who owns the fields that the operator applies.
const MANAGER: &str = "doorward-operator";

/// A Secret as it was read. Its `Debug` shows no value.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    /// The entries.
    pub data: BTreeMap<String, Vec<u8>>,
    /// What a write must name, so that it replaces nothing that was not read.
    pub version: String,
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored").field("entries", &self.data.keys()).field("version", &self.version).finish()
    }
}

/// Why a store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another was first: what is there has to be read again.
    #[error("another replica wrote first")]
    Conflict,
    /// The API server did not answer, or refused.
    #[error("the API server cannot be asked")]
    Api(#[source] Box<kube::Error>),
    /// The API server took too long.
    #[error("the API server did not answer in time")]
    Timeout,
}

/// Where the CA is kept.
pub trait Store: Send + Sync + 'static {
    /// Reads the Secret; none where there is none.
    fn load(&self) -> impl Future<Output = Result<Option<Stored>, StoreError>> + Send;
    /// Makes the Secret; [`StoreError::Conflict`] where there is one.
    fn create(&self, data: &BTreeMap<String, Vec<u8>>) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Replaces what was read as `version`; [`StoreError::Conflict`] where it changed since.
    fn replace(
        &self,
        data: &BTreeMap<String, Vec<u8>>,
        version: &str,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Makes `ca.crt` of the ConfigMap equal to the bundle, where `leads` says so when it was read; [`StoreError::Conflict`]
    /// where it changed since: a leader that was stopped in between must not write what it knew then.
    fn publish(
        &self,
        bundle: &str,
        leads: impl Fn() -> bool + Send,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// The API server, objects of one namespace.
#[derive(Clone, Debug)]
pub struct KubeStore {
    secrets: Api<Secret>,
    config_maps: Api<ConfigMap>,
    secret: String,
    config_map: String,
}

impl KubeStore {
    /// In the operator's namespace; the ConfigMap's name is that of the contract with callers outside, `doorward-ca`.
    #[must_use]
    pub fn new(client: &Client, namespace: &str, secret: &str, config_map: &str) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), namespace),
            config_maps: Api::namespaced(client.clone(), namespace),
            secret: secret.to_owned(),
            config_map: config_map.to_owned(),
        }
    }

    fn secret(&self, data: &BTreeMap<String, Vec<u8>>, version: Option<&str>) -> Secret {
        let mut secret = Secret::default();
        secret.metadata.name = Some(self.secret.clone());
        secret.metadata.resource_version = version.map(ToOwned::to_owned);
        secret.data = Some(data.iter().map(|(name, value)| (name.clone(), ByteString(value.clone()))).collect());
        secret
    }
}

impl Store for KubeStore {
    async fn load(&self) -> Result<Option<Stored>, StoreError> {
        let Some(secret) = within(self.secrets.get_opt(&self.secret)).await? else { return Ok(None) };
        let data = secret.data.unwrap_or_default().into_iter().map(|(name, value)| (name, value.0)).collect();
        Ok(Some(Stored { data, version: secret.metadata.resource_version.unwrap_or_default() }))
    }

    async fn create(&self, data: &BTreeMap<String, Vec<u8>>) -> Result<(), StoreError> {
        within(self.secrets.create(&PostParams::default(), &self.secret(data, None))).await.map(|_| ())
    }

    async fn replace(&self, data: &BTreeMap<String, Vec<u8>>, version: &str) -> Result<(), StoreError> {
        let secret = self.secret(data, Some(version));
        within(self.secrets.replace(&self.secret, &PostParams::default(), &secret)).await.map(|_| ())
    }

    async fn publish(&self, bundle: &str, leads: impl Fn() -> bool + Send) -> Result<(), StoreError> {
        let known = within(self.config_maps.get_opt(&self.config_map)).await?;
        let version = known.as_ref().and_then(|known| known.metadata.resource_version.clone());
        let told = known.and_then(|known| known.data).unwrap_or_default();
        if told.get(BUNDLE).is_some_and(|told| told == bundle) || !leads() {
            return Ok(());
        }
        let object = serde_json::json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": self.config_map, "resourceVersion": version },
            "data": { BUNDLE: bundle },
        });
        let params = PatchParams::apply(MANAGER).force();
        within(self.config_maps.patch(&self.config_map, &params, &Patch::Apply(&object))).await.map(|_| ())
    }
}

/// One call to the API server within its time.
pub(super) async fn within<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, StoreError> {
    match timeout(API_TIMEOUT, call).await {
        Ok(Ok(answer)) => Ok(answer),
        // AlreadyExists and Conflict (RFC 9110, section 15.5.10).
        Ok(Err(kube::Error::Api(status))) if status.code == 409 => Err(StoreError::Conflict),
        Ok(Err(error)) => Err(StoreError::Api(Box::new(error))),
        Err(_) => Err(StoreError::Timeout),
    }
}
