//! The names in a certificate that may identify a caller.

use crate::peer::PeerCertificate;
use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Reads the names of a certificate.
pub(super) fn read(certificate: &X509Certificate, built_in: bool, trust_domain: &str) -> PeerCertificate {
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let names = alternatives.map_or(&[][..], |alternatives| &alternatives.value.general_names);
    let uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let dns = names.iter().filter_map(|name| match name {
        GeneralName::DNSName(dns) => Some(*dns),
        _ => None,
    });
    identify(uris, dns, built_in, trust_domain)
}

/// Every DNS name and URI among the alternative names of a certificate, as they stand there; none where it cannot be read.
#[must_use]
pub fn alternative_names(certificate: &CertificateDer) -> Option<Vec<String>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let alternatives = parsed.subject_alternative_name().ok()??;
    let text = |name: &GeneralName| match name {
        GeneralName::URI(text) | GeneralName::DNSName(text) => Some((*text).to_owned()),
        _ => None,
    };
    Some(alternatives.value.general_names.iter().filter_map(text).collect())
}

/// What names prove. Wildcards, the common name, names in the wrong field and everything that is not printable ASCII never
/// identify anybody; nor does a SPIFFE ID of our own trust domain under a CA that is not ours.
pub fn identify<'a>(
    uris: impl Iterator<Item = &'a str>,
    dns: impl Iterator<Item = &'a str>,
    built_in: bool,
    trust_domain: &str,
) -> PeerCertificate {
    let spiffe: Vec<Box<str>> =
        uris.filter(|uri| is_spiffe(uri) && (built_in || !in_domain(uri, trust_domain))).map(Into::into).collect();
    let service_account = spiffe.iter().filter(|_| built_in).find_map(|uri| service_account(uri, trust_domain));
    let dns = dns.map(|name| name.strip_suffix('.').unwrap_or(name)).filter(|name| is_dns(name));
    let dns = dns.map(|name| name.to_ascii_lowercase().into());
    PeerCertificate { dns: dns.collect(), spiffe, service_account, ..PeerCertificate::default() }
}

/// `namespace/name` of a service account's SPIFFE ID in the trust domain.
#[must_use]
pub fn service_account(spiffe: &str, trust_domain: &str) -> Option<Box<str>> {
    let path = spiffe.strip_prefix("spiffe://")?.strip_prefix(trust_domain)?.strip_prefix("/ns/")?;
    let (namespace, name) = path.split_once("/sa/")?;
    let plain = |part: &str| !part.is_empty() && !part.contains('/');
    (plain(namespace) && plain(name)).then(|| format!("{namespace}/{name}").into())
}

fn is_spiffe(uri: &str) -> bool {
    uri.starts_with("spiffe://") && uri.bytes().all(|byte| (0x21..=0x7e).contains(&byte))
}

fn in_domain(uri: &str, trust_domain: &str) -> bool {
    let rest = uri.strip_prefix("spiffe://").unwrap_or_default();
    rest.split('/').next().is_some_and(|domain| domain.eq_ignore_ascii_case(trust_domain))
}

fn is_dns(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}
