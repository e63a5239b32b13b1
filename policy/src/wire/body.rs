//! The body of a ruleset message: what `compile` writes and [`Ruleset::new`](crate::ruleset::Ruleset::new) reads.
//!
//! All defaults are resolved: an old sidecar and a new operator never fill a gap differently.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Derives what every type on the wire has.
macro_rules! wire {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident { $($body:tt)* }) => {
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        $(#[$meta])*
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        $visibility struct $name { $($body)* }
    };
    ($(#[$meta:meta])* $visibility:vis enum $name:ident { $($body:tt)* }) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        $(#[$meta])*
        $visibility enum $name { $($body)* }
    };
}

wire! {
    /// One policy on one port, compiled.
    pub struct Body {
        /// Which policy this is.
        pub policy: PolicyName,
        /// Whether denials take effect.
        pub mode: Mode,
        /// The protected resource (RFC 9728), where the policy names one.
        pub resource: Option<String>,
        /// How connections are accepted.
        pub tls: Tls,
        /// Who issues tokens.
        pub issuers: Vec<Issuer>,
        /// What is allowed.
        pub rules: Vec<Rule>,
        /// What the application receives.
        pub forward: Forward,
        /// How paths are compared.
        pub paths: PathOptions,
        /// Which web pages may call, where any may.
        pub cors: Option<Cors>,
        /// Where requests may come from.
        pub addresses: Addresses,
        /// How large and how slow a request may be.
        pub limits: Limits,
    }
}

wire! {
    /// See `spec.mode`.
    pub enum Mode {
        /// Denials take effect.
        Enforce,
        /// Denials are told and let pass.
        Audit,
    }
}

wire! {
    /// Namespace and name of a policy.
    pub struct PolicyName {
        /// The namespace.
        pub namespace: String,
        /// The name.
        pub name: String,
        /// The UID of the object; empty where it comes from a file. An object made anew is another policy.
        #[serde(default)]
        pub uid: String,
    }
}

wire! {
    /// See `spec.tls`.
    pub struct Tls {
        /// Whether a client certificate is needed.
        pub mode: TlsMode,
        /// The lowest protocol version.
        pub min_version: TlsVersion,
        /// The trust domain of identities that only the built-in CA can vouch for.
        pub trust_domain: String,
        /// Who vouches for client certificates, in order.
        pub client_cas: Vec<ClientCa>,
    }
}

wire! {
    /// See `spec.tls.mode`.
    pub enum TlsMode {
        /// A client certificate is needed.
        Mutual,
        /// A client certificate may be given and must then verify.
        Optional,
        /// As `Optional`, and plaintext on the same port.
        Permissive,
        /// No TLS at all.
        Plaintext,
    }
}

impl TlsMode {
    /// Whether a connection is taken, with TLS or in plaintext.
    #[must_use]
    pub fn takes(self, plaintext: bool) -> bool {
        match self {
            Self::Mutual | Self::Optional => !plaintext,
            Self::Permissive => true,
            Self::Plaintext => plaintext,
        }
    }
}

wire! {
    /// A TLS protocol version.
    pub enum TlsVersion {
        /// TLS 1.2 (RFC 5246).
        #[serde(rename = "1.2")]
        Tls12,
        /// TLS 1.3 (RFC 8446).
        #[serde(rename = "1.3")]
        Tls13,
    }
}

wire! {
    /// One certificate authority.
    pub struct ClientCa {
        /// Its name in the policy.
        pub name: String,
        /// Whether it is the built-in one, whose certificates the sidecar has from elsewhere.
        pub built_in: bool,
        /// Its certificates, DER in base64; none for the built-in one.
        pub certificates: Vec<String>,
        /// Its revocation lists, DER in base64.
        pub crls: Vec<String>,
    }
}

wire! {
    /// See `spec.issuers`.
    pub struct Issuer {
        /// Its name in the policy.
        pub name: String,
        /// What `iss` must be, byte for byte.
        pub issuer: String,
        /// Which set of keys verifies its tokens: the `id` of a keys message.
        pub keys: String,
        /// Alternatives for `aud`; empty only where any audience is accepted.
        pub audiences: Vec<String>,
        /// Whether the audience is not looked at.
        pub any_audience: bool,
        /// The accepted algorithms.
        pub algorithms: Vec<Algorithm>,
        /// The accepted values of the `typ` header parameter, in lower case without `application/`.
        pub token_types: Vec<String>,
        /// Whether a token without `typ` is accepted.
        pub untyped: bool,
        /// Whether ID tokens are accepted.
        pub id_tokens: bool,
        /// Milliseconds of tolerance on every time.
        pub leeway_ms: u64,
        /// Milliseconds from `iat` after which a token is too old.
        pub max_token_age_ms: Option<u64>,
        /// Claims that must be there, as claim paths.
        pub required_claims: Vec<String>,
        /// Alternatives for the client; empty where any is accepted.
        pub clients: Vec<String>,
        /// Whether `email` counts without `email_verified`.
        pub email_trusted: bool,
        /// Whether `token_use` must be `access` and the client stands for a missing `aud` (Cognito).
        pub access_token_use: bool,
        /// Where the attributes stand.
        pub identity: IdentityMapping,
    }
}

/// A signature algorithm (RFC 7518, section 3.1; RFC 8037, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of the RFCs")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

wire! {
    /// Claim paths of the attributes; see `spec.issuers[].identity`.
    pub struct IdentityMapping {
        /// The subject.
        pub subject: String,
        /// The scopes; without it `scope`, else `scp`.
        pub scopes: Option<String>,
        /// The roles.
        pub roles: Option<String>,
        /// The groups.
        pub groups: Option<String>,
        /// The tenant.
        pub tenant: Option<String>,
        /// The one tenant that this issuer can ever be.
        pub tenant_value: Option<String>,
        /// The e-mail address.
        pub email: String,
        /// The display name.
        pub name: String,
        /// The client: the first of these that is there.
        pub client: Vec<String>,
    }
}

wire! {
    /// See `spec.rules`.
    pub struct Rule {
        /// The template.
        pub path: String,
        /// The methods; empty for all.
        pub methods: Vec<String>,
        /// Exact hosts and `*.` wildcards in lower case; empty for any.
        pub hosts: Vec<String>,
        /// Who may.
        pub access: Access,
        /// Networks that narrow it; empty for any.
        pub ips: Vec<ipnet::IpNet>,
        /// Whether it is only tried out.
        pub audit: bool,
    }
}

/// Who a rule lets pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Access {
    /// Anybody; no credential is looked at.
    Anonymous,
    /// A valid token of any issuer.
    Authenticated,
    /// A verified client certificate.
    Certificate,
    /// All that is listed.
    Require(Box<Require>),
}

