//! A pod with a sidecar that really runs: an object, a host of its own, the application, and what the kubelet and the capture container
//! would write.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use policy::wire::{
    ADMIN_PORT, AUDIENCE, CAPTURED_FILE, ENV_BUNDLE, ENV_CAPTURE, ENV_CAPTURE_DIR, ENV_LOG_LEVEL, ENV_OPERATOR,
    ENV_PORTS, ENV_PROBES, ENV_STATE_DIR, ENV_TOKEN_DIR, REDIRECT_PORT,
};
use serde_json::{Value, json};

use crate::client::Target;
use crate::host::Host;
use crate::identity::{PodInput, pod, pod_token};
use crate::installation::Installation;
use crate::limits::PATIENCE;
use crate::namespace::Namespace;
use crate::process::{Process, binary};
use crate::wait::eventually;

/// The application's port.
pub const PORT: u16 = 3000;

/// A pod with its sidecar.
#[derive(Debug)]
pub struct Sidecar {
    /// The pod's name.
    pub name: String,
    /// The pod as the API server made it.
    pub pod: Pod,
    /// Its token.
    pub token: String,
    host: Host,
    operator: String,
    bundle: String,
    folder: PathBuf,
    logs: PathBuf,
    process: Option<Process>,
    _application: Process,
}

impl Sidecar {
    /// Makes the pod with its labels, and starts application and sidecar. The service account must be there.
    ///
    /// # Errors
    /// The API server's, or where something cannot be started.
    pub async fn start(
        namespace: &Namespace,
        installation: &Installation,
        account: &str,
        name: &str,
        labels: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let folder = namespace.folder.join(name);
        for part in ["token", "state", "capture"] {
            std::fs::create_dir_all(folder.join(part)).context("cannot make the folders of a pod")?;
        }
        let host = Host::new(&[&installation.host], &folder)?;
        let address = host.address.to_string();
        let input = PodInput {
            name,
            service_account: account,
            labels,
            ports: &[("http", PORT)],
            injected: true,
            address: Some(&address),
            ..PodInput::default()
        };
        let pod = pod(namespace, &input).await?;
        let token = pod_token(namespace, &pod, AUDIENCE).await?;
        std::fs::write(folder.join("token/token"), &token).context("cannot write the token")?;
        let captured = json!({"ports": [PORT]}).to_string();
        std::fs::write(folder.join("capture").join(CAPTURED_FILE), captured).context("cannot write the fact")?;
        let mut application = binary("e2e-echo")?;
        application.arg(PORT.to_string());
        let application = Process::start(&format!("{name}-app"), host.command(&application), &namespace.folder)?;
        let mut sidecar = Self {
            name: name.to_owned(),
            pod,
            token,
            host,
            operator: format!("https://{}:8443", installation.host),
            bundle: installation.bundle().await?,
            folder,
            logs: namespace.folder.clone(),
            process: None,
            _application: application,
        };
        sidecar.run()?;
        Ok(sidecar)
    }

    /// Starts the sidecar's process, with what its volume holds.
    ///
    /// # Errors
    /// Where it runs, or cannot be started.
    pub fn run(&mut self) -> anyhow::Result<()> {
        ensure!(self.process.is_none(), "{} runs", self.name);
        let mut command: Command = binary("doorward-sidecar")?;
        let folder = |part: &str| self.folder.join(part);
        command.env(ENV_OPERATOR, &self.operator).env(ENV_BUNDLE, &self.bundle);
        command.env(ENV_PORTS, json!([{"port": PORT, "listen": REDIRECT_PORT}]).to_string());
        command.env(ENV_PROBES, "[]").env(ENV_CAPTURE, "redirect").env(ENV_LOG_LEVEL, "info");
        command.env(ENV_CAPTURE_DIR, folder("capture")).env(ENV_TOKEN_DIR, folder("token"));
        command.env(ENV_STATE_DIR, folder("state"));
        self.process = Some(Process::start(&self.name, self.host.command(&command), &self.logs)?);
        Ok(())
    }

    /// Ends the sidecar's process as a crash would.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.take().context("it does not run")?.kill()
    }

    /// Who answers in front of the application, under the name of a Service.
    ///
    /// # Errors
    /// Where the name cannot be used.
    pub fn target(&self, service: &str) -> anyhow::Result<Target> {
        self.target_by(service, &self.bundle)
    }

    /// The same, for callers that know these CA certificates alone.
    ///
    /// # Errors
    /// See [`Target::new`].
    pub fn target_by(&self, service: &str, bundle: &str) -> anyhow::Result<Target> {
        Target::new(SocketAddr::from((self.host.address, REDIRECT_PORT)), service, bundle)
    }

    /// Who vouches, as far as its volume knows, in PEM; empty where there is none.
    ///
    /// # Errors
    /// Where what is there cannot be read.
    pub fn kept_bundle(&self) -> anyhow::Result<String> {
        let Ok(bytes) = std::fs::read(self.folder.join("state/identity.json")) else { return Ok(String::new()) };
        let kept: Value = serde_json::from_slice(&bytes).context("its identity is no JSON")?;
        Ok(kept.pointer("/content/bundle").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// The ids of the sets of keys on its volume.
    ///
    /// # Errors
    /// Where the volume cannot be read.
    pub fn key_sets(&self) -> anyhow::Result<Vec<String>> {
        let mut ids = Vec::new();
        for file in std::fs::read_dir(self.folder.join("state")).context("cannot read the volume")? {
            let bytes = std::fs::read(file?.path()).unwrap_or_default();
            let kept: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let text = |pointer| kept.pointer(pointer).and_then(Value::as_str);
            if text("/content/type") == Some("keys") {
                ids.extend(text("/content/id").map(str::to_owned));
            }
        }
        Ok(ids)
    }

    /// Waits until the sidecar says that it is ready.
    ///
    /// # Errors
    /// What it says instead.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        let what = format!("{} is ready", self.name);
        let admin = SocketAddr::from((self.host.address, ADMIN_PORT));
        eventually(PATIENCE, &what, async || {
            self.process.as_mut().context("it does not run")?.alive()?;
            let (status, said) = crate::client::plain(admin, "/readyz").await?;
            ensure!(status == 200, "{status}: {said}");
            Ok(())
        })
        .await
    }

    /// The pod's UID.
    #[must_use]
    pub fn uid(&self) -> String {
        self.pod.uid().unwrap_or_default()
    }
}
