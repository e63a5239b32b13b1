//! A token: only what the provider signed verifies.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use policy::keys::KeySet;
use policy::ruleset::Ruleset;
use policy::token::verify;
use serde_json::json;

/// What was signed, without the signatures: those of ECDSA are not unique.
static SIGNED: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../policy/corpus/tokens.yaml"));
    let tokens = text.split("earer ").skip(1).filter_map(|rest| rest.split('\'').next());
    tokens.filter_map(|token| token.rsplit_once('.')).map(|(signed, _)| signed).collect()
});

static POLICY: LazyLock<(Ruleset, Vec<Option<Arc<KeySet>>>)> = LazyLock::new(|| {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../policy/corpus/policies/tokens.yaml"));
    let sets: Vec<_> = text.split("inline: '").skip(1).filter_map(|rest| rest.split('\'').next()).collect();
    let urls = text.lines().filter_map(|line| line.trim().strip_prefix("issuer: "));
    let issuers: Vec<_> = urls
        .enumerate()
        .map(|(index, url)| json!({"name": format!("issuer-{index}"), "issuer": url, "anyAudience": true, "audiences": []}))
        .collect();
    assert_eq!(issuers.len(), sets.len());
    let keys = sets.iter().map(|set| Some(Arc::new(KeySet::parse(set.as_bytes()).expect("keys")))).collect();
    (fuzz::ruleset(&issuers, &[json!({})]), keys)
});

fuzz_target!(|token: &str| {
    let (ruleset, keys) = &*POLICY;
    if verify(token, ruleset.issuers(), keys).is_ok() {
        let signed = token.rsplit_once('.').map(|(signed, _)| signed).expect("three parts");
        assert!(SIGNED.contains(&signed), "nobody signed {token}");
    }
});
