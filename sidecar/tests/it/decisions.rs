//! What a caller is answered.

use crate::support::{App, Ca, Client, Fixture, Signer, Usage, body};
use bytes::Bytes;
use http::Request;
use policy::wire::{TlsMode, TlsVersion};
use serde_json::json;

#[tokio::test]
async fn a_granted_request_reaches_the_application_with_the_right_fields() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let answer = proxy.client().get("/orders/7?x=1", &[("authorization", &proxy.alice()), ("x-own", "kept")]).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-app")), (200, Some("yes")));
    assert_eq!((answer.header("x-hop"), answer.header("connection")), (None, None), "fields for one hop stay there");
    let seen = app.last();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/orders/7?x=1"));
    for (name, wanted) in [
        ("host", "orders.test"),
        ("x-user", "alice"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "orders.test"),
        ("x-own", "kept"),
    ] {
        assert_eq!(seen.header(name), [wanted], "{name}");
    }
    assert!(seen.header("authorization").is_empty(), "the token stays here");
    assert_eq!(seen.header("x-request-id").len(), 1);
}

#[tokio::test]
async fn refusals_say_why_and_what_to_bring() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Optional, app.address);
    let client = proxy.client();
    let stranger = Signer::new("k1");
    let none = proxy.signer.bearer(json!({}));
    let expired = proxy.signer.bearer(json!({"exp": 1}));
    let forged = stranger.bearer(json!({"scope": "orders:read"}));
    let realm = r#"Bearer realm="orders""#;
    for (path, token, status, code, challenge) in [
        ("/orders/7", None, 401, "token_missing", Some(realm.to_owned())),
        (
            "/orders/7",
            Some(&none),
            403,
            "insufficient_scope",
            Some(format!(r#"{realm}, error="insufficient_scope", scope="orders:read""#)),
        ),
        ("/me", Some(&expired), 401, "token_invalid/token_expired", Some(format!(r#"{realm}, error="invalid_token""#))),
        ("/me", Some(&forged), 401, "token_invalid/bad_signature", Some(format!(r#"{realm}, error="invalid_token""#))),
        ("/other", Some(&none), 403, "no_rule", None),
        ("/.doorward/x", Some(&none), 404, "not_found", None),
    ] {
        let fields: Vec<_> = token.iter().map(|token| ("authorization", token.as_str())).collect();
        let answer = client.get(path, &fields).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{path}");
        assert_eq!(answer.header("www-authenticate"), challenge.as_deref(), "{path}");
    }
    let answer = proxy.stranger().get("/internal", &[]).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "certificate_missing"));
    assert_eq!(app.seen().len(), 0);
    assert_eq!(client.get("/internal", &[]).await.status, 200);
}

#[tokio::test]
async fn a_token_that_verified_once_is_still_judged_by_the_rules_and_the_revision_in_force() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Optional, app.address);
    let client = proxy.client();
    let alice = proxy.alice();
    for _ in 0..3 {
        assert_eq!(client.get("/orders/7", &[("authorization", &alice)]).await.status, 200);
    }
    assert_eq!(client.get("/none", &[("authorization", &alice)]).await.status, 403);
    // The key goes; no cache may outlive it.
    let other = crate::support::snapshot(&body(TlsMode::Optional), &Signer::new("k2").jwks());
    proxy.state.apply(&other, std::slice::from_ref(&proxy.ca.certificate)).unwrap();
    for _ in 0..4 {
        let answer = client.get("/orders/7", &[("authorization", &alice)]).await;
        assert_eq!(answer.code(), "token_invalid/unknown_key");
    }
}

#[tokio::test]
async fn grpc_calls_are_refused_in_their_own_form() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let request =
        Request::post("https://orders.test/me").header("content-type", "application/grpc").body(Bytes::new()).unwrap();
    let answer = proxy.client().send_h2(request).await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), answer.header("grpc-status"), answer.header("grpc-message")),
        (200, Some("16"), Some("token_missing"))
    );
    assert!(answer.body.is_empty());
}

