//! `spec.rules`: which requests are allowed, and what callers must show for them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// A rule: the requests that it is about, and what it asks of their caller, as exactly one of `allow` and `require`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.allow) != has(self.require)",
    "message": "write exactly one of allow and require",
}]))]
pub struct Rule {
    /// The path, as a template: `{name}` stands for one segment, `/**` at the end for the rest and for the bare prefix.
    #[schemars(length(min = 1, max = 1024))]
    pub path: String,

    /// The methods, in upper case; GET implies HEAD. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16), transform = schema::each(32, "A method, compared byte for byte."))]
    pub methods: Vec<String>,

    /// The hosts, without regard to case: a name, or `*.example.com` for one or more labels below it. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32), transform = schema::each(253, "A host name, or `*.` and the name that it must be below."))]
    pub hosts: Vec<String>,

    /// Who is allowed. `Anonymous`: everyone. `Authenticated`: whoever shows a valid token of any issuer of this
    /// policy. `Certificate`: whoever shows a client certificate that verifies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Allow")]
    pub allow: Option<Allow>,

    /// What the caller must show; all that is listed must hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require: Option<Require>,

    /// The networks that the request may come from, beside what `allow` or `require` asks. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), transform = schema::each(49, "A network such as `203.0.113.0/24`, or one address."))]
    pub ips: Vec<String>,

    /// `Audit`: the rule is tried out while the others enforce. What it denies is told and let pass, where every rule for
    /// the same request is in Audit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RuleMode")]
    pub mode: Option<RuleMode>,
}

/// Whether a rule is only tried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RuleMode {
    /// It is.
    Audit,
}

/// Who is allowed, where nothing in particular is required.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Allow {
    /// Everyone; credentials are not looked at.
    Anonymous,
    /// Whoever shows a valid token of any issuer of this policy.
    Authenticated,
    /// Whoever shows a client certificate that verifies.
    Certificate,
}

/// What the caller must show; all that is listed must hold. A token is needed exactly when something of a token is
/// listed; otherwise `callers` must be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct Require {
    /// The issuers, one of which must have issued the token, by their names in this policy. They must be named where
    /// the policy has several and the rule looks at the token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16), transform = schema::each(63, "The name of an entry of `spec.issuers`."))]
    pub issuers: Vec<String>,

    /// The clients, one of which the token must have been issued to. Default: all that the issuer allows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), transform = schema::each(256, "A client, compared byte for byte."))]
    pub clients: Vec<String>,

    /// The scopes that the token must have, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), transform = schema::each(256, "A scope, compared byte for byte."))]
    pub scopes: Vec<String>,

    /// The scopes of which the token must have at least one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), transform = schema::each(256, "A scope, compared byte for byte."))]
    pub any_scope: Vec<String>,

    /// The roles that the token must have, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), transform = schema::each(256, "A role, compared byte for byte."))]
    pub roles: Vec<String>,

    /// The roles of which the token must have at least one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), transform = schema::each(256, "A role, compared byte for byte."))]
    pub any_role: Vec<String>,

    /// The groups of which the token must have at least one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), transform = schema::each(256, "A group, compared byte for byte."))]
    pub any_group: Vec<String>,

    /// The claims that the token must have, all of them, each with one of its values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32))]
    pub claims: Vec<ClaimRequirement>,

    /// The parameters of the path that must equal an attribute of the caller, byte for byte, such as `id: subject`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("minProperties" = 1, "maxProperties" = 16))]
    pub path_params: BTreeMap<String, PathAttribute>,

    /// The TLS callers, one of which must have made the connection, by their client certificate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32))]
    pub callers: Vec<Caller>,

    /// `Certificate`: the token must be bound to the client certificate of the connection (RFC 8705). A token that is
    /// bound is held to it whether this stands or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BoundToken")]
    pub bound_token: Option<BoundToken>,

    /// How long ago the user may have logged in (claim `auth_time`). Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = schema::DURATION_PATTERN))]
    pub max_auth_age: Option<String>,
}

/// A claim and the values of which it must have one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimRequirement {
    /// The claim path: a top-level claim as it is, or a JSON Pointer when it begins with `/`.
    #[schemars(length(min = 1, max = 256))]
    pub claim: String,

    /// The values of which the claim must have one. In a claim that is an array, one element suffices.
    #[schemars(length(min = 1, max = 64), transform = schema::each(256, "The text of a string, of `true` or `false`, or of an integer, in quotes."))]
    pub any_of: Vec<String>,
}

/// The attribute of the caller that a parameter of the path must equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PathAttribute {
    /// Who the token speaks for.
    Subject,
    /// The tenant that the subject belongs to.
    Tenant,
    /// The e-mail address.
    Email,
    /// The name that is shown to people.
    Name,
    /// The client that the token was issued to.
    Client,
}

/// A caller, known by its client certificate: one that `ca` verified and that has all the names listed here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.serviceAccount) || has(self.dns) || has(self.spiffe)",
    "message": "write at least one of serviceAccount, dns and spiffe",
}]))]
pub struct Caller {
    /// The name of the authority in `spec.tls.clientCAs`. Default: the built-in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub ca: Option<String>,

    /// The service account, as `namespace/name`; only under the built-in authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317))]
    pub service_account: Option<String>,

    /// The DNS name, without regard to case; a wildcard in a certificate never matches. Under the built-in authority a Service,
    /// as `SERVICE.NAMESPACE.svc`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub dns: Option<String>,

    /// The SPIFFE ID, compared byte for byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub spiffe: Option<String>,
}

/// What a token must be bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BoundToken {
    /// The client certificate of the connection (RFC 8705).
    Certificate,
}
