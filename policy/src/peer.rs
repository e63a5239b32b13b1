//! Who is at the other end of the connection: its address, and the names that its certificate proves.

use std::net::IpAddr;

/// The other end of a connection.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Its address; IPv4-mapped IPv6 addresses are IPv4. None where it is not known, and then every rule that looks at
    /// addresses denies.
    pub address: Option<IpAddr>,
    /// Its verified certificate, where it has one.
    pub certificate: Option<PeerCertificate>,
    /// Whether the connection is without TLS.
    pub plaintext: bool,
    /// Whether the connection has TLS 1.2, the oldest that is spoken at all.
    pub tls12: bool,
}

/// What a verified client certificate proves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The name of the CA that verified it.
    pub ca: Box<str>,
    /// The URI names that are SPIFFE IDs.
    pub spiffe: Vec<Box<str>>,
    /// The DNS names in lower case without final dot; no wildcards.
    pub dns: Vec<Box<str>>,
    /// `namespace/name`, only under the built-in CA.
    pub service_account: Option<Box<str>>,
    /// SHA-256 of the certificate in base64url (RFC 8705, section 3.1); none where only names were given.
    pub thumbprint: Option<Box<str>>,
}

impl Peer {
    /// A peer at an address, an IPv4-mapped one taken as IPv4.
    #[must_use]
    pub fn at(address: IpAddr, certificate: Option<PeerCertificate>) -> Self {
        Self { address: Some(address.to_canonical()), certificate, ..Self::default() }
    }
}
