//! Probes and metrics.

use crate::support::*;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use operator::ca::Authority;
use operator::serve::Health;
use std::net::SocketAddr;
use tokio::net::TcpStream;

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get(path).header("host", "o").body(Empty::<Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    (status, String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_is_a_ca_and_complete_caches_and_no_end_in_sight() {
    let site = site().await;
    let without_ca = Health::new(site.metrics.clone(), Authority::new(Vec::new()));
    without_ca.caches_are_complete();
    assert!(without_ca.not_ready().unwrap().contains("CA"));
    let health = Health::new(site.metrics.clone(), site.authority.clone());
    let running = health.start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = running.address();
    assert_eq!(get(address, "/livez").await.0, 200);
    assert_eq!(get(address, "/readyz").await, (503, "the caches are not complete\n".to_owned()));
    health.caches_are_complete();
    assert_eq!(get(address, "/readyz").await.0, 200);
    health.stops();
    assert_eq!(get(address, "/readyz").await, (503, "stopping\n".to_owned()));
    assert_eq!(get(address, "/livez").await.0, 200);
    assert_eq!(get(address, "/other").await.0, 404);
    running.stop().await;
    // Another test may have got the port meanwhile, for as long as it runs.
    eventually("nobody listens", || std::net::TcpStream::connect(address).is_err()).await;
}

/// Pods of a cluster have addresses of one family or of both; probes come by the first.
#[tokio::test(flavor = "multi_thread")]
async fn both_families_are_served_by_one_socket() {
    let site = site().await;
    let health = Health::new(site.metrics.clone(), site.authority.clone());
    let running = health.start("[::]:0".parse().unwrap()).await.unwrap();
    let port = running.address().port();
    for address in ["127.0.0.1", "::1"] {
        assert_eq!(get(SocketAddr::new(address.parse().unwrap(), port), "/livez").await.0, 200, "{address}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_there_and_name_no_pod() {
    let site = site().await;
    site.publish(&[(pod(1), desired(1))]);
    let token = site.token(&pod(1));
    site.stream(&token, "formats=1&ports=8080").await.take(3).await;
    site.send(http::Method::POST, "/v1/report", Some(&token), b"{").await;
    let health = Health::new(site.metrics.clone(), site.authority.clone());
    let running = health.start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let (status, text) = get(running.address(), "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        r#"doorward_operator_token_reviews_total{outcome="ok"} 1"#,
        r#"doorward_operator_refused_requests_total{code="report_invalid"} 1"#,
        "doorward_operator_stream_messages_total 3",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!text.contains("web-1") && !text.contains(&token));
}
