//! The order in which a request is decided, and what the answers say.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of tests that cannot go on has failed its test")]

#[path = "../src/testing.rs"]
mod testing;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use policy::decide::{Authenticate, Decision, Question, decide, explain};
use policy::forward;
use policy::peer::{Peer, PeerCertificate};
use policy::reason::TokenFault;
use policy::request::{CanonicalRequest, RequestHead, SizeLimits};
use policy::ruleset::Ruleset;
use policy::time::Timestamp;
use policy::token::{Unproven, VerifiedToken};
use serde_json::{Value, json};
use std::sync::Arc;
use testing::{GONE, body, edited, issuer, require, rule};

const NOW: i64 = 1_800_000_000_000;

/// What the token in a request is worth.
#[derive(Clone)]
enum Token {
    /// The position of its issuer, and its claims.
    Good(usize, Value),
    Bad(Unproven),
}

struct Judge<'a> {
    ruleset: &'a Ruleset,
    token: Token,
    looked: usize,
}

impl Authenticate for Judge<'_> {
    fn authenticate(&mut self, _token: &str) -> Result<Arc<VerifiedToken>, Unproven> {
        self.looked += 1;
        match &self.token {
            Token::Good(issuer, claims) => {
                let claims = claims.as_object().unwrap().clone();
                Ok(Arc::new(VerifiedToken::assume(claims, self.ruleset.issuers(), *issuer)?))
            }
            Token::Bad(why) => Err(*why),
        }
    }
}

/// A request and all around it.
#[derive(Clone)]
struct Ask {
    method: &'static str,
    target: &'static str,
    host: &'static str,
    authorization: Option<&'static str>,
    token: Token,
    address: Option<&'static str>,
    certificate: Option<PeerCertificate>,
}

const GET: Ask = Ask {
    method: "GET",
    target: "/",
    host: "localhost",
    authorization: None,
    token: Token::Bad(Unproven::Fault(TokenFault::BadSignature)),
    address: Some("192.0.2.7"),
    certificate: None,
};

/// A request with a token of the first issuer.
fn with(claims: Value) -> Ask {
    Ask { authorization: Some("Bearer a.b.c"), token: Token::Good(0, edited(json!({"sub": "alice"}), claims)), ..GET }
}

fn web() -> PeerCertificate {
    PeerCertificate {
        ca: "cluster".into(),
        service_account: Some("web/web".into()),
        dns: vec!["web.example.com".into()],
        spiffe: vec!["spiffe://cluster.local/ns/web/sa/web".into()],
        thumbprint: Some("abc".into()),
    }
}

#[derive(Debug, PartialEq)]
struct Answer {
    /// `allow RULE` or `STATUS CODE/DETAIL RULE`.
    verdict: String,
    challenge: Option<String>,
    looked: usize,
    headers: Vec<String>,
}

fn compiled(change: Value) -> Ruleset {
    Ruleset::new(&serde_json::from_value(body(change)).unwrap()).unwrap()
}

fn answer(ruleset: &Ruleset, ask: &Ask) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static(ask.host));
    if let Some(value) = ask.authorization {
        headers.insert("authorization", HeaderValue::from_static(value));
    }
    let (method, uri): (Method, Uri) = (ask.method.parse().unwrap(), ask.target.parse().unwrap());
    let head = RequestHead { method: &method, uri: &uri, version: Version::HTTP_11, headers: &headers };
    let request = match CanonicalRequest::read(&head, ruleset.paths(), &SizeLimits::default()) {
        Ok(request) => request,
        Err(reason) => panic!("{}: {reason:?}", ask.target),
    };
    let peer = Peer {
        address: ask.address.map(|address| address.parse().unwrap()),
        certificate: ask.certificate.clone(),
        plaintext: false,
        tls12: false,
    };
    let question = Question {
        ruleset,
        head,
        request: &request,
        peer: &peer,
        now: Timestamp::from_millis(NOW),
        begun: Timestamp::from_millis(NOW),
    };
    let mut judge = Judge { ruleset, token: ask.token.clone(), looked: 0 };
    let explained = explain(question, &mut judge);
    let told = verdict(&explained.decision);
    let failed = explained.checks.iter().find(|check| !check.pass);
    assert_eq!(
        failed.is_none(),
        told.starts_with("allow"),
        "the report fits the verdict: {told} {:?}",
        explained.checks
    );
    judge.looked = 0;
    let decision = decide(question, &mut judge);
    let said = verdict(&decision);
    assert_eq!(told, said);
    let looked = judge.looked;
    match decision {
        Decision::Refused(refused) => {
            let challenge = refused.challenge();
            assert_eq!(challenge.is_some(), refused.reason().challenges());
            Answer { verdict: said, challenge, looked, headers: Vec::new() }
        }
        Decision::Own(_) => Answer { verdict: said, challenge: None, looked, headers: Vec::new() },
        Decision::Granted(granted) => {
            let permit = granted.discharge();
            assert_eq!((permit.host(), permit.target()), (Some(ask.host), ask.target.into()));
            let mut set: Vec<_> = forward::identity_headers(&permit)
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect();
            if forward::removed(&permit, &headers).contains(&HeaderName::from_static("authorization")) {
                set.push("-authorization".to_owned());
            }
            Answer { verdict: said, challenge: None, looked, headers: set }
        }
    }
}

