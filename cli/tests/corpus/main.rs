//! The decision corpus, run three ways that must agree: by the library, by `doorward test`, and through the running proxy.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a helper of tests that cannot go on has failed its test"
)]

mod citations;
#[path = "../support/client.rs"]
mod client;
mod proxy;
mod stand_in;

use std::path::{Path, PathBuf};
use std::process::Command;

use cli::explain::{NamedCas, Outcome};
use cli::test::{Case, Expect, Fault, Suite, differences, judge, with_host};
use serde_json::Value;

fn corpus() -> Vec<Suite> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/corpus");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files.iter().map(|file| Suite::read(file).unwrap()).collect()
}

/// What the library says about every case of a suite.
fn by_library(suite: &Suite) -> Vec<Outcome> {
    let judge = judge(suite, &NamedCas::new()).unwrap();
    suite.tests.iter().map(|case| judge.answer(&with_host(&judge, case)).unwrap()).collect()
}

fn report(failures: &[String], cases: usize) {
    assert!(failures.is_empty(), "{} of {cases} cases:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn the_library_decides_as_written() {
    let mut failures = Vec::new();
    let mut cases = 0;
    for suite in corpus() {
        for (case, answer) in suite.tests.iter().zip(by_library(&suite)) {
            cases += 1;
            failures.extend(differences(case, &answer).iter().map(|difference| at(&suite, case, difference)));
        }
    }
    assert!(cases >= 300, "the corpus shrank to {cases} cases");
    report(&failures, cases);
}

#[test]
fn the_command_decides_as_the_library() {
    let suites = corpus();
    let output = Command::new(env!("CARGO_BIN_EXE_doorward"))
        .args(["test", "-o", "json"])
        .args(suites.iter().map(|suite| &suite.file))
        .output()
        .unwrap();
    let outcomes: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let cases: Vec<_> = suites
        .iter()
        .flat_map(|suite| suite.tests.iter().zip(by_library(suite)).map(move |(case, answer)| (suite, case, answer)))
        .collect();
    assert_eq!(outcomes.len(), cases.len());
    let mut failures = Vec::new();
    for ((suite, case, answer), outcome) in cases.iter().zip(&outcomes) {
        if outcome["passed"] != true
            || outcome["name"] != *case.name
            || outcome["answer"] != serde_json::to_value(answer.as_ref().ok()).unwrap()
            || outcome["unverified"] != serde_json::to_value(answer.as_ref().err().copied().map(Fault::from)).unwrap()
        {
            failures.push(at(suite, case, &outcome.to_string()));
        }
    }
    report(&failures, cases.len());
    assert!(output.status.success());
}

#[test]
fn the_proxy_decides_as_the_library() {
    let mut failures = Vec::new();
    let mut cases = 0;
    for suite in corpus() {
        let mut runner = proxy::Runner::new(&suite);
        for (case, answer) in suite.tests.iter().zip(by_library(&suite)) {
            cases += 1;
            failures.extend(runner.differences(case, &answer).iter().map(|difference| at(&suite, case, difference)));
        }
        runner.stop();
    }
    report(&failures, cases);
}

/// Every case cites the sentence that decides it; a case without is an opinion.
#[test]
fn every_case_cites_its_source_and_refusals_come_first() {
    let mut refusals = 0;
    let mut grants = 0;
    for suite in corpus() {
        let mut grants_here = 0;
        for case in &suite.tests {
            let (ids, words) = citations::cited(case.why.as_deref().unwrap_or_default());
            assert!(!ids.is_empty() && words.len() > 8, "{}", at(&suite, case, "no source"));
            match case.expect {
                Expect::Allow(_) | Expect::Own(_) => grants_here += 1,
                Expect::Deny(_) | Expect::Unverified(_) => {
                    assert_eq!(grants_here, 0, "{}", at(&suite, case, "a refusal below a grant"));
                    refusals += 1;
                }
            }
        }
        grants += grants_here;
    }
    assert!(refusals >= grants, "{refusals} refusals, {grants} grants");
}

fn at(suite: &Suite, case: &Case, difference: &str) -> String {
    format!("{}:{}: {}: {difference}", suite.file.file_name().unwrap().display(), case.line, case.name)
}
