//! What stands on the API server: namespaces, pods that no node runs, their tokens, and policies.

use std::collections::BTreeMap;

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, PostParams,
};
use kube::{Client, ResourceExt};
use policy::wire::AUDIENCE;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use crate::limits::{LOOK, PATIENCE, REQUESTS, TOKEN_SECONDS};
use crate::sidecar::PORT;

/// Who makes everything here.
const NAME: &str = "doorward-bench";
/// Rules of each policy, as many as an application of some size has.
const RULES: usize = 20;
/// The public key of RFC 7517, appendix A.1: nobody fetches keys here.
const JWKS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"sig","kid":"1"}]}"#;

/// One namespace with what is in it.
#[derive(Clone)]
pub(crate) struct Scene {
    client: Client,
    name: String,
}

/// A pod as far as its token needs it.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    name: String,
    uid: String,
}

impl Scene {
    /// Makes the namespace and the account of its pods.
    pub(crate) async fn new(client: &Client, name: &str) -> anyhow::Result<Self> {
        let metadata = |name: &str| ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let namespace = Namespace { metadata: metadata(name), ..Namespace::default() };
        let made = Api::all(client.clone()).create(&PostParams::default(), &namespace).await;
        made.with_context(|| format!("cannot make the namespace `{name}`"))?;
        let scene = Self { client: client.clone(), name: name.to_owned() };
        let account = ServiceAccount { metadata: metadata(NAME), ..ServiceAccount::default() };
        scene.api().create(&PostParams::default(), &account).await.context("cannot make a service account")?;
        Ok(scene)
    }

    /// Makes pods with the sidecar in them. `app` says of each which application it is, its label `app`.
    pub(crate) async fn pods(&self, count: usize, app: impl Fn(usize) -> String) -> anyhow::Result<Vec<Made>> {
        let api: Api<Pod> = self.api();
        let make = |index: usize| {
            let (pod, api) = (pod(index, &app(index)), api.clone());
            async move {
                let made = api.create(&PostParams::default(), &pod?).await.context("cannot make a pod")?;
                anyhow::Ok(Made { name: made.name_any(), uid: made.uid().unwrap_or_default() })
            }
        };
        stream::iter(0..count).map(make).buffered(REQUESTS).try_collect().await
    }

    /// Tokens bound to pods, as the kubelet gets them for projected volumes.
    pub(crate) async fn tokens(&self, pods: &[Made]) -> anyhow::Result<Vec<String>> {
        let api: Api<ServiceAccount> = self.api();
        let ask = |pod: Made| {
            let api = api.clone();
            async move {
                let bound = BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: Some(pod.name),
                    uid: Some(pod.uid),
                };
                let spec = TokenRequestSpec {
                    audiences: vec![AUDIENCE.to_owned()],
                    bound_object_ref: Some(bound),
                    expiration_seconds: Some(TOKEN_SECONDS),
                };
                let request = TokenRequest { spec, ..TokenRequest::default() };
                let answer = api.create_token_request(NAME, &PostParams::default(), &request).await;
                anyhow::Ok(answer.context("no token")?.status.context("an answer without a token")?.token)
            }
        };
        stream::iter(pods.to_vec()).map(ask).buffered(REQUESTS).try_collect().await
    }

    /// Applies the policy of an application, as `kubectl apply --server-side` does; `change` makes it another one. Gives its
    /// generation.
    pub(crate) async fn apply(&self, app: &str, change: usize) -> anyhow::Result<i64> {
        let policy = json!({
            "apiVersion": "doorward.dev/v1alpha1", "kind": "ApiAuthPolicy",
            "metadata": {"name": app, "namespace": self.name}, "spec": spec(app, change),
        });
        let parameters = PatchParams::apply(NAME).force();
        let applied = self.policies().patch(app, &parameters, &Patch::Apply(&policy)).await;
        applied.context("the policy is refused")?.metadata.generation.context("a policy without generation")
    }

    /// Looks at the status of a policy until it is as wanted; gives when it was.
    pub(crate) async fn status(&self, app: &str, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<Instant> {
        let (api, end) = (self.policies(), Instant::now() + PATIENCE);
        let mut last = Value::Null;
        let looking = async {
            loop {
                last = api.get(app).await?.data.get("status").cloned().unwrap_or_default();
                if wanted(&last) {
                    return anyhow::Ok(Instant::now());
                }
                sleep(LOOK).await;
            }
        };
        let seen = timeout_at(end, looking).await;
        seen.with_context(|| format!("the status of `{}/{app}` did not become what it should: {last}", self.name))?
    }

    /// Deletes what was made.
    pub(crate) async fn delete(&self) -> anyhow::Result<()> {
        let (now, all) = (DeleteParams::default().grace_period(0), ListParams::default());
        self.policies().delete_collection(&now, &all).await?;
        self.api::<Pod>().delete_collection(&now, &all).await?;
        self.api::<ServiceAccount>().delete_collection(&now, &all).await?;
        Api::<Namespace>::all(self.client.clone()).delete(&self.name, &now).await?;
        Ok(())
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    fn policies(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.name, &ApiResource::erase::<crds::ApiAuthPolicy>(&()))
    }
}

