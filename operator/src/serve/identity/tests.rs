use super::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::BoxFuture;
use http::StatusCode;
use k8s_openapi::api::authentication::v1::{TokenReviewStatus, UserInfo};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A token that ends so many seconds from now; `what` keeps two apart.
fn token(what: &str, seconds: i64) -> String {
    let exp = Timestamp::now().as_second() + seconds;
    format!("e30.{}.{what}", URL_SAFE_NO_PAD.encode(format!(r#"{{"exp":{exp}}}"#)))
}

fn good(uid: &str) -> TokenReviewStatus {
    let extra = BTreeMap::from([
        ("authentication.kubernetes.io/pod-name".to_owned(), vec!["web-1".to_owned()]),
        ("authentication.kubernetes.io/pod-uid".to_owned(), vec![uid.to_owned()]),
    ]);
    let user = UserInfo {
        username: Some("system:serviceaccount:shop:web".to_owned()),
        extra: Some(extra),
        ..UserInfo::default()
    };
    TokenReviewStatus {
        authenticated: Some(true),
        audiences: Some(vec!["doorward.dev".to_owned()]),
        user: Some(user),
        error: None,
    }
}

#[test]
fn the_pod_is_what_the_api_server_says() {
    let identity = claims::judge(good("u1"), &token("a", 60)).unwrap();
    let pod = PodId { namespace: "shop".to_owned(), name: "web-1".to_owned(), uid: "u1".to_owned() };
    assert_eq!((identity.pod, identity.service_account.as_str()), (pod, "web"));
}

#[test]
fn every_doubt_is_a_refusal_with_its_code() {
    let refused = |change: &dyn Fn(&mut TokenReviewStatus)| {
        let mut status = good("u1");
        change(&mut status);
        let refusal = claims::judge(status, &token("a", 60)).unwrap_err();
        assert_eq!(refusal.status, StatusCode::UNAUTHORIZED);
        refusal.code
    };
    fn user(status: &mut TokenReviewStatus) -> &mut UserInfo {
        status.user.as_mut().unwrap()
    }
    fn extra(status: &mut TokenReviewStatus) -> &mut BTreeMap<String, Vec<String>> {
        user(status).extra.as_mut().unwrap()
    }
    const UID: &str = "authentication.kubernetes.io/pod-uid";
    assert_eq!(refused(&|status| status.authenticated = Some(false)), "token_refused");
    assert_eq!(refused(&|status| status.authenticated = None), "token_refused");
    assert_eq!(refused(&|status| status.audiences = None), "token_audience");
    assert_eq!(refused(&|status| status.audiences = Some(vec!["https://kubernetes".to_owned()])), "token_audience");
    assert_eq!(refused(&|status| user(status).username = Some("alice".to_owned())), "token_user");
    assert_eq!(refused(&|status| user(status).username = Some("system:serviceaccount:shop".to_owned())), "token_user");
    assert_eq!(refused(&|status| status.user = None), "token_user");
    assert_eq!(refused(&|status| user(status).extra = None), "token_without_pod");
    assert_eq!(refused(&|status| drop(extra(status).remove(UID))), "token_without_pod");
    assert_eq!(refused(&|status| extra(status).get_mut(UID).unwrap().push("u2".to_owned())), "token_without_pod");
    assert_eq!(refused(&|status| extra(status).get_mut(UID).unwrap()[0].clear()), "token_without_pod");
    for token in ["e30.e30.x", "opaque", "a.b", "e30.!!.x"] {
        assert_eq!(claims::judge(good("u1"), token).unwrap_err().code, "token_without_expiry", "{token}");
    }
}

/// Vouches for tokens whose last part begins with `good`, each for the pod of that name; counts.
#[derive(Default)]
struct Fake {
    asked: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    answers_after: Duration,
}

impl Reviewer for Fake {
    fn review<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<TokenReviewStatus, ReviewError>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let now = self.at_once.fetch_add(1, Ordering::Relaxed) + 1;
            self.most_at_once.fetch_max(now, Ordering::Relaxed);
            tokio::time::sleep(self.answers_after).await;
            self.at_once.fetch_sub(1, Ordering::Relaxed);
            match token.rsplit('.').next().unwrap() {
                "down" => Err(ReviewError::Timeout),
                name if name.starts_with("good") => Ok(good(name)),
                _ => Ok(TokenReviewStatus::default()),
            }
        })
    }
}

fn identities(fake: &Arc<Fake>) -> Arc<Identities> {
    let limits = Limits::default();
    Arc::new(Identities::new(Arc::clone(fake) as _, Metrics::new(), &limits))
}

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 9));

async fn code(identities: &Identities, token: &str, address: IpAddr) -> &'static str {
    let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).unwrap())]);
    identities.identify(&headers, address).await.map_or_else(|refusal| refusal.code, |_| "ok")
}

