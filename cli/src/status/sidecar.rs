//! What a sidecar says of itself: its debug port listens inside the pod alone and is reached through the API server.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use policy::wire::DEBUG_PORT;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::pods::{PodReport, State};

/// For all that one sidecar is asked.
const TIME: Duration = Duration::from_secs(5);
/// Sidecars that are asked at once.
const AT_ONCE: usize = 8;
/// Bytes of one answer.
const ANSWER: usize = 1024 * 1024;
/// Denials that are told of each pod.
const DENIALS: usize = 5;

/// What a sidecar says of itself.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Told {
    /// The generation in force on the policy's port; none where none is.
    pub(super) generation: Option<i64>,
    /// Whether the traffic of that port goes through it.
    pub(super) captured: bool,
    /// Why what it was sent last is not in force, where it is not.
    pub(super) fault: Option<String>,
    /// The last requests that it refused, the newest first.
    pub(super) denials: Vec<Denial>,
}

/// A request that was refused.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Denial {
    /// Milliseconds since 1970.
    pub(super) time: i64,
    pub(super) port: u16,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) code: String,
    pub(super) detail: Option<String>,
    /// Counted from 0; none where no rule decided.
    pub(super) rule: Option<usize>,
}

/// `/debug/decisions`.
#[derive(Deserialize)]
struct Decisions {
    denied: Vec<Denial>,
}

/// Of `/debug/config`, what is read.
#[derive(Deserialize)]
struct Config {
    captured: Vec<u16>,
    ports: Vec<Port>,
}

#[derive(Deserialize)]
struct Port {
    port: u16,
    fault: Option<String>,
    policy: Option<InForce>,
}

#[derive(Deserialize)]
struct InForce {
    generation: i64,
}

/// Asks the sidecars of all pods that have one; who does not answer is said to be unheard.
pub(super) async fn ask_all(api: &Api<Pod>, pods: &mut [PodReport]) {
    let injected = pods.iter_mut().filter(|pod| !matches!(pod.state, State::Ended | State::NotInjected));
    stream::iter(injected)
        .for_each_concurrent(AT_ONCE, async |pod| {
            let asked = timeout(TIME, ask(api, &pod.name, pod.port)).await;
            match asked.context("no answer in time").and_then(|told| told) {
                Ok(told) => pod.sidecar = Some(told),
                Err(error) => pod.unheard = Some(format!("{error:#}")),
            }
        })
        .await;
}

async fn ask(api: &Api<Pod>, pod: &str, port: Option<u16>) -> anyhow::Result<Told> {
    let config: Config = serde_json::from_slice(&get(api, pod, "/debug/config").await?)?;
    let decisions: Decisions = serde_json::from_slice(&get(api, pod, "/debug/decisions").await?)?;
    let on_port = config.ports.into_iter().find(|one| port.is_none_or(|port| one.port == port));
    let number = port.or(on_port.as_ref().map(|one| one.port));
    Ok(Told {
        captured: number.is_some_and(|number| config.captured.contains(&number)),
        generation: on_port.as_ref().and_then(|one| one.policy.as_ref()).map(|policy| policy.generation),
        fault: on_port.and_then(|one| one.fault),
        denials: decisions
            .denied
            .into_iter()
            .filter(|one| port.is_none_or(|port| one.port == port))
            .take(DENIALS)
            .collect(),
    })
}

async fn get(api: &Api<Pod>, pod: &str, path: &str) -> anyhow::Result<Bytes> {
    let mut forward = api.portforward(pod, &[DEBUG_PORT]).await.context("its debug port cannot be reached")?;
    let stream = forward.take_stream(DEBUG_PORT).context("its debug port cannot be reached")?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = hyper::Request::get(path).header("host", "localhost").body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await.context("its debug port does not answer")?;
    ensure!(answer.status().is_success(), "its debug port answers {}", answer.status());
    let body = Limited::new(answer.into_body(), ANSWER).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("its debug port answers half: {error}"))?.to_bytes();
    connection.abort();
    Ok(body)
}
