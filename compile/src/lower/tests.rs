use super::*;
use crate::source;
use policy::wire::{Access, Algorithm, ClientCa, HeaderFormat, HeaderSource, TlsMode, TlsVersion};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::json;

const KEYS: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// A good policy; the tests replace one text in it.
const POLICY: &str = r#"apiVersion: doorward.dev/v1alpha1
kind: ApiAuthPolicy
metadata: {name: orders, namespace: shop}
spec:
  selector: {matchLabels: {app: orders}}
  tls:
    mode: Mutual
    clientCAs:
    - {name: cluster, builtIn: true}
    - {name: partner, configMapName: partner, key: ca.crt}
  issuers:
  - name: main
    issuer: https://login.example.com
    audiences: [orders-api]
    keys: {configMapName: keys, key: jwks}
  rules:
  - path: /orders/{id}
    require:
      scopes: [orders:read]
      pathParams: {id: subject}
      callers:
      - {serviceAccount: web/web}
      - {ca: partner, dns: a.partner.example}
  - path: /health
    allow: Anonymous
  forward:
    headers:
    - {name: x-user, identity: subject}
"#;

const KEYS_LINE: &str = "    keys: {configMapName: keys, key: jwks}";

/// A CA certificate in PEM; its key too, for another certificate of the same authority.
fn authority(key: &KeyPair) -> String {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.self_signed(key).unwrap().pem()
}

fn key() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap()
}

fn config_maps(entries: &[(&str, &str, &str)]) -> ConfigMaps {
    let mut maps = ConfigMaps::default();
    for (name, key, text) in entries {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}, "data": {*key: text},
        });
        assert!(maps.add(&object));
    }
    maps
}

fn all_there() -> ConfigMaps {
    config_maps(&[("partner", "ca.crt", &authority(&key())), ("keys", "jwks", KEYS)])
}

fn compile_text(text: &str, maps: &ConfigMaps) -> (Option<Compiled>, Vec<Diagnostic>) {
    let document = source::read("p.yaml", text).unwrap().remove(0);
    let (compiled, found) = compile(&document, maps, &Settings::default());
    let refused = found.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
    assert_eq!(compiled.is_none(), refused, "{found:?}");
    for one in &found {
        assert_eq!(one.file.as_deref(), Some("p.yaml"), "{one}");
        assert_eq!(one.object.as_ref().map(ToString::to_string).as_deref(), Some("ApiAuthPolicy shop/orders"), "{one}");
        assert!(!one.message.ends_with('.') && !one.to_string().contains(char::is_control), "{one}");
    }
    (compiled, found)
}

/// What is found, as `SEVERITY CODE PATH LINE`, after replacements of text.
fn found(changes: &[(&str, &str)], maps: &ConfigMaps) -> Vec<String> {
    let mut text = POLICY.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    let show = |one: &Diagnostic| format!("{} {} {} {}", one.severity, one.code, one.path, one.line.unwrap_or(0));
    compile_text(&text, maps).1.iter().map(show).collect()
}

/// Each row is one replacement and all that is found for it.
fn check_table(rows: &[(&str, &str, &[&str])]) {
    let maps = all_there();
    for (from, to, wanted) in rows {
        assert_eq!(found(&[(from, to)], &maps), *wanted, "{from} -> {to}");
    }
}

#[test]
fn a_good_policy_compiles_without_a_word() {
    assert_eq!(found(&[], &all_there()), Vec::<String>::new());
}

#[test]
fn objects() {
    check_table(&[
        ("{matchLabels: {app: orders}}", "{}", &["error out_of_bounds spec.selector 5"]),
        ("{matchLabels: {app: orders}}", "{matchLabels: {}}", &["error out_of_bounds spec.selector.matchLabels 5"]),
        (
            "{matchLabels: {app: orders}}",
            "{matchExpressions: []}",
            &["error out_of_bounds spec.selector.matchExpressions 5"],
        ),
        ("{matchLabels: {app: orders}}", "{matchExpressions: [{key: app, operator: Exists}]}", &[]),
    ]);
    for (name, good) in [
        ("a-b.c1", true),
        ("a\\\"b", false),
        ("A", false),
        ("a\\n", false),
        ("-a", false),
        ("a..b", false),
        ("", false),
    ] {
        let text = POLICY.replacen("{name: orders,", &format!("{{name: \"{name}\","), 1);
        let document = source::read("p.yaml", &text).unwrap().remove(0);
        let (_, found) = compile(&document, &all_there(), &Settings::default());
        let codes: Vec<_> = found.iter().map(|one| (one.code, one.path.as_str())).collect();
        let wanted: &[_] = if good { &[] } else { &[(Code::BadFormat, "metadata.name")] };
        assert_eq!(codes, wanted, "{name}");
    }
}

#[test]
fn issuers() {
    let second =
        "  - {name: other, issuer: https://other, audiences: [a], keys: {configMapName: keys, key: jwks}}\n  rules:";
    check_table(&[
        ("https://login", "http://login", &["error insecure_issuer spec.issuers[0].issuer 13"]),
        ("https://login", "HTTP://login", &["error insecure_issuer spec.issuers[0].issuer 13"]),
        ("https://login.example.com", "accounts.google.com", &[]),
        ("https://login.example.com", "héé", &[]),
        (
            "  rules:",
            &second.replace("https://other", "https://login.example.com"),
            &[
                "error duplicate_issuer spec.issuers[1].issuer 16",
                "error unnamed_issuer spec.rules[0].require 20",
                "warning ambiguous_subject spec.forward.headers[0] 29",
            ],
        ),
        (
            KEYS_LINE,
            "    keys: {configMapName: keys, key: other}",
            &["error missing_reference spec.issuers[0].keys.key 15"],
        ),
        (
            KEYS_LINE,
            "    keys: {configMapName: other, key: jwks}",
            &["error missing_reference spec.issuers[0].keys.configMapName 15"],
        ),
        (KEYS_LINE, "    keys: {inline: 'x'}", &["error bad_keys spec.issuers[0].keys.inline 15"]),
        (KEYS_LINE, "    keys: {inline: '{\"keys\":[]}'}", &["error bad_keys spec.issuers[0].keys.inline 15"]),
        (
            KEYS_LINE,
            "    keys: {inline: '{\"keys\":[{\"kty\":\"oct\",\"k\":\"YQ\"}]}'}",
            &["error bad_keys spec.issuers[0].keys.inline 15", "error bad_keys spec.issuers[0].keys.inline 15"],
        ),
        (
            "  rules:",
            second,
            &["error unnamed_issuer spec.rules[0].require 20", "warning ambiguous_subject spec.forward.headers[0] 29"],
        ),
    ]);
    let named = [("  rules:", second), ("      scopes:", "      issuers: [main]\n      scopes:")];
    assert_eq!(found(&named, &all_there()), ["warning ambiguous_subject spec.forward.headers[0] 30"]);
    let told =
        [named[0], named[1], ("identity: subject}", "identity: subject}\n    - {name: x-issuer, identity: issuer}")];
    assert_eq!(found(&told, &all_there()), Vec::<String>::new());
}

