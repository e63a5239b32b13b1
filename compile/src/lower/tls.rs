//! `spec.tls`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use policy::certificate::{CrlFault, check_crl, crl_of, subject_of};
use policy::wire::{ClientCa, Tls, TlsMode, TlsVersion};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

use super::Context;
use super::certificates;
use super::sink::Sink;
use crate::diagnostic::{Code, quoted};

/// The name of the built-in CA where a policy lists none.
pub(super) const DEFAULT_CA: &str = "cluster";

pub(super) fn lower(context: &Context, sink: &mut Sink) -> Tls {
    let tls = &context.policy.spec.tls;
    let mut client_cas: Vec<ClientCa> = Vec::new();
    for (index, ca) in tls.client_cas.iter().enumerate() {
        let lowered = client_ca(context, ca, &format!("/spec/tls/clientCAs/{index}"), sink);
        check_shared(&client_cas, &lowered, index, sink);
        client_cas.push(lowered);
    }
    if client_cas.is_empty() {
        client_cas.push(ClientCa {
            name: DEFAULT_CA.to_owned(),
            built_in: true,
            certificates: Vec::new(),
            crls: Vec::new(),
        });
    }
    Tls {
        mode: match tls.mode {
            crds::TlsMode::Mutual => TlsMode::Mutual,
            crds::TlsMode::Optional => TlsMode::Optional,
            crds::TlsMode::Permissive => TlsMode::Permissive,
            crds::TlsMode::Plaintext => TlsMode::Plaintext,
        },
        min_version: match tls.min_version {
            None | Some(crds::TlsVersion::V1_2) => TlsVersion::Tls12,
            Some(crds::TlsVersion::V1_3) => TlsVersion::Tls13,
        },
        trust_domain: context.settings.trust_domain.clone(),
        client_cas,
    }
}

fn client_ca(context: &Context, ca: &crds::ClientCa, pointer: &str, sink: &mut Sink) -> ClientCa {
    let certificates = match (&ca.config_map_name, &ca.key) {
        (Some(name), Some(key)) => {
            let what = format!("{} of ConfigMap {}", quoted(key), quoted(name));
            let pem = context.text(name, key, pointer, sink);
            pem.map(|pem| certificates::read(pem, &what, &format!("{pointer}/key"), context.now(), sink))
                .unwrap_or_default()
        }
        _ => Vec::new(),
    };
    let crls = ca.crl.as_ref().map(|source| revocation_lists(context, source, &format!("{pointer}/crl"), sink));
    let crls = crls.unwrap_or_default();
    check_coverage(&certificates, &crls, &format!("{pointer}/crl"), sink);
    let certificates = certificates.iter().map(|certificate| STANDARD.encode(certificate)).collect();
    let crls = crls.iter().map(|list| STANDARD.encode(list)).collect();
    ClientCa { name: ca.name.clone(), built_in: ca.built_in == Some(true), certificates, crls }
}

fn revocation_lists(
    context: &Context,
    source: &crds::ConfigMapKey,
    pointer: &str,
    sink: &mut Sink,
) -> Vec<CertificateRevocationListDer<'static>> {
    let Some(pem) = context.text(&source.config_map_name, &source.key, pointer, sink) else { return Vec::new() };
    let what = format!("{} of ConfigMap {}", quoted(&source.key), quoted(&source.config_map_name));
    let mut refuse = |message: String, hint| {
        sink.error(&format!("{pointer}/key"), Code::BadCertificate, message, hint);
    };
    let lists = CertificateRevocationListDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let lists = lists.unwrap_or_default();
    if lists.is_empty() {
        let hint =
            "write revocation lists in PEM, each between `-----BEGIN X509 CRL-----` and `-----END X509 CRL-----`";
        refuse(format!("{what} holds no revocation list, or one in broken PEM"), hint);
    }
    for (index, list) in lists.iter().enumerate() {
        let Err(fault) = check_crl(list) else { continue };
        let hint = match fault {
            CrlFault::Malformed | CrlFault::Scope => {
                "let its issuer write it anew as a complete X.509 CRL of version 2, without an issuing distribution point that narrows it"
            }
            CrlFault::Algorithm => {
                "have it signed by a P-256 or P-384 key with SHA-256 or SHA-384, by an RSA key with SHA-256 to SHA-512, or by an Ed25519 key"
            }
        };
        refuse(format!("revocation list {} of {what}: {fault}", index + 1), hint);
    }
    for (index, list) in lists.iter().enumerate() {
        let Some((now, (_, life))) = context.now().zip(crl_of(list)) else { continue };
        // The last fifth: an issuer that is in time has replaced it by now.
        let soon = life.end.saturating_sub(life.end.saturating_sub(life.begin) / 5);
        let what = format!("revocation list {} of {what}", index + 1);
        let message = if life.end < now {
            format!("{what} is out of date: without a later one no certificate of its issuer is taken")
        } else if soon < now {
            format!(
                "{what} is soon out of date: from then on, without a later one, no certificate of its issuer is taken"
            )
        } else {
            continue;
        };
        sink.warning(&format!("{pointer}/key"), Code::Expired, message, "write the issuer's present list");
    }
    lists
}

/// Where a CA has lists, a certificate whose issuer has none among them is refused.
fn check_coverage(
    certificates: &[CertificateDer],
    lists: &[CertificateRevocationListDer],
    pointer: &str,
    sink: &mut Sink,
) {
    let issuers: Vec<_> = lists.iter().filter_map(|list| crl_of(list)).map(|(issuer, _)| issuer).collect();
    for (index, certificate) in certificates.iter().enumerate() {
        let is_covered = subject_of(certificate).is_none_or(|subject| issuers.contains(&subject));
        if !lists.is_empty() && !is_covered {
            let message =
                format!("no list is of authority {}: certificates that it issued itself are refused", index + 1);
            sink.warning(pointer, Code::NotCovered, message, "add its list, an empty one too, or leave `crl` out");
        }
    }
}

/// Under two names one anchor would leave open which of them vouched.
fn check_shared(earlier: &[ClientCa], ca: &ClientCa, index: usize, sink: &mut Sink) {
    let pointer = format!("/spec/tls/clientCAs/{index}");
    for other in earlier {
        let both_built_in = ca.built_in && other.built_in;
        let shared = ca
            .certificates
            .iter()
            .any(|certificate| other.certificates.iter().any(|theirs| same_anchor(certificate, theirs)));
        if both_built_in || shared {
            let message = format!("CA `{}` holds a trust anchor of CA `{}`", ca.name, other.name);
            sink.error(
                &pointer,
                Code::SharedAnchor,
                message,
                "list each authority once, so that it is clear who vouches for a caller",
            );
        }
    }
}

/// Two certificates of one authority's key are one anchor, whatever else they say.
fn same_anchor(one: &str, other: &str) -> bool {
    let key = |text: &str| STANDARD.decode(text).ok().and_then(|der| policy::certificate::public_key(&der));
    one == other || key(one).is_some_and(|one| Some(one) == key(other))
}
