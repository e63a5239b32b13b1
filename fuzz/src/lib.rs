//! What the targets share: reading a request, and a policy to decide by.

#[path = "../../policy/src/testing.rs"]
#[expect(dead_code, reason = "the tests of the core need more")]
mod testing;

use http::{HeaderMap, Method, Uri, Version};
use policy::request::{CanonicalRequest, RequestHead, SizeLimits};
use policy::ruleset::{Paths, Ruleset};
use serde_json::{Value, json};

/// A policy with these issuers and rules, everything else by default.
pub fn ruleset(issuers: &[Value], rules: &[Value]) -> Ruleset {
    let issuers: Vec<_> = issuers.iter().map(|change| testing::issuer(change.clone())).collect();
    let rules: Vec<_> = rules.iter().map(|change| testing::rule(change.clone())).collect();
    let body = testing::body(json!({"issuers": issuers, "rules": rules}));
    Ruleset::new(&serde_json::from_value(body).expect("a body")).expect("a ruleset")
}

/// The head of a request as the proxy gets it: parsed by `http`, as hyper does.
pub struct Head {
    /// The method.
    pub method: Method,
    /// The target.
    pub uri: Uri,
    /// The fields.
    pub headers: HeaderMap,
}

impl Head {
    /// GET of a target at `localhost`; none where the parser refuses it.
    pub fn get(target: &[u8]) -> Option<Self> {
        let uri = Uri::try_from(target).ok()?;
        let headers = HeaderMap::from_iter([(http::header::HOST, http::HeaderValue::from_static("localhost"))]);
        Some(Self { method: Method::GET, uri, headers })
    }

    /// A whole head with its lines; none where the parser refuses it.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut fields);
        request.parse(bytes).ok()?.is_complete().then_some(())?;
        let method = Method::from_bytes(request.method?.as_bytes()).ok()?;
        let uri = Uri::try_from(request.path?.as_bytes()).ok()?;
        let mut headers = HeaderMap::new();
        for field in request.headers {
            let name = http::HeaderName::from_bytes(field.name.as_bytes()).ok()?;
            headers.append(name, http::HeaderValue::from_bytes(field.value).ok()?);
        }
        Some(Self { method, uri, headers })
    }

    /// What the core reads.
    pub fn as_request_head(&self) -> RequestHead<'_> {
        RequestHead { method: &self.method, uri: &self.uri, version: Version::HTTP_11, headers: &self.headers }
    }

    /// The target in canonical form; none where it is refused.
    pub fn canonical_target(&self, paths: Paths) -> Option<String> {
        let request = CanonicalRequest::read(&self.as_request_head(), paths, &SizeLimits::default()).ok()?;
        Some(request.target().into_owned())
    }
}

/// A path as the most generous application might take it: escapes decoded until nothing changes, `\` as `/`, without what
/// follows `;`, dots resolved.
pub fn generous(path: &str) -> Vec<String> {
    let mut bytes = path.as_bytes().to_vec();
    loop {
        let decoded = decode(&bytes);
        if decoded == bytes {
            break;
        }
        bytes = decoded;
    }
    let text = String::from_utf8_lossy(&bytes).replace('\\', "/");
    let mut out = Vec::new();
    for segment in text.split('/') {
        match segment.split(';').next().unwrap_or_default().trim() {
            "" | "." => {}
            ".." => drop(out.pop()),
            segment => out.push(segment.to_lowercase()),
        }
    }
    out
}

fn decode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some((first, behind)) = rest.split_first() {
        let digits = (*first == b'%').then(|| behind.get(..2)).flatten().and_then(|two| std::str::from_utf8(two).ok());
        let digits = digits.filter(|two| two.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &behind[2..];
            }
            None => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    out
}