#[test]
fn keys_that_are_fetched() {
    let jwks = |url: &str| format!("    keys: {{jwksURL: '{url}'}}");
    let place = "spec.issuers[0].keys.jwksURL 15";
    let row = |url: &str, wanted: Option<&str>| (jwks(url), wanted.map(|code| format!("error {code} {place}")));
    for (written, wanted) in [
        row("https://keys.example.com/jwks?a=b", None),
        row("https://8.8.8.8/jwks", None),
        row("http://keys.example.com/jwks", Some("bad_url")),
        row("http://localhost/jwks", Some("bad_url")),
        row("https://a@keys.example.com/jwks", Some("bad_url")),
        row("https://keys.example.com/jwks#a", Some("bad_url")),
        row("keys.example.com/jwks", Some("bad_url")),
        row("https://127.1/jwks", Some("bad_url")),
        row("https://127.0.0.1/jwks", Some("forbidden_address")),
        row("https://[::1]/jwks", Some("forbidden_address")),
        row("https://169.254.169.254/jwks", Some("forbidden_address")),
        row("https://10.0.0.1/jwks", Some("forbidden_address")),
        row("https://[::ffff:10.0.0.1]/jwks", Some("forbidden_address")),
        row("https://[64:ff9b::808:808]/jwks", Some("forbidden_address")),
    ] {
        assert_eq!(found(&[(KEYS_LINE, &written)], &all_there()), Vec::from_iter(wanted), "{written}");
    }
}

#[test]
fn keys_that_are_discovered() {
    let place = "spec.issuers[0].issuer 13";
    for (issuer, code) in [
        ("https://login.example.com/realms/a/", None),
        ("accounts.google.com", Some("bad_url")),
        ("https://login.example.com/?a", Some("bad_url")),
        ("https://login.example.com/#a", Some("bad_url")),
        ("https://a@login.example.com", Some("bad_url")),
        ("http://login.example.com", Some("insecure_issuer")),
        ("https://10.0.0.1", Some("forbidden_address")),
    ] {
        let changes = [(KEYS_LINE, "    leeway: 1s"), ("https://login.example.com", issuer)];
        let wanted = code.map(|code| format!("error {code} {place}"));
        assert_eq!(found(&changes, &all_there()), Vec::from_iter(wanted), "{issuer}");
    }
    // An identifier that nothing connects to may be anything.
    assert_eq!(found(&[("https://login.example.com", "https://10.0.0.1")], &all_there()), Vec::<String>::new());
}

#[test]
fn bundles_vouch_for_what_is_fetched() {
    let bundle = |key: &str| format!("    keys: {{caBundle: {{configMapName: partner, key: {key}}}}}");
    assert_eq!(found(&[(KEYS_LINE, &bundle("ca.crt"))], &all_there()), Vec::<String>::new());
    assert_eq!(
        found(&[(KEYS_LINE, &bundle("other"))], &all_there()),
        ["error missing_reference spec.issuers[0].keys.caBundle.key 15"]
    );
    let other = "    keys: {jwksURL: 'https://a/b', caBundle: {configMapName: keys, key: jwks}}";
    assert_eq!(
        found(&[(KEYS_LINE, other)], &all_there()),
        ["error bad_certificate spec.issuers[0].keys.caBundle.key 15"]
    );
}

#[test]
fn settings_allow_networks_and_this_machine() {
    let compiled = |url: &str, settings: &Settings| {
        let text = POLICY.replacen(KEYS_LINE, &format!("    keys: {{jwksURL: '{url}'}}"), 1);
        let document = source::read("p.yaml", &text).unwrap().remove(0);
        compile(&document, &all_there(), settings).0.is_some()
    };
    let network = Settings { allowed_networks: vec!["10.96.0.0/12".parse().unwrap()], ..Settings::default() };
    assert!(compiled("https://10.96.0.1/jwks", &network) && !compiled("https://10.0.0.1/jwks", &network));
    assert!(!compiled("http://127.0.0.1/jwks", &network));
    let here = Settings { loopback_issuers: true, ..Settings::default() };
    assert!(compiled("http://127.0.0.1:8080/jwks", &here) && compiled("https://localhost/jwks", &here));
    assert!(!compiled("http://10.96.0.1/jwks", &here) && !compiled("https://10.96.0.1/jwks", &here));
}

#[test]
fn policies_share_what_they_fetch_from_one_place() {
    let sources = |changes: &[(&str, &str)]| {
        let text = changes.iter().fold(POLICY.to_owned(), |text, (from, to)| text.replacen(from, to, 1));
        let compiled = compile_text(&text, &all_there()).0.unwrap();
        assert!(compiled.keys.is_empty());
        assert_eq!(compiled.body.issuers[0].keys, compiled.sources[0].id());
        compiled.sources
    };
    let discovered = (KEYS_LINE, "    leeway: 1s");
    let one = sources(&[discovered]);
    assert_eq!((one[0].issuer(), one[0].jwks_url(), one[0].ca_bundle()), ("https://login.example.com", None, None));
    assert_eq!(one, sources(&[discovered, ("name: orders,", "name: other,")]));
    let named = sources(&[(KEYS_LINE, "    keys: {jwksURL: 'https://a/b'}")]);
    assert_ne!(one, named);
    assert_eq!(named[0].jwks_url(), Some("https://a/b"));
    let bundle = sources(&[(KEYS_LINE, "    keys: {caBundle: {configMapName: partner, key: ca.crt}}")]);
    assert!(bundle[0].ca_bundle().unwrap().contains("BEGIN CERTIFICATE") && bundle[0].id() != one[0].id());
}

