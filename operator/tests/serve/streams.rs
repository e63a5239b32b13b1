//! What a stream says, and when it ends.

use crate::support::*;
use http::Method;
use operator::hub::Desired;
use std::time::Duration;

const QUERY: &str = "formats=1&ports=8080,9090";

#[tokio::test(flavor = "multi_thread")]
async fn all_that_there_is_comes_first_and_then_only_what_differs() {
    let site = site().await;
    site.publish(&[(pod(1), desired(1))]);
    let mut stream = site.stream(&site.token(&pod(1)), QUERY).await;
    let first = stream.take(4).await;
    assert_eq!(types(&first), ["keys", "ruleset", "absent", "synced"]);
    assert!(first[1].contains(r#""generation":1"#) && first[2].contains("9090"));
    site.publish(&[(pod(1), desired(2))]);
    assert!(stream.take(1).await[0].contains(r#""generation":2"#));
    // The same again wakes nobody; the next line is the next difference.
    site.publish(&[(pod(1), desired(2))]);
    let rotated = Desired { keys: [("set".to_owned(), keys("set", "k2"))].into(), ..desired(2) };
    site.publish(&[(pod(1), rotated.clone())]);
    assert!(stream.take(1).await[0].contains(r#""revision":"k2""#));
    let renamed = Desired { names: names("other.shop.svc"), ..rotated.clone() };
    site.publish(&[(pod(1), renamed.clone())]);
    assert_eq!(types(&stream.take(1).await), ["renew"]);
    // Deleted: what no policy selects any more is absent.
    let deleted = Desired { rulesets: [].into(), ..renamed };
    site.publish(&[(pod(1), deleted)]);
    assert_eq!(stream.take(1).await, [r#"{"type":"absent","port":8080}"#]);
    site.metric("doorward_operator_streams 1").await;
    drop(stream);
    site.metric("doorward_operator_streams 0").await;
    assert!(site.hub.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_absent_before_the_caches_are_complete() {
    let site = site_with(|limits| limits.ping = Duration::from_millis(20)).await;
    let mut stream = site.stream(&site.token(&pod(1)), QUERY).await;
    // The server talks, and says nothing but that it is there.
    for _ in 0..3 {
        assert_eq!(stream.any().await.unwrap(), r#"{"type":"ping"}"#);
    }
    let waiting = Desired { complete: false, ..desired(1) };
    site.publish(&[(pod(1), waiting)]);
    assert_eq!(types(&stream.take(2).await), ["keys", "ruleset"]);
    assert_eq!(stream.any().await.unwrap(), r#"{"type":"ping"}"#);
    site.publish(&[(pod(1), desired(1))]);
    assert_eq!(types(&stream.take(2).await), ["absent", "synced"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_ends_the_stream() {
    let site = site().await;
    site.publish(&[(pod(1), desired(1))]);
    let token = site.token_for(&pod(1), 2, vouched(&pod(1)));
    let mut stream = site.stream(&token, QUERY).await;
    stream.take(4).await;
    assert_eq!(stream.next().await, None);
    site.metric(r#"doorward_operator_stream_ends_total{reason="expired"} 1"#).await;
    let reply = site.send(Method::GET, "/v1/config?formats=1&ports=1", Some(&token), b"").await;
    assert_eq!(reply.told(), (401, "token_expired".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_gone_has_no_stream_after_a_while_and_keeps_what_it_has_until_then() {
    let site = site_with(|limits| limits.gone = Duration::from_millis(300)).await;
    site.publish(&[(pod(1), desired(1)), (pod(2), desired(1))]);
    let mut stream = site.stream(&site.token(&pod(1)), QUERY).await;
    stream.take(4).await;
    // Missed for a moment: nothing is taken back, and after that all goes on.
    site.publish(&[(pod(2), desired(1))]);
    site.publish(&[(pod(1), desired(2)), (pod(2), desired(1))]);
    while !stream.next().await.unwrap().contains(r#""generation":2"#) {}
    // Gone for good: no port is called absent, for who can say what selects it.
    site.publish(&[(pod(2), desired(1))]);
    assert_eq!(stream.next().await, None);
    site.metric(r#"doorward_operator_stream_ends_total{reason="gone"} 1"#).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_format_that_is_not_served_is_told_to_the_status() {
    let site = site().await;
    site.publish(&[(pod(1), desired(1))]);
    let token = site.token(&pod(1));
    let reply = site.send(Method::GET, "/v1/config?formats=2,3&ports=8080", Some(&token), b"").await;
    assert_eq!(reply.told(), (406, "format_unsupported".to_owned()));
    assert!(site.hub.seen()[&pod(1)].outdated);
    let mut stream = site.stream(&token, "formats=2,1&ports=8080").await;
    stream.take(3).await;
    assert!(!site.hub.seen()[&pod(1)].outdated);
    let reply = site.send(Method::GET, "/v1/config?formats=x&ports=8080", Some(&token), b"").await;
    assert_eq!(reply.told(), (400, "query_invalid".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_ends_its_streams_and_takes_nothing_new() {
    let mut site = site().await;
    site.publish(&[(pod(1), desired(1))]);
    let mut stream = site.stream(&site.token(&pod(1)), QUERY).await;
    stream.take(4).await;
    site.running.take().unwrap().stop().await;
    assert_eq!(stream.next().await, None);
    assert!(site.try_to_connect().await.is_err());
    site.metric(r#"doorward_operator_stream_ends_total{reason="stop"} 1"#).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_vouches_changed_and_everybody_fetches_it() {
    let site = site_with(|limits| limits.renew_spread = Duration::from_millis(10)).await;
    site.publish(&[(pod(1), desired(1))]);
    let mut lines = site.stream(&site.token(&pod(1)), "formats=1&ports=8080").await;
    assert_eq!(types(&lines.take(3).await), ["keys", "ruleset", "synced"]);
    site.announce();
    assert_eq!(types(&lines.take(1).await), ["renew"]);
}
