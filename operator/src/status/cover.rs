//! Whether entries of several replicas name every pod, and none twice, without listing ten thousand of them: each entry has a
//! sum over its pods that does not depend on their order, and the leader knows the sum over all.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use crds::ReplicaStatus;

/// Entries that are tried in every combination; beyond, all together and each alone.
const COMBINED: usize = 8;

/// The sum of the first eight bytes of the SHA-256 of UIDs, which nobody but the API server chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum(u64);

impl Sum {
    pub(super) fn of<'a>(uids: impl Iterator<Item = &'a str>) -> Self {
        let mut sum = Self::default();
        uids.for_each(|uid| sum.add(uid));
        sum
    }

    pub(super) fn add(&mut self, uid: &str) {
        let digest = digest(&SHA256, uid.as_bytes());
        let (first, _) = digest.as_ref().split_first_chunk().unwrap_or((&[0; 8], &[]));
        self.0 = self.0.wrapping_add(u64::from_be_bytes(*first));
    }

    fn read(text: &str) -> Option<Self> {
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Whether some of the entries together name exactly these pods. Some: while pods move from a replica that is gone, its entry
/// still says what was so a moment ago, and the other's does already.
pub(super) fn is_whole<'a>(entries: impl Iterator<Item = &'a ReplicaStatus>, count: u32, whole: Sum) -> bool {
    let entries: Vec<(u32, Sum)> =
        entries.filter_map(|entry| Some((entry.enforced, Sum::read(&entry.enforced_sum)?))).collect();
    let fits = |chosen: &mut dyn Iterator<Item = &(u32, Sum)>| {
        let mut total = (0_u32, 0_u64);
        for (count, sum) in chosen {
            total = (total.0.saturating_add(*count), total.1.wrapping_add(sum.0));
        }
        total == (count, whole.0)
    };
    if entries.len() > COMBINED {
        return fits(&mut entries.iter()) || entries.iter().any(|one| fits(&mut std::iter::once(one)));
    }
    let chosen_by = |mask: u32| {
        entries.iter().enumerate().filter(move |(index, _)| mask & (1 << index) != 0).map(|(_, entry)| entry)
    };
    (0..1_u32 << entries.len()).any(|mask| fits(&mut chosen_by(mask)))
}
