//! Between a name and a connection: addresses are looked at once they are known, and those very ones are connected to. A
//! name that says something else the second time (DNS rebinding) is never asked a second time.

use crate::connect::{Connect, Stream};
use crate::fetch::FetchError;
use crate::limits::{ADDRESSES, CONNECT};
use ipnet::IpNet;
use policy::egress::{self, HttpUrl};
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::time::timeout;

/// Which addresses may be connected to.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    /// Networks beside the public internet.
    pub(crate) allowed: Vec<IpNet>,
}

impl Guard {
    /// A connection to the host of a URL.
    pub(crate) async fn connect(&self, network: &dyn Connect, url: &HttpUrl) -> Result<Box<dyn Stream>, FetchError> {
        let mut last = None;
        for address in self.addresses(network, url).await? {
            let address = SocketAddr::new(address, url.port());
            match timeout(CONNECT, network.connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(source)) => last = Some((address, source)),
                Err(_) => last = Some((address, io::ErrorKind::TimedOut.into())),
            }
        }
        let (address, source) = last.ok_or_else(|| FetchError::NoAddress { host: url.host().to_owned() })?;
        Err(FetchError::Connect { address, source })
    }

    /// The addresses that may be connected to, the families in turn.
    async fn addresses(&self, network: &dyn Connect, url: &HttpUrl) -> Result<Vec<IpAddr>, FetchError> {
        let found = match url.address() {
            Some(address) => vec![address],
            None => {
                let unresolved = |source| FetchError::Unresolved { host: url.host().to_owned(), source };
                network.resolve(url.host()).await.map_err(unresolved)?
            }
        };
        let mut usable = Vec::new();
        let mut refused = None;
        for address in found.iter().map(IpAddr::to_canonical) {
            match egress::check(address, &self.allowed) {
                // Without TLS nothing shows that it is this machine which answers but its address.
                Ok(()) if url.is_secure() || address.is_loopback() => usable.push(address),
                Ok(()) => refused = refused.or(Some(FetchError::Plaintext)),
                Err(source) => {
                    refused = refused.or_else(|| Some(FetchError::Forbidden { host: url.host().to_owned(), source }));
                }
            }
        }
        match refused {
            Some(refused) if usable.is_empty() => Err(refused),
            _ => Ok(in_turn(usable)),
        }
    }
}

/// The first few addresses, one family after the other: where one family leads nowhere, the next address is of the other.
fn in_turn(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let first_is_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut ordered = Vec::new();
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    while ordered.len() < ADDRESSES {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            break;
        }
        ordered.extend(pair.into_iter().flatten());
    }
    ordered.truncate(ADDRESSES);
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_get_their_turn() {
        let order = |texts: &[&str]| {
            let addresses = texts.iter().map(|text| text.parse().unwrap()).collect();
            in_turn(addresses).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(order(&["2::1", "2::2", "2::3", "2::4", "1.0.0.1"]), ["2::1", "1.0.0.1", "2::2"]);
        assert_eq!(order(&["1.0.0.1", "1.0.0.2", "2::1"]), ["1.0.0.1", "2::1", "1.0.0.2"]);
        assert_eq!(order(&["1.0.0.1"]), ["1.0.0.1"]);
        assert!(order(&[]).is_empty());
    }
}
