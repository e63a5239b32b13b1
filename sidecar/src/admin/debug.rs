//! What people look into who may run commands in the pod: what is in force, and what was refused last. No key, no token.

use super::{Site, plain};
use crate::denials::Denials;
use crate::state::Configuration;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use serde_json::{Value, json};

/// Answers a path of the debug port.
pub(super) fn answer(path: &str, site: &Site) -> Response<Full<Bytes>> {
    let document = match path {
        "/debug/config" => config(site),
        "/debug/decisions" => json!({"denied": Denials::last_of(&site.denials)}),
        _ => return plain(StatusCode::NOT_FOUND, "not found: /debug/config and /debug/decisions are\n".into()),
    };
    let mut response = plain(StatusCode::OK, format!("{document:#}\n"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn config(site: &Site) -> Value {
    let ports: Vec<Value> = site.state.ports().map(|number| port(site, number)).collect();
    let addresses: Vec<Value> = site
        .sockets
        .addresses()
        .into_iter()
        .map(|(port, address)| json!({"port": port, "address": address.to_string()}))
        .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ready": site.not_ready().map_or(Value::Bool(true), Value::String),
        "listening": addresses,
        "captured": site.captured.now(),
        "certificate": site.certificate.is_there(),
        "ports": ports,
    })
}

fn port(site: &Site, number: u16) -> Value {
    let fault =
        site.state.status().into_iter().find(|applied| applied.port == number).and_then(|applied| applied.error);
    let configuration = site.state.current(number).map(|current| current.load_full());
    let (state, policy) = match configuration.as_deref() {
        Some(Configuration::InForce(in_force)) => ("inForce", Some(in_force)),
        Some(Configuration::Absent) => ("absent", None),
        Some(Configuration::Invalid) => ("invalid", None),
        Some(Configuration::Missing) | None => ("missing", None),
    };
    let policy = policy.map(|in_force| {
        let ruleset = &in_force.ruleset;
        let issuers: Vec<Value> = ruleset
            .issuers()
            .iter()
            .zip(&in_force.keys)
            .map(|(issuer, keys)| {
                let ids = keys.as_ref().map(|keys| keys.ids().collect::<Vec<_>>());
                json!({"name": issuer.name(), "keys": issuer.keys(), "keyIds": ids})
            })
            .collect();
        let name = ruleset.policy();
        let cas: Vec<&str> = ruleset.tls().client_cas.iter().map(|ca| &*ca.name).collect();
        json!({
            "namespace": name.namespace,
            "name": name.name,
            "generation": in_force.generation,
            "revision": in_force.ruleset_revision,
            "audit": ruleset.is_audit(),
            "tls": format!("{:?}", ruleset.tls().mode),
            "clientCAs": cas,
            "rules": ruleset.rules().len(),
            "issuers": issuers,
        })
    });
    json!({"port": number, "state": state, "fault": fault, "policy": policy})
}
