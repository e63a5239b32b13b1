//! What `kubectl` shows of the kind.

use e2e::definition;
use e2e::kubectl::kubectl;
use e2e::limits::PATIENCE;
use e2e::namespace::within;
use e2e::wait::eventually;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::cases::valid;
use crate::scene::{Way, policy, refusal, write};

#[tokio::test]
async fn kubectl_explains_fields_and_shows_columns() -> anyhow::Result<()> {
    within("columns", async |namespace| {
        definition::applied(&namespace.client()).await?;
        // The description is published some time after the kind is served.
        let explained = eventually(PATIENCE, "the kind is described", async || {
            kubectl(&["explain", "aap.spec.rules.require"], "").await?.success()
        })
        .await?;
        // The lines are broken to the width of a terminal.
        let explained = explained.split_whitespace().collect::<Vec<_>>().join(" ");
        for text in [
            "KIND: ApiAuthPolicy",
            "What the caller must show; all that is listed must hold.",
            "scopes <[]string> The scopes that the token must have, all of them.",
            "pathParams <map[string]string>",
        ] {
            assert!(explained.contains(text), "`{text}` is not in: {explained}");
        }

        let spec = &valid()[0].spec;
        let refused = refusal(write(namespace, Way::Apply, &policy(&namespace.name, "orders", spec), false).await)?;
        assert_eq!(refused, None);
        let now = "2026-11-26T00:00:00Z";
        let condition = json!({"type": "Accepted", "status": "True", "reason": "Compiled", "message": "", "lastTransitionTime": now});
        let status = json!({"status": {"summary": {"mode": "Enforce", "pods": "2/3", "issuers": "main"}, "conditions": [condition]}});
        namespace.policies().patch_status("orders", &PatchParams::default(), &Patch::Merge(status)).await?;
        let table = kubectl(&["get", "aap", "--namespace", &namespace.name], "").await?.success()?;
        let rows: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[0], ["NAME", "MODE", "PODS", "ISSUERS", "ACCEPTED", "AGE"], "{table}");
        assert_eq!(rows[1][..5], ["orders", "Enforce", "2/3", "main", "True"], "{table}");
        Ok(())
    })
    .await
}

/// Status is not what users write: it survives neither their create nor their apply.
#[tokio::test]
async fn status_is_written_apart() -> anyhow::Result<()> {
    within("status", async |namespace| {
        definition::applied(&namespace.client()).await?;
        let mut object = policy(&namespace.name, "orders", &valid()[0].spec);
        object["status"] = json!({"summary": {"mode": "Enforce", "pods": "9/9", "issuers": "main"}});
        assert_eq!(refusal(write(namespace, Way::Ignore, &object, false).await)?, None);
        let kept = crate::scene::read_back(namespace, "orders").await?;
        assert_eq!(kept.get("status"), None);
        Ok(())
    })
    .await
}
