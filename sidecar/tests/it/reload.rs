//! A new snapshot takes effect as a whole or not at all.

use crate::support::{App, Ca, Client, Fixture, body, eventually, snapshot};
use bytes::Bytes;
use http::Request;
use policy::wire::{Access, Body, Snapshot, TlsMode};
use sidecar::{Limits, source::file};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn probe(proxy: &Fixture, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(proxy.running.admin.unwrap()).await.unwrap();
    stream.write_all(format!("{method} {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await.unwrap();
    crate::support::read_all(&mut stream).await.chars().skip(9).take(3).collect()
}

#[tokio::test]
async fn without_a_snapshot_nothing_passes_and_nothing_is_ready() {
    let app = App::start().await;
    let proxy = Fixture::unconfigured(app.address, Limits::default());
    let answer = proxy.client().get("/open/a", &[]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str(), answer.header("retry-after")),
        (503, "not_configured", Some("5"))
    );
    assert_eq!(proxy.client().get("/open//a", &[]).await.code(), "bad_request/empty_segment", "hygiene comes first");
    assert_eq!(
        (
            probe(&proxy, "GET", "/readyz").await,
            probe(&proxy, "GET", "/livez").await,
            probe(&proxy, "HEAD", "/startupz").await
        ),
        ("503".into(), "200".into(), "200".into())
    );
    let mut bad = snapshot(&body(TlsMode::Mutual), &proxy.signer.jwks());
    bad.rulesets[0].revision = "0".repeat(64);
    assert!(proxy.state.apply(&bad, &[]).is_err());
    let answer = proxy.client().get("/open/a", &[]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str(), answer.header("retry-after")),
        (503, "config_invalid", Some("5"))
    );
    assert!(!proxy.state.is_ready());
    proxy.apply(&body(TlsMode::Mutual));
    assert_eq!(proxy.client().get("/open/a", &[]).await.status, 200);
    assert_eq!(
        (
            probe(&proxy, "GET", "/readyz").await,
            probe(&proxy, "POST", "/readyz").await,
            probe(&proxy, "GET", "/x").await
        ),
        ("200".into(), "405".into(), "404".into())
    );
    assert_eq!(app.seen().len(), 1);
}

fn text(snapshot: &Snapshot) -> String {
    serde_json::to_string(snapshot).unwrap()
}

fn replace(path: &Path, content: impl AsRef<[u8]>) {
    let new = path.with_extension("new");
    std::fs::write(&new, content).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// The usual policy, with one rule more for this path.
fn with_path(path: &str) -> Body {
    let mut body = body(TlsMode::Mutual);
    let mut rule = body.rules[0].clone();
    rule.path = path.into();
    rule.access = Access::Anonymous;
    body.rules.push(rule);
    body
}

#[tokio::test]
async fn a_file_that_cannot_be_used_changes_nothing() {
    let app = App::start().await;
    let proxy = Fixture::unconfigured(app.address, Limits::default());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot.json");
    let good = text(&snapshot(&with_path("/first"), &proxy.signer.jwks()));
    replace(&path, &good);
    let outcomes = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&outcomes);
    let watch = file::watch(&path, Arc::clone(&proxy.state), vec![proxy.ca.certificate.clone()], move |outcome| {
        heard.lock().unwrap().push(outcome.map_err(|error| error.to_string()));
    })
    .unwrap();
    assert_eq!(*outcomes.lock().unwrap(), [Ok(())]);
    let client = proxy.client();
    let second = text(&snapshot(&with_path("/second"), &proxy.signer.jwks()));
    let at = second.find("/second").unwrap();
    let bad: Vec<Vec<u8>> = vec![
        Vec::new(),
        second.as_bytes()[..second.len() / 2].to_vec(),
        second.replacen("\"format\":1", "\"format\":2", 1).into_bytes(),
        second.replacen("/second", "/sfcond", 1).into_bytes(),
        second.replacen("\"revision\":\"", "\"revision\":\"f", 1).into_bytes(),
        second.replacen("\"port\":0", "\"port\":0,\"extra\":1", 1).into_bytes(),
        format!("{second}{second}").into_bytes(),
        [&second.as_bytes()[..at], b"\xff", &second.as_bytes()[at + 1..]].concat(),
        br#"{"format":1,"rulesets":[],"keys":[]}"#.to_vec(),
        vec![b' '; policy::wire::MAX_SNAPSHOT_BYTES + 1],
    ];
    for content in bad {
        let before = outcomes.lock().unwrap().len();
        replace(&path, &content);
        eventually("the change is seen", || async { outcomes.lock().unwrap().len() > before }).await;
        assert!(
            outcomes.lock().unwrap().last().unwrap().is_err(),
            "{}",
            String::from_utf8_lossy(&content[..content.len().min(200)])
        );
        assert!(proxy.state.fault().is_some() && proxy.state.is_ready(), "the fault is visible, the last good stays");
        assert_eq!(client.get("/first", &[]).await.status, 200);
        assert_eq!(client.get("/second", &[]).await.status, 403);
    }
    std::fs::remove_file(&path).unwrap();
    // Opening a pipe would wait for ever, and the good file after it would never be seen.
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    eventually("a pipe is no file", || async {
        proxy.state.fault().is_some_and(|fault| fault.contains("no regular file"))
    })
    .await;
    std::fs::remove_file(&path).unwrap();
    eventually("a lost file is a fault", || async {
        proxy.state.fault().is_some_and(|fault| fault.contains("cannot be read"))
    })
    .await;
    assert_eq!(client.get("/first", &[]).await.status, 200);
    replace(&path, &second);
    eventually("a good file is in force", || async { client.get("/second", &[]).await.status == 200 }).await;
    assert_eq!(proxy.state.fault(), None);
    drop(watch);
}

