//! An application that speaks HTTP/2 without TLS and nothing else, as a gRPC server does.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::net::TcpListener;

/// A request as the application saw it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) version: Version,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
    /// Whether the request came to its end.
    pub(crate) whole: bool,
}

/// Answers with the body that it got and the trailers of a call that went well; on a path that ends with `stream` with one
/// message at once and then nothing, for ever.
pub(crate) struct H2App {
    pub(crate) address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
    connections: Arc<Mutex<usize>>,
}

impl H2App {
    /// Takes so many streams on each connection at once.
    pub(crate) async fn start(streams: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Self { address, calls: Arc::default(), connections: Arc::default() };
        let (calls, connections) = (Arc::clone(&app.calls), Arc::clone(&app.connections));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *connections.lock().unwrap() += 1;
                let calls = Arc::clone(&calls);
                let service = service_fn(move |request| answer(request, Arc::clone(&calls)));
                let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                builder.max_concurrent_streams(streams);
                tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
            }
        });
        app
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

async fn answer(request: Request<Incoming>, calls: Arc<Mutex<Vec<Call>>>) -> Result<Response<Script>, Infallible> {
    let (head, body) = request.into_parts();
    let streams = head.uri.path().ends_with("stream");
    let mut call = Call {
        version: head.version,
        target: head.uri.to_string(),
        headers: head.headers,
        body: Bytes::new(),
        trailers: None,
        whole: false,
    };
    let script = if streams {
        calls.lock().unwrap().push(call.clone());
        // How the request goes on is told when it ends.
        tokio::spawn(async move {
            call.whole = body.collect().await.is_ok();
            calls.lock().unwrap().push(call);
        });
        Script { frames: VecDeque::from([Frame::data(Bytes::from_static(b"first"))]), ends: false }
    } else {
        if let Ok(collected) = body.collect().await {
            (call.whole, call.trailers) = (true, collected.trailers().cloned());
            call.body = collected.to_bytes();
        }
        let data = Frame::data(call.body.clone());
        calls.lock().unwrap().push(call);
        let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]);
        // Long enough for others to come meanwhile.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        Script { frames: VecDeque::from([data, Frame::trailers(trailers)]), ends: true }
    };
    Ok(Response::builder().header("content-type", "application/grpc").body(script).unwrap())
}

/// Frames, and then the end or nothing.
pub(crate) struct Script {
    pub(crate) frames: VecDeque<Frame<Bytes>>,
    pub(crate) ends: bool,
}

impl Body for Script {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None if self.ends => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}