fn verdict(decision: &Decision) -> String {
    match decision {
        Decision::Granted(granted) => format!("allow {}", granted.rule().unwrap().index()),
        Decision::Own(own) => format!("own {}", own.status()),
        Decision::Refused(refused) => {
            let reason = refused.reason();
            let detail = reason.detail().map(|detail| format!("/{detail}")).unwrap_or_default();
            let rule = refused.rule().map(|rule| format!(" {}", rule.index())).unwrap_or_default();
            format!("{} {}{detail}{rule}", reason.status(), reason.code())
        }
    }
}

/// The verdict on a policy of these rules.
fn decided(rules: &[Value], ask: &Ask) -> String {
    answer(&compiled(json!({ "rules": rules })), ask).verdict
}

fn needs(wanted: Value) -> Value {
    rule(json!({"access": require(wanted)}))
}

#[test]
fn routing_comes_before_any_credential() {
    let rules = [
        rule(json!({"path": "/orders", "methods": ["GET"], "access": "Authenticated"})),
        rule(json!({"path": "/Admin", "access": "Authenticated"})),
        rule(json!({"path": "/{x}", "methods": ["GET", "POST"], "access": "Authenticated"})),
        rule(json!({"path": "/shop", "hosts": ["a.example.com"], "methods": ["PUT"], "access": "Authenticated"})),
        rule(json!({"path": "/shop", "access": "Anonymous"})),
    ];
    let ruleset = compiled(json!({ "rules": rules }));
    for (ask, wanted) in [
        (Ask { target: "/a/b", ..GET }, "403 no_rule"),
        (Ask { target: "/a/b", ..with(json!({})) }, "403 no_rule"),
        (Ask { target: "/orders", ..GET }, "401 token_missing 0"),
        (Ask { target: "/orders", method: "HEAD", ..GET }, "401 token_missing 0"),
        // a less specific template is never asked
        (Ask { target: "/orders", method: "POST", ..with(json!({})) }, "403 no_rule"),
        (Ask { target: "/orders", method: "OPTIONS", ..GET }, "403 no_rule"),
        (Ask { target: "/admin", ..with(json!({})) }, "403 path_case 1"),
        (Ask { target: "/Admin", ..with(json!({})) }, "allow 1"),
        (Ask { target: "/orders.json", ..with(json!({})) }, "403 path_alias 2"),
        (Ask { target: "/Orders.json", ..with(json!({})) }, "403 path_alias 2"),
        // the method first, then the case, then the alias
        (Ask { target: "/orders.json", method: "PUT", ..with(json!({})) }, "403 no_rule"),
        (Ask { target: "/ORDERS", method: "PUT", ..with(json!({})) }, "403 no_rule"),
        (Ask { target: "/.doorward", ..GET }, "404 not_found"),
        (Ask { target: "/.DOORWARD/x", method: "DELETE", ..GET }, "404 not_found"),
        (Ask { target: "/.doorward/", ..GET }, "404 not_found"),
        // of one template the exact host hides the rule for any
        (Ask { target: "/shop", host: "a.example.com", ..GET }, "403 no_rule"),
        (Ask { target: "/shop", host: "b.example.com", ..GET }, "allow 4"),
    ] {
        let got = answer(&ruleset, &ask);
        assert_eq!(got.verdict, wanted, "{} {}", ask.method, ask.target);
        assert_eq!(got.looked, usize::from(wanted.starts_with("allow") && wanted != "allow 4"), "{}", ask.target);
    }
    let insensitive = compiled(json!({"rules": rules, "paths": {"caseInsensitive": true}}));
    assert_eq!(answer(&insensitive, &Ask { target: "/admin", ..with(json!({})) }).verdict, "allow 1");
    assert_eq!(answer(&insensitive, &Ask { target: "/ADMIN.json", ..with(json!({})) }).verdict, "403 path_alias 2");
}

