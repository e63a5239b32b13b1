//! The files of `-f`: policies and the ConfigMaps that they refer to.

mod twins;

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use compile::diagnostic::{Diagnostic, Severity};
use compile::source::{self, Document, MAX_FILE};
use compile::{Compiled, ConfigMaps, Settings};

/// What the files hold.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The policies that can be used.
    pub policies: Vec<Compiled>,
    /// Everything found in all files.
    pub diagnostics: Vec<Diagnostic>,
    /// Objects that are neither policies nor ConfigMaps, each as `kind name in file`.
    pub skipped: Vec<String>,
}

impl Loaded {
    /// Whether any policy is refused.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

/// A policy was refused; the diagnostics tell why.
#[derive(Debug)]
pub struct Refused(pub Vec<Diagnostic>);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(f, "{line_break}{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

/// Reads and compiles every policy of the files; `-` is standard input.
///
/// # Errors
/// Where a file cannot be read. What is wrong with its contents stands in the diagnostics.
pub fn load(files: &[PathBuf], settings: &Settings) -> anyhow::Result<Loaded> {
    let mut loaded = Loaded::default();
    let mut documents = Vec::new();
    for file in files {
        let text = read(file)?;
        match source::read(&file.display().to_string(), &text) {
            Ok(read) => documents.extend(read.into_iter().flat_map(source::objects)),
            Err(faults) => loaded.diagnostics.extend(faults),
        }
    }
    let mut config_maps = ConfigMaps::default();
    let others: Vec<Document> = documents.into_iter().filter(|document| !config_maps.add(&document.value)).collect();
    let mut names = twins::Names::default();
    for document in others {
        let kind = document.value.get("kind").and_then(serde_json::Value::as_str);
        // A misspelt kind of our own must not be skipped as somebody else's.
        let ours = document.value.get("apiVersion").and_then(serde_json::Value::as_str).is_some_and(is_of_our_group);
        if ours || kind.is_none_or(|kind| kind == "ApiAuthPolicy") {
            let (compiled, found) = compile::compile(&document, &config_maps, settings);
            loaded.diagnostics.extend(found);
            if let Some(twice) = names.add(&document) {
                loaded.diagnostics.push(twice);
                continue;
            }
            let twin = compiled.as_ref().and_then(|policy| twins::same_pods(&loaded.policies, policy, &document));
            loaded.diagnostics.extend(twin);
            loaded.policies.extend(compiled);
        } else {
            let object = document.object().map_or_else(|| "object".to_owned(), |object| object.to_string());
            loaded.skipped.push(format!("{object} in {}", document.file));
        }
    }
    Ok(loaded)
}

fn is_of_our_group(api_version: &str) -> bool {
    api_version.split_once('/').is_some_and(|(group, _)| group == "doorward.dev")
}

/// The policies of the files, all of which must be usable; warnings are handed back.
///
/// # Errors
/// Where a file cannot be read, holds no policy, or a policy is refused ([`Refused`]).
pub fn load_usable(files: &[PathBuf], settings: &Settings) -> anyhow::Result<(Vec<Compiled>, Vec<Diagnostic>)> {
    let loaded = load(files, settings)?;
    if loaded.is_refused() {
        return Err(Refused(loaded.diagnostics).into());
    }
    let names = files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
    anyhow::ensure!(!loaded.policies.is_empty(), "no ApiAuthPolicy in {names}");
    Ok((loaded.policies, loaded.diagnostics))
}

/// Reads a text file, or standard input for `-`.
///
/// # Errors
/// Where it cannot be read, or is no UTF-8.
pub fn read(file: &Path) -> anyhow::Result<String> {
    // One byte more than is taken is enough for the reader to refuse it.
    let most = MAX_FILE as u64 + 1;
    let (read, name) = if file == Path::new("-") {
        (std::io::read_to_string(std::io::stdin().take(most)), "standard input".to_owned())
    } else {
        let opened = File::open(file).and_then(|opened| std::io::read_to_string(opened.take(most)));
        (opened, format!("`{}`", file.display()))
    };
    read.with_context(|| format!("cannot read {name}"))
}
