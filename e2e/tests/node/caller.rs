//! A pod that calls others: `e2e/apps/caller`, told over HTTP what to call.

use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The caller gives up on a call after 15 s.
const ANSWER: Duration = Duration::from_secs(60);

/// The pod.
pub(crate) struct Caller {
    pub(crate) address: String,
}

/// What a load came to.
#[derive(Clone, Debug)]
pub(crate) struct Counts(pub(crate) Value);

impl Counts {
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_default()
    }

    /// All that ended were answered with 200, and there were at least so many of them.
    pub(crate) fn none_lost(&self, least: u64) -> anyhow::Result<()> {
        ensure!(self.number("ended") >= least, "only {}", self.0);
        ensure!(self.number("ok") == self.number("ended"), "lost: {}", self.0);
        Ok(())
    }

    /// How many server certificates were seen.
    pub(crate) fn certificates(&self) -> usize {
        self.0["serials"].as_object().map_or(0, serde_json::Map::len)
    }
}

impl Caller {
    /// Calls once; the answer has `status`, `headers`, `body`, or `error`.
    pub(crate) async fn call(&self, input: &Value) -> anyhow::Result<Value> {
        self.ask(Method::POST, "/call", input).await
    }

    /// The status of the answer, or the code of the error.
    pub(crate) async fn outcome(&self, input: &Value) -> anyhow::Result<String> {
        let answer = self.call(input).await?;
        Ok(match answer["status"].as_u64() {
            Some(status) => status.to_string(),
            None => answer["error"].as_str().context("an answer without status and error")?.to_owned(),
        })
    }

    /// Begins to call again and again.
    pub(crate) async fn load(&self, input: &Value) -> anyhow::Result<()> {
        self.ask(Method::POST, "/load", input).await.map(drop)
    }

    /// What the load came to until now.
    pub(crate) async fn counts(&self) -> anyhow::Result<Counts> {
        self.ask(Method::GET, "/load", &json!({})).await.map(Counts)
    }

    /// Ends the load.
    pub(crate) async fn stop(&self) -> anyhow::Result<Counts> {
        self.ask(Method::DELETE, "/load", &json!({})).await.map(Counts)
    }

    /// What the agent keeps.
    pub(crate) async fn files(&self) -> anyhow::Result<Value> {
        self.ask(Method::GET, "/files", &json!({})).await
    }

    async fn ask(&self, method: Method, path: &str, input: &Value) -> anyhow::Result<Value> {
        let (status, body) = timeout(ANSWER, request(&self.address, method, path, input.to_string())).await??;
        ensure!(status == 200, "the caller answers {status}: {body}");
        serde_json::from_str(&body).context("the caller's answer is no JSON")
    }
}

/// One request in plain HTTP.
pub(crate) async fn request(address: &str, method: Method, path: &str, body: String) -> anyhow::Result<(u16, String)> {
    let socket = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
    let running = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", address)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let answer = sender.send_request(request).await?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await?.to_bytes();
    drop(sender);
    running.abort();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
