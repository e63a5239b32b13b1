use super::*;
use crate::ca::Authority;
use crate::ca::source::built_in;
use crate::ca::testing::{at, csr, names, verifies};
use crate::limits::{CA_LIFE, CERTIFICATE_LIFE};
use jiff::SignedDuration;
use policy::wire::IssuedCertificate;
use rcgen::KeyPair;
use std::collections::VecDeque;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// All that is due at a time.
fn advance(mut state: State, now: Timestamp, steps: &mut Vec<(Timestamp, Step)>) -> State {
    while let Some(step) = plan(now, &state) {
        state = state.after(step, now).unwrap();
        steps.push((now, step));
    }
    state
}

/// Issues as a replica does that knows this state.
fn issue(state: &State, request: &str, now: Timestamp) -> IssuedCertificate {
    let authority = Authority::new(Vec::new());
    authority.install(built_in(state), now).unwrap();
    authority.issue(request, &names(), now).unwrap()
}

/// Two years. A sidecar knows a bundle that is up to a day old, and a certificate lasts a day: whatever a replica signs, even
/// one that lags behind the leader by an hour, is accepted by everybody for all of its life.
#[test]
fn nothing_that_was_issued_is_ever_refused_in_two_years() {
    const MINUTES: i32 = 20;
    const LAG: usize = 60 / 20;
    const DAY: usize = 24 * 60 / 20;
    let start = at("2026-01-31T00:00:00Z");
    let request = csr(&KeyPair::generate().unwrap());
    let mut steps = Vec::new();
    let mut state = State::first(start).unwrap();
    // The last hour: what a replica may think is in force. The last day: what was told, and what was issued.
    let mut hour: VecDeque<State> = VecDeque::new();
    let mut day: VecDeque<(String, IssuedCertificate)> = VecDeque::new();
    let mut checked = 0;
    for turn in 0..2 * 365 * 24 * 60 / MINUTES {
        let now = start + HOUR / 60 * MINUTES * turn;
        state = advance(state, now, &mut steps);
        hour.push_back(state.clone());
        let lagging = if hour.len() > LAG { hour.pop_front().unwrap() } else { hour[0].clone() };
        // Far from any step nothing changes.
        let after = steps.last().is_some_and(|(last, _)| now.duration_since(*last) < HOUR * 72);
        if !after && plan(now + HOUR * 26, &state).is_none() {
            day.clear();
            continue;
        }
        let (issued, bundle) = (issue(&lagging, &request, now), state.bundle());
        let oldest = day.front().map_or(&bundle, |(oldest, _)| oldest);
        verifies(&issued, oldest, now).unwrap();
        verifies(&issued, &bundle, now).unwrap();
        for (_, earlier) in day.iter().skip(usize::from(day.len() == DAY)).step_by(5) {
            verifies(earlier, &bundle, now).unwrap();
        }
        day.push_back((bundle, issued));
        if day.len() > DAY {
            day.pop_front();
        }
        checked += 1;
    }
    assert!(checked > 4 * 3 * DAY, "{checked} were issued");
    let kinds: Vec<Step> = steps.iter().map(|(_, step)| *step).collect();
    use Step::{Announce, Forget, Promote};
    assert_eq!(kinds, [Announce, Promote, Forget, Announce, Promote, Forget]);
    for turn in steps.chunks(3) {
        assert!(turn[1].0.duration_since(turn[0].0) >= CA_OVERLAP, "the next one is known before it signs");
        assert!(
            turn[2].0.duration_since(turn[1].0) >= CERTIFICATE_LIFE,
            "the last one is known as long as it is needed"
        );
    }
}

