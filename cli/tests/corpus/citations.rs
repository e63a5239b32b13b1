//! The sentences of `docs/decisions.md` that decide something, and the cases that show each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use cli::test::{Case, Expect, Suite};
use policy::reason::Reason;

/// Where the sentences stand.
const DOCUMENT: &str = "docs/decisions.md";

/// What stands before the names of the tests that show a sentence.
const MARKER: &str = "Shown by ";

/// The sentences that decide nothing about a request by itself, by what they are about: no pair of a refusal and a grant can show
/// them, and each names a test. Every other sentence has a case of both.
const WITHOUT_A_PAIR: [(&str, &[&str]); 5] = [
    (
        "the form of a refusal, and the application's own answers",
        &["answer-1", "answer-2", "answer-3", "answer-4", "answer-5", "answer-6", "answer-9", "cors-2"],
    ),
    (
        "what the application gets of a request that passes",
        &["route-15", "audit-4", "proxy-7", "set-1", "set-2", "set-3", "set-4", "set-5", "set-6", "header-5"],
    ),
    ("a request that the parser makes plain before anybody sees it", &["framing-2"]),
    ("policies, and connections over time", &["cert-5", "cert-6", "cert-7"]),
    ("times", &["time-1", "time-2", "time-3", "time-4", "time-5", "time-6", "time-7"]),
];

/// A sentence: the tests that it names, and how many cases show it.
#[derive(Default)]
struct Sentence {
    tests: Vec<String>,
    refusals: usize,
    grants: usize,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn document() -> String {
    std::fs::read_to_string(root().join(DOCUMENT)).unwrap()
}

/// The sentences in the order of the document.
fn sentences() -> Vec<(String, Sentence)> {
    let text = document();
    let mut items: Vec<String> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if let Some(item) = line.strip_prefix("- **[") {
            items.push(item.to_owned());
            inside = true;
        } else if line.starts_with("  ") && inside {
            let item = items.last_mut().unwrap();
            item.push(' ');
            item.push_str(line.trim());
        } else {
            inside = false;
        }
    }
    items.iter().map(|item| sentence(item)).collect()
}

/// `route-1]** words. Shown by `name`, `name`.`
fn sentence(item: &str) -> (String, Sentence) {
    let (id, words) = item.split_once("]** ").unwrap_or_else(|| panic!("no sentence: {item}"));
    let tests = words.split_once(MARKER).map_or("", |(_, tests)| tests);
    let tests = tests.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    (id.to_owned(), Sentence { tests, ..Sentence::default() })
}

/// The ids at the beginning of a `why`, and the words behind them.
pub(super) fn cited(why: &str) -> (Vec<&str>, &str) {
    let (mut ids, mut rest) = (Vec::new(), why);
    while let Some((id, behind)) = rest.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        ids.push(id);
        rest = behind;
    }
    (ids, rest)
}

/// Whether a case shows that something passes. A denial that Audit lets pass does.
fn grants(case: &Case) -> bool {
    match &case.expect {
        Expect::Allow(_) | Expect::Own(_) => true,
        Expect::Unverified(_) => false,
        Expect::Deny(deny) => deny.full().audit == Some(true),
    }
}

/// The names of all functions below `#[test]` in the repository.
fn tests_of_the_repository() -> BTreeSet<String> {
    let listed = Command::new("git").args(["ls-files", "*.rs"]).current_dir(root()).output().unwrap();
    assert!(listed.status.success(), "git is needed to list the files");
    let mut names = BTreeSet::new();
    for file in String::from_utf8(listed.stdout).unwrap().lines() {
        let Ok(text) = std::fs::read_to_string(root().join(file)) else { continue };
        let mut marked = false;
        for line in text.lines().map(str::trim) {
            if line == "#[test]" || line.starts_with("#[tokio::test") {
                marked = true;
            } else if let Some((_, name)) = line.split_once("fn ").filter(|_| marked) {
                names.insert(name.split('(').next().unwrap().to_owned());
                marked = false;
            }
        }
    }
    names
}

#[test]
#[allow(clippy::print_stdout, reason = "the list is what one wants to read: `-- --nocapture`")]
fn every_sentence_is_shown_by_a_refusal_and_a_grant() {
    let mut sentences = sentences();
    let positions: BTreeMap<String, usize> =
        sentences.iter().enumerate().map(|(position, (id, _))| (id.clone(), position)).collect();
    assert_eq!(positions.len(), sentences.len(), "two sentences have one id");
    let mut faults = Vec::new();
    for suite in super::corpus() {
        for case in &suite.tests {
            for id in cited(case.why.as_deref().unwrap_or_default()).0 {
                let Some(position) = positions.get(id) else {
                    faults.push(unknown(&suite, case, id));
                    continue;
                };
                let shown = &mut sentences[*position].1;
                *(if grants(case) { &mut shown.grants } else { &mut shown.refusals }) += 1;
            }
        }
    }
    let known = tests_of_the_repository();
    let without: BTreeSet<&str> = WITHOUT_A_PAIR.iter().flat_map(|(_, ids)| *ids).copied().collect();
    for (id, Sentence { tests, refusals, grants }) in &sentences {
        println!("{id:12} {refusals:4} refused {grants:4} granted  {}", tests.join(" "));
        let is_pair = *refusals > 0 && *grants > 0;
        match without.contains(id.as_str()) {
            false if !is_pair => faults.push(format!("[{id}]: {refusals} cases refuse and {grants} grant")),
            true if is_pair => faults.push(format!("[{id}]: has a pair of cases: take it off the list")),
            true if tests.is_empty() => faults.push(format!("[{id}]: no test is named")),
            _ => {}
        }
        for test in tests.iter().filter(|test| !known.contains(*test)) {
            faults.push(format!("[{id}]: there is no test `{test}`"));
        }
    }
    faults.extend(without.iter().filter(|id| !positions.contains_key(**id)).map(|id| format!("[{id}]: no sentence")));
    assert!(sentences.len() > 100, "the document shrank to {} sentences", sentences.len());
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

fn unknown(suite: &Suite, case: &Case, id: &str) -> String {
    super::at(suite, case, &format!("{DOCUMENT} has no sentence `{id}`"))
}

/// The table of answers in the document is that of the code.
#[test]
fn the_table_of_answers_names_every_code_and_detail() {
    let text = document();
    let rows: BTreeSet<(String, String)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|row| row.split_once("` | "))
        .map(|(code, rest)| (code.to_owned(), rest.split(' ').next().unwrap().to_owned()))
        .collect();
    let wanted = Reason::all().into_iter().map(|reason| (reason.code().to_owned(), reason.status().to_string()));
    assert_eq!(rows, wanted.collect());
    for detail in Reason::all().into_iter().filter(|reason| reason.code() != "path_param_mismatch") {
        let Some(detail) = detail.detail() else { continue };
        assert!(text.contains(&format!("`{detail}`")), "{DOCUMENT} does not name the detail `{detail}`");
    }
}
