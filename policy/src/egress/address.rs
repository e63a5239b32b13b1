//! Which addresses are on the public internet, and which need somebody's leave.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// This machine.
pub const LOOPBACK: [IpNet; 2] =
    [IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)), IpNet::V6(v6([0, 0, 0, 0, 0, 0, 0, 1], 128))];

/// Why an address is not on the public internet (IANA's registries of special-purpose addresses, RFC 6890).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// This machine.
    Loopback,
    /// This link; clouds answer here with the credentials of the machine.
    LinkLocal,
    /// A private network (RFC 1918, RFC 4193), such as that of a cluster.
    Private,
    /// Behind a carrier's address translation (RFC 6598); clouds use it for their own services too.
    Shared,
    /// A cloud's own service at an address that looks public.
    Metadata,
    /// Many receivers.
    Multicast,
    /// No address at all; systems take it for their own.
    Unspecified,
    /// An IPv4 address inside an IPv6 one, reached through a translator that may be anywhere (NAT64, 6to4, Teredo).
    Translated,
    /// For documentation, measurements, or nothing yet.
    Reserved,
}

/// An address that may not be connected to. The message tells what to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{address}` is {kind}; {}", cure(.address))]
pub struct Forbidden {
    /// The address; an IPv4 address where an IPv6 one only stands for it (`::ffff:192.0.2.1`).
    pub address: IpAddr,
    /// Why.
    pub kind: AddressKind,
}

impl Forbidden {
    /// The lines that would allow this address.
    #[must_use]
    pub fn cure(&self) -> String {
        cure(&self.address)
    }
}

fn cure(address: &IpAddr) -> String {
    let network = IpNet::from(*address);
    format!(
        "if the provider is meant to be there, allow it: chart value `issuers.allowedNetworks: [\"{network}\"]`, or flag \
         `--issuer-allow-network {network}`"
    )
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(segments: [u16; 8], prefix: u8) -> Ipv6Net {
    let [a, b, c, d, e, f, g, h] = segments;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix)
}

const V4: [(Ipv4Net, AddressKind); 18] = [
    (v4(0, 0, 0, 0, 8), AddressKind::Unspecified),
    (v4(10, 0, 0, 0, 8), AddressKind::Private),
    (v4(100, 64, 0, 0, 10), AddressKind::Shared),
    (v4(127, 0, 0, 0, 8), AddressKind::Loopback),
    // Azure's platform service, at an address that is routed nowhere else.
    (v4(168, 63, 129, 16, 32), AddressKind::Metadata),
    (v4(169, 254, 0, 0, 16), AddressKind::LinkLocal),
    (v4(172, 16, 0, 0, 12), AddressKind::Private),
    (v4(192, 0, 0, 0, 24), AddressKind::Reserved),
    (v4(192, 0, 2, 0, 24), AddressKind::Reserved),
    (v4(192, 31, 196, 0, 24), AddressKind::Reserved),
    (v4(192, 52, 193, 0, 24), AddressKind::Reserved),
    (v4(192, 88, 99, 0, 24), AddressKind::Translated),
    (v4(192, 168, 0, 0, 16), AddressKind::Private),
    (v4(198, 18, 0, 0, 15), AddressKind::Reserved),
    (v4(198, 51, 100, 0, 24), AddressKind::Reserved),
    (v4(203, 0, 113, 0, 24), AddressKind::Reserved),
    (v4(224, 0, 0, 0, 4), AddressKind::Multicast),
    (v4(240, 0, 0, 0, 4), AddressKind::Reserved),
];

const V6: [(Ipv6Net, AddressKind); 11] = [
    (v6([0; 8], 128), AddressKind::Unspecified),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), AddressKind::Loopback),
    (v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96), AddressKind::Translated),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), AddressKind::Translated),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), AddressKind::Translated),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), AddressKind::Reserved),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), AddressKind::Reserved),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), AddressKind::Translated),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), AddressKind::Private),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), AddressKind::LinkLocal),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), AddressKind::Multicast),
];

/// Documentation (RFC 9637): inside what is given out, unlike the rest of what [`GLOBAL`] leaves out.
const DOCUMENTATION: Ipv6Net = v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20);

/// All that is given out of IPv6; the rest is not in use, or not yet.
const GLOBAL: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// Whether an address may be connected to: it is on the public internet, or in one of the networks that are allowed.
///
/// # Errors
/// [`Forbidden`], which tells what to set.
pub fn check(address: IpAddr, allowed: &[IpNet]) -> Result<(), Forbidden> {
    let address = address.to_canonical();
    match kind(address) {
        Some(kind) if !allowed.iter().any(|network| network.contains(&address)) => Err(Forbidden { address, kind }),
        _ => Ok(()),
    }
}