#[test]
fn case_is_said_before_alias() {
    let both = [rule(json!({"path": "/a/c"})), rule(json!({"path": "/{x}/C/**"}))];
    assert_eq!(decided(&both, &Ask { target: "/a./c", ..GET }), "403 path_case 1");
}

#[test]
fn the_present_tls_comes_first_of_all() {
    let rules = json!({"tls": {"mode": "Mutual"}, "rules": [rule(json!({}))]});
    let mutual = compiled(rules);
    let of = |ca: &str| Some(PeerCertificate { ca: ca.into(), ..web() });
    for (target, certificate, wanted) in [
        ("/", None, "403 certificate_missing/tls_mode"),
        ("/.doorward", None, "403 certificate_missing/tls_mode"),
        ("/", of("gone"), "403 certificate_missing/tls_mode"),
        ("/", of("partner"), "allow 0"),
        ("/", of("cluster"), "allow 0"),
    ] {
        assert_eq!(answer(&mutual, &Ask { target, certificate, ..GET }).verdict, wanted);
    }
    let optional = compiled(json!({}));
    assert_eq!(answer(&optional, &GET).verdict, "allow 0");
    assert_eq!(answer(&optional, &Ask { certificate: of("gone"), ..GET }).verdict, "403 certificate_missing/tls_mode");
}

/// A policy whose one rule asks for everything, and a request that has it, but for what is broken.
fn everything(broken: &[&str]) -> String {
    let is = |name: &str| broken.contains(&name);
    let wanted = require(json!({
        "issuers": ["main"], "clients": ["app"], "scopes": ["s1", "s2"], "anyScope": ["t1", "t2"], "roles": ["r1", "r2"],
        "anyRole": ["q1", "q2"], "anyGroup": ["g1", "g2"], "claims": [{"claim": "dept", "anyOf": ["x", "7"]}],
        "pathParams": {"id": "subject"}, "boundToken": true, "maxAuthAgeMs": 60_000,
        "callers": [{"ca": "cluster", "serviceAccount": "web/web"}],
    }));
    let change = json!({
        "issuers": [issuer(json!({})), issuer(json!({"name": "other", "issuer": "https://other"}))],
        "rules": [rule(json!({"path": "/orders/{id}", "access": wanted, "ips": ["192.0.2.0/24"]}))],
    });
    let either = |name: &str, good: Value, bad: Value| if is(name) { bad } else { good };
    let scope = either("scopes", json!("s1 s2"), json!("s1")).as_str().unwrap().to_owned();
    let scope = scope + either("anyScope", json!(" t2"), json!(" t3")).as_str().unwrap();
    let role = |name: &str, good: &str, bad: &str| if is(name) { bad.to_owned() } else { good.to_owned() };
    let claims = json!({
        "sub": either("pathParams", json!("7"), json!("8")), "azp": either("clients", json!("app"), json!("evil")), "scope": scope,
        "roles": ["r1", role("roles", "r2", "r3"), role("anyRole", "q1", "q3")], "groups": [role("anyGroup", "g2", "g3")],
        "dept": either("claims", json!(7), json!(7.0)),
        "auth_time": either("maxAuthAge", json!(NOW / 1000 - 90), json!(NOW / 1000 - 91)),
        "cnf": either("boundToken", json!({"x5t#S256": "abc"}), json!(GONE)),
    });
    let certificate = PeerCertificate { service_account: (!is("callers")).then(|| "web/web".into()), ..web() };
    let ask = Ask {
        target: "/orders/7",
        authorization: (!is("token")).then_some("Bearer a.b.c"),
        token: Token::Good(usize::from(is("issuers")), edited(json!({}), claims)),
        address: if is("ips") { Some("198.51.100.1") } else { Some("192.0.2.7") },
        certificate: Some(certificate),
        ..GET
    };
    let ask = if is("certificate") { Ask { certificate: None, ..ask } } else { ask };
    answer(&compiled(change), &ask).verdict
}