#[tokio::test(start_paused = true)]
async fn a_review_counts_for_ten_seconds_and_a_refusal_for_none() {
    let fake = Arc::new(Fake::default());
    let identities = identities(&fake);
    let asked = || fake.asked.load(Ordering::Relaxed);
    let good = token("good", 600);
    for _ in 0..5 {
        assert_eq!(code(&identities, &good, HERE).await, "ok");
    }
    assert_eq!(asked(), 1);
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(code(&identities, &good, HERE).await, "ok");
    assert_eq!(asked(), 2);
    let bad = token("bad", 600);
    for _ in 0..2 {
        assert_eq!(code(&identities, &bad, HERE).await, "token_refused");
    }
    assert_eq!(asked(), 4);
    assert_eq!(code(&identities, &token("down", 600), HERE).await, "reviews_unavailable");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_ended_opens_nothing_even_where_it_is_remembered() {
    let fake = Arc::new(Fake::default());
    let identities = identities(&fake);
    assert_eq!(code(&identities, &token("good", -1), HERE).await, "token_expired");
}

/// After that time no review is remembered.
async fn long_after() {
    tokio::time::advance(Limits::default().review_cache).await;
}

#[tokio::test(start_paused = true)]
async fn with_the_token_of_an_open_stream_a_report_needs_no_review() {
    let fake = Arc::new(Fake::default());
    let identities = identities(&fake);
    let asked = || fake.asked.load(Ordering::Relaxed);
    let (good, other) = (token("good", 600), token("good", 601));
    let headers = |token: &str| {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).unwrap())])
    };
    let reports = async |token: &str| {
        let told = identities.identify_reporter(&headers(token), HERE).await;
        told.map_or_else(|refusal| refusal.code, |_| "ok")
    };
    let identity = identities.identify(&headers(&good), HERE).await.unwrap();
    let streams = [identities.opened(&identity), identities.opened(&identity)];
    long_after().await;
    assert_eq!((reports(&good).await, asked()), ("ok", 1));
    assert_eq!((reports(&other).await, asked()), ("ok", 2), "another token of the same pod");
    assert_eq!((code(&identities, &good, HERE).await, asked()), ("ok", 3), "anything but a report");
    let [one, two] = streams;
    drop(one);
    long_after().await;
    assert_eq!((reports(&good).await, asked()), ("ok", 3), "the other one is open");
    drop(two);
    assert_eq!((reports(&good).await, asked()), ("ok", 4));
    // It may have been open when its token ended.
    let ended = claims::judge(self::good("good"), &token("good", -1)).unwrap();
    let _stream = identities.opened(&Arc::new(ended));
    assert_eq!(reports(&token("good", -1)).await, "token_expired");
}

#[tokio::test(start_paused = true)]
async fn who_guesses_is_held_off_and_others_are_not() {
    let fake = Arc::new(Fake::default());
    let identities = identities(&fake);
    let burst = Limits::default().failures.burst as usize;
    let known = token("good-known", 600);
    assert_eq!(code(&identities, &known, HERE).await, "ok");
    for index in 0..burst {
        assert_eq!(code(&identities, &token(&format!("bad{index}"), 60), HERE).await, "token_refused");
    }
    let asked = fake.asked.load(Ordering::Relaxed);
    assert_eq!(code(&identities, &token("bad", 60), HERE).await, "too_many_failures");
    assert_eq!(fake.asked.load(Ordering::Relaxed), asked, "the API server is not asked");
    assert_eq!(code(&identities, &known, HERE).await, "ok", "what is remembered still passes");
    assert_eq!(code(&identities, &token("good", 60), THERE).await, "ok");
    tokio::time::advance(Limits::default().failures.period).await;
    assert_eq!(code(&identities, &token("good", 60), HERE).await, "ok");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_shows_many_tokens_is_held_off() {
    let fake = Arc::new(Fake::default());
    let identities = identities(&fake);
    let burst = i64::from(Limits::default().reviews_per_pod.burst);
    for index in 0..burst {
        assert_eq!(code(&identities, &token("good", 600 + index), HERE).await, "ok");
    }
    assert_eq!(code(&identities, &token("good", 900), HERE).await, "too_many_reviews");
    assert_eq!(code(&identities, &token("good-other", 900), HERE).await, "ok");
}

#[tokio::test(start_paused = true)]
async fn reviews_at_once_are_bounded_for_an_address_and_in_all() {
    let limits = Limits::default();
    for (addresses, expected) in [(1_u8, limits.reviews_per_address), (100, limits.reviews)] {
        let fake = Arc::new(Fake { answers_after: Duration::from_millis(100), ..Fake::default() });
        let identities = identities(&fake);
        let tasks = (0..200_u16).map(|index| {
            let identities = Arc::clone(&identities);
            let address = IpAddr::from([10, 0, 0, u8::try_from(index % u16::from(addresses)).unwrap()]);
            tokio::spawn(async move { code(&identities, &token(&format!("good{index}"), 600), address).await })
        });
        for task in tasks.collect::<Vec<_>>() {
            assert_eq!(task.await.unwrap(), "ok");
        }
        assert_eq!(fake.most_at_once.load(Ordering::Relaxed), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_slow_is_not_waited_for_long() {
    let fake = Arc::new(Fake { answers_after: Duration::from_secs(60), ..Fake::default() });
    let identities = identities(&fake);
    assert_eq!(code(&identities, &token("good", 600), HERE).await, "reviews_busy");
}

#[test]
fn a_header_that_is_no_bearer_token_is_refused() {
    let code = |values: &[&str]| {
        let values = values.iter().map(|value| (AUTHORIZATION, HeaderValue::try_from(*value).unwrap()));
        bearer(&HeaderMap::from_iter(values)).map_or_else(|refusal| refusal.code, |_| "ok")
    };
    let long = format!("Bearer {}", "a".repeat(MAX_TOKEN_BYTES + 1));
    assert_eq!(code(&["Bearer a.b-_c"]), "ok");
    assert_eq!(code(&["bearer a"]), "ok");
    assert_eq!(code(&[]), "token_missing");
    assert_eq!(code(&["Basic YTpi"]), "token_missing");
    assert_eq!(code(&["a.b.c"]), "token_missing");
    for fields in [&["Bearer "][..], &["Bearer a b"], &["Bearer ü"], &[&long]] {
        assert_eq!(code(fields), "token_malformed", "{fields:?}");
    }
    let mut twice = HeaderMap::new();
    twice.append(AUTHORIZATION, HeaderValue::from_static("Bearer a"));
    twice.append(AUTHORIZATION, HeaderValue::from_static("Bearer b"));
    assert_eq!(bearer(&twice).unwrap_err().code, "token_malformed");
}
