//! The operator as it is installed: its own service account with exactly its rights, its CA, its replicas.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::Client;
use kube::api::{Api, DeleteParams};
use kube::config::{AuthInfo, Kubeconfig};
use serde::Deserialize;
use serde_json::Value;

use crate::audit::{Audit, Entry};
use crate::cluster;
use crate::identity::account_token;
use crate::kubectl::kubectl;
use crate::limits::PATIENCE;
use crate::namespace::Namespace;
use crate::process::{Process, binary, output};
use crate::wait::eventually;

/// The chart, and of it who the operator is and what it may do.
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/doorward");
const PARTS: [&str; 3] = ["templates/serviceaccount.yaml", "templates/clusterrole.yaml", "templates/role.yaml"];
/// The webhooks; NAMESPACE stands for the one that they are asked about.
const WEBHOOKS: &str = include_str!("../objects/webhooks.yaml");
/// The name of the service account and of its roles.
const ACCOUNT: &str = "doorward-operator";
/// Where the first replica listens, for sidecars, for the API server, for probes; others listen elsewhere.
const PORTS: (u16, u16, u16) = (8443, 9443, 8080);

/// An operator's place in a namespace.
#[derive(Clone)]
pub struct Installation {
    namespace: Namespace,
    kubeconfig: Kubeconfig,
    token: String,
    audit: Audit,
    ca_secret: Option<String>,
    /// The name by which sidecars call it.
    pub host: String,
}

/// A replica that runs.
#[derive(Debug)]
pub struct Replica {
    /// Its name.
    pub name: String,
    /// The process.
    pub process: Process,
    /// Where sidecars are served.
    pub sidecars: SocketAddr,
    /// Where health and metrics are told.
    pub health: SocketAddr,
}

impl Installation {
    /// Makes the service account with its rights in the test's namespace.
    ///
    /// # Errors
    /// The API server's, or where there is no audit log.
    pub async fn new(namespace: &Namespace) -> anyhow::Result<Self> {
        Self::with_ca(namespace, None).await
    }

    /// The same with a CA of one's own, which a Secret holds.
    ///
    /// # Errors
    /// As [`Installation::new`].
    pub async fn with_ca(namespace: &Namespace, ca_secret: Option<&str>) -> anyhow::Result<Self> {
        let audit = Audit::from_now()?;
        kubectl(&["apply", "--filename", "-"], &chart(&namespace.name, ca_secret)?).await?.success()?;
        let token = account_token(namespace, ACCOUNT, API_AUDIENCE).await?;
        let kubeconfig = Kubeconfig::from_env().context("cannot read KUBECONFIG")?.context("KUBECONFIG is not set")?;
        let kubeconfig = with_token(kubeconfig, &token)?;
        let host = format!("doorward-operator.{}.svc", namespace.name);
        let ca_secret = ca_secret.map(str::to_owned);
        Ok(Self { namespace: namespace.clone(), kubeconfig, token, audit, ca_secret, host })
    }

    /// Tells the API server to ask the operator about a namespace's policies and pods. Before the operator starts: it tells the API
    /// server then by which CA it is known.
    ///
    /// # Errors
    /// The API server's.
    pub async fn webhooks(&self, about: &Namespace) -> anyhow::Result<()> {
        self.no_webhooks().await?;
        let objects = WEBHOOKS.replace("NAMESPACE", &about.name);
        kubectl(&["apply", "--filename", "-"], &objects).await?.success().map(drop)
    }

    /// The API server does not ask any more.
    ///
    /// # Errors
    /// The API server's.
    pub async fn no_webhooks(&self) -> anyhow::Result<()> {
        let kinds = "validatingwebhookconfigurations,mutatingwebhookconfigurations";
        let deleted = kubectl(&["delete", kinds, "doorward", "--ignore-not-found"], "").await?;
        deleted.success().map(drop)
    }

