//! The objects of `e2e/objects`.

use std::path::Path;

use compile::source;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A policy that both accept.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Valid {
    pub(crate) name: String,
    pub(crate) why: String,
    /// The codes of what `compile` warns of.
    #[serde(default)]
    pub(crate) warnings: Vec<String>,
    pub(crate) spec: Value,
}

/// A policy that one of them refuses.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Invalid {
    pub(crate) name: String,
    pub(crate) why: String,
    pub(crate) by: By,
    /// The field, as `kubectl` prints it.
    pub(crate) path: String,
    /// The code of `compile`, where that refuses.
    #[serde(default)]
    pub(crate) code: Option<String>,
    /// The field that `doorward check` names, where it names another.
    #[serde(default)]
    pub(crate) offline: Option<String>,
    /// A part of the message.
    #[serde(default)]
    pub(crate) says: String,
    pub(crate) spec: Value,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum By {
    Schema,
    Cel,
    Compile,
}

pub(crate) fn valid() -> Vec<Valid> {
    read("valid.yaml")
}

pub(crate) fn invalid() -> Vec<Invalid> {
    read("invalid.yaml")
}

fn read<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("objects").join(name);
    let text = std::fs::read_to_string(&file).unwrap();
    let documents = source::read(name, &text).unwrap_or_else(|faults| panic!("{name}: {faults:?}"));
    let case = |document: source::Document| {
        serde_json::from_value(document.value.clone()).unwrap_or_else(|error| panic!("{error}: {}", document.value))
    };
    documents.into_iter().map(case).collect()
}

#[test]
fn there_are_enough_and_each_says_why() {
    let (valid, invalid) = (valid(), invalid());
    assert!(valid.len() >= 30 && invalid.len() >= 60, "{} valid, {} invalid", valid.len(), invalid.len());
    for by in [By::Schema, By::Cel, By::Compile] {
        let count = invalid.iter().filter(|case| case.by == by).count();
        assert!(count >= 15, "only {count} by {by:?}");
    }
    let mut names: Vec<_> = valid.iter().map(|case| (&case.name, &case.why)).collect();
    names.extend(invalid.iter().map(|case| (&case.name, &case.why)));
    assert!(names.iter().all(|(_, why)| !why.is_empty()));
    let count = names.len();
    names.sort();
    names.dedup_by_key(|(name, _)| *name);
    assert_eq!(names.len(), count, "two cases have one name");
    for case in &invalid {
        assert_eq!(case.code.is_some(), case.by == By::Compile, "{}: a code is what `compile` gives", case.name);
    }
}
