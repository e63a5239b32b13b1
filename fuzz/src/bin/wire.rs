//! What travels: a line or a file that is taken comes back as it was, and a body makes a ruleset or says why not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use policy::ruleset::Ruleset;
use policy::wire::{Body, Message, RulesetMessage, Snapshot};

fuzz_target!(|data: &[u8]| {
    if let Ok(message) = Message::read(data) {
        let line = message.line().expect("a line");
        let again = Message::read(line.as_bytes()).expect("what was written is read");
        assert_eq!(again.line().expect("a line"), line);
        if let Message::Ruleset(message) = message {
            look_at(&message);
        }
    }
    if let Ok(snapshot) = Snapshot::read(data) {
        snapshot.rulesets.iter().for_each(look_at);
    }
    // A body by itself: no mutation finds the digest of another one.
    if let Ok(body) = serde_json::from_slice::<Body>(data) {
        look_at(&RulesetMessage::new(1, 1, &body).expect("a message"));
    }
});

fn look_at(message: &RulesetMessage) {
    let Ok(body) = message.body() else { return };
    let again = RulesetMessage::new(message.port, message.generation, &body).expect("a message");
    assert_eq!(again.body().expect("its body"), body);
    drop(Ruleset::new(&body));
}
