//! Where is connected to, and where not.

use super::network::{HOST, ISSUER, PUBLIC, Reply, answer, at, discovered, discovery, json, jwks, keys, network};
use issuer::Settings;
use policy::keys::KeySource;
use std::sync::Arc;

fn good(target: &str) -> Reply {
    if target == "/jwks" { json(&jwks(&["a"])) } else { json(&discovery()) }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_stands_for_a_forbidden_address_is_not_connected_to() {
    for address in [
        "127.0.0.1",
        "10.96.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "168.63.129.16",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "::",
        "fd00::1",
        "fe80::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::1",
    ] {
        let (network, authority) = network(good);
        network.name(HOST, &[&[address]]);
        let error = keys(&network, Settings::default()).fetch_once(&discovered(&authority)).await.unwrap_err();
        assert_eq!(error.code(), "AddressForbidden", "{address}: {error}");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        let canonical = address.parse::<std::net::IpAddr>().unwrap().to_canonical();
        let prefix = if canonical.is_ipv4() { 32 } else { 128 };
        for wanted in [
            format!("`{HOST}`"),
            format!("issuers.allowedNetworks: [\"{canonical}/{prefix}\"]"),
            format!("--issuer-allow-network {canonical}/{prefix}"),
        ] {
            assert!(cause.contains(&wanted), "{address}: {cause}");
        }
        assert!(network.connected().is_empty(), "{address}: {:?}", network.connected());
    }
}

#[tokio::test(start_paused = true)]
async fn of_several_addresses_the_allowed_ones_are_tried_in_turn() {
    let (network, authority) = network(good);
    network.name(HOST, &[&["10.0.0.1", "2606:4700::1", "2606:4700::2", "127.0.0.1", PUBLIC]]);
    network.lose("[2606:4700::1]:443");
    keys(&network, Settings::default()).fetch_once(&discovered(&authority)).await.unwrap();
    assert_eq!(
        network.connected(),
        ["[2606:4700::1]:443".to_owned(), at(443), "[2606:4700::1]:443".to_owned(), at(443)]
    );
}

#[tokio::test(start_paused = true)]
async fn an_allowed_network_is_connected_to() {
    let (network, authority) = network(good);
    network.name(HOST, &[&["10.96.0.7"]]);
    network.serve("10.96.0.7:443", Some(authority.server(HOST)), good);
    let allowed = Settings { allowed_networks: vec!["10.96.0.0/12".parse().unwrap()], ..Settings::default() };
    keys(&network, allowed).fetch_once(&discovered(&authority)).await.unwrap();
    let other = Settings { allowed_networks: vec!["10.0.0.0/16".parse().unwrap()], ..Settings::default() };
    let error = keys(&network, other).fetch_once(&discovered(&authority)).await.unwrap_err();
    assert_eq!(error.code(), "AddressForbidden");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_changes_its_mind_wins_nothing() {
    let (network, authority) = network(|target| match target {
        "/jwks" => answer("302 Found", "location: /moved\r\n", ""),
        "/moved" => json(&jwks(&["a"])),
        _ => json(&discovery()),
    });
    // For the document, for the set, and for where that has moved.
    network.name(HOST, &[&[PUBLIC], &[PUBLIC], &["127.0.0.1"]]);
    network.serve("127.0.0.1:443", Some(authority.server(HOST)), good);
    let error = keys(&network, Settings::default()).fetch_once(&discovered(&authority)).await.unwrap_err();
    assert_eq!(error.code(), "AddressForbidden", "{error}");
    assert_eq!(network.connected(), [at(443), at(443)]);
}

#[tokio::test(start_paused = true)]
async fn a_document_leads_to_no_forbidden_address() {
    for place in ["https://10.0.0.1/jwks", "https://[::1]/jwks", "https://inside.example.com/jwks"] {
        let document = discovery().replace(&format!("{ISSUER}/jwks"), place);
        let (network, authority) = network(move |_| json(&document));
        network.name("inside.example.com", &[&["10.0.0.1"]]);
        let error = keys(&network, Settings::default()).fetch_once(&discovered(&authority)).await.unwrap_err();
        assert_eq!(error.code(), "AddressForbidden", "{place}: {error}");
        assert_eq!(network.connected(), [at(443)], "{place}");
    }
}

#[tokio::test(start_paused = true)]
async fn plaintext_is_for_this_machine_where_it_is_let() {
    let here = || Settings { loopback: true, ..Settings::default() };
    let source = |url: &str| KeySource::new("any".to_owned(), Some(url.to_owned()), None);
    let (network, _) = network(good);
    network.name("localhost", &[&["::1", "127.0.0.1"], &["::1", "127.0.0.1"], &[PUBLIC]]);
    network.serve("127.0.0.1:8080", None, good);
    let fetch = async |settings: Settings, url: &str| {
        keys(&Arc::clone(&network), settings).fetch_once(&source(url)).await.map(|_| ()).map_err(|error| error.code())
    };
    assert_eq!(fetch(here(), "http://localhost:8080/jwks").await, Ok(()));
    assert_eq!(fetch(here(), "http://127.0.0.1:8080/jwks").await, Ok(()));
    assert_eq!(fetch(here(), "http://login.example.com/jwks").await, Err("BadURL"));
    assert_eq!(fetch(Settings::default(), "http://localhost:8080/jwks").await, Err("BadURL"));
    assert_eq!(fetch(Settings::default(), "https://127.0.0.1/jwks").await, Err("AddressForbidden"));
    network.name("localhost", &[&[PUBLIC]]);
    assert_eq!(fetch(here(), "http://localhost:8080/jwks").await, Err("FetchFailed"));
    assert!(!network.connected().contains(&at(8080)), "{:?}", network.connected());
}
