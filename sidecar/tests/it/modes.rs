//! What the modes of a policy change at the socket: TLS or not, Audit, limits, browsers.

use crate::support::{App, Ca, Client, Fixture, body, read_all, snapshot};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use policy::wire::{Body, ClientCa, Cors, Mode, TlsMode};
use serde_json::Value;
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const GET: &[u8] = b"GET /open/x HTTP/1.1\r\nhost: orders.test\r\nconnection: close\r\n\r\n";

async fn plaintext(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    read_all(&mut stream).await
}

fn with(mode: TlsMode, change: impl FnOnce(&mut Body)) -> Body {
    let mut body = body(mode);
    change(&mut body);
    body
}

#[tokio::test]
async fn permissive_takes_both_on_one_port() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Permissive, app.address);
    let answer = plaintext(proxy.running.address, GET).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(app.last().header("x-forwarded-proto"), ["http"]);
    assert_eq!(proxy.client().get("/open/x", &[]).await.status, 200);
    assert_eq!(app.last().header("x-forwarded-proto"), ["https"]);
    let internal = String::from_utf8_lossy(GET).replace("/open/x", "/internal");
    assert!(
        plaintext(proxy.running.address, internal.as_bytes()).await.contains("certificate_missing"),
        "plaintext proves nothing"
    );
}

#[tokio::test]
async fn plaintext_speaks_http2_by_prior_knowledge() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Plaintext, app.address);
    let stream = TcpStream::connect(proxy.running.address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://orders.test/open/x").body(http_body_util::Empty::<Bytes>::new()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
    assert!(proxy.client().connect(None).await.is_err(), "no TLS on a port without it");
}

#[tokio::test]
async fn a_connection_that_the_policy_would_no_longer_take_is_told_so_and_closed() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Permissive, app.address);
    let mut stream = TcpStream::connect(proxy.running.address).await.unwrap();
    let keep = String::from_utf8_lossy(GET).replace("connection: close\r\n", "");
    stream.write_all(keep.as_bytes()).await.unwrap();
    // The first answer is read before the policy changes.
    let mut first = [0; 12];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    proxy.apply(&body(TlsMode::Mutual));
    stream.write_all(keep.as_bytes()).await.unwrap();
    let rest = read_all(&mut stream).await;
    assert!(
        rest.contains("HTTP/1.1 403") && rest.contains(r#""detail":"tls_mode""#) && rest.contains("connection: close"),
        "{rest}"
    );
    assert_eq!(app.seen().len(), 1);
}

#[tokio::test]
async fn audit_refuses_nothing_and_keeps_identity_honest() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    proxy.apply(&with(TlsMode::Mutual, |body| body.mode = Mode::Audit));
    let stranger = proxy.stranger();
    let answer = stranger
        .get("/orders/7", &[("x-user", "mallory"), ("x_user", "mallory"), ("authorization", "Bearer nonsense")])
        .await;
    assert_eq!(answer.status, 200, "no certificate, no token: told, and let pass");
    let seen = app.last();
    assert!(seen.header("x-user").is_empty() && seen.header("x_user").is_empty());
    assert_eq!(seen.header("authorization"), ["Bearer nonsense"], "the token stays");
    let answer = stranger.raw(b"GET //a/../b%2f HTTP/1.1\r\nhost: orders.test\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(app.last().target, "//a/../b%2f", "as it came");
    let token = proxy.alice();
    stranger.get("/orders/7", &[("authorization", &token)]).await;
    assert_eq!(app.last().header("x-user"), ["alice"], "a token that verifies is told");
    assert!(plaintext(proxy.running.address, GET).await.starts_with("HTTP/1.1 200"), "TLS as Permissive");
    let large = "a".repeat(40_000);
    assert_eq!(stranger.get("/open/x", &[("x-large", &large)]).await.status, 431, "limits hold");
}

