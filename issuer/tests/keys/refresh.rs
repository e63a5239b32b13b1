//! When is fetched, and what stays when it fails.

use super::network::{
    Authority, ISSUER, Network, Reply, answer, at, discovered, has, json, jwks, keys, network, provider, until,
};
use issuer::{Keys, Known, Settings, limits};
use policy::keys::KeySource;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// A provider whose answer can be replaced, and the keys that are kept from it.
struct Scene {
    network: Arc<Network>,
    authority: Authority,
    reply: Arc<Mutex<Reply>>,
    keys: Keys,
    known: watch::Receiver<BTreeMap<String, Known>>,
    id: String,
}

impl Scene {
    fn new(reply: Reply, settings: Settings) -> Self {
        let reply = Arc::new(Mutex::new(reply));
        let (network, authority) = network(provider(Arc::clone(&reply)));
        let keys = keys(&network, settings);
        let known = keys.subscribe();
        let source = discovered(&authority);
        let id = source.id().to_owned();
        keys.want([source]);
        Self { network, authority, reply, keys, known, id }
    }

    fn publish(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
    }

    async fn until(&mut self, holds: impl Fn(&Known) -> bool) -> Known {
        let id = self.id.clone();
        until(&mut self.known, &id, holds).await
    }

    fn now(&self) -> Known {
        self.known.borrow()[&self.id].clone()
    }

    fn fetches(&self) -> Vec<Instant> {
        self.network.asked(&at(443), "/jwks")
    }

    /// Another provider on the same network.
    fn neighbour(&self, port: u16) -> KeySource {
        self.network.serve(&at(port), Some(self.authority.server("login.example.com")), |_| json(&jwks(&["n"])));
        KeySource::new(
            format!("neighbour {port}"),
            Some(format!("{ISSUER}:{port}/n")),
            Some(self.authority.pem.clone()),
        )
    }
}

