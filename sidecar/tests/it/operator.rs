//! The operator as the source: what it sends is in force, and whatever becomes of it, what was in force stays.

mod certificates;
mod hostile;
mod unknown_keys;
mod volume;

use crate::support::operator::{Operator, SYNCED, keys_line, ruleset_line};
use crate::support::{App, Ca, Client, Signer, body, eventually, token_until};
use policy::wire::{Applied, Body, TlsMode};
use sidecar::source::operator::{Following, OperatorSettings, prepare};
use sidecar::tls::CurrentCertificate;
use sidecar::{Capture, Clock, Log, PortSettings, Running, Settings, State};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// What of a pod outlives its containers.
struct Pod {
    ca: Arc<Ca>,
    signer: Signer,
    app: App,
    operator: Operator,
    folder: TempDir,
}

/// A sidecar of it.
struct Sidecar {
    // First: it holds what the proxy serves with.
    _following: Following,
    running: Running,
    state: Arc<State>,
    certificate: Arc<CurrentCertificate>,
}

impl Pod {
    async fn new() -> Self {
        let ca = Arc::new(Ca::new("cluster"));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), token_until(4_000_000_000)).unwrap();
        std::fs::create_dir(folder.path().join("state")).unwrap();
        let operator = Operator::start(&ca).await;
        Self { signer: Signer::new("k1"), app: App::start().await, operator, folder, ca }
    }

    /// The usual policy on both ports, the second one's with a rule of its own.
    fn lines(&self) -> Vec<String> {
        vec![
            keys_line(&self.signer.jwks()),
            ruleset_line(3000, 7, &body(TlsMode::Mutual)),
            ruleset_line(9090, 1, &only("/metrics/**")),
            SYNCED.to_owned(),
        ]
    }

    fn start(&self) -> Sidecar {
        self.start_with(self.operator.address, |_| {})
    }

    fn start_with(&self, operator: SocketAddr, adjust: impl FnOnce(&mut OperatorSettings)) -> Sidecar {
        let state = Arc::new(State::for_ports(&[3000, 9090]));
        let certificate = Arc::new(CurrentCertificate::default());
        let mut settings = OperatorSettings {
            address: format!("https://localhost:{}", operator.port()).parse().unwrap(),
            token_folder: self.folder.path().to_owned(),
            bundle: vec![self.ca.certificate.clone()],
            shows_certificate: true,
            silence: Duration::from_secs(45),
            clock: Clock::System,
            log: Log::off(),
        };
        adjust(&mut settings);
        let volume = self.folder.path().join("state");
        let prepared = prepare(settings, &volume, Arc::clone(&state), &certificate).unwrap();
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let ports =
            [3000, 9090].map(|port| PortSettings { port, listen: vec![loopback], upstream: self.app.address }).into();
        let settings = Settings {
            workers: 2,
            admin: Some(loopback),
            capture: Some(Capture::Bind),
            ..Settings::for_ports(ports, Arc::clone(&certificate))
        };
        let running = sidecar::start(settings, Arc::clone(&state)).unwrap();
        let following = prepared.follow(Box::new(running.captured())).unwrap();
        Sidecar { _following: following, running, state, certificate }
    }

    /// A caller of a port.
    fn client(&self, sidecar: &Sidecar, port: u16) -> Client {
        let (_, address) = sidecar.running.addresses().into_iter().find(|(number, _)| *number == port).unwrap();
        Client::new(address, &self.ca.certificate, Some(&self.ca.client("web/web")))
    }

    fn alice(&self) -> String {
        self.signer.bearer(serde_json::json!({"scope": "orders:read"}))
    }
}

impl Sidecar {
    async fn ready(&self) {
        eventually("it is ready", || async { self.probe("/readyz").await.0 == 200 }).await;
    }

    /// Status and text.
    async fn probe(&self, path: &str) -> (u16, String) {
        crate::support::plain_get(self.running.admin.unwrap(), path).await
    }
}

/// The usual policy with one rule for anybody.
fn only(path: &str) -> Body {
    let mut body = body(TlsMode::Mutual);
    body.rules.truncate(1);
    body.rules[0].path = path.into();
    body
}

