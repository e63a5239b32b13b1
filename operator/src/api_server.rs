//! The way to the API server.

use anyhow::{Context as _, ensure};
use backon::{ExponentialBuilder, Retryable as _};
use http::HeaderValue;
use http::header::USER_AGENT;
use kube::{Client, Config};
use tokio::time::sleep;
use tracing::warn;

use crate::limits::{API_CONNECT, API_PAUSE, API_READ, API_TRIES, API_WAIT, OLDEST_MINOR};

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

/// Asks again where the API server was busy or could not be reached: [`API_TRIES`] times in all. For what somebody waits for and what
/// changes nothing; watches and writes come again by themselves.
///
/// # Errors
/// The last one.
pub(crate) async fn again<T, F: Future<Output = kube::Result<T>>>(ask: impl FnMut() -> F) -> kube::Result<T> {
    let pauses = ExponentialBuilder::default().with_min_delay(API_PAUSE).with_max_times(API_TRIES.saturating_sub(1));
    ask.retry(pauses).when(passes).await
}

/// Whether an error may be gone in a moment.
fn passes(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => matches!(status.code, 429 | 500 | 502..=504),
        kube::Error::HyperError(_) | kube::Error::Service(_) => true,
        _ => false,
    }
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
    use http_body_util::Full;
    use hyper::body::{Bytes, Incoming};
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use k8s_openapi::apimachinery::pkg::version::Info;
    use kube::core::Status;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    /// Answers the first requests with an error, the others with its version, and counts them.
    async fn broken(listener: TcpListener, fault: StatusCode, faults: usize, asked: Arc<AtomicUsize>) {
        while let Ok((stream, _)) = listener.accept().await {
            let asked = Arc::clone(&asked);
            let answer = service_fn(move |_: Request<Incoming>| {
                let (status, body) = match asked.fetch_add(1, Ordering::Relaxed) {
                    before if before < faults => {
                        (fault, serde_json::to_vec(&Status { code: fault.as_u16(), ..Status::default() }))
                    }
                    _ => (StatusCode::OK, serde_json::to_vec(&Info::default())),
                };
                let mut answer = Response::new(Full::new(Bytes::from(body.unwrap())));
                *answer.status_mut() = status;
                std::future::ready(Ok::<_, Infallible>(answer))
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    }

    /// A client of such a server, and how often it was asked.
    async fn client_of(fault: StatusCode, faults: usize) -> (Client, Arc<AtomicUsize>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        tokio::spawn(broken(listener, fault, faults, Arc::clone(&asked)));
        let config = configured(Config::new(url.parse().unwrap()), "op-1").unwrap();
        (Client::try_from(config).unwrap(), asked)
    }

    #[tokio::test]
    async fn a_request_that_fails_is_asked_once() {
        let (client, asked) = client_of(StatusCode::SERVICE_UNAVAILABLE, usize::MAX).await;
        let answered = timeout(Duration::from_secs(5), client.apiserver_version()).await;
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert!(matches!(answered, Ok(Err(_))), "{answered:?}");
    }

    #[tokio::test]
    async fn what_somebody_waits_for_is_asked_again_within_bounds() {
        for (fault, faults, wanted, good) in [
            (StatusCode::SERVICE_UNAVAILABLE, 2, 3, true),
            (StatusCode::TOO_MANY_REQUESTS, 1, 2, true),
            (StatusCode::SERVICE_UNAVAILABLE, usize::MAX, 3, false),
            (StatusCode::FORBIDDEN, 1, 1, false),
        ] {
            let (client, asked) = client_of(fault, faults).await;
            let answered = again(|| client.apiserver_version()).await;
            assert_eq!((asked.load(Ordering::Relaxed), answered.is_ok()), (wanted, good), "{fault}: {answered:?}");
        }
    }
}
