//! What one stream has sent, and what it has to send for that to be what the pod should run.

use crate::hub::{Desired, Encoded, Names};
use hyper::body::Bytes;
use policy::wire::{Absent, Retain};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Nothing to say; the operator is there.
pub(super) const PING: Bytes = Bytes::from_static(b"{\"type\":\"ping\"}\n");
const SYNCED: Bytes = Bytes::from_static(b"{\"type\":\"synced\"}\n");
/// The certificate, or who vouches for others, is to be fetched anew.
pub(super) const RENEW: Bytes = Bytes::from_static(b"{\"type\":\"renew\"}\n");

/// What one stream has sent. Messages are shared with all other streams; here are only references.
#[derive(Debug)]
pub(super) struct Sent {
    ports: Vec<(u16, Port)>,
    keys: BTreeMap<String, Arc<Encoded>>,
    synced: bool,
    names: Option<Arc<Names>>,
}

/// What a port got last.
#[derive(Clone, Debug)]
enum Port {
    Nothing,
    Ruleset(Arc<Encoded>),
    Absent,
    /// The UIDs of the policies whose rules may stay.
    Retain(BTreeSet<String>),
}

impl Sent {
    pub(super) fn new(ports: Vec<u16>) -> Self {
        let ports = ports.into_iter().map(|port| (port, Port::Nothing)).collect();
        Self { ports, keys: BTreeMap::new(), synced: false, names: None }
    }

    /// Whether the pod was known at some time of this stream.
    pub(super) fn was_known(&self) -> bool {
        self.names.is_some()
    }

    /// Appends what has to be sent, and reckons it as sent. Keys go before the rulesets that name them.
    pub(super) fn differences(&mut self, desired: &Desired, lines: &mut VecDeque<Bytes>) {
        self.keys.retain(|id, _| desired.keys.contains_key(id));
        for (id, keys) in &desired.keys {
            if self.keys.get(id).is_none_or(|sent| sent.revision != keys.revision) {
                lines.push_back(keys.line.clone());
                self.keys.insert(id.clone(), Arc::clone(keys));
            }
        }
        // Which policies select a pod that is not known can nobody say.
        let complete = desired.complete && desired.names.is_some();
        for (port, sent) in &mut self.ports {
            let ruleset = desired.rulesets.get(port);
            match (ruleset, &*sent) {
                (Some(ruleset), Port::Ruleset(sent)) if sent.revision == ruleset.revision => {}
                (Some(ruleset), _) => {
                    lines.push_back(ruleset.line.clone());
                    *sent = Port::Ruleset(Arc::clone(ruleset));
                }
                (None, last) => {
                    if let Some((line, now)) = without_ruleset(*port, last, desired).filter(|_| complete) {
                        lines.push_back(line);
                        *sent = now;
                    }
                }
            }
        }
        if complete && !self.synced {
            lines.push_back(SYNCED);
            self.synced = true;
        }
        if let Some(names) = &desired.names {
            if self.names.as_ref().is_some_and(|known| known != names) {
                lines.push_back(RENEW);
            }
            self.names = Some(Arc::clone(names));
        }
    }
}

/// What a port without a ruleset is told, where it was not told yet.
fn without_ruleset(port: u16, sent: &Port, desired: &Desired) -> Option<(Bytes, Port)> {
    let policies = desired.retained.get(&port).unwrap_or(&desired.retained_elsewhere);
    match sent {
        Port::Absent if policies.is_empty() => None,
        Port::Retain(told) if told == policies => None,
        _ if policies.is_empty() => Some((line(&Absent::new(port)), Port::Absent)),
        _ => Some((line(&Retain::new(port, policies.iter().cloned().collect())), Port::Retain(policies.clone()))),
    }
}

