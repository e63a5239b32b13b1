//! What a watch has told so far: replaced as a whole when it starts anew, so that nothing is lost in between.

use std::collections::BTreeMap;

use kube::runtime::watcher::Event;

use crate::objects::Key;

/// The objects of one kind.
#[derive(Clone, Debug)]
pub struct Cache<T> {
    objects: BTreeMap<Key, T>,
    /// What a list has brought that is not complete yet.
    coming: Option<BTreeMap<Key, T>>,
    complete: bool,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), coming: None, complete: false }
    }
}

impl<T: PartialEq> Cache<T> {
    /// Takes an event; true where it changed what is seen.
    pub fn apply(&mut self, event: Event<(Key, T)>) -> bool {
        match event {
            Event::Init => {
                self.coming = Some(BTreeMap::new());
                false
            }
            Event::InitApply((key, object)) => {
                self.coming.get_or_insert_default().insert(key, object);
                false
            }
            Event::InitDone => {
                let coming = self.coming.take().unwrap_or_default();
                let changed = !self.complete || coming != self.objects;
                (self.objects, self.complete) = (coming, true);
                changed
            }
            Event::Apply((key, object)) => {
                let changed = self.objects.get(&key) != Some(&object);
                self.objects.insert(key, object);
                changed
            }
            Event::Delete((key, _)) => self.objects.remove(&key).is_some(),
        }
    }

    /// Whether a list was completed since the start.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The objects.
    #[must_use]
    pub fn objects(&self) -> &BTreeMap<Key, T> {
        &self.objects
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key { namespace: "shop".to_owned(), name: name.to_owned() }
    }

    fn names(cache: &Cache<i32>) -> Vec<&str> {
        cache.objects().keys().map(|key| key.name.as_str()).collect()
    }

    #[test]
    fn a_list_that_is_not_complete_deletes_nothing() {
        let mut cache = Cache::default();
        for event in [Event::Init, Event::InitApply((key("a"), 1)), Event::InitApply((key("b"), 2))] {
            assert!(!cache.apply(event));
        }
        assert!(!cache.is_complete() && names(&cache).is_empty());
        assert!(cache.apply(Event::InitDone));
        assert_eq!(names(&cache), ["a", "b"]);
        cache.apply(Event::Init);
        cache.apply(Event::InitApply((key("b"), 2)));
        assert_eq!(names(&cache), ["a", "b"], "as long as the new list is not complete");
        cache.apply(Event::Init);
        cache.apply(Event::InitApply((key("a"), 1)));
        assert!(cache.apply(Event::InitDone));
        assert_eq!(names(&cache), ["a"], "a list that was broken off is forgotten");
    }

    #[test]
    fn what_changes_nothing_wakes_nobody() {
        let mut cache = Cache::default();
        cache.apply(Event::Init);
        assert!(cache.apply(Event::InitDone), "the first list completes the cache");
        assert!(cache.apply(Event::Apply((key("a"), 1))));
        assert!(!cache.apply(Event::Apply((key("a"), 1))));
        assert!(cache.apply(Event::Delete((key("a"), 1))));
        assert!(!cache.apply(Event::Delete((key("a"), 1))));
    }
}
