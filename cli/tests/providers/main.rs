//! Real providers: `doorward run` finds their keys by the issuer alone, and follows when they are rotated.
//!
//! The proxy is the real binary; a certificate of the test's own stands for the providers'.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper of tests that cannot go on has failed its test"
)]

mod http;
mod keycloak;
mod oidc;
mod proxy;

use std::time::{Duration, Instant};

/// Asks again and again until the answer is as wanted; so long that only a fault ends it.
fn eventually<T: std::fmt::Debug>(patience: Duration, mut ask: impl FnMut() -> T, wanted: impl Fn(&T) -> bool) -> T {
    let begun = Instant::now();
    loop {
        let answer = ask();
        if wanted(&answer) {
            return answer;
        }
        assert!(begun.elapsed() < patience, "after {patience:?} still {answer:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
