//! A CA of the user's own: it vouches for every pod, and is read, never written.

use anyhow::ensure;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::limits::PATIENCE;
use e2e::namespace::alone;
use e2e::wait::eventually;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};

use crate::installed::{Installed, USERS};

const OWN: &str = "own-ca";

type Ca = CertifiedIssuer<'static, KeyPair>;

fn root(name: &str) -> anyhow::Result<Ca> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.use_authority_key_identifier_extension = true;
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// What the Secret holds: who signs, and who vouches.
fn data(signs: &Ca, vouch: &[&Ca]) -> Value {
    let roots: String = vouch.iter().map(|ca| ca.pem()).collect();
    let coded = |text: String| STANDARD.encode(text);
    json!({"tls.crt": coded(signs.pem()), "tls.key": coded(signs.key().serialize_pem()), "ca.crt": coded(roots)})
}

/// Waits until callers that know this CA alone reach every sidecar.
async fn vouches(installed: &Installed<'_>, ca: &Ca) -> anyhow::Result<()> {
    for sidecar in &installed.sidecars {
        let target = sidecar.target_by(&installed.host(), &ca.pem())?;
        eventually(PATIENCE * 3, "the CA vouches for the sidecar", async || target.connect().await.map(drop)).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_vouches_for_pods_and_is_replaced_by_overlap() -> anyhow::Result<()> {
    alone("own-ca", async |namespace| {
        let (first, second) = (root("first")?, root("second")?);
        let secret = json!({
            "metadata": {"name": OWN}, "type": "kubernetes.io/tls", "data": data(&first, &[&first]),
        });
        let secrets = namespace.api::<Secret>();
        secrets.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
        let mut installed = Installed::of(namespace, Some(OWN)).await?;
        let _operator = installed.installation.start("op-1", 0, None)?;
        ensure!(installed.installation.bundle().await?.trim() == first.pem().trim(), "another CA is told");
        installed.apply_next().await?;
        installed.add_sidecars(2).await?;
        installed.ready().await?;
        vouches(&installed, &first).await?;
        installed.condition(USERS, "Enforced", ("True", "Enforced")).await?;
        // As the operations guide says: both vouch before the new one signs.
        for (signs, vouch) in [(&first, [&first, &second]), (&second, [&second, &first])] {
            let patch = Patch::Merge(json!({"data": data(signs, &vouch)}));
            secrets.patch(OWN, &PatchParams::default(), &patch).await?;
            eventually(PATIENCE * 3, "it is told", async || {
                let told = installed.installation.bundle().await?;
                ensure!(told.starts_with(vouch[0].pem().trim()) && told.contains(vouch[1].pem().trim()), "{told}");
                Ok(())
            })
            .await?;
            for sidecar in &installed.sidecars {
                eventually(PATIENCE * 3, "the sidecar knows it", async || {
                    let kept = sidecar.kept_bundle()?;
                    ensure!(vouch.iter().all(|ca| kept.contains(ca.pem().trim())), "{kept}");
                    Ok(())
                })
                .await?;
            }
            vouches(&installed, signs).await?;
        }
        installed.apply_next().await?;
        installed.condition(USERS, "Enforced", ("True", "Enforced")).await?;
        let kept = secrets.get(OWN).await?;
        let managers = kept.metadata.managed_fields.unwrap_or_default();
        let managers: Vec<_> = managers.iter().filter_map(|one| one.manager.as_deref()).collect();
        ensure!(managers.iter().all(|name| !name.contains("operator")), "the operator wrote it: {managers:?}");
        ensure!(secrets.get_opt("doorward-ca").await?.is_none(), "a built-in CA was made");
        installed.end().await
    })
    .await
}
