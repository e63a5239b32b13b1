//! The commands as scripts use them: output, exit codes, files.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "a helper of tests that cannot go on has failed its test"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

const POLICY: &str = r#"apiVersion: doorward.dev/v1alpha1
kind: ApiAuthPolicy
metadata: {name: orders, namespace: shop, generation: 7}
spec:
  selector: {matchLabels: {app: orders}}
  port: 3000
  tls: {mode: Optional}
  issuers:
  - {name: main, issuer: https://login.example.com, audiences: [orders-api], keys: {configMapName: login, key: jwks.json}}
  rules:
  - {path: /health, allow: Anonymous}
  - path: /orders/{id}
    methods: [GET]
    require:
      scopes: [orders:read]
  forward: {headers: [{name: x-user, identity: subject}]}
"#;

/// A folder with a policy, a development key, and the ConfigMap that holds its public half.
struct Workspace(TempDir);

impl Workspace {
    fn new() -> Self {
        let workspace = Self(tempfile::tempdir().unwrap());
        workspace.write("policy.yaml", POLICY);
        let jwks = workspace.run(&["token", "--new", "--key", "dev.pem", "--jwks"]);
        assert!(jwks.status.success(), "{}", stderr(&jwks));
        let config_map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "login", "namespace": "shop"}, "data": {"jwks.json": stdout(&jwks)},
        });
        workspace.write("keys.yaml", &config_map.to_string());
        workspace
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command.args(args).current_dir(self.0.path());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn run_with_input(&self, args: &[&str], input: &str) -> Output {
        let mut child =
            self.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn check_names_file_line_field_and_cure() {
    let workspace = Workspace::new();
    let good = workspace.run(&["check", "policy.yaml", "keys.yaml"]);
    assert_eq!(
        (good.status.code(), stdout(&good).as_str()),
        (
            Some(0),
            "shop/orders: accepted, 2 rules\n  pages of other origins cannot call it from a browser: it has no `cors`\n"
        )
    );
    workspace.write("bad.yaml", &POLICY.replace("scopes: [orders:read]", "scope: [orders:read]"));
    let bad = workspace.run(&["check", "-f", "bad.yaml", "-f", "keys.yaml"]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(stdout(&bad).starts_with("bad.yaml:15:7: error[unknown_field]: spec.rules[1].require.scope: unknown field `scope`; did you mean `scopes`?"), "{}", stdout(&bad));
    let json: Value = serde_json::from_slice(&workspace.run(&["check", "bad.yaml", "-o", "json"]).stdout).unwrap();
    assert_eq!(json["ok"], false);
    assert_eq!(
        (&json["diagnostics"][0]["code"], &json["diagnostics"][0]["line"]),
        (&json!("unknown_field"), &json!(15))
    );
    assert_eq!(workspace.run(&["check", "nowhere.yaml"]).status.code(), Some(2));
    workspace.write("empty.yaml", "");
    assert_eq!(workspace.run(&["check", "empty.yaml"]).status.code(), Some(2));
    let missing = workspace.run(&["check", "policy.yaml"]);
    assert!(stdout(&missing).contains("missing_reference"), "{}", stdout(&missing));
}

#[test]
fn check_tells_of_policies_that_get_in_each_others_way() {
    let workspace = Workspace::new();
    let check = |second: &str| {
        workspace.write("two.yaml", &format!("{POLICY}---\n{second}"));
        let output = workspace.run(&["check", "two.yaml", "keys.yaml"]);
        (output.status.code(), stdout(&output))
    };
    let (code, text) = check(POLICY);
    let twice =
        "two.yaml:20:18: error[duplicate_name]: metadata.name: `shop/orders` stands twice, first in two.yaml:3; ";
    assert!(code == Some(1) && text.contains(twice), "{text}");
    let other = POLICY.replace("name: orders,", "name: others,");
    let (code, text) = check(&other);
    let warned = "two.yaml:22:13: warning[same_port]: spec.selector: `orders` selects the same pods on the same port";
    assert!(code == Some(0) && text.contains(warned), "{text}");
    for apart in [("port: 3000", "port: 3001"), ("app: orders", "app: others"), ("namespace: shop", "namespace: shop2")]
    {
        let (code, text) =
            check(&other.replace(apart.0, apart.1).replace("keys: {configMapName: login, key: jwks.json}", ""));
        assert!(code == Some(0) && !text.contains("same_port"), "{apart:?}: {text}");
    }
}

#[test]
fn check_reads_what_kubectl_prints() {
    let workspace = Workspace::new();
    let items = POLICY.replace('\n', "\n  ");
    workspace.write("list.yaml", &format!("apiVersion: v1\nkind: List\nitems:\n- {}\n", items.trim_end()));
    let output = workspace.run(&["check", "list.yaml", "keys.yaml"]);
    assert_eq!(
        (output.status.code(), stdout(&output).as_str()),
        (
            Some(0),
            "shop/orders: accepted, 2 rules\n  pages of other origins cannot call it from a browser: it has no `cors`\n"
        )
    );
}

#[test]
fn explain_answers_a_line_for_a_line() {
    let workspace = Workspace::new();
    let token = stdout(&workspace.run(&[
        "token",
        "--key",
        "dev.pem",
        "--claim",
        "iss=https://login.example.com",
        "--claim",
        "aud=orders-api",
        "--claim",
        "sub=alice",
        "--claim",
        "exp=1900000000",
        "--claim",
        "iat=1700000000",
        "--claim",
        "scope=orders:read orders:write",
    ]));
    let request = |target: &str, authorization: Option<&str>| {
        let mut headers = vec![json!(["host", "orders.example.com"])];
        headers.extend(authorization.map(|token| json!(["authorization", format!("Bearer {}", token.trim())])));
        json!({"method": "GET", "target": target, "headers": headers, "peer": {"ip": "198.18.0.9"}, "now": "2026-11-24T08:00:00Z"}).to_string()
    };
    let lines =
        [request("/orders/7?x=1", Some(&token)), request("/orders/7", None), request("/orders/../x", None)].join("\n");
    let output =
        workspace.run_with_input(&["explain", "-f", "policy.yaml", "-f", "keys.yaml", "--requests", "-"], &lines);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let answers: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let fields: Vec<_> = answers[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        fields,
        ["effect", "status", "code", "detail", "policy", "rule", "challenge", "forward", "checks", "audit"]
    );
    assert_eq!(answers[0]["effect"], "allow");
    assert_eq!(answers[0]["rule"], json!({"index": 1, "path": "/orders/{id}"}));
    assert_eq!(
        answers[0]["forward"],
        json!({"target": "/orders/7?x=1", "set": [["x-user", "alice"]], "removed": ["authorization"]})
    );
    let scopes =
        json!({"check": "scopes", "pass": true, "wanted": ["orders:read"], "got": ["orders:read", "orders:write"]});
    assert!(answers[0]["checks"].as_array().unwrap().contains(&scopes), "{}", answers[0]["checks"]);
    assert_eq!(
        (&answers[1]["code"], &answers[1]["challenge"]),
        (&json!("token_missing"), &json!(r#"Bearer realm="orders""#))
    );
    assert_eq!(
        (&answers[2]["status"], &answers[2]["detail"], &answers[2]["policy"]),
        (&json!(400), &json!("dot_segment"), &Value::Null)
    );
}

#[test]
fn explain_shows_every_check_and_redacts_every_value() {
    let workspace = Workspace::new();
    let more = "scopes: [orders:read]\n      pathParams: {id: subject}\n    ips: [192.0.2.0/24]";
    workspace.write("policy.yaml", &POLICY.replace("scopes: [orders:read]", more));
    let claims =
        ["iss=https://login.example.com", "aud=orders-api", "sub=alice", "exp=1900000000", "scope=orders:read"];
    let claims = claims.iter().flat_map(|claim| ["--claim", claim]);
    let token = stdout(&workspace.run(&["token", "--key", "dev.pem"].into_iter().chain(claims).collect::<Vec<_>>()));
    let ask = |address: &str, target: &str| {
        let headers = json!([["host", "a"], ["authorization", format!("Bearer {}", token.trim())]]);
        json!({"method": "GET", "target": target, "headers": headers, "peer": {"ip": address}, "now": "2027-11-24T08:00:00Z"})
            .to_string()
    };
    let explain = ["explain", "-f", "policy.yaml", "-f", "keys.yaml", "--requests", "-"];
    let denied = workspace.run_with_input(&explain, &ask("198.51.100.1", "/orders/alice"));
    let answer: Value = serde_json::from_slice(&denied.stdout).unwrap();
    assert_eq!(answer["code"], "ip_denied");
    let token_check = json!({"check": "token", "pass": true, "wanted": "valid", "got": "valid"});
    let checks = answer["checks"].as_array().unwrap();
    let seen = checks.iter().find(|check| check["check"] == "token").unwrap();
    assert_eq!((&seen["pass"], &seen["got"]), (&token_check["pass"], &token_check["got"]), "{checks:?}");
    for (address, target) in [("192.0.2.1", "/orders/alice?q=alice"), ("192.0.2.1", "/orders/bob")] {
        let redacted = workspace.run_with_input(&[&explain[..], &["--redact"]].concat(), &ask(address, target));
        let text = stdout(&redacted);
        assert!(redacted.status.success() && !text.contains("alice") && !text.contains("bob"), "{text}");
    }
    let both = workspace.run_with_input(&[&explain[..], &["--ip", "192.0.2.1"]].concat(), "");
    assert_eq!(both.status.code(), Some(2), "what a line says no argument says too");
}

#[test]
fn an_empty_line_gets_its_answer_too() {
    let workspace = Workspace::new();
    let request = "{\"method\":\"GET\",\"target\":\"/health\",\"headers\":[[\"host\",\"a\"]]}";
    let explain = ["explain", "-f", "policy.yaml", "-f", "keys.yaml", "--requests", "-"];
    let output = workspace.run_with_input(&explain, &format!("{request}\n\n{request}\n"));
    let answers: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((output.status.code(), answers.len(), &answers[1]["line"]), (Some(2), 3, &json!(2)), "{answers:?}");
}

#[test]
fn an_address_that_is_none_is_told_with_what_to_write() {
    let workspace = Workspace::new();
    for command in [&["run", "-f", "policy.yaml", "-f", "keys.yaml"][..], &["demo"]] {
        let output = workspace.run(&[command, &["--upstream", "localhost:3000"]].concat());
        let told = stderr(&output);
        assert!(output.status.code() == Some(2) && told.contains("write `127.0.0.1:3000`"), "{told}");
    }
}

#[test]
fn explain_tells_bad_lines_from_refused_policies() {
    let workspace = Workspace::new();
    let explain = ["explain", "-f", "policy.yaml", "-f", "keys.yaml", "--requests", "-"];
    let bad = workspace.run_with_input(
        &explain,
        "{}\n{\"method\":\"GET\",\"target\":\"/health\",\"headers\":[[\"host\",\"a\"]]}\nnonsense\n",
    );
    assert_eq!(bad.status.code(), Some(2));
    let answers: Vec<Value> = stdout(&bad).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (&answers[0]["line"], &answers[1]["effect"], &answers[2]["line"]),
        (&json!(1), &json!("allow"), &json!(3))
    );
    let parser = workspace.run_with_input(&explain, r#"{"method":"GET","target":"/a b","headers":[["host","a"]]}"#);
    let answer: Value = serde_json::from_slice(&parser.stdout).unwrap();
    assert_eq!((&answer["status"], &answer["code"]), (&json!(400), &Value::Null), "a refusal of the HTTP parser");
    let no_time = workspace.run_with_input(
        &explain,
        r#"{"method":"GET","target":"/orders/1","headers":[["host","a"],["authorization","Bearer a.b.c"]]}"#,
    );
    assert_eq!(no_time.status.code(), Some(2));
    assert!(stdout(&no_time).contains("`now`"), "{}", stdout(&no_time));
    workspace.write("policy.yaml", &POLICY.replace("Optional", "Sometimes"));
    let refused = workspace.run_with_input(&explain, "");
    assert_eq!((refused.status.code(), stdout(&refused).as_str()), (Some(1), ""));
    assert!(stderr(&refused).contains("policy.yaml:7:15: error[not_one_of]"), "{}", stderr(&refused));
}

#[test]
fn explain_one_request_for_people() {
    let workspace = Workspace::new();
    let output =
        workspace.run(&["explain", "-f", "policy.yaml", "-f", "keys.yaml", "--path", "/orders/7", "--token", "a.b.c"]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    assert!(
        text.starts_with("deny 401 token_invalid/malformed\npolicy     shop/orders\nrule       1 /orders/{id}\n"),
        "{text}"
    );
    assert!(text.contains("FAIL       token: wanted \"valid\", got \"malformed\""), "{text}");
}

/// The blocks of a document in a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}\n");
    text.split(&opening).skip(1).filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
}

#[test]
fn the_tests_of_the_documentation_pass() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/testing.md");
    let blocks = blocks(&std::fs::read_to_string(document).unwrap(), "yaml");
    let workspace = Workspace::new();
    workspace.write("users_test.yaml", &blocks[0]);
    workspace.write("users-policy.yaml", &blocks[1]);
    let output = workspace.run(&["test", "users_test.yaml"]);
    assert_eq!(
        (output.status.code(), stdout(&output).as_str()),
        (Some(0), "5 passed, 0 failed\n"),
        "{}",
        stderr(&output)
    );
}

/// A file of one test.
fn tests(expected: &str) -> String {
    format!(
        "policies: [policy.yaml]\ntests:\n- name: a reader\n  request: {{method: GET, target: /orders/7}}\n  identity: {{issuer: main, claims: {{sub: alice, scope: other}}}}\n  expect: {expected}\n"
    )
}

#[test]
fn a_failing_test_shows_what_came_and_why() {
    let workspace = Workspace::new();
    workspace.write(
        "policy.yaml",
        &POLICY.replace(
            "{configMapName: login, key: jwks.json}",
            &format!(
                "{{inline: '{}'}}",
                stdout(&workspace.run(&["token", "--key", "dev.pem", "--jwks"])).replace('\n', "")
            ),
        ),
    );
    workspace.write("good.yaml", &tests("{deny: insufficient_scope}"));
    let good = workspace.run(&["test", "good.yaml"]);
    assert_eq!((good.status.code(), stdout(&good).as_str()), (Some(0), "1 passed, 0 failed\n"), "{}", stderr(&good));
    workspace.write("good.yaml", &tests("deny"));
    assert_eq!(workspace.run(&["test", "good.yaml"]).status.code(), Some(0), "a word is enough");
    let allowed = |expected: &str| tests(expected).replace("scope: other", "scope: orders:read");
    for (expected, code) in [("{allow: {headers: {X-User: alice}}}", 0), ("{allow: {headers: {X-User: null}}}", 1)] {
        workspace.write("good.yaml", &allowed(expected));
        assert_eq!(workspace.run(&["test", "good.yaml"]).status.code(), Some(code), "{expected}");
    }
    workspace.write("bad.yaml", &tests("allow"));
    assert_eq!(workspace.run(&["test", "bad.yaml"]).status.code(), Some(1));
    workspace.write("bad.yaml", &tests("{allow: {headers: {x-user: alice}}}"));
    let bad = workspace.run(&["test", "bad.yaml"]);
    assert_eq!(bad.status.code(), Some(1));
    for wanted in [
        "FAILED bad.yaml:3: a reader",
        "at 2026-01-01T00:00:00Z",
        "effect: expected \"allow\", got \"deny\"",
        "rule 1 `/orders/{id}` of shop/orders",
        "FAIL scopes: wanted [\"orders:read\"], got [\"other\"]",
    ] {
        assert!(stdout(&bad).contains(wanted), "{wanted}: {}", stdout(&bad));
    }
}

#[test]
fn a_test_that_is_none_is_told_with_its_field_and_line() {
    let workspace = Workspace::new();
    for (text, wanted) in [
        ("policies: [policy.yaml]\ntests: []\n", "holds no tests"),
        ("policies: [policy.yaml]\ntests: [{name: a, request: {method: GET, target: /}}]\n", "missing field `expect`"),
        (&tests("permit"), "unknown variant `permit`, expected one of `allow`, `deny`, `own`"),
        (&tests("{deny: {codes: x}}"), "unknown field `codes`, expected one of `code`"),
        (
            &tests("{deny: rolemissing}"),
            "odd.yaml:3: not a test: there is no code `rolemissing`; the nearest is `role_missing`",
        ),
        (
            &tests("{deny: token_invalid/token_expire}"),
            "no detail of `token_invalid` `token_expire`; the nearest is `token_expired`",
        ),
        (&tests("{deny: {code: no_rule, detail: x}}"), "no detail of `no_rule` `x`: it has none"),
        ("policies: [policy.yaml]\ntests:\n\t- x\n", "indent with spaces"),
        (&tests("[allow]"), "expected `allow`, `deny`, `own`, `unverified`, or one of them with what it must have"),
        (&tests("allow\n  now: yesterday"), "odd.yaml:7: not a test: now: `yesterday` is no moment: write RFC 3339"),
        (
            &tests("allow\n  peer:\n    ip: 1.2.3"),
            "odd.yaml:8: not a test: peer.ip: invalid IP address syntax; write an address such as `192.0.2.1`",
        ),
        (
            &tests("allow").replace("/orders/7}", "/orders/7, headers: [{x: y}]}"),
            "odd.yaml:4: not a test: request.headers[0]: invalid type: map, expected a tuple of size 2; write a list of `[name, value]`",
        ),
        (&tests("{own: 200}"), "odd.yaml:6: not a test: expect.own: invalid type"),
        (
            &tests("allow").replace("issuer: main,", "issuer: main, x: y,"),
            "odd.yaml:5: not a test: identity.x: unknown field `x`",
        ),
        (&tests("{unverified: expired}"), "unknown variant `expired`, expected one of `malformed`, `untrusted`"),
        (
            &(tests("deny") + "- {name: a reader, request: {method: GET, target: /}, expect: deny}\n"),
            "name of another one",
        ),
    ] {
        workspace.write("odd.yaml", text);
        let odd = workspace.run(&["test", "odd.yaml"]);
        assert_eq!(odd.status.code(), Some(2));
        assert!(stderr(&odd).contains(wanted), "{}", stderr(&odd));
    }
}

#[test]
fn a_test_may_expect_that_no_handshake_succeeds() {
    let workspace = Workspace::new();
    let [cluster, stranger] = ["cluster", "stranger"].map(|name| cli::dev::DevCa::new(name).unwrap());
    workspace.write("ca.pem", &cluster.pem());
    let shown = |ca: &cli::dev::DevCa| {
        let certificate = ca.client(&cli::dev::Names::default()).unwrap().certificate;
        format!("certificate: |\n      {}", certificate.replace('\n', "\n      "))
    };
    let (known, unknown) = (shown(&cluster), shown(&stranger));
    let run = |policy: &str, peer: &str, expected: &str, more: &[&str]| {
        workspace.write("policy.yaml", policy);
        let request = "request: {method: GET, target: /health}";
        let text = format!(
            "policies: [policy.yaml, keys.yaml]\ntests:\n- name: a\n  {request}\n  peer:\n    {peer}\n  expect: {expected}\n"
        );
        workspace.write("test.yaml", &text);
        let done = workspace.run(&[&["test", "test.yaml"], more].concat());
        (done.status.code(), stdout(&done) + &stderr(&done))
    };
    let with_ca = ["--client-ca", "cluster=ca.pem"];
    let passes = |policy: &str, peer: &str, expected: &str| {
        let (code, text) = run(policy, peer, expected, &with_ca);
        assert_eq!(code, Some(0), "{text}");
    };
    let fails = |policy: &str, peer: &str, expected: &str, wanted: &str| {
        let (code, text) = run(policy, peer, expected, &with_ca);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(wanted) && text.contains("at 2026-01-01T00:00:00Z"), "{wanted}: {text}");
    };
    passes(POLICY, &known, "allow");
    passes(POLICY, &unknown, "unverified");
    passes(POLICY, &unknown, "{unverified: untrusted}");
    fails(POLICY, &known, "unverified", "effect: expected \"unverified\", got \"allow\"");
    fails(POLICY, &unknown, "{unverified: revoked}", "unverified: expected \"revoked\", got \"untrusted\"");
    let fault = "the TLS handshake would fail for the client's certificate: no CA of the policy vouches for it";
    fails(POLICY, &unknown, "allow", fault);
    for (peer, more, cure) in [
        (known.as_str(), &[][..], "--client-ca cluster=FILE"),
        ("serviceAccount: billing", &with_ca, "write `NAMESPACE/billing`"),
        ("verified: true", &with_ca, "`peer.certificate`, which is not there"),
    ] {
        let (code, text) = run(POLICY, peer, "unverified", more);
        assert!(code == Some(2) && text.contains(cure), "{text}");
    }
    let audit = POLICY.replace("Optional}", "Mutual}\n  mode: Audit");
    fails(&audit, "plaintext: true", "allow", "let pass in Audit: expect `{deny: {audit: true}}`");
    let twice = POLICY.replace(
        "tls: {mode: Optional}",
        "tls: {mode: Optional, clientCAs: [{name: cluster, builtIn: true}, {name: partner, configMapName: partner, key: ca}]}",
    );
    let partner = format!(
        "\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: partner, namespace: shop}}\ndata:\n  ca: |\n    {}\n",
        cluster.pem().replace('\n', "\n    ")
    );
    let (code, text) = run(&(twice + &partner), &known, "allow", &with_ca);
    assert!(code == Some(2) && text.contains("CA `partner` holds a trust anchor of CA `cluster`"), "{text}");
    let json = run(POLICY, &unknown, "unverified", &["--client-ca", "cluster=ca.pem", "-o", "json"]).1;
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()[0]["unverified"], "untrusted");
}

#[test]
fn a_caller_without_tls_gets_what_the_mode_says() {
    let workspace = Workspace::new();
    let explained = |mode: &str, peer: Value| {
        workspace.write("policy.yaml", &POLICY.replace("Optional", mode));
        let request = json!({"method": "GET", "target": "/health", "headers": [["host", "a"]], "peer": peer});
        workspace.write("requests", &request.to_string());
        let explain = ["explain", "-f", "policy.yaml", "-f", "keys.yaml", "--requests", "requests"];
        let answer: Value = serde_json::from_str(&stdout(&workspace.run(&explain))).unwrap();
        answer.get("code").unwrap_or(&answer["error"]).as_str().unwrap().to_owned()
    };
    let plaintext = || json!({"plaintext": true});
    let codes = ["Mutual", "Optional", "Permissive", "Plaintext"].map(|mode| explained(mode, plaintext()));
    assert_eq!(codes, ["plaintext", "plaintext", "ok", "ok"]);
    for peer in [json!({"plaintext": false}), json!({"identity": {"ca": "cluster"}})] {
        assert!(explained("Plaintext", peer).contains("closes a connection with TLS"));
    }
    let both = json!({"plaintext": true, "identity": {"ca": "cluster"}});
    assert!(explained("Permissive", both).contains("leave `peer.plaintext` or the certificate out"));
    workspace.write("policy.yaml", POLICY);
    let explain = ["explain", "-f", "policy.yaml", "-f", "keys.yaml", "--path", "/health", "--plaintext", "-o", "json"];
    assert!(stdout(&workspace.run(&explain)).contains("\"plaintext\""));
}

#[test]
fn compile_replaces_the_snapshot_whole_or_not_at_all() {
    let workspace = Workspace::new();
    let compile = ["compile", "-f", "policy.yaml", "-f", "keys.yaml", "-o", "snapshot.json"];
    assert!(workspace.run(&compile).status.success());
    let first = std::fs::read(workspace.path("snapshot.json")).unwrap();
    let snapshot: Value = serde_json::from_slice(&first).unwrap();
    assert_eq!(
        (&snapshot["format"], &snapshot["rulesets"][0]["port"], &snapshot["rulesets"][0]["generation"]),
        (&json!(1), &json!(3000), &json!(7))
    );
    workspace.write("policy.yaml", &POLICY.replace("Optional", "Never"));
    assert_eq!(workspace.run(&compile).status.code(), Some(1));
    assert_eq!(std::fs::read(workspace.path("snapshot.json")).unwrap(), first);
    assert_eq!(
        std::fs::read_dir(workspace.0.path())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".tmp"))
            .count(),
        0
    );
}

