//! What injection writes into a pod and the sidecar reads there: names of environment variables, places, ports, and the
//! values that are JSON.

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

/// The base URL of the operator, `https://doorward-operator.NAMESPACE.svc:8443`.
pub const ENV_OPERATOR: &str = "DOORWARD_OPERATOR";
/// The certificates in PEM that vouch for the operator when the pod starts; what the operator sends later replaces them.
pub const ENV_BUNDLE: &str = "DOORWARD_CA_BUNDLE";
/// The protected ports: a JSON array of [`ProtectedPort`].
pub const ENV_PORTS: &str = "DOORWARD_PORTS";
/// The probes that the sidecar runs for the kubelet, by index: a JSON array of [`Probe`].
pub const ENV_PROBES: &str = "DOORWARD_PROBES";
/// How traffic reaches the sidecar: `redirect` or `bind`.
pub const ENV_CAPTURE: &str = "DOORWARD_CAPTURE";
/// The pod's addresses with commas between (downward API, `status.podIPs`).
pub const ENV_POD_IPS: &str = "DOORWARD_POD_IPS";
/// How long the sidecar accepts connections after the pod was told to end, in seconds from 0 to [`MAX_DRAIN_SECONDS`]; 5 where it
/// is not set.
pub const ENV_DRAIN_SECONDS: &str = "DOORWARD_DRAIN_SECONDS";
/// The longest that can be: load balancers outside of a cluster need minutes.
pub const MAX_DRAIN_SECONDS: u32 = 600;
/// `error`, `warn`, `info` or `debug`.
pub const ENV_LOG_LEVEL: &str = "DOORWARD_LOG_LEVEL";
/// The folder of a certificate (`tls.crt`, `tls.key`) that takes the place of the built-in CA's for callers.
pub const ENV_TLS_DIR: &str = "DOORWARD_TLS_DIR";
/// The folder of the projected service-account token (audience [`AUDIENCE`](super::AUDIENCE)), file `token`.
pub const ENV_TOKEN_DIR: &str = "DOORWARD_TOKEN_DIR";
/// The memory-backed folder that only the sidecar sees: last good configuration, key, chain, bundle, drain socket.
pub const ENV_STATE_DIR: &str = "DOORWARD_STATE_DIR";
/// The folder into which the capture container writes [`CAPTURED_FILE`].
pub const ENV_CAPTURE_DIR: &str = "DOORWARD_CAPTURE_DIR";
/// The folder into which the agent for callers writes `tls.crt`, `tls.key` and `ca.crt`.
pub const ENV_CLIENT_DIR: &str = "DOORWARD_CLIENT_DIR";

/// The file that proves the capture: a [`Captured`].
pub const CAPTURED_FILE: &str = "captured.json";
/// The first port on which the sidecar receives redirected traffic; further ones follow.
pub const REDIRECT_PORT: u16 = 15943;
/// Probes and metrics, on all addresses.
pub const ADMIN_PORT: u16 = 15920;
/// What people look into, on the loopback address.
pub const DEBUG_PORT: u16 = 15921;
/// Where the kubelet asks for the probe of an index: `/probe/0`.
pub const PROBE_PATH: &str = "/probe/";
/// Probes of one pod.
pub const MAX_PROBES: usize = 64;

/// One protected port of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProtectedPort {
    /// The container port that callers know.
    pub port: u16,
    /// Where the sidecar listens: a port of its own under `redirect`, the same under `bind`.
    pub listen: u16,
}

/// What the capture container did and then saw to be in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Captured {
    /// The container ports whose traffic goes to the sidecar.
    pub ports: Vec<u16>,
}

/// A probe of the application, run by the sidecar inside the pod. Only its outcome is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Probe {
    /// What is asked.
    pub action: ProbeAction,
    /// Seconds for the whole of it, at least 1.
    pub timeout_seconds: u32,
}

impl Probe {
    /// Why no sidecar can run it; none where one can.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        if self.timeout_seconds == 0 {
            return Some("`timeoutSeconds` is 0");
        }
        let ProbeAction::Http { path, headers, .. } = &self.action else { return None };
        if !path.starts_with('/') || path.parse::<PathAndQuery>().is_err() {
            return Some("`path` has what no request can have: write it percent-encoded");
        }
        let is_field = |(name, value): &(String, String)| {
            name.parse::<HeaderName>().is_ok() && HeaderValue::from_str(value).is_ok()
        };
        (!headers.iter().all(is_field)).then_some("`httpHeaders` has a name or a value that no request can have")
    }
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ProbeAction {
    /// A GET whose answer must be 200 to 399.
    #[serde(rename_all = "camelCase")]
    Http {
        /// Whether over TLS; as the kubelet does, the certificate is not looked at.
        tls: bool,
        /// The port of the application.
        port: u16,
        /// Path and query.
        path: String,
        /// Header fields, names and values.
        headers: Vec<(String, String)>,
    },
    /// A TCP connection that must be accepted.
    Tcp {
        /// The port of the application.
        port: u16,
    },
    /// A call of `grpc.health.v1.Health/Check` that must be answered `SERVING`.
    Grpc {
        /// The port of the application.
        port: u16,
        /// The service asked about; empty for the server as a whole.
        service: String,
    },
}
