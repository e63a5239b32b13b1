//! The peer of a request: from a certificate, or from names that are taken as verified.

use std::time::Duration;

use anyhow::{Context as _, bail};
use policy::certificate::{CertificateFault, ClientCa, identify, verify};
use policy::peer::{Peer, PeerCertificate};
use policy::ruleset::{Ruleset, Tls};
use policy::time::Timestamp;
use policy::wire::TlsMode;
use rustls_pki_types::CertificateDer;

use super::{PeerInput, PeerNames};
use crate::pem::certificates;

/// Reads the peer.
///
/// # Errors
/// A [`CertificateFault`] where the TLS handshake would fail: then there is no request to decide about. Else a text that tells what
/// to give instead.
pub(super) fn read(
    input: Option<&PeerInput>,
    cas: &[ClientCa],
    ruleset: &Ruleset,
    now: Option<Timestamp>,
) -> anyhow::Result<Peer> {
    let tls = ruleset.tls();
    let none = PeerInput::default();
    let input = input.unwrap_or(&none);
    let said = input.plaintext == Some(true);
    let certificate = match (&input.certificate, &input.identity) {
        (Some(_), Some(_)) => bail!("give either a certificate or a peer identity, not both"),
        (None, None) if said => None,
        _ if said => bail!("without TLS nobody shows a certificate: leave `peer.plaintext` or the certificate out"),
        (Some(pem), None) if input.verified == Some(true) => Some(taken_as_verified(pem, cas, tls)?),
        (Some(pem), None) => match verified(pem, cas, tls, now)? {
            Ok(peer) => Some(peer),
            // In Audit it is no peer, and the request is taken all the same.
            Err(_) if ruleset.is_audit() => None,
            Err(fault) => {
                let error = anyhow::Error::new(fault);
                return Err(error.context("the TLS handshake would fail for `peer.certificate`"));
            }
        },
        (None, Some(names)) => Some(named(names, cas, tls)?),
        // Nobody gets so far under Mutual without a certificate: a verified caller that nobody knows.
        (None, None) if ruleset.accepts() == TlsMode::Mutual => Some(PeerCertificate {
            ca: cas.first().map(ClientCa::name).unwrap_or_default().into(),
            ..PeerCertificate::default()
        }),
        (None, None) => None,
    };
    let assumed = || tls.mode == TlsMode::Plaintext && certificate.is_none();
    let plaintext = input.plaintext.unwrap_or_else(assumed);
    Ok(Peer { address: input.ip.map(|ip| ip.to_canonical()), certificate, plaintext, tls12: false })
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
    Ok(verify(cas, &tls.trust_domain, leaf, intermediates, since_epoch))
}

fn taken_as_verified(pem: &str, cas: &[ClientCa], tls: &Tls) -> anyhow::Result<PeerCertificate> {
    let ca = cas.first().context("the policy has no CA")?;
    let chain = chain(pem)?;
    let leaf = chain.first().context("no certificate")?;
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
    let account = names.service_account.as_ref().map(|account| {
        let (namespace, name) = account.split_once('/').unwrap_or((account, ""));
        format!("spiffe://{}/ns/{namespace}/sa/{name}", tls.trust_domain)
    });
    let uris = names.spiffe.iter().chain(&account).map(String::as_str);
    let peer = identify(uris, names.dns.iter().map(String::as_str), ca.is_built_in(), &tls.trust_domain);
    Ok(PeerCertificate { ca: ca.name().into(), ..peer })
}
