//! The story, step by step: a command to paste and what it answers.

use std::fmt;

use Caller::{Nobody, Web, With};
use Expected::{Allowed, Denied, NoConnection};

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

/// The steps for a proxy on a port.
pub(super) fn steps(port: u16) -> Vec<Step> {
    STORY.iter().map(|told| told.on(port)).collect()
}

/// A step as it is told below: which curl configuration and token it uses, further options, the path.
struct Told(&'static str, Caller, &'static str, &'static str, Expected);

/// Who calls.
#[derive(Clone, Copy)]
enum Caller {
    /// Nobody: no certificate, no token.
    Nobody,
    /// A workload with a certificate, without a token.
    Web,
    /// The workload with the token in this file.
    With(&'static str),
}

impl Told {
    fn on(&self, port: u16) -> Step {
        let Self(story, caller, options, path, expected) = *self;
        let (config, bearer) = match caller {
            Nobody => ("nobody", String::new()),
            Web => ("web", String::new()),
            With(token) => ("web", format!(" -H \"authorization: Bearer $(cat $D/{token}.jwt)\"")),
        };
        let options = if options.is_empty() { String::new() } else { format!(" {options}") };
        let command = format!("curl -K $D/{config}{bearer}{options} 'https://localhost:{port}{path}'");
        Step { story, command, expected }
    }
}

const ALICE: Caller = With("alice");
const OLGA: Caller = With("ops");
const AS_IS: &str = "--path-as-is";
const AS_OLGA: &str = "-H 'x-user: olga' -H 'x_user: olga'";
const ALICE_KNOWN: Expected = Allowed(&[("x-user", Some("alice"))]);
const OLGA_KNOWN: Expected = Allowed(&[("x-user", Some("olga"))]);
const ALICE_TOLD: Expected =
    Allowed(&[("x-user", Some("alice")), ("x-scopes", Some("users:read")), ("authorization", None)]);
const ALICE_HONEST: Expected = Allowed(&[("x-user", Some("alice")), ("x_user", None)]);

const fn token_invalid(detail: &'static str) -> Expected {
    Denied(401, "token_invalid", Some(detail))
}

const fn bad_request(detail: &'static str) -> Expected {
    Denied(400, "bad_request", Some(detail))
}

const fn forbidden(code: &'static str) -> Expected {
    Denied(403, code, None)
}

static STORY: &[Told] = &[
    Told("Who has no client certificate does not even connect.", Nobody, "", "/users", NoConnection),
    Told(
        "With one, but without a token: refused, with a challenge.",
        Web,
        "",
        "/users",
        Denied(401, "token_missing", None),
    ),
    Told(
        "With alice's token the API answers, and learns who calls. It never sees the token.",
        ALICE,
        "",
        "/users",
        ALICE_TOLD,
    ),
    Told("A token of somebody else's key.", With("forged"), "", "/users", token_invalid("bad_signature")),
    Told(
        "A token without any signature (`alg: none`).",
        With("unsigned"),
        "",
        "/users",
        token_invalid("wrong_algorithm"),
    ),
    Told("A token from yesterday.", With("old"), "", "/users", token_invalid("token_expired")),
    Told("Alice may read users, not write them.", ALICE, "-X POST", "/users", forbidden("insufficient_scope")),
    Told("Olga may.", OLGA, "-X POST", "/users", OLGA_KNOWN),
    Told("Alice's own settings are hers,", ALICE, "", "/users/alice/settings", ALICE_KNOWN),
    Told("Olga's are not.", ALICE, "", "/users/olga/settings", Denied(403, "path_param_mismatch", Some("subject"))),
    Told("Nobody becomes somebody else by sending the header.", ALICE, AS_OLGA, "/users", ALICE_HONEST),
    Told("The administration is for administrators,", ALICE, "", "/admin", forbidden("role_missing")),
    Told("however its path is written:", ALICE, "", "/ADMIN", forbidden("path_case")),
    Told("with escapes,", ALICE, "", "/%61dmin/", forbidden("role_missing")),
    Told("with an escaped slash,", ALICE, "", "/admin%2fusers", bad_request("encoded_slash")),
    Told("with two slashes,", ALICE, AS_IS, "//admin", bad_request("empty_segment")),
    Told("or from below.", ALICE, AS_IS, "/users/../admin", bad_request("dot_segment")),
    Told("Below it, too;", ALICE, "", "/admin/users", forbidden("role_missing")),
    Told("a clerk is no administrator.", With("clerk"), "", "/admin", forbidden("role_missing")),
    Told("Olga is one,", OLGA, "", "/admin", OLGA_KNOWN),
    Told("with every method.", OLGA, "-X DELETE", "/admin/users", OLGA_KNOWN),
    Told("Nobody deletes users.", OLGA, "-X DELETE", "/users", forbidden("no_rule")),
    Told("What no rule names is refused, whoever asks.", OLGA, "", "/metrics", forbidden("no_rule")),
    Told("One path is open to every caller with a certificate.", Web, "", "/health", Allowed(&[("x-user", None)])),
];
