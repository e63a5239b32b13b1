use super::*;
use crate::ca::Stored;
use crate::ca::testing::at;
use crate::limits::{CA_ANNOUNCED, CA_LIFE, CA_OVERLAP};
use std::collections::BTreeMap;
use std::sync::Mutex;
use tokio::sync::Barrier;

type Data = BTreeMap<String, Vec<u8>>;

/// A Secret and a ConfigMap as the API server keeps them.
#[derive(Default)]
struct Cluster {
    secret: Mutex<Option<(Data, u64)>>,
    told: Mutex<Option<String>>,
    writes: Mutex<Vec<&'static str>>,
}

#[derive(Clone)]
struct Fake {
    cluster: Arc<Cluster>,
    /// Where all replicas have read before one of them writes.
    together: Option<Arc<Barrier>>,
}

impl Store for Fake {
    async fn load(&self) -> Result<Option<Stored>, StoreError> {
        let found = self.cluster.secret.lock().unwrap().clone();
        Ok(found.map(|(data, version)| Stored { data, version: version.to_string() }))
    }

    async fn create(&self, data: &Data) -> Result<(), StoreError> {
        if let Some(together) = &self.together {
            together.wait().await;
        }
        let mut secret = self.cluster.secret.lock().unwrap();
        self.cluster.writes.lock().unwrap().push("create");
        if secret.is_some() {
            return Err(StoreError::Conflict);
        }
        *secret = Some((data.clone(), 1));
        Ok(())
    }

    async fn replace(&self, data: &Data, version: &str) -> Result<(), StoreError> {
        if let Some(together) = &self.together {
            together.wait().await;
        }
        let mut secret = self.cluster.secret.lock().unwrap();
        self.cluster.writes.lock().unwrap().push("replace");
        match secret.as_mut() {
            Some((kept, now)) if now.to_string() == version => {
                (*kept, *now) = (data.clone(), *now + 1);
                Ok(())
            }
            _ => Err(StoreError::Conflict),
        }
    }

    async fn publish(&self, bundle: &str, leads: impl Fn() -> bool + Send) -> Result<(), StoreError> {
        assert!(leads());
        *self.cluster.told.lock().unwrap() = Some(bundle.to_owned());
        Ok(())
    }
}

impl Cluster {
    fn replica(self: &Arc<Self>, source: Source, together: Option<&Arc<Barrier>>) -> Keeper<Fake> {
        let store = Fake { cluster: Arc::clone(self), together: together.cloned() };
        Keeper { store, source, authority: Authority::new(vec!["op.ns.svc".to_owned()]), known: None }
    }

    fn writes(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.writes.lock().unwrap())
    }
}

const START: &str = "2026-01-31T00:00:00Z";

#[tokio::test]
async fn two_replicas_that_start_at_once_end_with_one_ca() {
    let cluster = Arc::new(Cluster::default());
    let together = Arc::new(Barrier::new(2));
    let mut one = cluster.replica(Source::BuiltIn, Some(&together));
    let mut two = cluster.replica(Source::BuiltIn, Some(&together));
    let (first, second) = tokio::join!(one.round(&|| false, at(START)), two.round(&|| false, at(START)));
    first.unwrap();
    second.unwrap();
    assert_eq!(cluster.writes(), ["create", "create"], "both tried");
    assert_eq!(one.authority.bundle(), two.authority.bundle());
    assert!(one.authority.bundle().is_some());
    assert_eq!(*cluster.told.lock().unwrap(), None, "only a leader tells callers outside");
    one.round(&|| true, at(START)).await.unwrap();
    assert_eq!(*cluster.told.lock().unwrap(), one.authority.bundle().as_deref().map(ToOwned::to_owned));
}

