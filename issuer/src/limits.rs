//! Every bound and every time of fetching, with what it is derived from. No library default stays implicit.

use std::time::Duration;

/// For one GET, from the resolution of the name to the last byte, redirects included: providers answer within 300 ms, and
/// whoever waits for a key has given up by then.
pub const WHOLE: Duration = Duration::from_secs(5);
/// For one address of a name: two lost SYNs (1 s, then 2 s after it on Linux) mean that it is not there. All [`ADDRESSES`]
/// fit into [`WHOLE`] with time for an answer.
pub const CONNECT: Duration = Duration::from_millis(1_300);
/// Addresses of a name that are tried, both families in turn.
pub const ADDRESSES: usize = 3;
/// Redirects that are followed, all of one origin: a moved path, and a slash that was missing.
pub const REDIRECTS: usize = 2;
/// Bytes of an answer's body; sets of keys have 1 to 20 KiB, discovery documents 2 to 10.
pub const BODY: usize = policy::keys::MAX_JWKS_BYTES;
/// Bytes of an answer's head; those of providers with their security policies stay below 6 KiB. hyper takes no less than
/// 8 KiB.
pub const HEAD: usize = 16 * 1024;
/// Fields of an answer's head.
pub const FIELDS: usize = 100;
/// GETs at once over all issuers: with [`BODY`] and as much again for reading it, 256 MiB at the very worst, 5 MiB usually.
pub const AT_ONCE: usize = 256;
/// Of these, for issuers whose last fetch failed: whoever names a thousand that never answer delays those alone.
pub const FAILED_AT_ONCE: usize = 64;
/// Issuers whose keys are kept: ten times what 1,000 policies with one provider each would name.
pub const SOURCES: usize = 10_000;

/// Between two fetches of a set whose provider does not ask for more: a key that is removed is refused after it.
pub const REFRESH: Duration = Duration::from_mins(5);
/// Between two fetches of a set whose provider asks for more: hundreds of issuers of one provider stay below what it limits.
pub const REFRESH_LEAST: Duration = Duration::from_mins(1);
/// A refresh comes earlier by a random part of this share of its interval, so that issuers that began together spread out.
pub const REFRESH_SPREAD: f64 = 0.1;
/// Between two fetches because of unknown keys: anybody can send a token with any `kid`.
pub const UNKNOWN_KEY: Duration = Duration::from_secs(10);

/// After the first failure; doubled with each further one.
pub const RETRY_FIRST: Duration = Duration::from_millis(500);
/// The longest pause where no keys are there: nothing works until then, and a provider that starts is found within seconds.
pub const RETRY_WITHOUT_KEYS: Duration = Duration::from_secs(10);
/// The longest pause where keys are there: as often as a provider may be asked while it works.
pub const RETRY_WITH_KEYS: Duration = REFRESH_LEAST;
/// A retry comes earlier by a random part of this share of its pause.
pub const RETRY_SPREAD: f64 = 0.25;

/// Characters of what a provider sent that an error repeats.
pub const SHOWN: usize = 128;

const _: () = {
    assert!(
        CONNECT.as_millis() * ADDRESSES as u128 + 1_000 < WHOLE.as_millis(),
        "a second is left for TLS and the answer"
    );
    assert!(HEAD >= 8192, "hyper's minimum");
    assert!(REFRESH_LEAST.as_secs() < REFRESH.as_secs() && UNKNOWN_KEY.as_secs() < REFRESH_LEAST.as_secs());
    assert!(RETRY_FIRST.as_millis() < RETRY_WITHOUT_KEYS.as_millis());
    assert!(RETRY_WITHOUT_KEYS.as_secs() <= RETRY_WITH_KEYS.as_secs());
};
