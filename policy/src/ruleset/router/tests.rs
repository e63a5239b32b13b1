#![expect(clippy::string_slice, reason = "the texts are those of the tests")]

use super::*;
use crate::ruleset::Ruleset;
use crate::testing::{body, rule};
use proptest::prelude::*;
use serde_json::json;

/// A template and the hosts of its rule.
type Written = (&'static str, &'static [&'static str]);

fn ruleset(rules: &[Written]) -> Ruleset {
    let rules: Vec<_> = rules.iter().map(|(path, hosts)| rule(json!({"path": path, "hosts": hosts}))).collect();
    Ruleset::new(&serde_json::from_value(body(json!({ "rules": rules }))).unwrap()).unwrap()
}

/// The template, whether it was folded, whether it was aliased.
fn route_on(host: &str, rules: &[Written], path: &str) -> Option<(String, bool, bool)> {
    let ruleset = ruleset(rules);
    let routed = ruleset.router.route(&ruleset.rules, host, path)?;
    let first = routed.rules(&ruleset.rules, host).next().unwrap();
    Some((first.path().to_owned(), routed.folded, routed.aliased))
}

fn route(templates: &[&'static str], path: &str) -> Option<(String, bool, bool)> {
    let rules: Vec<Written> = templates.iter().map(|template| (*template, &[][..])).collect();
    route_on("localhost", &rules, path)
}

fn chosen(templates: &[&'static str], path: &str) -> Option<String> {
    route(templates, path).map(|(template, ..)| template)
}

#[test]
fn segment_by_segment_from_the_left() {
    let all = &["/", "/**", "/a", "/a/**", "/a/{x}", "/a/b", "/{x}", "/{x}/b", "/{x}/b/c", "/{x}/{y}/**"];
    for (path, wanted) in [
        ("/", "/"),
        ("/a", "/a"),
        ("/a/", "/a"),
        ("/c", "/{x}"),
        ("/c/", "/{x}"),
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b"),
        ("/a/c", "/a/{x}"),
        // literal before parameter at the left, though the right would fit better
        ("/a/b/c", "/a/**"),
        ("/a/c/d", "/a/**"),
        ("/c/b", "/{x}/b"),
        ("/c/b/c", "/{x}/b/c"),
        ("/c/d", "/{x}/{y}/**"),
        ("/c/d/e/f", "/{x}/{y}/**"),
    ] {
        assert_eq!(chosen(all, path).as_deref(), Some(wanted), "{path}");
    }
}

#[test]
fn the_tree_is_searched_backwards_where_a_branch_ends() {
    let templates = &["/a/b/c", "/a/{x}/d", "/{x}/b/e", "/{x}/**"];
    for (path, wanted) in [
        ("/a/b/c", "/a/b/c"),
        ("/a/b/d", "/a/{x}/d"),
        ("/a/b/e", "/{x}/b/e"),
        ("/a/b/f", "/{x}/**"),
        ("/a", "/{x}/**"),
        ("/z", "/{x}/**"),
    ] {
        assert_eq!(chosen(templates, path).as_deref(), Some(wanted), "{path}");
    }
    assert_eq!(chosen(&["/a/b", "/a/{x}/c"], "/a/b/d"), None);
    assert_eq!(chosen(&["/a"], "/"), None);
}

#[test]
fn the_rest_matches_the_bare_prefix() {
    assert_eq!(chosen(&["/a/**"], "/a").as_deref(), Some("/a/**"));
    assert_eq!(chosen(&["/a/**"], "/a/").as_deref(), Some("/a/**"));
    assert_eq!(chosen(&["/a/**"], "/a/b/c/").as_deref(), Some("/a/**"));
    assert_eq!(chosen(&["/a/**"], "/ab"), None);
    assert_eq!(chosen(&["/**"], "/").as_deref(), Some("/**"));
    assert_eq!(chosen(&["/a/**", "/a"], "/a").as_deref(), Some("/a"), "a template that ends beats the rest");
    assert_eq!(chosen(&["/{x}"], "/"), None, "a parameter is never empty");
}

#[test]
fn hosts_come_before_paths() {
    let rules: &[Written] =
        &[("/a", &["a.example.com"]), ("/a/b", &["b.example.com"]), ("/**", &["*.example.com"]), ("/a/**", &[])];
    for (host, path, wanted) in [
        ("a.example.com", "/a", Some("/a")),
        ("b.example.com", "/a", Some("/a/**")),
        ("a.example.com", "/a/b", Some("/a/**")),
        ("b.example.com", "/a/b", Some("/a/b")),
        ("c.example.com", "/c", Some("/**")),
        ("c.d.example.com", "/c", Some("/**")),
        ("example.com", "/c", None),
        ("other", "/a", Some("/a/**")),
    ] {
        let got = route_on(host, rules, path).map(|(template, ..)| template);
        assert_eq!(got.as_deref(), wanted, "{host}{path}");
    }
}

#[test]
fn of_one_template_the_closest_host_hides_the_others() {
    let rules: &[Written] =
        &[("/a", &[]), ("/a", &["*.com"]), ("/a", &["*.b.com"]), ("/a", &["x.b.com", "*.com"]), ("/a", &["y.org"])];
    let ruleset = ruleset(rules);
    for (host, wanted) in
        [("x.b.com", vec![3]), ("y.b.com", vec![2]), ("b.com", vec![1, 3]), ("y.org", vec![4]), ("z.org", vec![0])]
    {
        let routed = ruleset.router.route(&ruleset.rules, host, "/a").unwrap();
        assert_eq!(routed.rules(&ruleset.rules, host).map(Rule::index).collect::<Vec<_>>(), wanted, "{host}");
    }
}

#[test]
fn case_is_folded_and_told() {
    let templates = &["/Admin", "/caf%C3%A9/{x}", "/kelvin", "/%C5%BFs", "/@me", "/stra%C3%9Fe"];
    for (path, wanted) in [
        ("/Admin", Some(("/Admin", false))),
        ("/admin", Some(("/Admin", true))),
        ("/ADMIN/", Some(("/Admin", true))),
        ("/caf%C3%89/X", Some(("/caf%C3%A9/{x}", true))),
        ("/caf%C3%A9/X", Some(("/caf%C3%A9/{x}", false))),
        ("/%E2%84%AAelvin", Some(("/kelvin", true))),
        ("/ss", Some(("/%C5%BFs", true))),
        ("/%40me", Some(("/@me", false))),
        ("/%40ME", Some(("/@me", true))),
        // simple folding: sharp s is not two letters, its capital is the letter itself
        ("/strasse", None),
        ("/stra%E1%BA%9Ee", Some(("/stra%C3%9Fe", true))),
        // a combining accent is another character
        ("/cafe%CC%81/X", None),
    ] {
        let got = route(templates, path);
        let got = got.as_ref().map(|(template, folded, _)| (template.as_str(), *folded));
        assert_eq!(got, wanted, "{path}");
    }
    assert_eq!(route(&["/A/{x}", "/a/b"], "/a/c"), Some(("/A/{x}".to_owned(), true, false)));
}

#[test]
fn aliases_step_by_step() {
    let templates = &["/admin", "/{x}", "/v1.0/x", "/a/**"];
    for (path, wanted) in [
        ("/admin", ("/admin", false)),
        ("/admin.", ("/{x}", true)),
        ("/admin%20", ("/{x}", true)),
        ("/admin.%20.%20", ("/{x}", true)),
        ("/admin.json", ("/{x}", true)),
        ("/ADMIN.JSON", ("/{x}", true)),
        ("/admin.json.", ("/{x}", true)),
        ("/admin..json", ("/{x}", true)),
        ("/admin%20.json%20", ("/{x}", true)),
        // one extension only, and only at the end
        ("/admin.tar.gz", ("/{x}", false)),
        ("/.admin", ("/{x}", false)),
        ("/%20admin", ("/{x}", false)),
        ("/x.json", ("/{x}", false)),
        ("/...", ("/{x}", false)),
        ("/.json", ("/{x}", false)),
        ("/a.json", ("/{x}", true)),
        ("/a/b.json", ("/a/**", false)),
    ] {
        let (template, _, aliased) = route(templates, path).unwrap();
        assert_eq!((template.as_str(), aliased), wanted, "{path}");
    }
    // A rule that names the alias lifts it; without a second template there is nothing to take it for.
    assert_eq!(route(&["/admin", "/admin.json"], "/admin.json"), Some(("/admin.json".into(), false, false)));
    assert_eq!(route(&["/admin"], "/admin.json"), None);
    assert_eq!(route(&["/admin.json", "/{x}"], "/admin.json.gz"), Some(("/{x}".into(), false, true)));
    assert_eq!(route(&["/a/b", "/{x}/{y}"], "/a.json/b%20"), Some(("/{x}/{y}".into(), false, true)));
    assert_eq!(route(&["/a/b", "/**"], "/a/b.json"), Some(("/**".into(), false, true)));
    assert_eq!(route(&["/a/**", "/**"], "/a./c/d"), Some(("/**".into(), false, true)));
    // Only templates of this host count.
    let rules: &[Written] = &[("/admin", &["other"]), ("/{x}", &[])];
    assert_eq!(route_on("localhost", rules, "/admin.json"), Some(("/{x}".into(), false, false)));
}

#[test]
fn a_literal_never_acts_as_a_pattern() {
    for (template, itself, others) in [
        ("/a.c", "/a.c", &["/abc", "/a/c"][..]),
        ("/%7Bid%7D", "/%7Bid%7D", &["/7", "/id"]),
        ("/%2A%2A", "/%2A%2A", &["/a", "/a/b", "/"]),
        ("/a%2A", "/a*", &["/ab", "/a"]),
        ("/a+", "/a+", &["/aa", "/a", "/a%20"]),
        ("/(a%7Cb)", "/(a%7Cb)", &["/a", "/b"]),
        ("/$", "/$", &["/", "/x"]),
        ("/:id", "/:id", &["/7"]),
        ("/%5Ba-z%5D", "/%5Ba-z%5D", &["/a"]),
    ] {
        assert_eq!(chosen(&[template], itself).as_deref(), Some(template));
        for other in others {
            assert_eq!(chosen(&[template], other), None, "{template} {other}");
        }
        let (picked, ..) = route(&[template, "/{x}"], itself).unwrap();
        assert_eq!(picked, template, "a literal stands before a parameter");
    }
}

#[test]
fn an_encoded_slash_stays_in_its_segment() {
    assert_eq!(chosen(&["/a%2Fb"], "/a%2Fb").as_deref(), Some("/a%2Fb"));
    assert_eq!(chosen(&["/a%2Fb"], "/a/b"), None);
    assert_eq!(chosen(&["/a/b", "/{x}"], "/a%2Fb").as_deref(), Some("/{x}"));
}

#[test]
fn templates_that_are_refused() {
    use TemplateError::*;
    let long = format!("/{}", "a".repeat(1024));
    for (template, wanted) in [
        ("", Start),
        ("a", Start),
        ("**", Start),
        ("/a/", TrailingSlash),
        ("//", TrailingSlash),
        ("/a//**", TrailingSlash),
        ("/a/*", Rest),
        ("/*", Rest),
        ("/a**", Rest),
        ("/a/***", Rest),
        ("/**/a", Rest),
        ("/a*b", Rest),
        ("/{a}**", Rest),
        ("/{}", Parameter),
        ("/{a b}", Parameter),
        ("/{a}{b}", Parameter),
        ("/x{a}", Parameter),
        ("/{a}.json", Parameter),
        ("/{a", Parameter),
        ("/a}", Parameter),
        ("/{\u{e9}}", Parameter),
        ("/{**}", Parameter),
        ("/{a}/{a}", RepeatedParameter),
        ("/{a}/x/{b}/{a}/**", RepeatedParameter),
        ("/a//b", NotCanonical),
        ("//a", NotCanonical),
        ("//**", NotCanonical),
        ("/./a", NotCanonical),
        ("/a/..", NotCanonical),
        ("/a;b", NotCanonical),
        ("/%61", NotCanonical),
        ("/a%2fb", NotCanonical),
        ("/a b", NotCanonical),
        ("/a?b", NotCanonical),
        ("/a#b", NotCanonical),
        ("/caf\u{e9}", NotCanonical),
        ("/%C3", NotCanonical),
        ("/%2541", NotCanonical),
        ("/a\\b", NotCanonical),
        ("/%E2%80%A8", NotCanonical),
        ("/.doorward", Reserved),
        ("/.Doorward/x", Reserved),
        ("/.doorward/**", Reserved),
        (&long, TooLong),
    ] {
        assert_eq!(Template::parse(template), Err(wanted), "{template}");
    }
    for template in ["/", "/**", "/{a}/**", "/{A-b_1}", "/.well-known/{x}", "/.doorward2", &long[..1024]] {
        assert!(Template::parse(template).is_ok(), "{template}");
    }
}

#[test]
fn templates_that_differ_only_in_case_are_refused() {
    let build = |one: &str, other: &str| {
        let rules = [rule(json!({ "path": one })), rule(json!({ "path": other }))];
        Ruleset::new(&serde_json::from_value(body(json!({ "rules": rules }))).unwrap()).is_ok()
    };
    assert!(!build("/a", "/A"));
    assert!(!build("/a/{x}/b", "/a/{y}/B"));
    assert!(!build("/caf%C3%A9/**", "/caf%C3%89/**"));
    assert!(!build("/kelvin", "/%E2%84%AAelvin"));
    assert!(build("/a", "/a"));
    assert!(build("/a/{x}", "/a/{X}"), "the names of parameters do not count");
    assert!(build("/A/x", "/a/y") && build("/a", "/A/**"));
    assert!(build("/@me", "/%40me"), "spelled otherwise, but the same");
}

#[test]
fn keys_tell_templates_apart() {
    let key = |text: &str, folded| Template::parse(text).unwrap().key(folded);
    for (one, other) in [
        ("/a/{x}", "/a/%7B%7D"),
        ("/a/**", "/a/%2A%2A"),
        ("/a/**", "/a"),
        ("/a/b", "/a%2Fb"),
        ("/a/{x}/b", "/a/%7B%7D%2Fb"),
        ("/{x}", "/**"),
        ("/", "/**"),
    ] {
        assert_ne!(key(one, true), key(other, true), "{one} {other}");
        assert_ne!(key(one, false), key(other, false), "{one} {other}");
    }
    assert_eq!(key("/a/{x}", false), key("/a/{y}", false));
    assert_eq!(key("/@A", false), key("/%40A", false));
    assert_eq!(key("/A", true), key("/a", true));
    assert_ne!(key("/A", false), key("/a", false));
}

/// The rules of the documentation, written down without any cleverness.
mod reference {
    use super::*;

    const ENDS: u8 = 0;
    const LITERAL: u8 = 1;
    const PARAMETER: u8 = 5;
    const REST: u8 = 6;

    fn folded(segment: &str) -> String {
        Segment::of_canonical(segment).folded().collect()
    }

    /// What a segment is called after each step, nothing left out.
    fn aliases(segment: &str) -> Vec<String> {
        let dots = |text: &str| {
            let kept = text.chars().rev().skip_while(|c| ". ".contains(*c)).count();
            text.chars().take(kept).collect::<String>()
        };
        let one = dots(&folded(segment));
        let two = one.rfind('.').map_or(one.clone(), |dot| one[..dot].to_owned());
        let three = dots(&two);
        vec![one, two, three]
    }

    fn rank(literal: &str, segment: &str, by_alias: bool) -> Option<u8> {
        if folded(literal) == folded(segment) {
            return Some(LITERAL);
        }
        let step = aliases(segment).iter().position(|alias| by_alias && *alias == folded(literal))?;
        Some(LITERAL + 1 + step as u8)
    }

    /// How well a template fits, smaller is better, compared from the left.
    fn fit(template: &str, path: &str, by_alias: bool) -> Option<Vec<u8>> {
        let split = |text: &str| text.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        let (mut wanted, segments) = (split(template), split(path));
        let rest = wanted.last().is_some_and(|last| last == "**");
        if rest {
            wanted.pop();
        }
        if segments.len() < wanted.len() || (segments.len() > wanted.len() && !rest) {
            return None;
        }
        let mut ranks = Vec::new();
        for (wanted, segment) in wanted.iter().zip(&segments) {
            ranks.push(if wanted.starts_with('{') { PARAMETER } else { rank(wanted, segment, by_alias)? });
        }
        ranks.push(if rest { REST } else { ENDS });
        Some(ranks)
    }

    fn names_host(hosts: &[&str], host: &str) -> bool {
        hosts.is_empty()
            || hosts.iter().any(|pattern| match pattern.strip_prefix('*') {
                Some(suffix) => host.ends_with(suffix) && host != &suffix[1..],
                None => *pattern == host,
            })
    }

    fn best(rules: &[Written], host: &str, path: &str, by_alias: bool) -> Option<&'static str> {
        let there = rules.iter().filter(|(_, hosts)| names_host(hosts, host));
        let fitting = there.filter_map(|(template, _)| Some((fit(template, path, by_alias)?, *template)));
        fitting.min().map(|(_, template)| template)
    }

    pub(super) fn route(rules: &[Written], host: &str, path: &str) -> Option<(String, bool)> {
        let first = best(rules, host, path, false)?;
        Some((first.to_owned(), best(rules, host, path, true) != Some(first)))
    }
}

const TEMPLATES: [&str; 18] = [
    "/",
    "/**",
    "/a",
    "/b",
    "/a/**",
    "/{x}",
    "/{x}/**",
    "/a/b",
    "/a/{x}",
    "/{x}/a",
    "/{x}/{y}",
    "/a.b",
    "/a.b/**",
    "/{x}/a/**",
    "/a/b/a",
    "/a/{x}/b",
    "/{x}/b/{y}",
    "/b/a.b/**",
];
const HOSTS: [&[&str]; 5] = [&[], &["h.com"], &["*.com"], &["x.h.com", "h.com"], &["*.h.com"]];

fn written() -> impl Strategy<Value = Vec<Written>> {
    let one = (proptest::sample::select(&TEMPLATES[..]), proptest::sample::select(&HOSTS[..]));
    proptest::collection::vec(one, 1..8)
}

fn requested() -> impl Strategy<Value = String> {
    let names = &["a", "b", "c", "A", "a.b", "a.", "a.b.", "a%20", "a.b.c", "b.a", ".a", "a..b", "A.B%20.x"][..];
    let segments = proptest::collection::vec(proptest::sample::select(names), 0..5);
    (segments, any::<bool>()).prop_map(|(segments, slash)| {
        let path = format!("/{}", segments.join("/"));
        if slash && !segments.is_empty() { path + "/" } else { path }
    })
}

fn route_both(rules: &[Written], host: &str, path: &str) -> Option<(String, bool)> {
    route_on(host, rules, path).map(|(template, _, aliased)| (template, aliased))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_router_does_what_the_documentation_says(
        rules in written(), path in requested(), host in proptest::sample::select(&["h.com", "x.h.com", "y.h.com", "org"][..]),
    ) {
        prop_assert_eq!(route_both(&rules, host, &path), reference::route(&rules, host, &path));
        let mut turned = rules.clone();
        turned.reverse();
        prop_assert_eq!(route_both(&rules, host, &path), route_both(&turned, host, &path), "order does not count");
    }

    #[test]
    fn another_rule_only_takes_paths_for_itself(rules in written(), more in written(), path in requested()) {
        let before = route_both(&rules, "h.com", &path).map(|(template, _)| template);
        let added = more[0];
        let after = [&rules[..], &[added]].concat();
        let after = route_both(&after, "h.com", &path).map(|(template, _)| template);
        prop_assert!(after == before || after.as_deref() == Some(added.0), "{before:?} {after:?} {added:?}");
    }
}

/// A segment of characters that mean something in patterns elsewhere, in canonical form.
fn literal() -> impl Strategy<Value = String> {
    let pieces =
        &["a", "b", "c", ".", "+", "$", "(", ")", ":", "-", "!", "%2A", "%7B", "%7D", "%5B", "%5D", "%3F", "%7C"];
    proptest::collection::vec(proptest::sample::select(&pieces[..]), 1..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_literal_is_found_by_itself_alone(literals in proptest::collection::vec(literal(), 1..4), other in literal()) {
        let template = format!("/{}", literals.join("/"));
        let path = format!("/{}", literals.iter().map(|_| other.as_str()).collect::<Vec<_>>().join("/"));
        prop_assume!(Template::parse(&template).is_ok() && crate::request::is_canonical(&path));
        let (template, path): (&'static str, &'static str) = (template.leak(), path.leak());
        let itself = chosen(&[template], template);
        prop_assert_eq!(itself.as_deref(), Some(template));
        prop_assert_eq!(chosen(&[template], path).is_some(), template == path, "{} {}", template, path);
    }
}

#[test]
fn paths_of_the_metadata_document() {
    let is_metadata = |path: &str| Template::parse(path).unwrap().is_metadata();
    for path in ["/.well-known/oauth-protected-resource", "/.well-known/OAuth-Protected-Resource/{x}"] {
        assert!(is_metadata(path), "{path}");
    }
    for path in ["/.well-known/{x}", "/.well-known/oauth-protected-resources", "/oauth-protected-resource"] {
        assert!(!is_metadata(path), "{path}");
    }
}
