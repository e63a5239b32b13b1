//! The built-in certificate authority, or one that the user gives: every replica issues, the leader alone rotates.

mod authority;
mod issue;
mod pair;
mod pem;
mod rotate;
mod run;
mod source;
mod store;
#[cfg(test)]
mod testing;
mod vouch;
mod webhooks;

pub use authority::{Authority, service_names};
pub use issue::IssueError;
pub use rotate::{State, Step, plan};
pub use run::run;
pub use source::Source;
pub use store::{KubeStore, Store, StoreError, Stored};
pub use webhooks::{Webhooks, patch_webhooks};

/// Why a CA cannot be used. Nothing of a key is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaError {
    /// The Secret that the user gives is not there.
    #[error("there is no Secret of the name that was given for the CA")]
    NoSecret,
    /// An entry of the Secret is not there.
    #[error("the Secret has no `{0}`")]
    Missing(&'static str),
    /// An entry of the Secret is not what its name says.
    #[error("`{0}` of the Secret cannot be read")]
    Unreadable(&'static str),
    /// A certificate that may vouch for nobody.
    #[error("a certificate of `{0}` is no certificate of a CA: {1}")]
    Anchor(&'static str, policy::certificate::AnchorFault),
    /// The key is not that of the certificate.
    #[error("key and certificate do not belong together")]
    KeyMismatch,
    /// Its time is over.
    #[error("the certificate of the CA expired at {0}")]
    Expired(jiff::Timestamp),
    /// Its time has not come.
    #[error("the certificate of the CA is not valid before {0}")]
    NotYetValid(jiff::Timestamp),
    /// Nobody who knows the roots would believe what is signed.
    #[error("`ca.crt` of the Secret does not vouch for what `tls.crt` signs: it must hold the root of `tls.crt`")]
    NotVouched,
    /// The cryptographic library refused; memory alone could bring it about.
    #[error("the library for certificates failed")]
    Internal,
}

impl CaError {
    /// Stable for logs, metrics and status.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoSecret => "ca_no_secret",
            Self::Missing(_) => "ca_missing",
            Self::Unreadable(_) => "ca_unreadable",
            Self::Anchor(_, policy::certificate::AnchorFault::Malformed) => "ca_malformed",
            Self::Anchor(_, policy::certificate::AnchorFault::NotACa) => "ca_not_a_ca",
            Self::Anchor(_, policy::certificate::AnchorFault::KeyUsage) => "ca_key_usage",
            Self::Anchor(_, policy::certificate::AnchorFault::Weak) => "ca_weak",
            Self::KeyMismatch => "ca_key_mismatch",
            Self::Expired(_) => "ca_expired",
            Self::NotYetValid(_) => "ca_not_yet_valid",
            Self::NotVouched => "ca_not_vouched",
            Self::Internal => "ca_internal",
        }
    }
}