/// Plain data of ours cannot fail to be written.
fn line(message: &impl Serialize) -> Bytes {
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::wire::Message;

    fn encoded(text: &str) -> Arc<Encoded> {
        Arc::new(Encoded { revision: text.to_owned(), line: format!("{text}\n").into() })
    }

    fn names(dns: &str) -> Option<Arc<Names>> {
        Some(Arc::new(Names { spiffe: "spiffe://d/ns/a/sa/b".to_owned(), dns: vec![dns.to_owned()] }))
    }

    /// What comes for each of these in turn.
    fn lines(sent: &mut Sent, desired: &Desired) -> Vec<String> {
        let mut lines = VecDeque::new();
        sent.differences(desired, &mut lines);
        lines.iter().map(|line| std::str::from_utf8(line).unwrap().trim_end().to_owned()).collect()
    }

    fn both() -> Desired {
        Desired {
            complete: true,
            rulesets: [(1, encoded("r1"))].into(),
            retained: BTreeMap::new(),
            retained_elsewhere: BTreeSet::new(),
            keys: [("k".to_owned(), encoded("k1"))].into(),
            awaited: BTreeSet::new(),
            names: names("a"),
        }
    }

    const ABSENT_2: &str = r#"{"type":"absent","port":2}"#;
    const IS_SYNCED: &str = r#"{"type":"synced"}"#;
    const IS_RENEW: &str = r#"{"type":"renew"}"#;

    #[test]
    fn only_differences_are_sent() {
        let mut sent = Sent::new(vec![1, 2]);
        assert_eq!(lines(&mut sent, &both()), ["k1", "r1", ABSENT_2, IS_SYNCED]);
        assert_eq!(lines(&mut sent, &both()), [""; 0]);
        let changed = Desired { rulesets: [(1, encoded("r2"))].into(), ..both() };
        assert_eq!(lines(&mut sent, &changed), ["r2"]);
        let rotated = Desired { keys: [("k".to_owned(), encoded("k2"))].into(), ..changed.clone() };
        assert_eq!(lines(&mut sent, &rotated), ["k2"]);
        let renamed = Desired { names: names("b"), ..rotated.clone() };
        assert_eq!(lines(&mut sent, &renamed), [IS_RENEW]);
        let second = Desired { rulesets: [(1, encoded("r2")), (2, encoded("s"))].into(), ..renamed };
        assert_eq!(lines(&mut sent, &second), ["s"]);
    }

    #[test]
    fn a_port_is_absent_only_where_that_is_certain() {
        let nothing = Desired { rulesets: BTreeMap::new(), keys: BTreeMap::new(), ..both() };
        let retain = |policies: &str| format!(r#"{{"type":"retain","port":1,"policies":[{policies}]}}"#);
        let uids = |uids: &[&str]| uids.iter().map(|uid| (*uid).to_owned()).collect::<BTreeSet<_>>();
        // A policy rules it and cannot be used: only its own rules may stay.
        let retained = Desired { retained: [(1, uids(&["a"]))].into(), ..nothing.clone() };
        let mut sent = Sent::new(vec![1]);
        lines(&mut sent, &both());
        assert_eq!(lines(&mut sent, &retained), [retain(r#""a""#)]);
        assert_eq!(lines(&mut sent, &retained), [""; 0]);
        assert_eq!(lines(&mut sent, &both()), ["k1", "r1"]);
        let elsewhere = Desired { retained_elsewhere: uids(&["a", "b"]), ..nothing.clone() };
        assert_eq!(lines(&mut sent, &elsewhere), [retain(r#""a","b""#)]);
        assert_eq!(lines(&mut sent, &nothing), [r#"{"type":"absent","port":1}"#]);
        let incomplete = Desired { complete: false, ..nothing.clone() };
        assert_eq!(lines(&mut Sent::new(vec![1]), &incomplete), [""; 0]);
        let unknown = Desired { names: None, ..nothing.clone() };
        assert_eq!(lines(&mut Sent::new(vec![1]), &unknown), [""; 0]);
        // The last policy is deleted.
        let mut sent = Sent::new(vec![1]);
        lines(&mut sent, &both());
        let deleted = nothing.clone();
        assert_eq!(lines(&mut sent, &deleted), [r#"{"type":"absent","port":1}"#]);
        assert_eq!(lines(&mut sent, &deleted), [""; 0]);
        // It comes back, the same as before.
        assert_eq!(lines(&mut sent, &both()), ["k1", "r1"]);
        // A pod that goes loses nothing by that.
        let gone = Desired { complete: true, ..Desired::default() };
        assert_eq!(lines(&mut sent, &gone), [""; 0]);
    }

    #[test]
    fn what_is_ours_is_read_by_sidecars() {
        for line in [PING, SYNCED, RENEW, line(&Absent::new(7)), line(&Retain::new(7, vec!["uid".to_owned()]))] {
            assert_eq!(line.last(), Some(&b'\n'));
            Message::read(&line).unwrap();
        }
    }
}
