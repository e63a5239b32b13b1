//! What holds for every policy and every request.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of tests that cannot go on has failed its test")]

#[path = "../src/testing.rs"]
mod testing;

use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use policy::decide::{Authenticate, Decision, Question, decide};
use policy::forward;
use policy::peer::Peer;
use policy::reason::TokenFault;
use policy::request::{CanonicalRequest, RequestHead, SizeLimits};
use policy::ruleset::Ruleset;
use policy::time::Timestamp;
use policy::token::{Unproven, VerifiedToken};
use policy::wire::{Body, FORMAT, Message, RulesetMessage, Snapshot};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use std::sync::Arc;
use testing::{body, require, rule};

/// A rule as it is drawn: template, hosts, methods, who may.
type Drawn = (&'static str, &'static [&'static str], &'static [&'static str], usize);

/// A request as it is drawn: method, host, path, the scopes of its token if it has one.
type Asked = (&'static str, &'static str, String, Option<&'static str>);

// Few of each, so that most requests find several rules.
const TEMPLATES: [&str; 8] = ["/**", "/a", "/a/**", "/{x}", "/{x}/**", "/a/b", "/a/{x}", "/{x}/b"];
const HOSTS: [&[&str]; 5] = [&[], &[], &[], &["h.com"], &["*.com"]];
const METHODS: [&[&str]; 4] = [&[], &[], &["GET"], &["POST"]];

fn access(kind: usize) -> Value {
    match kind {
        0 => json!("Anonymous"),
        1 => json!("Authenticated"),
        2 => json!("Certificate"),
        3 => require(json!({"scopes": ["read"]})),
        _ => require(json!({"scopes": ["write"]})),
    }
}

fn drawn() -> impl Strategy<Value = Drawn> {
    (select(&TEMPLATES[..]), select(&HOSTS[..]), select(&METHODS[..]), 0..5_usize)
}

fn asked() -> impl Strategy<Value = Asked> {
    let segment = select(&["a", "a", "b", "c", "A", "b.json", "a."][..]);
    let path = proptest::collection::vec(segment, 0..3).prop_map(|segments| format!("/{}", segments.join("/")));
    let scopes = proptest::option::of(select(&["", "read", "read write"][..]));
    (select(&["GET", "POST", "HEAD"][..]), select(&["h.com", "x.com", "org"][..]), path, scopes)
}

fn ruleset(rules: &[Drawn]) -> Ruleset {
    let rules: Vec<_> = rules
        .iter()
        .map(|(path, hosts, methods, kind)| {
            rule(json!({"path": path, "hosts": hosts, "methods": methods, "access": access(*kind)}))
        })
        .collect();
    let user = json!({"name": "x-user", "value": {"identity": "subject"}, "format": "Comma"});
    let forward = json!({"headers": [user]});
    Ruleset::new(&serde_json::from_value(body(json!({"rules": rules, "forward": forward}))).unwrap()).unwrap()
}

struct Judge<'a>(&'a Ruleset, &'static str);

impl Authenticate for Judge<'_> {
    fn authenticate(&mut self, token: &str) -> Result<Arc<VerifiedToken>, Unproven> {
        if token != "a.b.c" {
            return Err(Unproven::Fault(TokenFault::Malformed));
        }
        let Value::Object(claims) = json!({"sub": "alice", "scope": self.1}) else { panic!("no object") };
        Ok(Arc::new(VerifiedToken::assume(claims, self.0.issuers(), 0)?))
    }
}

/// Whether the request passes, with what identity headers; else status and code. And the template that was chosen.
#[derive(Clone, Debug, PartialEq)]
struct Verdict {
    passes: Option<Vec<(String, String)>>,
    refusal: Option<(u16, &'static str)>,
    template: Option<String>,
}

fn verdict(ruleset: &Ruleset, (method, host, path, scopes): &Asked) -> Verdict {
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static(host));
    if scopes.is_some() {
        headers.insert("authorization", HeaderValue::from_static("Bearer a.b.c"));
    }
    let (method, uri): (Method, Uri) = (method.parse().unwrap(), path.parse().unwrap());
    let head = RequestHead { method: &method, uri: &uri, version: Version::HTTP_11, headers: &headers };
    let request = CanonicalRequest::read(&head, ruleset.paths(), &SizeLimits::default()).unwrap();
    let now = Timestamp::from_millis(1_800_000_000_000);
    let question = Question { ruleset, head, request: &request, peer: &Peer::default(), now, begun: now };
    match decide(question, &mut Judge(ruleset, scopes.unwrap_or_default())) {
        Decision::Granted(granted) => {
            let permit = granted.discharge();
            let set = forward::identity_headers(&permit);
            let set = set.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
            let template = permit.rule().map(|rule| rule.path().to_owned());
            Verdict { passes: Some(set.collect()), refusal: None, template }
        }
        Decision::Refused(refused) => Verdict {
            passes: None,
            refusal: Some((refused.reason().status(), refused.reason().code())),
            template: refused.rule().map(|rule| rule.path().to_owned()),
        },
        Decision::Own(_) => panic!("no own path is asked for"),
    }
}

/// Smaller is more specific, for templates that match one path.
fn specificity(template: &str) -> Vec<u8> {
    let mut classes: Vec<u8> = template
        .split('/')
        .skip(1)
        .map(|segment| match segment {
            "**" => 3,
            _ if segment.starts_with('{') => 1,
            _ => 0,
        })
        .collect();
    if classes.last() != Some(&3) {
        classes.push(2);
    }
    classes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_order_of_rules_decides_nothing(
        (rules, turned) in proptest::collection::vec(drawn(), 1..12)
            .prop_flat_map(|rules| (Just(rules.clone()), Just(rules).prop_shuffle())),
        asked in asked(),
    ) {
        let (one, other) = (verdict(&ruleset(&rules), &asked), verdict(&ruleset(&turned), &asked));
        prop_assert_eq!(&one.passes, &other.passes);
        // Of rules that fail at the same check the first answers, and these may have different codes of one status.
        prop_assert_eq!(one.refusal.map(|(status, _)| status), other.refusal.map(|(status, _)| status));
        prop_assert_eq!(one.template, other.template);
    }

    #[test]
    fn another_rule_never_allows_what_a_more_specific_template_refuses(
        rules in proptest::collection::vec(drawn(), 1..12), added in drawn(), asked in asked(),
    ) {
        let before = verdict(&ruleset(&rules), &asked);
        let all = [&rules[..], &[added]].concat();
        let after = verdict(&ruleset(&all), &asked);
        if let (None, Some(refuses), Some(_)) = (&before.passes, &before.template, &after.passes) {
            prop_assert_eq!(after.template.as_deref(), Some(added.0), "what opens is the rule that was added");
            prop_assert!(specificity(added.0) <= specificity(refuses), "{} opened what {refuses} refused", added.0);
        }
    }

    #[test]
    fn what_travels_comes_back_as_it_was(
        rules in proptest::collection::vec(drawn(), 1..6), texts in proptest::collection::vec(".{0,40}", 4),
        port: u16, generation: i64,
    ) {
        let rules: Vec<_> = rules
            .iter()
            .map(|(path, hosts, methods, _)| {
                let access = require(json!({"scopes": texts, "claims": [{"claim": texts[0], "anyOf": texts}]}));
                rule(json!({"path": path, "hosts": hosts, "methods": methods, "access": access}))
            })
            .collect();
        let text = |at: usize| texts.get(at).unwrap();
        let policy = json!({"namespace": text(1), "name": text(2)});
        let written: Body = serde_json::from_value(body(json!({"rules": rules, "policy": policy}))).unwrap();
        let message = RulesetMessage::new(port, generation, &written).unwrap();
        prop_assert_eq!(message.body().unwrap(), written.clone());

        let line = Message::Ruleset(message.clone()).line().unwrap();
        let Message::Ruleset(again) = Message::read(line.trim_end().as_bytes()).unwrap() else { panic!("{line}") };
        prop_assert_eq!((again.port, again.generation, &again.revision), (port, generation, &message.revision));
        prop_assert_eq!(again.body().unwrap(), written.clone());

        let snapshot = Snapshot { format: FORMAT, rulesets: vec![message], keys: Vec::new() };
        let again = Snapshot::read(&serde_json::to_vec(&snapshot).unwrap()).unwrap();
        prop_assert_eq!(again.rulesets.first().unwrap().body().unwrap(), written);
    }
}
