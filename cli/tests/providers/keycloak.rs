//! Keycloak itself, and `preset: Keycloak`: realm roles, and keys that its administrator rotates.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::eventually;
use crate::proxy::{Scene, end};

/// For Keycloak to start: half a minute, and three times that on a machine that builds at the same time.
const START: Duration = Duration::from_secs(300);
/// For what is known after one fetch; two for unknown keys lie ten seconds apart.
const PATIENCE: Duration = Duration::from_secs(20);
const CERTS: &str = "/realms/shop/protocol/openid-connect/certs";

struct Keycloak<'scene> {
    scene: &'scene Scene,
    process: Child,
    port: u16,
}

/// Where `.ci/install` puts it.
fn installed() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"))).unwrap();
    let folder = cache.join("doorward-keycloak/keycloak");
    assert!(folder.join("bin/kc.sh").is_file(), "Keycloak is not installed: run `make test`, or `.ci/install`");
    folder
}

/// A port that nobody has at this moment.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl<'scene> Keycloak<'scene> {
    /// Starts it with everything in memory.
    fn start(scene: &'scene Scene) -> Self {
        let port = free_port();
        let process = Command::new("bash")
            .arg(installed().join("bin/kc.sh"))
            .args(["start-dev", "--db=dev-mem", "--http-host=127.0.0.1"])
            .args([&format!("--http-port={}", free_port()), &format!("--https-port={port}")])
            .args([&format!("--https-certificate-file={}", scene.path("server.crt"))])
            .args([&format!("--https-certificate-key-file={}", scene.path("server.key"))])
            .env("KC_BOOTSTRAP_ADMIN_USERNAME", "admin")
            .env("KC_BOOTSTRAP_ADMIN_PASSWORD", "admin")
            .env("JAVA_OPTS_KC_HEAP", "-Xms64m -Xmx512m")
            .stdout(Stdio::from(std::fs::File::create(scene.path("keycloak.log")).unwrap()))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut keycloak = Self { scene, process, port };
        let begun = Instant::now();
        while !keycloak.is_up() {
            let log = || std::fs::read_to_string(scene.path("keycloak.log")).unwrap();
            assert!(keycloak.process.try_wait().unwrap().is_none(), "Keycloak ended:\n{}", log());
            assert!(begun.elapsed() < START, "Keycloak does not start:\n{}", log());
            std::thread::sleep(Duration::from_millis(500));
        }
        keycloak
    }

    fn is_up(&self) -> bool {
        let answer = self.scene.client.send(self.port, "GET", "/realms/master", None, ("", ""));
        answer.is_ok_and(|answer| answer.status == 200)
    }

    fn issuer(&self) -> String {
        format!("https://localhost:{}/realms/shop", self.port)
    }

    fn token_of(&self, realm: &str, form: &str) -> String {
        let target = format!("/realms/{realm}/protocol/openid-connect/token");
        let answer = self.scene.client.post_form(self.port, &target, form);
        answer.body["access_token"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
    }

    /// A client's own token.
    fn token(&self, client: &str) -> String {
        self.token_of(
            "shop",
            &format!("grant_type=client_credentials&client_id={client}&client_secret=secret-of-{client}"),
        )
    }

    fn admin(&self, method: &str, target: &str, body: &Value) -> Value {
        let token = self.token_of("master", "grant_type=password&client_id=admin-cli&username=admin&password=admin");
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let target = format!("/admin/realms{target}");
        let answer =
            self.scene.client.send(self.port, method, &target, Some(&token), ("application/json", &text)).unwrap();
        assert!((200..300).contains(&answer.status), "{method} {target}: {answer:?}");
        answer.body
    }

    /// The providers of RSA keys that sign, by their ids.
    fn signing_keys(&self) -> Vec<String> {
        let all = self.admin("GET", "/shop/components?type=org.keycloak.keys.KeyProvider", &Value::Null);
        let ours = all.as_array().unwrap().iter().filter(|one| one["providerId"] == "rsa-generated");
        ours.map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    }

    /// A new key signs from now on; those before stay published.
    fn add_signing_key(&self, priority: u32) {
        let key = json!({
            "name": format!("rsa-{priority}"), "providerId": "rsa-generated",
            "providerType": "org.keycloak.keys.KeyProvider",
            "config": {"priority": [priority.to_string()], "enabled": ["true"], "active": ["true"], "algorithm": ["RS256"]},
        });
        self.admin("POST", "/shop/components", &key);
    }
}

