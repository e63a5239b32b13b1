//! Tokens whose key no set has.

use super::Pod;
use crate::support::operator::keys_line;
use crate::support::{Signer, eventually};
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_request_waits_for_its_key() {
    let pod = Pod::new().await;
    pod.operator.set(&pod.lines());
    let sidecar = pod.start();
    sidecar.ready().await;
    let next = Signer::new("k2");
    let (client, token) = (pod.client(&sidecar, 3000), next.bearer(json!({})));
    let waiting = tokio::spawn(async move { client.get("/me", &[("authorization", &token)]).await.status });
    let report = pod.operator.reported("it is asked for", |report| !report.unknown_keys.is_empty()).await;
    assert_eq!((report.unknown_keys[0].issuer.as_str(), report.unknown_keys[0].kid.as_str()), ("main", "k2"));
    assert!(!waiting.is_finished());
    pod.operator.send(&keys_line(&next.jwks()));
    assert_eq!(waiting.await.unwrap(), 200);
}

#[tokio::test]
async fn a_key_that_does_not_come_is_refused_and_then_refused_at_once() {
    let pod = Pod::new().await;
    pod.operator.set(&pod.lines());
    let sidecar = pod.start();
    sidecar.ready().await;
    let client = pod.client(&sidecar, 3000);
    let token = Signer::new("k2").bearer(json!({}));
    let begin = Instant::now();
    assert_eq!(client.get("/me", &[("authorization", &token)]).await.code(), "token_invalid/unknown_key");
    assert!(begin.elapsed() >= Duration::from_secs(2), "{:?}", begin.elapsed());
    let begin = Instant::now();
    for _ in 0..5 {
        assert_eq!(client.get("/me", &[("authorization", &token)]).await.code(), "token_invalid/unknown_key");
    }
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    // Where the token is not needed it is not looked at.
    assert_eq!(client.get("/open/a", &[("authorization", &token)]).await.status, 200);
    let asked = pod.operator.reports().iter().flat_map(|report| &report.unknown_keys).count();
    assert_eq!(asked, 1);
}

/// Many made-up keys hold 64 places, and the rest is told to come again; what needs no new key is served.
#[tokio::test]
async fn made_up_keys_take_a_bounded_number_of_places() {
    let pod = Pod::new().await;
    pod.operator.set(&pod.lines());
    let sidecar = pod.start();
    sidecar.ready().await;
    let requests: Vec<_> = (0..70)
        .map(|number| {
            let token = Signer::new(&format!("made-up-{number}")).bearer(json!({}));
            let client = pod.client(&sidecar, 3000);
            tokio::spawn(async move { client.get("/me", &[("authorization", &token)]).await })
        })
        .collect();
    let mut codes = std::collections::BTreeMap::<String, usize>::new();
    let client = pod.client(&sidecar, 3000);
    assert_eq!(client.get("/me", &[("authorization", &pod.alice())]).await.status, 200);
    for request in requests {
        let answer = request.await.unwrap();
        if answer.status == 503 {
            assert_eq!(answer.header("retry-after"), Some("5"));
        }
        *codes.entry(answer.code()).or_default() += 1;
    }
    assert_eq!(codes, [("keys_unavailable".to_owned(), 6), ("token_invalid/unknown_key".to_owned(), 64)].into());
}

#[tokio::test]
async fn one_connection_has_one_place() {
    let pod = Pod::new().await;
    pod.operator.set(&pod.lines());
    let sidecar = pod.start();
    sidecar.ready().await;
    let stream = pod.client(&sidecar, 3000).connect(Some(b"h2")).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (sender, connection) =
        hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let send = |kid: &str| {
        let mut sender = sender.clone();
        let request = http::Request::get("https://orders.test/me")
            .header("authorization", Signer::new(kid).bearer(json!({})))
            .body(http_body_util::Empty::<bytes::Bytes>::new())
            .unwrap();
        async move { sender.send_request(request).await.unwrap().status().as_u16() }
    };
    let first = tokio::spawn(send("k2"));
    pod.operator.reported("the first is asked for", |report| !report.unknown_keys.is_empty()).await;
    assert_eq!(send("k3").await, 503);
    assert_eq!(first.await.unwrap(), 401);
    eventually("the place is free", || async { send("k4").await == 401 }).await;
}
