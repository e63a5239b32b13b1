//! The answer to a request: one JSON object, every field always there.

use http::{HeaderMap, HeaderName};
use policy::CheckReport;
use policy::decide::{Decision, Explained, Refused};
use policy::forward;
use policy::permit::{Granted, Permit};
use policy::reason::Reason;
use serde::Serialize;
use serde_json::Value;

/// One line of the answer to `explain --requests`.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// `allow`, `deny` or `own`.
    pub effect: &'static str,
    /// The status of the proxy's answer; 200 where the application answers.
    pub status: u16,
    /// The stable code; none for refusals of the HTTP parser.
    pub code: Option<&'static str>,
    /// The stable word that narrows the code.
    pub detail: Option<&'static str>,
    /// The policy, as `namespace/name`.
    pub policy: Option<String>,
    /// The rule that decides.
    pub rule: Option<RuleRef>,
    /// The `WWW-Authenticate` of the answer.
    pub challenge: Option<String>,
    /// What the application gets.
    pub forward: Option<Forward>,
    /// Every check that was asked for.
    pub checks: Vec<Check>,
    /// Whether a denial was let pass.
    pub audit: bool,
}

/// A rule of a policy.
#[derive(Clone, Debug, Serialize)]
pub struct RuleRef {
    /// Its position, from 0.
    pub index: usize,
    /// Its template.
    pub path: String,
}

/// What the application gets.
#[derive(Clone, Debug, Serialize)]
pub struct Forward {
    /// The target.
    pub target: String,
    /// The configured headers that are set.
    pub set: Vec<(String, String)>,
    /// The client's fields that are removed, in lower case.
    pub removed: Vec<String>,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// The field that asks for it.
    pub check: &'static str,
    /// Whether it passed.
    pub pass: bool,
    /// What the policy asks for.
    pub wanted: Value,
    /// What the request has.
    pub got: Value,
}

impl From<CheckReport> for Check {
    fn from(report: CheckReport) -> Self {
        Self { check: report.check, pass: report.pass, wanted: report.wanted, got: report.got }
    }
}

impl Answer {
    fn denied(status: u16, code: Option<&'static str>, detail: Option<&'static str>) -> Self {
        Self {
            effect: "deny",
            status,
            code,
            detail,
            policy: None,
            rule: None,
            challenge: None,
            forward: None,
            checks: Vec::new(),
            audit: false,
        }
    }

    /// A refusal of the HTTP parser: the bare status.
    pub(super) fn of_parser(status: u16) -> Self {
        Self::denied(status, None, None)
    }

    /// A refusal that names no policy.
    pub(super) fn of_hygiene(reason: Reason) -> Self {
        Self::denied(reason.status(), Some(reason.code()), reason.detail())
    }

    /// The verdict of a policy about a request with the fields `sent`.
    pub(super) fn of_policy(policy: &str, explained: Explained, sent: &HeaderMap) -> Self {
        let checks = explained.checks.into_iter().map(Check::from).collect();
        match explained.decision {
            Decision::Refused(refused) => Self { checks, ..Self::of_refusal(policy, &refused) },
            Decision::Granted(granted) => Self::of_audited(policy, granted, checks, sent),
            Decision::Own(own) => Self {
                effect: "own",
                policy: Some(policy.to_owned()),
                checks,
                ..Self::denied(own.status(), Some("ok"), None)
            },
        }
    }

    fn of_refusal(policy: &str, refused: &Refused) -> Self {
        Self {
            policy: Some(policy.to_owned()),
            rule: refused.rule().map(RuleRef::new),
            challenge: refused.challenge(),
            ..Self::of_hygiene(refused.reason())
        }
    }

    /// A request that passes; where a denial was let pass, the decision is told as it would be.
    pub(super) fn of_audited(policy: &str, granted: Granted, checks: Vec<Check>, sent: &HeaderMap) -> Self {
        let told = match granted.audited() {
            Some(refused) => Self { audit: true, ..Self::of_refusal(policy, &refused) },
            None => Self {
                effect: "allow",
                policy: Some(policy.to_owned()),
                rule: granted.rule().map(RuleRef::new),
                ..Self::denied(200, Some("ok"), None)
            },
        };
        Self { forward: Some(Forward::new(&granted.discharge(), sent)), checks, ..told }
    }

    /// Takes the values out that could be personal: what checks saw, the target, and the headers that are set.
    pub fn redact(&mut self) {
        for check in &mut self.checks {
            check.got = Value::Null;
            // What is wanted of a segment is the caller's own attribute.
            if check.check == "pathParams" {
                check.wanted = Value::Null;
            }
        }
        if let Some(forward) = &mut self.forward {
            let values = forward.set.iter_mut().map(|(_, value)| value);
            values.chain([&mut forward.target]).for_each(|value| "…".clone_into(value));
        }
    }
}

impl RuleRef {
    fn new(rule: &policy::ruleset::Rule) -> Self {
        Self { index: rule.index(), path: rule.path().to_owned() }
    }
}

impl Forward {
    fn new(permit: &Permit, sent: &HeaderMap) -> Self {
        let set = forward::identity_headers(permit).into_iter();
        let removed = forward::removed(permit, sent);
        Self {
            target: permit.target().into_owned(),
            set: set
                .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
                .collect(),
            removed: removed.iter().map(HeaderName::to_string).collect(),
        }
    }
}
