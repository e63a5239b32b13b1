//! Operators that misbehave.

use super::{Pod, only};
use crate::support::operator::{SYNCED, ruleset_line};
use crate::support::{Ca, body, eventually};
use policy::wire::{MAX_SNAPSHOT_BYTES, TlsMode};
use sidecar::limits::{LINK_BUFFER, LINK_FIELDS};
use std::time::Duration;

/// Whatever comes, what was in force stays; what is wrong is reported for the port; a good message is taken afterwards.
#[tokio::test]
async fn what_cannot_be_used_changes_nothing_and_is_reported() {
    let pod = Pod::new().await;
    pod.operator.set(&pod.lines());
    let sidecar = pod.start();
    sidecar.ready().await;
    let client = pod.client(&sidecar, 3000);
    let good = ruleset_line(3000, 8, &only("/evil/**"));
    for (number, (bad, of_both)) in [
        (good.replacen("/evil/**", "/evjl/**", 1), false),
        (good.replacen("\"revision\":\"", "\"revision\":\"0", 1), false),
        (good.replacen("\"port\":3000", "\"port\":3000,\"later\":1", 1), false),
        (good.replacen("\"builtIn\"", "\"builtOut\"", 1), false),
        (good.replacen("\"port\":3000", "\"port\":4000", 1), true),
        (good.replacen("\"ruleset\"", "\"rulezet\"", 1), false),
        ("{\"type\":\"secrets\",\"values\":[]}\n".to_owned(), true),
        ("{\"type\":\"absent\",\"port\":3000,\"later\":1}\n".to_owned(), false),
        ("{\"type\":\"ping\",\"later\":1}\n".to_owned(), true),
        ("nonsense\n\u{0}\n[]\n{}\n".to_owned(), true),
    ]
    .into_iter()
    .enumerate()
    {
        pod.operator.send(&bad);
        let last_good = 7 + i64::try_from(number).unwrap();
        let has_error = |port: u16| {
            move |report: &policy::wire::Report| {
                report.applied[0].generation == last_good
                    && report.applied.iter().any(|applied| applied.port == port && applied.error.is_some())
            }
        };
        if bad.contains("\"port\":4000") {
            // Nobody's port: told in the log alone.
            pod.operator.send(SYNCED);
        } else {
            let report = pod.operator.reported(&format!("{number}: {bad}"), has_error(3000)).await;
            assert_eq!(has_error(9090)(&report), of_both, "{bad}: {report:?}");
        }
        assert_eq!(client.get("/open/a", &[]).await.status, 200, "{bad}");
        assert_eq!(client.get("/evil/a", &[]).await.status, 403, "{bad}");
        assert_eq!(sidecar.probe("/readyz").await.0, 200);
        let generation = last_good + 1;
        pod.operator.send(&ruleset_line(3000, generation, &body(TlsMode::Mutual)));
        pod.operator.send(&ruleset_line(9090, generation, &only("/metrics/**")));
        pod.operator
            .reported("it recovers", |report| {
                report.applied.iter().all(|applied| applied.error.is_none() && applied.generation == generation)
            })
            .await;
    }
    assert_eq!(pod.operator.opened().len(), 1, "one stream throughout");
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_opened_again() {
    let pod = Pod::new().await;
    pod.operator.set(&pod.lines());
    let sidecar = pod.start();
    sidecar.ready().await;
    let client = pod.client(&sidecar, 3000);
    let next = ruleset_line(3000, 8, &only("/next/**"));
    // In the middle of a line: half a message is none.
    let (half, _) = next.split_at(next.len() / 2);
    pod.operator.send(half);
    pod.operator.cut();
    eventually("it comes again", || async { pod.operator.opened().len() == 2 }).await;
    assert_eq!(client.get("/open/a", &[]).await.status, 200);
    // A line without an end.
    let endless = "x".repeat(1 << 20);
    for _ in 0..=MAX_SNAPSHOT_BYTES >> 20 {
        pod.operator.send(&endless);
    }
    eventually("it comes again", || async { pod.operator.opened().len() == 3 }).await;
    assert_eq!(client.get("/open/a", &[]).await.status, 200);
    // Refused for a while.
    pod.operator.refuse("/v1/config", 401, 3);
    pod.operator.cut();
    eventually("it comes again", || async { pod.operator.opened().len() == 4 }).await;
    pod.operator.send(&next);
    eventually("the next is in force", || async { client.get("/next/a", &[]).await.status == 200 }).await;
}

#[tokio::test]
async fn a_stream_on_which_nothing_comes_is_opened_again() {
    let pod = Pod::new().await;
    pod.operator.set(&pod.lines());
    let sidecar = pod.start_with(pod.operator.address, |settings| settings.silence = Duration::from_millis(300));
    eventually("it comes again and again", || async { pod.operator.opened().len() >= 3 }).await;
    sidecar.ready().await;
}

#[tokio::test]
async fn an_operator_that_the_ca_does_not_vouch_for_is_not_listened_to() {
    let pod = Pod::new().await;
    pod.operator.set(&pod.lines());
    let stranger = Ca::new("cluster");
    let sidecar = pod.start_with(pod.operator.address, |settings| settings.bundle = vec![stranger.certificate.clone()]);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(pod.operator.opened().is_empty() && pod.operator.issued() == 0 && !sidecar.certificate.is_there());
    assert_eq!(sidecar.probe("/readyz").await.0, 503);
}

#[tokio::test]
async fn without_a_token_nothing_is_asked() {
    let pod = Pod::new().await;
    pod.operator.set(&pod.lines());
    let path = pod.folder.path().join("token");
    std::fs::remove_file(&path).unwrap();
    let sidecar = pod.start();
    assert_eq!(sidecar.probe("/startupz").await.0, 200);
    std::fs::write(&path, crate::support::token_until(4_000_000_000)).unwrap();
    sidecar.ready().await;
    assert_eq!(pod.operator.opened().len(), 1);
}

#[tokio::test]
async fn the_head_of_an_answer_is_bounded() {
    // hyper looks at the bound after a read, whose buffer may hold twice as much.
    for (fields, bytes) in [(LINK_FIELDS, 1), (1, 2 * LINK_BUFFER)] {
        let pod = Pod::new().await;
        pod.operator.set(&pod.lines());
        pod.operator.pad(fields, bytes);
        let sidecar = pod.start();
        eventually(&format!("it asks again after {fields} fields of {bytes} bytes"), || async {
            pod.operator.issued() >= 2
        })
        .await;
        assert!(!sidecar.certificate.is_there(), "{fields} fields of {bytes} bytes");
        pod.operator.pad(LINK_FIELDS / 4, 1024);
        sidecar.ready().await;
    }
}
