//! The life of a policy on sidecars that run it: deleted, refused, forced past the admission, in another's way.

use anyhow::ensure;
use compile::diagnostic::Code;
use e2e::kubectl::kubectl;
use e2e::limits::{IN_FORCE, PATIENCE};
use e2e::load::rules;
use e2e::namespace::alone;
use e2e::wait::eventually;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cases::{By, invalid};
use crate::installed::{Installed, USERS, condition, spec};
use crate::scene::{WAYS, Way, config_maps, policy, refusal, write};

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_deleted_denies() -> anyhow::Result<()> {
    alone("deleted", async |namespace| {
        let (mut installed, _operator) = Installed::with_sidecars(namespace, 2).await?;
        assert_eq!(installed.targets()?[0].get("/always").await?.status, 200);
        namespace.policies().delete(USERS, &DeleteParams::default()).await?;
        for target in installed.targets()? {
            eventually(IN_FORCE, "everything is refused", async || {
                let answer = target.get("/always").await?;
                ensure!((answer.status.as_u16(), answer.code()) == (503, "not_configured"), "{answer:?}");
                Ok(())
            })
            .await?;
        }
        // The same name again is another policy, which begins at generation 1.
        installed.apply_next().await?;
        installed.ready().await?;
        installed.condition(USERS, "Enforced", ("True", "Enforced")).await?;
        installed.end().await
    })
    .await
}

