//! A file of policy tests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};
use compile::source::{self, Document};
use serde::Deserialize;
use serde_json::Value;

use super::Expect;
use crate::explain::{AssumedIdentity, Header, PeerInput, PeerNames, Request, Workload};
use crate::field;
use crate::load::{self, Refused};

/// The present moment of a test that names none.
pub const DEFAULT_NOW: &str = "2026-01-01T00:00:00Z";

/// One file.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The file.
    pub file: PathBuf,
    /// The files of its policies.
    pub policies: Vec<PathBuf>,
    /// Its tests.
    pub tests: Vec<Case>,
}

/// One test.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// The sentence that it follows from.
    pub why: Option<String>,
    /// The line in the file.
    pub line: u32,
    /// The request.
    pub request: Request,
    /// What is expected.
    pub expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSuite {
    policies: Vec<PathBuf>,
    tests: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    name: String,
    why: Option<String>,
    request: RawRequest,
    identity: Option<AssumedIdentity>,
    peer: Option<RawPeer>,
    now: Option<crate::explain::Moment>,
    port: Option<u16>,
    workload: Option<Workload>,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawRequest {
    method: String,
    target: Option<String>,
    target_base64: Option<String>,
    host: Option<String>,
    #[serde(default)]
    headers: Vec<Header>,
}

/// A peer, its names with or without `identity` around them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawPeer {
    ip: Option<std::net::IpAddr>,
    certificate: Option<String>,
    verified: Option<bool>,
    plaintext: Option<bool>,
    identity: Option<PeerNames>,
    ca: Option<String>,
    service_account: Option<String>,
    #[serde(default)]
    dns: OneOrMany,
    #[serde(default)]
    spiffe: OneOrMany,
}

#[derive(Default, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    #[default]
    None,
    One(String),
    Many(Vec<String>),
}

impl Suite {
    /// Reads a file of tests; paths in it are relative to it.
    ///
    /// # Errors
    /// Where it cannot be read, holds no tests, or a test is none.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let text = load::read(file)?;
        // Not `Refused`, which is said of policies.
        let unread = |faults| anyhow::Error::msg(Refused(faults).to_string());
        let documents = source::read(&file.display().to_string(), &text).map_err(unread)?;
        let [document] = documents.as_slice() else {
            bail!("`{}` holds {} documents, not one", file.display(), documents.len())
        };
        let raw: RawSuite = field::read(&document.value).map_err(|fault| {
            let line = document.places.nearest(&fault.pointer).line;
            anyhow::anyhow!("{}:{line}: no file of tests: {}", file.display(), fault.text)
        })?;
        ensure!(!raw.tests.is_empty(), "`{}` holds no tests", file.display());
        let folder = file.parent().unwrap_or(Path::new(""));
        let tests = raw
            .tests
            .iter()
            .enumerate()
            .map(|(index, test)| Case::read(document, index, test))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let mut names = BTreeSet::new();
        for test in &tests {
            ensure!(
                names.insert(&test.name),
                "{}:{}: a test has the name of another one: `{}`",
                document.file,
                test.line,
                test.name
            );
        }
        Ok(Self {
            file: file.to_owned(),
            policies: raw.policies.iter().map(|policy| folder.join(policy)).collect(),
            tests,
        })
    }
}

impl Case {
    fn read(document: &Document, index: usize, test: &Value) -> anyhow::Result<Self> {
        let line_of = |field: &str| document.places.nearest(&format!("/tests/{index}{field}")).line;
        let line = line_of("");
        let raw: RawCase = field::read(test).map_err(|fault| {
            let (line, cure) = (line_of(&fault.pointer), cure(&fault.pointer));
            anyhow::anyhow!("{}:{line}: not a test: {}{cure}", document.file, fault.text)
        })?;
        if let Expect::Deny(deny) = &raw.expect
            && let Some(fault) = deny.fault()
        {
            bail!("{}:{line}: not a test: {fault}", document.file);
        }
        let now = match raw.now {
            Some(now) => now,
            None => serde_json::from_value(Value::from(DEFAULT_NOW))?,
        };
        let host = raw.request.host.map(|host| ("host".to_owned(), host));
        let request = Request {
            method: raw.request.method,
            target: raw.request.target,
            target_base64: raw.request.target_base64,
            headers: host.into_iter().chain(raw.request.headers).collect(),
            peer: raw.peer.map(RawPeer::into_input),
            now: Some(now),
            port: raw.port,
            workload: raw.workload,
            identity: raw.identity,
        };
        Ok(Self { name: raw.name, why: raw.why, line, request, expect: raw.expect })
    }
}

/// What to write in a field that cannot be read, where the fault itself does not say.
fn cure(pointer: &str) -> &'static str {
    match pointer.split('/').skip(1).take(2).collect::<Vec<_>>()[..] {
        ["request", "headers"] => "; write a list of `[name, value]`",
        ["peer", "ip"] => "; write an address such as `192.0.2.1`",
        ["expect", ..] => {
            "; write a word such as `allow`, or one with what it must have, such as `{deny: token_missing}`"
        }
        _ => "",
    }
}

impl RawPeer {
    fn into_input(self) -> PeerInput {
        let (dns, spiffe) = (self.dns.into_vec(), self.spiffe.into_vec());
        let short = self.ca.is_some() || self.service_account.is_some() || !dns.is_empty() || !spiffe.is_empty();
        let names = PeerNames { ca: self.ca, spiffe, dns, service_account: self.service_account };
        let identity = self.identity.or_else(|| short.then_some(names));
        let Self { ip, certificate, verified, plaintext, .. } = self;
        PeerInput { ip, certificate, verified, identity, plaintext }
    }
}

impl OneOrMany {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::None => Vec::new(),
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}