wire! {
    /// See `spec.rules[].require`; an empty list asks for nothing.
    #[derive(Default)]
    pub struct Require {
        /// Names of issuers, alternatives.
        pub issuers: Vec<String>,
        /// Clients, alternatives.
        pub clients: Vec<String>,
        /// Scopes, all needed.
        pub scopes: Vec<String>,
        /// Scopes, one suffices.
        pub any_scope: Vec<String>,
        /// Roles, all needed.
        pub roles: Vec<String>,
        /// Roles, one suffices.
        pub any_role: Vec<String>,
        /// Groups, one suffices.
        pub any_group: Vec<String>,
        /// Claims, all needed.
        pub claims: Vec<ClaimRequirement>,
        /// Path parameters and the attribute that each must equal.
        pub path_params: BTreeMap<String, AttributeName>,
        /// TLS peers, alternatives.
        pub callers: Vec<Caller>,
        /// Whether the token must be bound to the client certificate.
        pub bound_token: bool,
        /// Milliseconds from `auth_time` after which a login is too old.
        pub max_auth_age_ms: Option<u64>,
    }
}

wire! {
    /// A claim and its alternatives.
    pub struct ClaimRequirement {
        /// The claim path.
        pub claim: String,
        /// Texts, one suffices.
        pub any_of: Vec<String>,
    }
}

wire! {
    /// A TLS peer: everything that is given must hold.
    pub struct Caller {
        /// The name of the CA that vouches.
        pub ca: String,
        /// `namespace/name` of a service account.
        pub service_account: Option<String>,
        /// A DNS name of the certificate.
        pub dns: Option<String>,
        /// A SPIFFE ID of the certificate.
        pub spiffe: Option<String>,
    }
}