#[test]
fn fields_of_issuers() {
    check_table(&[
        (KEYS_LINE, &format!("{KEYS_LINE}\n    leeway: 6m"), &["error out_of_bounds spec.issuers[0].leeway 16"]),
        (KEYS_LINE, &format!("{KEYS_LINE}\n    leeway: 5m"), &[]),
        (
            KEYS_LINE,
            &format!("{KEYS_LINE}\n    leeway: 18446744073709551h"),
            &["error out_of_bounds spec.issuers[0].leeway 16"],
        ),
        (
            KEYS_LINE,
            &format!("{KEYS_LINE}\n    maxTokenAge: 99999999h"),
            &["error out_of_bounds spec.issuers[0].maxTokenAge 16"],
        ),
        (
            KEYS_LINE,
            &format!("{KEYS_LINE}\n    requiredClaims: [jti, /a~2]"),
            &["error bad_claim_path spec.issuers[0].requiredClaims[1] 16"],
        ),
        (
            KEYS_LINE,
            &format!("{KEYS_LINE}\n    identity: {{roles: /~}}"),
            &["error bad_claim_path spec.issuers[0].identity.roles 16"],
        ),
        (KEYS_LINE, &format!("{KEYS_LINE}\n    tokenTypes: [absent, IdToken, application/at+jwt]"), &[]),
        (
            KEYS_LINE,
            &format!("{KEYS_LINE}\n    tokenTypes: [JWT, Absent]"),
            &["error bad_format spec.issuers[0].tokenTypes[1] 16"],
        ),
        (
            KEYS_LINE,
            &format!("{KEYS_LINE}\n    tokenTypes: [application/idtoken]"),
            &["error bad_format spec.issuers[0].tokenTypes[0] 16"],
        ),
    ]);
}

