//! Addresses as people write them.

use std::net::SocketAddr;

/// Reads an IP address with a port.
///
/// # Errors
/// A text that says what to write instead. Names are not looked up: what stands behind one may change, and `localhost` is two addresses.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let port = text.rsplit(':').next().filter(|port| port.parse::<u16>().is_ok());
        let port = port.unwrap_or("3000");
        format!("not an IP address with a port: write `127.0.0.1:{port}`, or `[::1]:{port}` for IPv6")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_told_with_what_to_write() {
        for text in ["127.0.0.1:3000", "[::1]:3000"] {
            assert_eq!(address(text).unwrap().to_string(), text);
        }
        for (text, port) in
            [("localhost:8080", 8080), ("8080", 8080), (":8080", 8080), ("::1", 1), ("app", 3000), ("", 3000)]
        {
            let told = address(text).unwrap_err();
            assert!(told.contains(&format!("write `127.0.0.1:{port}`")), "{text}: {told}");
        }
    }
}
