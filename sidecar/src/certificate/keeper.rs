//! Keeps a certificate fresh: made anew at two thirds of its life, and at once where its names or its CA changed.

use super::{Identity, IdentityError, Usable};
use crate::backoff::{Backoff, chance};
use crate::clock::Clock;
use crate::limits::{
    CERTIFICATE_AGAIN, CERTIFICATE_AGAIN_MOST, CERTIFICATE_AGAIN_TIMES, CERTIFICATE_RETRY, CERTIFICATE_RETRY_MOST,
};
use crate::link::Link;
use crate::log::Log;
use policy::certificate::Life;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// Keeps a certificate fresh.
pub(crate) struct Keeper {
    pub(crate) link: Arc<Link>,
    pub(crate) clock: Clock,
    pub(crate) log: Log,
    /// Told where the certificate is to be made anew before its time.
    pub(crate) renew: Arc<Notify>,
}

/// Who needs it.
pub(crate) trait Needs {
    /// A new one is there; an error leaves the old one in place, and another is asked for.
    fn take(&self, identity: &Identity, usable: Usable) -> Result<(), IdentityError>;
}

/// What is known of the certificate that is there.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) life: Life,
    /// See [`Usable`].
    pub(crate) revision: String,
}

impl Keeper {
    /// For ever; `held` is the certificate that is there already.
    pub(crate) async fn keep(&self, mut held: Option<Held>, needs: &impl Needs) {
        loop {
            let mut outgrown = None;
            if let Some(held) = &held {
                // Asked for meanwhile, or due.
                let asked = timeout(self.until_due(held.life), self.renew.notified()).await.is_ok();
                outgrown = asked.then(|| held.revision.clone());
            }
            held = Some(self.replace(outgrown.as_deref(), needs).await);
        }
    }

    /// A new certificate. Where it says what the outgrown one said, it comes from a replica of the operator that does not
    /// know yet what another one told, so it is asked for again.
    async fn replace(&self, outgrown: Option<&str>, needs: &impl Needs) -> Held {
        let mut backoff = Backoff::new(CERTIFICATE_AGAIN, CERTIFICATE_AGAIN_MOST);
        let mut new = self.insist(needs).await;
        for _ in 0..CERTIFICATE_AGAIN_TIMES {
            if outgrown != Some(new.revision.as_str()) {
                break;
            }
            sleep(backoff.next()).await;
            new = self.insist(needs).await;
        }
        new
    }

    async fn insist(&self, needs: &impl Needs) -> Held {
        let mut backoff = Backoff::new(CERTIFICATE_RETRY, CERTIFICATE_RETRY_MOST);
        loop {
            match self.fetch(needs).await {
                Ok(held) => {
                    self.log.info("a new certificate is in use");
                    return held;
                }
                Err(error) => self.log.warn("no new certificate", &error),
            }
            sleep(backoff.next()).await;
        }
    }

    async fn fetch(&self, needs: &impl Needs) -> Result<Held, IdentityError> {
        let identity = Identity::request(&self.link).await?;
        let usable = identity.check()?;
        let held = usable.held();
        self.link.trust(&usable.bundle)?;
        needs.take(&identity, usable)?;
        Ok(held)
    }

    /// Two thirds of its life, a twentieth sooner or later: certificates that were made together are not renewed together.
    fn until_due(&self, life: Life) -> Duration {
        let whole = life.end.saturating_sub(life.begin);
        let due = life.begin + whole.mul_f64(2.0 / 3.0 + (chance() - 0.5) / 10.0);
        // A life that is nearly nothing must not make this spin.
        due.saturating_sub(self.clock.unix_time()).max(CERTIFICATE_RETRY)
    }
}
