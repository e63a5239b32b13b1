//! A whole request: what passes without a token leads, however generously it is read, to the public part alone.
#![no_main]

use std::sync::{Arc, LazyLock};

use fuzz::{Head, generous};
use libfuzzer_sys::fuzz_target;
use policy::decide::{Authenticate, Decision, Question, decide};
use policy::forward;
use policy::peer::Peer;
use policy::reason::TokenFault;
use policy::request::{CanonicalRequest, SizeLimits};
use policy::ruleset::Ruleset;
use policy::time::Timestamp;
use policy::token::{Unproven, VerifiedToken};
use serde_json::json;

static RULESET: LazyLock<Ruleset> = LazyLock::new(|| {
    let open = |path: &str| json!({"path": path});
    let closed = |path: &str| json!({"path": path, "access": "Authenticated"});
    let rules = [open("/public/**"), closed("/public/secret/**"), closed("/admin"), closed("/**")];
    fuzz::ruleset(&[json!({})], &rules)
});

struct NoToken;

impl Authenticate for NoToken {
    fn authenticate(&mut self, _token: &str) -> Result<Arc<VerifiedToken>, Unproven> {
        Err(Unproven::Fault(TokenFault::Malformed))
    }
}

fuzz_target!(|data: &[u8]| {
    let Some(parsed) = Head::parse(data) else { return };
    let head = parsed.as_request_head();
    let ruleset = &*RULESET;
    let Ok(request) = CanonicalRequest::read(&head, ruleset.paths(), &SizeLimits::default()) else { return };
    let peer = Peer { address: Some([192, 0, 2, 7].into()), ..Peer::default() };
    let question = Question { ruleset, head, request: &request, peer: &peer, now: Timestamp::from_millis(0), begun: Timestamp::from_millis(0) };
    if let Decision::Granted(granted) = decide(question, &mut NoToken) {
        let permit = granted.discharge();
        let target = permit.target();
        let path = target.split('?').next().unwrap_or_default();
        let read = generous(path);
        assert_eq!(read.first().map(String::as_str), Some("public"), "{target}");
        assert_ne!(read.get(1).map(String::as_str), Some("secret"), "{target}");
        assert!(forward::identity_headers(&permit).is_empty());
    }
});
