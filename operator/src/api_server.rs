//! The way to the API server.

use anyhow::{Context as _, ensure};
use http::HeaderValue;
use http::header::USER_AGENT;
use kube::{Client, Config};
use tokio::time::sleep;
use tracing::warn;

use crate::limits::{API_CONNECT, API_READ, API_WAIT, OLDEST_MINOR};

/// A client of the API server that `KUBECONFIG` or the pod's service account names.
///
/// # Errors
/// Where neither names one, or what they name cannot be used.
pub(crate) async fn client(replica: &str) -> anyhow::Result<Client> {
    let config = Config::infer().await.context("no API server: run in a cluster, or set KUBECONFIG")?;
    Ok(Client::try_from(configured(config, replica)?)?)
}

/// With explicit times; the replica's name in `User-Agent` tells in the API server's audit log who wrote.
fn configured(mut config: Config, replica: &str) -> anyhow::Result<Config> {
    config.connect_timeout = Some(API_CONNECT);
    // A watch is silent for up to its own time.
    config.read_timeout = Some(API_READ);
    config.write_timeout = Some(API_CONNECT);
    // The library would ask up to 15 times, pausing for up to minutes at last, while a watch, which has a pause of its own with a
    // bound, would be blind.
    config.default_retry = false;
    let agent = format!("doorward-operator/{replica}");
    let value = HeaderValue::from_str(&agent).context("the name of the replica is no header value")?;
    config.headers.push((USER_AGENT, value));
    Ok(config)
}

/// Waits for an API server, and for ever where none answers: native sidecars are stable from 1.33.
///
/// # Errors
/// Where it is too old.
pub(crate) async fn check_version(client: &Client) -> anyhow::Result<()> {
    let info = loop {
        match client.apiserver_version().await {
            Ok(info) => break info,
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "the API server does not answer yet");
                sleep(API_WAIT).await;
            }
        }
    };
    let minor: u32 = info.minor.trim_end_matches(|letter: char| !letter.is_ascii_digit()).parse().unwrap_or(0);
    ensure!(
        info.major != "1" || minor >= OLDEST_MINOR,
        "Kubernetes {} is too old: Doorward needs 1.{OLDEST_MINOR} or later, where native sidecars are stable",
        info.git_version
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::convert::Infallible;
    use std::net::Ipv4Addr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use http::{Request, Response, StatusCode};
    use http_body_util::Empty;
    use hyper::body::{Bytes, Incoming};
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    /// Answers every request with 503, and counts them.
    async fn broken(listener: TcpListener, asked: Arc<AtomicUsize>) {
        while let Ok((stream, _)) = listener.accept().await {
            let asked = Arc::clone(&asked);
            let answer = service_fn(move |_: Request<Incoming>| {
                asked.fetch_add(1, Ordering::Relaxed);
                let mut answer = Response::new(Empty::<Bytes>::new());
                *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                std::future::ready(Ok::<_, Infallible>(answer))
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    }

    #[tokio::test]
    async fn a_request_that_fails_is_asked_once() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        tokio::spawn(broken(listener, Arc::clone(&asked)));
        let config = configured(Config::new(url.parse().unwrap()), "op-1").unwrap();
        let client = Client::try_from(config).unwrap();
        let answered = timeout(Duration::from_secs(5), client.apiserver_version()).await;
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert!(matches!(answered, Ok(Err(_))), "{answered:?}");
    }
}