wire! {
    /// The name of an attribute.
    #[serde(rename_all = "camelCase")]
    pub enum AttributeName {
        /// See [`Attribute::Subject`](crate::principal::Attribute::Subject).
        Subject,
        /// See [`Attribute::Issuer`](crate::principal::Attribute::Issuer).
        Issuer,
        /// See [`Attribute::Tenant`](crate::principal::Attribute::Tenant).
        Tenant,
        /// See [`Attribute::Scopes`](crate::principal::Attribute::Scopes).
        Scopes,
        /// See [`Attribute::Roles`](crate::principal::Attribute::Roles).
        Roles,
        /// See [`Attribute::Groups`](crate::principal::Attribute::Groups).
        Groups,
        /// See [`Attribute::Email`](crate::principal::Attribute::Email).
        Email,
        /// See [`Attribute::Name`](crate::principal::Attribute::Name).
        Name,
        /// See [`Attribute::Client`](crate::principal::Attribute::Client).
        Client,
    }
}

wire! {
    /// See `spec.forward`.
    pub struct Forward {
        /// Whether a verified token stays in the request.
        pub keep_token: bool,
        /// The identity headers.
        pub headers: Vec<ForwardHeader>,
        /// Whether the verified peer is told as `X-Forwarded-Client-Cert`.
        pub client_certificate: bool,
        /// What is spoken to the application.
        pub protocol: AppProtocol,
    }
}

wire! {
    /// What is spoken to the application.
    pub enum AppProtocol {
        /// HTTP/1.1.
        Http1,
        /// HTTP/2 without TLS, by prior knowledge (RFC 9113, section 3.3).
        H2c,
    }
}

wire! {
    /// One identity header.
    pub struct ForwardHeader {
        /// The field name in lower case.
        pub name: String,
        /// What it holds.
        pub value: HeaderSource,
        /// How a list is written.
        pub format: HeaderFormat,
    }
}

/// What an identity header holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum HeaderSource {
    /// An attribute.
    Identity(AttributeName),
    /// The claim at a claim path.
    Claim(String),
}

wire! {
    /// How a list is written into a header.
    pub enum HeaderFormat {
        /// Percent-encoded elements with commas between.
        Comma,
        /// JSON, escaped to ASCII.
        Json,
    }
}

wire! {
    /// See `spec.paths`.
    #[derive(Copy)]
    pub struct PathOptions {
        /// Whether a template may match without case.
        pub case_insensitive: bool,
        /// Whether `%2F` may stand in a segment.
        pub encoded_slash: bool,
    }
}

wire! {
    /// See `spec.cors`.
    pub struct Cors {
        /// Origins as browsers send them.
        pub origins: Vec<String>,
        /// Methods that pages may use.
        pub methods: Vec<String>,
        /// Header names that pages may set, in lower case.
        pub headers: Vec<String>,
        /// Whether pages may send cookies.
        pub credentials: bool,
        /// Seconds that a browser may remember a preflight.
        pub max_age_seconds: u64,
    }
}

wire! {
    /// See `spec.ip`.
    #[derive(Default)]
    pub struct Addresses {
        /// Networks that are allowed; empty for all.
        pub allow: Vec<ipnet::IpNet>,
        /// Networks that are refused.
        pub deny: Vec<ipnet::IpNet>,
        /// Networks of proxies that are believed.
        pub trusted_networks: Vec<ipnet::IpNet>,
        /// Callers that are believed.
        pub trusted_callers: Vec<Caller>,
    }
}

wire! {
    /// See `spec.limits`.
    #[derive(Copy)]
    pub struct Limits {
        /// Bytes of a body.
        pub body: u64,
        /// Bytes of a request line and fields.
        pub headers: u64,
        /// Milliseconds for a request to arrive, and again for the answer to begin.
        pub request_timeout_ms: u64,
        /// Milliseconds without a byte in either direction.
        pub idle_timeout_ms: u64,
        /// Milliseconds that a connection is used.
        pub connection_age_ms: u64,
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 10 * 1024 * 1024,
            headers: 32 * 1024,
            request_timeout_ms: 60_000,
            idle_timeout_ms: 300_000,
            connection_age_ms: 3_600_000,
        }
    }
}
