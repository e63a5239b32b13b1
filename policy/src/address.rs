//! The address of a client, perhaps behind proxies that are trusted to tell it.

use crate::authorize::is_caller;
use crate::peer::Peer;
use crate::reason::Reason;
use crate::ruleset::Caller;
use http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use std::net::IpAddr;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Where requests may come from, and who is believed about it.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    pub(crate) allow: Vec<IpNet>,
    pub(crate) deny: Vec<IpNet>,
    pub(crate) trusted_networks: Vec<IpNet>,
    pub(crate) trusted_callers: Vec<Caller>,
}

/// The client at the other end of all proxies that are trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// Its address, where it is known.
    pub address: Option<IpAddr>,
    /// Whether the connection is a trusted proxy's, whose word about the request counts.
    pub by_proxy: bool,
}

impl Addresses {
    /// Who sends a request.
    pub(crate) fn client(&self, peer: &Peer, headers: &HeaderMap) -> Client {
        if !self.trusts(peer) {
            return Client { address: peer.address, by_proxy: false };
        }
        Client { address: self.forwarded_for(headers), by_proxy: true }
    }

    fn trusts(&self, peer: &Peer) -> bool {
        let by_network = peer.address.is_some_and(|address| self.is_trusted_network(address));
        let by_name = |certificate| self.trusted_callers.iter().any(|caller| is_caller(caller, certificate));
        by_network || peer.certificate.as_ref().is_some_and(by_name)
    }

    fn is_trusted_network(&self, address: IpAddr) -> bool {
        self.trusted_networks.iter().any(|network| network.contains(&address))
    }

    /// The right-most entry that is not a trusted proxy; an entry that is no plain address ends the search without one,
    /// for what stands to the left of it nobody vouches for.
    fn forwarded_for(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let fields: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
        let entries = fields.iter().rev().flat_map(|field| field.as_bytes().rsplit(|byte| *byte == b','));
        for entry in entries {
            let address: IpAddr = std::str::from_utf8(entry.trim_ascii()).ok()?.parse().ok()?;
            let address = address.to_canonical();
            if !self.is_trusted_network(address) {
                return Some(address);
            }
        }
        None
    }

    /// Whether requests from this client are looked at at all; `deny` wins, and an unknown address is in no network.
    pub(crate) fn check(&self, client: Client) -> Result<(), Reason> {
        let looks = !self.allow.is_empty() || !self.deny.is_empty();
        if !looks {
            return Ok(());
        }
        let address = client.address.ok_or(Reason::IpDenied)?;
        let inside = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&address));
        let allowed = (self.allow.is_empty() || inside(&self.allow)) && !inside(&self.deny);
        if allowed { Ok(()) } else { Err(Reason::IpDenied) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn networks(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn headers(fields: &[&'static str]) -> HeaderMap {
        fields.iter().map(|field| (X_FORWARDED_FOR, HeaderValue::from_static(field))).collect()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let addresses = Addresses { trusted_networks: networks(&["192.0.2.0/24"]), ..Addresses::default() };
        let client = |peer: &str, fields: &[&'static str]| {
            addresses.client(&Peer::at(peer.parse().unwrap(), None), &headers(fields))
        };
        let known = |text: &str| Some(text.parse().unwrap());
        assert_eq!(
            client("198.51.100.1", &["203.0.113.9"]),
            Client { address: known("198.51.100.1"), by_proxy: false }
        );
        for (fields, wanted) in [
            (&["203.0.113.9"][..], known("203.0.113.9")),
            (&["10.0.0.1, 203.0.113.9"], known("203.0.113.9")),
            (&["203.0.113.9, 192.0.2.7 ,192.0.2.8"], known("203.0.113.9")),
            (&["10.0.0.1", "203.0.113.9"], known("203.0.113.9")),
            (&["203.0.113.9", "192.0.2.7"], known("203.0.113.9")),
            (&["::ffff:203.0.113.9"], known("203.0.113.9")),
            (&["2001:db8::1"], known("2001:db8::1")),
            (&["203.0.113.9, unknown"], None),
            (&["203.0.113.9, "], None),
            (&["203.0.113.9:80"], None),
            (&["[2001:db8::1]"], None),
            (&["fe80::1%eth0"], None),
            (&["192.0.2.7"], None),
            (&[], None),
        ] {
            assert_eq!(client("192.0.2.1", fields), Client { address: wanted, by_proxy: true }, "{fields:?}");
        }
    }

    #[test]
    fn deny_wins_and_an_unknown_address_is_nowhere() {
        let check = |allow: &[&str], deny: &[&str], address: Option<&str>| {
            let addresses = Addresses { allow: networks(allow), deny: networks(deny), ..Addresses::default() };
            addresses.check(Client { address: address.map(|text| text.parse().unwrap()), by_proxy: false }).is_ok()
        };
        assert!(check(&[], &[], None));
        assert!(check(&["10.0.0.0/8"], &["10.9.0.0/16"], Some("10.1.0.1")));
        assert!(!check(&["10.0.0.0/8"], &["10.9.0.0/16"], Some("10.9.0.1")));
        assert!(!check(&["10.0.0.0/8"], &[], Some("192.0.2.1")));
        assert!(check(&[], &["10.0.0.0/8"], Some("192.0.2.1")));
        assert!(!check(&[], &["10.0.0.0/8"], None) && !check(&["0.0.0.0/0"], &[], None));
    }
}
