//! Whom the operator refuses on its port for sidecars.

use anyhow::ensure;
use e2e::client::{Answer, Target};
use e2e::identity::{PodInput, account_token, delete_pod, pod, pod_token, service_account};
use e2e::limits::PATIENCE;
use e2e::namespace::alone;
use e2e::provider::Provider;
use e2e::wait::eventually;
use policy::wire::{AUDIENCE, CERTIFICATE_PATH, CONFIG_PATH, REPORT_PATH};
use rcgen::{CertificateParams, KeyPair, SanType};
use serde_json::{Value, json};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use crate::installed::{Installed, RUNNER, USERS};
use crate::rotation::{apply, publish};

fn said(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.code())
}

fn report(issuer: &str) -> Value {
    json!({"applied": [], "captured": [], "unknownKeys": [{"issuer": issuer, "kid": "k"}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_not_a_living_pods_for_the_operator_are_refused() -> anyhow::Result<()> {
    alone("tokens", async |namespace| {
        let installed = Installed::new(namespace).await?;
        let operator = installed.installation.start("op-1", 0, None)?;
        let bundle = installed.installation.bundle().await?;
        let target = Target::new(operator.sidecars, "localhost", &bundle)?;
        let input = PodInput { name: "users-0", service_account: RUNNER, injected: true, ..PodInput::default() };
        let made = pod(namespace, &input).await?;
        let good = pod_token(namespace, &made, AUDIENCE).await?;
        let csr = CertificateParams::default().serialize_request(&KeyPair::generate()?)?.pem()?;
        let ask = async |token: &str| target.post(CERTIFICATE_PATH, token, &json!({"csr": csr})).await;
        eventually(PATIENCE, "a good token is taken", async || {
            let answer = ask(&good).await?;
            ensure!(answer.status == 200, "{answer:?}");
            Ok(())
        })
        .await?;

        let elsewhere = pod_token(namespace, &made, "somebody.else").await?;
        let api_server = pod_token(namespace, &made, "https://kubernetes.default.svc.cluster.local").await?;
        let without_pod = account_token(namespace, RUNNER, AUDIENCE).await?;
        let mut broken = good.clone();
        broken.truncate(good.len() - 8);
        for (what, token, code) in [
            ("another audience", &elsewhere, "token_refused"),
            ("the API server's audience", &api_server, "token_refused"),
            ("no pod", &without_pod, "token_without_pod"),
            ("a broken signature", &broken, "token_refused"),
        ] {
            for path in [CONFIG_PATH, REPORT_PATH, CERTIFICATE_PATH] {
                let answer = match path {
                    CONFIG_PATH => target.get_as(token, "/v1/config?formats=1").await?,
                    REPORT_PATH => target.post(path, token, &report("x")).await?,
                    _ => ask(token).await?,
                };
                // Who shows too many bad tokens is not even asked about.
                let fits = [(401, code), (429, "too_many_failures")].contains(&said(&answer));
                ensure!(fits, "{what} at {path}: {answer:?}");
            }
            eventually(PATIENCE, "places for bad tokens are free again", async || {
                let answer = ask(token).await?;
                ensure!(said(&answer) == (401, code), "{what}: {answer:?}");
                Ok(())
            })
            .await?;
        }

        delete_pod(namespace, "users-0").await?;
        // The API server and the operator each remember for ten seconds what was said of a token.
        eventually(PATIENCE, "a deleted pod's token is refused", async || {
            let answer = target.post(REPORT_PATH, &good, &report("x")).await?;
            ensure!(said(&answer) == (401, "token_refused"), "{answer:?}");
            Ok(())
        })
        .await?;
        // A pod of the same name is another.
        let again = pod(namespace, &input).await?;
        assert_eq!(said(&target.post(REPORT_PATH, &good, &report("x")).await?), (401, "token_refused"));
        let new = pod_token(namespace, &again, AUDIENCE).await?;
        eventually(PATIENCE, "the new pod's token is taken", async || {
            let answer = ask(&new).await?;
            ensure!(answer.status == 200, "{answer:?}");
            Ok(())
        })
        .await?;
        installed.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_another_name_or_speaks_for_another_issuer() -> anyhow::Result<()> {
    alone("names", async |namespace| {
        let (fetched, held) = (Provider::start().await?, Provider::start().await?);
        let stranger = Provider::start().await?;
        publish(namespace, &fetched, &held).await?;
        let (mut installed, operator) = Installed::with_sidecars(namespace, 1).await?;
        apply(&mut installed, &fetched, &held).await?;
        // Another policy knows the stranger; this pod's does not.
        let mut other = json!({"selector": {"matchLabels": {"app": "other"}}, "tls": {"mode": "Optional"}});
        other["issuers"] = json!([{"name": "stranger", "issuer": stranger.issuer, "audiences": ["x"],
            "keys": {"caBundle": {"configMapName": "provider", "key": "ca.crt"}}}]);
        installed.apply("other", &other).await?;
        installed.condition("other", "Accepted", ("True", "Accepted")).await?;

        let bundle = installed.installation.bundle().await?;
        let target = Target::new(operator.sidecars, "localhost", &bundle)?;
        let token = installed.sidecars[0].token.clone();
        let keys = |issuer: &str| report(issuer);
        let ids = ids(&installed)?;
        ensure!(ids.len() == 2, "the pod has other issuers: {ids:?}");
        for id in &ids {
            assert_eq!(said(&target.post(REPORT_PATH, &token, &keys(id)).await?).0, 204, "its own: {id}");
        }
        let before = stranger.fetches();
        for id in [stranger.issuer.as_str(), "stranger", ""] {
            let answer = target.post(REPORT_PATH, &token, &keys(id)).await?;
            assert_eq!(said(&answer), (403, "stranger_issuer"), "{id}");
        }
        assert_eq!(stranger.fetches(), before, "it was asked all the same");

        service_account(namespace, "admin").await?;
        let foreign = format!("spiffe://cluster.local/ns/{}/sa/admin", namespace.name);
        let mut params = CertificateParams::new(vec!["admin.shop.svc".to_owned()])?;
        params.subject_alt_names.push(SanType::URI(foreign.as_str().try_into()?));
        params.distinguished_name.push(rcgen::DnType::CommonName, "admin.shop.svc");
        let csr = params.serialize_request(&KeyPair::generate()?)?.pem()?;
        let answer = target.post(CERTIFICATE_PATH, &token, &json!({"csr": csr})).await?;
        ensure!(answer.status == 200, "{answer:?}");
        let chain = answer.body["chain"].as_str().unwrap_or_default();
        let certificate = CertificateDer::from_pem_slice(chain.as_bytes())?;
        // Names stand in a certificate as they are.
        let has = |name: &str| certificate.as_ref().windows(name.len()).any(|part| part == name.as_bytes());
        let own = format!("spiffe://cluster.local/ns/{}/sa/{RUNNER}", namespace.name);
        assert!(has(&own) && has(&format!("{USERS}.{}.svc", namespace.name)), "its own names");
        assert!(!has(&foreign) && !has("admin"), "somebody else's name");

        // The key of one request, signed by nobody who has it.
        let mut forged = csr.clone();
        let middle = forged.rfind("-----END").unwrap() - 12;
        forged.replace_range(middle..middle + 4, if &csr[middle..middle + 4] == "AAAA" { "BBBB" } else { "AAAA" });
        let answer = target.post(CERTIFICATE_PATH, &token, &json!({"csr": forged})).await?;
        ensure!(["csr_proof", "csr_malformed"].contains(&answer.code()), "{answer:?}");
        installed.end().await
    })
    .await
}

/// The ids of the sets of keys that the pod got, from the volume of its sidecar.
fn ids(installed: &Installed<'_>) -> anyhow::Result<Vec<String>> {
    installed.sidecars[0].key_sets()
}