#[tokio::test]
async fn a_swapped_link_and_a_write_in_place_are_seen() {
    let app = App::start().await;
    let proxy = Fixture::unconfigured(app.address, Limits::default());
    let folder = tempfile::tempdir().unwrap();
    let link = |to: &str| {
        let _ = std::fs::remove_file(folder.path().join("new"));
        std::os::unix::fs::symlink(folder.path().join(to), folder.path().join("new")).unwrap();
        std::fs::rename(folder.path().join("new"), folder.path().join("data")).unwrap();
    };
    for (version, path) in [("v1", "/first"), ("v2", "/second")] {
        std::fs::create_dir(folder.path().join(version)).unwrap();
        std::fs::write(
            folder.path().join(version).join("s.json"),
            text(&snapshot(&with_path(path), &proxy.signer.jwks())),
        )
        .unwrap();
    }
    link("v1");
    let _watch = file::watch(
        &folder.path().join("data/s.json"),
        Arc::clone(&proxy.state),
        vec![proxy.ca.certificate.clone()],
        drop,
    )
    .unwrap();
    let client = proxy.client();
    assert_eq!(client.get("/first", &[]).await.status, 200);
    link("v2");
    eventually("the new link is followed", || async { client.get("/second", &[]).await.status == 200 }).await;
    std::fs::write(folder.path().join("v2/s.json"), text(&snapshot(&with_path("/third"), &proxy.signer.jwks())))
        .unwrap();
    eventually("a write in place is seen", || async { client.get("/third", &[]).await.status == 200 }).await;
}

#[tokio::test]
async fn what_no_proxy_could_serve_is_not_applied() {
    let proxy = Fixture::unconfigured(([127, 0, 0, 1], 1).into(), Limits::default());
    let jwks = proxy.signer.jwks();
    let usual = snapshot(&body(TlsMode::Mutual), &jwks);
    assert!(proxy.state.apply(&usual, &[]).is_err(), "Mutual, and nobody to vouch");
    let mut two = usual.clone();
    two.rulesets.push(two.rulesets[0].clone());
    let mut same = usual.clone();
    same.keys.push(same.keys[0].clone());
    let mut flipped = usual.clone();
    flipped.keys[0].revision = "0".repeat(64);
    let no_keys = snapshot(&body(TlsMode::Mutual), "[]");
    for bad in [two, same, flipped, no_keys] {
        assert!(proxy.state.apply(&bad, std::slice::from_ref(&proxy.ca.certificate)).is_err());
    }
    assert!(!proxy.state.is_ready());
}

#[tokio::test]
async fn issuers_whose_keys_never_came_are_503_and_do_not_disturb_the_rest() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let mut without = snapshot(&body(TlsMode::Mutual), &proxy.signer.jwks());
    without.keys.clear();
    proxy.state.apply(&without, std::slice::from_ref(&proxy.ca.certificate)).unwrap();
    let answer = proxy.client().get("/me", &[("authorization", &proxy.alice())]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str(), answer.header("retry-after")),
        (503, "keys_unavailable", Some("5"))
    );
    assert_eq!(proxy.client().get("/open/a", &[]).await.status, 200);
}