#[tokio::test]
async fn http2_is_served_and_forwarded_as_http1() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let request = Request::put("https://orders.test/orders/7")
        .header("authorization", proxy.alice())
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(Bytes::from_static(b"body"))
        .unwrap();
    let answer = proxy.client().send_h2(request).await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"body"[..]));
    let seen = app.last();
    assert_eq!(
        (seen.header("host"), seen.header("cookie"), &seen.body[..]),
        (vec!["orders.test"], vec!["a=1; b=2"], &b"body"[..])
    );
    let refused =
        proxy.client().send_h2(Request::get("https://orders.test/orders/7").body(Bytes::new()).unwrap()).await.unwrap();
    assert_eq!(refused.code(), "token_missing");
}

#[tokio::test]
async fn only_certificates_that_verify_for_clients_are_let_in() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let other = Ca::new("cluster");
    let uri = || vec![rcgen::SanType::URI("spiffe://cluster.local/ns/web/sa/web".try_into().unwrap())];
    let with = |identity| Client::new(proxy.running.address, &proxy.ca.certificate, Some(identity));
    for (what, client) in [
        ("no certificate", proxy.stranger()),
        ("another CA of the same name", with(&other.client("web/web"))),
        ("a server's certificate", with(&proxy.ca.issue(uri(), Usage::Server))),
        ("a certificate without extended key usage", with(&proxy.ca.issue(uri(), Usage::None))),
        ("one that has expired", with(&proxy.ca.client_between("web/web", 1, 1_000_000_000))),
        ("one that begins later", with(&proxy.ca.client_between("web/web", 30_000_000_000, 31_000_000_000))),
    ] {
        for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12]] {
            // In TLS 1.3 a client learns of the refusal with its first read.
            let refused = match client.clone().with_versions(versions).connect(Some(b"http/1.1")).await {
                Err(_) => true,
                Ok(mut stream) => {
                    use tokio::io::AsyncWriteExt;
                    let _ = stream.write_all(b"GET /open/a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
                    crate::support::read_all(&mut stream).await.is_empty()
                }
            };
            assert!(refused, "{what}");
        }
    }
    assert_eq!(app.seen().len(), 0);
    assert_eq!(proxy.client().get("/open/a", &[]).await.status, 200);
}

#[tokio::test]
async fn under_optional_a_certificate_may_be_missing_but_not_wrong() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Optional, app.address);
    assert_eq!(proxy.stranger().get("/open/a", &[]).await.status, 200);
    let wrong = Client::new(proxy.running.address, &proxy.ca.certificate, Some(&Ca::new("cluster").client("web/web")));
    let mut stream = match wrong.connect(Some(b"http/1.1")).await {
        Ok(stream) => stream,
        Err(_) => return,
    };
    use tokio::io::AsyncWriteExt;
    let _ = stream.write_all(b"GET /open/b HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert_eq!(crate::support::read_all(&mut stream).await, "");
}

#[tokio::test]
async fn the_lowest_version_holds_and_nothing_is_resumed() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let old = proxy.client().with_versions(&[&rustls::version::TLS12]);
    assert!(old.connect(None).await.is_ok());
    let mut strict = body(TlsMode::Mutual);
    strict.tls.min_version = TlsVersion::Tls13;
    proxy.apply(&strict);
    assert!(old.connect(None).await.is_err());
    let client = proxy.client();
    for _ in 0..3 {
        let mut stream = client.connect(Some(b"http/1.1")).await.unwrap();
        use tokio::io::AsyncWriteExt;
        stream.write_all(b"GET /open/a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        assert!(crate::support::read_all(&mut stream).await.starts_with("HTTP/1.1 200"));
        let session = stream.get_ref().1;
        assert_eq!(session.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert_eq!(session.negotiated_key_exchange_group().unwrap().name(), rustls::NamedGroup::X25519MLKEM768);
        assert_eq!(session.tls13_tickets_received(), 0);
    }
}

#[tokio::test]
async fn a_refused_head_request_gets_no_body_over_either_protocol() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let head = |uri: &str| Request::head(uri).header("host", "orders.test").body(Bytes::new()).unwrap();
    for answer in
        [proxy.client().send(head("/me")).await, proxy.client().send_h2(head("https://orders.test/me")).await.unwrap()]
    {
        assert_eq!((answer.status.as_u16(), answer.body.len()), (401, 0));
        assert!(answer.header("content-length") != Some("0"), "{answer:?}");
    }
}
