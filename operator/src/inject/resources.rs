//! What a sidecar may use of the node.

use compile::diagnostic::quoted;

use super::limits::{AGENT_CPU, CAPTURE_CPU, LEAST_CPU_MILLIS, LEAST_MEMORY, MOST_CPU_MILLIS, MOST_MEMORY};
use super::quantity::millis;

/// What a sidecar may use, as quantities of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources {
    /// The processor time that is asked for.
    pub cpu: String,
    /// The memory that is asked for.
    pub memory: String,
    /// The most processor time; without it a busy sidecar is not throttled while the node has time.
    pub cpu_limit: Option<String>,
    /// The most memory.
    pub memory_limit: String,
}

impl Default for Resources {
    /// An idle sidecar takes about 20 MiB; the limit holds 3,000 connections, whatever they send.
    fn default() -> Self {
        Self { cpu: "50m".into(), memory: "64Mi".into(), cpu_limit: None, memory_limit: "512Mi".into() }
    }
}

impl Resources {
    /// The same, where the API server takes it.
    ///
    /// # Errors
    /// Where more is asked for than may be used: no pod with such a sidecar could be made.
    pub fn checked(self) -> Result<Self, String> {
        let above = |asked: &str, most: &str| millis(asked) > millis(most);
        if above(&self.memory, &self.memory_limit) {
            let (asked, most) = (&self.memory, &self.memory_limit);
            return Err(format!(
                "a sidecar that asks for memory `{asked}` cannot have a limit of `{most}`: raise the limit"
            ));
        }
        // The limit of processor time is that of every container that is put into pods.
        for asked in [self.cpu.as_str(), CAPTURE_CPU, AGENT_CPU] {
            if let Some(most) = self.cpu_limit.as_deref().filter(|most| above(asked, most)) {
                return Err(format!(
                    "a container that asks for cpu `{asked}` cannot have a limit of `{most}`: raise the limit"
                ));
            }
        }
        Ok(self)
    }
}

/// Why a text is no quantity that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {cure}")]
pub struct Fault {
    /// What is wrong.
    pub message: String,
    /// What to write.
    pub cure: &'static str,
}

/// A quantity of processor time that is asked for: it may be zero.
///
/// # Errors
/// Where it is none, or out of bounds.
pub fn cpu_request(text: &str) -> Result<String, Fault> {
    bounded(text, 0, MOST_CPU_MILLIS, "write processors, `0` to `64`: `50m`")
}

/// A quantity of memory that is asked for.
///
/// # Errors
/// Where it is none, or out of bounds.
pub fn memory_request(text: &str) -> Result<String, Fault> {
    // Less than a mebibyte is a slip: `128m` is an eighth of a byte.
    let least = if millis(text) == Some(0) { 0 } else { 1000 << 20 };
    bounded(text, least, MOST_MEMORY.saturating_mul(1000), "write bytes, `0`, or `1Mi` to `64Gi`: `64Mi`")
}

/// A quantity of processor time that a sidecar may have.
///
/// # Errors
/// Where it is none, or out of bounds.
pub fn cpu(text: &str) -> Result<String, Fault> {
    bounded(text, LEAST_CPU_MILLIS, MOST_CPU_MILLIS, "write processors, `1m` to `64`: `200m`")
}

/// A quantity of memory that a sidecar may have.
///
/// # Errors
/// Where it is none, or out of bounds.
pub fn memory(text: &str) -> Result<String, Fault> {
    let (least, most) = (LEAST_MEMORY.saturating_mul(1000), MOST_MEMORY.saturating_mul(1000));
    bounded(text, least, most, "write bytes, `32Mi` to `64Gi`: `128Mi`")
}

fn bounded(text: &str, least: u64, most: u64, cure: &'static str) -> Result<String, Fault> {
    let message = match millis(text) {
        Some(amount) if (least..=most).contains(&amount) => return Ok(text.to_owned()),
        Some(_) => format!("{} is out of bounds", quoted(text)),
        None => format!("{} is no quantity", quoted(text)),
    };
    Err(Fault { message, cure })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_bounds() {
        assert_eq!(cpu("200m").as_deref(), Ok("200m"));
        assert_eq!(memory("128Mi").as_deref(), Ok("128Mi"));
        assert!(memory("128m").unwrap_err().to_string().contains("out of bounds; write bytes"));
        assert!(cpu("100").unwrap_err().to_string().contains("out of bounds"));
        assert_eq!(cpu_request("0").as_deref(), Ok("0"));
        assert_eq!(memory_request("16Mi").as_deref(), Ok("16Mi"), "less than it takes may be asked for");
        assert!(cpu_request("100").is_err() && memory_request("65Gi").is_err() && memory_request("-1").is_err());
        assert!(memory_request("0").is_ok() && memory_request("128m").is_err());
        assert!(cpu("0").is_err() && memory("16Mi").is_err(), "with that it could not run");
        assert!(cpu("much").unwrap_err().to_string().contains("no quantity"));
    }

    #[test]
    fn nothing_asks_for_more_than_it_may_use() {
        let default = Resources::default;
        assert!(default().checked().is_ok());
        let memory = Resources { memory: "1Gi".into(), ..default() };
        assert!(memory.checked().unwrap_err().contains("memory `1Gi`"));
        let cpu = |limit: &str| Resources { cpu_limit: Some(limit.into()), ..default() }.checked();
        assert!(cpu("50m").is_ok());
        assert!(cpu("49m").unwrap_err().contains("cpu `50m`"));
        let little = Resources { cpu: "1m".into(), cpu_limit: Some("5m".into()), ..default() };
        assert!(little.checked().unwrap_err().contains("cpu `10m`"), "the other containers ask for more");
    }
}