#[test]
fn keys_that_are_left_out_are_named() {
    let weak = KEYS.replace("[{", r#"[{"kty":"RSA","kid":"weak","n":"AQAB","e":"AQAB"},{"#);
    let maps = config_maps(&[("partner", "ca.crt", &authority(&key())), ("keys", "jwks", &weak)]);
    assert_eq!(found(&[], &maps), ["warning ignored_key spec.issuers[0].keys.key 15"]);
    let private = KEYS.replace(r#""kid":"k""#, r#""kid":"k","d":"AAAA""#);
    let maps = config_maps(&[("partner", "ca.crt", &authority(&key())), ("keys", "jwks", &private)]);
    let (_, found) = compile_text(POLICY, &maps);
    assert!(found.iter().all(|one| one.code == Code::BadKeys && !one.message.contains("AAAA")), "{found:?}");
}

#[test]
fn authorities() {
    let ca = authority(&key());
    let leaf = CertificateParams::new(vec!["a".to_owned()]).unwrap().self_signed(&key()).unwrap().pem();
    let place = "spec.tls.clientCAs[1].key 10";
    for (pem, wanted) in [
        (ca.clone(), vec![]),
        (ca.repeat(2), vec![]),
        (String::new(), vec![format!("error bad_certificate {place}")]),
        ("nothing".into(), vec![format!("error bad_certificate {place}")]),
        (ca.replacen("MII", "!!!", 1), vec![format!("error bad_certificate {place}")]),
        (leaf.clone(), vec![format!("error bad_certificate {place}")]),
        (ca.clone() + &leaf, vec![format!("error bad_certificate {place}")]),
        (ca.repeat(65), vec![format!("error out_of_bounds {place}")]),
    ] {
        let maps = config_maps(&[("partner", "ca.crt", &pem), ("keys", "jwks", KEYS)]);
        assert_eq!(found(&[], &maps), wanted, "{pem:.40}");
    }
    let more = "key: ca.crt}\n    - {name: again, configMapName: again, key: ca.crt}";
    let shared = key();
    for (first, second, same) in [
        (ca.clone(), ca.clone(), true),
        (authority(&shared), authority(&shared), true),
        (ca.clone(), authority(&key()), false),
    ] {
        let maps = config_maps(&[("partner", "ca.crt", &first), ("again", "ca.crt", &second), ("keys", "jwks", KEYS)]);
        let wanted: &[&str] = if same { &["error shared_anchor spec.tls.clientCAs[2] 11"] } else { &[] };
        assert_eq!(found(&[("key: ca.crt}", more)], &maps), wanted);
    }
    check_table(&[
        (
            "key: ca.crt}",
            "key: ca.crt}\n    - {name: ours, builtIn: true}",
            &["error shared_anchor spec.tls.clientCAs[2] 11"],
        ),
        (
            "configMapName: partner,",
            "configMapName: nobody,",
            &["error missing_reference spec.tls.clientCAs[1].configMapName 10"],
        ),
        ("key: ca.crt", "key: tls.crt", &["error missing_reference spec.tls.clientCAs[1].key 10"]),
        ("key: ca.crt", "key: \"a\\nb\\e[m\"", &["error missing_reference spec.tls.clientCAs[1].key 10"]),
        (
            "configMapName: partner,",
            "configMapName: \"a\\nb\",",
            &["error bad_format spec.tls.clientCAs[1].configMapName 10"],
        ),
    ]);
}

#[test]
fn rules() {
    const HEALTH: &str = "  - path: /health\n    allow: Anonymous";
    let health = |more: &str| format!("{HEALTH}\n    {more}");
    check_table(&[
        ("/health", "health", &["error bad_template spec.rules[1].path 24"]),
        ("/health", "/health/", &["error bad_template spec.rules[1].path 24"]),
        ("/health", "/a/*", &["error bad_template spec.rules[1].path 24"]),
        ("/health", "/%61", &["error bad_template spec.rules[1].path 24"]),
        ("/health", "/.doorward/x", &["error bad_template spec.rules[1].path 24"]),
        (HEALTH, &health("methods: [GET, get]"), &["error bad_method spec.rules[1].methods[1] 26"]),
        (HEALTH, &health("methods: [TRACE]"), &["error bad_method spec.rules[1].methods[0] 26"]),
        (HEALTH, &health("methods: [\"A B\"]"), &["error bad_method spec.rules[1].methods[0] 26"]),
        (HEALTH, &health("hosts: [A.Example.COM., \"*.example.com\"]"), &[]),
        (HEALTH, &health("hosts: [\"a:80\"]"), &["error bad_host spec.rules[1].hosts[0] 26"]),
        (
            HEALTH,
            &health("hosts: [\"a.*.b\", \"*\"]"),
            &["error bad_host spec.rules[1].hosts[0] 26", "error bad_host spec.rules[1].hosts[1] 26"],
        ),
        (HEALTH, &health("ips: [10.0.0.0/8, 192.0.2.1, \"::1\"]"), &[]),
        (HEALTH, &health("ips: [10.0.0.1/8]"), &["error bad_network spec.rules[1].ips[0] 26"]),
        (HEALTH, &health("ips: [localhost]"), &["error bad_network spec.rules[1].ips[0] 26"]),
        (HEALTH, &health("ips: [\"::ffff:0:0/96\"]"), &["error bad_network spec.rules[1].ips[0] 26"]),
    ]);
}

#[test]
fn requirements() {
    const SCOPES: &str = "      scopes: [orders:read]";
    let with = |more: &str| format!("{SCOPES}\n      {more}");
    const NO_ISSUER: &str = "  issuers:\n  - name: main\n    issuer: https://login.example.com\n    audiences: [orders-api]\n    keys: {configMapName: keys, key: jwks}\n";
    check_table(&[
        (SCOPES, &with("issuers: [main, other]"), &["error unknown_issuer spec.rules[0].require.issuers[1] 20"]),
        (SCOPES, "      scopes: [\"a b\"]", &["error bad_format spec.rules[0].require.scopes[0] 19"]),
        (SCOPES, &with("anyScope: [a, 'b\"']"), &["error bad_format spec.rules[0].require.anyScope[1] 20"]),
        (
            SCOPES,
            &with("claims: [{claim: /a~, anyOf: [x]}]"),
            &["error bad_claim_path spec.rules[0].require.claims[0].claim 20"],
        ),
        (SCOPES, &with("maxAuthAge: 999999h"), &["error out_of_bounds spec.rules[0].require.maxAuthAge 20"]),
        (
            "{id: subject}",
            "{user: subject, id: email}",
            &["error unknown_parameter spec.rules[0].require.pathParams.user 20"],
        ),
        ("{id: subject}", "{\"a/b\": subject}", &["error unknown_parameter spec.rules[0].require.pathParams[a/b] 20"]),
        (
            "serviceAccount: web/web",
            "serviceAccount: web",
            &["error bad_format spec.rules[0].require.callers[0].serviceAccount 22"],
        ),
        (
            "serviceAccount: web/web",
            "serviceAccount: a/b/c",
            &["error bad_format spec.rules[0].require.callers[0].serviceAccount 22"],
        ),
        (
            "serviceAccount: web/web",
            "ca: partner, serviceAccount: web/web",
            &["error wrong_combination spec.rules[0].require.callers[0].serviceAccount 22"],
        ),
        ("ca: partner, dns", "ca: other, dns", &["error unknown_ca spec.rules[0].require.callers[1].ca 23"]),
        (
            "dns: a.partner.example",
            "dns: \"*.partner.example\"",
            &["error bad_format spec.rules[0].require.callers[1].dns 23"],
        ),
        ("dns: a.partner.example", "dns: \".\"", &["error bad_format spec.rules[0].require.callers[1].dns 23"]),
        (
            "dns: a.partner.example",
            "dns: \"caf\u{e9}.example\"",
            &["error bad_format spec.rules[0].require.callers[1].dns 23"],
        ),
        (
            "dns: a.partner.example",
            "spiffe: \"partner/x\"",
            &["error bad_format spec.rules[0].require.callers[1].spiffe 23"],
        ),
        (
            "dns: a.partner.example",
            "spiffe: \"spiffe://partner/caf\u{e9}\"",
            &["error bad_format spec.rules[0].require.callers[1].spiffe 23"],
        ),
        ("    - {name: cluster, builtIn: true}\n", "", &["error unknown_ca spec.rules[0].require.callers[0].ca 21"]),
        (NO_ISSUER, "", &["error no_issuer spec.rules[0].require 14"]),
    ]);
    let allow = [
        (NO_ISSUER, ""),
        ("allow: Anonymous", "allow: Authenticated"),
        ("      scopes: [orders:read]\n      pathParams: {id: subject}\n", ""),
    ];
    assert_eq!(found(&allow, &all_there()), ["error no_issuer spec.rules[1].allow 18"]);
    let callers = [(NO_ISSUER, ""), ("      scopes: [orders:read]\n      pathParams: {id: subject}\n", "")];
    assert_eq!(found(&callers, &all_there()), Vec::<String>::new(), "callers alone need no issuer");
}

#[test]
fn headers() {
    const HEADER: &str = "    - {name: x-user, identity: subject}";
    let named = |name: &str| format!("    - {{name: {name}, identity: subject}}");
    check_table(&[
        (HEADER, &named("X-User"), &[]),
        (HEADER, &named("authorization"), &["error reserved_header spec.forward.headers[0].name 28"]),
        (HEADER, &named("X-Forwarded-For"), &["error reserved_header spec.forward.headers[0].name 28"]),
        (HEADER, &named("x_user"), &["error reserved_header spec.forward.headers[0].name 28"]),
        (HEADER, &named("x-doorward-user"), &["error reserved_header spec.forward.headers[0].name 28"]),
        (HEADER, &format!("{HEADER}\n{}", named("X-USER")), &["error reserved_header spec.forward.headers[1].name 29"]),
        (HEADER, "    - {name: x-a, claim: /~}", &["error bad_claim_path spec.forward.headers[0].claim 28"]),
    ]);
}

#[test]
fn rules_side_by_side() {
    let rules = |rules: &[&str]| {
        let written: Vec<_> = rules.iter().map(|rule| format!("  - {{{rule}}}\n")).collect();
        let (before, rest) = POLICY.split_once("  - path: /orders").unwrap();
        let (_, after) = rest.split_once("  forward:\n").unwrap();
        let text = format!("{before}{}  forward:\n{after}", written.concat());
        let show = |one: &Diagnostic| format!("{} {}", one.code, one.path);
        compile_text(&text, &all_there()).1.iter().map(show).collect::<Vec<_>>()
    };
    const A: &str = "path: /a, allow: Authenticated";
    for (written, wanted) in [
        (&[A, "path: /b, allow: Authenticated"][..], &[][..]),
        (&[A, A], &["duplicate_rule spec.rules[1]"]),
        (&[A, A, A], &["duplicate_rule spec.rules[1]", "duplicate_rule spec.rules[2]"]),
        (
            &["path: \"/{a}\", allow: Authenticated", "path: \"/{b}\", allow: Authenticated"],
            &["duplicate_rule spec.rules[1]"],
        ),
        (&["path: /@a, allow: Authenticated", "path: /%40a, allow: Authenticated"], &["duplicate_rule spec.rules[1]"]),
        (
            &[
                "path: /a, methods: [GET, PUT], hosts: [a, b], allow: Certificate",
                "path: /a, methods: [PUT, GET], hosts: [B, a], allow: Certificate",
            ],
            &["duplicate_rule spec.rules[1]"],
        ),
        (&["path: /a, methods: [GET], allow: Certificate", "path: /a, methods: [PUT], allow: Certificate"], &[]),
        (&["path: /a, hosts: [a], allow: Certificate", "path: /a, hosts: [b], allow: Certificate"], &[]),
        (&["path: /a, require: {roles: [a]}", "path: /a, require: {roles: [b]}"], &[]),
        (
            &["path: /a, ips: [10.0.0.0/8], allow: Certificate", "path: /a, allow: Certificate"],
            &["shadowed_rule spec.rules[0]"],
        ),
        (&["path: /a, ips: [10.0.0.0/8], allow: Certificate", "path: /a, ips: [10.1.0.0/16], allow: Certificate"], &[]),
        (&[A, "path: /a, require: {roles: [a]}"], &["shadowed_rule spec.rules[1]"]),
        (&["path: /a, allow: Certificate", "path: /a, require: {roles: [a]}"], &[]),
        (
            &["path: /a, require: {roles: [a, b]}", "path: /a, require: {roles: [b, a]}"],
            &["duplicate_rule spec.rules[1]"],
        ),
        (&["path: /a, require: {roles: [a, b]}", "path: /a, require: {roles: [b]}"], &["shadowed_rule spec.rules[0]"]),
        (
            &["path: /a, require: {anyRole: [a]}", "path: /a, require: {anyRole: [a, b]}"],
            &["shadowed_rule spec.rules[0]"],
        ),
        (&["path: /a, require: {roles: [a]}", "path: /a, require: {scopes: [a]}"], &[]),
        (
            &["path: /a, require: {roles: [a], maxAuthAge: 5m}", "path: /a, require: {roles: [a], maxAuthAge: 1h}"],
            &["shadowed_rule spec.rules[0]"],
        ),
        // a literal is never taken for a parameter or the rest
        (&["path: \"/a/{x}\", allow: Authenticated", "path: /a/%7B%7D, allow: Authenticated"], &[]),
        (&["path: /a/**, allow: Authenticated", "path: /a/%2A%2A, allow: Authenticated"], &[]),
        (&["path: /a/b, allow: Authenticated", "path: /a%2Fb, allow: Authenticated"], &[]),
        (&["path: /a, allow: Authenticated", "path: /A, allow: Certificate"], &["differs_in_case spec.rules[1].path"]),
        (
            &["path: /kelvin, allow: Authenticated", "path: /%E2%84%AAelvin, allow: Authenticated"],
            &["differs_in_case spec.rules[1].path"],
        ),
        (&["path: /a, allow: Anonymous", A], &["shadowed_rule spec.rules[1]"]),
        (&[A, "path: /a, allow: Anonymous"], &["shadowed_rule spec.rules[0]"]),
        (
            &["path: /a, methods: [GET], allow: Authenticated", "path: /a, allow: Anonymous"],
            &["shadowed_rule spec.rules[0]"],
        ),
        (&["path: /a, methods: [GET], allow: Anonymous", A], &[]),
        (&["path: /a, methods: [GET], allow: Anonymous", "path: /a, methods: [PUT], allow: Authenticated"], &[]),
        (&["path: /a, hosts: [x], allow: Authenticated", "path: /a, allow: Anonymous"], &[]),
        (&["path: /a, ips: [10.0.0.0/8], allow: Anonymous", A], &[]),
        (
            &["path: /a/**, allow: Authenticated", "path: /a/b, allow: Anonymous"],
            &["anonymous_below_protected spec.rules[1]"],
        ),
        (
            &["path: /a/b, allow: Anonymous", "path: /a/**, allow: Authenticated"],
            &["anonymous_below_protected spec.rules[0]"],
        ),
        (
            &["path: /a/**, allow: Authenticated", "path: /a, allow: Anonymous"],
            &["anonymous_below_protected spec.rules[1]"],
        ),
        (&["path: /a/**, allow: Authenticated", "path: /ab, allow: Anonymous"], &[]),
        (&["path: /**, allow: Authenticated", "path: /health, allow: Anonymous"], &[]),
        (
            &["path: /a/**, allow: Authenticated", "path: /a/b, methods: [GET], allow: Authenticated"],
            &["hidden_rule spec.rules[1]"],
        ),
        (
            &["path: /a/**, methods: [GET], allow: Authenticated", "path: /a/b, methods: [GET], allow: Authenticated"],
            &[],
        ),
        (&["path: /a/**, allow: Anonymous", "path: /a/b, allow: Anonymous"], &[]),
        (&["path: \"/users/:id\", allow: Authenticated"], &["literal_parameter spec.rules[0].path"]),
        (&["path: \"/users/a:b/:\", allow: Authenticated"], &[]),
    ] {
        assert_eq!(rules(written), wanted, "{written:?}");
    }
}

#[test]
fn a_port_by_name_has_the_form_of_names_of_ports() {
    for (name, is_taken) in [
        ("http", true),
        ("h2c-1", true),
        ("\"3000\"", false),
        ("Http", false),
        ("-a", false),
        ("a--b", false),
        ("my port", false),
    ] {
        let text = POLICY.replacen("  tls:", &format!("  port: {name}\n  tls:"), 1);
        let (compiled, found) = compile_text(&text, &all_there());
        assert_eq!(compiled.is_some(), is_taken, "{name}: {found:?}");
        assert!(is_taken || found.iter().any(|fault| fault.path == "spec.port"), "{name}: {found:?}");
    }
}

#[test]
fn what_is_found_grows_with_the_policy_and_not_with_its_square() {
    let rules = "  - {path: /a, allow: Authenticated}\n".repeat(498);
    let text = POLICY.replacen("  forward:", &format!("{rules}  forward:"), 1);
    let (_, found) = compile_text(&text, &all_there());
    assert_eq!(found.len(), 497);
}

#[test]
fn one_run_finds_every_fault() {
    let changes = [
        ("https://login", "http://login"),
        ("key: jwks}", "key: none}"),
        ("/orders/{id}", "/orders/{ID}"),
        ("[orders:read]", "[\"a b\"]"),
        ("web/web", "web"),
        ("/health", "health"),
        ("name: x-user", "name: host"),
    ];
    assert_eq!(
        found(&changes, &ConfigMaps::default()),
        [
            "error missing_reference spec.tls.clientCAs[1].configMapName 10",
            "error insecure_issuer spec.issuers[0].issuer 13",
            "error missing_reference spec.issuers[0].keys.configMapName 15",
            "error bad_format spec.rules[0].require.callers[0].serviceAccount 22",
            "error bad_format spec.rules[0].require.scopes[0] 19",
            "error unknown_parameter spec.rules[0].require.pathParams.id 20",
            "error bad_template spec.rules[1].path 24",
            "error reserved_header spec.forward.headers[0].name 28",
        ]
    );
}

#[test]
fn defaults_stand_in_the_body() {
    let text = "apiVersion: doorward.dev/v1alpha1\nkind: ApiAuthPolicy\nmetadata: {name: orders, namespace: shop, generation: 7}\nspec:\n  selector: {matchLabels: {app: orders}}\n  tls: {mode: Optional}\n  issuers: [{name: main, issuer: https://a, audiences: [b], keys: {configMapName: keys, key: jwks}}]\n  rules: [{path: /a/**, allow: Authenticated}]\n";
    let compiled = compile_text(text, &all_there()).0.unwrap();
    let body = &compiled.body;
    assert_eq!((compiled.generation, compiled.port.as_ref()), (7, None));
    assert_eq!((body.policy.namespace.as_str(), body.policy.name.as_str()), ("shop", "orders"));
    assert_eq!((body.tls.mode, body.tls.min_version), (TlsMode::Optional, TlsVersion::Tls12));
    assert_eq!(body.tls.trust_domain, "cluster.local");
    assert_eq!(
        body.tls.client_cas,
        [ClientCa { name: "cluster".into(), built_in: true, certificates: vec![], crls: vec![] }]
    );
    let issuer = &body.issuers[0];
    assert_eq!(
        issuer.algorithms,
        [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA]
    );
    assert_eq!(
        (&issuer.token_types[..], issuer.untyped, issuer.id_tokens),
        (&["at+jwt".to_owned(), "jwt".into()][..], true, false)
    );
    assert_eq!((issuer.leeway_ms, issuer.max_token_age_ms, issuer.any_audience), (30_000, None, false));
    assert!(!issuer.email_trusted && !issuer.access_token_use && issuer.clients.is_empty());
    assert_eq!(issuer.identity.client, ["azp", "client_id"]);
    assert!(issuer.identity.scopes.is_none() && issuer.identity.tenant.is_none());
    assert_eq!(issuer.keys, compiled.keys[0].id);
    assert_eq!(compiled.keys[0].jwks().unwrap(), KEYS);
    let rule = &body.rules[0];
    assert!(rule.methods.is_empty() && rule.hosts.is_empty() && rule.ips.is_empty());
    assert_eq!(rule.access, Access::Authenticated);
    assert!(!body.forward.keep_token && body.forward.headers.is_empty());
    assert_eq!(body.forward.protocol, policy::wire::AppProtocol::Http1);
    assert!(!body.paths.case_insensitive && !body.paths.encoded_slash);
}

#[test]
fn everything_that_is_written_reaches_the_body() {
    let changes = [
        ("    mode: Mutual", "    mode: Mutual\n    minVersion: \"1.3\""),
        (
            "    audiences: [orders-api]",
            "    anyAudience: true\n    algorithms: [PS512, RS384]\n    tokenTypes: [application/AT+JWT, IdToken]\n    leeway: 500ms\n    maxTokenAge: 24h\n    requiredClaims: [jti]\n    clients: [web]\n    emailTrusted: true\n    preset: Entra\n    identity: {roles: /r, tenantValue: acme, client: cid}",
        ),
        (
            "      scopes: [orders:read]",
            "      anyGroup: [g]\n      boundToken: Certificate\n      maxAuthAge: 15m\n      claims: [{claim: c, anyOf: [\"true\"]}]",
        ),
        ("dns: a.partner.example", "dns: A.Partner.Example."),
        (
            "  - path: /health",
            "  - path: /health\n    hosts: [A.Example.com., \"*.B.c\"]\n    methods: [GET]\n    ips: [192.0.2.1]",
        ),
        (
            "    - {name: x-user, identity: subject}",
            "    - {name: X-User, claim: /a/b, format: Json}\n    token: Keep\n    protocol: H2c\n  paths: {case: Insensitive, encodedSlash: Verbatim}\n  port: http",
        ),
    ];
    let text = changes.iter().fold(POLICY.to_owned(), |text, (from, to)| text.replacen(from, to, 1));
    let compiled = compile_text(&text, &all_there()).0.unwrap();
    let body = &compiled.body;
    assert_eq!(compiled.port, Some(IntOrString::String("http".into())));
    assert_eq!((body.tls.mode, body.tls.min_version), (TlsMode::Mutual, TlsVersion::Tls13));
    assert_eq!(body.tls.client_cas[1].certificates.len(), 1);
    let issuer = &body.issuers[0];
    assert!(
        issuer.any_audience
            && issuer.audiences.is_empty()
            && issuer.email_trusted
            && !issuer.untyped
            && issuer.id_tokens
    );
    assert_eq!(issuer.algorithms, [Algorithm::PS512, Algorithm::RS384]);
    assert_eq!(issuer.token_types, ["at+jwt"]);
    assert_eq!((issuer.leeway_ms, issuer.max_token_age_ms), (500, Some(86_400_000)));
    assert_eq!((&issuer.required_claims[..], &issuer.clients[..]), (&["jti".to_owned()][..], &["web".to_owned()][..]));
    // The preset's values, but for what the policy says.
    let identity = &issuer.identity;
    assert_eq!(
        (identity.subject.as_str(), identity.scopes.as_deref(), identity.roles.as_deref()),
        ("oid", Some("scp"), Some("/r"))
    );
    assert_eq!((identity.tenant_value.as_deref(), &identity.client[..]), (Some("acme"), &["cid".to_owned()][..]));
    let Access::Require(require) = &body.rules[0].access else { panic!("{:?}", body.rules[0]) };
    assert!(require.bound_token && require.scopes.is_empty());
    assert_eq!((require.max_auth_age_ms, &require.any_group[..]), (Some(900_000), &["g".to_owned()][..]));
    assert_eq!((require.claims[0].claim.as_str(), &require.claims[0].any_of[..]), ("c", &["true".to_owned()][..]));
    assert_eq!(require.callers[0].ca, "cluster", "without `ca` the built-in one is meant");
    assert_eq!(require.callers[1].dns.as_deref(), Some("a.partner.example"));
    let health = &body.rules[1];
    assert_eq!(
        (&health.hosts[..], &health.methods[..]),
        (&["a.example.com".to_owned(), "*.b.c".into()][..], &["GET".to_owned()][..])
    );
    assert_eq!(health.ips[0].to_string(), "192.0.2.1/32");
    let header = &body.forward.headers[0];
    assert_eq!((header.name.as_str(), header.format), ("x-user", HeaderFormat::Json));
    assert_eq!(header.value, HeaderSource::Claim("/a/b".into()));
    assert_eq!(body.forward.protocol, policy::wire::AppProtocol::H2c);
    assert!(body.forward.keep_token && body.paths.case_insensitive && body.paths.encoded_slash);
}

#[test]
fn references_stay_in_their_namespace() {
    let mut maps = ConfigMaps::default();
    let object = |namespace: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "keys", "namespace": namespace}, "data": {"jwks": KEYS, "n": 1}});
    assert!(maps.add(&object(json!("other"))) && maps.add(&object(Value::Null)));
    assert!(!maps.add(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}})));
    assert!(!maps.add(&json!({"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "keys"}})));
    assert!(!maps.add(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}})));
    let found = found(&[], &maps);
    assert!(found.contains(&"error missing_reference spec.issuers[0].keys.configMapName 15".to_owned()), "{found:?}");
    let text = POLICY.replacen(", namespace: shop", "", 1).replacen(
        "    - {name: partner, configMapName: partner, key: ca.crt}\n",
        "",
        1,
    );
    let text = text.replacen("      - {ca: partner, dns: a.partner.example}\n", "", 1);
    let document = source::read("p.yaml", &text).unwrap().remove(0);
    let (compiled, found) = compile(&document, &maps, &Settings::default());
    assert_eq!(
        compiled.map(|compiled| compiled.body.policy.namespace).as_deref(),
        Some(DEFAULT_NAMESPACE),
        "{found:?}"
    );
}

