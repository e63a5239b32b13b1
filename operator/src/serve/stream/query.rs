//! What a sidecar asks for: the formats that it reads, and its ports; and the certificate that it has.

use crate::serve::answer::Refusal;
use policy::wire::MAX_PORTS;
use std::collections::BTreeSet;

/// Formats that a sidecar may name: it reads the last two, and some day a few more.
const MAX_FORMATS: usize = 16;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) formats: Vec<u32>,
    /// In order, each once.
    pub(super) ports: Vec<u16>,
    /// What the sidecar's certificate says, where it has one.
    pub(super) certificate: Option<String>,
}

/// Reads `formats=1,2&ports=8080,9090`. What a later sidecar may add is passed over: an old operator serves it all the same.
pub(super) fn read(query: &str) -> Result<Query, Refusal> {
    let (mut formats, mut ports, mut certificate) = (None, None, None);
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let once = match name {
            "formats" => formats.replace(numbers::<u32>(value, MAX_FORMATS)).is_none(),
            "ports" => ports.replace(numbers::<u16>(value, MAX_PORTS)).is_none(),
            "certificate" => certificate.replace(value.to_owned()).is_none(),
            _ => true,
        };
        if !once {
            return Err(Refusal::bad("query_invalid", format!("`{name}` is given twice")));
        }
    }
    let formats = formats.flatten().filter(|formats| !formats.is_empty());
    let formats = formats.ok_or_else(|| Refusal::bad("query_invalid", "`formats` must be a list of numbers"))?;
    let ports = ports.flatten().filter(|ports| !ports.contains(&0)).ok_or_else(|| {
        Refusal::bad("query_invalid", format!("`ports` must be a list of at most {MAX_PORTS} port numbers"))
    })?;
    let ports: BTreeSet<u16> = ports.into_iter().collect();
    Ok(Query { formats, ports: ports.into_iter().collect(), certificate })
}

/// Numbers with commas between; none where one is no number or there are too many. An empty text is an empty list: a pod that
/// only calls others has no ports.
fn numbers<T: std::str::FromStr>(text: &str, most: usize) -> Option<Vec<T>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let numbers: Vec<T> = text.split(',').take(most + 1).map(|part| part.parse().ok()).collect::<Option<_>>()?;
    (numbers.len() <= most).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read() {
        let certified = |formats: &[u32], ports: &[u16], certificate: Option<&str>| {
            let certificate = certificate.map(str::to_owned);
            Ok(Query { formats: formats.to_vec(), ports: ports.to_vec(), certificate })
        };
        let query = |formats, ports| certified(formats, ports, None);
        assert_eq!(read("formats=1&ports=8080"), query(&[1], &[8080]));
        assert_eq!(read("ports=9,8,9&later=x&formats=2,1"), query(&[2, 1], &[8, 9]));
        assert_eq!(read("formats=1&ports="), query(&[1], &[]));
        assert_eq!(read("certificate=abc&formats=1&ports=1"), certified(&[1], &[1], Some("abc")));
    }

    #[test]
    fn what_is_no_list_of_numbers_is_refused() {
        let many = (1..=MAX_PORTS + 1).map(|port| port.to_string()).collect::<Vec<_>>().join(",");
        for text in [
            "",
            "formats=1",
            "ports=1",
            "formats=&ports=1",
            "formats=one&ports=1",
            "formats=1&ports=0",
            "formats=1&ports=65536",
            "formats=1&ports=-1",
            "formats=1&ports=1,",
            "formats=1&formats=2&ports=1",
            "formats=1&ports=1&ports=2",
            "formats=1&ports=1&certificate=a&certificate=b",
            &format!("formats=1&ports={many}"),
        ] {
            assert_eq!(read(text).unwrap_err().code, "query_invalid", "{text}");
        }
    }
}
