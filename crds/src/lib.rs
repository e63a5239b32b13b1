//! The API as users write it: the types of `ApiAuthPolicy`, their schema, and the manifest made from them.
//!
//! The doc comments on the fields are the descriptions that `kubectl explain` prints, and the bounds beside them are
//! the ones that the API server and `doorward check` enforce. Nothing here knows what a field means for a request.

mod auth_policy;
mod forward;
mod issuer;
mod paths;
mod rule;
mod schema;
mod tls;

pub use auth_policy::{ApiAuthPolicy, ApiAuthPolicySpec};
pub use forward::{Forward, ForwardToken, HeaderFormat, IdentityAttribute, IdentityHeader};
pub use issuer::{Algorithm, Identity, Issuer, IssuerKeys, Preset};
pub use paths::{EncodedSlash, PathCase, Paths};
pub use rule::{Allow, BoundToken, Caller, ClaimRequirement, PathAttribute, Require, Rule};
pub use schema::{DURATION_PATTERN, NAME_PATTERN, manifest, spec_schema};
pub use tls::{ClientCa, Tls, TlsMode, TlsVersion};

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
pub use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
