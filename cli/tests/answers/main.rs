//! The table of answers: what `curl` sees of every refusal, through the proxy in front of Express.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a helper of tests that cannot go on has failed its test"
)]

#[path = "../support/express.rs"]
mod express;
mod rows;
mod scene;

use rows::{ROWS, Row, Want};
use scene::{Scene, Seen};

/// All that differs at once: a table is repaired as a table.
#[test]
fn every_row_of_the_table_is_seen_by_curl() {
    let scene = Scene::start();
    let mut differences = Vec::new();
    for row in ROWS {
        let scheme = if row.name == "plaintext" { "http" } else { "https" };
        let seen = scene.curl(row.to, scheme, row.arguments);
        let found = differences_of(row, &seen);
        if !found.is_empty() {
            differences.push(format!("{}: {}\n    {seen:?}", row.name, found.join("; ")));
        }
    }
    let wanted = ROWS.iter().filter(|row| matches!(row.want, Want::Passed(_))).count();
    let arrived = scene.stop();
    if arrived.len() != wanted {
        differences
            .push(format!("{} requests reached the application, and {wanted} should: {arrived:?}", arrived.len()));
    }
    assert!(differences.is_empty(), "{} of {} rows differ:\n{}", differences.len(), ROWS.len(), differences.join("\n"));
}

fn differences_of(row: &Row, seen: &Seen) -> Vec<String> {
    let mut found = Vec::new();
    let mut expect = |what: &str, wanted: Option<&str>, got: Option<&str>| {
        if wanted != got {
            found.push(format!("{what}: wanted {wanted:?}, got {got:?}"));
        }
    };
    let status = seen.status.to_string();
    match row.want {
        Want::NoAnswer(complaint) => {
            expect("status", Some("0"), Some(&status));
            expect("curl's complaint", Some(complaint), seen.exit.find(complaint).map(|_| complaint));
            return found;
        }
        Want::Bare(wanted) => {
            expect("status", Some(wanted), Some(&status));
            expect("body", Some("null"), Some(&seen.body.to_string()));
            return found;
        }
        Want::Passed(fields) => {
            expect("curl", Some("0"), Some(&seen.exit));
            for (name, value) in fields {
                let got = seen.body["received"]["headers"].get(*name).and_then(|value| value.as_str());
                expect(name, *value, got);
            }
            return found;
        }
        Want::Problem(wanted, code, challenge) => {
            let text = |name: &str| seen.body[name].as_str();
            let got = text("detail").map(|detail| format!("{}/{detail}", text("code").unwrap_or_default()));
            let head_only = row.arguments.contains(&"-I");
            expect("status", Some(wanted), Some(&status));
            if !head_only {
                expect("code", Some(code), got.as_deref().or(text("code")));
                expect("request id", seen.field("x-request-id"), text("requestId"));
                expect("status in the document", Some(wanted), Some(&seen.body["status"].to_string()));
                expect("type", Some("yes"), text("type").and(text("title")).map(|_| "yes"));
            }
            expect("content-type", Some("application/problem+json"), seen.field("content-type"));
            expect("challenge", challenge, seen.field("www-authenticate"));
            expect("retry-after", (wanted == "503").then_some("5"), seen.field("retry-after"));
        }
        Want::Grpc(wanted, message, challenge) => {
            expect("status", Some("200"), Some(&status));
            expect("grpc-status", Some(wanted), seen.field("grpc-status"));
            expect("grpc-message", Some(message), seen.field("grpc-message"));
            expect("content-type", Some("application/grpc"), seen.field("content-type"));
            expect("challenge", challenge, seen.field("www-authenticate"));
        }
    }
    expect("curl", Some("0"), Some(&seen.exit));
    expect("cache-control", Some("no-store"), seen.field("cache-control"));
    let has_id = seen.field("x-request-id").is_some().to_string();
    expect("x-request-id is there", Some(if row.name == "plaintext" { "false" } else { "true" }), Some(&has_id));
    found
}
