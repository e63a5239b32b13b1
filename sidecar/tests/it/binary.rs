//! The command line.

use crate::support::{App, Ca, Client, Signer, body, eventually, snapshot};
use policy::wire::TlsMode;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

fn sidecar() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward-sidecar"));
    command.stderr(Stdio::piped());
    command
}

#[test]
fn all_faults_are_told_at_once() {
    let arguments = ["--snapshot", "/nowhere", "--listen", "x", "--upstream", "y", "--cert", "/nowhere.pem", "--key", "/nowhere.key", "--client-ca", "/nowhere.ca", "--workers", "0", "--admin", "z"];
    let output = sidecar().args(arguments).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    for flag in ["--listen: `x`", "--upstream: `y`", "--cert, --key: `/nowhere.pem`", "--client-ca: `/nowhere.ca`", "--workers: `0`", "--admin: `z`"] {
        assert!(text.contains(flag), "{flag} in {text}");
    }
}

/// Ends the process, whatever becomes of the test.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", base64::engine::general_purpose::STANDARD.encode(der))
}

#[tokio::test]
async fn it_serves_from_files_and_takes_a_snapshot_that_comes_later() {
    let app = App::start().await;
    let (ca, signer) = (Ca::new("cluster"), Signer::new("k1"));
    let server = ca.server();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: String| {
        std::fs::write(folder.path().join(name), content).unwrap();
        folder.path().join(name)
    };
    let mut command = sidecar();
    command.args(["--listen", "127.0.0.1:0", "--upstream", &app.address.to_string(), "--workers", "1"]);
    command.arg("--cert").arg(file("cert.pem", pem("CERTIFICATE", &server.certificate)));
    command.arg("--key").arg(file("key.pem", pem("PRIVATE KEY", server.key().secret_der())));
    command.arg("--client-ca").arg(file("ca.pem", pem("CERTIFICATE", &ca.certificate)));
    command.arg("--snapshot").arg(folder.path().join("snapshot.json"));
    let mut child = Child(command.spawn().unwrap());
    let mut lines = BufReader::new(child.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains("snapshot refused"));
    let address = lines.next().unwrap().split_once("listening on ").unwrap().1.parse().unwrap();
    let client = Client::new(address, &ca.certificate, Some(&ca.client("web/web")));
    assert_eq!(client.get("/open/a", &[]).await.code(), "not_configured");
    let snapshot = serde_json::to_string(&snapshot(&body(TlsMode::Mutual), &signer.jwks())).unwrap();
    std::fs::rename(file("new", snapshot), folder.path().join("snapshot.json")).unwrap();
    eventually("the snapshot is in force", || async { client.get("/open/a", &[]).await.status == 200 }).await;
}
