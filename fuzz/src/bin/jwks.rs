//! A key set: read within its bounds, and every key either used or named as ignored.
#![no_main]

use libfuzzer_sys::fuzz_target;
use policy::keys::KeySet;

fuzz_target!(|data: &[u8]| {
    if let Ok(keys) = KeySet::parse(data) {
        assert!(keys.len() + keys.ignored().len() <= 100);
        assert!(data.len() <= 512 * 1024);
        let text = serde_json::from_slice::<serde_json::Value>(data).expect("what is taken is JSON");
        let members = text["keys"].as_array().expect("a list").len();
        assert_eq!(keys.len() + keys.ignored().len(), members);
    }
});