/// In Audit nobody is kept out by a certificate, and nobody is known by one whose key he did not show to hold: then or later.
#[tokio::test]
async fn in_audit_a_certificate_that_cannot_be_used_is_nobodys() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let audit = with(TlsMode::Mutual, |body| body.mode = Mode::Audit);
    proxy.apply(&audit);
    let partner = Ca::new("partner");
    let own = partner.client("web/web");
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let sending = |certificate| proxy.stranger().sending(certificate, &own).with_versions(&[version]);
        let unreadable = sending(b"no certificate".to_vec().into());
        assert_eq!(unreadable.get("/open/a", &[]).await.status, 200);
        // One that verifies, without its key, is stolen.
        let stolen = sending(proxy.ca.client("web/web").certificate.clone());
        let mut refused = stolen.connect(Some(b"http/1.1")).await;
        if let Ok(stream) = &mut refused {
            assert_eq!(read_all(stream).await, "");
        }
        // Nobody's now, and by the CAs of the next policy its owner's: still not the sender's.
        let other = partner.client("x/y").certificate.clone();
        let mut stream = sending(other).connect(Some(b"http/1.1")).await.unwrap();
        let ask = b"GET /internal HTTP/1.1\r\nhost: orders.test\r\n\r\n";
        stream.write_all(ask).await.unwrap();
        let mut head = [0; 12];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200", "let pass");
        proxy.apply(&with(TlsMode::Optional, |body| {
            body.tls.client_cas.push(ClientCa {
                name: "partner".into(),
                built_in: false,
                certificates: vec![STANDARD.encode(&partner.certificate)],
                crls: Vec::new(),
            });
        }));
        stream.write_all(b"GET /internal HTTP/1.1\r\nhost: orders.test\r\nconnection: close\r\n\r\n").await.unwrap();
        let rest = read_all(&mut stream).await;
        assert!(rest.contains("HTTP/1.1 403") && rest.contains("certificate_missing"), "{rest}");
        proxy.apply(&audit);
    }
}

#[tokio::test]
async fn limits_are_those_of_the_policy() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Optional, app.address);
    let change =
        |headers, body| with(TlsMode::Optional, |policy| (policy.limits.headers, policy.limits.body) = (headers, body));
    let client = proxy.client();
    let post = |length: usize| {
        let request = Request::post("/open/x").header("host", "orders.test").body(Bytes::from(vec![b'a'; length]));
        client.send(request.unwrap())
    };
    proxy.apply(&change(1024, 10));
    assert_eq!((post(10).await.status.as_u16(), post(11).await.status.as_u16()), (200, 413));
    let field = "a".repeat(1100);
    assert_eq!(client.get("/open/x", &[("x-large", &field)]).await.status, 431);
    proxy.apply(&change(4096, 20));
    assert_eq!((post(11).await.status.as_u16(), post(21).await.status.as_u16()), (200, 413));
    assert_eq!(client.get("/open/x", &[("x-large", &field)]).await.status, 200);
}

#[tokio::test]
async fn an_old_connection_takes_no_further_request() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Plaintext, app.address);
    proxy.apply(&with(TlsMode::Plaintext, |body| body.limits.connection_age_ms = 0));
    let keep = String::from_utf8_lossy(GET).replace("connection: close\r\n", "");
    let answer = plaintext(proxy.running.address, keep.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
}

fn for_browsers(body: &mut Body) {
    body.resource = Some("https://orders.test/api".into());
    body.cors = Some(Cors {
        origins: vec!["https://app.test".into()],
        methods: vec!["PUT".into()],
        headers: vec!["authorization".into()],
        credentials: true,
        max_age_seconds: 600,
    });
}