#[test]
fn a_key_is_made_once_and_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let workspace = Workspace::new();
    assert_eq!(std::fs::metadata(workspace.path("dev.pem")).unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(workspace.path("dev.pem")).unwrap();
    assert_eq!(workspace.run(&["token", "--new", "--key", "dev.pem"]).status.code(), Some(2));
    assert_eq!(std::fs::read(workspace.path("dev.pem")).unwrap(), before);
}

#[test]
fn generated_crds_are_those_of_the_repository() {
    let committed = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/doorward.dev_apiauthpolicies.yaml"),
    )
    .unwrap();
    let workspace = Workspace(tempfile::tempdir().unwrap());
    assert_eq!(stdout(&workspace.run(&["generate", "crds"])), committed, "run `make generate`");
    let schema: Value = serde_json::from_slice(&workspace.run(&["generate", "schemas"]).stdout).unwrap();
    assert_eq!(schema.pointer("/properties/spec/type"), Some(&json!("object")));
    let reference =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference.md")).unwrap();
    assert_eq!(stdout(&workspace.run(&["generate", "docs"])), reference, "run `make generate`");
}

/// The commands are those that the help names, so that a new one is asked for here too.
#[test]
fn completion_scripts_name_every_command() {
    let workspace = Workspace(tempfile::tempdir().unwrap());
    let help = stdout(&workspace.run(&["--help"]));
    let listed = help.split_once("Commands:\n").unwrap().1.split("\n\n").next().unwrap().to_owned();
    let commands: Vec<_> = listed
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert!(["check", "explain", "test", "generate", "help"].iter().all(|one| commands.contains(one)), "{commands:?}");
    for shell in ["bash", "fish", "zsh"] {
        let script = stdout(&workspace.run(&["generate", shell]));
        for command in &commands {
            let named = script.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '-'));
            assert!(named.into_iter().any(|word| word == *command), "{shell}: {command}");
        }
    }
}

