//! The keys of token issuers: where they are found (OpenID Connect discovery, JWKS), fetched within bounds and kept.