#[tokio::test]
async fn browsers_are_told_what_they_need() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Optional, app.address);
    proxy.apply(&with(TlsMode::Optional, for_browsers));
    let client = proxy.client();
    let preflight = |origin: &str| {
        let request = Request::options("/me")
            .header("host", "orders.test")
            .header("origin", origin)
            .header("access-control-request-method", "PUT");
        client.send(request.body(Bytes::new()).unwrap())
    };
    let answer = preflight("https://app.test").await;
    assert_eq!(answer.status, 204);
    for (name, wanted) in [
        ("access-control-allow-origin", "https://app.test"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "PUT"),
        ("access-control-allow-headers", "authorization"),
        ("access-control-max-age", "600"),
        ("vary", "Origin"),
    ] {
        assert_eq!(answer.header(name), Some(wanted), "{name}");
    }
    assert_eq!(preflight("https://evil.test").await.status, 401, "an ordinary request without a token");
    let refused = client.get("/me", &[("origin", "https://app.test")]).await;
    assert_eq!(
        (refused.code().as_str(), refused.header("access-control-allow-origin")),
        ("token_missing", Some("https://app.test"))
    );
    let passed = client.get("/open/x", &[("origin", "https://app.test")]).await;
    assert_eq!((passed.status.as_u16(), passed.header("access-control-allow-origin")), (200, Some("https://app.test")));
    let other = client.get("/open/x", &[("origin", "https://evil.test")]).await;
    assert_eq!((other.header("access-control-allow-origin"), other.header("vary")), (None, Some("Origin")));
}

#[tokio::test]
async fn the_metadata_document_leads_a_client_to_its_token() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Optional, app.address);
    proxy.apply(&with(TlsMode::Optional, for_browsers));
    let client = proxy.client();
    let location = "https://orders.test/.well-known/oauth-protected-resource/api";
    let refused = client.get("/me", &[]).await;
    assert_eq!(
        refused.header("www-authenticate"),
        Some(format!(r#"Bearer realm="orders", resource_metadata="{location}""#).as_str())
    );
    for path in ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/api"] {
        let answer = client.get(path, &[("origin", "https://app.test")]).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some("application/json")));
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.test"), "a page reads it too");
        let document: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(document["resource"], "https://orders.test/api");
        assert_eq!(document["authorization_servers"].as_array().map(Vec::len), Some(1));
    }
    assert_eq!(app.seen().len(), 0);
}

#[tokio::test]
async fn a_connection_older_than_the_lowest_version_is_refused() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Optional, app.address);
    let old = proxy.client().with_versions(&[&rustls::version::TLS12]);
    let mut stream = old.connect(Some(b"http/1.1")).await.unwrap();
    proxy.apply(&with(TlsMode::Optional, |body| body.tls.min_version = policy::wire::TlsVersion::Tls13));
    stream.write_all(GET).await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("tls_mode"), "{answer}");
    assert!(old.connect(None).await.is_err());
    assert_eq!(app.seen().len(), 0);
}

/// Nobody asks anything on these connections: they end by themselves, and only those that would not be accepted now.
#[tokio::test]
async fn idle_connections_that_the_policy_would_no_longer_take_end_soon() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Permissive, app.address);
    let address = proxy.running.address;
    let mut fresh = TcpStream::connect(address).await.unwrap();
    let mut used = TcpStream::connect(address).await.unwrap();
    for stream in [&mut fresh, &mut used] {
        let keep = String::from_utf8_lossy(GET).replace("connection: close\r\n", "");
        stream.write_all(keep.as_bytes()).await.unwrap();
        tokio::io::AsyncReadExt::read_exact(stream, &mut [0; 12]).await.unwrap();
    }
    let anonymous = proxy.stranger().connect(Some(b"http/1.1")).await.unwrap();
    let anonymous_h2 = proxy.stranger().connect(Some(b"h2")).await.unwrap();
    let known = proxy.client().connect(Some(b"http/1.1")).await.unwrap();
    let known_h2 = proxy.client().connect(Some(b"h2")).await.unwrap();
    proxy.apply(&body(TlsMode::Mutual));
    let start = tokio::time::Instant::now();
    read_all(&mut fresh).await;
    read_all(&mut used).await;
    let (mut anonymous, mut anonymous_h2) = (anonymous, anonymous_h2);
    read_all(&mut anonymous).await;
    // Not even the preface comes from this one.
    read_all(&mut anonymous_h2).await;
    assert!(start.elapsed() < SOON + MARGIN, "{:?}", start.elapsed());
    let (mut known, mut known_h2) = (known, known_h2);
    for stream in [&mut known, &mut known_h2] {
        let quiet = tokio::time::timeout(SOON / 2, tokio::io::AsyncReadExt::read_u8(stream));
        assert!(!matches!(quiet.await, Ok(Err(_))), "it stays");
    }
    // Another CA of the same name: nobody vouches for these any more.
    let other = Ca::new("cluster");
    let stays = snapshot(&body(TlsMode::Mutual), &proxy.signer.jwks());
    proxy.state.apply(&stays, std::slice::from_ref(&other.certificate)).unwrap();
    let start = tokio::time::Instant::now();
    read_all(&mut known).await;
    read_all(&mut known_h2).await;
    assert!(start.elapsed() < SOON + MARGIN, "{:?}", start.elapsed());
}

