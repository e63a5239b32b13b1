//! `spec.forward`: what the application is told about the caller.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// What the application is told about the caller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct Forward {
    /// Whether the application gets the token. `Remove`: it does not. `Keep`: it gets the one that was verified for
    /// this request, and no other. Default: Remove.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ForwardToken")]
    pub token: Option<ForwardToken>,

    /// The headers that tell the application who calls. Whatever a client sends under their names is removed first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32), transform = schema::map_by_name)]
    pub headers: Vec<IdentityHeader>,

    /// Whether the application is told the client certificate. `None`: it is not. `Xfcc`: its hash and names, as
    /// `X-Forwarded-Client-Cert`. Default: None.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ClientCertificate")]
    pub client_certificate: Option<ClientCertificate>,

    /// What is spoken to the application. `Http1`: HTTP/1.1. `H2c`: HTTP/2 without TLS, by prior knowledge, which is what a
    /// gRPC server needs; WebSockets do not pass then. Default: Http1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "AppProtocol")]
    pub protocol: Option<AppProtocol>,
}

/// What is spoken to the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AppProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS, by prior knowledge.
    H2c,
}

/// Whether the application is told the client certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClientCertificate {
    /// It is not.
    None,
    /// As `X-Forwarded-Client-Cert`.
    Xfcc,
}

/// Whether the application gets the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ForwardToken {
    /// The token is removed.
    Remove,
    /// The token that was verified for this request is passed on.
    Keep,
}

/// A header for the application, and the attribute or claim that it carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.identity) != has(self.claim)",
    "message": "write exactly one of identity and claim",
}]))]
pub struct IdentityHeader {
    /// The name of the header, without regard to case.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,

    /// The attribute of the caller that is the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "IdentityAttribute")]
    pub identity: Option<IdentityAttribute>,

    /// The path of the claim that is the value: a top-level claim as it is, or a JSON Pointer when it begins with `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub claim: Option<String>,

    /// How a value is written. `Comma`: as text, the elements of a list joined by commas. `Json`: as JSON in ASCII.
    /// Default: Comma.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "HeaderFormat")]
    pub format: Option<HeaderFormat>,
}

/// An attribute of the caller that a header can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IdentityAttribute {
    /// Who the token speaks for.
    Subject,
    /// The issuer, by its name in the policy.
    Issuer,
    /// The tenant that the subject belongs to.
    Tenant,
    /// The scopes, a list.
    Scopes,
    /// The roles, a list.
    Roles,
    /// The groups, a list.
    Groups,
    /// The e-mail address.
    Email,
    /// The name that is shown to people.
    Name,
    /// The client that the token was issued to.
    Client,
}

/// How the value of a header is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HeaderFormat {
    /// As text, the elements of a list joined by commas.
    Comma,
    /// As JSON in ASCII.
    Json,
}