#[test]
fn of_several_failures_of_a_rule_the_first_answers() {
    let order = [
        ("ips", "403 ip_denied 0"),
        ("token", "401 token_missing 0"),
        ("certificate", "401 token_invalid/certificate_binding 0"),
        ("issuers", "403 issuer_not_allowed 0"),
        ("clients", "403 client_not_allowed 0"),
        ("callers", "403 caller_not_allowed 0"),
        ("boundToken", "403 certificate_binding 0"),
        ("pathParams", "403 path_param_mismatch/subject 0"),
        ("scopes", "403 insufficient_scope 0"),
        ("anyScope", "403 insufficient_scope 0"),
        ("roles", "403 role_missing 0"),
        ("anyRole", "403 role_missing 0"),
        ("anyGroup", "403 role_missing 0"),
        ("claims", "403 claim_mismatch 0"),
        ("maxAuthAge", "401 login_too_old 0"),
    ];
    assert_eq!(everything(&[]), "allow 0");
    for (first, (name, wanted)) in order.iter().enumerate() {
        assert_eq!(everything(&[name]), *wanted, "{name}");
        for (later, _) in &order[first + 1..] {
            // Without a bound token, a missing certificate is no fault of the token.
            let wanted = match (*name, *later) {
                ("certificate", "boundToken") => "403 certificate_missing 0",
                _ => *wanted,
            };
            assert_eq!(everything(&[name, later]), wanted, "{name} and {later}");
        }
    }
}

#[test]
fn the_rule_that_got_furthest_answers() {
    let ip = || rule(json!({"ips": ["198.51.100.0/24"], "access": "Authenticated"}));
    let scope = |name: &str| needs(json!({"scopes": [name]}));
    let role = || needs(json!({"roles": ["r"]}));
    let certificate = || rule(json!({"access": "Certificate"}));
    let token = || rule(json!({"access": "Authenticated"}));
    let alice = || with(json!({}));
    for (rules, ask, wanted) in [
        (vec![ip(), scope("a")], alice(), "403 insufficient_scope 1"),
        (vec![scope("a"), ip()], alice(), "403 insufficient_scope 0"),
        (vec![scope("a"), role(), scope("b")], alice(), "403 role_missing 1"),
        (vec![scope("a"), scope("b")], alice(), "403 insufficient_scope 0"),
        (vec![ip(), token()], GET, "401 token_missing 1"),
        // as far: a 401 before a 403, then the first rule
        (vec![certificate(), token()], GET, "401 token_missing 1"),
        (vec![token(), certificate()], GET, "401 token_missing 0"),
        (vec![certificate(), certificate()], GET, "403 certificate_missing 0"),
        (
            vec![needs(json!({"claims": [{"claim": "c", "anyOf": ["x"]}]})), needs(json!({"maxAuthAgeMs": 1}))],
            alice(),
            "401 login_too_old 1",
        ),
        (
            vec![certificate(), token()],
            Ask { token: Token::Bad(Unproven::KeysUnavailable), ..alice() },
            "403 certificate_missing 0",
        ),
        (
            vec![token(), certificate()],
            Ask { token: Token::Bad(Unproven::KeysUnavailable), ..alice() },
            "503 keys_unavailable 0",
        ),
        // one that passes suffices
        (vec![scope("a"), role(), token()], alice(), "allow 2"),
        (vec![certificate(), token()], alice(), "allow 1"),
    ] {
        assert_eq!(decided(&rules, &ask), wanted);
    }
}

