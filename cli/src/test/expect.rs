//! What a test expects, and how an answer differs from it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use policy::certificate::CertificateFault;
use policy::reason::Reason;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::Case;
use crate::explain::{Answer, Outcome, no_handshake};

/// The expected decision: a word, or what else it must have.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
    /// The request passes.
    Allow(Allow),
    /// It is refused.
    Deny(DenyText),
    /// The proxy answers itself.
    Own(Own),
    /// The TLS handshake fails, for this reason where one is given: no CA of the policy vouches for the certificate.
    Unverified(Option<Fault>),
}

/// A [`CertificateFault`] by its word.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// It is no certificate.
    Malformed,
    /// No CA vouches for it.
    Untrusted,
    /// A revocation list names it, or none that is in date covers it.
    Revoked,
    /// It has no extended key usage.
    Usage,
    /// Its key is too weak or of another kind.
    Key,
}

impl From<CertificateFault> for Fault {
    fn from(fault: CertificateFault) -> Self {
        match fault {
            CertificateFault::Malformed => Self::Malformed,
            CertificateFault::Untrusted => Self::Untrusted,
            CertificateFault::Revoked => Self::Revoked,
            CertificateFault::Usage => Self::Usage,
            CertificateFault::Key => Self::Key,
        }
    }
}

/// What an answer of the proxy itself must have; what is left out is not looked at.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Own {
    /// The status.
    pub status: Option<u16>,
}

/// A refusal, in short or in full.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum DenyText {
    /// `code` or `code/detail`.
    Short(String),
    /// Every part.
    Full(Deny),
}

/// What a request that passes must have; what is left out is not looked at.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Allow {
    /// Headers that the application gets; null: it does not get them.
    pub headers: BTreeMap<String, Option<String>>,
    /// The target that the application gets.
    pub target: Option<String>,
    /// The position of the rule.
    pub rule: Option<usize>,
    /// Fields of the client that are removed.
    pub removed: Vec<String>,
}

/// What a refusal must have; what is left out is not looked at.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deny {
    /// The code.
    pub code: Option<String>,
    /// The detail.
    pub detail: Option<String>,
    /// The status.
    pub status: Option<u16>,
    /// The position of the rule.
    pub rule: Option<usize>,
    /// A text in the challenge.
    pub challenge: Option<String>,
    /// Whether it is let pass all the same.
    pub audit: Option<bool>,
}

