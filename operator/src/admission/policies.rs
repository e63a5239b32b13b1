//! Policies that are made or changed: compiled as the operator will, and refused with everything that is found.

use std::sync::Arc;
use std::time::Duration;

use compile::ConfigMaps;
use compile::diagnostic::{Code, Diagnostic, Severity};
use compile::source::{Document, Places};
use futures_util::StreamExt as _;
use serde_json::Value;

use super::Lookup;
use super::review::{Answer, Cause, Review};

/// For all ConfigMaps of a policy together. The API server waits five seconds, and what was not found in time is a warning.
const LOOKUP_TIME: Duration = Duration::from_secs(2);
/// ConfigMaps that are looked up at once: a policy can refer to about a hundred, and the API server answers in milliseconds.
const LOOKUPS_AT_ONCE: usize = 8;
/// ConfigMaps that are looked up at all: 16 issuers with keys and bundle, and 32 CAs with their lists.
const MAX_LOOKUPS: usize = 96;

/// Whether there is anything to say: a policy that is deleted, or waits for that, must not be held up.
pub(super) fn is_looked_at(review: &Review) -> bool {
    let is_written = matches!(review.operation.as_str(), "CREATE" | "UPDATE");
    is_written && review.object.pointer("/metadata/deletionTimestamp").is_none_or(Value::is_null)
}

/// The ConfigMaps that a policy refers to.
#[derive(Debug, Default)]
pub(super) struct References {
    found: ConfigMaps,
    /// Whether some could not be looked up.
    incomplete: bool,
}

impl References {
    pub(super) async fn look_up(review: &Review, lookup: &impl Lookup) -> Self {
        let names = compile::config_maps_of(&review.object);
        let mut references = Self { incomplete: names.len() > MAX_LOOKUPS, ..Self::default() };
        // Collected, for a stream over the closure itself could not be sent between threads.
        let each: Vec<_> =
            names.iter().take(MAX_LOOKUPS).map(|name| lookup.config_map(&review.namespace, name)).collect();
        let mut answers = futures_util::stream::iter(each).buffer_unordered(LOOKUPS_AT_ONCE);
        let all = async {
            while let Some(answer) = answers.next().await {
                match answer {
                    Ok(Some(config_map)) => drop(references.found.add(&config_map)),
                    Ok(None) => {}
                    Err(super::Unavailable) => references.incomplete = true,
                }
            }
        };
        let in_time = tokio::time::timeout(LOOKUP_TIME, all).await;
        references.incomplete |= in_time.is_err();
        references
    }
}

pub(super) fn answer(review: &Review, references: &References, settings: &compile::Settings) -> Answer {
    let mut policy = review.object.clone();
    // The namespace of the request counts; an object need not repeat it.
    if let Some(metadata) = policy.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("namespace".to_owned(), review.namespace.clone().into());
        // The API server names it after the webhooks have been asked.
        metadata.entry("name").or_insert_with(|| "unnamed".into());
    }
    let document = Document { file: Arc::from(""), value: policy, places: Places::default() };
    let (_, found) = compile::compile(&document, &references.found, settings);
    let later = |diagnostic: &Diagnostic| diagnostic.code == Code::MissingReference;
    let is_fault = |diagnostic: &&Diagnostic| diagnostic.severity == Severity::Error && !later(diagnostic);
    let causes: Vec<Cause> = found.iter().filter(is_fault).map(cause).collect();
    // Who changes a label of a policy that was already as it is did not make the fault.
    let spec_is_new = review.object.get("spec") != review.old_object.get("spec");
    if !causes.is_empty() && spec_is_new {
        tracing::info!(namespace = review.namespace, policy = review.name(), faults = causes.len(), "policy refused");
        return Answer::invalid("ApiAuthPolicy", review.name(), &causes);
    }
    let warning = |diagnostic: &Diagnostic| match later(diagnostic) {
        true => missing(diagnostic, references.incomplete),
        false => line(diagnostic),
    };
    Answer::allowed().with_warnings(found.iter().map(warning).collect())
}

fn cause(diagnostic: &Diagnostic) -> Cause {
    let hint = diagnostic.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
    let field = if diagnostic.path.is_empty() { "spec".to_owned() } else { diagnostic.path.clone() };
    Cause { field, message: format!("{}{hint}", diagnostic.message) }
}

fn line(diagnostic: &Diagnostic) -> String {
    let Cause { field, message } = cause(diagnostic);
    format!("{field}: {message}")
}

fn missing(diagnostic: &Diagnostic, incomplete: bool) -> String {
    let until = "the policy is not accepted until it is there";
    let Diagnostic { path, message, .. } = diagnostic;
    if incomplete {
        return format!("{path}: not all ConfigMaps could be looked up now, and perhaps {message}; {until}");
    }
    format!("{path}: {message}; {until}")
}
