//! What all objects are applied with: the ConfigMaps that they refer to, and the ways to write an object.

use std::collections::BTreeMap;

use anyhow::Context;
use compile::source::{Document, Places};
use compile::{Compiled, ConfigMaps, Settings, diagnostic::Diagnostic};
use e2e::namespace::Namespace;
use http::Request;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa, KeyIdMethod, KeyPair,
    KeyUsagePurpose,
};
use serde_json::{Value, json};

/// The public key of RFC 7517, appendix A.1, here to verify.
const JWKS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"sig","kid":"1"}]}"#;

/// How an object comes to the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// `kubectl apply --server-side`.
    Apply,
    /// A client that wants to be told nothing (`fieldValidation=Ignore`).
    Ignore,
    /// `kubectl create`, which wants to be told everything (`fieldValidation=Strict`).
    Strict,
}

pub(crate) const WAYS: [Way; 3] = [Way::Apply, Way::Ignore, Way::Strict];

/// Makes the ConfigMaps of `e2e/objects`.
pub(crate) async fn config_maps(namespace: &Namespace) -> anyhow::Result<()> {
    let (one, other) = (authority("one")?, authority("other")?);
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new(vec!["leaf.example".to_owned()])?.signed_by(&key, &one)?;
    let revoked = CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2026, 1, 1),
        next_update: rcgen::date_time_ymd(2096, 1, 1),
        crl_number: 1.into(),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    }
    .signed_by(&one)?;
    let partner = [("ca.crt", one.pem()), ("leaf.crt", leaf.pem()), ("crl.pem", revoked.pem()?)];
    for (name, data) in [
        ("login", &[("jwks.json", JWKS.to_owned())][..]),
        ("partner", &partner),
        ("copy", &[("ca.crt", one.pem())]),
        ("other", &[("ca.crt", other.pem())]),
    ] {
        let data: BTreeMap<_, _> = data.iter().map(|(key, text)| ((*key).to_owned(), text.clone())).collect();
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let object = ConfigMap { metadata, data: Some(data), ..ConfigMap::default() };
        namespace.api().create(&PostParams::default(), &object).await?;
    }
    Ok(())
}

fn authority(name: &str) -> anyhow::Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// The ConfigMaps as the API server has them, each as the JSON that it gives.
pub(crate) async fn config_map_objects(namespace: &Namespace) -> anyhow::Result<Vec<Value>> {
    let list = namespace.api::<ConfigMap>().list(&ListParams::default()).await?;
    list.items.iter().map(|map| Ok(serde_json::to_value(map)?)).collect()
}

/// A policy as JSON.
pub(crate) fn policy(namespace: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "doorward.dev/v1alpha1", "kind": "ApiAuthPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    })
}

/// Writes a policy in one of the ways, or only asks what would be answered.
pub(crate) async fn write(namespace: &Namespace, way: Way, policy: &Value, dry_run: bool) -> Result<(), kube::Error> {
    let name = policy["metadata"]["name"].as_str().unwrap();
    let validation = match way {
        Way::Apply => {
            let parameters = PatchParams { dry_run, ..PatchParams::apply("doorward-e2e").force() };
            let applied = namespace.policies().patch(name, &parameters, &Patch::Apply(policy)).await;
            return applied.map(drop);
        }
        Way::Ignore => "Ignore",
        Way::Strict => "Strict",
    };
    let dry_run = if dry_run { "&dryRun=All" } else { "" };
    let path = format!(
        "/apis/doorward.dev/v1alpha1/namespaces/{}/apiauthpolicies?fieldValidation={validation}{dry_run}",
        namespace.name
    );
    let request = Request::post(path).header("content-type", "application/json").body(policy.to_string().into_bytes());
    namespace.client().request::<DynamicObject>(request.unwrap()).await.map(drop)
}

/// The refusal of the API server; every other failure is the test's.
pub(crate) fn refusal(result: Result<(), kube::Error>) -> anyhow::Result<Option<String>> {
    match result {
        Ok(()) => Ok(None),
        Err(kube::Error::Api(status)) if is_refusal(&status) => Ok(Some(status.message.clone())),
        Err(error) => Err(error).context("neither accepted nor refused"),
    }
}

/// What server-side apply says of a value of another type, and with an HTTP status of 500.
pub(crate) const MISTYPED: &str = "failed to create typed patch object";

fn is_refusal(status: &kube::core::Status) -> bool {
    status.code == 422 || status.code == 400 || (status.code == 500 && status.message.starts_with(MISTYPED))
}

/// The policy as the API server has it.
pub(crate) async fn read_back(namespace: &Namespace, name: &str) -> anyhow::Result<Value> {
    let object = namespace.policies().get(name).await.with_context(|| format!("cannot read `{name}` back"))?;
    Ok(serde_json::to_value(object)?)
}

/// Compiles a policy as the operator does: without a file.
pub(crate) fn compiled(policy: Value, config_maps: &[Value]) -> (Option<Compiled>, Vec<Diagnostic>) {
    let document = Document { file: "the API server".into(), value: policy, places: Places::default() };
    let mut known = ConfigMaps::default();
    for map in config_maps {
        assert!(known.add(map), "no ConfigMap: {map}");
    }
    compile::compile(&document, &known, &Settings::default())
}
