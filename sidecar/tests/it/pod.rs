//! The binary as injection starts it, in a network namespace like a pod's.

use crate::support::namespace::{Neighbour, inside};
use crate::support::operator::{Operator, SYNCED, keys_line, ruleset_line};
use crate::support::{App, Ca, Client, Signer, body, eventually, plain_get, token_until};
use policy::wire::TlsMode;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const ADMIN: &str = "127.0.0.1:15920";
const DEBUG: &str = "127.0.0.1:15921";

struct Pod {
    ca: Arc<Ca>,
    signer: Signer,
    operator: Operator,
    folder: TempDir,
    /// The container port.
    port: u16,
}

/// A container; it ends whatever becomes of the test.
struct Container(Child);

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Container {
    fn terminate(&self) {
        crate::support::namespace::sh(&format!("kill -TERM {}", self.0.id()));
    }

    async fn ended(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Pod {
    async fn new(port: u16) -> Self {
        let ca = Arc::new(Ca::new("cluster"));
        let folder = tempfile::tempdir().unwrap();
        for name in ["token", "state", "captured", "client", "tls"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("token/token"), token_until(4_000_000_000)).unwrap();
        let (operator, signer) = (Operator::start(&ca).await, Signer::new("k1"));
        operator.set(&[keys_line(&signer.jwks()), ruleset_line(port, 3, &body(TlsMode::Mutual)), SYNCED.to_owned()]);
        Self { ca, signer, operator, folder, port }
    }

    /// A container with the environment that injection writes, and these over it.
    fn command(&self, arguments: &[&str], capture: &str, more: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward-sidecar"));
        let listen = if capture == "bind" { self.port } else { 15943 };
        let probes = format!(
            r#"[{{"action":{{"tcp":{{"port":{}}}}},"timeoutSeconds":1}},{{"action":{{"tcp":{{"port":1}}}},"timeoutSeconds":1}}]"#,
            self.port
        );
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap())
            .env("DOORWARD_OPERATOR", format!("https://localhost:{}", self.operator.address.port()))
            .env("DOORWARD_CA_BUNDLE", self.ca.pem())
            .env("DOORWARD_PORTS", format!(r#"[{{"port":{},"listen":{listen}}}]"#, self.port))
            .env("DOORWARD_PROBES", probes)
            .env("DOORWARD_CAPTURE", capture)
            .env("DOORWARD_POD_IPS", "10.9.0.1,fd09::1")
            .envs(more.iter().copied())
            .stdout(Stdio::null());
        for (name, folder) in [("TOKEN", "token"), ("STATE", "state"), ("CAPTURE", "captured"), ("CLIENT", "client")] {
            command.env(format!("DOORWARD_{name}_DIR"), self.folder.path().join(folder));
        }
        command
    }

    fn start(&self, capture: &str, more: &[(&str, &str)]) -> Container {
        Container(self.command(&[], capture, more).spawn().unwrap())
    }

    fn client(&self, address: &str) -> Client {
        Client::new(address.parse().unwrap(), &self.ca.certificate, Some(&self.ca.client("web/web")))
    }
}

async fn probe(path: &str) -> (u16, String) {
    // Not there yet is an answer too.
    match tokio::net::TcpStream::connect(ADMIN).await {
        Ok(_) => plain_get(ADMIN.parse().unwrap(), path).await,
        Err(_) => (0, String::new()),
    }
}

#[tokio::test]
async fn a_pod_with_redirect_from_its_start_to_its_end() {
    if !inside("pod::a_pod_with_redirect_from_its_start_to_its_end") {
        return;
    }
    let app = App::start().await;
    let pod = Pod::new(app.address.port()).await;
    let mut container = pod.start("redirect", &[]);
    eventually("it has started", || async { probe("/startupz").await.0 == 200 }).await;
    let unproven = format!("the traffic of port {} is not proven to come here\n", pod.port);
    eventually("it waits for the proof", || async { probe("/readyz").await == (503, unproven.clone()) }).await;
    assert!(pod.command(&["capture"], "redirect", &[]).status().unwrap().success());
    eventually("it is ready", || async { probe("/readyz").await.0 == 200 }).await;
    let client = pod.client("127.0.0.1:15943");
    let alice = pod.signer.bearer(serde_json::json!({"scope": "orders:read"}));
    assert_eq!(client.get("/orders/7", &[("authorization", &alice)]).await.status, 200);
    assert_eq!(client.get("/orders/7?token=hunter2", &[]).await.status, 401);
    pod.operator.reported("the port is captured", |report| report.captured == [pod.port]).await;

    assert_eq!(probe("/probe/0").await, (200, String::new()));
    assert_eq!(probe("/probe/1").await, (503, String::new()));
    let debug: SocketAddr = DEBUG.parse().unwrap();
    let (_, config) = plain_get(debug, "/debug/config").await;
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!((&config["ready"], &config["captured"][0]), (&true.into(), &pod.port.into()));
    assert_eq!(config["ports"][0]["policy"]["generation"], 3);
    assert_eq!(config["ports"][0]["policy"]["issuers"][0]["keyIds"][0], "k1");
    let (_, decisions) = plain_get(debug, "/debug/decisions").await;
    assert!(decisions.contains("token_missing") && !decisions.contains("hunter2"), "{decisions}");

    let mut open = client.connect(Some(b"http/1.1")).await.unwrap();
    let asked = std::time::Instant::now();
    assert!(pod.command(&["drain"], "redirect", &[]).status().unwrap().success());
    assert!(asked.elapsed() < Duration::from_secs(3), "it has begun and does not wait for its end");
    assert_eq!(probe("/readyz").await, (503, "draining\n".to_owned()));
    assert_eq!(probe("/livez").await.0, 200);
    let answer = client.get("/orders/7", &[("authorization", &alice)]).await;
    assert_eq!((answer.status.as_u16(), answer.header("connection")), (200, Some("close")), "served all the while");
    use tokio::io::AsyncWriteExt;
    open.write_all(b"GET /open/a HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(crate::support::read_all(&mut open).await.starts_with("HTTP/1.1 200"));
    eventually("the port closes", || async { tokio::net::TcpStream::connect("127.0.0.1:15943").await.is_err() }).await;
    assert!(container.0.try_wait().unwrap().is_none(), "it ends when it is told, after the application");
    container.terminate();
    assert!(container.ended().await.success());
}

#[tokio::test]
async fn under_bind_the_port_is_ours_or_nobody_believes_us() {
    if !inside("pod::under_bind_the_port_is_ours_or_nobody_believes_us") {
        return;
    }
    let neighbour = Neighbour::new();
    let app = App::start().await;
    let pod = Pod::new(app.address.port()).await;
    // An application that listens where the sidecar should.
    let everywhere = TcpListener::bind(("10.9.0.1", pod.port)).unwrap();
    let mut container = pod.start("bind", &[("DOORWARD_LOG_LEVEL", "error")]);
    eventually("it says why", || async {
        let (status, why) = probe("/startupz").await;
        status == 503 && why.contains("10.9.0.1") && why.contains("has to listen on 127.0.0.1 alone")
    })
    .await;
    let report = pod.operator.reported("nothing is captured", |report| !report.applied.is_empty()).await;
    assert!(report.captured.is_empty() && probe("/readyz").await.0 == 503);
    drop(everywhere);
    eventually("it has the port", || async { probe("/readyz").await.0 == 200 }).await;
    pod.operator.reported("the port is captured", |report| report.captured == [pod.port]).await;
    let alice = pod.signer.bearer(serde_json::json!({"scope": "orders:read"}));
    for address in [format!("10.9.0.1:{}", pod.port), format!("[fd09::1]:{}", pod.port)] {
        let answer = pod.client(&address).get("/orders/7", &[("authorization", &alice)]).await;
        assert_eq!(answer.status, 200, "{address}");
    }
    // From outside there is no way to the application itself.
    let refused = neighbour.run(&format!("(exec 3<>/dev/tcp/10.9.0.1/{}; echo GET / >&3; cat <&3) || true", pod.port));
    assert!(refused.starts_with("HTTP/1.1 400") || refused.is_empty(), "{refused}");
    assert!(app.seen().iter().all(|request| request.target == "/orders/7"));
    for taken in [SocketAddr::from(([0; 4], pod.port)), SocketAddr::from((Ipv6Addr::UNSPECIFIED, pod.port))] {
        assert_eq!(TcpListener::bind(taken).unwrap_err().kind(), std::io::ErrorKind::AddrInUse, "{taken}");
    }
    container.terminate();
    assert!(container.ended().await.success());
}

#[tokio::test]
async fn the_users_own_certificate_takes_the_place_of_the_built_in_one() {
    if !inside("pod::the_users_own_certificate_takes_the_place_of_the_built_in_one") {
        return;
    }
    let app = App::start().await;
    let pod = Pod::new(app.address.port()).await;
    let tls = pod.folder.path().join("tls");
    let show = |ca: &Ca, version: &str| {
        let server = ca.server();
        std::fs::create_dir(tls.join(version)).unwrap();
        for (name, text) in [
            ("tls.crt", crate::support::pem("CERTIFICATE", &server.certificate)),
            ("tls.key", crate::support::pem("PRIVATE KEY", server.key().secret_der())),
        ] {
            std::fs::write(tls.join(version).join(name), text).unwrap();
        }
        std::os::unix::fs::symlink(version, tls.join("new")).unwrap();
        std::fs::rename(tls.join("new"), tls.join("..data")).unwrap();
    };
    let (first, second) = (Ca::new("public one"), Ca::new("public two"));
    show(&first, "..1");
    for name in ["tls.crt", "tls.key"] {
        std::os::unix::fs::symlink(format!("..data/{name}"), tls.join(name)).unwrap();
    }
    let _container = pod.start("redirect", &[("DOORWARD_TLS_DIR", tls.to_str().unwrap())]);
    let sees =
        |ca: &Ca| Client::new("127.0.0.1:15943".parse().unwrap(), &ca.certificate, Some(&pod.ca.client("web/web")));
    eventually("it serves", || async { sees(&first).connects().await }).await;
    show(&second, "..2");
    eventually("the kubelet swapped the link", || async { sees(&second).connects().await }).await;
    assert!(!sees(&first).connects().await);
    // The built-in one is asked for all the same: its bundle vouches for callers.
    eventually("it was asked for", || async { pod.operator.issued() == 1 }).await;
}

#[tokio::test]
async fn the_agent_keeps_files_that_belong_together() {
    if !inside("pod::the_agent_keeps_files_that_belong_together") {
        return;
    }
    let pod = Pod::new(3000).await;
    let client = pod.folder.path().join("client");
    let check = || pod.command(&["agent", "--check"], "bind", &[]).stderr(Stdio::null()).status().unwrap().code();
    assert_eq!(check(), Some(1));
    pod.operator.issue_with(&pod.ca, &[&pod.ca], Duration::from_secs(4));
    let mut agent = Container(pod.command(&["agent"], "bind", &[]).spawn().unwrap());
    eventually("the files are there", || async { check() == Some(0) }).await;
    let read = |name: &str| std::fs::read_to_string(client.join(name)).unwrap();
    let (first, key) = (read("tls.crt"), read("tls.key"));
    assert_eq!(read("ca.crt"), pod.ca.pem());
    eventually("they are replaced", || async { read("tls.crt") != first }).await;
    assert_ne!(read("tls.key"), key);
    // Whichever a reader finds behind the link belongs together.
    let folder = std::fs::read_link(client.join("..data")).unwrap();
    let inside = client.join(folder);
    sidecar::ServerCertificate::from_files(&inside.join("tls.crt"), &inside.join("tls.key")).unwrap();
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(client.join("tls.key")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o644, "the application has another user");
    let left = || std::fs::read_dir(&client).unwrap().count();
    eventually("old ones are gone", || async { left() == 5 }).await;
    agent.terminate();
    assert!(agent.ended().await.success());
}

#[test]
fn all_faults_of_the_environment_are_told_at_once() {
    let output = Command::new(env!("CARGO_BIN_EXE_doorward-sidecar"))
        .env_clear()
        .env("DOORWARD_OPERATOR", "http://x")
        .env("DOORWARD_CAPTURE", "other")
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    for name in ["OPERATOR", "CA_BUNDLE", "TOKEN_DIR", "PORTS", "CAPTURE", "STATE_DIR"] {
        assert!(told.contains(&format!("DOORWARD_{name}: ")), "{name} in {told}");
    }
    let nothing = Command::new(env!("CARGO_BIN_EXE_doorward-sidecar")).env_clear().output().unwrap();
    assert_eq!(nothing.status.code(), Some(2));
    let drain = Command::new(env!("CARGO_BIN_EXE_doorward-sidecar"))
        .arg("drain")
        .env_clear()
        .env("DOORWARD_STATE_DIR", "/nowhere")
        .output()
        .unwrap();
    assert_eq!(drain.status.code(), Some(1));
    assert!(String::from_utf8(drain.stderr).unwrap().contains("no sidecar listens on `/nowhere/drain.sock`"));
}
