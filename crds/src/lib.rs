//! The API as users write it: the types of `ApiAuthPolicy`, their schema, and the manifest made from them.
//!
//! The doc comments on the fields are the descriptions that `kubectl explain` prints, and the bounds beside them are
//! the ones that the API server and `doorward check` enforce. Nothing here knows what a field means for a request.

mod addresses;
mod auth_policy;
mod cors;
mod forward;
mod issuer;
mod limits;
mod paths;
mod reference;
mod rule;
mod schema;
mod status;
mod tls;

pub use addresses::{Addresses, TrustedProxy};
pub use auth_policy::{ApiAuthPolicy, ApiAuthPolicySpec, Mode};
pub use cors::Cors;
pub use forward::{
    AppProtocol, ClientCertificate, Forward, ForwardToken, HeaderFormat, IdentityAttribute, IdentityHeader,
};
pub use issuer::{Algorithm, Identity, Issuer, IssuerKeys, Preset};
pub use limits::Limits;
pub use paths::{EncodedSlash, PathCase, Paths};
pub use reference::reference;
pub use rule::{Allow, BoundToken, Caller, ClaimRequirement, PathAttribute, Require, Rule, RuleMode};
pub use schema::{DURATION_PATTERN, NAME_PATTERN, OBJECT_NAME_PATTERN, QUANTITY_PATTERN, manifest, spec_schema};
pub use status::{ApiAuthPolicyStatus, IssuerStatus, LISTED_PODS, PodCounts, ReplicaStatus, Summary};
pub use tls::{ClientCa, ConfigMapKey, Tls, TlsMode, TlsVersion};

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
pub use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
