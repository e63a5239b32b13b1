use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::*;

/// What the API server would say; `Err` where it does not answer.
#[derive(Debug, Default)]
struct Api {
    labels: BTreeMap<String, String>,
    config_maps: BTreeMap<String, Value>,
    is_away: bool,
    never_answers: bool,
}

impl Lookup for Api {
    async fn namespace_labels(&self, name: &str) -> Result<BTreeMap<String, String>, Unavailable> {
        assert_eq!(name, "shop");
        if self.is_away { Err(Unavailable) } else { Ok(self.labels.clone()) }
    }

    async fn config_map(&self, namespace: &str, name: &str) -> Result<Option<Arc<Value>>, Unavailable> {
        assert_eq!(namespace, "shop");
        if self.never_answers {
            std::future::pending::<()>().await;
        }
        if self.is_away { Err(Unavailable) } else { Ok(self.config_maps.get(name).cloned().map(Arc::new)) }
    }
}

fn service(api: Api) -> Service<Api> {
    Service::new(api, "doorward".into(), settings(), compile::Settings::default())
}

fn settings() -> inject::Settings {
    inject::Settings { ca_bundle: "known".into(), ..inject::Settings::for_operator_in("doorward") }
}

fn review(operation: &str, namespace: &str, object: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {"uid": "7", "operation": operation, "namespace": namespace, "object": object, "oldObject": null},
    })
}

async fn call(service: &Service<Api>, path: &str, body: impl Into<Bytes>) -> Response<Bytes> {
    service.call(Request::builder().method(Method::POST).uri(path).body(body.into()).unwrap()).await
}

/// The `response` of a review.
async fn ask(service: &Service<Api>, path: &str, review: &Value) -> Value {
    let response = call(service, path, review.to_string()).await;
    assert_eq!(
        (response.status(), &response.headers()["content-type"]),
        (StatusCode::OK, &HeaderValue::from_static("application/json"))
    );
    let review: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!((&review["apiVersion"], &review["kind"]), (&json!("admission.k8s.io/v1"), &json!("AdmissionReview")));
    assert_eq!(review["response"]["uid"], "7");
    review["response"].clone()
}

fn pod(annotations: Value) -> Value {
    json!({
        "metadata": {"generateName": "orders-", "annotations": annotations},
        "spec": {"containers": [{"name": "app", "ports": [{"containerPort": 3000}]}]},
    })
}

async fn ask_of_pod(api: Api, namespace: &str, pod: &Value) -> Value {
    ask(&service(api), PODS_PATH, &review("CREATE", namespace, pod)).await
}

fn patched(pod: &Value, response: &Value) -> Value {
    let patch = STANDARD.decode(response["patch"].as_str().unwrap()).unwrap();
    let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
    let mut patched = pod.clone();
    json_patch::patch(&mut patched, &patch).unwrap();
    patched
}

#[tokio::test]
async fn a_pod_that_asks_is_patched() {
    let pod = pod(json!({"doorward.dev/inject": "true"}));
    let response = ask_of_pod(Api::default(), "shop", &pod).await;
    assert_eq!((&response["allowed"], &response["patchType"]), (&json!(true), &json!("JSONPatch")));
    let facts = inject::NamespaceFacts { name: "shop".into(), ..Default::default() };
    assert_eq!(patched(&pod, &response), inject::inject(&pod, &facts, &settings()).unwrap().pod);
}

#[tokio::test]
async fn a_pod_that_does_not_ask_is_left_alone() {
    let asks = json!({"doorward.dev/inject": "true"});
    let alone = json!({"uid": "7", "allowed": true});
    assert_eq!(ask_of_pod(Api::default(), "shop", &pod(json!({}))).await, alone);
    assert_eq!(ask_of_pod(Api::default(), "doorward", &pod(asks.clone())).await, alone);
    for operation in ["UPDATE", "DELETE", "CONNECT"] {
        let review = review(operation, "shop", &pod(asks.clone()));
        assert_eq!(ask(&service(Api::default()), PODS_PATH, &review).await, alone);
    }
}

#[tokio::test]
async fn the_namespace_asks_and_its_level_is_warned_of() {
    let labels = [(inject::INJECTION_LABEL, "enabled"), ("pod-security.kubernetes.io/enforce", "restricted")];
    let labels = labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let response = ask_of_pod(Api { labels, ..Api::default() }, "shop", &pod(json!(null))).await;
    assert!(response["patch"].is_string());
    let warning = response["warnings"][0].as_str().unwrap();
    assert!(warning.contains("doorward.dev/capture: bind") && warning.len() <= 256, "{warning}");
}

