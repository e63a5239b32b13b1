//! Where the operator is.

use http::Uri;
use http::uri::PathAndQuery;
use rustls_pki_types::ServerName;
use std::str::FromStr;

/// The address of the operator: `https://HOST` or `https://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorAddress {
    host: String,
    port: u16,
    name: ServerName<'static>,
}

/// Why a text is no address of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not of the form `https://HOST:PORT`")]
pub struct AddressFault;

impl OperatorAddress {
    /// For a connection.
    pub(super) fn host_and_port(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// The name that its certificate must have.
    pub(super) fn server_name(&self) -> ServerName<'static> {
        self.name.clone()
    }

    /// For the field `Host` (RFC 9110, section 7.2).
    pub(super) fn host_header(&self) -> String {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        format!("{open}{}{close}:{}", self.host, self.port)
    }
}

impl FromStr for OperatorAddress {
    type Err = AddressFault;

    fn from_str(text: &str) -> Result<Self, AddressFault> {
        let uri: Uri = text.parse().map_err(|_| AddressFault)?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or(AddressFault)?;
        let is_bare = uri.path_and_query().map_or("/", PathAndQuery::as_str) == "/";
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|_| AddressFault)?;
        if uri.scheme_str() != Some("https") || !is_bare {
            return Err(AddressFault);
        }
        // The parser lets pass what is no port.
        let port = match authority.as_str().strip_prefix(authority.host()).ok_or(AddressFault)? {
            "" => 443,
            after => after.strip_prefix(':').and_then(|port| port.parse().ok()).ok_or(AddressFault)?,
        };
        Ok(Self { port, host, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_bare_https_origins() {
        let address = |text: &str| text.parse::<OperatorAddress>();
        let usual = address("https://doorward-operator.doorward.svc:8443").unwrap();
        assert_eq!(usual.host_and_port(), ("doorward-operator.doorward.svc", 8443));
        assert_eq!(usual.host_header(), "doorward-operator.doorward.svc:8443");
        assert_eq!(address("https://a/").unwrap().port, 443);
        let literal = address("https://[fd00::1]:8443").unwrap();
        assert_eq!((literal.host_and_port(), literal.host_header().as_str()), (("fd00::1", 8443), "[fd00::1]:8443"));
        for bad in
            ["", "a", "http://a", "https://", "https://a/b", "https://a?b", "https://u@a", "https://a b", "https://a:x"]
        {
            assert_eq!(address(bad), Err(AddressFault), "{bad}");
        }
    }
}