#[test]
fn the_keys_of_two_policies_never_mix() {
    let ids = |text: &str| compile_text(text, &all_there()).0.unwrap().keys.remove(0).id;
    let inline = POLICY.replacen("{configMapName: keys, key: jwks}", &format!("{{inline: '{KEYS}'}}"), 1);
    let identifier = POLICY.replacen("https://login.example.com", "https://other", 1);
    assert_ne!(ids(POLICY), ids(&inline));
    assert_ne!(ids(POLICY), ids(&identifier));
}

#[test]
fn the_order_of_objects_decides_nothing() {
    let certificate = authority(&key());
    let entries = [("partner", "ca.crt", certificate.as_str()), ("keys", "jwks", KEYS), ("other", "jwks", "{}")];
    let wanted = compile_text(POLICY, &config_maps(&entries)).0.unwrap();
    for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let turned = compile_text(POLICY, &config_maps(&order.map(|at| entries[at]))).0.unwrap();
        assert_eq!((&turned.body, &turned.keys[0].revision), (&wanted.body, &wanted.keys[0].revision), "{order:?}");
    }
}

#[test]
fn expressions_of_the_selector_have_values_where_their_operator_needs_them() {
    let found_for = |expression: &str| {
        let selector = format!("selector: {{matchExpressions: [{{key: app, {expression}}}]}}");
        let text = POLICY.replace("selector: {matchLabels: {app: orders}}", &selector);
        let (_, found) = compile_text(&text, &all_there());
        let faults = found.iter().filter(|one| one.severity == Severity::Error);
        faults.map(|one| (one.code, one.path.clone())).collect::<Vec<_>>()
    };
    let fault = vec![(Code::BadFormat, "spec.selector.matchExpressions[0].values".to_owned())];
    for wrong in ["operator: In", "operator: NotIn, values: []", "operator: Exists, values: [a]"] {
        assert_eq!(found_for(wrong), fault, "{wrong}");
    }
    for good in ["operator: In, values: [a]", "operator: NotIn, values: [a, b]", "operator: DoesNotExist"] {
        assert!(found_for(good).is_empty(), "{good}");
    }
}

