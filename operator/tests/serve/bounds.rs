//! That every bound bites, and bites nobody else.

use crate::support::*;
use http::Method;
use operator::hub::{Desired, Encoded};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Everything until the other side closes.
async fn rest(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is an end as well.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap();
    bytes
}

fn post(path: &str, token: &str, length: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: o\r\nauthorization: Bearer {token}\r\ncontent-length: {length}\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_third_stream_of_one_pod_is_refused_until_one_closes() {
    let site = site().await;
    site.publish(&[(pod(1), desired(1)), (pod(2), desired(1))]);
    let token = site.token(&pod(1));
    let first = site.stream(&token, "formats=1&ports=8080").await;
    let _second = site.stream(&token, "formats=1&ports=8080").await;
    let reply = site.send(Method::GET, "/v1/config?formats=1&ports=8080", Some(&token), b"").await;
    assert_eq!(reply.told(), (429, "too_many_streams".to_owned()));
    let _other = site.stream(&site.token(&pod(2)), "formats=1&ports=8080").await;
    drop(first);
    site.metric("doorward_operator_streams 2").await;
    let _third = site.stream(&token, "formats=1&ports=8080").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_bounded_in_size_and_time() {
    let site = site_with(|limits| limits.body = Duration::from_millis(200)).await;
    let token = site.token(&pod(1));
    let cases = [("/v1/report", 64 * 1024 + 1), ("/v1/certificate", 16 * 1024 + 1), ("/v1/report", 400_000)];
    for (count, (path, length)) in (1..).zip(cases) {
        let mut stream = site.connect().await;
        stream.write_all(post(path, &token, length).as_bytes()).await.unwrap();
        // The server may hang up before all of it is sent.
        let _ = stream.write_all(&vec![b' '; length]).await;
        let answer = rest(&mut stream).await;
        assert!(answer.is_empty() || String::from_utf8_lossy(&answer).contains("body_too_large"), "{path}");
        site.metric(&format!(r#"doorward_operator_refused_requests_total{{code="body_too_large"}} {count}"#)).await;
    }
    let mut stream = site.connect().await;
    stream.write_all(post("/v1/report", &token, 9).as_bytes()).await.unwrap();
    assert!(String::from_utf8_lossy(&rest(&mut stream).await).contains("body_too_slow"));
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_and_heads_are_bounded_in_time() {
    let site = site_with(|limits| {
        limits.handshake = Duration::from_millis(200);
        limits.head = Duration::from_millis(200);
    })
    .await;
    let mut silent = TcpStream::connect(site.address).await.unwrap();
    assert_eq!(rest(&mut silent).await, b"");
    let mut plain = TcpStream::connect(site.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    rest(&mut plain).await;
    site.metric("doorward_operator_tls_handshake_failures_total 2").await;
    // Byte by byte a head is as slow as a silent one: the time runs from the beginning.
    let mut slow = site.connect().await;
    let since = Instant::now();
    while slow.write_all(b"a").await.is_ok() && slow.flush().await.is_ok() {
        assert!(since.elapsed() < PATIENCE, "a slow head is waited for");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    site.metric("doorward_operator_connections 0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_bounded_in_size() {
    let site = site().await;
    let many: String = (0..40).map(|index| format!("x{index}: 1\r\n")).collect();
    let large = format!("x: {}\r\n", "a".repeat(20 * 1024));
    for fields in [many, large] {
        let mut stream = site.connect().await;
        let _ = stream.write_all(format!("GET /v1/config HTTP/1.1\r\nhost: o\r\n{fields}\r\n").as_bytes()).await;
        let answer = rest(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
    }
    site.metric("doorward_operator_connections 0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_bounded_for_an_address_and_in_all() {
    let site = site_with(|limits| limits.connections_per_address = 2).await;
    let (_one, two) = (site.connect().await, site.connect().await);
    let mut third = TcpStream::connect(site.address).await.unwrap();
    assert_eq!(rest(&mut third).await, b"");
    drop(two);
    site.metric("doorward_operator_connections 1").await;
    let _again = site.connect().await;
    let site = site_with(|limits| limits.connections = 1).await;
    let first = site.connect().await;
    // The second waits in the kernel for its turn.
    let mut waiting = Box::pin(site.connect());
    assert!(timeout(Duration::from_millis(100), &mut waiting).await.is_err());
    drop(first);
    timeout(PATIENCE, waiting).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_bounded_in_number() {
    let site = site().await;
    site.publish(&[(pod(1), desired(1))]);
    let token = site.token(&pod(1));
    let mut codes = Vec::new();
    for _ in 0..60 {
        codes.push(site.send(Method::POST, "/v1/report", Some(&token), b"{}").await.told().1);
        if codes.last().is_some_and(|code| code == "too_many_reports") {
            break;
        }
    }
    assert!(codes.len() > 20, "the burst is let pass");
    assert_eq!(codes.pop().unwrap(), "too_many_reports");
}

/// A reader that stops holds its own lines and nobody else's, and is cut off; what it missed meanwhile is never queued.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_is_cut_and_others_are_not() {
    let site = site_with(|limits| limits.stalled = Duration::from_millis(500)).await;
    let large = |generation: i64| {
        let line = format!(
            "{{\"type\":\"ruleset\",\"port\":8080,\"generation\":{generation},\"revision\":\"r{generation}\",\"body\":\"{}\"}}\n",
            "x".repeat(4 * 1024 * 1024)
        );
        let ruleset = Arc::new(Encoded { revision: format!("r{generation}"), line: line.into() });
        Desired { rulesets: [(8080, ruleset)].into(), ..desired(1) }
    };
    let publish = |generation: i64| {
        let desired = large(generation);
        site.publish(&[(pod(1), desired.clone()), (pod(2), desired)]);
    };
    publish(1);
    let mut reading = site.stream(&site.token(&pod(2)), "formats=1&ports=8080").await;
    reading.take(3).await;
    let mut stopped = site.connect().await;
    let token = site.token(&pod(1));
    let head =
        format!("GET /v1/config?formats=1&ports=8080 HTTP/1.1\r\nhost: o\r\nauthorization: Bearer {token}\r\n\r\n");
    stopped.write_all(head.as_bytes()).await.unwrap();
    site.metric("doorward_operator_streams 2").await;
    for generation in 2..6 {
        publish(generation);
        assert!(reading.take(1).await[0].contains(&format!(r#""generation":{generation},"#)));
    }
    site.metric("doorward_operator_streams 1").await;
    site.metric("doorward_operator_connections 1").await;
    publish(9);
    assert!(reading.take(1).await[0].contains(r#""generation":9"#));
}
