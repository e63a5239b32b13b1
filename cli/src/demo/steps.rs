//! The story, step by step: a command to paste and what it answers.

use std::fmt;

/// One step.
pub(super) struct Step {
    pub(super) story: &'static str,
    /// A line for a shell in which `$D` is the demo's folder.
    pub(super) command: String,
    pub(super) expected: Expected,
}

/// What a step answers.
#[derive(Clone, Copy)]
pub(super) enum Expected {
    /// The TLS handshake fails.
    NoConnection,
    /// The application answers, and got these headers.
    Allowed(&'static [(&'static str, Option<&'static str>)]),
    /// The proxy refuses.
    Denied(u16, &'static str, Option<&'static str>),
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConnection => f.write_str("no connection: the TLS handshake is refused"),
            Self::Denied(status, code, detail) => {
                write!(f, "{status} {code}")?;
                detail.iter().try_for_each(|detail| write!(f, "/{detail}"))
            }
            Self::Allowed(headers) => {
                f.write_str("200, and the API gets")?;
                for (name, value) in *headers {
                    match value {
                        Some(value) => write!(f, " {name}: {value};")?,
                        None => write!(f, " no {name};")?,
                    }
                }
                Ok(())
            }
        }
    }
}

pub(super) fn steps(port: u16) -> Vec<Step> {
    use Expected::{Allowed, Denied, NoConnection};
    let curl = |config: &str, options: &str, path: &str| {
        format!("curl -K $D/{config} {options} 'https://localhost:{port}{path}'").replace("  ", " ")
    };
    let bearer = |token: &str| format!("-H \"authorization: Bearer $(cat $D/{token}.jwt)\"");
    let get = |token: &str, path: &str| curl("web", &bearer(token), path);
    let with = |token: &str, options: &str, path: &str| curl("web", &format!("{} {options}", bearer(token)), path);
    let step = |story, command, expected| Step { story, command, expected };
    vec![
        step("Who has no client certificate does not even connect.", curl("nobody", "", "/users"), NoConnection),
        step(
            "With one, but without a token: refused, with a challenge.",
            curl("web", "", "/users"),
            Denied(401, "token_missing", None),
        ),
        step(
            "With alice's token the API answers, and learns who calls. It never sees the token.",
            get("alice", "/users"),
            Allowed(&[("x-user", Some("alice")), ("x-scopes", Some("users:read")), ("authorization", None)]),
        ),
        step(
            "A token of somebody else's key.",
            get("forged", "/users"),
            Denied(401, "token_invalid", Some("bad_signature")),
        ),
        step(
            "A token without any signature (`alg: none`).",
            get("unsigned", "/users"),
            Denied(401, "token_invalid", Some("wrong_algorithm")),
        ),
        step("A token from yesterday.", get("old", "/users"), Denied(401, "token_invalid", Some("token_expired"))),
        step(
            "Alice may read users, not write them.",
            with("alice", "-X POST", "/users"),
            Denied(403, "insufficient_scope", None),
        ),
        step("Olga may.", with("ops", "-X POST", "/users"), Allowed(&[("x-user", Some("olga"))])),
        step(
            "Alice's own settings are hers,",
            get("alice", "/users/alice/settings"),
            Allowed(&[("x-user", Some("alice"))]),
        ),
        step(
            "Olga's are not.",
            get("alice", "/users/olga/settings"),
            Denied(403, "path_param_mismatch", Some("subject")),
        ),
        step(
            "Nobody becomes somebody else by sending the header.",
            with("alice", "-H 'x-user: olga' -H 'x_user: olga'", "/users"),
            Allowed(&[("x-user", Some("alice")), ("x_user", None)]),
        ),
        step("The administration is for administrators,", get("alice", "/admin"), Denied(403, "role_missing", None)),
        step("however its path is written:", get("alice", "/ADMIN"), Denied(403, "path_case", None)),
        step("with escapes,", get("alice", "/%61dmin/"), Denied(403, "role_missing", None)),
        step(
            "with an escaped slash,",
            get("alice", "/admin%2fusers"),
            Denied(400, "bad_request", Some("encoded_slash")),
        ),
        step(
            "with two slashes,",
            with("alice", "--path-as-is", "//admin"),
            Denied(400, "bad_request", Some("empty_segment")),
        ),
        step(
            "or from below.",
            with("alice", "--path-as-is", "/users/../admin"),
            Denied(400, "bad_request", Some("dot_segment")),
        ),
        step("Olga is one.", get("ops", "/admin"), Allowed(&[("x-user", Some("olga"))])),
        step("What no rule names is refused, whoever asks.", get("ops", "/metrics"), Denied(403, "no_rule", None)),
        step(
            "One path is open to every caller with a certificate.",
            curl("web", "", "/health"),
            Allowed(&[("x-user", None)]),
        ),
    ]
}
