//! The verified peer as `X-Forwarded-Client-Cert`, in the form that Envoy made common.

use super::names::X_FORWARDED_CLIENT_CERT;
use crate::permit::Permit;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderName, HeaderValue};

/// The field, where the policy asks for it and the peer has a certificate.
pub(super) fn header(permit: &Permit) -> Option<(HeaderName, HeaderValue)> {
    let peer = permit.peer().certificate.as_ref().filter(|_| permit.forward().client_certificate)?;
    let digest = peer.thumbprint.as_ref().and_then(|thumbprint| URL_SAFE_NO_PAD.decode(&**thumbprint).ok());
    let hash =
        digest.map(|digest| format!("Hash={}", digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()));
    let uris = peer.spiffe.iter().map(|uri| format!("URI={}", quoted(uri)));
    let dns = peer.dns.iter().map(|name| format!("DNS={}", quoted(name)));
    let text = hash.into_iter().chain(uris).chain(dns).collect::<Vec<_>>().join(";");
    Some((HeaderName::from_static(X_FORWARDED_CLIENT_CERT), HeaderValue::from_str(&text).ok()?))
}

/// Names that could end their field are put in quotes.
fn quoted(name: &str) -> String {
    if name.contains([';', ',', '=', '"', '\\']) {
        return format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
    }
    name.to_owned()
}
