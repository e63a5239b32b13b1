//! What the operator's own settings put into every pod.

use std::num::NonZeroU32;

use super::Resources;
use super::limits::SLEEP_SECONDS;

/// The user that sidecar and agent run as: neither root, nor one of the usual users of applications (1000, 1001, 65532,
/// 65534), nor that of another well-known sidecar (1337, 2102).
pub const SIDECAR_USER: NonZeroU32 = NonZeroU32::MIN.saturating_add(1514);

/// What the operator's own settings put into every pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The image of sidecar and agent.
    pub sidecar_image: String,
    /// The image of the container that sets up the redirect.
    pub capture_image: String,
    /// The base URL of the operator, `https://doorward-operator.NAMESPACE.svc:8443`.
    pub operator_url: String,
    /// The certificates in PEM that vouch for the operator.
    pub ca_bundle: String,
    /// What a sidecar may use where its pod does not say.
    pub resources: Resources,
    /// The user and group of sidecar and agent.
    pub user: NonZeroU32,
    /// How long an application without a `preStop` goes on when its pod is told to end, in seconds.
    pub sleep_seconds: u32,
}

impl Settings {
    /// The chart's defaults, for an operator in a namespace.
    pub fn for_operator_in(namespace: &str) -> Self {
        Self {
            sidecar_image: concat!("docker.io/doorward/sidecar:", env!("CARGO_PKG_VERSION")).to_owned(),
            capture_image: concat!("docker.io/doorward/capture:", env!("CARGO_PKG_VERSION")).to_owned(),
            operator_url: format!("https://doorward-operator.{namespace}.svc:8443"),
            ca_bundle: String::new(),
            resources: Resources::default(),
            user: SIDECAR_USER,
            sleep_seconds: SLEEP_SECONDS,
        }
    }
}
