//! HTTP in front of injection and compile: what the API server asks before it stores a pod or a policy
//! (`admission.k8s.io/v1`). Objects are JSON all the way, so that nothing that our types do not know is lost.

pub mod configuration;
mod lookup;
mod pods;
mod policies;
mod review;
mod warnings;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::Value;

use crate::inject;
pub use lookup::KubeLookup;
use review::{Answer, Review};

/// Where the API server asks about pods.
pub const PODS_PATH: &str = "/mutate/pods";
/// Where it asks about policies.
pub const POLICIES_PATH: &str = "/validate/policies";

/// The largest body that is read, in bytes: the API server takes no object above 1.5 MiB, and a review of an update holds
/// two. The listener must not read further either.
pub const MAX_BODY: usize = 3 * 1024 * 1024;

/// What must be looked up in the API server or the caches of it. Each call is part of an admission, which has five seconds.
pub trait Lookup: Send + Sync {
    /// The labels of a namespace.
    fn namespace_labels(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<BTreeMap<String, String>, Unavailable>> + Send;

    /// A ConfigMap as its JSON with `apiVersion` and `kind`; none where it does not exist.
    fn config_map(
        &self,
        namespace: &str,
        name: &str,
    ) -> impl Future<Output = Result<Option<Arc<Value>>, Unavailable>> + Send;
}

/// Something could not be looked up now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("it cannot be looked up now")]
pub struct Unavailable;

/// Answers the API server.
#[derive(Debug)]
pub struct Service<L> {
    lookup: L,
    own_namespace: String,
    injection: ArcSwap<inject::Settings>,
    compile: compile::Settings,
}

impl<L: Lookup> Service<L> {
    /// A service for the operator of a namespace; pods of that namespace are never touched.
    pub fn new(lookup: L, own_namespace: String, injection: inject::Settings, compile: compile::Settings) -> Self {
        Self { lookup, own_namespace, injection: ArcSwap::from_pointee(injection), compile }
    }

    /// Injects with other settings from now on: the CA bundle changes while the operator runs.
    pub fn set_injection(&self, settings: inject::Settings) {
        self.injection.store(Arc::new(settings));
    }

    /// Answers a request. Whatever is no review that can be answered gets a status of HTTP, which the API server takes as
    /// the webhook's failure.
    pub async fn call(&self, request: Request<Bytes>) -> Response<Bytes> {
        let path = request.uri().path();
        if path != PODS_PATH && path != POLICIES_PATH {
            return refuse(StatusCode::NOT_FOUND, "there is nothing here");
        }
        if request.method() != Method::POST {
            let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED, "send a review with POST");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        self.handle(path, request.body()).await
    }

    async fn handle(&self, path: &str, body: &[u8]) -> Response<Bytes> {
        if body.len() > MAX_BODY {
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, "the review is larger than two objects can be");
        }
        let review = match Review::read(body) {
            Ok(review) => review,
            Err(fault) => return refuse(StatusCode::BAD_REQUEST, &fault.to_string()),
        };
        let answer = match path {
            PODS_PATH => self.pod(&review).await,
            _ => self.policy(&review).await,
        };
        json(&answer.to_review(&review))
    }

    async fn pod(&self, review: &Review) -> Answer {
        if review.operation != "CREATE" || review.namespace == self.own_namespace {
            return Answer::allowed();
        }
        let Ok(labels) = self.lookup.namespace_labels(&review.namespace).await else {
            return Answer::unavailable(&format!(
                "the namespace `{}` cannot be looked up now; try again",
                review.namespace
            ));
        };
        let injection = self.injection.load();
        if injection.ca_bundle.is_empty() {
            return Answer::unavailable("the CA is not loaded yet; try again");
        }
        let namespace = inject::NamespaceFacts { name: review.namespace.clone(), labels };
        pods::answer(review, &namespace, &injection)
    }

    async fn policy(&self, review: &Review) -> Answer {
        if !policies::is_looked_at(review) {
            return Answer::allowed();
        }
        let references = policies::References::look_up(review, &self.lookup).await;
        policies::answer(review, &references, &self.compile)
    }
}

fn refuse(status: StatusCode, message: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(format!("{message}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn json(body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests;
