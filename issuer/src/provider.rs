//! One fetch of one issuer's keys: discovery where it is needed, then the set.

use crate::discovery::{self, DiscoveryFault};
use crate::fetch::{FetchError, Fetcher};
use crate::trust::{BadBundle, Trust};
use policy::egress::{HttpUrl, UrlFault};
use policy::keys::{KeyFault, KeySet, KeySetFault, KeySource};
use policy::wire::{KeysMessage, WireError};
use std::sync::Arc;
use std::time::Duration;

/// Where one issuer's keys come from.
pub(crate) struct Provider {
    source: KeySource,
    trust: Trust,
    loopback_http: bool,
    /// Where the last discovery said that the keys are.
    found: Option<HttpUrl>,
    /// Whether the last fetch failed.
    has_failed: bool,
}

/// A set that was fetched.
#[derive(Debug)]
pub(crate) struct Obtained {
    pub(crate) set: KeySet,
    pub(crate) message: Arc<KeysMessage>,
    pub(crate) max_age: Option<Duration>,
}

/// Why an issuer's keys could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The source names something that cannot be fetched from.
    #[error("there is nothing to fetch from: {0}")]
    Url(#[from] UrlFault),
    /// The source's authorities cannot be used.
    #[error(transparent)]
    Bundle(#[from] BadBundle),
    /// A document was not fetched.
    #[error("`{url}` was not fetched")]
    Fetch {
        /// Its place.
        url: HttpUrl,
        /// Why.
        source: Box<FetchError>,
    },
    /// The discovery document does not tell.
    #[error(transparent)]
    Discovery(#[from] DiscoveryFault),
    /// What was fetched is no set of keys.
    #[error("what `{url}` holds is {fault}")]
    Set {
        /// Its place.
        url: HttpUrl,
        /// What it is instead.
        fault: KeySetFault,
    },
    /// A set without a key that could verify anything.
    #[error("none of the {count} keys of `{url}` can verify a token{}", because(.why.as_ref()))]
    NoUsableKey {
        /// Its place.
        url: HttpUrl,
        /// How many keys there are.
        count: usize,
        /// Why the first is not used.
        why: Option<KeyFault>,
    },
    /// The set cannot be passed on.
    #[error("the set cannot be written")]
    Write(#[from] WireError),
}

impl KeysError {
    /// What kind of fault it is; stable, for conditions and tools.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Url(_) => "BadURL",
            Self::Bundle(_) => "BadBundle",
            Self::Fetch { source, .. } if matches!(**source, FetchError::Forbidden { .. }) => "AddressForbidden",
            Self::Fetch { .. } => "FetchFailed",
            Self::Discovery(DiscoveryFault::Issuer { .. }) => "IssuerMismatch",
            Self::Discovery(_) => "BadDiscovery",
            Self::Set { .. } | Self::Write(_) => "BadKeys",
            Self::NoUsableKey { .. } => "NoUsableKey",
        }
    }
}

impl Provider {
    pub(crate) fn new(source: KeySource, public: &Trust, loopback_http: bool) -> Result<Self, KeysError> {
        let trust = source.ca_bundle().map_or_else(|| Ok(public.clone()), Trust::bundle)?;
        Ok(Self { source, trust, loopback_http, found: None, has_failed: false })
    }

    /// Fetches the set. Discovery is gone through again with `rediscover`, and after every failure.
    pub(crate) async fn fetch(&mut self, fetcher: &Fetcher, rediscover: bool) -> Result<Obtained, KeysError> {
        let _turn = if self.has_failed { fetcher.turn().await } else { None };
        self.has_failed = true;
        let known = self.found.take().filter(|_| !rediscover);
        let url = match (self.source.jwks_url(), known) {
            (Some(url), _) => HttpUrl::parse_secure(url, self.loopback_http)?,
            (None, Some(known)) => known,
            (None, None) => self.discover(fetcher).await?,
        };
        let obtained = self.keys(fetcher, &url).await?;
        (self.found, self.has_failed) = (Some(url), false);
        Ok(obtained)
    }

    async fn discover(&self, fetcher: &Fetcher) -> Result<HttpUrl, KeysError> {
        let url = discovery::document_url(self.source.issuer(), self.loopback_http)?;
        let document = fetcher.get(&url, &self.trust).await;
        let document = document.map_err(|source| KeysError::Fetch { url, source: source.into() })?;
        Ok(discovery::jwks_uri(&document.body, self.source.issuer(), self.loopback_http)?)
    }

    async fn keys(&self, fetcher: &Fetcher, url: &HttpUrl) -> Result<Obtained, KeysError> {
        let fetched = fetcher.get(url, &self.trust).await;
        let fetched = fetched.map_err(|source| KeysError::Fetch { url: url.clone(), source: source.into() })?;
        let distilled = KeySet::distill(&fetched.body);
        let (set, jwks) = distilled.map_err(|fault| KeysError::Set { url: url.clone(), fault })?;
        if set.is_empty() {
            let ignored = set.ignored();
            let why = ignored.first().map(|key| key.why);
            return Err(KeysError::NoUsableKey { url: url.clone(), count: ignored.len(), why });
        }
        let message = KeysMessage::new(self.source.id().to_owned(), self.source.issuer().to_owned(), &jwks)?;
        Ok(Obtained { set, message: Arc::new(message), max_age: fetched.max_age })
    }
}

fn because(why: Option<&KeyFault>) -> String {
    why.map(|why| format!("; of the first: {why}")).unwrap_or_default()
}
