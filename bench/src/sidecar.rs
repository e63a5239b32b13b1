//! One simulated sidecar: a stream that it takes from, and reports over a second connection. It decides nothing.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use policy::wire::{Applied, CONFIG_PATH, FORMAT, Message, REPORT_PATH, Report};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep};

use crate::limits::{REPORT_GATHER, REPORT_INTERVAL, RETRY, RETRY_MOST};
use crate::operator::{Dialled, Operator};

/// The port that every simulated pod has.
pub(crate) const PORT: u16 = 8080;

/// What a sidecar tells, with the moment that it happened.
pub(crate) enum What {
    /// All that there is was sent.
    Synced,
    /// A ruleset of this generation is in force.
    Applied(i64),
    /// The operator took the report of it.
    Reported(i64),
    /// Something failed and is tried again.
    Retried,
    /// The stream is over.
    Failed(anyhow::Error),
}

/// One event of one sidecar.
pub(crate) struct Event {
    pub(crate) index: usize,
    pub(crate) at: Instant,
    pub(crate) what: What,
}

/// Who a sidecar is.
pub(crate) struct Sidecar {
    pub(crate) index: usize,
    pub(crate) token: String,
    pub(crate) source: Option<Ipv4Addr>,
    pub(crate) operator: Arc<Operator>,
    pub(crate) events: mpsc::Sender<Event>,
}

impl Sidecar {
    /// Connects when there is a place on the ramp, then follows until the stream ends.
    pub(crate) async fn run(self, ramp: Arc<Semaphore>) {
        let Ok(place) = ramp.acquire_owned().await else { return };
        let mut wait = RETRY;
        let (dialled, body) = loop {
            match self.open().await {
                Ok(opened) => break opened,
                Err(_) => {
                    self.tell(What::Retried).await;
                    back_off(&mut wait).await;
                }
            }
        };
        drop(place);
        let (applied, news) = watch::channel(BTreeMap::new());
        let error = tokio::select! {
            Err(error) = self.follow(body, &applied) => error,
            () = self.report(news) => return,
        };
        drop(dialled);
        self.tell(What::Failed(error)).await;
    }

    async fn open(&self) -> anyhow::Result<(Dialled, Incoming)> {
        let mut dialled = self.operator.dial(self.source).await?;
        let path = format!("{CONFIG_PATH}?formats={FORMAT}&ports={PORT}");
        let response = self.operator.ask(&mut dialled, (Method::GET, &path), &self.token, Bytes::new()).await?;
        Ok((dialled, response.into_body()))
    }

    async fn follow(
        &self,
        mut body: Incoming,
        applied: &watch::Sender<BTreeMap<u16, Applied>>,
    ) -> anyhow::Result<std::convert::Infallible> {
        let mut buffer = BytesMut::new();
        loop {
            let frame = body.frame().await.context("the stream ended")??;
            buffer.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                self.take(&buffer.split_to(end + 1), applied).await?;
            }
        }
    }

    async fn take(&self, line: &[u8], applied: &watch::Sender<BTreeMap<u16, Applied>>) -> anyhow::Result<()> {
        match Message::read(line)? {
            Message::Ruleset(ruleset) => {
                ruleset.body().context("a ruleset that does not fit its revision")?;
                let (port, generation, revision) = (ruleset.port, ruleset.generation, ruleset.revision);
                self.tell(What::Applied(generation)).await;
                applied.send_modify(|all| {
                    all.insert(port, Applied { port, generation, revision, error: None });
                });
            }
            Message::Keys(keys) => drop(keys.jwks().context("keys that do not fit their revision")?),
            Message::Synced => self.tell(What::Synced).await,
            Message::Absent(_) => bail!("no policy selects the pod"),
            Message::Retain(_) | Message::Renew | Message::Ping => {}
        }
        Ok(())
    }

    /// Reports what is in force after every change, over one connection for as long as the operator keeps it.
    async fn report(&self, mut news: watch::Receiver<BTreeMap<u16, Applied>>) {
        let mut connection = None;
        while news.changed().await.is_ok() {
            sleep(REPORT_GATHER).await;
            let applied: Vec<Applied> = news.borrow_and_update().values().cloned().collect();
            let generation = applied.iter().map(|one| one.generation).max().unwrap_or_default();
            let report = Report { applied, captured: vec![PORT], unknown_keys: Vec::new() };
            let body = Bytes::from(serde_json::to_vec(&report).unwrap_or_default());
            let mut wait = RETRY;
            while let Err(is_new) = self.post(&mut connection, body.clone()).await {
                // One that was closed while it was idle is no fault.
                if is_new {
                    self.tell(What::Retried).await;
                    back_off(&mut wait).await;
                }
            }
            self.tell(What::Reported(generation)).await;
            sleep(REPORT_INTERVAL).await;
        }
    }

    /// Where it fails: whether over a new connection.
    async fn post(&self, connection: &mut Option<Dialled>, body: Bytes) -> Result<(), bool> {
        let (mut dialled, is_new) = match connection.take().filter(|kept| !kept.is_closed()) {
            Some(dialled) => (dialled, false),
            None => (self.operator.dial(self.source).await.map_err(|_| true)?, true),
        };
        let answer = self.operator.ask(&mut dialled, (Method::POST, REPORT_PATH), &self.token, body).await;
        let answer = answer.map_err(|_| is_new)?;
        answer.into_body().collect().await.map_err(|_| is_new)?;
        *connection = Some(dialled);
        Ok(())
    }

    async fn tell(&self, what: What) {
        // Without a listener the run is over.
        let _ = self.events.send(Event { index: self.index, at: Instant::now(), what }).await;
    }
}

async fn back_off(wait: &mut Duration) {
    sleep(*wait).await;
    *wait = (*wait * 2).min(RETRY_MOST);
}
