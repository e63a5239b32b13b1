//! Whose certificate a pod gets.

use crate::support::*;
use http::Method;
use operator::hub::{Desired, Names};
use policy::certificate::alternative_names;
use policy::wire::{CertificateRequest, IssuedCertificate, certificate_revision};
use rcgen::{CertificateParams, KeyPair, SanType};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::sync::Arc;
use std::time::Duration;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

const PATH: &str = "/v1/certificate";

/// A request for somebody else's names.
fn greedy(key: &KeyPair) -> Vec<u8> {
    let mut params = CertificateParams::new(vec!["bank.money.svc".to_owned()]).unwrap();
    params.subject_alt_names.push(SanType::URI("spiffe://cluster.local/ns/money/sa/bank".try_into().unwrap()));
    let csr = params.serialize_request(key).unwrap().pem().unwrap();
    serde_json::to_vec(&CertificateRequest { csr }).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_names_are_the_pods_whatever_the_request_says() {
    let site = site().await;
    let token = site.token(&pod(1));
    let key = KeyPair::generate().unwrap();
    let reply = site.send(Method::POST, PATH, Some(&token), &greedy(&key)).await;
    assert_eq!(reply.told(), (503, "names_unknown".to_owned()));
    assert_eq!(reply.headers["retry-after"], "5");
    site.publish(&[(pod(1), desired(1))]);
    let reply = site.send(Method::POST, PATH, Some(&token), &greedy(&key)).await;
    assert_eq!(reply.status, 200);
    let issued: IssuedCertificate = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(Some(issued.bundle.as_str()), site.authority.bundle().as_deref());
    let der = CertificateDer::from_pem_slice(issued.chain.as_bytes()).unwrap();
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    let names = &certificate.subject_alternative_name().unwrap().unwrap().value.general_names;
    let expected = [GeneralName::URI("spiffe://cluster.local/ns/shop/sa/web"), GeneralName::DNSName("web.shop.svc")];
    assert_eq!(names[..], expected);
    site.metric("doorward_operator_certificates_issued_total 1").await;
}

/// Names and CA may change while a sidecar has no stream.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_says_what_it_should_not_any_more_is_made_anew() {
    let site = site_with(|limits| limits.renew_spread = Duration::ZERO).await;
    site.publish(&[(pod(1), desired(1))]);
    let token = site.token(&pod(1));
    let reply = site.send(Method::POST, PATH, Some(&token), &greedy(&KeyPair::generate().unwrap())).await;
    let IssuedCertificate { chain, bundle } = serde_json::from_slice(&reply.body).unwrap();
    let names = alternative_names(&CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()).unwrap();
    let revision = |bundle: &str| certificate_revision(names.iter().map(String::as_str), bundle);
    let query = |revision: &str| format!("formats=1&ports=8080&certificate={revision}");

    let mut same = site.stream(&token, &query(&revision(&bundle))).await;
    assert_eq!(types(&same.take(3).await), ["keys", "ruleset", "synced"]);
    site.announce();
    assert_eq!(types(&same.take(1).await), ["renew"], "of the CA that came, and none before");
    site.publish(&[(pod(1), desired(2))]);
    assert_eq!(types(&same.take(1).await), ["ruleset"], "once");
    drop(same);

    let mut other_ca = site.stream(&token, &query(&revision("another"))).await;
    assert_eq!(types(&other_ca.take(4).await), ["keys", "ruleset", "synced", "renew"]);
    site.publish(&[(pod(1), Desired { names: crate::support::names("other.shop.svc"), ..desired(2) })]);
    let now = site.authority.bundle().unwrap();
    let mut other_name = site.stream(&token, &query(&revision(&now))).await;
    assert_eq!(types(&other_name.take(4).await), ["keys", "ruleset", "synced", "renew"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_proof_is_refused_and_so_is_too_much_of_it() {
    let site = site_with(|limits| limits.certificates_per_pod.burst = 5).await;
    let stranger = Names { spiffe: "spiffe://cluster.local/ns/shop/sa/other".to_owned(), dns: Vec::new() };
    let mixed_up = Desired { names: Some(Arc::new(stranger)), ..desired(1) };
    site.publish(&[(pod(1), desired(1)), (pod(2), mixed_up)]);
    let token = site.token(&pod(1));
    for body in [&b"{}"[..], b"", br#"{"csr":"x"}"#, br#"{"csr":"x","names":["a"]}"#] {
        let reply = site.send(Method::POST, PATH, Some(&token), body).await;
        assert_eq!(reply.told(), (400, "csr_malformed".to_owned()));
    }
    let good = greedy(&KeyPair::generate().unwrap());
    assert_eq!(site.send(Method::POST, PATH, Some(&token), &good).await.status, 200);
    let reply = site.send(Method::POST, PATH, Some(&token), &good).await;
    assert_eq!(reply.told(), (429, "too_many_certificates".to_owned()));
    let reply = site.send(Method::POST, PATH, Some(&site.token(&pod(2))), &good).await;
    assert_eq!(reply.told(), (403, "identity_mismatch".to_owned()));
}