/// The head of one answer on a connection that stays open.
async fn ask(stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin)) -> String {
    stream.write_all(b"HEAD /open/a HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn live_connections_are_judged_by_the_present_tls() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Optional, app.address);
    let mut anonymous = proxy.stranger().connect(Some(b"http/1.1")).await.unwrap();
    let mut known = proxy.client().connect(Some(b"http/1.1")).await.unwrap();
    assert!(ask(&mut anonymous).await.starts_with("HTTP/1.1 200") && ask(&mut known).await.starts_with("HTTP/1.1 200"));
    proxy.apply(&body(TlsMode::Mutual));
    let refused = ask(&mut anonymous).await;
    assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("connection: close"), "{refused}");
    assert_eq!(crate::support::read_all(&mut anonymous).await, "");
    assert!(ask(&mut known).await.starts_with("HTTP/1.1 200"));
    // The built-in CA is replaced by another: its word is worth nothing now, under the same name.
    let other = Ca::new("cluster");
    let stays = snapshot(&body(TlsMode::Mutual), &proxy.signer.jwks());
    proxy.state.apply(&stays, std::slice::from_ref(&other.certificate)).unwrap();
    let refused = ask(&mut known).await;
    assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("connection: close"), "{refused}");
    let new = Client::new(proxy.running.address, &proxy.ca.certificate, Some(&other.client("web/web")));
    assert_eq!(new.get("/open/a", &[]).await.status, 200);
}

#[tokio::test]
async fn an_http2_connection_that_is_no_longer_acceptable_ends() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Optional, app.address);
    let stream = proxy.stranger().connect(Some(b"h2")).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(stream),
    )
    .await
    .unwrap();
    let connection = tokio::spawn(connection);
    let request = || Request::get("https://a/open/a").body(http_body_util::Empty::<Bytes>::new()).unwrap();
    assert_eq!(sender.send_request(request()).await.unwrap().status(), 200);
    proxy.apply(&body(TlsMode::Mutual));
    assert_eq!(sender.send_request(request()).await.unwrap().status(), 403);
    assert!(tokio::time::timeout(std::time::Duration::from_secs(20), connection).await.is_ok());
}

/// The nth way to damage a file: cut, flipped, a piece doubled, a piece gone, emptied, another version, huge, other text.
fn damaged(good: &[u8], number: usize) -> Vec<u8> {
    // Weyl's sequence: every place is tried before one comes twice.
    let place = number.wrapping_mul(2_654_435_761) % good.len();
    let mut bytes = good.to_vec();
    match number % 8 {
        0 => bytes.truncate(place),
        1 | 2 => bytes[place] ^= 1 << (number / 8 % 8),
        3 => bytes.splice(place..place, good[..place].iter().copied()).for_each(drop),
        4 => bytes.drain(place..(place + 9).min(good.len())).for_each(drop),
        5 => bytes[place] = b'0' + u8::try_from(number / 8 % 10).unwrap(),
        6 => {
            bytes =
                String::from_utf8_lossy(good).replacen("\"format\":1", &format!("\"format\":{number}"), 1).into_bytes()
        }
        _ if number % 200 == 7 => bytes.resize(policy::wire::MAX_SNAPSHOT_BYTES + 1, b' '),
        _ => bytes = String::from_utf8_lossy(good).replacen("/orders/{id}", &"/**/".repeat(number % 3), 1).into_bytes(),
    }
    bytes
}

/// Status of the answer to one request on a connection that stays open.
async fn status_of(stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin), path: &str) -> String {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: orders.test\r\n\r\n").as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.split("\r\ncontent-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
    stream.read_exact(&mut vec![0; length.parse().unwrap()]).await.unwrap();
    head.split(' ').nth(1).unwrap().to_owned()
}

/// What the good file decides, before and after every damaged one.
async fn assert_same_decisions(
    stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin),
    number: usize,
) {
    for (path, wanted) in [("/orders/7", "401"), ("/internal2", "403"), ("/open/a", "200")] {
        assert_eq!(status_of(stream, path).await, wanted, "{path} after {number}");
    }
}

/// Whether a text says the same as the good one and is no larger than is read. Two fields are for people, and nothing is decided
/// by them: the generation, and the name of the issuer beside the id by which its keys are found.
fn say_the_same(damaged: &[u8], good: &str) -> bool {
    let document = |bytes: &[u8]| {
        let mut document: serde_json::Value = serde_json::from_slice(bytes).ok()?;
        for place in ["/rulesets/0/generation", "/keys/0/issuer"] {
            let value = document.pointer_mut(place)?;
            // Another kind of value is no name and no number.
            *value = if value.is_string() { "a name".into() } else { value.is_i64().into() };
        }
        Some(document)
    };
    damaged.len() <= policy::wire::MAX_SNAPSHOT_BYTES && document(damaged) == document(good.as_bytes())
}

