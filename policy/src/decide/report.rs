//! What was looked at before the rules, and by them.

use super::{Considered, Question};
use crate::authorize::{self, CheckReport, Outcome};
use crate::reason::Reason;
use crate::ruleset::Rule;
use crate::wire::TlsMode;
use serde_json::{Value, json};

/// Every check that was asked for, in order.
pub(super) fn of(question: Question, considered: &Considered) -> Vec<CheckReport> {
    let mut checks = vec![tls(question)];
    checks.extend(addresses(question));
    match considered {
        Considered::Own(_) => {}
        Considered::Before { reason: Reason::TlsMode | Reason::IpDenied, .. } => {}
        Considered::Before { rule, .. } => checks.push(route(question, *rule, false)),
        Considered::Rules { token, outcome, .. } => {
            let (Outcome::Pass(rule) | Outcome::Fail(rule, _)) = outcome;
            checks.push(route(question, Some(rule), true));
            checks.extend(authorize::report(rule, &question.facts(question.client(), token)));
        }
    }
    checks
}

fn tls(question: Question) -> CheckReport {
    let wanted = match question.ruleset.tls.mode {
        TlsMode::Mutual => json!("Mutual"),
        TlsMode::Optional => json!("Optional"),
        TlsMode::Permissive => json!("Permissive"),
        TlsMode::Plaintext => json!("Plaintext"),
    };
    let certificate = question.peer.certificate.as_ref();
    let got = match certificate {
        Some(certificate) => json!({ "ca": certificate.ca }),
        None if question.peer.plaintext => json!("plaintext"),
        None => Value::Null,
    };
    CheckReport { check: "tls", pass: question.ruleset.tls.takes(question.peer), wanted, got }
}

fn addresses(question: Question) -> Option<CheckReport> {
    let addresses = &question.ruleset.addresses;
    if addresses.allow.is_empty() && addresses.deny.is_empty() {
        return None;
    }
    let client = question.client();
    let wanted = json!({"allow": addresses.allow, "deny": addresses.deny});
    Some(CheckReport { check: "ip", pass: addresses.check(client).is_ok(), wanted, got: json!(client.address) })
}

fn route(question: Question, rule: Option<&Rule>, pass: bool) -> CheckReport {
    let request = question.request;
    let got = json!({"method": request.method().as_str(), "host": request.host().name(), "path": request.path()});
    CheckReport { check: "route", pass, wanted: json!(rule.map(Rule::path)), got }
}
