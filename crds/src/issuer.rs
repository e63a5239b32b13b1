//! `spec.issuers`: whose tokens are accepted, and how they are read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;
use crate::tls::ConfigMapKey;

/// An issuer of tokens (JWT), the checks that its tokens must pass, and where identity stands in them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.audiences) != (has(self.anyAudience) && self.anyAudience)",
    "message": "write either audiences, or anyAudience: true",
}]))]
pub struct Issuer {
    /// The name by which rules and logs speak of this issuer.
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::NAME_PATTERN))]
    pub name: String,

    /// The issuer's identifier, compared byte for byte with the claim `iss`, a final slash included.
    #[schemars(length(min = 1, max = 1024))]
    pub issuer: String,

    /// The audiences of this API. A token must be meant for at least one of them (claim `aud`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16), transform = schema::each(1024, "An audience, compared byte for byte with an entry of `aud`."))]
    pub audiences: Vec<String>,

    /// `true` to accept tokens that were issued for any other API as well, which is rarely safe. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub any_audience: Option<bool>,

    /// Where the issuer's public keys come from. Default: they are fetched from where the issuer's OpenID Connect discovery
    /// document says, and fetched again as they change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<IssuerKeys>,

    /// The signature algorithms that are accepted. Default: RS256, PS256, ES256, ES384 and EdDSA.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 9))]
    pub algorithms: Vec<Algorithm>,

    /// The values of the token's header `typ` that are accepted, without regard to case and to a leading
    /// `application/`. `absent` accepts a token without `typ`, and `IdToken` accepts ID tokens, which are refused
    /// otherwise. Default: at+jwt, JWT and absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 8), transform = schema::each(64, "A value of `typ`, or `absent`, or `IdToken`."))]
    pub token_types: Vec<String>,

    /// How far this issuer's clock may differ, on every time in a token. Default: 30s; at most 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = schema::DURATION_PATTERN))]
    pub leeway: Option<String>,

    /// How long ago a token may have been issued (claim `iat`, which is then required). Default: no limit but `exp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = schema::DURATION_PATTERN))]
    pub max_token_age: Option<String>,

    /// Claims that a token must have, whatever their value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32), transform = schema::each(256, "A claim path: a top-level claim as it is, or a JSON Pointer when it begins with `/`."))]
    pub required_claims: Vec<String>,

    /// The clients whose tokens are accepted: each of `azp`, `client_id` and the mapped client that a token has must
    /// be listed. Default: all clients.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), transform = schema::each(256, "A client, compared byte for byte."))]
    pub clients: Vec<String>,

    /// `true` to take the e-mail address as it is; otherwise it counts only beside `email_verified: true`.
    /// Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email_trusted: Option<bool>,

    /// The product that issues the tokens; it sets the defaults of `identity`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Preset")]
    pub preset: Option<Preset>,

    /// Where in a token the attributes of the caller stand. Each that is left out keeps the preset's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
}

/// Where an issuer's public keys come from: one source at most; without one they are discovered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "x-kubernetes-validations" = [
    {
        "rule": "has(self.configMapName) == has(self.key)",
        "message": "write configMapName and key together",
    },
    {
        "rule": "!(has(self.inline) && has(self.configMapName)) && !(has(self.jwksURL) && (has(self.inline) || has(self.configMapName)))",
        "message": "write one of inline, configMapName with key, and jwksURL",
    },
    {
        "rule": "!(has(self.caBundle) && (has(self.inline) || has(self.configMapName)))",
        "message": "write caBundle only where keys are fetched: beside jwksURL, or alone",
    },
]))]
pub struct IssuerKeys {
    /// The keys themselves: a JSON Web Key Set (RFC 7517) of public keys, as a string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub inline: Option<String>,

    /// The ConfigMap, in the policy's namespace, that holds the JSON Web Key Set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::OBJECT_NAME_PATTERN))]
    pub config_map_name: Option<String>,

    /// The key in the ConfigMap under which the JSON Web Key Set stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub key: Option<String>,

    /// The `https:` URL of the JSON Web Key Set, for an issuer without a discovery document.
    #[serde(default, rename = "jwksURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub jwks_url: Option<String>,

    /// The certificates, in PEM, that vouch for the server from which keys are fetched, in place of the public
    /// authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<ConfigMapKey>,
}

/// A signature algorithm of tokens (RFC 7518, RFC 8037). Never `none`, never a shared secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    #[serde(rename = "RS384")]
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    #[serde(rename = "RS512")]
    Rs512,
    /// RSASSA-PSS with SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// RSASSA-PSS with SHA-384.
    #[serde(rename = "PS384")]
    Ps384,
    /// RSASSA-PSS with SHA-512.
    #[serde(rename = "PS512")]
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// ECDSA on P-384 with SHA-384.
    #[serde(rename = "ES384")]
    Es384,
    /// EdDSA on Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// A product that issues tokens, with the places where it puts the attributes of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Preset {
    /// Keycloak.
    Keycloak,
    /// Auth0.
    Auth0,
    /// Okta.
    Okta,
    /// Microsoft Entra ID.
    Entra,
    /// Google.
    Google,
    /// Amazon Cognito user pools; only access tokens are accepted, and the client stands for the audience.
    Cognito,
}

/// Where in a token the attributes of the caller stand. A path is a top-level claim as it is (`sub`,
/// `https://example.com/tenant`), or a JSON Pointer (RFC 6901) when it begins with `/` (`/realm_access/roles`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "x-kubernetes-validations" = [{
    "rule": "!(has(self.tenant) && has(self.tenantValue))",
    "message": "write tenant or tenantValue, not both",
}]))]
pub struct Identity {
    /// The claim path of the subject. Default: sub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub subject: Option<String>,

    /// The claim path of the scopes: a string split at spaces, or an array. Default: scope, else scp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub scopes: Option<String>,

    /// The claim path of the roles: an array, or a string that is one role. Default: roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub roles: Option<String>,

    /// The claim path of the groups: an array, or a string that is one group. Default: groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub groups: Option<String>,

    /// The claim path of the tenant. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub tenant: Option<String>,

    /// The tenant of every token of this issuer, which then can never be another. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub tenant_value: Option<String>,

    /// The claim path of the e-mail address. Default: email.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub email: Option<String>,

    /// The claim path of the name that is shown to people. Default: name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub name: Option<String>,

    /// The claim path of the client that the token was issued to. Default: azp, else client_id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub client: Option<String>,
}
