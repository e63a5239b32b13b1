//! The helpers themselves: what other tests build on.

use anyhow::bail;
use e2e::audit::Audit;
use e2e::identity::{PodInput, account_token, delete_pod, pod, pod_token, service_account};
use e2e::kubectl::kubectl;
use e2e::limits::PATIENCE;
use e2e::namespace::within;
use e2e::wait::eventually;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::Api;
use kube::api::PostParams;

use crate::helpers::Seen::{Authenticated, Refused};

const AUDIENCE: &str = "doorward.test";

/// What the API server says of a token.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// The user, and the pod that the token is bound to.
    Authenticated(String, Option<String>),
    Refused,
}

async fn review(client: &kube::Client, token: &str, audience: &str) -> anyhow::Result<Seen> {
    let spec = TokenReviewSpec { token: Some(token.to_owned()), audiences: Some(vec![audience.to_owned()]) };
    let review = TokenReview { spec, ..TokenReview::default() };
    let answer = Api::<TokenReview>::all(client.clone()).create(&PostParams::default(), &review).await?;
    let TokenReviewStatus { authenticated, user, .. } = answer.status.unwrap_or_default();
    if authenticated != Some(true) {
        return Ok(Refused);
    }
    let user = user.unwrap_or_default();
    let pod = user.extra.unwrap_or_default().remove("authentication.kubernetes.io/pod-name");
    Ok(Authenticated(user.username.unwrap_or_default(), pod.and_then(|names| names.first().cloned())))
}

#[tokio::test]
async fn tokens_are_bound_to_pods() -> anyhow::Result<()> {
    within("tokens", async |namespace| {
        let client = namespace.client();
        service_account(namespace, "app").await?;
        let input = PodInput {
            name: "app-0",
            service_account: "app",
            labels: &[("app", "orders")],
            ports: &[("http", 3000)],
            address: Some("198.18.0.9"),
            ..PodInput::default()
        };
        let made = pod(namespace, &input).await?;
        let status = made.status.clone().unwrap_or_default();
        assert_eq!((status.phase.as_deref(), status.pod_ip.as_deref()), (Some("Running"), Some("198.18.0.9")));

        let user = format!("system:serviceaccount:{}:app", namespace.name);
        let bound = pod_token(namespace, &made, AUDIENCE).await?;
        let unbound = account_token(namespace, "app", AUDIENCE).await?;
        let with_pod = Authenticated(user.clone(), Some("app-0".to_owned()));
        assert_eq!(review(&client, &bound, AUDIENCE).await?, with_pod);
        assert_eq!(review(&client, &bound, "somebody.else").await?, Refused);
        assert_eq!(review(&client, &unbound, AUDIENCE).await?, Authenticated(user, None));

        delete_pod(namespace, "app-0").await?;
        // The API server remembers what it said of a token for ten seconds.
        eventually(PATIENCE, "a deleted pod's token is refused", async || {
            match review(&client, &bound, AUDIENCE).await? {
                Refused => Ok(()),
                seen => bail!("{seen:?}"),
            }
        })
        .await
    })
    .await
}

#[tokio::test]
async fn the_audit_log_tells_who_made_what() -> anyhow::Result<()> {
    within("audit", async |namespace| {
        let audit = Audit::from_now()?;
        service_account(namespace, "app").await?;
        let entries = audit.entries()?;
        let mut made = entries.iter().filter(|entry| {
            (entry.resource.as_str(), entry.namespace.as_str()) == ("serviceaccounts", namespace.name.as_str())
        });
        let Some(entry) = made.next() else { bail!("it is not there: {entries:?}") };
        assert_eq!((entry.verb.as_str(), entry.code), ("create", 201));
        assert!(!entry.user.is_empty() && entry.user_agent == e2e::cluster::OURSELVES, "{entry:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn kubectl_reads_and_answers() -> anyhow::Result<()> {
    within("kubectl", async |namespace| {
        let object = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"one"},"data":{"key":"value"}}"#;
        let apply = ["apply", "--server-side", "--namespace", &namespace.name, "--filename", "-"];
        assert_eq!(kubectl(&apply, object).await?.success()?, "configmap/one serverside-applied\n");
        let missing = kubectl(&["get", "configmap", "two", "--namespace", &namespace.name], "").await?;
        assert!(!missing.status.success() && missing.stderr.contains("not found"), "{missing:?}");
        Ok(())
    })
    .await
}
