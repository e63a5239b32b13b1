//! When statuses are written, on a clock of the test and to an API server of the test.

use super::*;

use std::convert::Infallible;

use http::{Request, Response, StatusCode};
use kube::client::Body;
use tokio::sync::mpsc;

use crate::compiler::Rules;

/// An API server whose answers have these codes, one after the other, and then 200; it tells of each request when it came.
fn server(codes: &[StatusCode]) -> (Client, mpsc::UnboundedReceiver<Instant>) {
    let (told, asked) = mpsc::unbounded_channel();
    let mut codes: Vec<StatusCode> = codes.iter().rev().copied().collect();
    let answer = move |_: Request<Body>| {
        let code = codes.pop().unwrap_or(StatusCode::OK);
        let _ = told.send(Instant::now());
        let body = match code {
            StatusCode::OK => json!({"apiVersion": "doorward.dev/v1alpha1", "kind": "ApiAuthPolicy", "metadata": {}}),
            _ => json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16()}),
        };
        let mut response = Response::new(Body::from(body.to_string().into_bytes()));
        *response.status_mut() = code;
        std::future::ready(Ok::<_, Infallible>(response))
    };
    (Client::new(tower::service_fn(answer), "shop"), asked)
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_written_is_tried_again_before_the_next_repair() {
    let broken = StatusCode::INTERNAL_SERVER_ERROR;
    let (client, mut asked) = server(&[broken, broken]);
    let policy = PolicyOutcome {
        uid: "uid".to_owned(),
        generation: 7,
        diagnostics: Arc::new([]),
        accepted: true,
        rules: Some(Arc::new(Rules::for_test(7, "rev"))),
        pods: Vec::new(),
    };
    let key = Key { namespace: "shop".to_owned(), name: "users".to_owned() };
    let outcome = Outcome { policies: BTreeMap::from([(key, Arc::new(policy))]), ..Outcome::default() };
    let (_outcomes, outcomes) = watch::channel(Arc::new(outcome));
    let (_keys, keys) = watch::channel(Arc::default());
    let (_group, group) = watch::channel(Group::default());
    let parts = WriterParts {
        client,
        name: "op-1".to_owned(),
        hub: Arc::default(),
        outcomes,
        keys,
        group,
        statuses: Arc::default(),
        status_seen: Arc::default(),
    };
    let begun = Instant::now();
    let writer = tokio::spawn(Writer::new(parts).run());
    for _ in 0..3 {
        asked.recv().await.unwrap();
    }
    let took = begun.elapsed();
    writer.abort();
    assert!(took < STATUS_REPAIR, "{took:?}");
    assert!(took >= 2 * STATUS_RETRY, "{took:?}");
}
