//! A request as `explain` and `test` are given it.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use policy::request::RequestHead;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sidecar::limits::H1_FIELDS;

/// One line of `explain --requests`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The target as it stands in the request line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The target in base64, for bytes that are no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_base64: Option<String>,
    /// The header fields in order.
    pub headers: Vec<Header>,
    /// The other end of the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<PeerInput>,
    /// The present moment, needed as soon as a token is looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<Moment>,
    /// The port, where several policies are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The pod, where several policies are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<Workload>,
    /// A token that is taken as verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<AssumedIdentity>,
}

/// A field: its name and its value.
pub type Header = (String, String);

/// A moment in RFC 3339.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(try_from = "String", into = "jiff::Timestamp")]
pub struct Moment(jiff::Timestamp);

impl TryFrom<String> for Moment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parsed = text.parse().map(Self);
        parsed.map_err(|_| format!("`{text}` is no moment: write RFC 3339, such as `2026-01-01T00:00:00Z`"))
    }
}

impl From<Moment> for jiff::Timestamp {
    fn from(moment: Moment) -> Self {
        moment.0
    }
}

impl Moment {
    /// From a point in time.
    #[must_use]
    pub fn new(timestamp: jiff::Timestamp) -> Self {
        Self(timestamp)
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Moment> for policy::time::Timestamp {
    fn from(moment: Moment) -> Self {
        Self::from_millis(moment.0.as_millisecond())
    }
}

/// The other end of the connection.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PeerInput {
    /// Its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<std::net::IpAddr>,
    /// Its certificate chain in PEM, the leaf first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Whether the certificate is taken as verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
    /// Its names, taken as verified, in place of a certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<PeerNames>,
    /// Whether it speaks without TLS. Where that is not said, a peer without certificate does under `tls.mode: Plaintext`, and none
    /// under another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plaintext: Option<bool>,
}

/// What a certificate would prove.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PeerNames {
    /// The CA that verified it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// Its SPIFFE IDs.
    pub spiffe: Vec<String>,
    /// Its DNS names.
    pub dns: Vec<String>,
    /// Its service account, as `namespace/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
}

/// The pod that a request goes to.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Its namespace.
    pub namespace: String,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// A token whose signature, audience and times are taken as checked.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AssumedIdentity {
    /// The issuer's name in the policy.
    pub issuer: String,
    /// The claims.
    pub claims: Map<String, Value>,
}

/// What the HTTP library makes of a request; all runners parse through it.
pub(super) struct Head {
    method: Method,
    uri: Uri,
    pub(super) headers: HeaderMap,
}

/// Where a body ends, as hyper's parser of HTTP/1 sees it, field by field in their order (RFC 9112, section 6.3).
#[derive(Default)]
struct Framing {
    /// Whether the last coding is chunked, where there are codings.
    chunked: Option<bool>,
    length: Option<u64>,
}

impl Framing {
    /// The longest length that hyper takes: the two above it mean something else to it.
    const MOST: u64 = u64::MAX - 2;

    /// Looks at a field; false where the parser passes it over. An error is the status of the parser's refusal.
    fn look(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<bool, u16> {
        let text = value.to_str().unwrap_or_default();
        if name == TRANSFER_ENCODING {
            let last = text.rsplit(',').next().unwrap_or_default();
            self.chunked = Some(last.trim().eq_ignore_ascii_case("chunked"));
        } else if name == CONTENT_LENGTH && self.chunked.is_none() {
            let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            let length: u64 = digits.and_then(|digits| digits.parse().ok()).ok_or(400_u16)?;
            match self.length.replace(length) {
                Some(before) => return if before == length { Ok(false) } else { Err(400) },
                None if length > Self::MOST => return Err(431),
                None => {}
            }
        }
        Ok(true)
    }

    /// Whether the end of the body is known.
    fn is_known(&self) -> bool {
        self.chunked != Some(false)
    }
}

impl Head {
    /// Parses a request; the inner error is the status of a parser's own refusal.
    pub(super) fn parse(request: &Request) -> anyhow::Result<Result<Self, u16>> {
        let target = match (&request.target, &request.target_base64) {
            (Some(target), None) => target.clone().into_bytes(),
            (None, Some(base64)) => {
                STANDARD.decode(base64).map_err(|_| anyhow::anyhow!("`targetBase64` is not base64"))?
            }
            _ => anyhow::bail!("give exactly one of `target` and `targetBase64`"),
        };
        anyhow::ensure!(!request.method.is_empty(), "give a `method`");
        Ok(Self::parse_parts(&request.method, target, &request.headers))
    }

    fn parse_parts(method: &str, target: Vec<u8>, fields: &[Header]) -> Result<Self, u16> {
        /// hyper answers a longer target with 414.
        const MAX_TARGET: usize = u16::MAX as usize - 1;
        if target.len() > MAX_TARGET {
            return Err(414);
        }
        if fields.len() > H1_FIELDS {
            return Err(431);
        }
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| 400_u16)?;
        let uri = Uri::from_maybe_shared(bytes::Bytes::from(target)).map_err(|_| 400_u16)?;
        let (mut headers, mut framing) = (HeaderMap::new(), Framing::default());
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| 400_u16)?;
            let value = HeaderValue::from_bytes(value.trim_matches([' ', '\t']).as_bytes()).map_err(|_| 400_u16)?;
            if framing.look(&name, &value)? {
                headers.try_append(name, value).map_err(|_| 431_u16)?;
            }
        }
        if !framing.is_known() {
            return Err(400);
        }
        Ok(Self { method, uri, headers })
    }

    pub(super) fn as_request_head(&self) -> RequestHead<'_> {
        RequestHead { method: &self.method, uri: &self.uri, version: Version::HTTP_11, headers: &self.headers }
    }
}