/// What is refused before a damaged file came is refused after it, and what passed passes; a file is taken only if it says
/// the same as the good one.
#[tokio::test]
async fn a_thousand_damaged_files_open_nothing_and_close_nothing() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot.json");
    let good = text(&snapshot(&body(TlsMode::Mutual), &proxy.signer.jwks()));
    let mut stream = proxy.client().connect(Some(b"http/1.1")).await.unwrap();
    let (mut taken, mut same) = (Vec::new(), Vec::new());
    for number in 0..1000 {
        let damaged = damaged(good.as_bytes(), number);
        replace(&path, &damaged);
        if file::load(&path, &proxy.state, std::slice::from_ref(&proxy.ca.certificate)).is_ok() {
            taken.push(number);
        }
        if say_the_same(&damaged, &good) {
            same.push(number);
        }
        assert!(proxy.state.is_ready(), "{number}");
        assert_same_decisions(&mut stream, number).await;
    }
    assert_eq!(taken, same);
    assert!(taken.len() < 50, "only {} of 1000 were damaged", 1000 - taken.len());
    // A new connection, too, is taken as before.
    let mut stream = proxy.client().connect(Some(b"http/1.1")).await.unwrap();
    assert_same_decisions(&mut stream, 1000).await;
    assert!(!proxy.stranger().connects().await, "nobody without a certificate");
    assert!(app.seen().iter().all(|request| request.target == "/open/a"));
}

/// The same through the thread that watches: a file of each kind, and a good one at the end.
#[tokio::test]
async fn damaged_files_are_seen_and_told_and_a_good_one_after_them_is_taken() {
    let app = App::start().await;
    let proxy = Fixture::unconfigured(app.address, Limits::default());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot.json");
    let good = text(&snapshot(&body(TlsMode::Mutual), &proxy.signer.jwks()));
    replace(&path, &good);
    let outcomes = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&outcomes);
    let trusted = vec![proxy.ca.certificate.clone()];
    let watch = file::watch(&path, Arc::clone(&proxy.state), trusted, move |outcome| {
        heard.lock().unwrap().push(outcome.is_ok());
    })
    .unwrap();
    let mut stream = proxy.client().connect(Some(b"http/1.1")).await.unwrap();
    let mut wanted = vec![true];
    // Eight kinds of damage: a step that shares no divisor with eight meets them all.
    for number in (0..1000).step_by(27) {
        let damaged = damaged(good.as_bytes(), number);
        replace(&path, &damaged);
        wanted.push(say_the_same(&damaged, &good));
        eventually("the change is seen", || async { outcomes.lock().unwrap().len() == wanted.len() }).await;
        assert_eq!(proxy.state.fault().is_none(), *wanted.last().unwrap(), "{number}");
        assert_same_decisions(&mut stream, number).await;
    }
    replace(&path, text(&snapshot(&with_path("/second"), &proxy.signer.jwks())));
    eventually("a good file is in force", || async { proxy.client().get("/second", &[]).await.status == 200 }).await;
    assert_eq!(proxy.state.fault(), None);
    drop(watch);
    wanted.push(true);
    assert_eq!(*outcomes.lock().unwrap(), wanted);
}

/// A snapshot of several ports is for a proxy that was told so, and each port gets its own.
#[test]
fn a_snapshot_of_several_ports() {
    let signer = crate::support::Signer::new("k1");
    let ca = [Ca::new("cluster").certificate];
    let of = |ports: &[u16]| {
        let mut all = snapshot(&body(TlsMode::Mutual), &signer.jwks());
        all.rulesets = ports
            .iter()
            .map(|port| policy::wire::RulesetMessage::new(*port, i64::from(*port), &body(TlsMode::Mutual)).unwrap())
            .collect();
        all
    };
    let state = sidecar::State::for_ports(&[3000, 9090]);
    for (ports, told) in [
        (&[][..], "no ruleset"),
        (&[3000, 4000], "port 4000, which is none"),
        (&[3000, 9090, 3000], "two rulesets for port 3000"),
    ] {
        assert!(state.apply(&of(ports), &ca).unwrap_err().to_string().contains(told), "{ports:?}");
        assert!(!state.is_ready() && state.status().iter().all(|applied| applied.generation == 0));
    }
    state.apply(&of(&[9090, 3000]), &ca).unwrap();
    let generations = |state: &sidecar::State| state.status().iter().map(|one| one.generation).collect::<Vec<_>>();
    assert!(state.is_ready() && generations(&state) == [3000, 9090]);
    assert!(state.trust(&[]).is_err(), "Mutual, and nobody to vouch");
    assert!(state.is_ready() && state.fault().is_none(), "all ports keep the CA before");
    // The file is all that there is: a port that is not in it is protected by nothing, and denies.
    state.apply(&of(&[3000]), &ca).unwrap();
    assert!(!state.is_ready() && generations(&state) == [3000, 0]);
    assert!(sidecar::State::new().apply(&of(&[1, 2]), &ca).unwrap_err().to_string().contains("there is one port"));
}
