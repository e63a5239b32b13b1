//! What a request head means, and which of several faults is named.

#![expect(clippy::unwrap_used, reason = "a helper of tests that cannot go on has failed its test")]

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use policy::reason::{BadRequest, Reason};
use policy::request::{CanonicalRequest, RequestHead, SizeLimits};
use policy::ruleset::Paths;

const LIMITS: SizeLimits = SizeLimits { headers: 1000, body: 100 };

/// Host and target in canonical form, or why not.
fn read(method: &str, target: &str, version: Version, fields: &[(&str, &[u8])]) -> Result<(String, String), Reason> {
    let (method, uri): (Method, Uri) = (method.parse().unwrap(), target.parse().unwrap());
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value).unwrap());
    }
    let head = RequestHead { method: &method, uri: &uri, version, headers: &headers };
    let request = CanonicalRequest::read(&head, Paths::default(), &LIMITS)?;
    Ok((request.host().as_str().to_owned(), request.target().into_owned()))
}

const HOST: (&str, &[u8]) = ("host", b"a");

#[test]
fn of_several_faults_the_first_in_the_documented_order() {
    let long = [b'x'; 1000];
    let host: (&str, &[u8]) = ("host", b"a b");
    let framing: [(&str, &[u8]); 2] = [("content-length", b"1"), ("content-length", b"2")];
    let credentials: [(&str, &[u8]); 2] = [("authorization", b"Basic a"), ("authorization", b"Basic b")];
    let expect: (&str, &[u8]) = ("expect", b"202-accepted");
    let bad = |what| Err(Reason::BadRequest(what));
    let all = [&[host][..], &framing, &credentials, &[expect, ("x-long", &long)]].concat();
    let short = all.get(..6).unwrap();
    let good_host = [&[HOST][..], short.get(1..).unwrap()].concat();
    let good_framing = [&[HOST][..], &credentials, &[expect, ("content-length", b"101")]].concat();
    let one_credential = [HOST, ("authorization", b"Basic a"), expect, ("content-length", b"101")];
    for (method, target, fields, wanted) in [
        ("TRACE", "*", &all[..], Err(Reason::HeadersTooLarge)),
        ("TRACE", "*", short, bad(BadRequest::Method)),
        ("GET", "*", short, bad(BadRequest::TargetForm)),
        ("GET", "//%zz", short, bad(BadRequest::BadEscape)),
        ("GET", "//", short, bad(BadRequest::EmptySegment)),
        ("GET", "/", short, bad(BadRequest::Host)),
        ("GET", "/", &good_host, bad(BadRequest::Framing)),
        ("GET", "/", &good_framing, bad(BadRequest::SeveralCredentials)),
        ("GET", "/", &one_credential, Err(Reason::Expectation)),
        ("GET", "/", &[HOST, ("content-length", b"101")], Err(Reason::BodyTooLarge)),
        ("GET", "/", &[HOST, ("content-length", b"100"), ("expect", b"100-Continue")], Ok(("a".into(), "/".into()))),
    ] {
        assert_eq!(read(method, target, Version::HTTP_11, fields), wanted, "{method} {target}");
    }
}

#[test]
fn forms_of_the_target() {
    use BadRequest::{AuthorityMismatch, Host, NonAscii, TargetForm};
    let ok = |host: &str, target: &str| Ok((host.to_owned(), target.to_owned()));
    let (one, two) = (Version::HTTP_11, Version::HTTP_2);
    let host = |name: &'static str| ("host", name.as_bytes());
    for (target, version, fields, wanted) in [
        ("/a?b=%zz", one, &[HOST][..], ok("a", "/a?b=%zz")),
        ("/a?", one, &[HOST], ok("a", "/a?")),
        ("/a#b", one, &[HOST], ok("a", "/a")),
        ("http://A:80/x", one, &[host("a.:80")], ok("a:80", "/x")),
        ("HTTPS://a", one, &[HOST], ok("a", "/")),
        ("http://a?x", one, &[HOST], ok("a", "/?x")),
        ("http://b/", one, &[HOST], Err(AuthorityMismatch)),
        ("http://a:80/", one, &[HOST], Err(AuthorityMismatch)),
        ("http://a/", one, &[], Err(Host)),
        ("http://u@a/", one, &[HOST], Err(TargetForm)),
        ("ftp://a/", one, &[HOST], Err(TargetForm)),
        ("a:80", one, &[HOST], Err(TargetForm)),
        ("/a", one, &[], Err(Host)),
        ("/a", Version::HTTP_10, &[], Err(Host)),
        ("/a", one, &[HOST, HOST], Err(Host)),
        ("/a", one, &[host("")], Err(Host)),
        ("/a", one, &[("host", b"caf\xc3\xa9")], Err(Host)),
        ("/a", one, &[host("a, b")], Err(Host)),
        ("/a", one, &[host("a/b")], Err(Host)),
        ("https://a/x", two, &[], ok("a", "/x")),
        ("https://a/x", two, &[HOST], ok("a", "/x")),
        ("https://a/x", two, &[host("b")], Err(AuthorityMismatch)),
        ("/x", two, &[HOST], ok("a", "/x")),
        ("/x", two, &[], Err(Host)),
        ("/caf\u{e9}", one, &[HOST], Err(NonAscii)),
        ("/a?caf\u{e9}", one, &[HOST], Err(NonAscii)),
    ] {
        assert_eq!(read("GET", target, version, fields), wanted.map_err(Reason::BadRequest), "{target} {fields:?}");
    }
}

#[test]
fn methods_that_never_pass() {
    for (method, passes) in [
        ("GET", true),
        ("PROPFIND", true),
        ("M-SEARCH", true),
        ("TRACE", false),
        ("TRACK", false),
        ("CONNECT", false),
        ("get", false),
        ("Get", false),
        ("TRACe", false),
    ] {
        assert_eq!(read(method, "/", Version::HTTP_11, &[HOST]).is_ok(), passes, "{method}");
    }
}

#[test]
fn the_head_is_measured_to_the_byte() {
    // `GET / HTTP/1.1` and its line end are 16 bytes, `host: a` counts 9.
    let value = vec![b'x'; 1000 - 16 - 9 - 5];
    let fits = |value: &[u8], target: &str| read("GET", target, Version::HTTP_11, &[HOST, ("x", value)]).is_ok();
    assert!(fits(&value, "/"));
    assert!(!fits(&[&value[..], b"x"].concat(), "/"));
    assert!(!fits(&value, "/a"), "the request line counts too");
}