/// Every order of these.
fn orders<T: Clone>(all: &[T]) -> Vec<Vec<T>> {
    let Some((first, rest)) = all.split_first() else { return vec![Vec::new()] };
    let with_first = |order: Vec<T>| {
        (0..=order.len()).map(move |place| {
            let mut order = order.clone();
            order.insert(place, first.clone());
            order
        })
    };
    orders(rest).into_iter().flat_map(with_first).collect()
}

/// In whatever order objects stand in files, and files on the command line: each port gets the same rules and keys.
#[test]
fn the_order_of_objects_and_files_decides_nothing() {
    let workspace = Workspace::new();
    let other = POLICY
        .replace("name: orders,", "name: admin,")
        .replace("port: 3000", "port: 9090")
        .replace("/health", "/admin")
        .replace("configMapName: login", "configMapName: other");
    let keys = std::fs::read_to_string(workspace.path("keys.yaml")).unwrap();
    let unused = keys.replacen("\"login\"", "\"unused\"", 1);
    let objects = [POLICY.to_owned(), other, keys.clone(), keys.replacen("\"login\"", "\"other\"", 1), unused];
    let compiled = |files: &[PathBuf]| {
        let (policies, found) = cli::load::load_usable(files, &compile::Settings::default()).unwrap();
        assert!(found.is_empty(), "{found:?}");
        let mut snapshot = cli::snapshot::of(&policies).unwrap();
        snapshot.rulesets.sort_by_key(|ruleset| ruleset.port);
        snapshot.keys.sort_by(|a, b| a.id.cmp(&b.id));
        assert_eq!((snapshot.rulesets.len(), snapshot.keys.len()), (2, 2));
        serde_json::to_string(&snapshot).unwrap()
    };
    let files: Vec<_> = (0..objects.len()).map(|number| workspace.path(&format!("{number}.yaml"))).collect();
    for (file, object) in files.iter().zip(&objects) {
        std::fs::write(file, object).unwrap();
    }
    let wanted = compiled(&files);
    for order in orders(&files) {
        assert_eq!(compiled(&order), wanted, "{order:?}");
    }
    for order in orders(&objects) {
        workspace.write("all.yaml", &order.join("\n---\n"));
        assert_eq!(compiled(&[workspace.path("all.yaml")]), wanted, "{order:?}");
    }
}

