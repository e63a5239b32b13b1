//! What an admission looks up in the API server.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Lookup, Unavailable};
use crate::api_server::again;
use crate::limits::LOOKUP;

/// Asks the API server each time: admissions are rare, and what was just written counts.
#[derive(Clone)]
pub struct KubeLookup {
    client: Client,
}

impl KubeLookup {
    /// Over a client.
    #[must_use]
    pub fn new(client: &Client) -> Self {
        Self { client: client.clone() }
    }
}

impl Lookup for KubeLookup {
    async fn namespace_labels(&self, name: &str) -> Result<BTreeMap<String, String>, Unavailable> {
        let namespace = get(&Api::<Namespace>::all(self.client.clone()), name).await?.ok_or(Unavailable)?;
        Ok(namespace.metadata.labels.unwrap_or_default())
    }

    async fn config_map(&self, namespace: &str, name: &str) -> Result<Option<Arc<Value>>, Unavailable> {
        let found = get(&Api::<ConfigMap>::namespaced(self.client.clone(), namespace), name).await?;
        let metadata = json!({"namespace": namespace, "name": name});
        let object = |found: ConfigMap| {
            Arc::new(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": found.data}))
        };
        Ok(found.map(object))
    }
}

async fn get<K>(api: &Api<K>, name: &str) -> Result<Option<K>, Unavailable>
where
    K: Resource + Clone + std::fmt::Debug + DeserializeOwned + Serialize,
{
    match timeout(LOOKUP, again(|| api.get_opt(name))).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "an admission cannot look something up");
            Err(Unavailable)
        }
        Err(_) => Err(Unavailable),
    }
}
