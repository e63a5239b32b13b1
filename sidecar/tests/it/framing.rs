//! Where a request ends is never a matter of opinion.

use crate::support::{App, Fixture, RawApp, read_all};
use policy::wire::TlsMode;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn of_two_framings_the_application_sees_one_and_the_connection_ends() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let inner = "GET /internal HTTP/1.1\r\nhost: a\r\n\r\n";
    for order in ["transfer-encoding: chunked\r\ncontent-length: 4", "content-length: 4\r\ntransfer-encoding: chunked"]
    {
        let request = format!("POST /open/a HTTP/1.1\r\nhost: a\r\n{order}\r\n\r\n0\r\n\r\n{inner}");
        let before = app.seen().len();
        let answer = proxy.client().raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.matches("HTTP/1.1").count() == 1, "{answer}");
        let seen = app.seen().split_off(before);
        assert_eq!(seen.iter().map(|one| one.target.as_str()).collect::<Vec<_>>(), ["/open/a"]);
        assert_eq!(
            seen[0].header("content-length").len() + seen[0].header("transfer-encoding").len(),
            1,
            "{:?}",
            seen[0].headers
        );
    }
}

#[tokio::test]
async fn broken_framings_are_refused() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    for fields in [
        "content-length: 3\r\ncontent-length: 4",
        "content-length: +3",
        "content-length: 3, 3",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: identity",
        "transfer-encoding : chunked",
        "x: a\r\n b",
    ] {
        let request = format!("POST /open/a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{fields}\r\n\r\n0\r\n\r\n");
        let answer = proxy.client().raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{fields}: {answer}");
    }
    let answer =
        proxy.client().raw(b"POST /open/a HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400") || answer.starts_with("HTTP/1.0 400"), "{answer}");
    assert_eq!(app.seen().len(), 0);
}

#[tokio::test]
async fn a_chunk_that_is_none_is_answered_400_and_ends_the_connection() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let answer =
        proxy.client().raw(b"POST /open/a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(app.seen().len(), 0);
}

/// Every byte that the application receives, as its one framing shows it.
#[tokio::test]
async fn a_body_of_unknown_length_is_chunked_for_every_method_and_trailers_end_here() {
    let received = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&received);
    let app = RawApp::start(move |_, mut stream| {
        let sink = Arc::clone(&sink);
        async move {
            let mut all = Vec::new();
            let mut chunk = [0; 4096];
            while !all.ends_with(b"0\r\n\r\n") {
                match stream.read(&mut chunk).await {
                    Ok(count @ 1..) => all.extend_from_slice(&chunk[..count]),
                    _ => break,
                }
            }
            sink.lock().unwrap().push(String::from_utf8(all).unwrap());
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
        }
    })
    .await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    for method in ["GET", "POST", "DELETE"] {
        let request = format!(
            "{method} /open/a HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\ntrailer: x-user\r\n\r\n3\r\nabc\r\n0\r\nx-user: root\r\n\r\n"
        );
        let answer = proxy.client().raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 204"), "{method}: {answer}");
        let seen = received.lock().unwrap().pop().unwrap().to_ascii_lowercase();
        assert!(seen.contains("transfer-encoding: chunked\r\n") && !seen.contains("content-length"), "{seen}");
        assert!(
            seen.ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n") && !seen.contains("root") && !seen.contains("trailer"),
            "{seen}"
        );
    }
}

#[tokio::test]
async fn pipelined_requests_are_decided_one_by_one() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let mut stream = proxy.client().connect(Some(b"http/1.1")).await.unwrap();
    let one = |path: &str, close: bool| {
        format!("GET {path} HTTP/1.1\r\nhost: a\r\n{}\r\n", if close { "connection: close\r\n" } else { "" })
    };
    let all = [one("/open/1", false), one("/me", false), one("/open/2", true)].concat();
    stream.write_all(all.as_bytes()).await.unwrap();
    let answer = read_all(&mut stream).await;
    let statuses: Vec<_> = answer.split("HTTP/1.1 ").skip(1).filter_map(|rest| rest.get(..3)).collect();
    assert_eq!(statuses, ["200", "401", "200"]);
    assert_eq!(app.seen().iter().map(|one| one.target.clone()).collect::<Vec<_>>(), ["/open/1", "/open/2"]);
}

#[tokio::test]
async fn http_1_0_works_and_ends() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let answer = proxy.client().raw(b"POST /open/a HTTP/1.0\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc").await;
    assert!(answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nabc"));
    let refused = proxy.client().raw(b"GET /open/a HTTP/1.0\r\n\r\n").await;
    assert!(refused.contains("\"detail\":\"host\""), "{refused}");
}