/// As large as the pods of an ordinary Deployment are, not counting what a kubelet would say.
fn pod(index: usize, app: &str) -> anyhow::Result<Pod> {
    let hash = format!("{:08x}", 0x9e37_79b9_u32.wrapping_mul(u32::try_from(index / 50 + 1)?));
    let labels: BTreeMap<&str, &str> =
        [("app", app), ("pod-template-hash", &hash), ("app.kubernetes.io/managed-by", NAME)].into();
    let environment: Vec<Value> =
        (0..10).map(|one| json!({"name": format!("SETTING_{one}"), "value": "some value"})).collect();
    let pod = json!({
        "metadata": {"name": format!("{app}-{hash}-{index:05}"), "labels": labels},
        "spec": {
            "serviceAccountName": NAME,
            "initContainers": [{"name": "doorward", "image": "doorward.test/sidecar:1", "restartPolicy": "Always"}],
            "containers": [{
                "name": "app", "image": "doorward.test/app:1", "env": environment,
                "ports": [{"name": "http", "containerPort": PORT}],
                "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
            }],
        },
    });
    Ok(serde_json::from_value(pod)?)
}

fn spec(app: &str, change: usize) -> Value {
    let rule =
        |number| json!({"path": format!("/{app}/v{number}/**"), "require": {"scopes": [format!("read{number}")]}});
    let mut rules: Vec<Value> = (0..RULES).map(rule).collect();
    rules.push(json!({"path": format!("/changes/{change}"), "allow": "Anonymous"}));
    json!({
        "selector": {"matchLabels": {"app": app}},
        "tls": {"mode": "Optional"},
        "issuers": [{
            "name": "main", "issuer": "https://login.example.com", "audiences": [app], "keys": {"inline": JWKS},
        }],
        "rules": rules,
    })
}

/// Whether the leader said of this generation that it can be used.
pub(crate) fn is_accepted(status: &Value, generation: i64) -> bool {
    let conditions = status.get("conditions").and_then(Value::as_array).into_iter().flatten();
    let mut accepted = conditions.filter(|one| one.get("type").is_some_and(|name| name == "Accepted"));
    status.get("observedGeneration").and_then(Value::as_i64) == Some(generation)
        && accepted.any(|one| one.get("status").is_some_and(|value| value == "True"))
}

/// A number of the status's `pods`.
pub(crate) fn pods_of(status: &Value, field: &str) -> usize {
    let number = status.pointer(&format!("/pods/{field}")).and_then(Value::as_u64);
    number.and_then(|number| usize::try_from(number).ok()).unwrap_or(0)
}
