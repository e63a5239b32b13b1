//! The house rules that a program can see.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a helper of tests that cannot go on has failed its test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines of a source file without its tests.
const MAX_LINES: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every file that is not ignored, with its text.
fn files(ending: &str) -> Vec<(PathBuf, String)> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "git is needed to list the files");
    let names = String::from_utf8(output.stdout).unwrap();
    let paths = names.lines().filter(|name| name.ends_with(ending)).map(PathBuf::from);
    let found: Vec<_> =
        paths.filter_map(|path| Some((path.clone(), std::fs::read_to_string(root().join(path)).ok()?))).collect();
    assert!(!found.is_empty(), "no {ending} file found");
    found
}

#[test]
fn files_stay_small_enough_to_be_read() {
    for (path, text) in files(".rs") {
        let is_test = path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs");
        let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
        assert!(is_test || lines <= MAX_LINES, "{}: {lines} lines; one idea a file", path.display());
        assert!(!path.ends_with("mod.rs"), "{}: write `foo.rs` beside `foo/`", path.display());
    }
}

#[test]
fn text_is_clean() {
    for ending in [".rs", ".md", ".yaml", ".toml", ".js", "Makefile"] {
        for (path, text) in files(ending) {
            for (number, line) in text.lines().enumerate() {
                assert!(line == line.trim_end(), "{}:{}: white space at the end", path.display(), number + 1);
            }
            assert!(text.is_empty() || text.ends_with('\n'), "{}: no line break at the end", path.display());
        }
    }
}

/// A file that no module declares is never compiled, and its tests never run.
#[test]
fn every_source_file_is_declared() {
    let sources = files(".rs");
    let texts: BTreeMap<_, _> = sources.iter().map(|(path, text)| (path.as_path(), text.as_str())).collect();
    for path in texts.keys() {
        let is_root = path.file_name().is_some_and(|name| name == "lib.rs" || name == "main.rs");
        let integration_test = path
            .parent()
            .and_then(Path::file_name)
            .is_some_and(|name| name == "tests" || name == "benches" || name == "bin");
        if is_root || integration_test {
            continue;
        }
        let (folder, name) = (path.parent().unwrap(), path.file_stem().unwrap().to_str().unwrap());
        let parents = [folder.with_extension("rs"), folder.join("lib.rs"), folder.join("main.rs")];
        let declares =
            |text: &&str| text.lines().any(|line| line.trim().strip_suffix(&format!("mod {name};")).is_some());
        let by_path = |text: &&str| text.contains("#[path") && text.contains(&format!("{name}.rs"));
        let declared = parents.iter().filter_map(|parent| texts.get(parent.as_path())).any(declares);
        assert!(declared || texts.values().any(by_path), "{}: declared by no module", path.display());
    }
}

/// Who may know whom; see ARCHITECTURE.md. A crate cannot name what it does not depend on.
#[test]
fn dependencies_point_the_right_way() {
    let forbidden: [(&str, &[&str]); 6] = [
        ("crds", &["policy", "compile", "issuer", "sidecar", "operator", "cli", "tokio", "hyper"]),
        (
            "policy",
            &["crds", "compile", "issuer", "sidecar", "operator", "cli", "tokio", "hyper", "kube", "tracing", "log"],
        ),
        ("compile", &["issuer", "sidecar", "operator", "cli", "tokio", "hyper"]),
        ("issuer", &["crds", "compile", "sidecar", "operator", "cli", "kube", "kube-core", "k8s-openapi"]),
        (
            "sidecar",
            &[
                "crds",
                "compile",
                "issuer",
                "operator",
                "cli",
                "kube",
                "kube-core",
                "k8s-openapi",
                "serde_yaml",
                "serde-saphyr",
            ],
        ),
        ("operator", &["sidecar", "cli"]),
    ];
    for (crate_name, names) in forbidden {
        let (everything, own) = (dependencies(crate_name, None), dependencies(crate_name, Some(1)));
        for name in names {
            // A library may log for its own sake; ours must not name a logger.
            let seen = if matches!(*name, "log" | "tracing") { &own } else { &everything };
            assert!(!seen.contains(*name), "`{crate_name}` depends on `{name}`");
        }
    }
    let everything = dependencies("cli", None);
    assert!(everything.contains("aws-lc-rs"));
    for second_provider in ["ring", "openssl", "native-tls", "rsa"] {
        assert!(!everything.contains(second_provider), "a second provider of cryptography: `{second_provider}`");
    }
}

/// `unsafe` is forbidden, and panics are denied, once for all; a crate that does not take these lints would go without.
#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let manifests = files("Cargo.toml");
    let (_, workspace) = manifests.iter().find(|(path, _)| path == Path::new("Cargo.toml")).unwrap();
    assert!(workspace.contains("\nunsafe_code = \"forbid\"\n"));
    for member in
        workspace.lines().find_map(|line| line.strip_prefix("members = ")).unwrap().split('"').skip(1).step_by(2)
    {
        let (_, text) = manifests.iter().find(|(path, _)| *path == Path::new(member).join("Cargo.toml")).unwrap();
        assert!(text.contains("\n[lints]\nworkspace = true\n"), "{member}: add `[lints] workspace = true`");
    }
}

/// The names of what a crate is built with, down to a depth.
fn dependencies(crate_name: &str, depth: Option<u32>) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["tree", "--offline", "--locked", "--prefix", "none", "-e", "normal,build", "-p", crate_name])
        .current_dir(root());
    if let Some(depth) = depth {
        cargo.args(["--depth", &depth.to_string()]);
    }
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().skip(1).filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// A file of tests that CI does not name would never run there.
#[test]
fn every_test_is_run_by_ci() {
    let suites = std::fs::read_to_string(root().join(".ci/suites")).unwrap();
    for (path, _) in files(".rs") {
        let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
        let name = match parts.iter().map(AsRef::as_ref).collect::<Vec<&str>>()[..] {
            [_, "tests", file] => file.trim_end_matches(".rs").to_owned(),
            [_, "tests", folder, "main.rs"] => folder.to_owned(),
            _ => continue,
        };
        assert!(suites.contains(&format!("--test {name}")), "{}: not in .ci/suites", path.display());
    }
}
