//! oidc-provider, a certified implementation in Node (`e2e/apps/provider`).

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::eventually;
use crate::proxy::{Scene, end, repository};

/// For what is known after one fetch; R10 of the promises is 5 s.
const PATIENCE: Duration = Duration::from_secs(15);

struct Provider {
    process: Child,
    issuer: String,
    port: u16,
}

impl Provider {
    fn start(scene: &Scene, port: u16) -> Self {
        Self::slow(scene, port, Duration::ZERO)
    }

    /// One whose every answer is late.
    fn slow(scene: &Scene, port: u16, delay: Duration) -> Self {
        let folder = repository("e2e/apps/provider");
        assert!(
            folder.join("node_modules/oidc-provider").is_dir(),
            "oidc-provider is not installed: run `make test`, or `npm ci` in {}",
            folder.display()
        );
        // Another test's socket may have the port for a moment: tried again, and never waited for without end.
        (0..3).find_map(|_| Self::attempt(scene, &folder, port, delay)).unwrap()
    }

    fn attempt(scene: &Scene, folder: &Path, port: u16, delay: Duration) -> Option<Self> {
        let mut process = Command::new("node")
            .arg("index.js")
            .current_dir(folder)
            .env("PORT", port.to_string())
            .env("DELAY", delay.as_millis().to_string())
            .env("CERT", scene.path("server.crt"))
            .env("KEY", scene.path("server.key"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (heard, told) = mpsc::channel();
        thread::spawn(move || {
            let line = lines.map_while(Result::ok).find_map(|line| serde_json::from_str::<Value>(&line).ok());
            // Whoever waited may have given up.
            let _ = heard.send(line);
        });
        let Ok(Some(line)) = told.recv_timeout(PATIENCE) else {
            process.kill().unwrap();
            process.wait().unwrap();
            return None;
        };
        let issuer = line["issuer"].as_str().unwrap().to_owned();
        let port = issuer.rsplit(':').next().unwrap().parse().unwrap();
        Some(Self { process, issuer, port })
    }

    /// An RFC 9068 access token for the scope.
    fn token(&self, scene: &Scene, scope: &str) -> String {
        let form = format!(
            "grant_type=client_credentials&client_id=orders&client_secret=not-a-secret-in-a-test&scope={scope}"
        );
        let answer = scene.client.post_form(self.port, "/token", &form);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["access_token"].as_str().unwrap().to_owned()
    }

    fn rotate(&self, scene: &Scene, how: &str) {
        assert_eq!(scene.client.post_form(self.port, &format!("/test/rotate{how}"), "").status, 204);
    }

    fn policy(&self) -> String {
        format!(
            r#"
apiVersion: doorward.dev/v1alpha1
kind: ApiAuthPolicy
metadata: {{name: users, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: users}}}}
  tls: {{mode: Optional}}
  issuers:
  - name: main
    issuer: {}
    audiences: [users-api]
    tokenTypes: [at+jwt]
    keys: {{caBundle: {{configMapName: providers, key: ca.crt}}}}
  rules:
  - {{path: /users, require: {{scopes: ["users:read"]}}}}
  - {{path: /admin, require: {{scopes: ["users:write"]}}}}
"#,
            self.issuer
        )
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

#[test]
fn the_issuer_alone_is_enough_and_rotations_are_followed() {
    let scene = Scene::new();
    let provider = Provider::start(&scene, 0);
    let proxy = scene.proxy(&provider.policy());
    let first = provider.token(&scene, "users:read");
    assert_eq!(proxy.verdict("/users", None), (401, "token_missing".to_owned()));
    eventually(PATIENCE, || proxy.verdict("/users", Some(&first)), |(status, _)| *status == 200);
    assert_eq!(proxy.verdict("/admin", Some(&first)), (403, "insufficient_scope".to_owned()));

    // With overlap: the old key's tokens go on, the new key is found at its first token.
    provider.rotate(&scene, "?overlap");
    let second = provider.token(&scene, "users:read");
    assert_eq!(proxy.verdict("/users", Some(&first)).0, 200);
    assert_eq!(proxy.verdict("/users", Some(&second)), (200, String::new()), "the request waits for the key");
    assert_eq!(proxy.verdict("/users", Some(&first)).0, 200);

    // Without: the old key is gone as soon as the new one is known. Ten seconds lie between two fetches for unknown keys.
    provider.rotate(&scene, "");
    let third = provider.token(&scene, "users:read");
    eventually(PATIENCE, || proxy.verdict("/users", Some(&third)), |(status, _)| *status == 200);
    assert_eq!(proxy.verdict("/users", Some(&first)), (401, "token_invalid/unknown_key".to_owned()));
    assert_eq!(proxy.verdict("/users", Some(&second)), (401, "token_invalid/unknown_key".to_owned()));
}

#[test]
fn a_provider_that_starts_later_is_found_and_one_that_goes_leaves_its_keys() {
    let scene = Scene::new();
    let early = Provider::start(&scene, 0);
    let (policy, port) = (early.policy(), early.port);
    let token = early.token(&scene, "users:read");
    drop(early);
    let proxy = scene.proxy(&policy);
    assert_eq!(proxy.verdict("/users", Some(&token)), (503, "keys_unavailable".to_owned()));
    let late = Provider::start(&scene, port);
    let token = late.token(&scene, "users:read");
    eventually(PATIENCE, || proxy.verdict("/users", Some(&token)), |(status, _)| *status == 200);
    drop(late);
    assert_eq!(proxy.verdict("/users", Some(&token)).0, 200);
    assert_eq!(proxy.verdict("/users", None).0, 401);
}

#[test]
fn a_policy_that_names_another_issuer_comes_with_its_keys() {
    let scene = Scene::new();
    let (one, other) = (Provider::start(&scene, 0), Provider::slow(&scene, 0, Duration::from_millis(500)));
    let proxy = scene.proxy(&one.policy());
    let (first, second) = (one.token(&scene, "users:read"), other.token(&scene, "users:read"));
    eventually(PATIENCE, || proxy.verdict("/users", Some(&first)), |(status, _)| *status == 200);
    assert_eq!(proxy.verdict("/users", Some(&second)), (401, "token_invalid/unknown_issuer".to_owned()));
    std::fs::write(scene.path("policy.yaml"), other.policy()).unwrap();
    let taken = |(status, code): &(u16, String)| {
        assert_ne!(*status, 503, "the policy before decides until the keys are there: {code}");
        *status == 200
    };
    eventually(PATIENCE, || proxy.verdict("/users", Some(&second)), taken);
    assert_eq!(proxy.verdict("/users", Some(&first)), (401, "token_invalid/unknown_issuer".to_owned()));
}

#[test]
fn commands_fetch_where_they_are_told_to() {
    let scene = Scene::new();
    let provider = Provider::start(&scene, 0);
    let proxy = scene.proxy(&provider.policy());
    let token = provider.token(&scene, "users:read");
    std::fs::write(scene.path("token"), &token).unwrap();
    let file = scene.path("token");
    let explain = ["explain", "--path", "/users", "--token-file", file.as_str()];
    let fetching = ["--fetch", "--issuer-allow-network", "127.0.0.0/8"];

    let (exit, told) = scene.doorward(&["check"]);
    assert_eq!(exit, Some(0), "{told}");
    assert!(told.contains("keys of `main` are fetched at run time: where its discovery document says"), "{told}");

    let (_, told) = scene.doorward(&explain);
    assert!(told.contains("keys_unavailable") && told.contains("give --fetch"), "{told}");
    let (exit, told) = scene.doorward(&[&explain[..], &fetching].concat());
    assert!(exit == Some(0) && told.contains("200") && !told.contains("keys_unavailable"), "{told}");
    let (exit, told) = scene.doorward(&[&explain[..], &["--fetch"]].concat());
    assert!(exit == Some(2) && told.contains("--issuer-allow-network 127.0.0.1/32"), "{told}");

    let snapshot = scene.path("snapshot.json");
    let (exit, told) = scene.doorward(&[&["compile", "-o", snapshot.as_str()][..], &fetching].concat());
    assert_eq!(exit, Some(0), "{told}");
    let snapshot: Value = serde_json::from_slice(&std::fs::read(&snapshot).unwrap()).unwrap();
    assert_eq!(snapshot["keys"][0]["issuer"].as_str(), Some(provider.issuer.as_str()));
    assert_eq!(snapshot["keys"][0]["body"]["keys"].as_array().map(Vec::len), Some(1));
    drop(proxy);
}