fn applied(port: u16, generation: i64, body: &Body) -> Applied {
    let revision = policy::wire::RulesetMessage::new(port, generation, body).unwrap().revision;
    Applied { port, generation, revision, error: None }
}

#[tokio::test]
async fn nothing_is_served_before_the_operator_spoke_and_everything_after() {
    let pod = Pod::new().await;
    pod.operator.refuse("/v1/certificate", 503, 2);
    let sidecar = pod.start();
    let client = pod.client(&sidecar, 3000);
    assert_eq!(sidecar.probe("/startupz").await.0, 200);
    let (status, why) = sidecar.probe("/readyz").await;
    assert_eq!((status, why.as_str()), (503, "no certificate\n"));
    assert!(client.connect(Some(b"http/1.1")).await.is_err(), "a handshake without a certificate fails");
    eventually("the certificate comes", || async { sidecar.certificate.is_there() }).await;
    assert_eq!(sidecar.probe("/readyz").await, (503, "no policy is in force\n".to_owned()));
    let answer = client.get("/open/a", &[]).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "not_configured"));
    pod.operator.set(&pod.lines());
    sidecar.ready().await;
    assert_eq!(client.get("/orders/7", &[("authorization", &pod.alice())]).await.status, 200);
    assert_eq!(client.get("/orders/7", &[]).await.status, 401);
    let other = pod.client(&sidecar, 9090);
    assert_eq!(other.get("/metrics/a", &[]).await.status, 200);
    assert_eq!(other.get("/open/a", &[]).await.code(), "no_rule", "each port has its own policy");
    assert_eq!(client.get("/metrics/a", &[]).await.code(), "no_rule");
    let usual = applied(3000, 7, &body(TlsMode::Mutual));
    let report = pod.operator.reported("both are reported", |report| report.applied.len() == 2).await;
    assert_eq!(report.applied, [usual, applied(9090, 1, &only("/metrics/**"))]);
    assert_eq!(report.captured, [3000, 9090]);
    let (target, token) = pod.operator.opened().remove(0);
    assert_eq!(target, "/v1/config?formats=1&ports=3000,9090");
    assert_eq!(token, format!("Bearer {}", token_until(4_000_000_000)));
}

#[tokio::test]
async fn changes_are_in_force_and_reported_and_a_deleted_policy_denies() {
    let pod = Pod::new().await;
    pod.operator.set(&pod.lines());
    let sidecar = pod.start();
    sidecar.ready().await;
    let client = pod.client(&sidecar, 3000);
    for generation in 8..13 {
        let path = format!("/v{generation}/**");
        pod.operator.send(&ruleset_line(3000, generation, &only(&path)));
        eventually("it is in force", || async { client.get(&format!("/v{generation}/a"), &[]).await.status == 200 })
            .await;
        assert_eq!(client.get(&format!("/v{}/a", generation - 1), &[]).await.status, 403);
    }
    let last = applied(3000, 12, &only("/v12/**"));
    pod.operator.reported("the last is reported", |report| report.applied.contains(&last)).await;
    pod.operator.send("{\"type\":\"absent\",\"port\":3000}\n");
    eventually("it denies", || async { client.get("/v12/a", &[]).await.status == 503 }).await;
    assert_eq!(client.get("/v12/a", &[]).await.code(), "not_configured");
    assert_eq!(sidecar.probe("/readyz").await.0, 503);
    let none = Applied { port: 3000, generation: 0, revision: String::new(), error: None };
    pod.operator.reported("that nothing is there", |report| report.applied.contains(&none)).await;
    assert_eq!(pod.client(&sidecar, 9090).get("/metrics/a", &[]).await.status, 200);
    // The same again, as after a reconnect, is no change; another generation alone is one.
    pod.operator.send(&ruleset_line(9090, 2, &only("/metrics/**")));
    let next = applied(9090, 2, &only("/metrics/**"));
    pod.operator.reported("the generation", |report| report.applied.contains(&next)).await;
}

