//! The peer of a request: from a certificate, or from names that are taken as verified.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use policy::certificate::{CertificateFault, ClientCa, identify, verify};
use policy::peer::{Peer, PeerCertificate};
use policy::ruleset::{Ruleset, Tls};
use policy::time::Timestamp;
use policy::wire::TlsMode;
use rustls_pki_types::CertificateDer;

use super::{PeerInput, PeerNames};
use crate::pem::certificates;

/// Reads the peer; the inner error is that of a handshake that fails.
///
/// # Errors
/// Where that cannot be told: the text says what to give instead.
pub(super) fn read(
    input: Option<&PeerInput>,
    cas: &[ClientCa],
    ruleset: &Ruleset,
    now: Option<Timestamp>,
) -> anyhow::Result<Result<Peer, CertificateFault>> {
    let tls = ruleset.tls();
    let none = PeerInput::default();
    let input = input.unwrap_or(&none);
    let shows = input.certificate.is_some() || input.identity.is_some();
    let plaintext = input.plaintext.unwrap_or(tls.mode == TlsMode::Plaintext && !shows);
    ensure!(
        !(plaintext && shows),
        "without TLS nobody shows a certificate: leave `peer.plaintext` or the certificate out"
    );
    ensure!(
        plaintext || ruleset.accepts() != TlsMode::Plaintext,
        "under `tls.mode: Plaintext` the proxy closes a connection with TLS: leave the certificate and `plaintext: false` out"
    );
    ensure!(
        input.verified.is_none() || input.certificate.is_some(),
        "`peer.verified` says something of `peer.certificate`, which is not there"
    );
    let certificate = match (&input.certificate, &input.identity) {
        (Some(_), Some(_)) => bail!("give either a certificate or a peer identity, not both"),
        (Some(pem), None) if input.verified == Some(true) => Some(taken_as_verified(pem, cas, tls)?),
        (Some(pem), None) => match verified(pem, cas, tls, now)? {
            Ok(peer) => Some(peer),
            // In Audit it is no peer, and the request is taken all the same.
            Err(_) if ruleset.is_audit() => None,
            Err(fault) => return Ok(Err(fault)),
        },
        (None, Some(names)) => Some(named(names, cas, tls)?),
        // Nobody gets so far under Mutual without a certificate: a verified caller that nobody knows.
        (None, None) if ruleset.accepts() == TlsMode::Mutual => Some(PeerCertificate {
            ca: cas.first().map(ClientCa::name).unwrap_or_default().into(),
            ..PeerCertificate::default()
        }),
        (None, None) => None,
    };
    Ok(Ok(Peer { address: input.ip.map(|ip| ip.to_canonical()), certificate, plaintext, tls12: false }))
}

fn chain(pem: &str) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    certificates(pem).context("`peer.certificate`")
}

/// What a chain proves, by the CAs of the policy; an outer error where that cannot be asked.
fn verified(
    pem: &str,
    cas: &[ClientCa],
    tls: &Tls,
    now: Option<Timestamp>,
) -> anyhow::Result<Result<PeerCertificate, CertificateFault>> {
    let now = now.context("a certificate is verified: give the time as `now`")?;
    let since_epoch = Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or(0));
    let chain = chain(pem)?;
    let (leaf, intermediates) = chain.split_first().context("no certificate")?;
    let verified = verify(cas, &tls.trust_domain, leaf, intermediates, since_epoch);
    if verified == Err(CertificateFault::Untrusted)
        && let Some(unknown) = cas.iter().find(|ca| ca.subjects().is_empty()).map(ClientCa::name)
    {
        bail!(
            "CA `{unknown}`, which may vouch for `peer.certificate`, has its certificates in no file: give them with `--client-ca {unknown}=FILE`, or say `verified: true`"
        );
    }
    Ok(verified)
}

fn taken_as_verified(pem: &str, cas: &[ClientCa], tls: &Tls) -> anyhow::Result<PeerCertificate> {
    let chain = chain(pem)?;
    let leaf = chain.first().context("no certificate")?;
    let issuer = policy::certificate::issuer_of(chain.last().unwrap_or(leaf));
    let signed = |ca: &&ClientCa| issuer.as_ref().is_some_and(|issuer| ca.subjects().contains(issuer));
    // One whose certificates are in no file may have signed it.
    let unknown = |ca: &&ClientCa| ca.subjects().is_empty();
    let ca = cas.iter().find(signed).or(cas.iter().find(unknown));
    let ca = ca.context(
        "no CA of the policy issued `peer.certificate`: send its issuer along, or give a `peer.identity` with its `ca`",
    )?;
    let named = policy::certificate::names_of(leaf, ca, &tls.trust_domain);
    named.map_err(|fault| anyhow::anyhow!("`peer.certificate`: {fault}"))
}

fn named(names: &PeerNames, cas: &[ClientCa], tls: &Tls) -> anyhow::Result<PeerCertificate> {
    let ca = match &names.ca {
        Some(name) => {
            cas.iter().find(|ca| ca.name() == name).with_context(|| format!("the policy has no CA `{name}`"))?
        }
        None => cas.iter().find(|ca| ca.is_built_in()).context("the policy has no built-in CA: name one as `ca`")?,
    };
    let account = |account: &String| {
        let (namespace, name) = account
            .split_once('/')
            .with_context(|| format!("`serviceAccount: {account}` names no namespace: write `NAMESPACE/{account}`"))?;
        anyhow::Ok(format!("spiffe://{}/ns/{namespace}/sa/{name}", tls.trust_domain))
    };
    let account = names.service_account.as_ref().map(account).transpose()?;
    let uris = names.spiffe.iter().chain(&account).map(String::as_str);
    let peer = identify(uris, names.dns.iter().map(String::as_str), ca.is_built_in(), &tls.trust_domain);
    Ok(PeerCertificate { ca: ca.name().into(), ..peer })
}