/// Waits until the API server has been told by which CA it knows the operator.
pub(crate) async fn webhooks_are_known(installed: &Installed<'_>) -> anyhow::Result<()> {
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(installed.namespace.client());
    eventually(PATIENCE, "`caBundle` is written", async || {
        let found = configurations.get("doorward").await?;
        let known = found.webhooks.iter().flatten().all(|webhook| webhook.client_config.ca_bundle.is_some());
        ensure!(known, "it is not there");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_refuses_is_refused_by_the_api_server() -> anyhow::Result<()> {
    alone("refused", async |namespace| {
        let installed = Installed::new(namespace).await?;
        config_maps(namespace).await?;
        installed.installation.webhooks(namespace).await?;
        let _operator = installed.installation.start("op-1", 0, None)?;
        webhooks_are_known(&installed).await?;
        let mut wrong = Vec::new();
        // What refers to something that may still come is warned of, and refused in its status.
        let missing = Some(Code::MissingReference.as_str());
        let cases = invalid();
        let cases = cases.iter().filter(|case| case.by == By::Compile && case.code.as_deref() != missing);
        let mut count = 0;
        for case in cases {
            for way in WAYS {
                count += 1;
                let sent = policy(&namespace.name, &case.name, &case.spec);
                let said = eventually(PATIENCE, "the webhook answers", async || {
                    let written = write(namespace, way, &sent, false).await;
                    // Until the API server has noticed the CA it cannot ask.
                    ensure!(!format!("{written:?}").contains("failed calling webhook"), "{written:?}");
                    Ok(refusal(written))
                })
                .await??;
                let fits = |said: &String| said.contains(&case.path) && said.contains(&case.says);
                if !said.as_ref().is_some_and(fits) {
                    wrong.push(format!("{} by {way:?}: {said:?} instead of {}", case.name, case.path));
                }
            }
        }
        assert!(count >= 100, "only {count} refusals were tried");
        assert!(wrong.is_empty(), "{wrong:#?}");

        let object =
            policy(&namespace.name, USERS, &spec(json!([{"path": "/a", "allow": "Anonymous", "method": ["GET"]}])));
        let refused = kubectl(&["apply", "--server-side", "--filename", "-"], &object.to_string()).await?;
        ensure!(!refused.status.success(), "{refused:?}");
        let wanted = ["The ApiAuthPolicy \"users\" is invalid", "spec.rules[0].method", "methods"];
        ensure!(wanted.iter().all(|part| refused.stderr.contains(part)), "{}", refused.stderr);
        ensure!(namespace.policies().get_opt(USERS).await?.is_none(), "it is there");
        installed.end().await
    })
    .await
}

/// What nobody but the operator refuses: an unknown field, whose meaning it cannot know.
fn forced() -> Value {
    let mut spec = spec(rules(99));
    spec["rules"][0]["method"] = json!(["GET"]);
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forced_past_the_admission_changes_its_status_alone() -> anyhow::Result<()> {
    alone("forced", async |namespace| {
        let (mut installed, operator) = Installed::with_sidecars(namespace, 2).await?;
        let before = installed.condition(USERS, "Enforced", ("True", "Enforced")).await?;
        let sent = policy(&namespace.name, USERS, &forced());
        assert_eq!(refusal(write(namespace, Way::Apply, &sent, false).await)?, None, "there is no webhook here");
        let accepted = installed.condition(USERS, "Accepted", ("False", "UnknownField")).await?;
        let message = accepted["message"].as_str().unwrap_or_default();
        assert!(message.contains("spec.rules[0].method"), "{message}");
        let enforced = installed.condition(USERS, "Enforced", ("False", "Outdated")).await?;
        assert!(enforced["message"].as_str().unwrap_or_default().contains("pods keep generation 1"), "{enforced}");
        assert!(before["lastTransitionTime"].as_str() <= enforced["lastTransitionTime"].as_str());
        eventually(PATIENCE, "people who look at Events are told", async || {
            let events = namespace.api::<Event>().list(&ListParams::default()).await?;
            let told = events.iter().any(|event| event.reason.as_deref() == Some("UnknownField"));
            ensure!(told, "there is no such Event: {events:#?}");
            Ok(())
        })
        .await?;
        // What is forced past the admission can hold anything, and must not come to the log.
        let log = operator.process.log()?;
        assert!(!log.contains("\"level\":\"WARN\"") && !log.contains("managedFields"), "{log}");
        // The judge of generations: the one before still decides, the forced one never did.
        for target in installed.targets()? {
            assert_eq!(target.get("/g/1").await?.status, 200);
            assert_eq!(target.get("/g/99").await?.code(), "no_rule");
        }
        // A restarted sidecar comes back with the same.
        installed.sidecars[0].kill()?;
        installed.sidecars[0].run()?;
        installed.ready().await?;
        assert_eq!(installed.targets()?[0].get("/g/99").await?.code(), "no_rule");
        // And the next one that can be used is used.
        installed.change().await?;
        installed.condition(USERS, "Accepted", ("True", "Accepted")).await?;
        installed.condition(USERS, "Enforced", ("True", "Enforced")).await?;
        installed.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_policies_on_a_port_the_older_rules_and_both_say_so() -> anyhow::Result<()> {
    alone("conflict", async |namespace| {
        let (mut installed, _operator) = Installed::with_sidecars(namespace, 2).await?;
        // Creation is told in whole seconds, and of one second the name decides.
        installed.apply("younger", &spec(rules(50))).await?;
        for (name, other) in [(USERS, "younger"), ("younger", USERS)] {
            let found = installed.condition(name, "Conflicted", ("True", "SamePort")).await?;
            let message = found["message"].as_str().unwrap_or_default();
            let other = format!("`{}/{other}`", namespace.name);
            let both = ["users-0", "users-1", &other];
            assert!(both.iter().all(|part| message.contains(part)), "{name}: {message}");
        }
        installed.condition(USERS, "Enforced", ("True", "Enforced")).await?;
        installed.condition("younger", "Enforced", ("False", "Conflicted")).await?;
        installed.condition("younger", "Accepted", ("True", "Accepted")).await?;
        for target in installed.targets()? {
            assert_eq!(target.get("/g/1").await?.status, 200);
            assert_eq!(target.get("/g/50").await?.code(), "no_rule");
        }
        // The older one that cannot be used rules all the same.
        installed.apply(USERS, &forced()).await?;
        installed.condition(USERS, "Accepted", ("False", "UnknownField")).await?;
        assert_eq!(installed.targets()?[0].get("/g/50").await?.code(), "no_rule");
        // Without it the younger one does, within the time of any change.
        let begun = Instant::now();
        namespace.policies().delete(USERS, &DeleteParams::default()).await?;
        installed.generation = 50;
        installed.in_force_since(begun, IN_FORCE).await?;
        installed.condition("younger", "Conflicted", ("False", "NoConflict")).await?;
        installed.condition("younger", "Enforced", ("True", "Enforced")).await?;
        installed.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_relabelled_out_is_out_for_traffic_and_status() -> anyhow::Result<()> {
    alone("relabelled", async |namespace| {
        let (mut installed, _operator) = Installed::with_sidecars(namespace, 2).await?;
        installed.condition(USERS, "Enforced", ("True", "Enforced")).await?;
        installed.relabel("users-0", "other").await?;
        let targets = installed.targets()?;
        eventually(IN_FORCE, "the pod that no policy selects denies", async || {
            let answer = targets[0].get("/always").await?;
            ensure!((answer.status.as_u16(), answer.code()) == (503, "not_configured"), "{answer:?}");
            Ok(())
        })
        .await?;
        assert_eq!(targets[1].get("/always").await?.status, 200);
        let pods = async |wanted: &str| {
            eventually(PATIENCE, &format!("the status counts {wanted}"), async || {
                let status = installed.status(USERS).await?;
                let enforced = condition(&status, "Enforced");
                ensure!(status["summary"]["pods"] == wanted && enforced["status"] == "True", "{status:#}");
                Ok(())
            })
            .await
        };
        pods("1/1").await?;
        installed.relabel("users-0", USERS).await?;
        pods("2/2").await?;
        installed.ready().await?;
        assert_eq!(targets[0].get("/always").await?.status, 200);
        installed.end().await
    })
    .await
}