/// Nobody asks anything: who is on the new list is cut off by itself, and another caller of the same CA is not.
#[tokio::test]
async fn a_connection_whose_certificate_a_new_list_revokes_ends_soon() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let partner = Ca::new("partner");
    let encode = |der: &[u8]| STANDARD.encode(der);
    let with_list = |list: &[u8]| {
        with(TlsMode::Mutual, |body| {
            body.tls.client_cas.push(ClientCa {
                name: "partner".into(),
                built_in: false,
                certificates: vec![encode(&partner.certificate)],
                crls: vec![encode(list)],
            });
        })
    };
    let (revoked, good) = (partner.client("web/web"), partner.client("web/other"));
    proxy.apply(&with_list(&partner.revocation_list(&[])));
    let client = |identity| Client::new(proxy.running.address, &proxy.ca.certificate, Some(identity));
    let list = partner.revocation_list(&[&revoked]);
    let (revoked, good) = (client(&revoked), client(&good));
    let mut lost = Vec::new();
    for protocol in [&b"http/1.1"[..], b"h2"] {
        lost.push(revoked.connect(Some(protocol)).await.unwrap());
    }
    let keep = String::from_utf8_lossy(GET).replace("connection: close\r\n", "");
    let mut stays = good.connect(Some(b"http/1.1")).await.unwrap();
    for stream in [&mut lost[0], &mut stays] {
        stream.write_all(keep.as_bytes()).await.unwrap();
        let mut head = [0; 12];
        tokio::io::AsyncReadExt::read_exact(stream, &mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
    }
    proxy.apply(&with_list(&list));
    let start = tokio::time::Instant::now();
    for stream in &mut lost {
        read_all(stream).await;
    }
    assert!(start.elapsed() < SOON + MARGIN, "{:?}", start.elapsed());
    assert!(!revoked.connects().await, "nor does it come again");
    stays.write_all(GET).await.unwrap();
    assert_eq!(read_all(&mut stays).await.matches("HTTP/1.1 200").count(), 1);
    assert_eq!(app.seen().len(), 3);
}

#[tokio::test]
async fn a_connection_ends_with_its_callers_certificate() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let client = Client::new(
        proxy.running.address,
        &proxy.ca.certificate,
        Some(&proxy.ca.client_between("web/web", now - 60, now + 3)),
    );
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(3);
    let mut idle = [client.connect(Some(b"http/1.1")).await.unwrap(), client.connect(Some(b"h2")).await.unwrap()];
    for stream in &mut idle {
        read_all(stream).await;
    }
    let late = tokio::time::Instant::now().saturating_duration_since(end);
    assert!(late < SOON + MARGIN, "{late:?}");
    assert!(!client.connects().await, "nor does it come again");
}

/// What decisions.md leaves a connection that has to go.
const SOON: std::time::Duration = std::time::Duration::from_secs(5);
/// For a machine that is busy with other tests.
const MARGIN: std::time::Duration = std::time::Duration::from_secs(2);
