//! Paths that others collected: nothing that some reader takes for another path comes out canonical.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a helper of tests that cannot go on has failed its test"
)]

use http::{HeaderMap, Method, Uri, Version};
use policy::request::{CanonicalRequest, RequestHead, SizeLimits};
use policy::ruleset::Paths;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The canonical path of a target, where neither the parser nor we refuse it.
fn canonical(target: &str, encoded_slash: bool) -> Option<String> {
    let uri: Uri = target.parse().ok()?;
    let mut headers = HeaderMap::new();
    headers.insert(http::header::HOST, "localhost".parse().unwrap());
    let head = RequestHead { method: &Method::GET, uri: &uri, version: Version::HTTP_11, headers: &headers };
    let paths = Paths { encoded_slash, case_insensitive: false };
    Some(CanonicalRequest::read(&head, paths, &SizeLimits::default()).ok()?.path().to_owned())
}

/// A file of vectors; none, said by name, where the folder is not there.
fn vectors(file: &str, test: &str) -> Option<String> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors")).join(file);
    if !path.exists() {
        println!("{test} is skipped: there is no {}", path.display());
        return None;
    }
    Some(String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned())
}

fn decoded(text: &str) -> String {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((byte, tail)) = rest.split_first() {
        let escape = tail.get(..2).and_then(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        match escape.filter(|_| *byte == b'%') {
            Some(byte) => {
                out.push(byte);
                rest = &tail[2..];
            }
            None => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// What no canonical path may hold, however often an application decodes it and wherever it splits.
fn assert_harmless(path: &str, from: &str) {
    let mut text = path.to_owned();
    for _ in 0..4 {
        let inner = text.strip_prefix('/').unwrap();
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        assert!(!text.contains(['\\', ';']) && !text.chars().any(char::is_control), "{from} gives {path}");
        let empty_or_dots = |segment: &str| matches!(segment, "" | "." | "..");
        assert!(inner.is_empty() || !inner.split('/').any(empty_or_dots), "{from} gives {path}");
        text = decoded(&text);
    }
    assert_eq!(decoded(&decoded(path)), decoded(path), "{from} gives {path}, which can be decoded twice");
    assert_eq!(
        canonical(path, true).as_deref(),
        Some(path),
        "{from} gives {path}, which is not its own canonical form"
    );
}

#[test]
fn paths_of_istio() {
    let Some(text) = vectors("istio-path-normalization.json", "paths_of_istio") else { return };
    let cases: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut accepted = Vec::new();
    let mut seen = 0;
    for case in cases.as_array().unwrap() {
        let (raw, mode, out) =
            (case["in"].as_str().unwrap(), case["mode"].as_str().unwrap(), case["out"].as_str().unwrap());
        seen += 1;
        for encoded_slash in [false, true] {
            let Some(path) = canonical(raw, encoded_slash) else { continue };
            assert_harmless(&path, raw);
            assert_eq!(path, out, "what passes means the same in mode {mode}");
            accepted.push(raw);
        }
    }
    assert_eq!(seen, 66);
    accepted.sort_unstable();
    accepted.dedup();
    assert_eq!(accepted, ["/", "/app", "/app#foo", "/app/"], "everything else is ambiguous");
}

#[test]
fn traversals() {
    let mut seen = 0;
    let mut accepted = BTreeSet::new();
    for file in ["directory_traversal.txt", "deep_traversal.txt", "traversals-8-deep-exotic-encoding.txt"] {
        let Some(text) = vectors(file, "traversals") else { return };
        for line in text.lines() {
            seen += 1;
            let line = line.trim().replace("{FILE}", "etc/passwd");
            for target in
                [line.clone(), format!("/{line}"), format!("/static/{line}"), format!("http://localhost/{line}")]
            {
                for encoded_slash in [false, true] {
                    if let Some(path) = canonical(&target, encoded_slash) {
                        assert_harmless(&path, &target);
                        accepted.insert(line.clone());
                    }
                }
            }
        }
    }
    assert!(seen > 1900, "{seen}");
    // What passes are names that no application takes for `..`, such as `0x2e0x2e` and `....`.
    assert!(accepted.len() < seen / 15, "{} of {seen}: most of these must be refused", accepted.len());
}
