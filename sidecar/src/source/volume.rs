//! The sidecar's own memory-backed folder: what was in force last, and who the pod is. A container that starts anew while the
//! operator is away serves as before.
//!
//! One file for each thing, replaced by rename, so that a reader sees the old or the new one and never a part. A file that
//! cannot be read or used is as good as none, and is told.

use crate::certificate::Identity;
use crate::limits::VOLUME_FILE;
use crate::log::Log;
use crate::state::State;
use aws_lc_rs::digest::{SHA256, digest};
use policy::wire::{Absent, FORMAT, KeysMessage, Message, RulesetMessage, WireError};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The folder with what was in force last.
#[derive(Debug)]
pub struct Volume {
    folder: PathBuf,
    log: Log,
    /// What the files hold, by name: what is the same is not written again.
    written: Mutex<BTreeMap<String, Vec<u8>>>,
}

/// Why a file is not used or not written.
#[derive(Debug, thiserror::Error)]
enum VolumeError {
    #[error("`{}`", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("`{}` cannot be used", path.display())]
    Content { path: PathBuf, source: WireError },
    #[error("`{}` holds something else", .0.display())]
    Other(PathBuf),
}

/// A file: the version of the format first, for another one may hold anything.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept<T> {
    format: u32,
    content: T,
}

const IDENTITY: &str = "identity.json";
const RULESET: &str = "port-";
const KEYS: &str = "keys-";

impl Volume {
    /// A folder that is there.
    #[must_use]
    pub fn new(folder: &Path, log: Log) -> Self {
        Self { folder: folder.to_owned(), log, written: Mutex::default() }
    }

    /// Puts in force what was in force last: keys first, for the rulesets name them.
    pub fn restore(&self, state: &State) {
        for name in self.names(KEYS) {
            match self.message(&name) {
                Ok(Message::Keys(keys)) => self.note(state.apply_keys(&keys)),
                Ok(_) => self.warn(&VolumeError::Other(self.folder.join(&name))),
                Err(error) => self.warn(&error),
            }
        }
        for port in state.ports() {
            let name = ruleset_file(port);
            match self.message(&name) {
                Ok(Message::Ruleset(ruleset)) if ruleset.port == port => self.note(state.apply_ruleset(&ruleset)),
                Ok(Message::Absent(absent)) if absent.port == port => self.note(state.apply_absent(port)),
                Ok(_) => self.warn(&VolumeError::Other(self.folder.join(&name))),
                // The first start.
                Err(VolumeError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.warn(&error),
            }
        }
    }

    /// Keeps a ruleset that is in force.
    pub fn keep_ruleset(&self, message: &RulesetMessage) {
        self.keep(&ruleset_file(message.port), message);
    }

    /// Keeps that no policy selects a port: what was in force there must not come back.
    pub fn keep_absent(&self, port: u16) {
        self.keep(&ruleset_file(port), &Absent::new(port));
    }

    /// Keeps a set of keys.
    pub fn keep_keys(&self, message: &KeysMessage) {
        self.keep(&keys_file(&message.id), message);
    }

    /// Forgets the sets of keys that nothing names.
    pub fn forget_unused_keys(&self, state: &State) {
        for name in self.names(KEYS) {
            let is_needed = matches!(self.message(&name), Ok(Message::Keys(keys)) if state.names_keys(&keys.id));
            if !is_needed {
                let path = self.folder.join(&name);
                self.note(std::fs::remove_file(&path).map_err(|source| VolumeError::File { path, source }));
                self.written().remove(&name);
            }
        }
    }

    /// Keeps key, chain and bundle.
    pub(crate) fn keep_identity(&self, identity: &Identity) {
        self.keep(IDENTITY, identity);
    }

    /// Key, chain and bundle as they were kept last.
    pub(crate) fn identity(&self) -> Option<Identity> {
        match self.content(IDENTITY) {
            Ok(identity) => Some(identity),
            Err(VolumeError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.warn(&error);
                None
            }
        }
    }

    /// A message that is whole: its revision fits.
    fn message(&self, name: &str) -> Result<Message, VolumeError> {
        let text: Box<RawValue> = self.content(name)?;
        let fault = |source| VolumeError::Content { path: self.folder.join(name), source };
        let message = Message::read(text.get().as_bytes()).map_err(fault)?;
        match &message {
            Message::Ruleset(ruleset) => ruleset.body().map(drop).map_err(fault)?,
            Message::Keys(keys) => keys.jwks().map(drop).map_err(fault)?,
            _ => {}
        }
        Ok(message)
    }

    fn content<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<T, VolumeError> {
        /// Read first: another format may have other fields.
        #[derive(Deserialize)]
        struct Versioned {
            format: u32,
        }
        let path = self.folder.join(name);
        let bytes = read_bounded(&path).map_err(|source| VolumeError::File { path: path.clone(), source })?;
        let fault = |source| VolumeError::Content { path: path.clone(), source };
        let Versioned { format } = serde_json::from_slice(&bytes).map_err(|error| fault(error.into()))?;
        if format != FORMAT {
            return Err(fault(WireError::Format(format)));
        }
        let kept: Kept<T> = serde_json::from_slice(&bytes).map_err(|error| fault(error.into()))?;
        Ok(kept.content)
    }

    /// Writes a file unless it holds the same already. A full or missing folder is told: what is in force is in force.
    fn keep(&self, name: &str, content: &impl Serialize) {
        let Ok(bytes) = serde_json::to_vec(&Kept { format: FORMAT, content }) else { return };
        let hash = digest(&SHA256, &bytes).as_ref().to_vec();
        let mut written = self.written();
        if written.get(name) == Some(&hash) {
            return;
        }
        match self.replace(name, &bytes) {
            Ok(()) => {
                written.insert(name.to_owned(), hash);
            }
            Err(source) => self.warn(&VolumeError::File { path: self.folder.join(name), source }),
        }
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let new = self.folder.join(format!(".{name}.new"));
        // One that is left from a process that was killed may have other rights.
        let _ = std::fs::remove_file(&new);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        std::fs::rename(&new, self.folder.join(name))
    }

    /// The files whose names begin so.
    fn names(&self, beginning: &str) -> Vec<String> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name.starts_with(beginning)).collect()
    }

    fn note<T>(&self, outcome: Result<T, impl std::error::Error>) {
        if let Err(error) = outcome {
            self.warn(&error);
        }
    }

    fn warn(&self, error: &dyn std::error::Error) {
        self.log.warn("the volume", error);
    }

    fn written(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ruleset_file(port: u16) -> String {
    format!("{RULESET}{port}.json")
}

/// An id is an address: its hash is a name.
fn keys_file(id: &str) -> String {
    let hash: String = digest(&SHA256, id.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{KEYS}{hash}.json")
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path)?.take(VOLUME_FILE + 1).read_to_end(&mut bytes)?;
    if read as u64 > VOLUME_FILE { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}
