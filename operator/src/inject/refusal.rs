//! Why a pod is refused, said so that its author knows what to write.

use std::fmt;

use compile::diagnostic::field_path;

/// Declares the codes, each with its stable text beside it.
macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $text:literal,)*) => {
        /// Why a pod is refused; the texts are a contract with tools.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $code,)* }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            /// The stable text.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$code => $text,)* }
            }
        }
    };
}

codes! {
    /// It is not the JSON of a pod.
    NotAPod = "not_a_pod",
    /// An annotation or label of ours that does not exist.
    UnknownAnnotation = "unknown_annotation",
    /// A value that an annotation cannot have.
    BadValue = "bad_value",
    /// An annotation that does nothing without another.
    WithoutEffect = "without_effect",
    /// Which ports to protect is not said, and the pod does not tell.
    PortsNeeded = "ports_needed",
    /// A port is named that no container declares.
    UnknownPort = "unknown_port",
    /// A name stands for several ports.
    AmbiguousPort = "ambiguous_port",
    /// More ports than a pod can have protected.
    TooManyPorts = "too_many_ports",
    /// A port of the application is one of ours.
    ReservedPort = "reserved_port",
    /// More probes than a sidecar runs.
    TooManyProbes = "too_many_probes",
    /// A probe that no sidecar can run.
    BadProbe = "bad_probe",
    /// A lifecycle hook asks a protected port.
    HttpHook = "http_hook",
    /// The pod has the network of its node.
    HostNetwork = "host_network",
    /// The pod asks no DNS server that knows the operator.
    DnsPolicy = "dns_policy",
    /// The pod runs on Windows.
    Windows = "windows",
    /// A container or volume has a name of ours, and is not ours.
    NameTaken = "name_taken",
    /// Something else is mounted where we mount.
    PathTaken = "path_taken",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One reason for which a pod is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of reason it is.
    pub code: Code,
    /// The field, as a JSON Pointer (RFC 6901) in the pod.
    pub pointer: String,
    /// What is wrong: lower-case, no final period, what the user wrote in backticks.
    pub message: String,
    /// What to write instead.
    pub cure: String,
}

impl Refusal {
    /// The field as kubectl prints it: `spec.containers[0].ports[1]`.
    pub fn path(&self) -> String {
        field_path(&self.pointer)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, message, cure, .. } = self;
        write!(f, "{}: {message}; {cure} [{code}]", self.path())
    }
}

/// What is found in one run.
#[derive(Debug, Default)]
pub(super) struct Sink {
    refused: Vec<Refusal>,
    warnings: Vec<String>,
}

impl Sink {
    pub(super) fn refuse(&mut self, code: Code, pointer: impl Into<String>, message: String, cure: impl Into<String>) {
        self.refused.push(Refusal { code, pointer: pointer.into(), message, cure: cure.into() });
    }

    pub(super) fn warn(&mut self, pointer: &str, advice: &str) {
        self.warnings.push(format!("{}: {advice}", field_path(pointer)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.refused.is_empty()
    }

    /// The warnings, where nothing is refused.
    pub(super) fn into_result(self) -> Result<Vec<String>, Vec<Refusal>> {
        if self.refused.is_empty() { Ok(self.warnings) } else { Err(self.refused) }
    }

    /// Ends the run here where something is refused already.
    pub(super) fn check(&mut self) -> Result<(), Vec<Refusal>> {
        if self.refused.is_empty() { Ok(()) } else { Err(std::mem::take(&mut self.refused)) }
    }
}
