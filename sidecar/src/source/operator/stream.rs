//! The stream: connect, take what comes, and connect again whatever happens.

use super::Revision;
use super::lines::{LineError, Lines};
use super::report::Reporter;
use crate::backoff::{Backoff, chance};
use crate::clock::Clock;
use crate::limits::{STREAM_RETRY, STREAM_RETRY_MOST, TOKEN_LOOK};
use crate::link::{Dialled, Link, LinkError};
use crate::log::Log;
use crate::source::volume::Volume;
use crate::state::{ApplyError, State};
use bytes::Bytes;
use http::Method;
use policy::wire::{CONFIG_PATH, FORMAT, Message, WireError};
use std::fmt::Write;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Follows the operator.
pub(super) struct Stream {
    pub(super) link: Arc<Link>,
    pub(super) state: Arc<State>,
    pub(super) volume: Arc<Volume>,
    pub(super) reporter: Arc<Reporter>,
    pub(super) renew: Arc<Notify>,
    pub(super) revision: Arc<Revision>,
    pub(super) silence: Duration,
    pub(super) clock: Clock,
    pub(super) log: Log,
}

/// A stream that is open.
struct Session {
    lines: Lines,
    /// Ends with the stream; the connection would end without it.
    _dialled: Dialled,
    /// When the token ends that it was opened with.
    token_end: Option<Duration>,
    /// When to open the next one, with a token that lasts longer.
    successor: Instant,
}

/// Why a stream is over.
#[derive(Debug, thiserror::Error)]
enum Over {
    #[error(transparent)]
    Line(#[from] LineError),
    #[error("nothing came for {} s", .0.as_secs())]
    Silent(Duration),
}

impl Stream {
    /// For ever.
    pub(super) async fn run(self) {
        let mut backoff = Backoff::new(STREAM_RETRY, STREAM_RETRY_MOST);
        loop {
            match self.open().await {
                Ok(session) => {
                    self.reporter.connected(true);
                    let over = self.follow(session, &mut backoff).await;
                    self.reporter.connected(false);
                    self.log.warn("the operator's stream is over and will be opened again", &over);
                }
                Err(error) => self.log.warn("the operator's stream cannot be opened and will be tried again", &error),
            }
            sleep(backoff.next()).await;
        }
    }

    async fn open(&self) -> Result<Session, LinkError> {
        let token = self.link.token()?;
        let mut dialled = self.link.dial().await?;
        let response = self.link.ask(&mut dialled, (Method::GET, &self.path()), &token, Bytes::new()).await?;
        let left = token.end.map(|end| end.saturating_sub(self.clock.unix_time()));
        // The kubelet replaces a token at four fifths of its life; the tenth is so that not all pods come at once.
        let successor = left.map_or(Duration::from_hours(24), |left| left.mul_f64(0.85 + 0.1 * chance()));
        Ok(Session {
            lines: Lines::of(response.into_body()),
            _dialled: dialled,
            token_end: token.end,
            successor: Instant::now() + successor.max(TOKEN_LOOK),
        })
    }

    /// Which formats this version reads, for which ports, and with which certificate.
    fn path(&self) -> String {
        let mut path = format!("{CONFIG_PATH}?formats={FORMAT}&ports=");
        for (place, port) in self.state.ports().enumerate() {
            // Writing into a text does not fail.
            let _ = write!(path, "{}{port}", if place == 0 { "" } else { "," });
        }
        if let Some(revision) = self.revision.lock().unwrap_or_else(PoisonError::into_inner).as_deref() {
            let _ = write!(path, "&certificate={revision}");
        }
        path
    }

    /// Takes what comes until the stream is over.
    async fn follow(&self, mut session: Session, backoff: &mut Backoff) -> Over {
        self.log.info("the operator's stream is open");
        loop {
            tokio::select! {
                line = timeout(self.silence, session.lines.next()) => match line {
                    Ok(Ok(line)) => self.take(&line, backoff),
                    Ok(Err(error)) => return error.into(),
                    Err(_) => return Over::Silent(self.silence),
                },
                () = sleep_until(session.successor) => self.succeed(&mut session, backoff).await,
            }
        }
    }

    /// Opens the next stream before this one's token ends; this one goes on until that one is there.
    async fn succeed(&self, session: &mut Session, backoff: &mut Backoff) {
        let is_new = self.link.token().is_ok_and(|token| token.end != session.token_end);
        if !is_new {
            session.successor = Instant::now() + TOKEN_LOOK;
            return;
        }
        match self.open().await {
            Ok(next) => *session = next,
            Err(error) => {
                self.log.warn("the next stream cannot be opened and will be tried again", &error);
                session.successor = Instant::now() + backoff.next();
            }
        }
    }

    fn take(&self, line: &[u8], backoff: &mut Backoff) {
        let outcome = match Message::read(line) {
            Ok(Message::Ping) => return,
            Ok(Message::Renew) => {
                self.renew.notify_one();
                return;
            }
            Ok(Message::Synced) => {
                backoff.reset();
                self.state.forget_unused_keys();
                self.volume.forget_unused_keys(&self.state);
                self.reporter.changed();
                return;
            }
            Ok(Message::Ruleset(message)) => {
                self.state.apply_ruleset(&message).inspect(|_| self.volume.keep_ruleset(&message))
            }
            Ok(Message::Retain(retain)) => self.state.apply_retain(retain.port, &retain.policies).inspect(|cleared| {
                if *cleared {
                    self.volume.keep_absent(retain.port);
                }
            }),
            Ok(Message::Absent(absent)) => {
                self.state.apply_absent(absent.port).inspect(|_| self.volume.keep_absent(absent.port))
            }
            Ok(Message::Keys(message)) => self.state.apply_keys(&message).inspect(|_| self.volume.keep_keys(&message)),
            Err(error) => Err(self.unreadable(line, error)),
        };
        match outcome {
            Ok(false) => return,
            Ok(true) => {}
            Err(error) => self.log.warn("what the operator sent is not in force; what was before stays", &error),
        }
        self.reporter.changed();
    }

    /// Notes a message that this version cannot read: for the port that it names, or for all where it names none of ours.
    fn unreadable(&self, line: &[u8], error: WireError) -> ApplyError {
        #[derive(serde::Deserialize)]
        struct Addressed {
            port: u16,
        }
        let error = ApplyError::from(error);
        match serde_json::from_slice(line) {
            Ok(Addressed { port }) if self.state.ports().any(|own| own == port) => {
                self.state.note_fault_of(port, &error)
            }
            _ => self.state.note_fault(&error),
        }
        error
    }
}
