//! The rows: a call, and what comes of it.
//!
//! The gRPC rows send no body: `curl` 7.88 waits for ever where it is answered in a head alone while it sends. The calls
//! that need one are in the proxy's own tests, as is every status of gRPC by its code.

use super::scene::Proxy::{
    self, Express, Invalid, Keyless, Renewed, Resets, Silent, Tightened, Unconfigured, Unreachable,
};

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) to: Proxy,
    /// See `Scene::curl`.
    pub(crate) arguments: &'static [&'static str],
    pub(crate) want: Want,
}

#[derive(Clone, Copy)]
pub(crate) enum Want {
    /// Status, code and detail, challenge.
    Problem(&'static str, &'static str, Option<&'static str>),
    /// `grpc-status`, `grpc-message`, challenge.
    Grpc(&'static str, &'static str, Option<&'static str>),
    /// The status alone: the parser's own answer.
    Bare(&'static str),
    /// The connection does not come about, and `curl` complains of this.
    NoAnswer(&'static str),
    /// The application got it, with these fields so.
    Passed(&'static [(&'static str, Option<&'static str>)]),
}

use Want::{Bare, Grpc, NoAnswer, Passed, Problem};

const fn row(name: &'static str, to: Proxy, arguments: &'static [&'static str], want: Want) -> Row {
    Row { name, to, arguments, want }
}

const TOKEN: Option<&str> =
    Some(r#"Bearer realm="users", resource_metadata="https://users.example/.well-known/oauth-protected-resource""#);
const INVALID: Option<&str> = Some(
    r#"Bearer realm="users", error="invalid_token", resource_metadata="https://users.example/.well-known/oauth-protected-resource""#,
);
const SCOPE: Option<&str> = Some(
    r#"Bearer realm="users", error="insufficient_scope", scope="admin", resource_metadata="https://users.example/.well-known/oauth-protected-resource""#,
);
const ANY_SCOPE: Option<&str> = Some(
    r#"Bearer realm="users", error="insufficient_scope", scope="read write", resource_metadata="https://users.example/.well-known/oauth-protected-resource""#,
);
const LOGIN: Option<&str> = Some(
    r#"Bearer realm="users", error="insufficient_user_authentication", max_age="900", resource_metadata="https://users.example/.well-known/oauth-protected-resource""#,
);
const GRPC: &str = "content-type: application/grpc";
const UNREAD: &str = "content-type: application/grpc+proto";

/// A field that is larger than the limit; the scene writes it out.
const LARGE: &str = "large:";

/// More fields than the parser takes; as above.
const MANY: &[&str] = &["many:", "/public/x"];

pub(crate) const ROWS: &[Row] = &[
    // Ambiguous or malformed.
    row(
        "non_ascii",
        Express,
        &["--request-target", "/public/\u{e9}", "/"],
        Problem("400", "bad_request/non_ascii", None),
    ),
    row("control_character", Express, &["/public/%00"], Problem("400", "bad_request/control_character", None)),
    row("backslash", Express, &["/public/%5c"], Problem("400", "bad_request/backslash", None)),
    row("bad_escape", Express, &["/public/%zz"], Problem("400", "bad_request/bad_escape", None)),
    row("bad_utf8", Express, &["/public/%ff"], Problem("400", "bad_request/bad_utf8", None)),
    row("dot_segment", Express, &["/public/../admin"], Problem("400", "bad_request/dot_segment", None)),
    row("dot_segment, encoded", Express, &["/public/%2e%2e/admin"], Problem("400", "bad_request/dot_segment", None)),
    row("empty_segment", Express, &["//admin"], Problem("400", "bad_request/empty_segment", None)),
    row("encoded_slash", Express, &["/public%2fx"], Problem("400", "bad_request/encoded_slash", None)),
    row("matrix_parameter", Express, &["/admin;x"], Problem("400", "bad_request/matrix_parameter", None)),
    row("double_escape", Express, &["/%2561dmin"], Problem("400", "bad_request/double_escape", None)),
    row("confusable", Express, &["/public/%ef%bc%8fx"], Problem("400", "bad_request/confusable", None)),
    row("method", Express, &["-X", "TRACE", "/public/x"], Problem("400", "bad_request/method", None)),
    row(
        "target_form",
        Express,
        &["--request-target", "*", "-X", "OPTIONS", "/"],
        Problem("400", "bad_request/target_form", None),
    ),
    row(
        "authority_mismatch",
        Express,
        &["--request-target", "http://other/public/x", "/"],
        Problem("400", "bad_request/authority_mismatch", None),
    ),
    row("host", Express, &["-H", "Host: a..b", "/public/x"], Problem("400", "bad_request/host", None)),
    row(
        "framing",
        Express,
        &["-H", "Transfer-Encoding: gzip, chunked", "-d", "x", "/public/x"],
        Problem("400", "bad_request/framing", None),
    ),
    row("header", Express, &["-H", "X-Forwarded-For: \u{e9}", "/public/x"], Problem("400", "bad_request/header", None)),
    row(
        "several_credentials",
        Express,
        &["-H", "Authorization: Bearer a", "-H", "Authorization: Bearer b", "/users"],
        Problem("400", "bad_request/several_credentials", None),
    ),
    // Credentials.
    row("token_missing", Express, &["/users"], Problem("401", "token_missing", TOKEN)),
    row("token_missing, decoded literal", Express, &["/%40me"], Problem("401", "token_missing", TOKEN)),
    row("token_missing, HEAD", Express, &["-I", "/users"], Problem("401", "token_missing", TOKEN)),
    row("token_missing, HTTP/2", Express, &["--http2", "/users"], Problem("401", "token_missing", TOKEN)),
    row(
        "another scheme",
        Express,
        &["-H", "Authorization: Basic YTpi", "/users"],
        Problem("401", "token_missing", TOKEN),
    ),
    row(
        "malformed",
        Express,
        &["-H", "Authorization: Bearer {malformed}", "/users"],
        Problem("401", "token_invalid/malformed", INVALID),
    ),
    row(
        "ID token",
        Express,
        &["-H", "Authorization: Bearer {id token}", "/users"],
        Problem("401", "token_invalid/wrong_type", INVALID),
    ),
    row(
        "wrong_algorithm",
        Express,
        &["-H", "Authorization: Bearer {wrong algorithm}", "/users"],
        Problem("401", "token_invalid/wrong_algorithm", INVALID),
    ),
    row(
        "unknown_issuer",
        Express,
        &["-H", "Authorization: Bearer {unknown issuer}", "/users"],
        Problem("401", "token_invalid/unknown_issuer", INVALID),
    ),
    row(
        "unknown_key",
        Express,
        &["-H", "Authorization: Bearer {unknown key}", "/users"],
        Problem("401", "token_invalid/unknown_key", INVALID),
    ),
    row(
        "bad_signature",
        Express,
        &["-H", "Authorization: Bearer {bad signature}", "/users"],
        Problem("401", "token_invalid/bad_signature", INVALID),
    ),
    row(
        "wrong_audience",
        Express,
        &["-H", "Authorization: Bearer {other audience}", "/users"],
        Problem("401", "token_invalid/wrong_audience", INVALID),
    ),
    row(
        "token_expired",
        Express,
        &["-H", "Authorization: Bearer {expired}", "/users"],
        Problem("401", "token_invalid/token_expired", INVALID),
    ),
    row(
        "token_not_yet_valid",
        Express,
        &["-H", "Authorization: Bearer {future}", "/users"],
        Problem("401", "token_invalid/token_not_yet_valid", INVALID),
    ),
    row(
        "token_too_old",
        Express,
        &["-H", "Authorization: Bearer {old}", "/users"],
        Problem("401", "token_invalid/token_too_old", INVALID),
    ),
    row(
        "claim_missing",
        Express,
        &["-H", "Authorization: Bearer {no subject}", "/users"],
        Problem("401", "token_invalid/claim_missing", INVALID),
    ),
    row(
        "unsupported_confirmation",
        Express,
        &["-H", "Authorization: Bearer {of key}", "/users"],
        Problem("401", "token_invalid/unsupported_confirmation", INVALID),
    ),
    row(
        "certificate_binding of a token",
        Express,
        &["cert:web", "-H", "Authorization: Bearer {of another certificate}", "/users"],
        Problem("401", "token_invalid/certificate_binding", INVALID),
    ),
    row(
        "login_too_old",
        Express,
        &["-H", "Authorization: Bearer {old login}", "/recent"],
        Problem("401", "login_too_old", LOGIN),
    ),
    // Requirements.
    row("certificate_missing", Express, &["/certificate"], Problem("403", "certificate_missing", None)),
    row(
        "certificate_missing, on a connection that was let in before",
        Tightened,
        &["first:/public/x", "/public/x"],
        Problem("403", "certificate_missing/tls_mode", None),
    ),
    row(
        "insufficient_scope",
        Express,
        &["-H", "Authorization: Bearer {alice}", "/admin"],
        Problem("403", "insufficient_scope", SCOPE),
    ),
    row(
        "insufficient_scope, one of several",
        Express,
        &["-H", "Authorization: Bearer {alice}", "/any"],
        Problem("403", "insufficient_scope", ANY_SCOPE),
    ),
    row(
        "issuer A on a rule of issuer B",
        Express,
        &["-H", "Authorization: Bearer {of b}", "/admin"],
        Problem("403", "issuer_not_allowed", None),
    ),
    row(
        "client_not_allowed",
        Express,
        &["-H", "Authorization: Bearer {other client}", "/clients"],
        Problem("403", "client_not_allowed", None),
    ),
    row("caller_not_allowed", Express, &["cert:other", "/callers"], Problem("403", "caller_not_allowed", None)),
    row(
        "a partner's CA and a name of the cluster",
        Express,
        &["cert:partner", "/callers"],
        Problem("403", "caller_not_allowed", None),
    ),
    row(
        "certificate_binding of a rule",
        Express,
        &["cert:web", "-H", "Authorization: Bearer {alice}", "/bound"],
        Problem("403", "certificate_binding", None),
    ),
    row(
        "path_param_mismatch",
        Express,
        &["-H", "Authorization: Bearer {alice}", "/users/olga"],
        Problem("403", "path_param_mismatch/subject", None),
    ),
    row(
        "role_missing",
        Express,
        &["-H", "Authorization: Bearer {alice}", "/roles"],
        Problem("403", "role_missing", None),
    ),
    row(
        "claim_mismatch",
        Express,
        &["-H", "Authorization: Bearer {alice}", "/claims"],
        Problem("403", "claim_mismatch", None),
    ),
    row("ip_denied", Express, &["/inside"], Problem("403", "ip_denied", None)),
    row(
        "ip_denied whatever the caller says",
        Express,
        &["-H", "X-Forwarded-For: 192.0.2.1", "/inside"],
        Problem("403", "ip_denied", None),
    ),
    row("no_rule", Express, &["/no/such"], Problem("403", "no_rule", None)),
    row("path_case", Express, &["/Admin"], Problem("403", "path_case", None)),
    row("path_alias", Express, &["/admin.json"], Problem("403", "path_alias", None)),
    // Size, time, expectation, own paths.
    row(
        "body_too_large",
        Express,
        &["--data-binary", "file:large", "/public/x"],
        Problem("413", "body_too_large", None),
    ),
    row(
        "body_too_large, HTTP/2",
        Express,
        &["--http2", "--data-binary", "file:large", "/public/x"],
        Problem("413", "body_too_large", None),
    ),
    row(
        "an early refusal, HTTP/2",
        Express,
        &["--http2", "--data-binary", "file:large", "/users"],
        Problem("413", "body_too_large", None),
    ),
    row(
        "an early refusal of a stream, HTTP/2",
        Express,
        &["--http2", "-T", ".", "/users"],
        Problem("401", "token_missing", TOKEN),
    ),
    row("headers_too_large", Express, &["-H", LARGE, "/public/x"], Problem("431", "headers_too_large", None)),
    row("request_timeout", Silent, &["-T", ".", "/public/x"], Problem("408", "request_timeout", None)),
    row("expectation", Express, &["-H", "Expect: 200-ok", "/public/x"], Problem("417", "expectation", None)),
    row("not_found", Express, &["/.doorward/config"], Problem("404", "not_found", None)),
    row("plaintext", Express, &["/public/x"], Problem("400", "plaintext", None)),
    // Nothing to decide with, and nobody to answer.
    row("not_configured", Unconfigured, &["/public/x"], Problem("503", "not_configured", None)),
    row("config_invalid", Invalid, &["/public/x"], Problem("503", "config_invalid", None)),
    row(
        "keys_unavailable",
        Keyless,
        &["-H", "Authorization: Bearer {alice}", "/users"],
        Problem("503", "keys_unavailable", None),
    ),
    row("app_unreachable", Unreachable, &["/public/x"], Problem("502", "app_unreachable", None)),
    row("app_reset", Resets, &["/public/x"], Problem("502", "app_reset", None)),
    row("app_timeout", Silent, &["/public/x"], Problem("504", "app_timeout", None)),
    // The parser's own.
    row("parser: a space in the target", Express, &["--request-target", "/a b", "/"], Bare("400")),
    row("parser: a name that is none", Express, &["-H", "x@(: y", "/public/x"], Bare("400")),
    row("parser: too many fields", Express, MANY, Bare("431")),
    // gRPC.
    row("gRPC 3", Express, &["--http2", "-H", GRPC, "-X", "POST", "//admin"], Grpc("3", "bad_request", None)),
    row(
        "gRPC 16, no token",
        Express,
        &["--http2", "-H", GRPC, "-X", "POST", "/users"],
        Grpc("16", "token_missing", TOKEN),
    ),
    row(
        "gRPC 16, a bad one",
        Express,
        &["--http2", "-H", UNREAD, "-H", "Authorization: Bearer {expired}", "-X", "POST", "/users"],
        Grpc("16", "token_invalid", INVALID),
    ),
    row(
        "gRPC 16, an old login",
        Express,
        &["--http2", "-H", GRPC, "-H", "Authorization: Bearer {old login}", "-X", "POST", "/recent"],
        Grpc("16", "login_too_old", LOGIN),
    ),
    row(
        "gRPC 7, no certificate",
        Express,
        &["--http2", "-H", GRPC, "-X", "POST", "/certificate"],
        Grpc("7", "certificate_missing", None),
    ),
    row(
        "gRPC 7, no scope",
        Express,
        &["--http2", "-H", GRPC, "-H", "Authorization: Bearer {alice}", "-X", "POST", "/admin"],
        Grpc("7", "insufficient_scope", SCOPE),
    ),
    row("gRPC 7, no rule", Express, &["--http2", "-H", GRPC, "-X", "POST", "/no/such"], Grpc("7", "no_rule", None)),
    row(
        "gRPC 8, head",
        Express,
        &["--http2", "-H", GRPC, "-H", LARGE, "/public/x"],
        Grpc("8", "headers_too_large", None),
    ),
    row("gRPC 5", Express, &["--http2", "-H", GRPC, "/.doorward/x"], Grpc("5", "not_found", None)),
    row("gRPC 14, no policy", Unconfigured, &["--http2", "-H", GRPC, "/public/x"], Grpc("14", "not_configured", None)),
    row(
        "gRPC 14, no application",
        Unreachable,
        &["--http2", "-H", GRPC, "/public/x"],
        Grpc("14", "app_unreachable", None),
    ),
    row("gRPC 14, it breaks off", Resets, &["--http2", "-H", GRPC, "/public/x"], Grpc("14", "app_reset", None)),
    row("gRPC 4, the application", Silent, &["--http2", "-H", GRPC, "/public/x"], Grpc("4", "app_timeout", None)),
    row("gRPC over HTTP/1", Express, &["-H", GRPC, "-X", "POST", "/users"], Grpc("16", "token_missing", TOKEN)),
    // No connection.
    row("a certificate of a stranger's CA", Express, &["cert:stranger", "/public/hello"], NoAnswer("alert unknown ca")),
    row(
        "a CA whose revocation list has ended",
        Express,
        &["cert:stale", "/public/hello"],
        NoAnswer("alert certificate revoked"),
    ),
    row("the same caller, the list in date", Renewed, &["cert:stale", "/public/hello"], Passed(&[])),
    row("whom that list names", Renewed, &["cert:revoked", "/public/hello"], NoAnswer("alert certificate revoked")),
    // What passes, and how.
    row(
        "nothing that a stranger says of itself passes",
        Express,
        &[
            "-H",
            "x_user: mallory",
            "-H",
            "X-User: mallory",
            "-H",
            "x-issuer: a",
            "-H",
            "X-Forwarded-For: 192.0.2.1",
            "-H",
            "X-Forwarded-User: mallory",
            "-H",
            "Forwarded: for=192.0.2.1",
            "/public/hello",
        ],
        Passed(&[
            ("x_user", None),
            ("x-user", None),
            ("x-issuer", None),
            ("x-forwarded-for", Some("127.0.0.1")),
            ("x-forwarded-user", None),
            ("forwarded", None),
            ("x-forwarded-proto", Some("https")),
        ]),
    ),
    row(
        "who was proven is told",
        Express,
        &["-H", "x_user: mallory", "-H", "Authorization: Bearer {alice}", "/users"],
        Passed(&[("x_user", None), ("x-user", Some("alice")), ("x-issuer", Some("a")), ("authorization", None)]),
    ),
    row(
        "a partner is let in where nobody is named",
        Express,
        &["cert:partner", "/public/hello"],
        Passed(&[("x-user", None)]),
    ),
];
