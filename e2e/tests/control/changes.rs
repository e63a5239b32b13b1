//! From `kubectl apply` to every sidecar.

use std::time::Duration;

use e2e::figures::tell;
use e2e::limits::{IN_FORCE, times};
use e2e::load::Load;
use e2e::namespace::alone;

use crate::installed::{Installed, USERS};

/// Connections to each sidecar.
const CONNECTIONS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_in_force_on_every_sidecar_within_a_second() -> anyhow::Result<()> {
    alone("changes", async |namespace| {
        let (mut installed, _operator) = Installed::with_sidecars(namespace, 3).await?;
        let load = Load::start(&installed.targets()?, CONNECTIONS, &installed.history);
        let (changes, requests) = (times(10, 50), times(2_000, 20_000));
        let mut took: Vec<Duration> = Vec::new();
        for _ in 0..changes {
            took.extend(installed.change().await?);
        }
        load.at_least(requests).await;
        let summary = load.end().await?;
        took.sort();
        let late = took.iter().filter(|took| **took > IN_FORCE).count();
        let (median, most) = (took[took.len() / 2], took[took.len() - 1]);
        tell(&format!(
            "{changes} changes on 3 sidecars: in force after {median:.0?} (median), {most:.0?} (most); {summary:?}"
        ));
        assert_eq!(late, 0, "changes in force after more than {IN_FORCE:?}");
        assert!(summary.requests >= requests && summary.allowed > 0 && summary.allowed < summary.requests);
        installed.condition(USERS, "Enforced", ("True", "Enforced")).await?;
        assert_eq!(installed.status(USERS).await?["summary"]["pods"], "3/3");
        installed.end().await
    })
    .await
}
