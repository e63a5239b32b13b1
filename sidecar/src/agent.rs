//! The agent for a pod that calls others: certificate, key and CA as files, always fresh.
//!
//! The three files are links through one link to a folder, as the kubelet does for a Secret: swapping that one replaces all at
//! once, and a reader never sees a chain without its key.

use crate::certificate::{Identity, IdentityError, Keeper, Needs, Usable};
use crate::clock::Clock;
use crate::link::{Link, LinkError, TokenFile};
use crate::log::Log;
use crate::settings::environment;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::runtime::Builder;
use tokio::sync::{Notify, watch};

/// The link that is swapped.
const DATA: &str = "..data";
/// The files and what they are called.
const CHAIN: &str = "tls.crt";
const KEY: &str = "tls.key";
const CA: &str = "ca.crt";

/// An agent at work until this is dropped.
#[derive(Debug)]
pub struct Agent {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// Why there is no agent, or no files.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The certificates that are to vouch for the operator cannot be used.
    #[error("the operator's CA bundle cannot be used")]
    Bundle(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No thread can be started.
    #[error("cannot start the thread that follows the operator")]
    Thread(#[from] io::Error),
    /// A file is not there yet.
    #[error("`{}` is not there yet", .0.display())]
    Missing(PathBuf),
}

/// Starts the agent.
///
/// # Errors
/// Where the bundle cannot be used or no thread can be started.
pub fn start(settings: environment::Agent) -> Result<Agent, AgentError> {
    let environment::Agent { operator, folder, log } = settings;
    let log = Log::stderr(log);
    let folder = Folder(folder);
    let fault = |error: LinkError| AgentError::Bundle(error.into());
    // The files of a container before this one say more than the start of the pod.
    let kept = folder.read().and_then(|identity| identity.check().ok());
    let held = kept.as_ref().map(Usable::held);
    let bundle = kept.map_or(operator.bundle, |usable| usable.bundle);
    let link = Link::new(operator.address, TokenFile::in_folder(&operator.token), &bundle).map_err(fault)?;
    let keeper = Keeper { link: Arc::new(link), clock: Clock::System, log, renew: Arc::new(Notify::new()) };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (stop, mut stopped) = watch::channel(false);
    let body = move || {
        runtime.block_on(async {
            tokio::select! {
                () = keeper.keep(held, &folder) => {}
                // An error means that nobody is left who could tell.
                _ = stopped.wait_for(|stop| *stop) => {}
            }
        });
    };
    let thread = thread::Builder::new().name("agent".to_owned()).spawn(body)?;
    Ok(Agent { stop, thread: Some(thread) })
}

/// Whether the files are there.
///
/// # Errors
/// The first that is not.
pub fn check(folder: &Path) -> Result<(), AgentError> {
    let missing = [CHAIN, KEY, CA].map(|name| folder.join(name)).into_iter().find(|path| !path.is_file());
    missing.map_or(Ok(()), |path| Err(AgentError::Missing(path)))
}

/// Where the files are.
struct Folder(PathBuf);

impl Folder {
    fn read(&self) -> Option<Identity> {
        let read = |name| fs::read_to_string(self.0.join(name)).ok();
        Some(Identity { key: read(KEY)?, chain: read(CHAIN)?, bundle: read(CA)? })
    }

    fn write(&self, identity: &Identity) -> io::Result<()> {
        let old = fs::read_link(self.0.join(DATA)).ok();
        let moment = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let new = format!("..{moment}");
        let inside = self.0.join(&new);
        self.fill(&inside, identity).and_then(|()| self.link(DATA, Path::new(&new))).inspect_err(|_| {
            // A key must not stay behind, nor fill the volume with one more at each try.
            let _ = fs::remove_dir_all(&inside);
        })?;
        for name in [CHAIN, KEY, CA] {
            let target = Path::new(DATA).join(name);
            if fs::read_link(self.0.join(name)).ok().as_deref() != Some(&target) {
                self.link(name, &target)?;
            }
        }
        if let Some(old) = old.filter(|old| old != Path::new(&new)) {
            // What is new is in use, whatever becomes of what was.
            let _ = fs::remove_dir_all(self.0.join(old));
        }
        Ok(())
    }

    fn fill(&self, inside: &Path, identity: &Identity) -> io::Result<()> {
        fs::create_dir(inside)?;
        // The application has another UID, and the folder is this pod's alone.
        fs::set_permissions(inside, fs::Permissions::from_mode(0o755))?;
        for (name, text) in [(CHAIN, &identity.chain), (KEY, &identity.key), (CA, &identity.bundle)] {
            fs::write(inside.join(name), text)?;
            fs::set_permissions(inside.join(name), fs::Permissions::from_mode(0o644))?;
        }
        Ok(())
    }

    /// Makes a link, or lets it lead elsewhere, at once and whole.
    fn link(&self, name: &str, target: &Path) -> io::Result<()> {
        let new = self.0.join(format!("{name}.new"));
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        symlink(target, &new)?;
        fs::rename(&new, self.0.join(name))
    }
}

impl Needs for Folder {
    fn take(&self, identity: &Identity, _: Usable) -> Result<(), IdentityError> {
        self.write(identity).map_err(IdentityError::Write)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended too.
            let _ = thread.join();
        }
    }
}