#[test]
fn every_check_gets_further_than_the_one_before() {
    let order = [
        (rule(json!({"ips": ["198.51.100.0/24"]})), "403 ip_denied"),
        (rule(json!({"access": "Certificate"})), "403 certificate_missing"),
        (needs(json!({"issuers": ["other"]})), "403 issuer_not_allowed"),
        (needs(json!({"issuers": ["main"], "clients": ["x"]})), "403 client_not_allowed"),
        (needs(json!({"issuers": ["main"], "boundToken": true})), "403 certificate_missing"),
        (
            rule(
                json!({"path": "/{id}", "access": require(json!({"issuers": ["main"], "pathParams": {"id": "subject"}}))}),
            ),
            "403 path_param_mismatch/subject",
        ),
        (needs(json!({"issuers": ["main"], "scopes": ["x"]})), "403 insufficient_scope"),
        (needs(json!({"issuers": ["main"], "roles": ["x"]})), "403 role_missing"),
        (needs(json!({"issuers": ["main"], "claims": [{"claim": "c", "anyOf": ["x"]}]})), "403 claim_mismatch"),
        (needs(json!({"issuers": ["main"], "maxAuthAgeMs": 1})), "401 login_too_old"),
    ];
    let issuers = json!([issuer(json!({})), issuer(json!({"name": "other", "issuer": "https://other"}))]);
    for (n, (less, _)) in order.iter().enumerate() {
        for (more, wanted) in order.iter().skip(n + 1) {
            for (rules, index) in [([less, more], 1), ([more, less], 0)] {
                let rules: Vec<_> =
                    rules.iter().map(|rule| edited((*rule).clone(), json!({"path": "/{id}"}))).collect();
                let ruleset = compiled(json!({"issuers": issuers, "rules": rules}));
                let got = answer(&ruleset, &Ask { target: "/7", ..with(json!({})) }).verdict;
                assert_eq!(got, format!("{wanted} {index}"), "{less} {more}");
            }
        }
    }
}

#[test]
fn a_rule_that_needs_no_token_hands_none_on() {
    let ruleset = compiled(json!({
        "rules": [rule(json!({"access": "Certificate"})), rule(json!({"access": "Authenticated"}))],
        "forward": {"keepToken": true, "headers": [{"name": "x-user", "value": {"identity": "subject"}, "format": "Comma"}]},
    }));
    let got = answer(&ruleset, &Ask { certificate: Some(web()), ..with(json!({})) });
    assert_eq!((got.verdict.as_str(), &got.headers[..]), ("allow 0", &["-authorization".to_owned()][..]));
}

#[test]
fn of_rules_that_pass_the_first_that_knows_the_caller() {
    let anonymous = || rule(json!({}));
    let token = || rule(json!({"access": "Authenticated"}));
    for (rules, ask, wanted) in [
        (vec![anonymous(), token()], with(json!({})), "allow 1"),
        (vec![token(), anonymous()], with(json!({})), "allow 0"),
        (vec![anonymous(), anonymous()], with(json!({})), "allow 0"),
        (vec![token(), anonymous()], GET, "allow 1"),
        // a token that proves nothing does not close what is open to everybody
        (vec![token(), anonymous()], Ask { authorization: Some("Bearer x"), ..GET }, "allow 1"),
    ] {
        assert_eq!(decided(&rules, &ask), wanted);
    }
    let policy = json!({
        "rules": [anonymous(), token()],
        "forward": {"keepToken": true, "headers": [{"name": "x-user", "value": {"identity": "subject"}, "format": "Comma"}]},
    });
    let ruleset = compiled(policy);
    assert_eq!(answer(&ruleset, &with(json!({}))).headers, ["x-user: alice"]);
    let nobody = answer(&ruleset, &Ask { authorization: Some("Bearer x"), ..GET });
    assert_eq!((nobody.verdict.as_str(), &nobody.headers[..]), ("allow 0", &["-authorization".to_owned()][..]));
}

#[test]
fn credentials_by_kind_of_rule() {
    let cases = [
        (rule(json!({})), 0),
        (rule(json!({"access": "Certificate"})), 0),
        (needs(json!({"callers": [{"ca": "cluster", "serviceAccount": "web/web"}]})), 0),
        (rule(json!({"access": "Authenticated"})), 1),
        (needs(json!({"callers": [{"ca": "cluster", "serviceAccount": "web/web"}], "issuers": ["main"]})), 1),
        (needs(json!({"boundToken": true})), 1),
        (needs(json!({"maxAuthAgeMs": 1})), 1),
        (needs(json!({"pathParams": {}, "clients": ["a"]})), 1),
    ];
    for (rule, looks) in cases {
        let ruleset = compiled(json!({"rules": [rule]}));
        for (authorization, verdict) in [
            (None, "401 token_missing 0"),
            (Some("Basic YTpi"), "401 token_missing 0"),
            (Some("Bearer"), "401 token_invalid/malformed 0"),
            (Some("Bearer a b"), "401 token_invalid/malformed 0"),
            (Some("Bearer:abc"), "401 token_invalid/malformed 0"),
            (Some("Bearer x"), "401 token_invalid/bad_signature 0"),
        ] {
            let got = answer(&ruleset, &Ask { authorization, certificate: Some(web()), ..GET });
            let wanted = if looks == 0 { "allow 0" } else { verdict };
            assert_eq!(got.verdict, wanted, "{authorization:?} {rule}");
            assert_eq!(got.looked, looks * usize::from(authorization == Some("Bearer x")), "{authorization:?} {rule}");
        }
    }
}