    /// Starts a replica, which reaches the API server at `server`, or where the administrator does.
    ///
    /// # Errors
    /// Where it is not built or cannot be started.
    pub fn start(&self, name: &str, number: u16, server: Option<&str>) -> anyhow::Result<Replica> {
        let mut kubeconfig = self.kubeconfig.clone();
        if let Some(server) = server {
            for cluster in kubeconfig.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
                cluster.server = Some(server.to_owned());
            }
        }
        let file = self.namespace.folder.join(format!("{name}.kubeconfig"));
        let text = serde_yaml::to_string(&kubeconfig).context("no kubeconfig")?;
        std::fs::write(&file, text).with_context(|| format!("cannot write `{}`", file.display()))?;
        let [sidecars, webhooks, health] = [PORTS.0, PORTS.1, PORTS.2].map(|port| at(port + number * 10));
        let mut command = binary("doorward-operator")?;
        command.args(["--namespace", &self.namespace.name, "--name", name, "--log-level", "info,operator=debug"]);
        // Where the tests' own providers are.
        command.args(["--issuer-allow-network", "127.0.0.0/8"]);
        for (flag, address) in [("--sidecars", sidecars), ("--webhooks", webhooks), ("--health", health)] {
            command.arg(flag).arg(format!("0.0.0.0:{}", address.port()));
        }
        if let Some(secret) = &self.ca_secret {
            command.args(["--ca-secret", secret]);
        }
        // By that name the API server of the tests calls it.
        command.args(["--operator-url", "https://localhost:8443"]);
        command.env("KUBECONFIG", file);
        let process = Process::start(name, command, &self.namespace.folder)?;
        Ok(Replica { name: name.to_owned(), process, sidecars, health })
    }

    /// A client that is, to the API server, the operator.
    ///
    /// # Errors
    /// As [`cluster::client_with_token`].
    pub async fn client(&self) -> anyhow::Result<Client> {
        cluster::client_with_token(&self.token).await
    }

    /// The certificates of the built-in CA, once they are told.
    ///
    /// # Errors
    /// Where they are not told in time.
    pub async fn bundle(&self) -> anyhow::Result<String> {
        eventually(PATIENCE, "the CA is told", async || {
            let map = self.namespace.api::<ConfigMap>().get("doorward-ca").await?;
            map.data.and_then(|mut data| data.remove("ca.crt")).context("no `ca.crt`")
        })
        .await
    }

    /// What the operator asked of the API server since the installation was made.
    ///
    /// # Errors
    /// Where the log cannot be read.
    pub fn requests(&self) -> anyhow::Result<Vec<Entry>> {
        let user = format!("system:serviceaccount:{}:{ACCOUNT}", self.namespace.name);
        Ok(self.audit.entries()?.into_iter().filter(|entry| entry.user == user).collect())
    }

    /// Takes away what is in no namespace; to be called at the end of a test.
    ///
    /// # Errors
    /// Where the operator asked for what it may not, which it must never do, or the API server's.
    pub async fn end(&self) -> anyhow::Result<()> {
        let (refused, granted): (Vec<Entry>, Vec<Entry>) =
            self.requests()?.into_iter().filter(|entry| entry.code != 0).partition(|entry| entry.code == 403);
        // An API server that has just started does not know anybody's rights for a moment.
        let right = |entry: &Entry| (entry.verb.clone(), entry.resource.clone(), entry.name.clone());
        let granted: BTreeSet<_> = granted.iter().map(right).collect();
        let refused: Vec<Entry> = refused.into_iter().filter(|entry| !granted.contains(&right(entry))).collect();
        self.no_webhooks().await?;
        let client = self.namespace.client();
        let now = DeleteParams::default();
        Api::<ClusterRoleBinding>::all(client.clone()).delete(ACCOUNT, &now).await.context("no binding")?;
        Api::<ClusterRole>::all(client).delete(ACCOUNT, &now).await.context("no role")?;
        ensure!(refused.is_empty(), "the operator asks for what it may not: {refused:#?}");
        Ok(())
    }
}

/// One thing that the operator may do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// As [`Entry::verb`].
    pub verb: String,
    /// As [`Entry::group`].
    pub group: String,
    /// As [`Entry::resource`].
    pub resource: String,
    /// The only name for which it holds; empty where it holds for all.
    pub name: String,
}

/// All that the operator may do, one by one.
///
/// # Errors
/// Where the roles are not of their form.
pub fn rights() -> anyhow::Result<BTreeSet<Right>> {
    let mut rights = BTreeSet::new();
    for document in serde_yaml::Deserializer::from_str(&chart("any", None)?) {
        let role = Value::deserialize(document).context("no YAML")?;
        for rule in role.get("rules").and_then(Value::as_array).into_iter().flatten() {
            let list = |field: &str| -> Vec<String> {
                let found = rule.get(field).and_then(Value::as_array).into_iter().flatten();
                found.filter_map(Value::as_str).map(str::to_owned).collect()
            };
            let names = if rule.get("resourceNames").is_some() { list("resourceNames") } else { vec![String::new()] };
            let parts = [list("apiGroups"), list("resources"), list("verbs"), names];
            for [group, resource, verb, name] in combinations(&parts) {
                rights.insert(Right { verb, group, resource, name });
            }
        }
    }
    ensure!(!rights.is_empty(), "no rules");
    Ok(rights)
}

fn combinations([groups, resources, verbs, names]: &[Vec<String>; 4]) -> Vec<[String; 4]> {
    let mut all = Vec::new();
    for group in groups {
        for resource in resources {
            for verb in verbs {
                all.extend(names.iter().map(|name| [group, resource, verb, name].map(String::clone)));
            }
        }
    }
    all
}

/// The objects of [`PARTS`] as YAML.
fn chart(namespace: &str, ca_secret: Option<&str>) -> anyhow::Result<String> {
    let mut helm = Command::new("helm");
    // Without a cluster it would take an old version for granted.
    helm.args(["template", "doorward", CHART, "--namespace", namespace, "--kube-version", "1.33.0"]);
    helm.args(PARTS.iter().flat_map(|part| ["--show-only", part]));
    if let Some(secret) = ca_secret {
        helm.args(["--set", &format!("ca.secretName={secret}")]);
    }
    let (status, objects, said) = output(&mut helm).context("`helm` must be in PATH, as `make e2e-control` sees to")?;
    ensure!(status.success(), "the chart cannot be rendered: {said}");
    Ok(objects)
}

/// The audience of the test cluster's API server.
const API_AUDIENCE: &str = "https://kubernetes.default.svc.cluster.local";

/// The same API server, asked by whoever has the token.
fn with_token(mut kubeconfig: Kubeconfig, token: &str) -> anyhow::Result<Kubeconfig> {
    ensure!(!kubeconfig.auth_infos.is_empty(), "KUBECONFIG names no user");
    for user in &mut kubeconfig.auth_infos {
        user.auth_info = Some(AuthInfo { token: Some(token.to_owned().into()), ..AuthInfo::default() });
    }
    Ok(kubeconfig)
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
