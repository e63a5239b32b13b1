//! What the demo needs and nobody else has: a CA, certificates, a key that signs tokens; in a folder that goes with it.

use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::dev::{DevCa, DevKey, Issued, Names, unsigned};
use crate::explain::NamedCas;

const ISSUER: &str = "https://login.demo.example";
const AUDIENCE: &str = "users-api";

/// The folder of one demo.
pub(super) struct Folder {
    folder: TempDir,
    ca: CertificateDer<'static>,
    pub(super) server: Issued,
}

impl Folder {
    pub(super) fn create(policy: &str) -> anyhow::Result<Self> {
        let ca = DevCa::new("demo CA")?;
        let localhost = vec!["localhost".to_owned()];
        let server = ca.server(&Names { dns: localhost, ..Names::default() })?;
        let folder =
            Self { folder: tempfile::Builder::new().prefix("doorward-demo-").tempdir()?, ca: ca.der(), server };
        folder.write("policy.yaml", policy)?;
        folder.write_caller(&ca)?;
        folder.write_tokens()?;
        Ok(folder)
    }

    pub(super) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// The demo's CA stands for the one that is built into the operator.
    pub(super) fn built_in_ca(&self) -> NamedCas {
        NamedCas::from([("cluster".to_owned(), vec![self.ca.clone()])])
    }

    /// A certificate as a workload gets it, and the curl options that use it.
    fn write_caller(&self, ca: &DevCa) -> anyhow::Result<()> {
        let spiffe = "spiffe://cluster.local/ns/demo/sa/web".to_owned();
        let caller = ca.client(&Names { uris: vec![spiffe], ..Names::default() })?;
        self.write("ca.crt", &ca.pem())?;
        self.write("web.crt", &caller.certificate)?;
        self.write("web.key", &caller.key)?;
        let path = |name| super::shown(&self.path(name));
        let trust = format!("silent\nshow-error\ncacert = \"{}\"\n", path("ca.crt"));
        self.write("nobody", &trust)?;
        self.write("web", &format!("{trust}cert = \"{}\"\nkey = \"{}\"\n", path("web.crt"), path("web.key")))
    }

    fn write_tokens(&self) -> anyhow::Result<()> {
        let key = DevKey::generate_ec("demo-1")?;
        let stranger = DevKey::generate_ec("demo-1")?;
        let none = Map::new();
        let alice = claims("alice", "users:read", &[], 3600);
        let tokens = [
            ("alice.jwt", key.sign(&none, &alice)?),
            ("ops.jwt", key.sign(&none, &claims("olga", "users:read users:write", &["admin"], 3600))?),
            ("clerk.jwt", key.sign(&none, &claims("carl", "users:read users:write", &["clerk"], 3600))?),
            ("old.jwt", key.sign(&none, &claims("alice", "users:read", &[], -3600))?),
            ("forged.jwt", stranger.sign(&none, &alice)?),
            ("unsigned.jwt", unsigned(&alice)?),
        ];
        tokens.iter().try_for_each(|(name, token)| self.write(name, token))?;
        let keys = json!({"keys": [key.jwk()]}).to_string();
        let config_map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "login-keys", "namespace": "demo"}, "data": {"jwks.json": keys},
        });
        self.write("login-keys.yaml", &serde_yaml::to_string(&config_map)?)
    }

    /// Everything here is readable by its owner only: the folder is made so.
    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        Ok(std::fs::write(self.path(name), text)?)
    }
}

fn claims(subject: &str, scope: &str, roles: &[&str], seconds: i64) -> Map<String, Value> {
    let now = jiff::Timestamp::now().as_second();
    let claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": subject, "scope": scope, "roles": roles, "iat": now - 7200, "exp": now + seconds,
    });
    claims.as_object().cloned().unwrap_or_default()
}