#[tokio::test]
async fn a_pod_that_cannot_be_protected_is_refused_with_every_reason() {
    let pod = pod(json!({"doorward.dev/injekt": "true", "doorward.dev/capture": "x"}));
    let response = ask_of_pod(Api::default(), "shop", &pod).await;
    assert_eq!(response["allowed"], false);
    let status = &response["status"];
    assert_eq!((&status["code"], &status["reason"]), (&json!(422), &json!("Invalid")));
    assert_eq!((&status["details"]["kind"], &status["details"]["name"]), (&json!("Pod"), &json!("orders-")));
    let causes = status["details"]["causes"].as_array().unwrap();
    assert_eq!(causes.len(), 2);
    assert_eq!(causes[0]["field"], "metadata.annotations[doorward.dev/injekt]");
    assert!(status["message"].as_str().unwrap().contains("did you mean `doorward.dev/inject`?"));
    assert!(status["message"].as_str().unwrap().ends_with("[bad_value]"));
}

#[tokio::test]
async fn a_pod_waits_where_its_namespace_cannot_be_known() {
    let response = ask_of_pod(Api { is_away: true, ..Api::default() }, "shop", &pod(json!({}))).await;
    assert_eq!((&response["allowed"], &response["status"]["code"]), (&json!(false), &json!(503)));
}

