//! Who calls: service accounts, pods and their tokens. The control rung has no controllers and no kubelet, so tests say
//! themselves what these would.

use std::collections::BTreeMap;

use anyhow::Context;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, Pod, PodCondition, PodIP, PodSpec, PodStatus, ServiceAccount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::namespace::Namespace;

/// Seconds that a token lives: longer than any test.
const TOKEN_SECONDS: i64 = 3600;

/// What a test says of a pod.
#[derive(Clone, Debug, Default)]
pub struct PodInput<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its service account, which must be there.
    pub service_account: &'a str,
    /// Its labels.
    pub labels: &'a [(&'a str, &'a str)],
    /// Its annotations.
    pub annotations: &'a [(&'a str, &'a str)],
    /// The ports of its only container, by name and number.
    pub ports: &'a [(&'a str, u16)],
    /// Whether it has a sidecar, as injection would put it there.
    pub injected: bool,
    /// Its address; none where it has none yet.
    pub address: Option<&'a str>,
}

/// Makes a service account.
///
/// # Errors
/// The API server's.
pub async fn service_account(namespace: &Namespace, name: &str) -> anyhow::Result<ServiceAccount> {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let account = ServiceAccount { metadata, ..ServiceAccount::default() };
    let created = namespace.api().create(&PostParams::default(), &account).await;
    created.with_context(|| format!("cannot make the service account `{name}`"))
}

/// Makes a pod that no node runs, and says of it that it runs and is ready, where it has an address.
///
/// # Errors
/// The API server's.
pub async fn pod(namespace: &Namespace, input: &PodInput<'_>) -> anyhow::Result<Pod> {
    let api = namespace.api::<Pod>();
    let created = api.create(&PostParams::default(), &object(input)).await;
    let created = created.with_context(|| format!("cannot make the pod `{}`", input.name))?;
    let Some(address) = input.address else { return Ok(created) };
    let status = json!({"status": running(address)});
    let patched = api.patch_status(input.name, &PatchParams::default(), &Patch::Merge(status)).await;
    patched.with_context(|| format!("cannot say that the pod `{}` runs", input.name))
}

/// Deletes a pod at once.
///
/// # Errors
/// The API server's.
pub async fn delete_pod(namespace: &Namespace, name: &str) -> anyhow::Result<()> {
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    let deleted = namespace.api::<Pod>().delete(name, &now).await;
    deleted.with_context(|| format!("cannot delete the pod `{name}`")).map(drop)
}

/// A token of a pod's service account for an audience, bound to the pod, as the kubelet gets it for a projected volume.
///
/// # Errors
/// The API server's.
pub async fn pod_token(namespace: &Namespace, pod: &Pod, audience: &str) -> anyhow::Result<String> {
    let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone()).context("it has no account")?;
    let bound = BoundObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: Some(pod.name_any()),
        uid: pod.uid(),
    };
    token(namespace, &account, audience, Some(bound)).await
}

/// A token of a service account that is bound to no pod.
///
/// # Errors
/// The API server's.
pub async fn account_token(namespace: &Namespace, account: &str, audience: &str) -> anyhow::Result<String> {
    token(namespace, account, audience, None).await
}

async fn token(
    namespace: &Namespace,
    account: &str,
    audience: &str,
    bound_object_ref: Option<BoundObjectReference>,
) -> anyhow::Result<String> {
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec![audience.to_owned()],
            bound_object_ref,
            expiration_seconds: Some(TOKEN_SECONDS),
        },
        ..TokenRequest::default()
    };
    let api = namespace.api::<ServiceAccount>();
    let answer = api.create_token_request(account, &PostParams::default(), &request).await;
    let answer = answer.with_context(|| format!("no token for the service account `{account}`"))?;
    Ok(answer.status.context("an answer without a token")?.token)
}

fn object(input: &PodInput) -> Pod {
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let port = |(name, number): &(&str, u16)| ContainerPort {
        name: Some((*name).to_owned()),
        container_port: i32::from(*number),
        ..ContainerPort::default()
    };
    Pod {
        metadata: ObjectMeta {
            name: Some(input.name.to_owned()),
            labels: Some(map(input.labels)),
            annotations: Some(map(input.annotations)),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            init_containers: input.injected.then(|| vec![sidecar()]),
            service_account_name: Some(input.service_account.to_owned()),
            containers: vec![Container {
                name: "app".to_owned(),
                image: Some("doorward.test/app:1".to_owned()),
                ports: Some(input.ports.iter().map(port).collect()),
                ..Container::default()
            }],
            ..PodSpec::default()
        }),
        status: None,
    }
}

fn sidecar() -> Container {
    Container {
        name: "doorward".to_owned(),
        image: Some("doorward.test/sidecar:1".to_owned()),
        restart_policy: Some("Always".to_owned()),
        ..Container::default()
    }
}

fn running(address: &str) -> PodStatus {
    let condition = |name: &str| PodCondition {
        type_: name.to_owned(),
        status: "True".to_owned(),
        last_transition_time: Some(Time(jiff::Timestamp::now())),
        ..PodCondition::default()
    };
    PodStatus {
        phase: Some("Running".to_owned()),
        pod_ip: Some(address.to_owned()),
        pod_ips: Some(vec![PodIP { ip: address.to_owned() }]),
        conditions: Some(["PodScheduled", "Initialized", "ContainersReady", "Ready"].map(condition).to_vec()),
        start_time: Some(Time(jiff::Timestamp::now())),
        ..PodStatus::default()
    }
}