#[tokio::test]
async fn a_key_rotation_is_in_force_for_all_ports_and_changes_no_revision() {
    let pod = Pod::new().await;
    let mut lines = pod.lines();
    lines[2] = ruleset_line(9090, 1, &body(TlsMode::Mutual));
    pod.operator.set(&lines);
    let sidecar = pod.start();
    sidecar.ready().await;
    let before = pod.operator.reported("both", |report| report.applied.len() == 2).await;
    let next = Signer::new("k2");
    let token = next.bearer(serde_json::json!({}));
    pod.operator.send(&keys_line(&next.jwks()));
    for port in [3000, 9090] {
        let client = pod.client(&sidecar, port);
        eventually("the new key", || async { client.get("/me", &[("authorization", &token)]).await.status == 200 })
            .await;
        let old = client.get("/me", &[("authorization", &pod.alice())]).await;
        assert_eq!(old.code(), "token_invalid/unknown_key", "the cache went with the key");
    }
    assert_eq!(sidecar.state.status(), before.applied);
}

#[tokio::test]
async fn a_report_finds_the_replica_that_has_the_stream() {
    let pod = Pod::new().await;
    pod.operator.set(&pod.lines());
    pod.operator.refuse("/v1/report", 409, 3);
    let sidecar = pod.start();
    pod.operator.reported("it arrives", |report| report.applied.len() == 2).await;
    drop(sidecar);
}

#[tokio::test]
async fn the_next_stream_is_open_before_the_token_of_this_one_ends() {
    let pod = Pod::new().await;
    pod.operator.set(&pod.lines());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let path = pod.folder.path().join("token");
    std::fs::write(&path, token_until(now + 2)).unwrap();
    let sidecar = pod.start();
    sidecar.ready().await;
    std::fs::write(&path, token_until(4_000_000_001)).unwrap();
    eventually("the next stream", || async { pod.operator.opened().len() == 2 }).await;
    let tokens: Vec<_> = pod.operator.opened().into_iter().map(|(_, token)| token).collect();
    assert_eq!(tokens, [now + 2, 4_000_000_001].map(|end| format!("Bearer {}", token_until(end))));
    eventually("the first is closed", || async { pod.operator.streams() == 1 }).await;
    pod.operator.send(&ruleset_line(3000, 8, &only("/v8/**")));
    let client = pod.client(&sidecar, 3000);
    eventually("the next one is followed", || async { client.get("/v8/a", &[]).await.status == 200 }).await;
}

/// What the deleted policy allowed must not live on behind one that was never accepted.
#[tokio::test]
async fn only_the_rules_of_the_policy_that_rules_the_port_are_retained() {
    let pod = Pod::new().await;
    let of = |uid: &str| {
        let mut body = body(TlsMode::Mutual);
        body.policy.uid = uid.to_owned();
        body
    };
    let retain = |uid: &str| format!(r#"{{"type":"retain","port":3000,"policies":["other","{uid}"]}}"#) + "\n";
    let rest = pod.lines().split_off(2);
    let with = |line: String| {
        let mut lines = vec![keys_line(&pod.signer.jwks()), line];
        lines.extend(rest.clone());
        lines
    };
    pod.operator.set(&with(ruleset_line(3000, 7, &of("first"))));
    let sidecar = pod.start();
    sidecar.ready().await;
    let client = pod.client(&sidecar, 3000);
    let status = async || client.get("/orders/7", &[("authorization", &pod.alice())]).await.status.as_u16();
    pod.operator.set(&with(retain("first")));
    pod.operator.set(&with(ruleset_line(3000, 8, &of("first"))));
    eventually("the second generation", || async { sidecar.state.status()[0].generation == 8 }).await;
    assert_eq!(status().await, 200, "its own last good rules stayed");
    pod.operator.set(&with(retain("second")));
    eventually("another policy's rules are gone", || async { status().await == 503 }).await;
    drop(sidecar);
    let again = pod.start();
    let client = pod.client(&again, 3000);
    eventually("the certificate comes", || async { again.certificate.is_there() }).await;
    let answer = client.get("/orders/7", &[("authorization", &pod.alice())]).await;
    assert_eq!(answer.status, 503, "and do not come back from the volume");
}