#[tokio::test]
async fn only_the_leader_rotates_and_two_that_think_so_rotate_once() {
    let cluster = Arc::new(Cluster::default());
    let mut one = cluster.replica(Source::BuiltIn, None);
    one.round(&|| true, at(START)).await.unwrap();
    let first = one.authority.bundle();
    let due = at(START) + CA_LIFE - CA_ANNOUNCED;
    one.round(&|| false, due).await.unwrap();
    assert_eq!((cluster.writes(), one.authority.bundle()), (vec!["create"], first.clone()));
    let together = Arc::new(Barrier::new(2));
    one.store.together = Some(Arc::clone(&together));
    let mut two = cluster.replica(Source::BuiltIn, Some(&together));
    let (done, lost) = tokio::join!(one.round(&|| true, due), two.round(&|| true, due));
    done.unwrap();
    lost.unwrap();
    assert_eq!(cluster.writes(), ["replace", "replace"]);
    assert_eq!(one.authority.bundle(), two.authority.bundle());
    assert_ne!(one.authority.bundle(), first);
    let count = |keeper: &Keeper<Fake>| keeper.authority.bundle().unwrap().matches("BEGIN CERTIFICATE").count();
    assert_eq!(count(&one), 2);
    // The follower goes along when the next one signs.
    one.store.together = None;
    one.round(&|| true, due + CA_OVERLAP).await.unwrap();
    two.round(&|| false, due + CA_OVERLAP).await.unwrap();
    assert_eq!(cluster.writes(), ["replace"]);
    assert_eq!(one.authority.bundle(), two.authority.bundle());
}

#[tokio::test]
async fn a_secret_that_is_deleted_comes_back_as_it_was() {
    let cluster = Arc::new(Cluster::default());
    let mut one = cluster.replica(Source::BuiltIn, None);
    one.round(&|| true, at(START)).await.unwrap();
    let before = cluster.secret.lock().unwrap().take().unwrap().0;
    one.round(&|| false, at(START)).await.unwrap();
    assert_eq!(cluster.secret.lock().unwrap().clone().unwrap().0, before);
}

#[tokio::test]
async fn a_broken_secret_is_left_alone_and_the_last_good_ca_goes_on() {
    let cluster = Arc::new(Cluster::default());
    let mut one = cluster.replica(Source::BuiltIn, None);
    one.round(&|| true, at(START)).await.unwrap();
    cluster.writes();
    let bundle = one.authority.bundle();
    let broken = Data::from([("tls.crt".to_owned(), b"broken".to_vec())]);
    *cluster.secret.lock().unwrap() = Some((broken.clone(), 9));
    let fault = one.round(&|| true, at(START)).await.unwrap_err();
    assert_eq!(fault.code(), "ca_unreadable");
    assert_eq!(cluster.secret.lock().unwrap().clone().unwrap().0, broken);
    assert_eq!((cluster.writes(), one.authority.bundle()), (vec![], bundle));
}

#[tokio::test]
async fn a_given_ca_is_read_and_never_written() {
    let cluster = Arc::new(Cluster::default());
    let mut given = cluster.replica(Source::Given, None);
    assert_eq!(given.round(&|| true, at(START)).await.unwrap_err().code(), "ca_no_secret");
    let state = State::first(at(START)).unwrap();
    *cluster.secret.lock().unwrap() = Some((state.write(), 1));
    given.round(&|| true, at(START)).await.unwrap();
    assert_eq!(given.authority.bundle().as_deref(), Some(state.bundle().as_str()));
    // Its user renews it.
    let renewed = State::first(at(START)).unwrap();
    *cluster.secret.lock().unwrap() = Some((renewed.write(), 2));
    given.round(&|| true, at(START) + CA_LIFE - CA_ANNOUNCED).await.unwrap();
    assert_eq!(given.authority.bundle().as_deref(), Some(renewed.bundle().as_str()));
    assert_eq!(cluster.writes(), [""; 0]);
    assert_eq!(*cluster.told.lock().unwrap(), Some(renewed.bundle()));
    // It ends, and is told; what is in force stays.
    let ended = given.round(&|| true, at(START) + CA_LIFE).await.unwrap_err();
    assert_eq!(ended.code(), "ca_expired");
}
