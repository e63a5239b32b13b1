//! `doorward run` before the sample API, with a policy that a test writes.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use cli::dev::{App, DevCa, Issued, Names};
use serde_json::json;
use tempfile::TempDir;

use crate::http::{Answer, Client};

/// What every test has: a CA, a certificate for this machine, and a client that trusts it.
pub(crate) struct Scene {
    folder: TempDir,
    ca: DevCa,
    server: Issued,
    pub(crate) client: Client,
}

/// A running proxy; it ends with this.
pub(crate) struct Proxy<'scene> {
    client: &'scene Client,
    process: Child,
    port: u16,
    _app: App,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = DevCa::new("the providers' CA").unwrap();
        let server = ca.server(&Names { dns: vec!["localhost".to_owned()], ..Names::default() }).unwrap();
        std::fs::write(folder.path().join("server.crt"), &server.certificate).unwrap();
        std::fs::write(folder.path().join("server.key"), &server.key).unwrap();
        let client = Client::trusting(&ca);
        Self { folder, ca, server, client }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Starts the proxy with this policy. It may refer to the ConfigMap `providers`, which holds the CA as `ca.crt`.
    pub(crate) fn proxy(&self, policy: &str) -> Proxy<'_> {
        let app = App::start().unwrap();
        let config_map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "providers", "namespace": "shop"},
            "data": {"ca.crt": self.ca.pem()},
        });
        std::fs::write(self.folder.path().join("policy.yaml"), policy).unwrap();
        std::fs::write(self.folder.path().join("ca.yaml"), config_map.to_string()).unwrap();
        assert!(!self.server.certificate.is_empty());
        let upstream = app.address.to_string();
        let files = ["policy.yaml", "ca.yaml", "server.crt", "server.key"].map(|name| self.path(name));
        let mut process = Command::new(env!("CARGO_BIN_EXE_doorward"))
            .args(["run", "-f", &files[0], "-f", &files[1], "--cert", &files[2], "--key", &files[3]])
            .args(["--upstream", &upstream, "--listen", "127.0.0.1:0", "--workers", "1"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let port = first.split("https://127.0.0.1:").nth(1).and_then(|rest| rest.split(',').next());
        let port = port.unwrap_or_else(|| panic!("no address in `{first}`")).parse().unwrap();
        Proxy { client: &self.client, process, port, _app: app }
    }

    /// Runs a command of `doorward` on the policy of [`Self::proxy`] and gives back its exit code and standard output.
    pub(crate) fn doorward(&self, args: &[&str]) -> (Option<i32>, String) {
        let files = ["policy.yaml", "ca.yaml"].map(|name| self.path(name));
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        let output = command.args(args).args(["-f", &files[0], "-f", &files[1]]).output().unwrap();
        let both = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(both).unwrap())
    }
}

impl Proxy<'_> {
    pub(crate) fn get(&self, target: &str, token: Option<&str>) -> Answer {
        self.client.get(self.port, target, token)
    }

    /// Status and code of what a request with a token gets.
    pub(crate) fn verdict(&self, target: &str, token: Option<&str>) -> (u16, String) {
        let answer = self.get(target, token);
        let code = ["code", "detail"].map(|name| answer.body[name].as_str().unwrap_or_default().to_owned());
        (answer.status, code.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"))
    }
}

impl Drop for Proxy<'_> {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

/// Ends a process that a test started.
pub(crate) fn end(process: &mut Child) {
    process.kill().unwrap();
    process.wait().unwrap();
}

/// A folder of the repository.
pub(crate) fn repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
