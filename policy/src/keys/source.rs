//! Where the keys of an issuer are fetched from, as plain data.

use aws_lc_rs::digest::{SHA256, digest};

/// Keys that are fetched: from where, and whom to trust on the way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeySource {
    id: String,
    issuer: String,
    jwks_url: Option<String>,
    ca_bundle: Option<String>,
}

impl KeySource {
    /// The keys of `issuer`: at `jwks_url`, or where its discovery document says (OpenID Connect Discovery, section 4); the
    /// server is vouched for by `ca_bundle` in PEM, or by the public authorities.
    #[must_use]
    pub fn new(issuer: String, jwks_url: Option<String>, ca_bundle: Option<String>) -> Self {
        let from = jwks_url.as_ref().map_or_else(|| "discovery".to_owned(), |url| format!("jwks {url}"));
        let ca = ca_bundle.as_ref().map(|pem| format!(" ca {}", hex_digest(pem))).unwrap_or_default();
        Self { id: format!("{issuer} {from}{ca}"), issuer, jwks_url, ca_bundle }
    }

    /// What rulesets call the keys. All that makes two sources different is in it, and nothing else, so that all policies
    /// with one source share one fetch.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The issuer's identifier.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Where the keys are; found by discovery without it.
    #[must_use]
    pub fn jwks_url(&self) -> Option<&str> {
        self.jwks_url.as_deref()
    }

    /// The certificates in PEM that alone vouch for the server; the public authorities without it.
    #[must_use]
    pub fn ca_bundle(&self) -> Option<&str> {
        self.ca_bundle.as_deref()
    }
}

/// What rulesets call keys that are in a policy or beside it: `from` says where, `owner` is the policy.
#[must_use]
pub fn at_hand_id(issuer: &str, from: &str, owner: &str) -> String {
    format!("{issuer} {from} of {owner}")
}

/// Whether these keys are at hand: nobody can fetch them anew.
#[must_use]
pub fn is_at_hand(id: &str) -> bool {
    id.rsplit(' ').nth(1) == Some("of")
}

fn hex_digest(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_tells_sources_apart_and_nothing_else() {
        let source = |issuer: &str, url: Option<&str>, ca: Option<&str>| {
            KeySource::new(issuer.to_owned(), url.map(str::to_owned), ca.map(str::to_owned))
        };
        let all = [
            source("https://a", None, None),
            source("https://a/", None, None),
            source("https://a", Some("https://a/jwks"), None),
            source("https://a", Some("https://b/jwks"), None),
            source("https://a", None, Some("x")),
            source("https://a", None, Some("y")),
            source("https://a", Some("https://a/jwks"), Some("x")),
        ];
        for (index, one) in all.iter().enumerate() {
            for other in all.iter().skip(index + 1) {
                assert_ne!(one.id(), other.id());
            }
        }
        assert_eq!(all[0].id(), "https://a discovery");
        assert!(all.iter().all(|source| !is_at_hand(source.id())));
        assert!(is_at_hand(&at_hand_id("https://a", "inline", "shop/users")));
        assert!(is_at_hand(&at_hand_id("my idp", "configmap:shop/keys/jwks", "shop/users")));
        assert_eq!(source("https://a", None, None), all[0]);
    }
}
