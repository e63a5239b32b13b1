//! Who is asked about a token.

use crate::api_server::again;
use crate::limits::API_TIMEOUT;
use futures_util::future::BoxFuture;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::PostParams;
use kube::{Api, Client};
use policy::wire::AUDIENCE;
use tokio::time::timeout;

/// Why there is no answer. Never tells the token.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// The API server refused or cannot be reached.
    #[error("the API server cannot be asked")]
    Api(#[source] Box<kube::Error>),
    /// The API server took too long.
    #[error("the API server did not answer in time")]
    Timeout,
    /// An answer without a status.
    #[error("the API server answered without a status")]
    Empty,
}

/// Whoever can say whose a token is.
pub trait Reviewer: Send + Sync + 'static {
    /// Asks whether a token is good for the audience [`AUDIENCE`], and whose it is.
    fn review<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<TokenReviewStatus, ReviewError>>;
}

/// The API server (`authentication.k8s.io/v1`, TokenReview).
#[derive(Clone, Debug)]
pub struct KubeReviewer(Api<TokenReview>);

impl KubeReviewer {
    /// Asks with the rights of this client.
    #[must_use]
    pub fn new(client: &Client) -> Self {
        Self(Api::all(client.clone()))
    }
}

impl Reviewer for KubeReviewer {
    fn review<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<TokenReviewStatus, ReviewError>> {
        Box::pin(async move {
            let spec = TokenReviewSpec { audiences: Some(vec![AUDIENCE.to_owned()]), token: Some(token.to_owned()) };
            let review = TokenReview { spec, ..TokenReview::default() };
            let params = PostParams::default();
            match timeout(API_TIMEOUT, again(|| self.0.create(&params, &review))).await {
                Ok(Ok(review)) => review.status.ok_or(ReviewError::Empty),
                Ok(Err(error)) => Err(ReviewError::Api(Box::new(error))),
                Err(_) => Err(ReviewError::Timeout),
            }
        })
    }
}
