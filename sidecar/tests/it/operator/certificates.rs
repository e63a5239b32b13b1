//! The certificate of the pod, and the CA that vouches for its callers.

use super::{Pod, SYNCED, body};
use crate::support::operator::RENEW;
use crate::support::{Ca, Client, eventually, read_all};
use policy::wire::TlsMode;
use rustls_pki_types::CertificateDer;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

fn certificate_of(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

/// The status line of an answer on a connection that stays open.
async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(b"HEAD /open/a HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn a_new_certificate_comes_when_told_and_drops_no_connection() {
    let pod = Pod::new().await;
    pod.operator.set(&pod.lines());
    let sidecar = pod.start();
    sidecar.ready().await;
    let client = pod.client(&sidecar, 3000);
    let mut open = client.connect(Some(b"http/1.1")).await.unwrap();
    let first = certificate_of(&open);
    pod.operator.issue_with(&pod.ca, &[&pod.ca, &Arc::new(Ca::new("next"))], Duration::from_hours(24));
    pod.operator.send(RENEW);
    eventually("new handshakes see the new one", || async {
        certificate_of(&client.connect(Some(b"http/1.1")).await.unwrap()) != first
    })
    .await;
    assert_eq!(pod.operator.issued(), 2);
    assert!(ask(&mut open).await.starts_with("HTTP/1.1 200"), "the old connection goes on");
}

/// The replica that tells and the one that answers need not be the same, and the other one may know less yet.
#[tokio::test]
async fn an_answer_that_says_nothing_new_is_asked_for_again() {
    let pod = Pod::new().await;
    pod.operator.set(&pod.lines());
    let sidecar = pod.start();
    sidecar.ready().await;
    pod.operator.send(RENEW);
    eventually("what is known already", || async { pod.operator.issued() == 2 }).await;
    let next = Arc::new(Ca::new("next"));
    pod.operator.issue_with(&pod.ca, &[&pod.ca, &next], Duration::from_hours(24));
    let new = Client::new(sidecar.running.address, &pod.ca.certificate, Some(&next.client("web/web")));
    eventually("the next CA vouches too", || async { new.connects().await }).await;
}

#[tokio::test]
async fn a_certificate_is_made_anew_at_two_thirds_of_its_life() {
    let pod = Pod::new().await;
    pod.operator.set(&pod.lines());
    pod.operator.issue_with(&pod.ca, &[&pod.ca], Duration::from_secs(6));
    let begin = std::time::Instant::now();
    let sidecar = pod.start();
    sidecar.ready().await;
    assert_eq!(pod.operator.issued(), 1);
    eventually("the second", || async { pod.operator.issued() == 2 }).await;
    // Certificates count in whole seconds.
    let took = begin.elapsed();
    assert!(took > Duration::from_millis(2500) && took < Duration::from_millis(5500), "{took:?}");
}

/// What changed while no stream was open, the operator finds by that.
#[tokio::test]
async fn the_operator_is_told_which_certificate_is_there() {
    let pod = Pod::new().await;
    pod.operator.set(&pod.lines());
    let sidecar = pod.start();
    sidecar.ready().await;
    pod.operator.cut();
    eventually("it comes again", || async { pod.operator.opened().len() == 2 }).await;
    let shown = certificate_of(&pod.client(&sidecar, 3000).connect(Some(b"http/1.1")).await.unwrap());
    let names = policy::certificate::alternative_names(&shown).unwrap();
    let revision = policy::wire::certificate_revision(names.iter().map(String::as_str), &pod.ca.pem());
    let opened = pod.operator.opened();
    assert!(opened[1].0.ends_with(&format!("&certificate={revision}")), "{opened:?}");
    // One that is started again has it from its volume.
    drop(sidecar);
    let again = pod.start();
    again.ready().await;
    eventually("it comes again", || async { pod.operator.opened().len() == 3 }).await;
    assert_eq!(pod.operator.opened()[2].0, opened[1].0);
}

#[tokio::test]
async fn the_built_in_ca_is_replaced_for_callers_and_for_the_operator() {
    let pod = Pod::new().await;
    pod.operator.set(&pod.lines());
    let sidecar = pod.start();
    sidecar.ready().await;
    let mut known = pod.client(&sidecar, 3000).connect(Some(b"http/1.1")).await.unwrap();
    assert!(ask(&mut known).await.starts_with("HTTP/1.1 200"));
    // By overlap: both vouch, and nobody notices.
    let next = Arc::new(Ca::new("next"));
    pod.operator.issue_with(&pod.ca, &[&pod.ca, &next], Duration::from_hours(24));
    pod.operator.send(RENEW);
    let address = sidecar.running.address;
    let new = Client::new(address, &pod.ca.certificate, Some(&next.client("web/web")));
    eventually("the next CA vouches too", || async { new.connects().await }).await;
    assert!(ask(&mut known).await.starts_with("HTTP/1.1 200"));
    // Then the old one is gone: its word is worth nothing, on new connections and on those that live.
    pod.operator.issue_with(&next, &[&next], Duration::from_hours(24));
    pod.operator.send(RENEW);
    let new = Client::new(address, &next.certificate, Some(&next.client("web/web")));
    eventually("the certificate is the next CA's", || async { new.connects().await }).await;
    assert_eq!(new.get("/open/a", &[]).await.status, 200);
    // The connection may be ended before it asks.
    let _ = known.write_all(b"GET /open/a HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let last = read_all(&mut known).await;
    assert!(last.is_empty() || last.starts_with("HTTP/1.1 403"), "{last}");
    // The operator of this test still shows the old CA's certificate.
    let opened = pod.operator.opened().len();
    pod.operator.cut();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(pod.operator.opened().len(), opened, "nobody vouches for it any more");
}

#[tokio::test]
async fn a_ca_that_cannot_be_used_leaves_the_old_one() {
    let pod = Pod::new().await;
    pod.operator.set(&[crate::support::operator::ruleset_line(3000, 1, &body(TlsMode::Mutual)), SYNCED.to_owned()]);
    let sidecar = pod.start();
    eventually("a certificate", || async { sidecar.certificate.is_there() }).await;
    pod.operator.issue_with(&pod.ca, &[], Duration::from_hours(24));
    pod.operator.send(RENEW);
    eventually("it is refused and asked for again", || async { pod.operator.issued() >= 3 }).await;
    assert_eq!(pod.client(&sidecar, 3000).get("/open/a", &[]).await.status, 200);
}
