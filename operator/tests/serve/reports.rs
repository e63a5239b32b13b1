//! What is taken of a report, and who may report.

use crate::support::*;
use http::Method;
use k8s_openapi::api::authentication::v1::TokenReviewStatus;
use operator::hub::Desired;
use policy::wire::{Applied, Report, UnknownKey};
use std::sync::Arc;

const REPORT: &str = "/v1/report";

fn unknown(issuer: &str) -> Vec<UnknownKey> {
    vec![UnknownKey { issuer: issuer.to_owned(), kid: "new".to_owned() }]
}

fn report() -> Report {
    let applied = Applied { port: 8080, generation: 1, revision: "r1".to_owned(), error: None };
    Report { applied: vec![applied], captured: vec![8080], unknown_keys: unknown("set") }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_reaches_the_status_and_unknown_keys_the_issuers() {
    let site = site().await;
    site.publish(&[(pod(1), desired(1)), (pod(2), desired(1))]);
    let token = site.token(&pod(1));
    let body = serde_json::to_vec(&report()).unwrap();
    let reply = site.send(Method::POST, REPORT, Some(&token), &body).await;
    assert_eq!(reply.told(), (409, "no_stream".to_owned()));
    assert_eq!(reply.headers["connection"], "close", "the next attempt may reach the right replica");
    let mut stream = site.stream(&token, "formats=1&ports=8080").await;
    stream.take(3).await;
    let reply = site.send(Method::POST, REPORT, Some(&token), &body).await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (204, 0));
    assert_eq!(site.hub.seen()[&pod(1)].report, Some(Arc::new(report())));
    assert_eq!(*site.asked.lock().unwrap(), [(pod(1), unknown("set").remove(0))]);
}

/// Tokens come before the first set of their issuer.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_set_that_is_not_there_yet_are_no_strangers() {
    let site = site().await;
    site.publish(&[(pod(1), Desired { awaited: ["coming".to_owned()].into(), ..desired(1) })]);
    let token = site.token(&pod(1));
    let _stream = site.stream(&token, "formats=1&ports=8080").await;
    let body = serde_json::to_vec(&Report { unknown_keys: unknown("coming"), ..report() }).unwrap();
    let reply = site.send(Method::POST, REPORT, Some(&token), &body).await;
    assert_eq!(reply.status.as_u16(), 204);
    assert_eq!(*site.asked.lock().unwrap(), [(pod(1), unknown("coming").remove(0))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_strangers_issuer_are_refused_and_nothing_of_the_report_is_taken() {
    let site = site().await;
    site.publish(&[(pod(1), desired(1))]);
    let token = site.token(&pod(1));
    let _stream = site.stream(&token, "formats=1&ports=8080").await;
    let body = serde_json::to_vec(&Report { unknown_keys: unknown("another"), ..report() }).unwrap();
    let reply = site.send(Method::POST, REPORT, Some(&token), &body).await;
    assert_eq!(reply.told(), (403, "stranger_issuer".to_owned()));
    assert_eq!(site.hub.seen()[&pod(1)].report, None);
    assert!(site.asked.lock().unwrap().is_empty());
    site.metric(r#"doorward_operator_refused_requests_total{code="stranger_issuer"} 1"#).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_report_is_refused() {
    let site = site().await;
    site.publish(&[(pod(1), desired(1))]);
    let token = site.token(&pod(1));
    let _stream = site.stream(&token, "formats=1&ports=8080").await;
    let many = Report { unknown_keys: vec![unknown("set").remove(0); 65], ..report() };
    let ports = Report { captured: (1..=33).collect(), ..report() };
    let mut long = report();
    long.applied[0].error = Some("x".repeat(2000));
    let mut kid = report();
    kid.unknown_keys[0].kid = "x".repeat(257);
    let mut extra = serde_json::to_value(report()).unwrap();
    extra["later"] = 1.into();
    let bodies = [many, ports, long, kid].map(|report| serde_json::to_value(report).unwrap());
    for body in bodies.into_iter().chain([extra, serde_json::json!([])]) {
        let reply = site.send(Method::POST, REPORT, Some(&token), &serde_json::to_vec(&body).unwrap()).await;
        assert_eq!(reply.told(), (400, "report_invalid".to_owned()), "{body}");
    }
    assert_eq!(site.hub.seen()[&pod(1)].report, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_show_a_pod_gets_nothing_anywhere() {
    let site = site().await;
    site.publish(&[(pod(1), desired(1))]);
    let audience =
        TokenReviewStatus { audiences: Some(vec!["https://kubernetes.default.svc".to_owned()]), ..vouched(&pod(1)) };
    let mut unbound = vouched(&pod(1));
    unbound.user.as_mut().unwrap().extra.as_mut().unwrap().remove("authentication.kubernetes.io/pod-uid");
    // A deleted pod's token is one that the API server no longer vouches for.
    let cases = [
        (None, "token_missing"),
        (Some(site.token_for(&pod(1), 60, audience)), "token_audience"),
        (Some(site.token_for(&pod(1), 60, unbound)), "token_without_pod"),
        (Some(site.token_for(&pod(1), 60, TokenReviewStatus::default())), "token_refused"),
        (Some(site.token_for(&pod(1), -1, vouched(&pod(1)))), "token_expired"),
    ];
    for (token, code) in &cases {
        let paths = [
            (Method::GET, "/v1/config?formats=1&ports=8080"),
            (Method::POST, REPORT),
            (Method::POST, "/v1/certificate"),
        ];
        for (method, path) in paths {
            let reply = site.send(method, path, token.as_deref(), b"").await;
            assert_eq!(reply.told(), (401, (*code).to_owned()), "{path}");
            assert_eq!(reply.headers["www-authenticate"], "Bearer");
            let text = String::from_utf8_lossy(&reply.body);
            assert!(token.as_ref().is_none_or(|token| !text.contains(token.as_str())), "{text}");
        }
    }
    assert!(site.hub.seen().is_empty());
    let reply = site.send(Method::GET, "/v2/config", None, b"").await;
    assert_eq!(reply.told(), (404, "not_found".to_owned()));
    let reply = site.send(Method::GET, REPORT, None, b"").await;
    assert_eq!(reply.told(), (405, "method_not_allowed".to_owned()));
}
