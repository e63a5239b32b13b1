//! A namespace on the node with what the tests put there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use cli::dev::DevKey;
use e2e::kubectl::kubectl;
use e2e::namespace::{Namespace, within};
use e2e::wait::eventually;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::{Map, Value, json};
use tokio::task::spawn_blocking;

use crate::caller::{Caller, request};
use crate::manifests::workload;

/// Pods on a loaded machine: what takes seconds on a free one.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// The same for kubectl.
const TIMEOUT: &str = "--timeout=120s";
/// The issuer of all tokens.
const ISSUER: &str = "https://login.example.com";

/// A namespace, and the key of the tokens' issuer.
pub(crate) struct Scene<'a> {
    pub(crate) namespace: &'a Namespace,
    key: DevKey,
}

/// Runs a test in a namespace of its own; the logs of its pods are shown when it fails.
pub(crate) async fn scene(label: &str, test: impl AsyncFnOnce(&Scene) -> anyhow::Result<()>) -> anyhow::Result<()> {
    within(label, async |namespace| {
        let scene = Scene { namespace, key: DevKey::generate_ec("key-1")? };
        let result = test(&scene).await;
        if result.is_err() {
            scene.show_logs().await;
        }
        result
    })
    .await
}

/// Runs kubectl in the operator's namespace; it must succeed.
pub(crate) async fn operator(args: &[&str]) -> anyhow::Result<String> {
    let own = ["--namespace", "doorward"];
    kubectl(&[&own[..], args].concat(), "").await?.success().with_context(|| format!("kubectl {}", args.join(" ")))
}

