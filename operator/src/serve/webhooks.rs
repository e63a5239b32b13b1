//! The server that the API server asks before it stores a pod or a policy.

use super::bounds::{Place, Places};
use super::listener::{bind, reaches};
use super::{Running, Stage, StartError};
use crate::admission::{Lookup, MAX_BODY, Service};
use crate::limits::{
    ACCEPT_PAUSE, FIELDS, HEAD, WEBHOOK_BODIES, WEBHOOK_CONNECTIONS, WEBHOOK_CONNECTIONS_PER_ADDRESS,
    WEBHOOK_HANDSHAKE, WEBHOOK_IDLE, WEBHOOK_TIME,
};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// Binds and answers.
///
/// # Errors
/// Where the address cannot be bound.
pub fn start<L: Lookup + 'static>(
    address: SocketAddr,
    service: Arc<Service<L>>,
    tls: Arc<ServerConfig>,
) -> Result<Running, StartError> {
    let listener = bind(address)?;
    let address = listener.local_addr()?;
    let stage = watch::Sender::new(Stage::Serving);
    let connections = Arc::new(Semaphore::new(WEBHOOK_CONNECTIONS));
    tokio::spawn(accept(service, listener, tls, Arc::clone(&connections), stage.subscribe()));
    Ok(Running::new(address, stage, connections, WEBHOOK_CONNECTIONS))
}

async fn accept<L: Lookup + 'static>(
    service: Arc<Service<L>>,
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    slots: Arc<Semaphore>,
    mut stage: watch::Receiver<Stage>,
) {
    let later = stage.clone();
    let addresses = Places::new(WEBHOOK_CONNECTIONS_PER_ADDRESS);
    let bodies = Arc::new(Semaphore::new(WEBHOOK_BODIES));
    let mut stopping = pin!(reaches(&mut stage, Stage::Stopping));
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&slots).acquire_owned().await else { return };
        tokio::select! {
            () = &mut stopping => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    // One that takes too many is closed without a word, so that it cannot keep the API server out.
                    let Some(place) = addresses.take(&address.ip()) else { continue };
                    let asked = Asked { service: Arc::clone(&service), bodies: Arc::clone(&bodies) };
                    tokio::spawn(serve(asked, stream, Arc::clone(&tls), (permit, place), later.clone()));
                }
                // No descriptors, or a caller that was gone before we came: trying again at once would spin.
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
        }
    }
}

/// Who answers, and how much is read at once.
struct Asked<L> {
    service: Arc<Service<L>>,
    /// Bytes of bodies that may be held at once, over all connections.
    bodies: Arc<Semaphore>,
}

async fn serve<L: Lookup + 'static>(
    asked: Asked<L>,
    stream: TcpStream,
    tls: Arc<ServerConfig>,
    _places: (OwnedSemaphorePermit, Place<IpAddr>),
    mut stage: watch::Receiver<Stage>,
) {
    let mut closed = stage.clone();
    let talk = async {
        let Ok(Ok(stream)) = timeout(WEBHOOK_HANDSHAKE, TlsAcceptor::from(tls).accept(stream)).await else { return };
        let answer = service_fn(|request| async { Ok::<_, Infallible>(answer(request, &asked).await) });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(WEBHOOK_IDLE).max_buf_size(HEAD).max_headers(FIELDS);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), answer));
        // The API server asks again where it got no answer.
        tokio::select! {
            _ = connection.as_mut() => return,
            () = reaches(&mut stage, Stage::Stopping) => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    };
    tokio::select! {
        () = talk => {}
        () = reaches(&mut closed, Stage::Closed) => {}
    }
}

async fn answer<L: Lookup>(request: Request<Incoming>, asked: &Asked<L>) -> Response<Full<Bytes>> {
    let Asked { service, bodies } = asked;
    let (head, body) = request.into_parts();
    let whole = async {
        let length = length(&head.headers)?;
        // The semaphore is never closed. Who waits longer than for an answer gets none.
        let _held = bodies.acquire_many(length).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
        Ok::<_, StatusCode>(service.call(Request::from_parts(head, body.to_bytes())).await)
    };
    let answered = timeout(WEBHOOK_TIME, whole).await.unwrap_or(Err(StatusCode::REQUEST_TIMEOUT));
    answered.map_or_else(
        |status| {
            let mut response = Response::new(Full::default());
            *response.status_mut() = status;
            response
        },
        |response| response.map(Full::from),
    )
}

/// The bytes of a body, told before it comes: the API server always does.
fn length(headers: &HeaderMap) -> Result<u32, StatusCode> {
    let told = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    let length = told.ok_or(StatusCode::LENGTH_REQUIRED)?;
    let fits = usize::try_from(length).is_ok_and(|length| length <= MAX_BODY);
    if fits { Ok(length) } else { Err(StatusCode::PAYLOAD_TOO_LARGE) }
}

const _: () = assert!(MAX_BODY <= WEBHOOK_BODIES, "the largest body can be read at all");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_says_first_how_long_it_is() {
        let of = |value: &str| length(&HeaderMap::from_iter([(CONTENT_LENGTH, value.parse().unwrap())]));
        assert_eq!(length(&HeaderMap::new()), Err(StatusCode::LENGTH_REQUIRED));
        assert_eq!((of("0"), of("1024")), (Ok(0), Ok(1024)));
        assert_eq!(of(&MAX_BODY.to_string()), Ok(3 << 20));
        assert_eq!(of(&(MAX_BODY + 1).to_string()), Err(StatusCode::PAYLOAD_TOO_LARGE));
        assert_eq!(of("99999999999"), Err(StatusCode::LENGTH_REQUIRED));
    }
}
