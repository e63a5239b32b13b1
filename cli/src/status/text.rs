//! How policies stand, for people.

use std::io::{self, Write};

use jiff::Timestamp;

use super::PolicyReport;
use super::pods::{PodReport, State};
use super::sidecar::{Denial, Told};

/// Writes all reports, a paragraph each.
pub(super) fn write(out: &mut impl Write, reports: &[PolicyReport]) -> io::Result<()> {
    if reports.is_empty() {
        return writeln!(out, "no policy in this namespace; -A looks in all");
    }
    for (index, report) in reports.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        policy(out, report)?;
    }
    Ok(())
}

fn policy(out: &mut impl Write, report: &PolicyReport) -> io::Result<()> {
    let PolicyReport { namespace, name, generation, status, pods } = report;
    let summary = status.summary.as_ref();
    let mode = summary.map_or("", |summary| summary.mode.as_str());
    let counted = summary.map_or("?", |summary| summary.pods.as_str());
    writeln!(out, "{namespace}/{name}  generation {generation}  {mode}  pods {counted}")?;
    if status.conditions.is_empty() {
        writeln!(out, "  no operator has said anything about it yet")?;
    }
    if status.observed_generation.is_some_and(|seen| seen != *generation) {
        writeln!(out, "  what follows is about an older generation: the operator has not seen this one yet")?;
    }
    for condition in &status.conditions {
        let good = (condition.status == "True") != (condition.type_ == "Conflicted");
        let (mark, kind, reason) = (if good { "ok " } else { "!! " }, &condition.type_, &condition.reason);
        writeln!(out, "  {mark}{kind:<10} {:<5} {reason}: {}", condition.status, condition.message)?;
    }
    pods.iter().try_for_each(|one| pod(out, one, *generation))
}

fn pod(out: &mut impl Write, pod: &PodReport, generation: i64) -> io::Result<()> {
    let port = pod.port.map(|port| format!(" port {port}")).unwrap_or_default();
    let state = match (&pod.sidecar, pod.state) {
        (_, State::Ended) => "has ended".to_owned(),
        (_, State::NotInjected) => {
            "has no proxy: annotate the pod template with `doorward.dev/inject: \"true\"`".to_owned()
        }
        (Some(told), _) => of_sidecar(told, generation),
        (None, State::Enforced) => "enforces it".to_owned(),
        (None, State::Outdated) => "runs another generation, or has not told yet".to_owned(),
        (None, State::NotCaptured) => "its traffic goes round the proxy".to_owned(),
        (None, State::Unknown) => "not known".to_owned(),
    };
    writeln!(out, "  pod {}{port}: {state}", pod.name)?;
    if let Some(why) = &pod.unheard {
        writeln!(out, "      its sidecar was not heard: {why}")?;
    }
    if !pod.unprotected_ports.is_empty() {
        let ports = pod.unprotected_ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        writeln!(out, "      nothing protects its declared ports {ports}")?;
    }
    pod.sidecar.iter().flat_map(|told| &told.denials).try_for_each(|one| denial(out, one))
}

fn of_sidecar(told: &Told, generation: i64) -> String {
    let runs = match told.generation {
        Some(one) if one == generation => format!("enforces generation {one}"),
        Some(other) => format!("runs generation {other}"),
        None => "refuses everything: it has no policy".to_owned(),
    };
    let round = if told.captured { "" } else { "; its traffic goes round the proxy" };
    let fault =
        told.fault.as_ref().map(|fault| format!("; what came last cannot be used: {fault}")).unwrap_or_default();
    format!("{runs}{round}{fault}")
}

fn denial(out: &mut impl Write, denial: &Denial) -> io::Result<()> {
    let time = Timestamp::from_millisecond(denial.time).unwrap_or_default().strftime("%H:%M:%S").to_string();
    let detail = denial.detail.as_ref().map(|detail| format!("/{detail}")).unwrap_or_default();
    let rule = denial.rule.map(|rule| format!(", rule {rule}")).unwrap_or_default();
    writeln!(out, "      refused {time} {} {}: {}{detail}{rule}", denial.method, denial.path, denial.code)
}
