//! `doorward status`: what the cluster says of policies, and what the sidecars say of themselves.

mod pods;
mod sidecar;
mod text;

use std::io::Write;
use std::time::Duration;

use anyhow::Context as _;
use crds::{ApiAuthPolicy, ApiAuthPolicyStatus, IntOrString, LabelSelector};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::{Client, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::output::{Exit, Format, write_json};
use pods::PodReport;

/// For one answer of the API server.
const API_TIME: Duration = Duration::from_secs(10);

/// What `status` is given.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only the policy of this name
    name: Option<String>,
    /// The namespace; that of the current context without it
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Policies of all namespaces
    #[arg(short = 'A', long, conflicts_with_all = ["namespace", "name"])]
    all_namespaces: bool,
    /// Write the certificates of the built-in CA, for callers outside the cluster
    #[arg(long, conflicts_with_all = ["name", "all_namespaces"])]
    ca: bool,
    /// The namespace of the operator, for `--ca`
    #[arg(long, value_name = "NAMESPACE", default_value = "doorward")]
    operator_namespace: String,
    /// Do not ask the sidecars themselves, only the API server
    #[arg(long)]
    no_pods: bool,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// What is known of one policy.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PolicyReport {
    namespace: String,
    name: String,
    generation: i64,
    status: ApiAuthPolicyStatus,
    pods: Vec<PodReport>,
}

/// Runs the command; exit code 1 where a policy is not enforced on all of its pods.
///
/// # Errors
/// Where the API server cannot be asked.
pub fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = Client::try_default().await.context("no API server: set KUBECONFIG, or run in a cluster")?;
        if args.ca {
            let bundle = bundle(&client, &args.operator_namespace).await?;
            out.write_all(bundle.as_bytes())?;
            return Ok(Exit::Ok);
        }
        let reports = reports(args, &client).await?;
        match args.output {
            Format::Json => write_json(out, &reports)?,
            Format::Text => text::write(out, &reports)?,
        }
        let enforced = reports.iter().all(|report| holds(&report.status, "Enforced"));
        Ok(if enforced { Exit::Ok } else { Exit::Refused })
    })
}

fn holds(status: &ApiAuthPolicyStatus, kind: &str) -> bool {
    status.conditions.iter().any(|condition| condition.type_ == kind && condition.status == "True")
}

async fn bundle(client: &Client, namespace: &str) -> anyhow::Result<String> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let found = within(api.get_opt("doorward-ca")).await?;
    let bundle = found.and_then(|found| found.data?.remove("ca.crt"));
    bundle.with_context(|| {
        format!("there is no ConfigMap `doorward-ca` in namespace `{namespace}`: name the operator's with --operator-namespace")
    })
}

async fn reports(args: &Args, client: &Client) -> anyhow::Result<Vec<PolicyReport>> {
    // One that was forced past admission may hold what our types refuse, and is what people look for then.
    let resource = ApiResource::erase::<ApiAuthPolicy>(&());
    let api: Api<DynamicObject> = match (&args.namespace, args.all_namespaces) {
        (_, true) => Api::all_with(client.clone(), &resource),
        (Some(namespace), _) => Api::namespaced_with(client.clone(), namespace, &resource),
        (None, false) => Api::default_namespaced_with(client.clone(), &resource),
    };
    let policies = match &args.name {
        Some(name) => vec![within(api.get_opt(name)).await?.with_context(|| format!("there is no policy `{name}`"))?],
        None => within(api.list(&ListParams::default())).await?.items,
    };
    let mut reports = Vec::new();
    for policy in policies {
        let namespace = policy.namespace().unwrap_or_default();
        let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        let listed = within(pods.list(&ListParams::default())).await?;
        let selector: LabelSelector = part(&policy, "/spec/selector");
        let (port, status): (Option<IntOrString>, ApiAuthPolicyStatus) =
            (part(&policy, "/spec/port"), part(&policy, "/status"));
        let selects = |pod: &&Pod| selector != LabelSelector::default() && compile::selects(&selector, pod.labels());
        let selected = listed.items.iter().filter(selects);
        let mut told: Vec<PodReport> = selected.map(|pod| PodReport::of(pod, port.as_ref(), &status)).collect();
        if !args.no_pods {
            sidecar::ask_all(&pods, &mut told).await;
        }
        let generation = policy.metadata.generation.unwrap_or(0);
        reports.push(PolicyReport { namespace, name: policy.name_any(), generation, status, pods: told });
    }
    Ok(reports)
}

/// A part of an object; what is not there, or cannot be read, is the default.
fn part<T: DeserializeOwned + Default>(object: &DynamicObject, pointer: &str) -> T {
    object.data.pointer(pointer).and_then(|value| T::deserialize(value).ok()).unwrap_or_default()
}

async fn within<T>(answer: impl Future<Output = kube::Result<T>>) -> anyhow::Result<T> {
    let answer = timeout(API_TIME, answer).await.context("the API server does not answer")?;
    answer.context("the API server refuses")
}
