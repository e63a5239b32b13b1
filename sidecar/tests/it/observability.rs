//! Metrics of bounded size, and a log that nobody waits for.

use crate::support::{App, Fixture, eventually, read_all};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use policy::wire::TlsMode;
use serde_json::Value;
use sidecar::AccessLog;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::sync::{Arc, Mutex};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// In everything that a test lets a caller choose.
const MARK: &str = "zq";

async fn scrape(proxy: &Fixture) -> String {
    let mut stream = TcpStream::connect(proxy.running.admin.unwrap()).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let answer = read_all(&mut stream).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200") && head.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{head}"
    );
    assert!(body.ends_with("# EOF\n"), "{body}");
    body.to_owned()
}

/// Series and their values.
async fn series(proxy: &Fixture) -> BTreeMap<String, f64> {
    let text = scrape(proxy).await;
    let lines = text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap());
    lines.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

fn sum(series: &BTreeMap<String, f64>, prefix: &str) -> f64 {
    series.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, value)| value).sum()
}

/// Numbers that look random and are the same in every run (Marsaglia, "Xorshift RNGs").
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below as u64).unwrap()
    }

    fn word(&mut self) -> String {
        format!("{MARK}{:x}", self.next(1 << 40))
    }

    fn request(&mut self, token: &str) -> Request<Full<Bytes>> {
        let word = self.word();
        let methods = ["GET", "PUT", "OPTIONS", "TRACE", "HEAD", "ZQX", &word.to_uppercase()]
            .map(|name| Method::from_bytes(name.as_bytes()).unwrap());
        let paths = [
            format!("/open/{word}"),
            format!("/{word}"),
            "/me".to_owned(),
            "/Me".to_owned(),
            format!("/orders/{word}"),
            format!("/{word};x"),
            format!("/open/%2e/{word}"),
            "/.doorward/x".to_owned(),
        ];
        let (method, path) = (methods[self.next(7)].clone(), &paths[self.next(8)]);
        let mut request = Request::builder().method(method).uri(format!("https://{}.test{path}?{word}", self.word()));
        match self.next(4) {
            0 => request = request.header("authorization", format!("Bearer {}", self.word())),
            1 => request = request.header("authorization", token),
            2 => request = request.header("expect", self.word()),
            _ => {}
        }
        request.body(Full::default()).unwrap()
    }
}

async fn over_h2(proxy: &Fixture) -> SendRequest<Full<Bytes>> {
    let stream = proxy.client().connect(Some(b"h2")).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test]
