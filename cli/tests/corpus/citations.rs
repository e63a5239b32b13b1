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

/// What cases can show of a sentence that one request on a new connection cannot show both ways.
enum Shown {
    Refusals,
    Grants,
    Nothing,
}

/// These sentences, with the reason; each names a test for the rest. Every other one has a case that refuses and one that grants.
const ONE_SIDED: [(&str, Shown, &[&str]); 7] = [
    ("the form of a refusal", Shown::Refusals, &["answer-4", "answer-5", "answer-6"]),
    ("which of several faults is named", Shown::Refusals, &["route-13", "answer-7", "token-15"]),
    (
        "what the application gets of a request that passes",
        Shown::Grants,
        &[
            "route-15",
            "audit-4",
            "framing-4",
            "framing-5",
            "proxy-7",
            "set-1",
            "set-2",
            "set-3",
            "set-4",
            "set-5",
            "set-6",
        ],
    ),
    (
        "fields that a case does not look at, other protocols, and the application's own answers",
        Shown::Nothing,
        &["answer-1", "answer-2", "answer-9", "cors-2", "header-5"],
    ),
    ("what the HTTP parser makes plain before anybody sees it", Shown::Nothing, &["framing-2", "framing-6"]),
    ("policies, and connections that are older than the policy", Shown::Nothing, &["cert-5", "cert-6", "cert-7"]),
    ("times", Shown::Nothing, &["time-1", "time-2", "time-3", "time-4", "time-5", "time-6", "time-7"]),
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

/// Whether a case shows that something passes. A denial that Audit lets pass shows that of Audit, and of nothing else.
fn grants(case: &Case, id: &str) -> bool {
    match &case.expect {
        Expect::Allow(_) | Expect::Own(_) => true,
        Expect::Unverified(_) => false,
        Expect::Deny(deny) => id.starts_with("audit-") && deny.full().audit == Some(true),
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
                *(if grants(case, id) { &mut shown.grants } else { &mut shown.refusals }) += 1;
            }
        }
    }
    let known = tests_of_the_repository();
    let one_sided: BTreeMap<&str, &Shown> =
        ONE_SIDED.iter().flat_map(|(_, shown, ids)| ids.iter().map(move |id| (*id, shown))).collect();
    for (id, Sentence { tests, refusals, grants }) in &sentences {
        println!("{id:12} {refusals:4} refused {grants:4} granted  {}", tests.join(" "));
        let (refused, granted) = (*refusals > 0, *grants > 0);
        let fits = match one_sided.get(id.as_str()) {
            None => refused && granted,
            Some(Shown::Refusals) => refused && !granted && !tests.is_empty(),
            Some(Shown::Grants) => granted && !refused && !tests.is_empty(),
            Some(Shown::Nothing) => !refused && !granted && !tests.is_empty(),
        };
        if !fits {
            faults
                .push(format!("[{id}]: {refusals} refuse, {grants} grant, tests {tests:?}: not as it is to be shown"));
        }
        for test in tests.iter().filter(|test| !known.contains(*test)) {
            faults.push(format!("[{id}]: there is no test `{test}`"));
        }
    }
    faults.extend(one_sided.keys().filter(|id| !positions.contains_key(**id)).map(|id| format!("[{id}]: no sentence")));
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