/// The built-in CA vouches for Services of every namespace.
#[test]
fn a_bare_name_of_a_service_is_no_caller() {
    let with = |caller: &str| {
        let (_, found) = compile_text(&POLICY.replace("- {serviceAccount: web/web}", caller), &all_there());
        let faults = found.iter().filter(|one| one.severity == Severity::Error);
        faults.map(|one| one.path.clone()).collect::<Vec<_>>()
    };
    assert_eq!(with("- {dns: web}"), ["spec.rules[0].require.callers[0].dns"]);
    for name in ["web.shop", "example.com", "api.example.com"] {
        assert_eq!(with(&format!("- {{dns: {name}}}")), ["spec.rules[0].require.callers[0].dns"], "{name}");
    }
    assert!(with("- {dns: web.shop.svc}").is_empty());
    assert!(with("- {dns: web.shop.svc.cluster.local}").is_empty());
    assert!(with("- {ca: partner, dns: web}").is_empty());
}

/// A list that names nobody, from 2020 until the first day of a year, in PEM.
fn revocation_list(issuer: &rcgen::CertifiedIssuer<'_, KeyPair>, until: i32) -> String {
    let params = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2020, 1, 1),
        next_update: rcgen::date_time_ymd(until, 1, 1),
        crl_number: 1_u64.into(),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    params.signed_by(issuer).unwrap().pem().unwrap()
}