impl<'de> Deserialize<'de> for Expect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// The decision by its name.
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Named {
            Allow(Allow),
            Deny(DenyText),
            Own(Own),
            Unverified(Fault),
        }

        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Expect;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "`allow`, `deny`, `own`, `unverified`, or one of them with what it must have, such as `{deny: token_missing}`",
                )
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Expect, E> {
                match word {
                    "allow" => Ok(Expect::Allow(Allow::default())),
                    "deny" => Ok(Expect::Deny(DenyText::Full(Deny::default()))),
                    "own" => Ok(Expect::Own(Own::default())),
                    "unverified" => Ok(Expect::Unverified(None)),
                    _ => Err(E::unknown_variant(word, &["allow", "deny", "own", "unverified"])),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Expect, A::Error> {
                Ok(match Named::deserialize(MapAccessDeserializer::new(map))? {
                    Named::Allow(allow) => Expect::Allow(allow),
                    Named::Deny(deny) => Expect::Deny(deny),
                    Named::Own(own) => Expect::Own(own),
                    Named::Unverified(fault) => Expect::Unverified(Some(fault)),
                })
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

impl<'de> Deserialize<'de> for DenyText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = DenyText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a code, `code/detail`, or fields such as `{code: token_missing, status: 401}`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<DenyText, E> {
                Ok(DenyText::Short(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<DenyText, A::Error> {
                Deny::deserialize(MapAccessDeserializer::new(map)).map(DenyText::Full)
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

impl DenyText {
    /// What is wrong with it where no request is ever refused so.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let Deny { code, detail, .. } = self.full();
        let code = code?;
        let known: BTreeSet<&str> = Reason::all().into_iter().map(Reason::code).collect();
        if !known.contains(code.as_str()) {
            return Some(unknown("code", &code, known));
        }
        let of_code = Reason::all().into_iter().filter(|reason| reason.code() == code);
        let known: BTreeSet<&str> = of_code.filter_map(Reason::detail).collect();
        let detail = detail.filter(|detail| !known.contains(detail.as_str()))?;
        Some(unknown(&format!("detail of `{code}`"), &detail, known))
    }

    /// In full.
    #[must_use]
    pub fn full(&self) -> Deny {
        match self {
            Self::Full(deny) => deny.clone(),
            Self::Short(text) => {
                let (code, detail) =
                    text.split_once('/').map_or((text.as_str(), None), |(code, detail)| (code, Some(detail)));
                Deny { code: Some(code.to_owned()), detail: detail.map(str::to_owned), ..Deny::default() }
            }
        }
    }
}

fn unknown(what: &str, text: &str, known: BTreeSet<&str>) -> String {
    let nearest = known.iter().min_by_key(|known| strsim::damerau_levenshtein(known, text));
    match nearest {
        Some(nearest) => format!("there is no {what} `{text}`; the nearest is `{nearest}`"),
        None => format!("there is no {what} `{text}`: it has none"),
    }
}

/// How what came differs from what a case expects, a line each.
#[must_use]
pub fn differences(case: &Case, outcome: &Outcome) -> Vec<String> {
    let mut found = Differences(Vec::new());
    match (&case.expect, outcome) {
        (Expect::Unverified(wanted), Err(fault)) => found.compare("unverified", *wanted, &Fault::from(*fault)),
        (_, Err(fault)) => found.0.push(no_handshake(*fault).to_string()),
        (_, Ok(answer)) => answer_differences(&mut found, case, answer),
    }
    found.0
}

fn answer_differences(found: &mut Differences, case: &Case, answer: &Answer) {
    let rule = answer.rule.as_ref().map(|rule| rule.index);
    match &case.expect {
        Expect::Unverified(_) => found.compare("effect", Some("unverified"), &answer.effect),
        Expect::Allow(allow) => {
            found.compare("effect", Some("allow"), &answer.effect);
            found.compare("rule", allow.rule.map(Some), &rule);
            allow_differences(found, allow, case, answer);
        }
        Expect::Own(own) => {
            found.compare("effect", Some("own"), &answer.effect);
            found.compare("status", own.status, &answer.status);
        }
        Expect::Deny(deny) => {
            let deny = deny.full();
            if deny.audit != Some(true) {
                found.compare("effect", Some("deny"), &answer.effect);
            }
            found.compare("code", deny.code.as_deref().map(Some), &answer.code);
            found.compare("detail", deny.detail.as_deref().map(Some), &answer.detail);
            found.compare("status", deny.status, &answer.status);
            found.compare("rule", deny.rule.map(Some), &rule);
            found.compare("audit", deny.audit, &answer.audit);
            let challenge = answer.challenge.as_deref().unwrap_or_default();
            if deny.challenge.as_deref().is_some_and(|wanted| !challenge.contains(wanted)) {
                found.compare("challenge", deny.challenge.as_deref(), &challenge);
            }
        }
    }
}

fn allow_differences(found: &mut Differences, allow: &Allow, case: &Case, answer: &Answer) {
    let Some(forward) = &answer.forward else { return };
    let removes = |name: &str| forward.removed.iter().any(|removed| removed.eq_ignore_ascii_case(name));
    found.compare("target", allow.target.as_ref(), &&forward.target);
    for name in &allow.removed {
        found.compare(&format!("removed `{name}`"), Some(true), &removes(name));
    }
    for (name, wanted) in &allow.headers {
        let set = forward.set.iter().find(|(set, _)| set.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        let removed = removes(name);
        let sent = case
            .request
            .headers
            .iter()
            .find(|(sent, _)| !removed && sent.eq_ignore_ascii_case(name))
            .map(|(_, value)| value);
        found.compare(&format!("header `{name}`"), Some(wanted.as_ref()), &set.or(sent));
    }
}

struct Differences(Vec<String>);

impl Differences {
    fn compare<T: PartialEq + Serialize>(&mut self, what: &str, wanted: Option<T>, got: &T) {
        let Some(wanted) = wanted.filter(|wanted| wanted != got) else { return };
        let text = |value: &T| serde_json::to_string(value).unwrap_or_default();
        self.0.push(format!("{what}: expected {}, got {}", text(&wanted), text(got)));
    }
}
