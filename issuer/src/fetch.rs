//! One guarded GET of a JSON document: where it may connect to, how long it may take, how much it may bring.

mod answer;

use crate::connect::{Connect, Stream};
use crate::guard::Guard;
use crate::limits::{AT_ONCE, BODY, FAILED_AT_ONCE, FIELDS, HEAD, REDIRECTS, WHOLE};
use crate::trust::Trust;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Body;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use policy::egress::{Forbidden, HttpUrl, UrlFault};
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Fetches documents of providers.
pub struct Fetcher {
    network: Arc<dyn Connect>,
    guard: Guard,
    slots: Semaphore,
    failed: Semaphore,
}

/// What was fetched.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The body; it has passed for JSON by its type only.
    pub body: Bytes,
    /// How long the server lets it be used (`Cache-Control`, RFC 9111, section 5.2.2), where it says so.
    pub max_age: Option<Duration>,
}

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// An address that nobody allowed.
    #[error("host `{host}`: {source}")]
    Forbidden {
        /// The host of the URL.
        host: String,
        /// The address, and what to set.
        source: Forbidden,
    },
    /// Without TLS, to another machine.
    #[error("plaintext is spoken on this machine only; write `https:`")]
    Plaintext,
    /// The name has no address, or nobody could tell.
    #[error("host `{host}` is not found")]
    Unresolved {
        /// The host of the URL.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The resolver gave an empty answer.
    #[error("host `{host}` has no address")]
    NoAddress {
        /// The host of the URL.
        host: String,
    },
    /// Nobody answers.
    #[error("cannot connect to {address}")]
    Connect {
        /// The address that was tried last.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No TLS connection, or the server is not who it should be.
    #[error("no trusted TLS connection; an authority that is not public is named in `keys.caBundle`")]
    Tls(#[source] io::Error),
    /// What came is no HTTP, or stopped in the middle.
    #[error("no whole answer in HTTP")]
    Http(#[source] hyper::Error),
    /// More than [`WHOLE`].
    #[error("no whole answer within {} seconds", WHOLE.as_secs())]
    TimedOut,
    /// Not 200.
    #[error("answered with status {0}")]
    Status(u16),
    /// More than [`REDIRECTS`] redirects.
    #[error("redirected more than {REDIRECTS} times")]
    Redirects,
    /// A redirect to another scheme, host or port.
    #[error("redirected to `{0}`, another origin; write that URL instead, if it is right")]
    Elsewhere(HttpUrl),
    /// A redirect that leads nowhere.
    #[error("redirected to something that is no URL")]
    BadRedirect(#[source] UrlFault),
    /// More than [`BODY`].
    #[error("more than {BODY} bytes")]
    TooLarge,
    /// Compressed, though nobody asked for it.
    #[error("answered in a compressed form that was not asked for")]
    Encoded,
    /// A page for people.
    #[error("answered with HTML, not JSON")]
    Html,
}

impl Fetcher {
    /// A fetcher that connects to the public internet, and to the networks that are allowed.
    #[must_use]
    pub fn new(network: Arc<dyn Connect>, allowed: Vec<IpNet>) -> Self {
        Self {
            network,
            guard: Guard { allowed },
            slots: Semaphore::new(AT_ONCE),
            failed: Semaphore::new(FAILED_AT_ONCE),
        }
    }

    /// Waits for the turn of an issuer whose last fetch failed.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed; without a turn a fetch is only less orderly.
        self.failed.acquire().await.ok()
    }

    /// Fetches a document. Waits for a slot first where very many fetch at once.
    ///
    /// # Errors
    /// See [`FetchError`]; within [`WHOLE`] of the slot.
    pub async fn get(&self, url: &HttpUrl, trust: &Trust) -> Result<Fetched, FetchError> {
        // The semaphore is never closed; without a slot a fetch is only less orderly.
        let _slot = self.slots.acquire().await.ok();
        timeout(WHOLE, self.follow(url, trust)).await.unwrap_or(Err(FetchError::TimedOut))
    }

    async fn follow(&self, url: &HttpUrl, trust: &Trust) -> Result<Fetched, FetchError> {
        let mut at = url.clone();
        for _ in 0..=REDIRECTS {
            match self.exchange(&at, trust).await? {
                Exchanged::Document(fetched) => return Ok(fetched),
                Exchanged::Redirect(to) if to.is_same_origin(url) => at = to,
                Exchanged::Redirect(to) => return Err(FetchError::Elsewhere(to)),
            }
        }
        Err(FetchError::Redirects)
    }

    async fn exchange(&self, url: &HttpUrl, trust: &Trust) -> Result<Exchanged, FetchError> {
        let stream = self.guard.connect(&*self.network, url).await?;
        let stream = if url.is_secure() { secure(stream, url, trust).await? } else { stream };
        let handshake = http1::Builder::new().max_buf_size(HEAD).max_headers(FIELDS).handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.map_err(FetchError::Http)?;
        let exchange = async {
            let response = sender.send_request(request(url)?).await.map_err(FetchError::Http)?;
            if let Some(location) = answer::redirect(response.status(), response.headers())? {
                return url.join(location).map(Exchanged::Redirect).map_err(FetchError::BadRedirect);
            }
            answer::check(response.status(), response.headers())?;
            if response.body().size_hint().lower() > BODY as u64 {
                return Err(FetchError::TooLarge);
            }
            let max_age = answer::max_age(response.headers());
            let body = Limited::new(response.into_body(), BODY).collect().await.map_err(body_error)?.to_bytes();
            Ok(Exchanged::Document(Fetched { body, max_age }))
        };
        // What ends the connection reaches the exchange too, with the bytes that came before.
        let drive = async {
            let _ = connection.await;
            std::future::pending().await
        };
        tokio::select! {
            exchanged = exchange => exchanged,
            never = drive => never,
        }
    }
}

/// What came of one request.
enum Exchanged {
    Document(Fetched),
    Redirect(HttpUrl),
}

async fn secure(stream: Box<dyn Stream>, url: &HttpUrl, trust: &Trust) -> Result<Box<dyn Stream>, FetchError> {
    let name = ServerName::try_from(url.host().to_owned());
    let name = name.map_err(|_| FetchError::NoAddress { host: url.host().to_owned() })?;
    let stream = TlsConnector::from(trust.config()).connect(name, stream).await.map_err(FetchError::Tls)?;
    Ok(Box::new(stream))
}

fn request(url: &HttpUrl) -> Result<Request<Empty<Bytes>>, FetchError> {
    Request::get(url.target())
        .header(header::HOST, url.authority())
        .header(header::ACCEPT, "application/json, application/jwk-set+json")
        .header(header::ACCEPT_ENCODING, "identity")
        .header(header::CONNECTION, "close")
        .header(header::USER_AGENT, concat!("doorward/", env!("CARGO_PKG_VERSION")))
        .body(Empty::new())
        .map_err(|_| FetchError::BadRedirect(UrlFault::Malformed))
}

fn body_error(error: Box<dyn std::error::Error + Send + Sync>) -> FetchError {
    match error.downcast::<LengthLimitError>() {
        Ok(_) => FetchError::TooLarge,
        Err(error) => match error.downcast::<hyper::Error>() {
            Ok(error) => FetchError::Http(*error),
            Err(_) => FetchError::TimedOut,
        },
    }
}
