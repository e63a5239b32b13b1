//! Keeps a certificate fresh: made anew at two thirds of its life, and at once where its names or its CA changed.

use super::{Identity, IdentityError, Usable};
use crate::backoff::{Backoff, chance};
use crate::clock::Clock;
use crate::limits::{CERTIFICATE_RETRY, CERTIFICATE_RETRY_MOST};
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

impl Keeper {
    /// For ever; `life` is that of the certificate that is there already.
    pub(crate) async fn keep(&self, mut life: Option<Life>, needs: &impl Needs) {
        let mut backoff = Backoff::new(CERTIFICATE_RETRY, CERTIFICATE_RETRY_MOST);
        loop {
            if let Some(life) = life {
                // Asked for meanwhile, or due.
                let _ = timeout(self.until_due(life), self.renew.notified()).await;
            }
            life = Some(loop {
                match self.fetch(needs).await {
                    Ok(life) => break life,
                    Err(error) => self.log.warn("no new certificate", &error),
                }
                sleep(backoff.next()).await;
            });
            backoff.reset();
            self.log.info("a new certificate is in use");
        }
    }

    async fn fetch(&self, needs: &impl Needs) -> Result<Life, IdentityError> {
        let identity = Identity::request(&self.link).await?;
        let usable = identity.check()?;
        let life = usable.life;
        self.link.trust(&usable.bundle)?;
        needs.take(&identity, usable)?;
        Ok(life)
    }

    /// Two thirds of its life, a twentieth sooner or later: certificates that were made together are not renewed together.
    fn until_due(&self, life: Life) -> Duration {
        let whole = life.end.saturating_sub(life.begin);
        let due = life.begin + whole.mul_f64(2.0 / 3.0 + (chance() - 0.5) / 10.0);
        // A life that is nearly nothing must not make this spin.
        due.saturating_sub(self.clock.unix_time()).max(CERTIFICATE_RETRY)
    }
}
