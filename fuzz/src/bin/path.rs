//! The canonical path: it is its own canonical form, and nothing in it means two things.
#![no_main]

use fuzz::{Head, generous};
use libfuzzer_sys::fuzz_target;
use policy::ruleset::Paths;

fuzz_target!(|data: &[u8]| {
    for encoded_slash in [false, true] {
        let paths = Paths { encoded_slash, case_insensitive: false };
        let Some(once) = Head::get(data).and_then(|head| head.canonical_target(paths)) else { continue };
        let again = Head::get(once.as_bytes()).and_then(|head| head.canonical_target(paths));
        assert_eq!(again.as_deref(), Some(once.as_str()), "canonical is its own canonical form");
        let path = once.split('?').next().unwrap_or_default();
        assert!(path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()), "{once}");
        assert!(!path.contains("//") && !path.contains(';') && !path.contains('\\'), "{once}");
        if !encoded_slash {
            let segments = path.split('/').filter(|segment| !segment.is_empty()).count();
            let blank = path.split('/').filter(|segment| segment.replace("%20", "").is_empty()).count();
            if blank == usize::from(path.ends_with('/')) + 1 {
                assert_eq!(generous(path).len(), segments, "{once}");
            }
        }
    }
});