#[test]
fn the_next_one_is_told_before_it_signs_and_the_last_one_after() {
    let start = at("2026-01-31T00:00:00Z");
    let first = State::first(start).unwrap();
    assert_eq!(plan(start, &first), None);
    let count = |state: &State| state.bundle().matches("BEGIN CERTIFICATE").count();
    let due = start + CA_LIFE - CA_ANNOUNCED;
    assert_eq!(plan(due - HOUR, &first), None);
    assert_eq!(plan(due, &first), Some(Step::Announce));
    let announced = first.clone().after(Step::Announce, due).unwrap();
    assert_eq!((count(&first), count(&announced)), (1, 2));
    assert_eq!(announced.current.certificate(), first.current.certificate(), "the old one still signs");
    assert_eq!(plan(due + CA_OVERLAP - HOUR, &announced), None);
    let promoted = advance(announced.clone(), due + CA_OVERLAP, &mut Vec::new());
    assert_eq!(promoted.current.certificate(), announced.next.as_ref().unwrap().0.certificate());
    assert_eq!(count(&promoted), 2, "the old one is still told");
    assert_eq!(plan(due + CA_OVERLAP + CA_RETIRED - HOUR, &promoted), None);
    let forgotten = advance(promoted, due + CA_OVERLAP + CA_RETIRED, &mut Vec::new());
    assert_eq!(count(&forgotten), 1);
}

#[test]
fn an_operator_that_was_away_for_long_has_a_ca_at_once() {
    let start = at("2026-01-31T00:00:00Z");
    let request = csr(&KeyPair::generate().unwrap());
    for days in [250, 300, 330, 362, 364, 365, 366, 1000] {
        let now = start + HOUR * 24 * days;
        let state = advance(State::first(start).unwrap(), now, &mut Vec::new());
        let issued = issue(&state, &request, now);
        verifies(&issued, &state.bundle(), now + HOUR * 23).unwrap_or_else(|error| panic!("{days}: {error}"));
    }
}

#[test]
fn what_is_written_is_read_again_and_shows_no_key() {
    let now = at("2026-01-31T00:00:00Z");
    let first = State::first(now).unwrap();
    let full = State { old: Some((first.current.certificate().clone(), now + CA_RETIRED)), ..first.clone() };
    let full = full.after(Step::Announce, now).unwrap();
    for state in [first, full] {
        let again = State::read(&state.write()).unwrap();
        assert_eq!(again.write(), state.write());
        assert_eq!(again.bundle(), state.bundle());
        let shown = format!("{state:?} {:?}", built_in(&state));
        let key = String::from_utf8(state.write()["tls.key"].clone()).unwrap();
        assert!(key.lines().filter(|line| !line.starts_with('-')).all(|line| !shown.contains(line)), "{shown}");
        assert!(!shown.contains("PRIVATE"), "{shown}");
    }
}

#[test]
fn a_broken_secret_is_refused_with_its_code() {
    let now = at("2026-01-31T00:00:00Z");
    let state = State::first(now).unwrap().after(Step::Announce, now).unwrap();
    let data = state.write();
    let code = |change: &dyn Fn(&mut Data)| {
        let mut data = data.clone();
        change(&mut data);
        State::read(&data).unwrap_err().code()
    };
    assert_eq!(code(&|data| data.clear()), "ca_missing");
    assert_eq!(code(&|data| drop(data.remove("tls.key"))), "ca_missing");
    assert_eq!(code(&|data| drop(data.remove("next.since"))), "ca_missing");
    assert_eq!(code(&|data| drop(data.insert("next.since".to_owned(), b"soon".to_vec()))), "ca_unreadable");
    assert_eq!(code(&|data| drop(data.insert("tls.crt".to_owned(), b"-".to_vec()))), "ca_unreadable");
    assert_eq!(code(&|data| drop(data.insert("tls.key".to_owned(), b"-".to_vec()))), "ca_unreadable");
    assert_eq!(code(&|data| drop(data.insert("tls.key".to_owned(), data["next.key"].clone()))), "ca_key_mismatch");
    let twice = [data["tls.crt"].clone(), data["next.crt"].clone()].concat();
    assert_eq!(code(&|data| drop(data.insert("tls.crt".to_owned(), twice.clone()))), "ca_unreadable");
}
