//! The end of a proxy loses no request of which it read a byte.

use crate::binary::Process;
use crate::support::{App, Client, Fixture, RawApp, body, eventually, read_all};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use policy::wire::{Body, Rule, TlsMode};
use sidecar::{DrainTimes, Drained};
use std::cell::Cell;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::{JoinSet, LocalSet};

const REQUESTS: usize = 2_000;
const CHANGES: usize = 50;
const SHORT: DrainTimes = DrainTimes { delay: Duration::from_millis(300), finish: Duration::from_secs(25) };
/// Beyond the patience of all tests.
const LONG: DrainTimes = DrainTimes { delay: Duration::from_secs(600), finish: Duration::from_secs(25) };

/// What became of the requests of all callers.
#[derive(Default)]
struct Tally {
    answered: Cell<usize>,
    lost: Cell<usize>,
    /// Answered on connections that were opened after the first request said that the old one ends.
    moved: Cell<usize>,
}

impl Tally {
    async fn note(&self, response: http::Response<hyper::body::Incoming>, connections: usize) {
        if response.status() != 200 || response.into_body().collect().await.is_err() {
            return add(&self.lost);
        }
        add(&self.answered);
        if connections > 0 {
            add(&self.moved);
        }
    }
}

fn add(cell: &Cell<usize>) {
    cell.set(cell.get() + 1);
}

fn request(is_h2: bool) -> Request<Full<Bytes>> {
    let target = if is_h2 { "https://orders.test/open/a" } else { "/open/a" };
    let mut request = Request::post(target);
    if !is_h2 {
        request = request.header("host", "orders.test");
    }
    request.body(Full::from("body")).unwrap()
}

/// Asks on one keep-alive connection after the other until none is accepted any more.
async fn call_h1(client: Client, tally: Rc<Tally>) {
    for connections in 0.. {
        let Ok(stream) = client.connect(Some(b"http/1.1")).await else { return };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        while sender.ready().await.is_ok() {
            match sender.try_send_request(request(false)).await {
                Ok(response) => tally.note(response, connections).await,
                Err(mut error) => match error.take_message() {
                    // What comes back whole was never sent.
                    Some(_) => break,
                    None => add(&tally.lost),
                },
            }
        }
    }
}

/// As above, with several streams at once on each connection.
async fn call_h2(client: Client, tally: Rc<Tally>) {
    for connections in 0.. {
        let Ok(stream) = client.connect(Some(b"h2")).await else { return };
        let Ok((sender, connection)) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await else {
            return;
        };
        tokio::spawn(connection);
        let mut streams = JoinSet::new();
        for _ in 0..4 {
            let (mut sender, tally) = (sender.clone(), Rc::clone(&tally));
            streams.spawn_local(async move {
                while sender.ready().await.is_ok() {
                    match sender.send_request(request(true)).await {
                        Ok(response) => tally.note(response, connections).await,
                        // A stream beyond the last one of a GOAWAY was not looked at (RFC 9113, section 6.8).
                        Err(error) if error.is_canceled() || format!("{error:?}").contains("GoAway") => break,
                        Err(_) => add(&tally.lost),
                    }
                }
            });
        }
        streams.join_all().await;
    }
}

/// Gives the figures.
async fn under_load(is_h2: bool) -> String {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let tally = Rc::new(Tally::default());
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let (client, tally) = (proxy.client(), Rc::clone(&tally));
        if is_h2 {
            callers.spawn_local(call_h2(client, tally));
        } else {
            callers.spawn_local(call_h1(client, tally));
        }
    }
    eventually("enough requests before the drain", || async { tally.answered.get() >= REQUESTS }).await;
    assert_eq!(tally.moved.get(), 0, "no connection ends without a reason");
    assert_eq!(proxy.running.drain(SHORT).await, Drained::Whole);
    callers.join_all().await;
    assert_eq!(tally.lost.get(), 0);
    assert!(tally.moved.get() > 0);
    assert_eq!(app.seen().len(), tally.answered.get(), "nothing reached the application twice or in vain");
    let [answered, moved, lost] = [&tally.answered, &tally.moved, &tally.lost].map(Cell::get);
    format!("{answered} answered, {moved} of them after their callers were told to move, {lost} lost")
}

#[tokio::test]
async fn no_request_is_lost_over_http1() {
    println!("HTTP/1.1: {}", LocalSet::new().run_until(under_load(false)).await);
}

#[tokio::test]
async fn no_request_is_lost_over_http2() {
    println!("HTTP/2: {}", LocalSet::new().run_until(under_load(true)).await);
}

async fn probe(proxy: &Fixture) -> String {
    let mut stream = TcpStream::connect(proxy.running.admin.unwrap()).await.unwrap();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    read_all(&mut stream).await
}

#[tokio::test]
async fn it_is_not_ready_from_the_first_moment_and_still_accepts() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    assert!(probe(&proxy).await.starts_with("HTTP/1.1 200"));
    let client = proxy.client();
    let mut idle = client.connect(Some(b"http/1.1")).await.unwrap();
    let see = async {
        eventually("the probe fails", || async { probe(&proxy).await.starts_with("HTTP/1.1 503") }).await;
        eventually("answers close their connections", || async {
            client.get("/open/a", &[]).await.header("connection") == Some("close")
        })
        .await;
        assert_eq!(client.get("/me", &[]).await.header("connection"), Some("close"), "refusals too");
        assert_eq!(
            client
                .send_h2(Request::get("https://a/open/a").body(Bytes::new()).unwrap())
                .await
                .unwrap()
                .header("connection"),
            None
        );
        idle.write_all(b"GET /open/a HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let answer = read_all(&mut idle).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
    };
    tokio::select! {
        _ = proxy.running.drain(LONG) => panic!("the delay is long"),
        () = see => {}
    }
}

