//! The command line.

use crate::support::{App, Ca, Client, Signer, body, eventually, pem, snapshot};
use policy::wire::{Body, TlsMode};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use tokio::io::AsyncWriteExt;

const NO_KEYS: &str = r#"{"keys":[]}"#;

fn sidecar() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward-sidecar"));
    command.stderr(Stdio::piped());
    command
}

#[test]
fn all_faults_are_told_at_once() {
    let arguments = [
        "--snapshot",
        "/nowhere",
        "--listen",
        "x",
        "--upstream",
        "y",
        "--cert",
        "/nowhere.pem",
        "--key",
        "/nowhere.key",
        "--client-ca",
        "/nowhere.ca",
        "--workers",
        "0",
        "--admin",
        "z",
        "--drain-delay",
        "5",
    ];
    let output = sidecar().args(arguments).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    for flag in [
        "--listen: `x`",
        "--upstream: `y`",
        "--cert, --key: `/nowhere.pem`",
        "--client-ca: `/nowhere.ca`",
        "--workers: `0`",
        "--admin: `z`",
        "--drain-delay: `5`",
    ] {
        assert!(text.contains(flag), "{flag} in {text}");
    }
}

#[test]
fn what_vouches_for_nobody_is_no_client_ca() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new("cluster");
    let (ours, leaf) = (pem("CERTIFICATE", &ca.certificate), pem("CERTIFICATE", &ca.server().certificate));
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, ours + &leaf).unwrap();
    let mut command = sidecar();
    command.args(["--snapshot", "/nowhere", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:9", "--client-ca"]);
    let output = command.arg(&file).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("certificate 2 in `") && text.contains("not the certificate of a CA"), "{text}");
}

/// A policy without TLS needs no certificate, and one with TLS is not ready without.
#[tokio::test]
async fn only_plaintext_goes_without_a_certificate() {
    let (app, folder) = (App::start().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("snapshot.json");
    let put = |mode| std::fs::write(&file, serde_json::to_string(&snapshot(&body(mode), NO_KEYS)).unwrap()).unwrap();
    put(TlsMode::Plaintext);
    let mut command = sidecar();
    command.args(["--listen", "127.0.0.1:0", "--upstream", &app.address.to_string(), "--workers", "1"]);
    command.arg("--snapshot").arg(&file).args(["--drain-delay", "0s"]).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut said = |wanted: &str| lines.find(|line| line.contains(wanted)).unwrap();
    let address: SocketAddr = said("listening on ").split_once("listening on ").unwrap().1.parse().unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /open/a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let answer = crate::support::read_all(&mut stream).await;
    put(TlsMode::Optional);
    let told = said("it asks for TLS");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(told.contains("--cert and --key"), "{told}");
    for alone in ["--cert", "--key"] {
        let output = sidecar().args(["--snapshot", "s", "--upstream", "127.0.0.1:1", alone, "x"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
    }
}

/// Ten minutes are taken, and a longer delay is a typing error.
#[test]
fn a_drain_delay_has_an_end() {
    for (delay, is_taken) in [("10m", true), ("600000ms", true), ("600001ms", false), ("11m", false), ("1h", false)] {
        let mut command = sidecar();
        command.args(["--snapshot", "s", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1", "--cert", "c"]);
        let output = command.args(["--key", "k", "--workers", "0", "--drain-delay", delay]).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("--workers: `0`"), "{text}");
        let told = format!("--drain-delay: `{delay}`: not a whole number with one of ms, s, m, h, at most 10m");
        assert_eq!(text.contains(&told), !is_taken, "{text}");
    }
}

/// The binary at work, with files of its own; it ends whatever becomes of the test.
pub(super) struct Process {
    pub(super) child: std::process::Child,
    /// What it says on standard error, from after the line that tells its address on.
    pub(super) lines: Box<dyn Iterator<Item = String> + Send>,
    pub(super) client: Client,
    /// What it said before that.
    first: String,
    folder: tempfile::TempDir,
    signer: Signer,
}

impl Process {
    /// Starts it without a snapshot, its standard output as given.
    pub(super) fn start(app: SocketAddr, arguments: &[&str], stdout: Stdio) -> Self {
        Self::run(sidecar(), app, arguments, stdout)
    }

    /// As above, with so many descriptors.
    pub(super) fn with_descriptors(most: usize, app: SocketAddr, arguments: &[&str], stdout: Stdio) -> Self {
        let mut command = Command::new("sh");
        let text = format!("ulimit -n {most} && exec \"$0\" \"$@\"");
        command.args(["-c", &text, env!("CARGO_BIN_EXE_doorward-sidecar")]).stderr(Stdio::piped());
        Self::run(command, app, arguments, stdout)
    }

    fn run(mut command: Command, app: SocketAddr, arguments: &[&str], stdout: Stdio) -> Self {
        let (ca, signer) = (Ca::new("cluster"), Signer::new("k1"));
        let server = ca.server();
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: String| {
            std::fs::write(folder.path().join(name), content).unwrap();
            folder.path().join(name)
        };
        command.args(["--listen", "127.0.0.1:0", "--upstream", &app.to_string(), "--workers", "1"]).args(arguments);
        command.arg("--cert").arg(file("cert.pem", pem("CERTIFICATE", &server.certificate)));
        command.arg("--key").arg(file("key.pem", pem("PRIVATE KEY", server.key().secret_der())));
        command.arg("--client-ca").arg(file("ca.pem", pem("CERTIFICATE", &ca.certificate)));
        command.arg("--snapshot").arg(folder.path().join("snapshot.json"));
        let mut child = command.stdout(stdout).spawn().unwrap();
        let mut lines = Box::new(BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap));
        let first = lines.next().unwrap();
        let address = lines.next().unwrap().split_once("listening on ").unwrap().1.parse().unwrap();
        let client = Client::new(address, &ca.certificate, Some(&ca.client("web/web")));
        Self { child, lines, client, first, folder, signer }
    }

    /// What it has used of the processor (proc_pid_stat(5), fields 14 and 15, in hundredths).
    pub(super) fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11..13].iter().map(|field| field.parse::<f64>().unwrap()).sum::<f64>() / 100.0
    }

    /// Gives it a policy.
    pub(super) fn put(&self, body: &Body) {
        let snapshot = serde_json::to_string(&snapshot(body, &self.signer.jwks())).unwrap();
        let new = self.folder.path().join("new");
        std::fs::write(&new, snapshot).unwrap();
        std::fs::rename(new, self.folder.path().join("snapshot.json")).unwrap();
    }

    /// Gives it the usual policy, and waits until it is in force.
    pub(super) async fn configure(&self) {
        self.put(&body(TlsMode::Mutual));
        eventually("the snapshot is in force", || async { self.client.get("/open/a", &[]).await.status == 200 }).await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn it_serves_from_files_and_takes_a_snapshot_that_comes_later() {
    let app = App::start().await;
    let process = Process::start(app.address, &[], Stdio::null());
    assert!(process.first.contains("snapshot refused"));
    assert_eq!(process.client.get("/open/a", &[]).await.code(), "not_configured");
    process.configure().await;
}