/// Runs a program, which must succeed; its output.
pub(crate) async fn run(program: &str, args: &[&str]) -> anyhow::Result<String> {
    let what = format!("{program} {}", args.join(" "));
    let mut command = Command::new(program);
    command.args(args);
    let output = spawn_blocking(move || command.output()).await?.with_context(|| format!("cannot run `{what}`"))?;
    ensure!(output.status.success(), "`{what}`: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

impl Scene<'_> {
    /// Runs kubectl in the namespace; it must succeed.
    pub(crate) async fn kubectl(&self, args: &[&str]) -> anyhow::Result<String> {
        let own = ["--namespace", &self.namespace.name];
        kubectl(&[&own[..], args].concat(), "").await?.success().with_context(|| format!("kubectl {}", args.join(" ")))
    }

    /// What kubectl says of objects; whether it takes them is in the answer.
    pub(crate) async fn try_apply(&self, objects: &Value) -> anyhow::Result<e2e::kubectl::Answer> {
        let args = ["apply", "--server-side", "--force-conflicts", "--namespace", &self.namespace.name, "-f", "-"];
        kubectl(&args, &objects.to_string()).await
    }

    /// Applies objects; its warnings.
    pub(crate) async fn apply(&self, objects: &Value) -> anyhow::Result<String> {
        let answer = self.try_apply(objects).await?;
        let warnings = answer.stderr.clone();
        answer.success()?;
        Ok(warnings)
    }

    /// Puts an annotation on the pods of a Deployment, as the quick start does.
    pub(crate) async fn annotate(&self, deployment: &str, annotations: &Value) -> anyhow::Result<()> {
        let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}}).to_string();
        self.kubectl(&["patch", "deployment", deployment, "--patch", &patch]).await.map(drop)
    }

    /// Waits until all pods of a Deployment are those of its template, and ready.
    pub(crate) async fn rolled_out(&self, deployment: &str) -> anyhow::Result<()> {
        self.kubectl(&["rollout", "status", &format!("deployment/{deployment}"), TIMEOUT]).await.map(drop)
    }

    /// Applies a policy for the pods of an application; its issuer is `main`, where it names none.
    pub(crate) async fn policy(&self, name: &str, app: &str, mut spec: Value) -> anyhow::Result<String> {
        let jwks = self.jwks();
        let issuer = json!({"name": "main", "issuer": ISSUER, "audiences": ["users-api"], "keys": {"inline": jwks}});
        if spec["issuers"].is_null() {
            spec["issuers"] = json!([issuer]);
        }
        spec["selector"] = json!({"matchLabels": {"app": app}});
        let metadata = json!({"name": name});
        let policy =
            json!({"apiVersion": "doorward.dev/v1alpha1", "kind": "ApiAuthPolicy", "metadata": metadata, "spec": spec});
        self.apply(&policy).await
    }

    /// Waits until a policy is enforced on all its pods.
    pub(crate) async fn enforced(&self, policy: &str) -> anyhow::Result<()> {
        let waited = self.kubectl(&["wait", "--for=condition=Enforced", &format!("aap/{policy}"), TIMEOUT]).await;
        if waited.is_err() {
            eprintln!("{}", self.kubectl(&["get", "aap", policy, "-o", "yaml"]).await?);
        }
        waited.map(drop)
    }

    /// A condition of a policy: its status and reason.
    pub(crate) async fn condition(&self, policy: &str, name: &str) -> anyhow::Result<(String, String)> {
        let object = self.namespace.policies().get(policy).await?;
        let conditions = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions.iter().find(|condition| condition["type"] == name);
        let found = found.with_context(|| format!("no condition {name}: {conditions:?}"))?;
        let text = |member: &str| found[member].as_str().unwrap_or_default().to_owned();
        Ok((text("status"), text("reason")))
    }

    /// Waits until a condition of a policy has a status and a reason.
    pub(crate) async fn says(&self, policy: &str, name: &str, status: &str, reason: &str) -> anyhow::Result<()> {
        eventually(PATIENCE, &format!("{name}={status}, {reason}"), async || {
            let seen = self.condition(policy, name).await?;
            ensure!(seen == (status.to_owned(), reason.to_owned()), "{seen:?}");
            Ok(())
        })
        .await
    }

    /// The public key of the issuer, as it publishes it.
    pub(crate) fn jwks(&self) -> String {
        json!({"keys": [self.key.jwk()]}).to_string()
    }

    /// A token for the users API.
    pub(crate) fn token(&self, scope: &str) -> anyhow::Result<String> {
        let now = jiff::Timestamp::now().as_second();
        let claims =
            json!({"iss": ISSUER, "aud": "users-api", "sub": "alice", "scope": scope, "iat": now, "exp": now + 3600});
        self.key.sign(&Map::new(), claims.as_object().context("claims")?)
    }

    /// A pod that calls others, with a certificate from the agent.
    pub(crate) async fn caller(&self) -> anyhow::Result<Caller> {
        let mut deployment = workload(
            "Deployment",
            "caller",
            1,
            json!({
                "name": "app",
                "command": ["node", "/apps/caller/index.js"],
                "ports": [{"containerPort": 8000}],
                "readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1},
            }),
        );
        deployment["spec"]["template"]["metadata"]["annotations"] = json!({"doorward.dev/client-certificate": "true"});
        self.apply(&deployment).await?;
        self.rolled_out("caller").await?;
        let address = format!("{}:8000", self.pod("caller", "{.status.podIP}").await?);
        eventually(PATIENCE, "the caller listens", async || {
            request(&address, http::Method::GET, "/files", String::new()).await.map(drop)
        })
        .await?;
        Ok(Caller { address })
    }

    /// A field of the only pod of an application that is not going.
    pub(crate) async fn pod(&self, app: &str, jsonpath: &str) -> anyhow::Result<String> {
        let path = format!("jsonpath={jsonpath}");
        eventually(PATIENCE, &format!("one pod of {app}"), async || {
            let pods = self.namespace.api::<Pod>().list(&ListParams::default().labels(&format!("app={app}"))).await?;
            let staying = pods.items.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
            let names: Vec<String> = staying.map(ResourceExt::name_any).collect();
            ensure!(names.len() == 1, "{names:?}");
            let value = self.kubectl(&["get", "pod", &names[0], "-o", &path]).await?;
            ensure!(!value.is_empty(), "no {jsonpath} yet");
            Ok(value)
        })
        .await
    }

    /// The process of a container of a pod, as a folder of /proc: the tests share the machine's processes.
    pub(crate) async fn process(&self, app: &str, words: &[&str]) -> anyhow::Result<PathBuf> {
        let uid = self.pod(app, "{.metadata.uid}").await?;
        let command: String = words.iter().flat_map(|word| [*word, "\0"]).collect();
        let reads = |process: &Path, file: &str| std::fs::read_to_string(process.join(file)).unwrap_or_default();
        let processes = std::fs::read_dir("/proc")?.flatten().map(|entry| entry.path());
        let mut found: Vec<PathBuf> = processes
            .filter(|process| reads(process, "cmdline") == command && reads(process, "cgroup").contains(&uid))
            .collect();
        ensure!(found.len() == 1, "{words:?}: {found:?}");
        found.pop().context("a process")
    }

    /// Kills the process of a container, as the kernel does when memory is short.
    pub(crate) async fn kill(&self, app: &str, words: &[&str]) -> anyhow::Result<()> {
        let process = self.process(app, words).await?;
        let number = process.file_name().and_then(|name| name.to_str()).context("a number")?;
        run("kill", &["-KILL", number]).await.map(drop)
    }

    /// Lets the caller's agent fetch a new certificate before its time: its files are gone when it starts again.
    pub(crate) async fn renew_caller(&self) -> anyhow::Result<()> {
        let agent = ["/doorward-sidecar", "agent"];
        let process = self.process("caller", &agent).await?;
        std::fs::remove_file(process.join("root/var/run/doorward/client/ca.crt"))?;
        self.kill("caller", &agent).await
    }

    /// The lines that the pods of an application logged, those in JSON.
    pub(crate) async fn log(&self, app: &str) -> anyhow::Result<Vec<Value>> {
        let selector = format!("app={app}");
        let text = self.kubectl(&["logs", "--selector", &selector, "--container", "app", "--tail=-1"]).await?;
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    async fn show_logs(&self) {
        let names =
            self.kubectl(&["get", "pods", "-o", "jsonpath={.items[*].metadata.name}"]).await.unwrap_or_default();
        for name in names.split_whitespace() {
            let log = self.kubectl(&["logs", name, "--all-containers", "--prefix", "--tail=60"]).await;
            eprintln!("-- log of {name}\n{}", log.unwrap_or_else(|error| format!("{error:#}")));
        }
    }
}
