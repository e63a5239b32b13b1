//! The operator asks for nothing that it may not, and may nothing that it does not ask for.

use std::collections::BTreeSet;

use anyhow::{bail, ensure};
use e2e::audit::Entry;
use e2e::client::Target;
use e2e::identity::{PodInput, delete_pod, pod, pod_token, service_account};
use e2e::installation::{Right, rights};
use e2e::limits::PATIENCE;
use e2e::load::rules;
use e2e::namespace::{Namespace, alone, beside};
use e2e::wait::eventually;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use policy::wire::{AUDIENCE, REPORT_PATH};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};

use crate::installed::{Installed, RUNNER, USERS, spec};
use crate::policies::webhooks_are_known;
use crate::scene::{Way, config_maps, policy, refusal, write};

/// A CA that ends within the time in which the next one is to be told.
async fn ending_ca(namespace: &Namespace) -> anyhow::Result<()> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "Doorward");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.use_authority_key_identifier_extension = true;
    let day = |days: i64| -> anyhow::Result<_> {
        let date = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date() + jiff::Span::new().days(days);
        Ok(rcgen::date_time_ymd(date.year().into(), u8::try_from(date.month())?, u8::try_from(date.day())?))
    };
    (params.not_before, params.not_after) = (day(-300)?, day(60)?);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let data = [("tls.crt", certificate.pem()), ("tls.key", key.serialize_pem())];
    let data = data.map(|(name, text)| (name.to_owned(), ByteString(text.into_bytes())));
    let metadata = ObjectMeta { name: Some("doorward-ca".to_owned()), ..ObjectMeta::default() };
    let secret = Secret { metadata, data: Some(data.into()), ..Secret::default() };
    namespace.api().create(&PostParams::default(), &secret).await?;
    Ok(())
}

fn with_issuer(generation: u64) -> Value {
    let mut spec = spec(rules(generation));
    spec["issuers"] = json!([{"name": "main", "issuer": "https://login.example.com", "audiences": ["x"],
        "keys": {"configMapName": "login", "key": "jwks.json"}}]);
    spec
}

/// The rights that a request needed.
fn used(entry: &Entry) -> Vec<Right> {
    let right = |verb: &str| Right {
        verb: verb.to_owned(),
        group: entry.group.clone(),
        resource: entry.resource.clone(),
        name: entry.name.clone(),
    };
    // An apply that makes the object needs both.
    let made = entry.verb == "patch" && entry.code == 201;
    [Some(right(&entry.verb)), made.then(|| right("create"))].into_iter().flatten().collect()
}

fn unused(requests: &[Entry]) -> anyhow::Result<Vec<Right>> {
    let used: BTreeSet<Right> = requests.iter().flat_map(used).collect();
    let covers = |right: &Right, used: &Right| {
        let same = (&right.verb, &right.group, &right.resource) == (&used.verb, &used.group, &used.resource);
        same && (right.name.is_empty() || right.name == used.name)
    };
    Ok(rights()?.into_iter().filter(|right| !used.iter().any(|used| covers(right, used))).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_right_is_needed_and_none_is_missing() -> anyhow::Result<()> {
    // Pods of the operator's own namespace are left alone.
    alone("rights", async |namespace| beside("rights-apps", async |apps| in_use(namespace, apps).await).await).await
}

async fn in_use(namespace: &Namespace, apps: &Namespace) -> anyhow::Result<()> {
    let installed = Installed::new(namespace).await?;
    let installation = &installed.installation;
    config_maps(namespace).await?;
    installation.webhooks(apps).await?;
    let operator = installation.start("op-1", 0, None)?;
    installation.bundle().await?;
    webhooks_are_known(&installed).await?;
    // Its first CA is made, and let go with its Lease.
    operator.process.stop().await?;
    namespace.api::<Secret>().delete("doorward-ca", &DeleteParams::default()).await?;
    ending_ca(namespace).await?;
    let operator = installation.start("op-1", 0, None)?;
    eventually(PATIENCE, "the next CA is told", async || {
        let count = installation.bundle().await?.matches("BEGIN CERTIFICATE").count();
        ensure!(count == 2, "{count} certificates");
        Ok(())
    })
    .await?;

    let made = injected(apps).await?;
    config_maps(apps).await?;
    let sent = policy(&apps.name, USERS, &with_issuer(1));
    refusal(write(apps, Way::Apply, &sent, false).await)?;
    let token = pod_token(apps, &made, AUDIENCE).await?;
    let target = Target::new(operator.sidecars, "localhost", &installation.bundle().await?)?;
    let answer = target.post(REPORT_PATH, &token, &json!({"applied": [], "captured": [], "unknownKeys": []})).await?;
    ensure!(answer.code() == "no_stream", "{answer:?}");

    // What turns twice the same way is told by one Event with a series.
    for generation in [2, 3] {
        let mut faulty = with_issuer(generation);
        faulty["unknown"] = json!(1);
        installed.apply(USERS, &faulty).await?;
        installed.condition(USERS, "Accepted", ("False", "UnknownField")).await?;
        installed.apply(USERS, &with_issuer(generation)).await?;
        installed.condition(USERS, "Accepted", ("True", "Accepted")).await?;
    }
    eventually(PATIENCE, "every right is used but the last", async || {
        let missing = unused(&installation.requests()?)?;
        let missing: Vec<_> = missing.iter().filter(|right| right.verb != "delete").collect();
        ensure!(missing.is_empty(), "{missing:#?}");
        Ok(())
    })
    .await?;
    operator.process.stop().await?;
    let missing = unused(&installation.requests()?)?;
    ensure!(missing.is_empty(), "nobody needs {missing:#?}");
    installed.end().await
}

/// A pod that the API server had the operator inject.
async fn injected(apps: &Namespace) -> anyhow::Result<Pod> {
    service_account(apps, RUNNER).await?;
    let input = PodInput {
        name: "users-0",
        service_account: RUNNER,
        labels: &[("app", USERS)],
        annotations: &[("doorward.dev/inject", "true")],
        ports: &[("http", 3000)],
        ..PodInput::default()
    };
    // The API server notices a configuration some time after it was written.
    eventually(PATIENCE, "the pod is injected", async || {
        let made = pod(apps, &input).await?;
        let containers = made.spec.as_ref().and_then(|spec| spec.init_containers.clone()).unwrap_or_default();
        if !containers.iter().any(|container| container.name == "doorward") {
            delete_pod(apps, input.name).await?;
            bail!("there is no sidecar: {containers:?}");
        }
        Ok(made)
    })
    .await
}
