//! `doorward demo`, as a person runs it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a helper of tests that cannot go on has failed its test"
)]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

const POLICY: &str = include_str!("../src/demo/policy.yaml");

fn demo() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    command.args(["demo", "--listen", "127.0.0.1:0"]);
    command
}

#[test]
fn every_command_of_the_story_answers_as_told() {
    let output = demo().arg("--check").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.ends_with("24 passed, 0 failed\n"), "{text}");
}

/// The check can fail: whichever rule is changed, it shows.
#[test]
fn every_changed_rule_is_noticed() {
    let changes = [
        ("path: /health, allow: Anonymous", "path: /health, allow: Authenticated"),
        ("methods: [GET], allow: Authenticated", "methods: [GET], allow: Anonymous"),
        (r#"scopes: ["users:write"]"#, r#"scopes: ["users:read"]"#),
        ("pathParams: {id: subject}", "scopes: [x]"),
        ("roles: [admin]", "roles: [root]"),
        ("roles: [admin]", "anyRole: [admin, clerk]"),
        ("path: /admin/**", "path: /admin"),
        ("path: /admin/**, ", "path: /admin/**, methods: [GET], "),
        ("methods: [GET]", "methods: [GET, DELETE]"),
        ("methods: [POST]", "methods: [POST, DELETE]"),
    ];
    for (from, to) in changes {
        assert!(POLICY.contains(from), "{from}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.yaml");
        std::fs::write(&file, POLICY.replace(from, to)).unwrap();
        let output = demo().arg("--check").arg("--policy").arg(&file).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{to}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn it_waits_with_commands_and_takes_its_folder_along() {
    let mut running = demo().stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines().map(Result::unwrap);
    let export = lines.find(|line| line.contains("export D=")).unwrap();
    let folder = PathBuf::from(export.trim().trim_start_matches("export D="));
    assert!(lines.any(|line| line.contains("curl -K $D/web")));
    assert!(lines.any(|line| line.starts_with("Stop with Ctrl-C")));
    assert!(folder.join("alice.jwt").is_file());
    let stopped = Command::new("kill").args(["-INT", &running.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    assert!(running.wait().unwrap().success());
    assert!(!folder.exists(), "{} is still there", folder.display());
}
