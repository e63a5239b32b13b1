//! The application behind a sidecar: on 127.0.0.1 at the port that is given, it answers every request with its path and query.

use std::convert::Infallible;
use std::net::Ipv4Addr;

use anyhow::Context;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

fn main() -> anyhow::Result<()> {
    let port = std::env::args().nth(1).context("which port?")?.parse::<u16>().context("no port")?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.context("cannot listen")?;
        loop {
            let (stream, _) = listener.accept().await.context("cannot accept")?;
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service_fn(answer));
            tokio::spawn(connection);
        }
    })
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let target = request.uri().to_string();
    // What is not read would be the end of the connection.
    let whole = request.into_body().collect().await.is_ok();
    Ok(Response::new(serde_json::json!({"target": target, "whole": whole}).to_string().into()))
}
