//! What browsers are told (Fetch standard, CORS protocol).

use crate::request::CanonicalRequest;
use http::Method;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName,
    HeaderValue, ORIGIN, VARY,
};

/// Which web pages may call.
#[derive(Debug)]
pub(crate) struct Cors {
    pub(crate) origins: Vec<HeaderValue>,
    pub(crate) methods: Option<HeaderValue>,
    pub(crate) headers: Option<HeaderValue>,
    pub(crate) credentials: bool,
    pub(crate) max_age: HeaderValue,
}

/// The fields of an application's answer that ours replace.
const OURS: [HeaderName; 5] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];

impl Cors {
    /// The one origin of a request, where it is allowed.
    fn allowed<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let mut origins = headers.get_all(ORIGIN).iter();
        let origin = origins.next().filter(|_| origins.next().is_none())?;
        self.origins.contains(origin).then_some(origin)
    }

    /// The answer to a preflight of an allowed origin; none where the request is no such thing.
    pub(crate) fn preflight(&self, request: &CanonicalRequest, headers: &HeaderMap) -> Option<HeaderMap> {
        let mut methods = headers.get_all(ACCESS_CONTROL_REQUEST_METHOD).iter();
        if *request.method() != Method::OPTIONS || methods.next().is_none() || methods.next().is_some() {
            return None;
        }
        let origin = self.allowed(headers)?;
        let mut answer = HeaderMap::new();
        self.tell(origin, &mut answer);
        let optional = [(ACCESS_CONTROL_ALLOW_METHODS, &self.methods), (ACCESS_CONTROL_ALLOW_HEADERS, &self.headers)];
        for (name, value) in optional {
            value.iter().for_each(|value| drop(answer.insert(name.clone(), (*value).clone())));
        }
        answer.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        Some(answer)
    }

    fn tell(&self, origin: &HeaderValue, answer: &mut HeaderMap) {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if self.credentials {
            answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        answer.append(VARY, HeaderValue::from_static("Origin"));
    }

    /// Replaces what an answer, ours or the application's, says about origins.
    pub(crate) fn rewrite(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        for name in OURS {
            answer.remove(name);
        }
        match self.allowed(request) {
            Some(origin) => self.tell(origin, answer),
            // A cache must not hand this answer to a page that is allowed.
            None => drop(answer.append(VARY, HeaderValue::from_static("Origin"))),
        }
    }
}
