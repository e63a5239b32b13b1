//! An operator that is installed, with pods whose sidecars really run, and the policy that selects them.

use anyhow::{Context, ensure};
use e2e::client::{Connection, Target};
use e2e::definition;
use e2e::identity::service_account;
use e2e::installation::{Installation, Replica};
use e2e::limits::{IN_FORCE, PATIENCE};
use e2e::load::{History, rules};
use e2e::namespace::Namespace;
use e2e::sidecar::{PORT, Sidecar};
use e2e::wait::eventually;
use futures_util::future::try_join_all;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep};

use crate::scene::{Way, policy, write};

/// The name of the policy, of the Service, and of what each selects in the pods' labels, `app` and `service`.
pub(crate) const USERS: &str = "users";
/// The service account of the pods.
pub(crate) const RUNNER: &str = "runner";

/// What a test with running sidecars begins with.
pub(crate) struct Installed<'a> {
    pub(crate) namespace: &'a Namespace,
    pub(crate) installation: Installation,
    pub(crate) sidecars: Vec<Sidecar>,
    pub(crate) history: History,
    /// The generation that was applied last; 0 before the first.
    pub(crate) generation: u64,
}

impl<'a> Installed<'a> {
    /// The rights, the Service and the account of the pods; neither operator nor pod yet.
    pub(crate) async fn new(namespace: &'a Namespace) -> anyhow::Result<Self> {
        Self::of(namespace, None).await
    }

    /// The same with a CA of one's own, which a Secret holds.
    pub(crate) async fn of(namespace: &'a Namespace, ca_secret: Option<&str>) -> anyhow::Result<Self> {
        definition::applied(&namespace.client()).await?;
        let installation = Installation::with_ca(namespace, ca_secret).await?;
        service_account(namespace, RUNNER).await?;
        let service =
            json!({"metadata": {"name": USERS}, "spec": {"selector": {"service": USERS}, "ports": [{"port": PORT}]}});
        let service: Service = serde_json::from_value(service)?;
        namespace.api().create(&PostParams::default(), &service).await?;
        let history = History::default();
        Ok(Self { namespace, installation, sidecars: Vec::new(), history, generation: 0 })
    }

    /// The same with one replica of the operator, the first generation of the policy, and so many sidecars that run it.
    pub(crate) async fn with_sidecars(namespace: &'a Namespace, count: usize) -> anyhow::Result<(Self, Replica)> {
        let mut installed = Self::new(namespace).await?;
        let replica = installed.installation.start("op-1", 0, None)?;
        installed.apply_next().await?;
        installed.add_sidecars(count).await?;
        installed.ready().await?;
        Ok((installed, replica))
    }

    /// Starts pods with sidecars, `users-0` and so on.
    pub(crate) async fn add_sidecars(&mut self, count: usize) -> anyhow::Result<()> {
        let first = self.sidecars.len();
        let names: Vec<String> = (first..first + count).map(|index| format!("{USERS}-{index}")).collect();
        let starting = names.iter().map(|name| {
            Sidecar::start(self.namespace, &self.installation, RUNNER, name, &[("app", USERS), ("service", USERS)])
        });
        self.sidecars.extend(try_join_all(starting).await?);
        Ok(())
    }

