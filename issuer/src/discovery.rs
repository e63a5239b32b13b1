//! Where an issuer's keys are: its discovery document (OpenID Connect Discovery 1.0, sections 3 and 4).

use crate::limits::SHOWN;
use policy::egress::{HttpUrl, UrlFault};
use policy::json;
use serde_json::Value;

/// Why a discovery document does not tell.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryFault {
    /// Not one JSON object, or a name in it twice.
    #[error("the discovery document is no JSON object, or has a name twice")]
    Malformed,
    /// Somebody else's document: whoever can write it could take over the issuer's tokens (section 4.3).
    #[error(
        "the discovery document is for the issuer `{found}`, not for `{wanted}`; the two must be equal byte for byte"
    )]
    Issuer {
        /// As the policy has it.
        wanted: String,
        /// As the document has it, shortened and without control characters.
        found: String,
    },
    /// It does not say where the keys are.
    #[error("the discovery document has no `jwks_uri`")]
    NoKeys,
    /// It says so in a way that cannot be followed.
    #[error("the `jwks_uri` `{found}` of the discovery document cannot be used: {fault}")]
    Url {
        /// As the document has it, shortened and without control characters.
        found: String,
        /// What is wrong with it.
        fault: UrlFault,
    },
}

/// The URL of an issuer's discovery document: a final slash is taken off before the well-known part is put on (section 4).
///
/// # Errors
/// Where the issuer is no `https:` URL; `http:` on this machine where `loopback_http` lets it.
pub fn document_url(issuer: &str, loopback_http: bool) -> Result<HttpUrl, UrlFault> {
    if issuer.contains('?') {
        return Err(UrlFault::Malformed);
    }
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    HttpUrl::parse_secure(&format!("{base}/.well-known/openid-configuration"), loopback_http)
}

/// Where the keys are, by the document of `issuer`. It may be another origin.
///
/// # Errors
/// See [`DiscoveryFault`].
pub fn jwks_uri(document: &[u8], issuer: &str, loopback_http: bool) -> Result<HttpUrl, DiscoveryFault> {
    let document = json::parse_object(document).map_err(|_| DiscoveryFault::Malformed)?;
    let text = |name| document.get(name).and_then(Value::as_str);
    let found = text("issuer").unwrap_or_default();
    if found != issuer {
        return Err(DiscoveryFault::Issuer { wanted: shown(issuer), found: shown(found) });
    }
    let uri = text("jwks_uri").ok_or(DiscoveryFault::NoKeys)?;
    HttpUrl::parse_secure(uri, loopback_http).map_err(|fault| DiscoveryFault::Url { found: shown(uri), fault })
}

/// What a provider sent, for a message: on one line, and not longer than one.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_stands_below_the_issuer() {
        for (issuer, wanted) in [
            ("https://a", Some("https://a/.well-known/openid-configuration")),
            ("https://a/", Some("https://a/.well-known/openid-configuration")),
            ("https://a/realms/x", Some("https://a/realms/x/.well-known/openid-configuration")),
            ("https://a/realms/x/", Some("https://a/realms/x/.well-known/openid-configuration")),
            ("http://localhost:1/x", Some("http://localhost:1/x/.well-known/openid-configuration")),
            ("http://a", None),
            ("https://a/?b", None),
            ("https://a/#b", None),
            ("accounts.google.com", None),
        ] {
            assert_eq!(document_url(issuer, true).ok().map(|url| url.to_string()).as_deref(), wanted, "{issuer}");
        }
        assert!(document_url("http://localhost:1/x", false).is_err());
    }

    #[test]
    fn a_document_speaks_for_its_own_issuer_alone() {
        let good = r#"{"issuer": "https://a", "jwks_uri": "https://keys.b/jwks", "more": {}}"#;
        assert_eq!(jwks_uri(good.as_bytes(), "https://a", false).unwrap().to_string(), "https://keys.b/jwks");
        for (document, wanted) in [
            (good.replace("https://a", "https://a/"), "for the issuer `https://a/`, not for `https://a`"),
            (good.replace("https://a", "https://A"), "byte for byte"),
            (good.replace("\"https://a\"", "1"), "byte for byte"),
            (good.replace("issuer", "isuser"), "byte for byte"),
            (good.replace("jwks_uri", "jwks"), "no `jwks_uri`"),
            (good.replace("https://keys.b", "http://keys.b"), "is not https"),
            (good.replace("https://keys.b", "http://localhost"), "is not https"),
            (good.replace("https://keys.b/", "/"), "no absolute"),
            (good.replace("\"more\"", "\"issuer\""), "a name twice"),
            ("<html>".to_owned(), "no JSON object"),
            (String::new(), "no JSON object"),
        ] {
            let fault = jwks_uri(document.as_bytes(), "https://a", false).unwrap_err().to_string();
            assert!(fault.contains(wanted), "{document}: {fault}");
        }
        let local = good.replace("https://keys.b", "http://127.0.0.1:8080");
        assert!(jwks_uri(local.as_bytes(), "https://a", true).is_ok());
    }

    #[test]
    fn what_a_provider_sent_is_shown_short_and_on_one_line() {
        let document = serde_json::json!({"issuer": format!("a\n{}", "b".repeat(500))}).to_string();
        let fault = jwks_uri(document.as_bytes(), "https://a", false).unwrap_err().to_string();
        assert!(fault.len() < 300 && !fault.contains('\n') && fault.contains('…'), "{fault}");
    }
}