/// What an address is, where it is not on the public internet.
fn kind(address: IpAddr) -> Option<AddressKind> {
    match address {
        IpAddr::V4(address) => V4.iter().find(|(network, _)| network.contains(&address)).map(|(_, kind)| *kind),
        IpAddr::V6(address) => {
            let known = V6.iter().find(|(network, _)| network.contains(&address)).map(|(_, kind)| *kind);
            let public = GLOBAL.contains(&address) && !DOCUMENTATION.contains(&address);
            known.or((!public).then_some(AddressKind::Reserved))
        }
    }
}

impl fmt::Display for AddressKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "this machine",
            Self::LinkLocal => "a link-local address, where clouds give out credentials",
            Self::Private => "in a private network",
            Self::Shared => "behind a carrier's address translation",
            Self::Metadata => "a service of the cloud itself",
            Self::Multicast => "a multicast address",
            Self::Unspecified => "no address of a machine",
            Self::Translated => "an IPv4 address inside an IPv6 one",
            Self::Reserved => "a reserved address",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_needs_no_leave() {
        use AddressKind::{
            LinkLocal, Loopback, Metadata, Multicast, Private, Reserved, Shared, Translated, Unspecified,
        };
        for (text, wanted) in [
            ("0.0.0.0", Some(Unspecified)),
            ("0.1.2.3", Some(Unspecified)),
            ("9.255.255.255", None),
            ("10.0.0.0", Some(Private)),
            ("10.255.255.255", Some(Private)),
            ("11.0.0.0", None),
            ("100.63.255.255", None),
            ("100.64.0.0", Some(Shared)),
            ("100.100.100.200", Some(Shared)),
            ("100.127.255.255", Some(Shared)),
            ("100.128.0.0", None),
            ("127.0.0.1", Some(Loopback)),
            ("127.255.255.254", Some(Loopback)),
            ("168.63.129.16", Some(Metadata)),
            ("168.63.129.17", None),
            ("169.254.169.254", Some(LinkLocal)),
            ("172.15.255.255", None),
            ("172.16.0.0", Some(Private)),
            ("172.31.255.255", Some(Private)),
            ("172.32.0.0", None),
            ("192.0.0.192", Some(Reserved)),
            ("192.0.1.1", None),
            ("192.168.0.1", Some(Private)),
            ("198.17.255.255", None),
            ("198.19.255.255", Some(Reserved)),
            ("203.0.113.7", Some(Reserved)),
            ("223.255.255.255", None),
            ("224.0.0.1", Some(Multicast)),
            ("255.255.255.255", Some(Reserved)),
            ("8.8.8.8", None),
            ("::", Some(Unspecified)),
            ("::1", Some(Loopback)),
            ("::2", Some(Reserved)),
            ("::127.0.0.1", Some(Reserved)),
            ("::ffff:8.8.8.8", None),
            ("::ffff:127.0.0.1", Some(Loopback)),
            ("::ffff:169.254.169.254", Some(LinkLocal)),
            ("64:ff9b::808:808", Some(Translated)),
            ("64:ff9b:1::1", Some(Translated)),
            ("100::1", Some(Reserved)),
            ("2001::1", Some(Translated)),
            ("2001:2::1", Some(Reserved)),
            ("2001:200::1", None),
            ("2001:db8::1", Some(Reserved)),
            ("2001:4860:4860::8888", None),
            ("2002:7f00:1::", Some(Translated)),
            ("2606:4700::1111", None),
            ("3fff::1", Some(Reserved)),
            ("4000::1", Some(Reserved)),
            ("fc00::1", Some(Private)),
            ("fd00:ec2::254", Some(Private)),
            ("fe80::1", Some(LinkLocal)),
            ("fec0::1", Some(Reserved)),
            ("ff02::1", Some(Multicast)),
        ] {
            let found = check(text.parse().unwrap(), &[]).err().map(|forbidden| forbidden.kind);
            assert_eq!(found, wanted, "{text}");
        }
    }

    #[test]
    fn networks_are_allowed_one_by_one() {
        let allowed: Vec<IpNet> = ["10.96.0.0/12", "fd00::/8"].map(|text| text.parse().unwrap()).to_vec();
        let passes = |text: &str| check(text.parse().unwrap(), &allowed).is_ok();
        assert!(passes("10.96.0.10") && passes("::ffff:10.96.0.10") && passes("fd12::1") && passes("8.8.8.8"));
        assert!(!passes("10.95.0.1") && !passes("127.0.0.1") && !passes("64:ff9b::10.96.0.10") && !passes("fc00::1"));
    }

    #[test]
    fn the_message_is_the_cure() {
        let message = |text: &str| check(text.parse().unwrap(), &[]).unwrap_err().to_string();
        assert_eq!(
            message("::ffff:10.96.0.10"),
            "`10.96.0.10` is in a private network; if the provider is meant to be there, allow it: chart value \
             `issuers.allowedNetworks: [\"10.96.0.10/32\"]`, or flag `--issuer-allow-network 10.96.0.10/32`"
        );
        assert!(message("fd00::1").ends_with("`--issuer-allow-network fd00::1/128`"));
    }
}