async fn refused(address: SocketAddr) {
    eventually("the port is closed", || async { TcpStream::connect(address).await.is_err() }).await;
}

#[tokio::test]
async fn what_has_begun_when_the_port_closes_is_answered_and_what_is_idle_ends() {
    let release = Arc::new(Notify::new());
    let wait = Arc::clone(&release);
    let app = RawApp::start(move |_, mut stream| {
        let wait = Arc::clone(&wait);
        async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            if head.starts_with(b"GET /open/slow") {
                wait.notified().await;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await.unwrap();
        }
    })
    .await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let client = proxy.client();
    let connect = || async { client.connect(Some(b"http/1.1")).await.unwrap() };
    let (mut idle, mut new, mut partial, mut slow) =
        (connect().await, connect().await, connect().await, connect().await);
    idle.write_all(b"HEAD /open/a HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(idle.read_u8().await.unwrap());
    }
    slow.write_all(b"GET /open/slow HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    partial.write_all(b"GET /open/a HTT").await.unwrap();
    let others = async {
        refused(proxy.running.address).await;
        assert_eq!((read_all(&mut idle).await, read_all(&mut new).await), (String::new(), String::new()));
        partial.write_all(b"P/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        release.notify_one();
        for stream in [&mut partial, &mut slow] {
            let answer = read_all(stream).await;
            assert!(
                answer.starts_with("HTTP/1.1 200")
                    && answer.contains("\r\nconnection: close\r\n")
                    && answer.ends_with("ok"),
                "{answer}"
            );
        }
    };
    let times = DrainTimes { delay: Duration::ZERO, ..SHORT };
    let (drained, ()) = tokio::join!(proxy.running.drain(times), others);
    assert_eq!(drained, Drained::Whole);
}

#[tokio::test]
async fn what_does_not_end_is_cut_off_in_time() {
    let app =
        RawApp::start(|_, mut stream| async move { while let Ok(1..) = stream.read(&mut [0; 1024]).await {} }).await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let mut stream = proxy.client().connect(Some(b"http/1.1")).await.unwrap();
    stream.write_all(b"GET /open/a HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let times = DrainTimes { delay: Duration::ZERO, finish: Duration::from_millis(100) };
    assert_eq!(proxy.running.drain(times).await, Drained::Cut(1));
    tokio::task::spawn_blocking(move || proxy.running.stop()).await.unwrap();
    assert_eq!(read_all(&mut stream).await, "");
}

fn terminate(process: &Process) {
    assert!(Command::new("kill").args(["-TERM", &process.child.id().to_string()]).status().unwrap().success());
}

#[tokio::test]
async fn a_signal_drains_the_process() {
    let app = App::start().await;
    let mut process = Process::start(app.address, &["--drain-delay", "50ms"], Stdio::null());
    process.configure().await;
    terminate(&process);
    let said: Vec<_> = process.lines.by_ref().collect();
    assert!(said.iter().any(|line| line.contains("draining")) && said.last().unwrap().ends_with("drained"), "{said:?}");
    assert!(process.child.wait().unwrap().success());
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let app = App::start().await;
    let mut process = Process::start(app.address, &["--drain-delay", "10m"], Stdio::null());
    terminate(&process);
    assert!(process.lines.next().unwrap().contains("draining"));
    terminate(&process);
    assert!(process.lines.next().unwrap().contains("second signal"));
    assert!(process.child.wait().unwrap().success());
}

/// The usual policy, with a rule that tells it from the others.
fn changed(number: usize) -> Body {
    let mut body = body(TlsMode::Mutual);
    body.rules.push(Rule { path: format!("/change/{number}"), ..body.rules[0].clone() });
    body
}

/// Fifty changes of the policy and the end of the process, all under load on connections that are kept: R3 and R12.
async fn change_and_end() -> String {
    let app = App::start().await;
    let arguments = ["--drain-delay", "1s", "--access-log", "off"];
    let mut process = Process::start(app.address, &arguments, Stdio::null());
    process.configure().await;
    let before = app.seen().len();
    let tally = Rc::new(Tally::default());
    let mut callers = JoinSet::new();
    for number in 0..8 {
        let (client, tally) = (process.client.clone(), Rc::clone(&tally));
        if number % 4 == 0 {
            callers.spawn_local(call_h2(client, tally));
        } else {
            callers.spawn_local(call_h1(client, tally));
        }
    }
    let mut changes = 0;
    while changes < CHANGES || tally.answered.get() < 5 * REQUESTS {
        changes += 1;
        assert!(changes < 20 * CHANGES, "{} answers", tally.answered.get());
        process.put(&changed(changes));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(
        (tally.lost.get(), tally.moved.get()),
        (0, 0),
        "a change of the policy ends no connection and no request"
    );
    terminate(&process);
    let go_on = async {
        for number in changes + 1.. {
            process.put(&changed(number));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        () = go_on => {}
        _ = callers.join_all() => {}
    }
    let said: Vec<_> = process.lines.by_ref().collect();
    let applied = said.iter().filter(|line| line.ends_with("snapshot in force")).count();
    assert!(applied >= CHANGES && said.last().unwrap().ends_with("drained"), "{applied}: {said:?}");
    assert!(process.child.wait().unwrap().success());
    let [answered, moved, lost] = [&tally.answered, &tally.moved, &tally.lost].map(Cell::get);
    assert_eq!((lost, app.seen().len() - before), (0, answered), "lost, and what reached the application");
    format!(
        "{answered} answered, {moved} of them after their callers were told to move, {applied} policies, {lost} lost"
    )
}

#[tokio::test]
async fn changes_of_policy_and_a_signal_lose_no_request() {
    println!("changes and a signal: {}", LocalSet::new().run_until(change_and_end()).await);
}