#[test]
fn challenges() {
    let realm = r#"Bearer realm="orders""#;
    let invalid = format!(r#"{realm}, error="invalid_token""#);
    let scopes = needs(json!({"scopes": ["a", "b"], "anyScope": ["c", "d"]}));
    for (rule, ask, wanted) in [
        (rule(json!({"access": "Authenticated"})), GET, Some(realm.to_owned())),
        (rule(json!({"access": "Authenticated"})), Ask { authorization: Some("Bearer"), ..GET }, Some(invalid.clone())),
        (rule(json!({"access": "Authenticated"})), Ask { authorization: Some("Bearer x"), ..GET }, Some(invalid)),
        (scopes, with(json!({})), Some(format!(r#"{realm}, error="insufficient_scope", scope="a b c""#))),
        (
            needs(json!({"maxAuthAgeMs": 900_000})),
            with(json!({})),
            Some(format!(r#"{realm}, error="insufficient_user_authentication", max_age="900""#)),
        ),
        (needs(json!({"roles": ["r"]})), with(json!({})), None),
        (rule(json!({"access": "Certificate"})), GET, None),
        (rule(json!({"ips": ["198.51.100.0/24"]})), GET, None),
        (
            rule(json!({"access": "Authenticated"})),
            Ask { token: Token::Bad(Unproven::KeysUnavailable), ..with(json!({})) },
            None,
        ),
    ] {
        let shown = rule.to_string();
        assert_eq!(answer(&compiled(json!({"rules": [rule]})), &ask).challenge, wanted, "{shown}");
    }
}

#[test]
fn addresses() {
    let only = |networks: Value| [rule(json!({ "ips": networks }))];
    for (networks, address, allowed) in [
        (json!(["192.0.2.0/24"]), Some("192.0.2.7"), true),
        (json!(["192.0.2.0/24", "198.51.100.1/32"]), Some("198.51.100.1"), true),
        (json!(["192.0.2.0/24"]), Some("192.0.3.7"), false),
        (json!(["192.0.2.0/24"]), Some("::1"), false),
        (json!(["::/0"]), Some("192.0.2.7"), false),
        (json!(["192.0.2.0/24"]), None, false),
        (json!([]), None, true),
    ] {
        let wanted = if allowed { "allow 0" } else { "403 ip_denied 0" };
        assert_eq!(decided(&only(networks.clone()), &Ask { address, ..GET }), wanted, "{networks} {address:?}");
    }
    let mapped = Peer::at("::ffff:192.0.2.7".parse().unwrap(), None);
    assert_eq!(mapped.address, Some("192.0.2.7".parse().unwrap()));
}

#[test]
fn path_parameters_are_compared_byte_for_byte() {
    let rules = |template: &str| {
        json!({
            "rules": [rule(json!({"path": template, "access": require(json!({"pathParams": {"id": "subject"}}))}))],
            "paths": {"encodedSlash": true},
        })
    };
    for (template, target, subject, equal) in [
        ("/{id}", "/alice", json!("alice"), true),
        ("/{id}", "/alice/", json!("alice"), true),
        ("/{id}", "/Alice", json!("alice"), false),
        ("/{id}", "/caf%C3%A9", json!("caf\u{e9}"), true),
        ("/{id}", "/cafe%CC%81", json!("caf\u{e9}"), false),
        ("/{id}", "/a%40b", json!("a@b"), true),
        ("/{id}", "/a%20b", json!("a b"), true),
        ("/{id}", "/a+b", json!("a b"), false),
        ("/{id}", "/a%2Fb", json!("a/b"), false),
        ("/{id}", "/a%2Fb", json!("a%2Fb"), false),
        ("/{id}", "/100%25", json!("100%"), true),
        ("/{id}", "/alice.json", json!("alice"), false),
        ("/{id}", "/7", json!(7), false),
        ("/{id}", "/x", json!(""), false),
        ("/x/{id}/**", "/x/alice/y/z", json!("alice"), true),
        ("/x/{id}/**", "/x/bob/alice", json!("alice"), false),
        ("/{x}/{id}", "/alice/bob", json!("alice"), false),
    ] {
        let wanted = if equal { "allow 0" } else { "403 path_param_mismatch/subject 0" };
        let ask = Ask { target, ..with(json!({ "sub": subject })) };
        assert_eq!(answer(&compiled(rules(template)), &ask).verdict, wanted, "{target} {subject}");
    }
}

#[test]
fn requirements() {
    let verdict = |wanted: Value, claims: Value| decided(&[needs(wanted)], &with(claims));
    for (wanted, claims, result) in [
        (json!({"scopes": ["a"]}), json!({"scope": "ab A"}), "403 insufficient_scope 0"),
        (json!({"scopes": ["a", "b"]}), json!({"scope": "b a c"}), "allow 0"),
        (json!({"anyScope": ["a", "b"]}), json!({"scp": ["b"]}), "allow 0"),
        (json!({"roles": ["a b"]}), json!({"roles": "a b"}), "allow 0"),
        (json!({"roles": ["a"]}), json!({"roles": "a b"}), "403 role_missing 0"),
        (json!({"roles": ["a"]}), json!({"groups": ["a"]}), "403 role_missing 0"),
        (json!({"anyRole": ["a", "b"]}), json!({"roles": ["b"]}), "allow 0"),
        (json!({"anyGroup": ["a"]}), json!({"roles": ["a"]}), "403 role_missing 0"),
        (json!({"issuers": ["main"]}), json!({}), "allow 0"),
        (json!({"clients": ["a"]}), json!({"azp": "a"}), "allow 0"),
        (json!({"clients": ["a"]}), json!({"azp": "a", "client_id": "b"}), "403 client_not_allowed 0"),
        (json!({"clients": ["a", "b"]}), json!({"azp": "a", "client_id": "b"}), "allow 0"),
        (json!({"clients": ["a"]}), json!({}), "403 client_not_allowed 0"),
        (json!({"claims": [{"claim": "a", "anyOf": ["1"]}]}), json!({"a": [0, 1]}), "allow 0"),
        (json!({"claims": [{"claim": "a", "anyOf": ["1"]}]}), json!({"a": [[1]]}), "403 claim_mismatch 0"),
        (json!({"claims": [{"claim": "a", "anyOf": ["null", ""]}]}), json!({"a": null}), "403 claim_mismatch 0"),
        (
            json!({"claims": [{"claim": "a", "anyOf": ["x"]}, {"claim": "b", "anyOf": ["y"]}]}),
            json!({"a": "x"}),
            "403 claim_mismatch 0",
        ),
        (json!({"claims": [{"claim": "/a/b", "anyOf": ["true"]}]}), json!({"a": {"b": true}}), "allow 0"),
        (json!({"boundToken": true}), json!({}), "403 certificate_missing 0"),
        (json!({"maxAuthAgeMs": 60_000}), json!({"auth_time": NOW / 1000 - 90}), "allow 0"),
        (json!({"maxAuthAgeMs": 60_000}), json!({"auth_time": NOW / 1000 - 91}), "401 login_too_old 0"),
        (json!({"maxAuthAgeMs": 60_000}), json!({"auth_time": NOW / 1000 + 30}), "allow 0"),
        (json!({"maxAuthAgeMs": 60_000}), json!({"auth_time": NOW / 1000 + 31}), "401 login_too_old 0"),
        (json!({"maxAuthAgeMs": 60_000}), json!({"auth_time": "1800000000"}), "401 login_too_old 0"),
        (json!({"maxAuthAgeMs": u64::MAX}), json!({}), "401 login_too_old 0"),
    ] {
        assert_eq!(verdict(wanted.clone(), claims.clone()), result, "{wanted} {claims}");
    }
}

#[test]
fn the_clients_of_an_issuer_hold_for_every_rule_that_takes_its_tokens() {
    let policy = |rule: Value| json!({"issuers": [issuer(json!({"clients": ["app"]}))], "rules": [rule]});
    let token = rule(json!({"access": "Authenticated"}));
    for (claims, wanted) in [
        (json!({"azp": "app"}), "allow 0"),
        (json!({"azp": "evil"}), "403 client_not_allowed 0"),
        (json!({}), "403 client_not_allowed 0"),
        (json!({"azp": "app", "client_id": "evil"}), "403 client_not_allowed 0"),
    ] {
        assert_eq!(answer(&compiled(policy(token.clone())), &with(claims)).verdict, wanted);
    }
    let both = needs(json!({"clients": ["app", "other"]}));
    assert_eq!(answer(&compiled(policy(both)), &with(json!({"azp": "other"}))).verdict, "403 client_not_allowed 0");
    assert_eq!(answer(&compiled(policy(rule(json!({})))), &with(json!({"azp": "evil"}))).verdict, "allow 0");
}

#[test]
fn callers() {
    let verdict = |caller: Value, certificate: Option<PeerCertificate>| {
        decided(&[needs(json!({"callers": [caller]}))], &Ask { certificate, ..GET })
    };
    let partner = || Some(PeerCertificate { ca: "partner".into(), service_account: None, ..web() });
    for (caller, certificate, wanted) in [
        (json!({"ca": "cluster", "serviceAccount": "web/web"}), Some(web()), "allow 0"),
        (json!({"ca": "cluster", "serviceAccount": "web/other"}), Some(web()), "403 caller_not_allowed 0"),
        (json!({"ca": "partner", "serviceAccount": "web/web"}), Some(web()), "403 caller_not_allowed 0"),
        (json!({"ca": "cluster", "dns": "web.example.com"}), Some(web()), "allow 0"),
        (json!({"ca": "cluster", "dns": "web.example.com"}), partner(), "403 caller_not_allowed 0"),
        (json!({"ca": "partner", "dns": "web.example.com"}), partner(), "allow 0"),
        (json!({"ca": "cluster", "spiffe": "spiffe://cluster.local/ns/web/sa/web"}), Some(web()), "allow 0"),
        (
            json!({"ca": "cluster", "spiffe": "spiffe://cluster.local/ns/web/sa"}),
            Some(web()),
            "403 caller_not_allowed 0",
        ),
        // everything that is given must hold
        (
            json!({"ca": "cluster", "serviceAccount": "web/web", "dns": "other"}),
            Some(web()),
            "403 caller_not_allowed 0",
        ),
        (json!({"ca": "cluster", "serviceAccount": "web/web"}), None, "403 certificate_missing 0"),
    ] {
        assert_eq!(verdict(caller.clone(), certificate), wanted, "{caller}");
    }
}

#[test]
fn a_bound_token_is_checked_whether_the_rule_asks_or_not() {
    let token = [rule(json!({"access": "Authenticated"}))];
    let bound = || with(json!({"cnf": {"x5t#S256": "abc"}}));
    assert_eq!(decided(&token, &bound()), "401 token_invalid/certificate_binding 0");
    assert_eq!(decided(&token, &Ask { certificate: Some(web()), ..bound() }), "allow 0");
    let key = with(json!({"cnf": {"jkt": "abc"}}));
    assert_eq!(
        decided(&token, &Ask { certificate: Some(web()), ..key }),
        "401 token_invalid/unsupported_confirmation 0"
    );
    // A rule that needs no token does not care.
    assert_eq!(decided(&[rule(json!({}))], &bound()), "allow 0");
}

#[test]
fn methods() {
    for (listed, method, allowed) in [
        (json!(["GET"]), "GET", true),
        (json!(["GET"]), "HEAD", true),
        (json!(["HEAD"]), "GET", false),
        (json!(["POST"]), "HEAD", false),
        (json!([]), "PURGE", true),
        (json!(["PROPFIND"]), "PROPFIND", true),
        (json!(["GET", "POST"]), "PUT", false),
    ] {
        let wanted = if allowed { "allow 0" } else { "403 no_rule" };
        assert_eq!(decided(&[rule(json!({ "methods": listed }))], &Ask { method, ..GET }), wanted, "{listed} {method}");
    }
}
