//! Durations and networks as users write them.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use policy::claim::ClaimPath;

use super::sink::Sink;
use crate::diagnostic::{Code, quoted};

/// Parses a duration: digits and one of `ms`, `s`, `m`, `h`.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => None,
    };
    millis.map(Duration::from_millis)
}

/// A duration in milliseconds, at most `max`; a fault where it is none.
pub(super) fn millis(text: Option<&str>, max: Duration, pointer: &str, sink: &mut Sink) -> Option<u64> {
    let text = text?;
    match duration(text) {
        Some(duration) if duration <= max => u64::try_from(duration.as_millis()).ok(),
        Some(_) => {
            let hint = format!("write at most `{}s`", max.as_secs());
            sink.error(pointer, Code::OutOfBounds, format!("{} is too long", quoted(text)), &hint);
            None
        }
        None => {
            sink.error(
                pointer,
                Code::BadFormat,
                format!("{} is no duration", quoted(text)),
                "write a number and one unit: `500ms`, `30s`, `5m` or `24h`",
            );
            None
        }
    }
}

/// Parses a network without host bits; an address alone is a network of one.
///
/// # Errors
/// What to write instead.
pub fn network(text: &str) -> Result<ipnet::IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    let network: ipnet::IpNet =
        text.parse().map_err(|_| "write a network such as `203.0.113.0/24`, or one address".to_owned())?;
    if network.trunc() != network {
        return Err(format!("write `{}`, or one address without `/`", network.trunc()));
    }
    match network {
        ipnet::IpNet::V6(v6) if v6.network().to_ipv4_mapped().is_some() => {
            Err("write the IPv4 network that is mapped".to_owned())
        }
        network => Ok(network),
    }
}

/// A network; a fault where it is none.
pub(super) fn network_at(text: &str, pointer: &str, sink: &mut Sink) -> Option<ipnet::IpNet> {
    let found = network(text);
    if let Err(hint) = &found {
        sink.error(pointer, Code::BadNetwork, format!("{} is no network", quoted(text)), hint);
    }
    found.ok()
}

/// The networks of a list.
pub(super) fn networks(texts: &[String], pointer: &str, sink: &mut Sink) -> Vec<ipnet::IpNet> {
    texts.iter().enumerate().filter_map(|(index, text)| network_at(text, &format!("{pointer}/{index}"), sink)).collect()
}

/// A number of bytes from a quantity; a fault where it is none, or outside of what is allowed.
pub(super) fn bytes(
    quantity: Option<&crds::IntOrString>,
    allowed: RangeInclusive<u64>,
    pointer: &str,
    sink: &mut Sink,
) -> Option<u64> {
    let quantity = quantity?;
    let number = match quantity {
        crds::IntOrString::Int(number) => u64::try_from(*number).ok(),
        crds::IntOrString::String(text) => parse_quantity(text),
    };
    match number {
        Some(number) if allowed.contains(&number) => Some(number),
        Some(number) => {
            let hint = format!("write {} to {} bytes", allowed.start(), allowed.end());
            sink.error(pointer, Code::OutOfBounds, format!("{number} bytes are out of bounds"), &hint);
            None
        }
        None => {
            let hint = "write a number of bytes, or one with k, M, G, Ki, Mi or Gi: `10Mi`";
            sink.error(pointer, Code::BadFormat, "it is no quantity of bytes", hint);
            None
        }
    }
}

fn parse_quantity(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let factor: u64 = match unit {
        "" => 1,
        "k" => 1000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Looks whether a text is a claim path.
pub(super) fn check_claim(text: &str, pointer: &str, sink: &mut Sink) {
    if let Err(fault) = ClaimPath::parse(text) {
        sink.error(
            pointer,
            Code::BadClaimPath,
            fault.to_string(),
            "write a claim's name as it is, or a JSON Pointer (RFC 6901) such as `/realm_access/roles`",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_one_unit() {
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("24h"), Some(Duration::from_hours(24)));
        for text in ["", "s", "1", "1d", "1h30m", "-1s", "1.5s", " 1s", "18446744073709551615h"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn quantities_are_those_of_kubernetes() {
        for (text, wanted) in [("0", 0), ("1k", 1000), ("10Mi", 10 << 20), ("2G", 2_000_000_000)] {
            assert_eq!(parse_quantity(text), Some(wanted), "{text}");
        }
        for text in ["", "Mi", "1m", "1.5Mi", "-1", "1 Mi", "1e3", "18446744073709551615Ki"] {
            assert_eq!(parse_quantity(text), None, "{text}");
        }
    }

    #[test]
    fn networks_have_no_host_bits() {
        assert_eq!(network("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(network("192.0.2.1").unwrap().to_string(), "192.0.2.1/32");
        assert_eq!(network("::ffff:192.0.2.1").unwrap().to_string(), "192.0.2.1/32");
        assert_eq!(network("2001:db8::/32").unwrap().to_string(), "2001:db8::/32");
        assert!(network("10.0.0.1/8").unwrap_err().contains("10.0.0.0/8"));
        assert!(network("::ffff:0:0/96").is_err() && network("10.0.0.0/33").is_err() && network("x").is_err());
    }
}
