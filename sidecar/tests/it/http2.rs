//! What HTTP/2 lets a caller hold: announced, and kept.

use crate::support::frames::{END_HEADERS, GET, POST, PREFACE, frame, head, next};
use crate::support::{App, Fixture, RawApp, body};
use policy::wire::TlsMode;
use sidecar::Limits;
use sidecar::limits::{H2_CONNECTION_WINDOW, H2_FRAME, H2_HEADER_TABLE, H2_HEADERS, H2_STREAM_WINDOW, H2_STREAMS};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

const DATA: u8 = 0;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const FLOW_CONTROL_ERROR: u32 = 3;
/// The window of a connection before anything is said (RFC 9113, section 6.9.2).
const FIRST_WINDOW: u32 = 65_535;

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}

#[tokio::test]
async fn the_bounds_of_a_connection_are_announced() {
    let app = App::start().await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let mut stream = proxy.client().connect(Some(b"h2")).await.unwrap();
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
    let (mut settings, mut window) = (None, None);
    while settings.is_none() || window.is_none() {
        let frame = next(&mut stream).await.unwrap();
        match frame.kind {
            SETTINGS if frame.flags == 0 => settings = Some(frame.payload),
            WINDOW_UPDATE if frame.stream == 0 => window = Some(number(&frame.payload)),
            _ => {}
        }
    }
    let settings: BTreeMap<u16, u32> = settings
        .unwrap()
        .chunks(6)
        .map(|entry| (u16::from_be_bytes(entry[..2].try_into().unwrap()), number(&entry[2..])))
        .collect();
    // By their numbers (RFC 9113, section 6.5.2); what is not said is as there.
    let said = |name, default| settings.get(&name).copied().unwrap_or(default);
    assert_eq!(said(1, 4096), H2_HEADER_TABLE, "SETTINGS_HEADER_TABLE_SIZE");
    assert_eq!(said(3, u32::MAX), H2_STREAMS, "SETTINGS_MAX_CONCURRENT_STREAMS");
    assert_eq!(said(4, FIRST_WINDOW), H2_STREAM_WINDOW, "SETTINGS_INITIAL_WINDOW_SIZE");
    assert_eq!(said(5, 16_384), H2_FRAME, "SETTINGS_MAX_FRAME_SIZE");
    assert_eq!(said(6, u32::MAX), H2_HEADERS, "SETTINGS_MAX_HEADER_LIST_SIZE");
    assert_eq!(window, Some(H2_CONNECTION_WINDOW - FIRST_WINDOW), "the window of the connection");
}

/// An application that reads nothing fills what lies between; from then on a caller that goes on sending breaks its word.
#[tokio::test]
async fn who_sends_more_than_the_window_is_cut_off() {
    let app = RawApp::start(|_, stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let proxy = Fixture::start(TlsMode::Mutual, app.address);
    let mut large = body(TlsMode::Mutual);
    large.limits.body = 1 << 40;
    proxy.apply(&large);
    let stream = proxy.client().connect(Some(b"h2")).await.unwrap();
    let (mut reading, mut writing) = tokio::io::split(stream);
    let refused = tokio::spawn(async move {
        while let Some(frame) = next(&mut reading).await {
            match frame.kind {
                RST_STREAM => return Some(number(&frame.payload)),
                GOAWAY => return Some(number(&frame.payload[4..])),
                _ => {}
            }
        }
        None
    });
    writing.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), &head(POST, 1, END_HEADERS)].concat()).await.unwrap();
    let data = frame(DATA, 0, 1, &vec![b'x'; usize::try_from(H2_FRAME).unwrap()]);
    while !refused.is_finished() && writing.write_all(&data).await.is_ok() {}
    assert_eq!(refused.await.unwrap(), Some(FLOW_CONTROL_ERROR));
}

#[tokio::test]
async fn a_connection_that_answers_no_ping_ends_and_one_that_does_lives() {
    let app = App::start().await;
    let soon = Duration::from_millis(50);
    let limits = Limits { ping: soon, pong: soon, ..Limits::default() };
    let proxy = Fixture::with_limits(TlsMode::Mutual, app.address, limits);
    let [mut deaf, mut alive] =
        [proxy.client().connect(Some(b"h2")).await.unwrap(), proxy.client().connect(Some(b"h2")).await.unwrap()];
    let hello = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    deaf.write_all(&hello).await.unwrap();
    alive.write_all(&hello).await.unwrap();
    let ended = tokio::spawn(async move {
        let mut pings = 0;
        while let Some(frame) = next(&mut deaf).await {
            pings += u32::from(frame.kind == PING);
        }
        pings
    });
    // Long after the other has ended it is still asked.
    let (mut answered, mut ended_at) = (0, None);
    while ended_at.is_none_or(|at| answered < at + 3) {
        let asked = next(&mut alive).await.unwrap();
        if asked.kind == PING {
            alive.write_all(&frame(PING, 1, 0, &asked.payload)).await.unwrap();
            answered += 1;
        }
        if ended_at.is_none() && ended.is_finished() {
            ended_at = Some(answered);
        }
    }
    assert_eq!(ended.await.unwrap(), 1, "asked once");
    alive.write_all(&head(GET, 1, END_HEADERS | 1)).await.unwrap();
    loop {
        let answer = next(&mut alive).await.unwrap();
        if answer.kind == 1 {
            // `:status: 200` in the static table (RFC 7541, appendix A).
            assert_eq!(answer.payload.first(), Some(&0x88));
            break;
        }
    }
}