#[test]
fn run_takes_changes_and_keeps_the_last_good_policy() {
    let workspace = Workspace::new();
    let mut running = workspace
        .command(&[
            "run",
            "-f",
            "policy.yaml",
            "-f",
            "keys.yaml",
            "--upstream",
            "127.0.0.1:1",
            "--listen",
            "127.0.0.1:0",
            "--workers",
            "1",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(running.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut errors = BufReader::new(running.stderr.take().unwrap()).lines().map(Result::unwrap);
    let listening = out.find(|line| line.starts_with("listening on")).unwrap();
    let address = listening.trim_start_matches("listening on ").split(',').next().unwrap().to_owned();
    let status = |path: &str| {
        let output = Command::new("curl")
            .args(["-sk", "-o", "/dev/null", "-w", "%{http_code}", &format!("{address}{path}")])
            .output()
            .unwrap();
        stdout(&output)
    };
    assert_eq!((status("/health"), status("/orders/1"), status("/other")), ("502".into(), "401".into(), "403".into()));
    workspace.write("policy.yaml", &POLICY.replace("path: /health", "path: /other"));
    assert!(errors.any(|line| line == "the changed policy is in force"));
    assert_eq!((status("/health"), status("/other")), ("403".into(), "502".into()));
    workspace.write("policy.yaml", &POLICY.replace("Anonymous", "Everybody"));
    assert!(errors.any(|line| line.contains("the one before stays in force")));
    assert_eq!((status("/health"), status("/other")), ("403".into(), "502".into()));
    // A pipe in its place is not waited for, and the next file is read.
    std::fs::remove_file(workspace.path("policy.yaml")).unwrap();
    assert!(Command::new("mkfifo").arg(workspace.path("policy.yaml")).status().unwrap().success());
    assert!(errors.any(|line| line.contains("is no file any more")));
    std::fs::remove_file(workspace.path("policy.yaml")).unwrap();
    workspace.write("policy.yaml", POLICY);
    assert!(errors.any(|line| line == "the changed policy is in force"));
    assert_eq!((status("/health"), status("/other")), ("502".into(), "403".into()));
    assert!(Command::new("kill").args(["-TERM", &running.id().to_string()]).status().unwrap().success());
    assert!(running.wait().unwrap().success());
}

const FETCHED: &str = "keys: {jwksURL: 'https://10.96.0.7/jwks'}";

#[test]
fn keys_that_are_fetched_are_told_and_their_place_must_be_allowed() {
    let workspace = Workspace::new();
    workspace.write("fetched.yaml", &POLICY.replace("keys: {configMapName: login, key: jwks.json}", FETCHED));
    let refused = workspace.run(&["check", "fetched.yaml"]);
    let text = stdout(&refused);
    assert_eq!(refused.status.code(), Some(1), "{text}");
    assert!(text.contains("error[forbidden_address]: spec.issuers[0].keys.jwksURL"), "{text}");
    assert!(text.contains("--issuer-allow-network 10.96.0.7/32"), "{text}");
    let allowed = ["--issuer-allow-network", "10.96.0.0/12"];
    let accepted = workspace.run(&[&["check", "fetched.yaml", "-o", "json"][..], &allowed].concat());
    let json: Value = serde_json::from_slice(&accepted.stdout).unwrap();
    assert_eq!(json["policies"][0]["fetched"], json!([{"issuer": "main", "from": "https://10.96.0.7/jwks"}]));
    let without = workspace.run(&[&["compile", "-f", "fetched.yaml"][..], &allowed].concat());
    assert!(without.status.success() && stderr(&without).contains("issuer `main` are missing"), "{}", stderr(&without));
    let snapshot: Value = serde_json::from_slice(&without.stdout).unwrap();
    assert_eq!(snapshot["keys"], json!([]));
}

#[test]
fn settings_of_issuers_are_read_strictly() {
    let workspace = Workspace::new();
    let run = ["run", "-f", "policy.yaml", "-f", "keys.yaml", "--upstream", "127.0.0.1:1"];
    for (flag, value, wanted) in [
        ("--issuer-allow-network", "10.0.0.1/8", "write `10.0.0.0/8`"),
        ("--issuer-allow-network", "everywhere", "write a network"),
        ("--keys-max-stale", "1 day", "write a number and one unit"),
        ("--keys-max-stale", "10", "write a number and one unit"),
    ] {
        let refused = workspace.run(&[&run[..], &[flag, value]].concat());
        assert_eq!(refused.status.code(), Some(2), "{flag} {value}");
        assert!(stderr(&refused).contains(wanted), "{flag} {value}: {}", stderr(&refused));
    }
}

#[test]
fn a_misspelt_kind_of_ours_is_refused_and_a_file_without_end_is_not_read_whole() {
    let workspace = Workspace::new();
    workspace.write("other.yaml", &POLICY.replace("kind: ApiAuthPolicy", "kind: ApiAuthPolicie"));
    let output = workspace.run(&["check", "-f", "policy.yaml", "-f", "keys.yaml", "-f", "other.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("write `kind: ApiAuthPolicy`"), "{}", stdout(&output));
    let output = workspace.run(&["check", "-f", "/dev/zero"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
}
