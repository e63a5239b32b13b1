//! The operator as the source of everything: rulesets and keys over a stream, the certificate, and reports the other way.
//!
//! Whatever happens to the operator, what is in force stays in force.

mod lines;
mod report;
mod stream;

pub use report::Captured;

use crate::certificate::{Held, Identity, IdentityError, Keeper, Needs, Usable};
use crate::clock::Clock;
use crate::link::{Link, OperatorAddress, TokenFile};
use crate::log::Log;
use crate::source::volume::Volume;
use crate::state::State;
use crate::tls::CurrentCertificate;
use report::{Reporter, Sender};
use rustls_pki_types::CertificateDer;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use stream::Stream;
use tokio::runtime::Builder;
use tokio::sync::{Notify, watch};

/// Where the operator is and how it is talked to.
#[derive(Clone, Debug)]
pub struct OperatorSettings {
    /// Its address.
    pub address: OperatorAddress,
    /// The folder of the projected service-account token, file `token`.
    pub token_folder: PathBuf,
    /// The certificates that vouch for it where the volume holds no newer ones.
    pub bundle: Vec<CertificateDer<'static>>,
    /// Whether callers see the certificate of the built-in CA.
    pub shows_certificate: bool,
    /// Without a line for so long the stream is dead.
    pub silence: Duration,
    /// The wall clock.
    pub clock: Clock,
    /// What is said about it.
    pub log: Log,
}

/// Why the operator cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The certificates that are to vouch for it cannot be used.
    #[error("the operator's CA bundle cannot be used")]
    Bundle(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No thread can be started.
    #[error("cannot start the thread that follows the operator")]
    Thread(#[from] io::Error),
}

/// The [revision](policy::wire::certificate_revision) of the certificate that is there, where one is.
type Revision = Mutex<Option<String>>;

/// What the volume held is in force, and the operator not asked yet.
#[derive(Debug)]
pub struct Prepared {
    link: Arc<Link>,
    state: Arc<State>,
    volume: Arc<Volume>,
    reporter: Arc<Reporter>,
    certificate: Option<Arc<CurrentCertificate>>,
    held: Option<Held>,
    revision: Arc<Revision>,
    silence: Duration,
    clock: Clock,
    log: Log,
}

/// An operator that is followed until this is dropped.
#[derive(Debug)]
pub struct Following {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// Puts in force what the volume holds, before anybody calls; the operator is asked later.
///
/// # Errors
/// Where no certificate can vouch for the operator.
pub fn prepare(
    settings: OperatorSettings,
    volume: &Path,
    state: Arc<State>,
    certificate: &Arc<CurrentCertificate>,
) -> Result<Prepared, OperatorError> {
    let OperatorSettings { address, token_folder, bundle, shows_certificate, silence, clock, log } = settings;
    let volume = Arc::new(Volume::new(volume, log));
    let certificate = shows_certificate.then(|| Arc::clone(certificate));
    let believe = |bundle: &[CertificateDer<'static>]| -> Result<Link, OperatorError> {
        let link = Link::new(address.clone(), TokenFile::in_folder(&token_folder), bundle);
        let link = link.map_err(|error| OperatorError::Bundle(error.into()))?;
        state.trust(bundle).map_err(|error| OperatorError::Bundle(error.into()))?;
        Ok(link)
    };
    let mut kept = None;
    match volume.identity().map(|identity| identity.check()) {
        Some(Ok(usable)) => match believe(&usable.bundle) {
            Ok(link) => kept = Some((link, usable)),
            Err(error) => log.warn("the CA bundle on the volume", &error),
        },
        Some(Err(error)) => log.warn("the certificate on the volume", &error),
        None => {}
    }
    let (link, held) = match kept {
        None => (believe(&bundle)?, None),
        Some((link, usable)) => {
            let held = usable.held();
            if let Some(shown) = &certificate {
                shown.replace(usable.certificate);
            }
            (link, Some(held))
        }
    };
    let link = Arc::new(link);
    volume.restore(&state);
    let reporter = Arc::new(Reporter::default());
    state.refetch_with(Arc::clone(&reporter) as _);
    let revision = Arc::new(Mutex::new(held.as_ref().map(|held| held.revision.clone())));
    Ok(Prepared { link, state, volume, reporter, certificate, held, revision, silence, clock, log })
}

impl Prepared {
    /// Follows the operator from now on, on a thread of its own. `captured` tells the ports whose traffic comes here.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn follow(self, captured: Captured) -> Result<Following, OperatorError> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, mut stopped) = watch::channel(false);
        let body = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = self.run(captured) => {}
                    // An error means that nobody is left who could tell.
                    _ = stopped.wait_for(|stop| *stop) => {}
                }
            });
        };
        let thread = thread::Builder::new().name("operator".to_owned()).spawn(body)?;
        Ok(Following { stop, thread: Some(thread) })
    }

    async fn run(self, captured: Captured) {
        let Self { link, state, volume, reporter, certificate, held, revision, silence, clock, log } = self;
        let renew = Arc::new(Notify::new());
        let (state_of_pod, volume_of_pod) = (Arc::clone(&state), Arc::clone(&volume));
        let pod = Pod { state: state_of_pod, volume: volume_of_pod, certificate, revision: Arc::clone(&revision), log };
        let keeper = Keeper { link: Arc::clone(&link), clock, log, renew: Arc::clone(&renew) };
        let sender = Sender {
            reporter: Arc::clone(&reporter),
            link: Arc::clone(&link),
            state: Arc::clone(&state),
            captured,
            log,
        };
        let stream = Stream { link, state, volume, reporter, renew, revision, silence, clock, log };
        tokio::join!(stream.run(), sender.run(), keeper.keep(held, &pod));
    }
}

/// Where a new certificate goes.
struct Pod {
    state: Arc<State>,
    volume: Arc<Volume>,
    certificate: Option<Arc<CurrentCertificate>>,
    revision: Arc<Revision>,
    log: Log,
}

impl Needs for Pod {
    fn take(&self, identity: &Identity, usable: Usable) -> Result<(), IdentityError> {
        if let Err(error) = self.state.trust(&usable.bundle) {
            self.log.warn("the operator's CA bundle", &error);
        }
        if let Some(shown) = &self.certificate {
            shown.replace(usable.certificate);
        }
        self.volume.keep_identity(identity);
        *self.revision.lock().unwrap_or_else(PoisonError::into_inner) = Some(usable.revision);
        Ok(())
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended too.
            let _ = thread.join();
        }
    }
}