async fn nothing_that_a_caller_sends_makes_a_series() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let before = series(&proxy).await;
    let mut random = Random(42);
    let mut sender = over_h2(&proxy).await;
    for _ in 0..10_000 {
        sender.ready().await.unwrap();
        let response = sender.send_request(random.request(&proxy.alice())).await.unwrap();
        response.into_body().collect().await.unwrap();
    }
    eventually("all are counted", || async { sum(&series(&proxy).await, "doorward_requests_total") == 10_000.0 }).await;
    let after = series(&proxy).await;
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    assert!(!scrape(&proxy).await.to_lowercase().contains(MARK));
    let seen =
        after.iter().filter(|(name, value)| name.starts_with("doorward_requests_total") && **value > 0.0).count();
    assert!(seen >= 7, "{seen} kinds of outcomes");
    assert_eq!(after[r#"doorward_requests_total{effect="deny",code="other"}"#], 0.0);
    println!("{} series", after.len());
}

#[tokio::test]
async fn what_happens_is_counted() {
    let app = App::start().await;
    let proxy = Fixture::adjusted(app.address, |settings| settings.workers = 1);
    proxy.apply(&crate::support::body(TlsMode::Mutual));
    let client = proxy.client();
    for _ in 0..3 {
        assert_eq!(client.get("/me", &[("authorization", &proxy.alice())]).await.status, 200);
    }
    let token = proxy.alice();
    for _ in 0..3 {
        assert_eq!(client.get("/me", &[("authorization", &token)]).await.status, 200);
    }
    assert_eq!(client.get("/me", &[]).await.status, 401);
    assert!(client.raw(b"GET /\x01 HTTP/1.1\r\nhost: a\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    let mut plain = TcpStream::connect(proxy.running.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    read_all(&mut plain).await;
    let mut broken = TcpStream::connect(proxy.running.address).await.unwrap();
    broken.write_all(b"\x16\x03\x01\x00\x01x").await.unwrap();
    read_all(&mut broken).await;
    proxy.state.refuse(&std::io::Error::other("no snapshot"));
    let _open = client.connect(Some(b"http/1.1")).await.unwrap();
    eventually("one connection is open", || async { series(&proxy).await["doorward_connections"] == 1.0 }).await;
    let series = series(&proxy).await;
    for (name, wanted) in [
        (r#"requests_total{effect="allow",code="ok"}"#, 6.0),
        (r#"requests_total{effect="deny",code="token_missing"}"#, 1.0),
        ("request_duration_seconds_count", 7.0),
        (r#"request_duration_seconds_bucket{le="+Inf"}"#, 7.0),
        ("parser_refused_total", 1.0),
        ("plaintext_refused_total", 1.0),
        ("tls_handshake_failures_total", 1.0),
        ("token_cache_misses_total", 4.0),
        ("token_cache_hits_total", 2.0),
        ("token_cache_entries", 4.0),
        ("app_connects_total", 1.0),
        ("app_reuses_total", 5.0),
        ("app_connect_failures_total", 0.0),
        (r#"snapshot_reloads_total{outcome="ok"}"#, 1.0),
        (r#"snapshot_reloads_total{outcome="failed"}"#, 1.0),
        (r#"snapshot_generation{port="0"}"#, 1.0),
        ("access_log_dropped_lines_total", 0.0),
    ] {
        assert_eq!(series.get(&format!("doorward_{name}")), Some(&wanted), "{name} in {series:#?}");
    }
    assert!(series["doorward_token_cache_bytes"] > 0.0 && series["doorward_request_duration_seconds_sum"] > 0.0);
}

#[tokio::test]
async fn an_application_that_is_not_there_is_an_error_and_no_denial() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let proxy = Fixture::start(TlsMode::Mutual, gone);
    assert_eq!(proxy.client().get("/open/a", &[]).await.code(), "app_unreachable");
    let name = r#"doorward_requests_total{effect="error",code="app_unreachable"}"#;
    eventually("it is counted", || async { series(&proxy).await[name] == 1.0 }).await;
    assert_eq!(series(&proxy).await["doorward_app_connect_failures_total"], 1.0);
}

/// What was written to it.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn logging(app: &App, log: AccessLog) -> Fixture {
    let proxy = Fixture::adjusted(app.address, |settings| settings.access_log = log);
    let mut body = crate::support::body(TlsMode::Mutual);
    body.rules[3].audit = true;
    body.rules[3].access = policy::wire::Access::Authenticated;
    proxy.apply(&body);
    proxy
}

#[tokio::test]
async fn a_line_tells_of_each_request_and_never_of_its_token() {
    let app = App::start().await;
    let paper = Paper::default();
    let proxy = logging(&app, AccessLog::to(paper.clone()));
    let (client, token) = (proxy.client(), proxy.alice());
    let secret = format!("/me?access_token={MARK}");
    assert_eq!(
        client.get(&secret, &[("authorization", &token), ("cookie", MARK), ("x-secret", MARK)]).await.status,
        200
    );
    assert_eq!(client.get("/orders/7", &[("authorization", &format!("Bearer {MARK}"))]).await.status, 401);
    assert_eq!(client.get("/internal", &[]).await.status, 200);
    let post = Request::post(format!("https://{MARK}:{MARK}@orders.test/open/a"))
        .body(Bytes::from_static(b"0123456789"))
        .unwrap();
    assert_eq!(client.send_h2(post).await.unwrap().status, 400);
    let post = Request::post("https://orders.test/open/a").body(Bytes::from_static(b"0123456789")).unwrap();
    assert_eq!(client.send_h2(post).await.unwrap().status, 200);
    // What was gathered is written before it ends.
    tokio::task::spawn_blocking(move || proxy.running.stop()).await.unwrap();
    let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
    let signature = token.rsplit('.').next().unwrap();
    assert!(
        !text.contains(MARK) && !text.contains(signature) && !text.contains("alice") && !text.contains("Bearer"),
        "{text}"
    );
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.sort_by_key(|line| line["time"].as_str().unwrap().to_owned());
    let told = |name: &str| lines.iter().map(|line| line[name].clone()).collect::<Value>();
    assert_eq!(told("path"), serde_json::json!(["/me", "/orders/7", "/internal", "/open/a", "/open/a"]));
    assert_eq!(told("effect"), serde_json::json!(["allow", "deny", "audit", "deny", "allow"]));
    assert_eq!(told("code"), serde_json::json!(["ok", "token_invalid", "token_missing", "bad_request", "ok"]));
    assert_eq!(told("detail"), serde_json::json!([null, "malformed", null, "target_form", null]));
    assert_eq!(told("status"), serde_json::json!([200, 401, 200, 400, 200]));
    assert_eq!(told("rule"), serde_json::json!([1, 2, 3, null, 0]));
    assert_eq!(told("protocol"), serde_json::json!(["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/2.0", "HTTP/2.0"]));
    assert_eq!(
        (&lines[4]["policy"], &lines[4]["host"], &lines[4]["bytes"]),
        (&"shop/orders".into(), &"orders.test".into(), &10.into())
    );
    assert_eq!(lines[0]["client"], "127.0.0.1");
    assert!(
        lines
            .iter()
            .all(|line| line["requestId"].as_str().unwrap().len() == 32 && line["durationMs"].as_f64().unwrap() > 0.0)
    );
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_no_request_and_tells_what_it_dropped() {
    let app = App::start().await;
    let (reader, writer) = std::io::pipe().unwrap();
    let proxy = logging(&app, AccessLog::to(writer));
    let mut sender = over_h2(&proxy).await;
    let mut sent = 0;
    let ask = async |sender: &mut SendRequest<Full<Bytes>>| {
        sender.ready().await.unwrap();
        let request = Request::get(format!("https://orders.test/{}", "a".repeat(300))).body(Full::default()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        response.into_body().collect().await.unwrap();
    };
    let dropped = async || series(&proxy).await["doorward_access_log_dropped_lines_total"];
    // Far more than pipe and queue hold; each is answered although nobody reads.
    while sent < 1_000 || dropped().await == 0.0 {
        for _ in 0..500 {
            ask(&mut sender).await;
            sent += 1;
        }
        assert!(sent < 50_000);
    }
    let reading = std::thread::spawn(move || {
        BufReader::new(reader).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect::<Vec<Value>>()
    });
    ask(&mut sender).await;
    sent += 1;
    drop(sender);
    tokio::task::spawn_blocking(move || proxy.running.stop()).await.unwrap();
    let lines = reading.join().unwrap();
    let missing: u64 = lines.iter().filter_map(|line| line["dropped"].as_u64()).sum();
    let told = lines.iter().filter(|line| line["dropped"].is_null()).count() as u64;
    println!("{sent} requests, {told} lines, {missing} dropped");
    assert!(missing > 0);
    assert_eq!(told + missing, sent);
}
