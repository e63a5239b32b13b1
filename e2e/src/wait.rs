//! Waiting for a condition, never for a time.

use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep};

use crate::limits::POLL;

/// Looks again and again until `check` gives a value, for at least `patience`.
///
/// # Errors
/// The last error of `check`, below `what` was waited for and how long.
pub async fn eventually<T>(
    patience: Duration,
    what: &str,
    mut check: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let begin = Instant::now();
    loop {
        // Read before the look: a look that begins in time counts, however long it takes.
        let late = begin.elapsed() >= patience;
        match check().await {
            Ok(value) => return Ok(value),
            Err(error) if late => return Err(error).with_context(|| format!("{what}: not within {patience:?}")),
            Err(_) => sleep(POLL).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_looks_until_there_is_a_value() {
        let mut looks = 0;
        let found = eventually(Duration::from_secs(30), "three looks", async || {
            looks += 1;
            if looks < 3 { Err(anyhow::anyhow!("look {looks}")) } else { Ok(looks) }
        });
        assert_eq!(found.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn it_tells_what_it_saw_last() {
        let found: anyhow::Result<()> =
            eventually(Duration::ZERO, "a pod", async || Err(anyhow::anyhow!("there is none"))).await;
        assert_eq!(format!("{:#}", found.unwrap_err()), "a pod: not within 0ns: there is none");
    }
}
