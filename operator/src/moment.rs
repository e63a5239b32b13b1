//! Waiting for a moment that may not be set.

use tokio::time::{Instant, sleep_until};

/// Waits until a moment; without one for ever.
pub(crate) async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
