//! How far a rolling update may go at once: the arithmetic, in Kubernetes' way. Pure.
//!
//! `all` is what the sets want together, `available` what they have that is ready long enough.
//!
//! | set | may have |
//! |---|---|
//! | new, fewer than wanted | up to `wanted + surge - all` more |
//! | new, more than wanted | as many as wanted |
//! | old, with pods that are not available | those go first, as long as `all - (wanted - unavailable)` less what the new one lacks is left |
//! | old, the rest | the oldest first, as long as `available` stays above `wanted - unavailable` |

use k8s_openapi::api::apps::v1::DeploymentSpec;

use crate::workloads::portion::{self, Round};

/// What a deployment wants, as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Pods in all.
    pub(crate) wanted: i32,
    /// How many more there may be for a while.
    pub(crate) surge: i32,
    /// How many may be missing for a while.
    pub(crate) unavailable: i32,
}

/// One set's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// What it wants.
    pub(crate) wants: i32,
    /// What it has that is available.
    pub(crate) available: i32,
}

impl Bounds {
    /// The bounds of a deployment. Both zero would stand still: one may be missing then.
    pub(crate) fn of(spec: Option<&DeploymentSpec>) -> Self {
        let wanted = spec.and_then(|spec| spec.replicas).unwrap_or(1);
        let rolling = spec.and_then(|spec| spec.strategy.as_ref()?.rolling_update.as_ref());
        let Some(rolling) = rolling else { return Self { wanted, surge: 0, unavailable: 0 } };
        let surge = rolling.max_surge.as_ref().map_or(0, |portion| portion::of(portion, wanted, Round::Up));
        let most = rolling.max_unavailable.as_ref();
        let unavailable = most.map_or(0, |portion| portion::of(portion, wanted, Round::Down));
        let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
        Self { wanted, surge, unavailable: unavailable.min(wanted) }
    }

    /// How many pods there may be in all.
    pub(crate) fn most(self) -> i32 {
        self.wanted.saturating_add(self.surge)
    }

    /// How many pods must be available.
    pub(crate) fn least(self) -> i32 {
        self.wanted - self.unavailable
    }

    /// What the set of the new template is to want, when the sets want `all` together.
    pub(crate) fn new_size(self, new: i32, all: i32) -> i32 {
        if new >= self.wanted {
            return self.wanted;
        }
        let room = (self.most() - all).max(0);
        new + room.min(self.wanted - new)
    }

    /// What the old sets are to want, the oldest first.
    pub(crate) fn old_sizes(self, new: Size, old: &[Size]) -> Vec<i32> {
        let mut sizes: Vec<i32> = old.iter().map(|size| size.wants).collect();
        let all = new.wants + sizes.iter().sum::<i32>();
        let mut room = all - self.least() - (new.wants - new.available).max(0);
        if room <= 0 {
            return sizes;
        }
        for (size, set) in sizes.iter_mut().zip(old) {
            let broken = (set.wants - set.available).clamp(0, room);
            *size -= broken;
            room -= broken;
        }
        // A status that lags behind may count pods that are wanted no more.
        let counted = sizes.iter().zip(old).map(|(size, set)| set.available.min(*size));
        let available = new.available.min(new.wants) + counted.sum::<i32>();
        let mut room = available - self.least();
        for size in &mut sizes {
            let given = (*size).clamp(0, room.max(0));
            *size -= given;
            room -= given;
        }
        sizes
    }
}