#[test]
fn a_revocation_list_that_cannot_be_used_is_refused_with_its_cure() {
    let list = |algorithm| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = rcgen::CertifiedIssuer::self_signed(params, KeyPair::generate_for(algorithm).unwrap()).unwrap();
        revocation_list(&issuer, 2040)
    };
    let text = POLICY.replacen("key: ca.crt}", "key: ca.crt, crl: {configMapName: crl, key: list}}", 1);
    let partner = &authority(&key());
    let faults = |list: &str| {
        let maps = config_maps(&[("partner", "ca.crt", partner), ("crl", "list", list), ("keys", "jwks", KEYS)]);
        let (_, found) = compile(&source::read("p.yaml", &text).unwrap().remove(0), &maps, &Settings::default());
        let errors = found.into_iter().filter(|one| one.severity == Severity::Error);
        errors.map(|one| (one.code, one.path, one.message, one.hint.unwrap())).collect::<Vec<_>>()
    };
    let sound = list(&rcgen::PKCS_ECDSA_P256_SHA256);
    assert_eq!(faults(&sound), []);
    let no_list = "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n";
    for (file, message, hint) in [
        (String::new(), "holds no revocation list", "in PEM"),
        (sound.clone() + no_list, "revocation list 2 of `list` of ConfigMap `crl`: it cannot be read", "of version 2"),
        (sound + &list(&rcgen::PKCS_ECDSA_P521_SHA512), "an algorithm that is not taken", "P-256 or P-384"),
    ] {
        let [(code, path, told, cure)] = &faults(&file)[..] else { panic!("{message}: {:?}", faults(&file)) };
        assert_eq!((*code, path.as_str()), (Code::BadCertificate, "spec.tls.clientCAs[1].crl.key"));
        assert!(told.contains(message) && cure.contains(hint), "{told}: {cure}");
    }
}