impl Drop for Keycloak<'_> {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

/// A realm with two clients, one of which has the role `admin`.
fn realm() -> Value {
    let client = |name: &str| {
        json!({
            "clientId": name, "secret": format!("secret-of-{name}"), "serviceAccountsEnabled": true,
            "standardFlowEnabled": false,
            "protocolMappers": [{
                "name": "audience", "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper",
                "config": {"included.custom.audience": "orders-api", "access.token.claim": "true"},
            }],
        })
    };
    let account = |client: &str, role: &str| {
        json!({
            "username": format!("service-account-{client}"), "enabled": true, "serviceAccountClientId": client,
            "realmRoles": [role],
        })
    };
    json!({
        "realm": "shop", "enabled": true, "roles": {"realm": [{"name": "admin"}, {"name": "clerk"}]},
        "clients": [client("ops"), client("till")], "users": [account("ops", "admin"), account("till", "clerk")],
    })
}

fn policy(issuer: &str) -> String {
    format!(
        r#"
apiVersion: doorward.dev/v1alpha1
kind: ApiAuthPolicy
metadata: {{name: orders, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: orders}}}}
  tls: {{mode: Optional}}
  issuers:
  - name: main
    issuer: {issuer}
    audiences: [orders-api]
    preset: Keycloak
    keys: {{caBundle: {{configMapName: providers, key: ca.crt}}}}
  rules:
  - {{path: /orders, allow: Authenticated}}
  - {{path: /admin, require: {{roles: [admin], clients: [ops]}}}}
  forward: {{headers: [{{name: x-roles, identity: roles}}, {{name: x-client, identity: client}}]}}
"#
    )
}

#[test]
fn realm_roles_decide_and_rotations_are_followed() {
    let scene = Scene::new();
    let keycloak = Keycloak::start(&scene);
    keycloak.admin("POST", "", &realm());
    let proxy = scene.proxy(&policy(&keycloak.issuer()));
    let (ops, till) = (keycloak.token("ops"), keycloak.token("till"));
    let status = |target: &str, token: Option<&str>| proxy.verdict(target, token);

    eventually(PATIENCE, || status("/orders", Some(&till)), |(status, _)| *status == 200);
    assert_eq!(status("/orders", None), (401, "token_missing".to_owned()));
    assert_eq!(status("/admin", Some(&till)).0, 403);
    let admin = proxy.get("/admin", Some(&ops));
    assert_eq!(admin.status, 200, "{admin:?}");
    let sent = admin.body.to_string();
    assert!(sent.contains("\"x-client\":\"ops\"") && sent.contains("\"x-roles\":\"admin\""), "{sent}");

    // A second key, the first still published.
    let old = keycloak.signing_keys();
    keycloak.add_signing_key(500);
    let rotated = keycloak.token("ops");
    assert_eq!(status("/admin", Some(&rotated)), (200, String::new()), "the request waits for the key");
    assert_eq!(status("/admin", Some(&ops)).0, 200);

    // A third, and both before are taken away.
    let old = [old, keycloak.signing_keys()].concat();
    keycloak.add_signing_key(900);
    for id in old.iter().collect::<std::collections::BTreeSet<_>>() {
        keycloak.admin("DELETE", &format!("/shop/components/{id}"), &Value::Null);
    }
    let published = scene.client.get(keycloak.port, CERTS, None).body;
    assert_eq!(published["keys"].as_array().map(|keys| keys.iter().filter(|key| key["use"] == "sig").count()), Some(1));
    let last = keycloak.token("ops");
    eventually(PATIENCE, || status("/admin", Some(&last)), |(status, _)| *status == 200);
    assert_eq!(status("/admin", Some(&rotated)), (401, "token_invalid/unknown_key".to_owned()));
    assert_eq!(status("/orders", Some(&ops)), (401, "token_invalid/unknown_key".to_owned()));
}