    /// Waits until every sidecar is ready and runs the newest generation.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<()> {
        for sidecar in &mut self.sidecars {
            sidecar.ready().await?;
        }
        self.in_force(PATIENCE).await.map(drop)
    }

    /// The name under which the pods are called.
    pub(crate) fn host(&self) -> String {
        format!("{USERS}.{}.svc", self.namespace.name)
    }

    pub(crate) fn targets(&self) -> anyhow::Result<Vec<Target>> {
        self.sidecars.iter().map(|sidecar| sidecar.target(&self.host())).collect()
    }

    /// The next generation, as `kubectl apply` would.
    pub(crate) async fn apply_next(&mut self) -> anyhow::Result<()> {
        self.generation += 1;
        self.history.begins(self.generation);
        self.apply(USERS, &spec(rules(self.generation))).await
    }

    pub(crate) async fn apply(&self, name: &str, spec: &Value) -> anyhow::Result<()> {
        let object = policy(&self.namespace.name, name, spec);
        write(self.namespace, Way::Apply, &object, false).await.with_context(|| format!("cannot apply `{name}`"))
    }

    /// Waits until the newest generation decides on every sidecar, and tells how long after the call each did.
    pub(crate) async fn in_force(&self, patience: Duration) -> anyhow::Result<Vec<Duration>> {
        self.in_force_since(Instant::now(), patience).await
    }

    /// The same, where it was applied at a moment before.
    pub(crate) async fn in_force_since(&self, since: Instant, patience: Duration) -> anyhow::Result<Vec<Duration>> {
        let targets = self.targets()?;
        let looks = targets.iter().enumerate().map(|(index, target)| async move {
            let took = decides(target, self.generation, since, patience).await;
            let took = took.with_context(|| format!("generation {} on {USERS}-{index}", self.generation))?;
            self.history.is_seen(index, self.generation);
            Ok(took)
        });
        try_join_all(looks).await
    }

    /// Applies the next generation, which must be in force everywhere within a second.
    pub(crate) async fn change(&mut self) -> anyhow::Result<Vec<Duration>> {
        self.change_within(IN_FORCE).await
    }

    /// The same with another patience.
    pub(crate) async fn change_within(&mut self, patience: Duration) -> anyhow::Result<Vec<Duration>> {
        let begun = Instant::now();
        self.apply_next().await?;
        self.in_force_since(begun, patience).await
    }

    pub(crate) async fn status(&self, name: &str) -> anyhow::Result<Value> {
        let object = self.namespace.policies().get(name).await?;
        Ok(object.data.get("status").cloned().unwrap_or_default())
    }

    /// Waits for a condition of a policy: its status and reason.
    pub(crate) async fn condition(&self, name: &str, kind: &str, wanted: (&str, &str)) -> anyhow::Result<Value> {
        eventually(PATIENCE, &format!("{kind} of {name} is {wanted:?}"), async || {
            let status = self.status(name).await?;
            let found = condition(&status, kind);
            let text = |field: &str| found.get(field).and_then(Value::as_str).unwrap_or_default();
            let generation = self.namespace.policies().get(name).await?.metadata.generation;
            ensure!((text("status"), text("reason")) == wanted, "{status:#}");
            ensure!(found.get("observedGeneration").and_then(Value::as_i64) == generation, "{status:#}");
            Ok(found)
        })
        .await
    }

    pub(crate) async fn relabel(&self, pod: &str, app: &str) -> anyhow::Result<()> {
        let patch = Patch::Merge(json!({"metadata": {"labels": {"app": app}}}));
        let pods = self.namespace.api::<k8s_openapi::api::core::v1::Pod>();
        pods.patch(pod, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Takes away what is in no namespace. Fails where the operator asked for what it may not.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        let Self { installation, sidecars, .. } = self;
        drop(sidecars);
        installation.end().await
    }
}

/// A policy for the pods, with these rules.
pub(crate) fn spec(rules: Value) -> Value {
    json!({"selector": {"matchLabels": {"app": USERS}}, "tls": {"mode": "Optional"}, "rules": rules})
}

/// A condition in a status; null where it is not there.
pub(crate) fn condition(status: &Value, kind: &str) -> Value {
    let conditions = status.get("conditions").and_then(Value::as_array).into_iter().flatten();
    let mut found = conditions.filter(|one| one.get("type").and_then(Value::as_str) == Some(kind));
    found.next().cloned().unwrap_or_default()
}

/// Asks again and again until a generation decides.
async fn decides(target: &Target, generation: u64, since: Instant, patience: Duration) -> anyhow::Result<Duration> {
    let mut connection: Option<Connection> = None;
    loop {
        // Read before the look: what is not in force by then is late.
        let elapsed = since.elapsed();
        let look = async {
            if connection.as_ref().is_none_or(Connection::is_closed) {
                connection = Some(target.connect().await?);
            }
            let open = connection.as_mut().context("no connection")?;
            open.get(&format!("/g/{generation}")).await
        };
        let said = match look.await {
            Ok(answer) if answer.status == 200 => return Ok(since.elapsed()),
            Ok(answer) => format!("{answer:?}"),
            Err(error) => {
                connection = None;
                format!("{error:#}")
            }
        };
        ensure!(elapsed < patience, "not in force within {patience:?}: {said}");
        sleep(Duration::from_millis(10)).await;
    }
}