#[test]
fn what_has_expired_or_covers_nothing_is_told() {
    let at = |year| rcgen::date_time_ymd(year, 1, 1);
    let issuer = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = (at(2020), at(2030));
        rcgen::CertifiedIssuer::self_signed(params, key()).unwrap()
    };
    let (one, other) = (issuer("one"), issuer("other"));
    let list = |until| revocation_list(&one, until);
    let text = POLICY.replacen("key: ca.crt}", "key: ca.crt, crl: {configMapName: crl, key: list}}", 1);
    let found = |bundle: &str, list: &str, now| {
        let maps = config_maps(&[("partner", "ca.crt", bundle), ("crl", "list", list), ("keys", "jwks", KEYS)]);
        let document = source::read("p.yaml", &text).unwrap().remove(0);
        let (compiled, found) = compile(&document, &maps, &Settings { now, ..Settings::default() });
        assert!(compiled.is_some(), "nothing of it makes a policy unusable: {found:?}");
        found.iter().map(|fault| format!("{} {}", fault.code, fault.path)).collect::<Vec<_>>()
    };
    // 2028, 2024 and 2031.
    let late: fn() -> Duration = || Duration::from_secs(1_830_297_600);
    let early: fn() -> Duration = || Duration::from_secs(1_704_067_200);
    let over: fn() -> Duration = || Duration::from_secs(1_924_992_000);
    let none: Vec<String> = Vec::new();
    assert_eq!(found(&one.pem(), &list(2029), None), none, "without a clock");
    assert_eq!(found(&one.pem(), &list(2029), Some(early)), none);
    assert_eq!(found(&one.pem(), &list(2029), Some(late)), ["expired spec.tls.clientCAs[1].crl.key"], "soon");
    assert_eq!(found(&one.pem(), &list(2025), Some(late)), ["expired spec.tls.clientCAs[1].crl.key"]);
    assert_eq!(found(&one.pem(), &list(2050), Some(over)), ["expired spec.tls.clientCAs[1].key"]);
    let both = one.pem() + &other.pem();
    assert_eq!(found(&both, &list(2029), Some(early)), ["not_covered spec.tls.clientCAs[1].crl"]);
}

#[test]
fn a_template_in_other_letters_is_told_how_it_stands_on_the_wire() {
    let hint = |path: &str| {
        let (_, found) = compile_text(&POLICY.replace("path: /health", &format!("path: \"{path}\"")), &all_there());
        found.into_iter().find(|one| one.code == Code::BadTemplate).and_then(|one| one.hint).unwrap()
    };
    assert!(hint("/straße/{x}").contains("write `/stra%C3%9Fe/{x}`"));
    assert!(hint("/straße/../x").contains("like `/orders/{id}`"));
}
