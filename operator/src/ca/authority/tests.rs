use super::*;
use crate::ca::source::built_in;
use crate::ca::testing::at;
use crate::ca::{State, Step};
use jiff::SignedDuration;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn serving(authority: &Authority) -> Arc<CertifiedKey> {
    authority.serving.0.load().as_ref().map(|own| Arc::clone(&own.certificate)).unwrap()
}

#[test]
fn the_operators_own_certificate_is_renewed_at_two_thirds_and_with_another_signer() {
    let start = at("2026-01-31T00:00:00Z");
    let state = State::first(start).unwrap();
    let authority = Authority::new(service_names("doorward-operator", "doorward-system", "cluster.local").to_vec());
    assert!(!authority.is_serving(start));
    let mut bundles = authority.bundles();
    authority.install(built_in(&state), start).unwrap();
    assert!(bundles.has_changed().unwrap());
    bundles.mark_unchanged();
    let first = serving(&authority);
    let renewed = |hours: i32| {
        authority.install(built_in(&state), start + HOUR * hours).unwrap();
        !Arc::ptr_eq(&first, &serving(&authority))
    };
    assert_eq!([1, 15].map(renewed), [false, false]);
    assert!(!bundles.has_changed().unwrap(), "nothing is told twice");
    assert!(authority.is_serving(start + HOUR * 23) && !authority.is_serving(start + HOUR * 24));
    assert!(renewed(16));
    let second = serving(&authority);
    let state = state.after(Step::Announce, start).unwrap();
    authority.install(built_in(&state), start + HOUR * 17).unwrap();
    assert!(Arc::ptr_eq(&second, &serving(&authority)) && bundles.has_changed().unwrap());
    let state = state.after(Step::Promote, start).unwrap();
    authority.install(built_in(&state), start + HOUR * 17).unwrap();
    assert!(!Arc::ptr_eq(&second, &serving(&authority)));
}

#[test]
fn a_ca_that_cannot_sign_replaces_nothing() {
    let start = at("2026-01-31T00:00:00Z");
    let state = State::first(start).unwrap();
    let authority = Authority::new(service_names("doorward-operator", "doorward-system", "cluster.local").to_vec());
    authority.install(built_in(&state), start).unwrap();
    let bundle = authority.bundle();
    let over = State::first(at("2020-01-01T00:00:00Z")).unwrap();
    assert_eq!(authority.install(built_in(&over), start).unwrap_err().code(), "ca_expired");
    assert_eq!(authority.bundle(), bundle);
}

#[test]
fn services_have_a_short_and_a_long_name() {
    assert_eq!(service_names("a", "b", "c.example"), ["a.b.svc", "a.b.svc.c.example"]);
}
