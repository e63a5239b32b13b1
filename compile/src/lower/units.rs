//! Durations and networks as users write them.

use std::net::IpAddr;
use std::time::Duration;

use policy::claim::ClaimPath;

use super::sink::Sink;
use crate::diagnostic::{Code, quoted};

/// Parses a duration: digits and one of `ms`, `s`, `m`, `h`.
pub(super) fn duration(text: &str) -> Option<Duration> {
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

/// A network without host bits; an address alone is a network of one.
pub(super) fn network(text: &str) -> Result<ipnet::IpNet, String> {
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
    fn networks_have_no_host_bits() {
        assert_eq!(network("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(network("192.0.2.1").unwrap().to_string(), "192.0.2.1/32");
        assert_eq!(network("::ffff:192.0.2.1").unwrap().to_string(), "192.0.2.1/32");
        assert_eq!(network("2001:db8::/32").unwrap().to_string(), "2001:db8::/32");
        assert!(network("10.0.0.1/8").unwrap_err().contains("10.0.0.0/8"));
        assert!(network("::ffff:0:0/96").is_err() && network("10.0.0.0/33").is_err() && network("x").is_err());
    }
}