/// The most of these moments within any ten seconds.
fn most_in_ten_seconds(moments: &[Instant]) -> usize {
    let within = |from: &Instant| {
        moments.iter().filter(|at| *at >= from && at.duration_since(*from) < Duration::from_secs(10)).count()
    };
    moments.iter().map(within).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn a_thousand_unknown_keys_a_second_cost_one_fetch_in_ten_seconds() {
    let mut scene = Scene::new(json(&jwks(&["a"])), Settings::default());
    scene.until(|known| has(known, "a")).await;
    let neighbour = scene.neighbour(8443);
    scene.keys.want([discovered(&scene.authority), neighbour.clone()]);
    until(&mut scene.known, neighbour.id(), |known| has(known, "n")).await;
    sleep(Duration::from_secs(20)).await;
    let (begun, before) = (Instant::now(), scene.fetches().len());
    for number in 0..60_000 {
        scene.keys.unknown_key(&scene.id, &format!("unknown-{number}"));
        if number % 10 == 9 {
            sleep(Duration::from_millis(10)).await;
        }
    }
    let fetches = scene.fetches().split_off(before);
    println!("{} fetches in {:?} with 1,000 unknown keys a second", fetches.len(), begun.elapsed());
    assert_eq!(most_in_ten_seconds(&fetches), 1, "{fetches:?}");
    assert!(fetches.len() >= 6, "it is looked at all the same: {fetches:?}");
    assert!(has(&scene.now(), "a"));
    assert_eq!(scene.network.asked(&at(8443), "/n").len(), 1, "the neighbour notices nothing");
    // Whoever asks last is served too, once.
    let before = scene.fetches().len();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(scene.fetches().len(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_there_is_not_looked_for() {
    let mut scene = Scene::new(json(&jwks(&["a"])), Settings::default());
    scene.until(|known| has(known, "a")).await;
    sleep(Duration::from_secs(20)).await;
    scene.keys.unknown_key(&scene.id, "a");
    scene.keys.unknown_key("nobody", "b");
    sleep(Duration::from_secs(20)).await;
    assert_eq!(scene.fetches().len(), 1);
    scene.keys.unknown_key(&scene.id, "b");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.fetches().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_with_overlap_is_seen_without_anybody_asking() {
    let mut scene = Scene::new(json(&jwks(&["old"])), Settings::default());
    scene.until(|known| has(known, "old")).await;
    scene.publish(json(&jwks(&["old", "new"])));
    let changed = Instant::now();
    let known = scene.until(|known| has(known, "new")).await;
    assert!(has(&known, "old") && changed.elapsed() <= Duration::from_mins(5), "{:?}", changed.elapsed());
    scene.publish(json(&jwks(&["new"])));
    let changed = Instant::now();
    scene.until(|known| !has(known, "old")).await;
    assert!(changed.elapsed() <= Duration::from_mins(5) + limits::WHOLE, "{:?}", changed.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_rotation_without_overlap_is_seen_at_the_first_token() {
    let mut scene = Scene::new(json(&jwks(&["old"])), Settings::default());
    scene.until(|known| has(known, "old")).await;
    sleep(Duration::from_secs(1)).await;
    scene.publish(json(&jwks(&["new"])));
    let missed = Instant::now();
    scene.keys.unknown_key(&scene.id, "new");
    let known = scene.until(|known| has(known, "new")).await;
    assert!(!has(&known, "old"));
    assert!(missed.elapsed() < Duration::from_secs(1), "{:?}", missed.elapsed());
    // The place of the keys was known: one document was fetched.
    assert_eq!(scene.network.asked(&at(443), "/.well-known/openid-configuration").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_last_good_set_stays_whatever_comes() {
    let mut scene = Scene::new(json(&jwks(&["a"])), Settings::default());
    let first = scene.until(|known| has(known, "a")).await;
    for (reply, code) in [
        (json(&jwks(&[])), "NoUsableKey"),
        (json("<html>"), "BadKeys"),
        (answer("503 Busy", "", ""), "FetchFailed"),
        (Reply::Hang(Vec::new()), "FetchFailed"),
        (answer("302 Found", "location: https://evil.example.com/\r\n", ""), "FetchFailed"),
    ] {
        scene.publish(reply);
        let attempts = scene.now().status.attempts;
        let wanted = |known: &Known| {
            known.status.attempts > attempts + 1 && known.status.error.as_ref().is_some_and(|error| error.code == code)
        };
        let known = scene.until(wanted).await;
        assert!(has(&known, "a") && known.status.keys == 1, "{code}");
        assert!(Arc::ptr_eq(known.message.as_ref().unwrap(), first.message.as_ref().unwrap()));
        assert_eq!(known.status.fetched, first.status.fetched);
    }
    sleep(Duration::from_hours(12)).await;
    assert!(has(&scene.now(), "a"), "without a bound for ever");
    scene.publish(json(&jwks(&["a", "b"])));
    let known = scene.until(|known| has(known, "b")).await;
    assert_eq!(known.status.error, None);
}

#[tokio::test(start_paused = true)]
async fn a_set_that_did_not_change_is_not_told_again() {
    let mut scene = Scene::new(json(&jwks(&["a", "b"])), Settings::default());
    let first = scene.until(|known| has(known, "a")).await;
    scene.publish(json(&jwks(&["b", "a"])));
    let again = scene.until(|known| known.status.attempts == 2).await;
    assert!(Arc::ptr_eq(first.message.as_ref().unwrap(), again.message.as_ref().unwrap()));
    assert!(again.status.fetched > first.status.fetched);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_starts_later_is_found_within_seconds() {
    for minutes in [0, 1, 60] {
        let mut scene = Scene::new(json(&jwks(&["a"])), Settings::default());
        let server = scene.authority.server("login.example.com");
        scene.network.stop(&at(443));
        scene.until(|known| known.status.error.is_some()).await;
        sleep(Duration::from_mins(minutes)).await;
        assert!(scene.now().message.is_none());
        scene.network.serve(&at(443), Some(server), provider(Arc::clone(&scene.reply)));
        let started = Instant::now();
        scene.until(|known| has(known, "a")).await;
        assert!(started.elapsed() <= limits::RETRY_WITHOUT_KEYS, "after {minutes} min: {:?}", started.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_down_is_asked_ever_less_often() {
    let mut scene = Scene::new(json(&jwks(&["a"])), Settings::default());
    scene.until(|known| has(known, "a")).await;
    scene.publish(answer("500 Oops", "", ""));
    sleep(Duration::from_hours(1)).await;
    let fetches = scene.fetches();
    assert!((60..90).contains(&fetches.len()), "{}", fetches.len());
}

#[tokio::test(start_paused = true)]
async fn the_age_that_a_provider_gives_counts_between_our_bounds() {
    for (age, least, most) in [(1, 60, 60), (120, 108, 120), (86_400, 270, 300)] {
        let reply = answer("200 OK", &format!("cache-control: max-age={age}\r\n"), &jwks(&["a"]));
        let mut scene = Scene::new(reply, Settings::default());
        scene.until(|known| known.status.attempts == 6).await;
        let fetches = scene.fetches();
        for pair in fetches.windows(2) {
            let pause = pair[1].duration_since(pair[0]).as_secs_f64();
            assert!((f64::from(least) - 0.1..f64::from(most) + 0.1).contains(&pause), "max-age={age}: {pause}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_issuer_never_delays_another() {
    let scene = Scene::new(json(&jwks(&["a"])), Settings::default());
    let silent = |number: u16| {
        scene.network.lose(&format!("93.184.216.36:{number}"));
        KeySource::new(format!("silent {number}"), Some(format!("https://93.184.216.36:{number}/")), None)
    };
    let slow: Vec<KeySource> = (1..200).map(silent).collect();
    let good = scene.neighbour(8443);
    let begun = Instant::now();
    scene.keys.want(slow.into_iter().chain([good.clone()]));
    let mut known = scene.keys.subscribe();
    until(&mut known, good.id(), |known| has(known, "n")).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

/// Two thousand that never answer would hold every slot, again and again.
#[tokio::test(start_paused = true)]
async fn issuers_that_fail_delay_no_new_one() {
    let scene = Scene::new(json(&jwks(&["a"])), Settings::default());
    let silent = |number: u16| {
        scene.network.lose(&format!("93.184.216.36:{number}"));
        KeySource::new(format!("silent {number}"), Some(format!("https://93.184.216.36:{number}/")), None)
    };
    let slow: Vec<KeySource> = (1..2000).map(silent).collect();
    scene.keys.want(slow.clone());
    let mut known = scene.keys.subscribe();
    let tried = |known: &BTreeMap<String, Known>| slow.iter().all(|source| known[source.id()].status.attempts > 0);
    tokio::time::timeout(Duration::from_mins(5), known.wait_for(tried)).await.unwrap().unwrap();
    let good = scene.neighbour(8443);
    scene.keys.want(slow.iter().cloned().chain([good.clone()]));
    let begun = Instant::now();
    until(&mut known, good.id(), |known| has(known, "n")).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn keys_are_given_up_when_they_are_too_old_where_that_is_set() {
    let bound = Duration::from_mins(20);
    let mut scene = Scene::new(json(&jwks(&["a"])), Settings { max_stale: Some(bound), ..Settings::default() });
    scene.until(|known| known.status.attempts == 3).await;
    let last = scene.now().status.fetched.unwrap();
    scene.publish(answer("500 Oops", "", ""));
    let known = scene.until(|known| known.message.is_none()).await;
    assert_eq!(last.elapsed().as_secs(), bound.as_secs());
    assert_eq!((known.status.keys, known.status.fetched), (0, Some(last)));
    assert_eq!(known.status.error.as_ref().map(|error| error.code), Some("FetchFailed"));
    scene.publish(json(&jwks(&["a"])));
    let back = Instant::now();
    scene.until(|known| has(known, "a")).await;
    assert!(back.elapsed() <= limits::RETRY_WITH_KEYS, "{:?}", back.elapsed());
}

/// A restart forgets when keys were fetched last, and those who hold them do not.
#[tokio::test(start_paused = true)]
async fn keys_that_were_never_fetched_here_are_given_up_too() {
    let bound = Duration::from_mins(20);
    let begun = Instant::now();
    let mut scene = Scene::new(answer("500 Oops", "", ""), Settings { max_stale: Some(bound), ..Settings::default() });
    let known = scene.until(|known| known.status.stale).await;
    assert_eq!((begun.elapsed().as_secs(), known.status.fetched), (bound.as_secs(), None));
    scene.publish(json(&jwks(&["a"])));
    assert!(!scene.until(|known| has(known, "a")).await.status.stale);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_longer_wanted_is_no_longer_fetched() {
    let mut scene = Scene::new(json(&jwks(&["a"])), Settings::default());
    scene.until(|known| has(known, "a")).await;
    let neighbour = scene.neighbour(8443);
    scene.keys.want([discovered(&scene.authority), neighbour.clone()]);
    until(&mut scene.known, neighbour.id(), |known| has(known, "n")).await;
    assert_eq!(scene.fetches().len(), 1, "what was wanted already goes on undisturbed");
    scene.keys.want([neighbour.clone()]);
    assert_eq!(scene.known.borrow().keys().collect::<Vec<_>>(), [neighbour.id()]);
    sleep(Duration::from_hours(1)).await;
    assert_eq!(scene.fetches().len(), 1);
    assert!(scene.network.asked(&at(8443), "/n").len() > 10);
    let asked = scene.network.asked(&at(8443), "/n").len();
    drop(scene.keys);
    sleep(Duration::from_hours(1)).await;
    assert_eq!(scene.network.asked(&at(8443), "/n").len(), asked);
}

#[tokio::test(start_paused = true)]
async fn a_set_that_moves_is_found_again() {
    let mut scene = Scene::new(json(&jwks(&["a"])), Settings::default());
    scene.until(|known| has(known, "a")).await;
    let moved = |target: &str| match target {
        "/.well-known/openid-configuration" => json(&super::network::discovery().replace("/jwks", "/moved")),
        "/moved" => json(&jwks(&["b"])),
        _ => answer("404 Not Found", "", ""),
    };
    scene.network.serve(&at(443), Some(scene.authority.server("login.example.com")), moved);
    let missed = Instant::now();
    scene.keys.unknown_key(&scene.id, "b");
    scene.until(|known| has(known, "b")).await;
    assert!(missed.elapsed() < Duration::from_secs(2), "{:?}", missed.elapsed());
}
