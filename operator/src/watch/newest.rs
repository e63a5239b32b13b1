//! How far a watch has come: what it tells a second time, or late, is no news.

use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};

/// The newest resource version that a watch has told. Versions of one kind are numbers that grow (Kubernetes API concepts,
/// "Resource versions"); a watch tells them in order.
#[derive(Debug, Default)]
pub(super) struct Newest(u128);

impl Newest {
    /// Whether an event tells of something that was not told before. One whose version is no number always does.
    pub(super) fn is_news<K: Resource>(&mut self, event: &Event<K>) -> bool {
        match event {
            // A list is the truth whatever was told before: history may have been set back.
            Event::Init => self.0 = 0,
            Event::InitDone => {}
            Event::InitApply(object) => {
                self.see(object);
            }
            Event::Apply(object) | Event::Delete(object) => return self.see(object),
        }
        true
    }

    fn see<K: Resource>(&mut self, object: &K) -> bool {
        let Some(version) = object.resource_version().and_then(|text| text.parse().ok()) else { return true };
        let is_news = version > self.0;
        self.0 = self.0.max(version);
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;

    fn at(version: &str) -> ConfigMap {
        let mut map = ConfigMap::default();
        map.metadata.resource_version = Some(version.to_owned());
        map
    }

    #[test]
    fn what_was_told_before_is_no_news() {
        let mut newest = Newest::default();
        assert!(newest.is_news(&Event::<ConfigMap>::Init));
        assert!(newest.is_news(&Event::InitApply(at("9"))));
        assert!(newest.is_news(&Event::InitApply(at("7"))), "a list has no order");
        assert!(newest.is_news(&Event::<ConfigMap>::InitDone));
        assert!(!newest.is_news(&Event::Apply(at("9"))), "repeated");
        assert!(newest.is_news(&Event::Apply(at("10"))), "numbers, not text");
        assert!(!newest.is_news(&Event::Apply(at("9"))), "late");
        assert!(!newest.is_news(&Event::Delete(at("8"))), "late");
        assert!(newest.is_news(&Event::Delete(at("11"))));
        assert!(!newest.is_news(&Event::Apply(at("10"))), "it was deleted since");
    }

    #[test]
    fn a_list_may_set_history_back_and_what_is_no_number_is_news() {
        let mut newest = Newest::default();
        assert!(newest.is_news(&Event::Apply(at("100"))));
        assert!(newest.is_news(&Event::<ConfigMap>::Init));
        assert!(newest.is_news(&Event::Apply(at("5"))));
        assert!(newest.is_news(&Event::Apply(at("a"))) && newest.is_news(&Event::Apply(at("a"))));
    }
}
