//! `spec.ip`.

use policy::wire::{Addresses, Tls};

use super::Context;
use super::access::caller;
use super::sink::Sink;
use super::units::{network_at, networks};
use crate::diagnostic::{Code, quoted};

pub(super) fn lower(context: &Context, tls: &Tls, sink: &mut Sink) -> Addresses {
    let Some(ip) = &context.policy.spec.ip else { return Addresses::default() };
    let mut lowered = Addresses {
        allow: networks(&ip.allow, "/spec/ip/allow", sink),
        deny: networks(&ip.deny, "/spec/ip/deny", sink),
        ..Addresses::default()
    };
    for (index, proxy) in ip.trusted_proxies.iter().enumerate() {
        let pointer = format!("/spec/ip/trustedProxies/{index}");
        if let Some(cidr) = &proxy.cidr {
            let pointer = format!("{pointer}/cidr");
            let found = network_at(cidr, &pointer, sink);
            if found.is_some_and(|network| network.prefix_len() == 0) {
                let hint = "name the networks of your proxies: whoever is trusted can claim any address";
                sink.error(&pointer, Code::BadNetwork, format!("{} is everybody", quoted(cidr)), hint);
            }
            lowered.trusted_networks.extend(found);
        }
        if let Some(wanted) = &proxy.caller {
            lowered.trusted_callers.extend(caller(tls, wanted, &format!("{pointer}/caller"), sink));
        }
    }
    lowered
}