#[tokio::test]
async fn the_settings_can_change() {
    let service = service(Api::default());
    let pod = pod(json!({"doorward.dev/inject": "true"}));
    service.set_injection(inject::Settings { ca_bundle: "new".into(), ..settings() });
    let response = ask(&service, PODS_PATH, &review("CREATE", "shop", &pod)).await;
    assert!(patched(&pod, &response).to_string().contains(r#""name":"DOORWARD_CA_BUNDLE","value":"new""#));
    // A pod that knows no CA would never find the operator.
    service.set_injection(inject::Settings { ca_bundle: String::new(), ..settings() });
    let response = ask(&service, PODS_PATH, &review("CREATE", "shop", &pod)).await;
    assert_eq!((&response["allowed"], &response["status"]["code"]), (&json!(false), &json!(503)));
}

#[tokio::test]
async fn what_is_no_review_gets_no_answer() {
    let service = service(Api::default());
    let good = review("CREATE", "shop", &pod(json!({})));
    for (path, body, status) in [
        ("/", good.to_string(), StatusCode::NOT_FOUND),
        (PODS_PATH, String::new(), StatusCode::BAD_REQUEST),
        (PODS_PATH, "{".into(), StatusCode::BAD_REQUEST),
        (PODS_PATH, "[]".into(), StatusCode::BAD_REQUEST),
        (PODS_PATH, good.to_string().replace("k8s.io/v1", "k8s.io/v1beta1"), StatusCode::BAD_REQUEST),
        (PODS_PATH, good.to_string().replace(r#""uid":"7","#, ""), StatusCode::BAD_REQUEST),
        (POLICIES_PATH, "[".repeat(10_000), StatusCode::BAD_REQUEST),
        (POLICIES_PATH, " ".repeat(MAX_BODY) + "{", StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        assert_eq!(call(&service, path, body).await.status(), status, "{path}");
    }
    let padded = good.to_string() + &" ".repeat(MAX_BODY - good.to_string().len());
    assert_eq!(call(&service, PODS_PATH, padded).await.status(), StatusCode::OK);
    let get = Request::builder().uri(PODS_PATH).body(Bytes::new()).unwrap();
    let response = service.call(get).await;
    assert_eq!(
        (response.status(), &response.headers()["allow"]),
        (StatusCode::METHOD_NOT_ALLOWED, &HeaderValue::from_static("POST"))
    );
}

const KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fn policy(spec: Value) -> Value {
    let mut policy = json!({
        "apiVersion": "doorward.dev/v1alpha1", "kind": "ApiAuthPolicy", "metadata": {"name": "orders"},
        "spec": {
            "selector": {"matchLabels": {"app": "orders"}},
            "tls": {"mode": "Optional"},
            "issuers": [{"name": "main", "issuer": "https://login.example.com", "audiences": ["orders"], "keys": {"inline": KEYS}}],
            "rules": [{"path": "/orders/**", "allow": "Authenticated"}],
        },
    });
    policy["spec"].as_object_mut().unwrap().extend(spec.as_object().cloned().unwrap_or_default());
    policy
}

async fn ask_of_policy(api: Api, policy: &Value) -> Value {
    ask(&service(api), POLICIES_PATH, &review("CREATE", "shop", policy)).await
}

#[tokio::test]
async fn a_policy_is_compiled() {
    let alone = json!({"uid": "7", "allowed": true});
    assert_eq!(ask_of_policy(Api::default(), &policy(json!({}))).await, alone);
    let audit = ask_of_policy(Api::default(), &policy(json!({"mode": "Audit"}))).await;
    assert_eq!((&audit["allowed"], audit["warnings"].as_array().map(Vec::len)), (&json!(true), Some(1)));
    assert!(audit["warnings"][0].as_str().unwrap().starts_with("spec.mode: nothing is refused"), "{audit}");
}

#[tokio::test]
async fn every_fault_of_a_policy_is_told_with_its_field() {
    let bad = policy(json!({
        "rules": [{"path": "/orders/**", "require": {"scope": ["a"]}}, {"path": "orders", "allow": "Everybody"}],
    }));
    let response = ask_of_policy(Api::default(), &bad).await;
    let causes = response["status"]["details"]["causes"].as_array().unwrap();
    assert_eq!(causes[0]["field"], "spec.rules[0].require.scope");
    assert_eq!(causes[0]["message"], "unknown field `scope`; did you mean `scopes`?");
    assert!(causes.len() >= 2, "{causes:?}");
    let message = response["status"]["message"].as_str().unwrap();
    assert_eq!(message.lines().count(), causes.len());
    assert_eq!(
        message.lines().next(),
        Some("spec.rules[0].require.scope: unknown field `scope`; did you mean `scopes`?")
    );
}

#[tokio::test]
async fn a_policy_that_goes_is_not_held_up() {
    let bad = policy(json!({"mode": "x"}));
    let service = service(Api::default());
    let service = &service;
    let allowed = |review: Value| async move { ask(service, POLICIES_PATH, &review).await["allowed"].clone() };
    assert_eq!(allowed(review("UPDATE", "shop", &bad)).await, false);
    assert_eq!(allowed(review("DELETE", "shop", &json!(null))).await, true);
    let mut going = bad.clone();
    going["metadata"]["deletionTimestamp"] = json!("2026-11-24T08:00:00Z");
    assert_eq!(allowed(review("UPDATE", "shop", &going)).await, true);
    let mut labelled = review("UPDATE", "shop", &bad);
    labelled["request"]["oldObject"] = bad;
    assert_eq!(allowed(labelled).await, true, "its spec is as it was");
}

fn with_keys() -> Value {
    let keys = json!({"configMapName": "login", "key": "jwks.json"});
    policy(
        json!({"issuers": [{"name": "main", "issuer": "https://login.example.com", "audiences": ["a"], "keys": keys}]}),
    )
}

fn config_map(keys: &str) -> BTreeMap<String, Value> {
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "login", "namespace": "shop"}, "data": {"jwks.json": keys},
    });
    [("login".to_owned(), map)].into()
}

#[tokio::test]
async fn a_config_map_is_looked_at_where_it_is_there() {
    let good = ask_of_policy(Api { config_maps: config_map(KEYS), ..Api::default() }, &with_keys()).await;
    assert_eq!(good["allowed"], true, "{good}");
    assert_eq!(good["warnings"], Value::Null);
    let bad = ask_of_policy(Api { config_maps: config_map("no set"), ..Api::default() }, &with_keys()).await;
    assert_eq!(bad["allowed"], false);
    assert!(bad["status"]["message"].as_str().unwrap().starts_with("spec.issuers[0].keys"), "{bad}");
}

#[tokio::test(start_paused = true)]
async fn a_config_map_that_is_not_there_is_a_warning() {
    for (api, said) in [
        (Api::default(), "there is no ConfigMap `login`"),
        (Api { is_away: true, ..Api::default() }, "not all ConfigMaps could be looked up now"),
        (Api { never_answers: true, ..Api::default() }, "not all ConfigMaps could be looked up now"),
    ] {
        let is_away = api.is_away;
        let response = ask_of_policy(api, &with_keys()).await;
        assert_eq!(response["allowed"], true, "{response}");
        assert_eq!(response["warnings"].as_array().map(Vec::len), Some(1), "{response}");
        let warning = response["warnings"][0].as_str().unwrap();
        assert!(
            warning.starts_with("spec.issuers[0].keys.configMapName: ") && warning.contains(said),
            "{is_away} {warning}"
        );
    }
}

#[test]
fn the_webhooks_are_what_the_handler_serves() {
    let pods = configuration::mutating("doorward");
    let webhooks = pods["webhooks"].as_array().unwrap();
    assert_eq!(webhooks.len(), 2);
    for (webhook, left_out) in webhooks.iter().zip([&["doorward"][..], &["doorward", "kube-system"]]) {
        assert_eq!(webhook["failurePolicy"], "Fail");
        assert_eq!(webhook["reinvocationPolicy"], "IfNeeded");
        assert_eq!(webhook["clientConfig"]["service"]["path"], PODS_PATH);
        let own = json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": left_out});
        assert_eq!(webhook["namespaceSelector"]["matchExpressions"], json!([own]));
    }
    let asks = "has(object.metadata.annotations) && \
                object.metadata.annotations.exists(name, name.startsWith('doorward.dev/')) || \
                has(object.metadata.labels) && object.metadata.labels.exists(name, name.startsWith('doorward.dev/'))";
    assert_eq!(webhooks[0]["matchConditions"][0]["expression"], asks);
    assert_eq!(webhooks[1]["matchConditions"][0]["expression"], format!("!({asks})"));
    assert_eq!(webhooks[1]["namespaceSelector"]["matchLabels"], json!({"doorward.dev/injection": "enabled"}));
    let policies = configuration::validating("doorward");
    assert_eq!(policies["webhooks"][0]["failurePolicy"], "Ignore");
    assert_eq!(policies["webhooks"][0]["clientConfig"]["service"]["path"], POLICIES_PATH);
}
