//! The command line of the operator; what the chart does not set has the chart's defaults.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use ipnet::IpNet;

use crate::inject::{self, Resources, resources};

/// Watches policies and pods, compiles, and tells every sidecar what is in force.
///
/// Outside a cluster it uses KUBECONFIG. Exit codes: 0 told to stop, 1 cannot run, 2 the command line cannot be used.
#[derive(Clone, Debug, Parser)]
#[command(name = "doorward-operator", version)]
pub struct Args {
    /// The namespace of the operator
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE", default_value = "doorward")]
    pub namespace: String,
    /// The name of this replica; the machine's without it
    #[arg(long, env = "POD_NAME", value_name = "NAME", default_value_t = machine_name())]
    pub name: String,
    /// The Service by which pods and the API server reach the operator
    #[arg(long, value_name = "NAME", default_value = "doorward-operator")]
    pub service: String,
    /// Where sidecars reach the operator [default: `https://SERVICE.NAMESPACE.svc:8443`]
    #[arg(long, value_name = "URL")]
    pub operator_url: Option<String>,
    /// The SPIFFE trust domain of the built-in CA
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    pub trust_domain: String,
    /// The DNS domain of the cluster
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,
    /// Where sidecars are served
    #[arg(long, value_name = "ADDR", default_value = "[::]:8443")]
    pub sidecars: SocketAddr,
    /// Where the API server is answered
    #[arg(long, value_name = "ADDR", default_value = "[::]:9443")]
    pub webhooks: SocketAddr,
    /// Where health and metrics are told
    #[arg(long, value_name = "ADDR", default_value = "[::]:8080")]
    pub health: SocketAddr,
    /// A network beside the public internet that issuers may be in; may be repeated
    #[arg(long = "issuer-allow-network", value_name = "CIDR")]
    pub issuer_networks: Vec<IpNet>,
    /// How long keys are used after they were fetched last [default: without end]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub keys_max_stale: Option<Duration>,
    /// A Secret of the operator's namespace whose CA (tls.crt, tls.key) is used instead of the built-in one
    #[arg(long, value_name = "NAME")]
    pub ca_secret: Option<String>,
    /// The webhook configurations whose `caBundle` is kept
    #[arg(long, value_name = "NAME", default_value = "doorward")]
    pub webhook_configuration: String,
    /// The image of sidecar and agent
    #[arg(long, value_name = "IMAGE", default_value = concat!("docker.io/doorward/sidecar:", env!("CARGO_PKG_VERSION")))]
    pub sidecar_image: String,
    /// The image that sets up the redirect
    #[arg(long, value_name = "IMAGE", default_value = concat!("docker.io/doorward/capture:", env!("CARGO_PKG_VERSION")))]
    pub capture_image: String,
    /// What a sidecar may use of the node.
    #[command(flatten)]
    pub sidecar: SidecarArgs,
    /// How much is logged: error, warn, info, debug, or directives for single parts
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: String,
    /// How it is logged
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
}

/// What a sidecar may use of the node.
#[derive(Clone, Debug, clap::Args)]
pub struct SidecarArgs {
    /// The processor time that a sidecar asks for
    #[arg(long, value_name = "QUANTITY", default_value_t = Resources::default().cpu, value_parser = resources::cpu_request)]
    pub sidecar_cpu: String,
    /// The memory that a sidecar asks for
    #[arg(long, value_name = "QUANTITY", default_value_t = Resources::default().memory, value_parser = resources::memory_request)]
    pub sidecar_memory: String,
    /// The most processor time of each container that is put into pods [default: as much as there is]
    #[arg(long, value_name = "QUANTITY", value_parser = resources::cpu)]
    pub sidecar_cpu_limit: Option<String>,
    /// The most memory of a sidecar
    #[arg(long, value_name = "QUANTITY", default_value_t = Resources::default().memory_limit, value_parser = resources::memory)]
    pub sidecar_memory_limit: String,
}

impl SidecarArgs {
    /// What they say.
    ///
    /// # Errors
    /// Where more is asked for than may be used.
    pub fn resources(&self) -> anyhow::Result<Resources> {
        let resources = Resources {
            cpu: self.sidecar_cpu.clone(),
            memory: self.sidecar_memory.clone(),
            cpu_limit: self.sidecar_cpu_limit.clone(),
            memory_limit: self.sidecar_memory_limit.clone(),
        };
        resources.checked().map_err(anyhow::Error::msg)
    }
}

/// How is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line
    Json,
    /// For people
    Text,
}

impl Args {
    /// Where sidecars reach the operator.
    #[must_use]
    pub fn url(&self) -> String {
        let default = || format!("https://{}.{}.svc:8443", self.service, self.namespace);
        self.operator_url.clone().unwrap_or_else(default)
    }
}

impl Args {
    /// What is put into pods, all but the CA bundle.
    ///
    /// # Errors
    /// Where no pod could be made with it.
    pub fn injection(&self) -> anyhow::Result<inject::Settings> {
        Ok(inject::Settings {
            sidecar_image: self.sidecar_image.clone(),
            capture_image: self.capture_image.clone(),
            operator_url: self.url(),
            resources: self.sidecar.resources()?,
            ..inject::Settings::for_operator_in(&self.namespace)
        })
    }
}

/// The first label of the host name, as names of objects are written: it is part of the name of a Lease.
fn machine_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    let label = host.split('.').next().unwrap_or_default();
    let name: String = label.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-').collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "local".to_owned() } else { name.to_owned() }
}

/// A number and one unit, as in policies.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit = match text.get(digits..) {
        Some("s") => 1,
        Some("m") => 60,
        Some("h") => 3600,
        _ => return Err("not a whole number with one of s, m, h".to_owned()),
    };
    let seconds = text.get(..digits).and_then(|number| number.parse::<u64>().ok()?.checked_mul(unit));
    seconds.map(Duration::from_secs).ok_or_else(|| "not a whole number with one of s, m, h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_a_cluster_nothing_has_to_be_said() {
        let args = Args::try_parse_from(["doorward-operator"]).unwrap();
        let of_a_name = |letter: char| letter.is_ascii_digit() || letter.is_ascii_lowercase() || letter == '-';
        assert!(!args.name.is_empty() && args.name.chars().all(of_a_name), "{}", args.name);
    }

    #[test]
    fn durations_have_one_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("24h"), Ok(Duration::from_hours(24)));
        for wrong in ["", "h", "1", "1d", "1h30m", "-1h", "1.5h", "99999999999999999999h", "9999999999999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
