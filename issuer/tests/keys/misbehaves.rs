//! What a provider may send, and what is made of it.

use super::network::{Authority, HOST, ISSUER, Reply, answer, at, discovered, discovery, json, jwks, keys, network};
use issuer::{KeysError, Settings};
use policy::keys::{KeySet, KeySource};
use policy::wire::KeysMessage;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What comes of a provider whose set of keys is answered so.
async fn fetch_set(reply: Reply) -> Result<Arc<KeysMessage>, KeysError> {
    let answer = move |target: &str| if target == "/jwks" { reply.clone() } else { json(&discovery()) };
    let (network, authority) = network(answer);
    keys(&network, Settings::default()).fetch_once(&discovered(&authority)).await
}

fn in_full(error: &KeysError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[tokio::test(start_paused = true)]
async fn a_set_is_found_and_fetched() {
    let message = fetch_set(json(&jwks(&["a", "b"]))).await.unwrap();
    assert_eq!(message.issuer, ISSUER);
    assert!(message.id.starts_with("https://login.example.com discovery ca "), "{}", message.id);
    let set = KeySet::parse(message.jwks().unwrap().as_bytes()).unwrap();
    assert!(set.len() == 2 && set.knows("a") && set.knows("b"));
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_named_needs_no_discovery() {
    let (network, authority) = network(|target| match target {
        "/keys?v=2" => answer("200 OK", "content-type: text/plain\r\n", &jwks(&["a"])),
        _ => answer("404 Not Found", "", ""),
    });
    let source = KeySource::new("any issuer".to_owned(), Some(format!("{ISSUER}/keys?v=2")), Some(authority.pem));
    keys(&network, Settings::default()).fetch_once(&source).await.unwrap();
    assert_eq!(network.asked(&at(443), "/keys?v=2").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_set_of_keys_is_refused_by_name() {
    let chunk = "a".repeat(16 * 1024);
    let chunks = |head: &str| format!("HTTP/1.1 200 OK\r\n{head}\r\n").into_bytes();
    let private = jwks(&["a"]).replace(r#""kid":"#, r#""d":"SECRET","kid":"#);
    let many: Vec<String> = (0..101).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let bytes = |text: &str| Reply::Bytes(text.as_bytes().to_vec());
    for (what, reply, code, message) in [
        ("an error", answer("500 Oops", "", ""), "FetchFailed", "status 500"),
        ("nothing", answer("204 No Content", "", ""), "FetchFailed", "status 204"),
        ("a page", answer("200 OK", "content-type: text/html\r\n", "<html>"), "FetchFailed", "HTML"),
        ("compressed", answer("200 OK", "content-encoding: gzip\r\n", "x"), "FetchFailed", "compressed"),
        (
            "huge and said so",
            bytes("HTTP/1.1 200 OK\r\ncontent-length: 10485760\r\n\r\n"),
            "FetchFailed",
            "524288 bytes",
        ),
        ("huge in fact", Reply::Endless(format!("4000\r\n{chunk}\r\n").into_bytes()), "FetchFailed", "HTTP"),
        ("a huge head", Reply::Endless(b"x-a: b\r\n".to_vec()), "FetchFailed", "HTTP"),
        ("cut in the body", bytes("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"keys\":"), "FetchFailed", "HTTP"),
        ("cut in the head", bytes("HTTP/1.1 200 OK\r\ncontent-le"), "FetchFailed", "HTTP"),
        ("closed at once", bytes(""), "FetchFailed", "HTTP"),
        ("no HTTP", bytes("SSH-2.0-OpenSSH_9.9\r\n\r\n"), "FetchFailed", "HTTP"),
        ("no JSON", json("not JSON"), "BadKeys", "not a JSON Web Key Set"),
        ("no set", json("[]"), "BadKeys", "not a JSON Web Key Set"),
        ("more after it", json(&(jwks(&["a"]) + "{}")), "BadKeys", "not a JSON Web Key Set"),
        ("a name twice", json(r#"{"keys":[],"keys":[]}"#), "BadKeys", "not a JSON Web Key Set"),
        ("too many keys", json(&jwks(&many)), "BadKeys", "more than 100 keys"),
        ("an empty set", json(&jwks(&[])), "NoUsableKey", "none of the 0 keys"),
        ("private keys alone", json(&private), "NoUsableKey", "private members"),
        ("one name twice", json(&jwks(&["a", "a"])), "NoUsableKey", "same `kid`"),
        ("silence", Reply::Hang(Vec::new()), "FetchFailed", "within 5 seconds"),
        ("silence in the body", Reply::Hang(chunks("content-length: 9\r\n")), "FetchFailed", "within 5 seconds"),
    ] {
        let begun = Instant::now();
        let error = fetch_set(reply).await.unwrap_err();
        let text = in_full(&error);
        assert_eq!(error.code(), code, "{what}: {text}");
        assert!(text.contains(message) && text.contains("`https://login.example.com/jwks`"), "{what}: {text}");
        assert!(!text.contains("SECRET") && !text.contains(char::is_control), "{what}: {text}");
        assert!(begun.elapsed() <= Duration::from_secs(5), "{what}: {:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_without_end_is_cut_off_at_the_limit() {
    let chunk = format!("4000\r\n{}\r\n", "a".repeat(0x4000));
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    // One chunk more than fits.
    let reply = Reply::Bytes((head.to_owned() + &chunk.repeat(33) + "0\r\n\r\n").into_bytes());
    let error = in_full(&fetch_set(reply).await.unwrap_err());
    assert!(error.contains("524288 bytes"), "{error}");
    let whole = jwks(&["a"]);
    let padded = format!("{whole}{}", " ".repeat(512 * 1024 - whole.len()));
    assert!(fetch_set(json(&padded)).await.is_ok(), "exactly the limit");
    assert!(fetch_set(json(&(padded + " "))).await.is_err(), "one byte more");
}

#[tokio::test(start_paused = true)]
async fn keys_that_cannot_be_used_stay_with_the_provider() {
    let set =
        jwks(&["good", "twice", "twice", "leaked"]).replace(r#""kid":"leaked""#, r#""d":"SECRET","kid":"leaked""#);
    let message = fetch_set(json(&set)).await.unwrap();
    let text = message.jwks().unwrap();
    let passed_on = KeySet::parse(text.as_bytes()).unwrap();
    assert!(passed_on.len() == 1 && passed_on.knows("good") && passed_on.ignored().is_empty(), "{text}");
    assert!(!text.contains("SECRET") && !text.contains("twice"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn redirects_stay_with_their_origin_and_end() {
    let to = |location: &str| answer("302 Found", &format!("location: {location}\r\n"), "");
    let moved = move |location: &'static str| {
        move |target: &str| match target {
            "/.well-known/openid-configuration" => json(&discovery()),
            "/jwks" => to(location),
            "/two" => to("/one"),
            "/one" | "/folder/one" => json(&jwks(&["a"])),
            "/again" => to("again"),
            _ => answer("404 Not Found", "", ""),
        }
    };
    for (location, wanted) in [
        ("/one", None),
        ("one", None),
        ("/two", None),
        ("https://login.example.com:443/one", None),
        ("//login.example.com/one", None),
        ("/again", Some("more than 2 times")),
        ("https://other.example.com/one", Some("`https://other.example.com/one`, another origin")),
        ("https://login.example.com:8443/one", Some("another origin")),
        ("http://login.example.com/one", Some("another origin")),
        ("https://169.254.169.254/latest", Some("another origin")),
        ("file:///etc/passwd", Some("no URL")),
    ] {
        let (network, authority) = network(moved(location));
        let fetched = keys(&network, Settings::default()).fetch_once(&discovered(&authority)).await;
        let error = fetched.err().map(|error| (error.code(), in_full(&error)));
        assert_eq!(error.as_ref().map(|(code, _)| *code), wanted.map(|_| "FetchFailed"), "{location}: {error:?}");
        assert!(error.is_none_or(|(_, text)| text.contains(wanted.unwrap())), "{location}");
        assert!(network.connected().iter().all(|address| *address == at(443)), "{location}");
    }
}

#[tokio::test(start_paused = true)]
async fn discovery_is_for_the_issuer_and_nobody_else() {
    for (document, code, message) in [
        (
            discovery().replace(r#""https://login.example.com","#, r#""https://evil.example.com","#),
            "IssuerMismatch",
            "evil",
        ),
        (
            discovery().replace(r#""https://login.example.com","#, r#""https://login.example.com/","#),
            "IssuerMismatch",
            "byte",
        ),
        ("{}".to_owned(), "IssuerMismatch", "byte for byte"),
        (format!(r#"{{"issuer":"{ISSUER}"}}"#), "BadDiscovery", "no `jwks_uri`"),
        (
            discovery().replace("https://login.example.com/jwks", "http://login.example.com/jwks"),
            "BadDiscovery",
            "https",
        ),
        ("nothing".to_owned(), "BadDiscovery", "no JSON object"),
    ] {
        let (network, authority) = network(move |_| json(&document));
        let error = keys(&network, Settings::default()).fetch_once(&discovered(&authority)).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(message), "{error}");
        assert!(network.asked(&at(443), "/jwks").is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn keys_may_be_with_another_host() {
    let (network, authority) = network(|_| json(&discovery().replace("example.com/jwks", "example.net/jwks")));
    network.name("login.example.net", &[&["93.184.216.35"]]);
    network.serve("93.184.216.35:443", Some(authority.server("login.example.net")), |_| json(&jwks(&["a"])));
    keys(&network, Settings::default()).fetch_once(&discovered(&authority)).await.unwrap();
    assert_eq!(network.connected(), [at(443), "93.184.216.35:443".to_owned()]);
}

#[tokio::test(start_paused = true)]
async fn a_server_must_prove_who_it_is() {
    let past = |params: &mut rcgen::CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 2, 1);
    };
    let (own, other) = (Authority::new(), Authority::new());
    for (what, tls, wanted) in [
        ("good", Some(own.server(HOST)), None),
        ("a stranger's", Some(other.server(HOST)), Some("invalid peer certificate")),
        ("for another name", Some(own.server("other.example.com")), Some("not valid for name")),
        ("expired", Some(own.server_with(HOST, past)), Some("expired")),
    ] {
        let (network, _) = network(|_| json(""));
        network.serve(&at(443), tls, |target| match target {
            "/jwks" => json(&jwks(&["a"])),
            _ => json(&discovery()),
        });
        let error = keys(&network, Settings::default()).fetch_once(&discovered(&own)).await.err();
        assert_eq!(error.is_some(), wanted.is_some(), "{what}: {error:?}");
        if let (Some(error), Some(wanted)) = (error, wanted) {
            let text = in_full(&error);
            assert!(error.code() == "FetchFailed" && text.contains(wanted), "{what}: {text}");
            assert!(text.contains("keys.caBundle"), "{what}: {text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_port_without_tls_is_no_provider() {
    let (network, authority) = network(|_| json(""));
    network.serve(&at(443), None, |_| json(&jwks(&["a"])));
    let error = keys(&network, Settings::default()).fetch_once(&discovered(&authority)).await.unwrap_err();
    assert_eq!(error.code(), "FetchFailed", "{error}");
    assert!(network.asked(&at(443), "/jwks").is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_a_bundle_the_public_authorities_vouch_and_with_one_they_do_not() {
    let (network, _) = network(|_| json(&discovery()));
    let public = KeySource::new(ISSUER.to_owned(), None, None);
    let error = keys(&network, Settings::default()).fetch_once(&public).await.unwrap_err();
    assert!(in_full(&error).contains("UnknownIssuer"), "{error}");
    for bundle in ["", "nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let source = KeySource::new(ISSUER.to_owned(), None, Some(bundle.to_owned()));
        let error = keys(&network, Settings::default()).fetch_once(&source).await.unwrap_err();
        assert_eq!(error.code(), "BadBundle", "{bundle}: {error}");
        // Wanted, it is said once: whoever asks again after each telling would never come to an end.
        let keys = keys(&network, Settings::default());
        let mut known = keys.subscribe();
        keys.want([source.clone()]);
        assert_eq!(known.borrow_and_update()[source.id()].status.error.as_ref().unwrap().code, "BadBundle");
        keys.want([source]);
        assert!(!known.has_changed().unwrap(), "{bundle}");
    }
}
