//! Another number of pods in the middle of an update: each set gets its share of the difference, in Kubernetes' way. Pure.
//!
//! | active sets | new set | what they are to want |
//! |---|---|---|
//! | none | | the newest: all |
//! | one | | it: all |
//! | several | whole: as many as wanted, all available | the old ones: nothing |
//! | several | not whole | their share of `wanted + surge`; the largest gets what rounding leaves |

use super::rolling::Bounds;

/// One set's numbers, as far as sharing needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// What it wants.
    pub(crate) wants: i32,
    /// What it has that is available.
    pub(crate) available: i32,
    /// How many the deployment wanted when it was last changed.
    pub(crate) desired: Option<i32>,
    /// How many there could have been in all then.
    pub(crate) most: Option<i32>,
}

/// What each set is to want; `parts` are the oldest first, `new` is the one of the newest template.
pub(crate) fn sizes(
    parts: &[Part],
    new: Option<usize>,
    bounds: Bounds,
    told: i32,
    rolling: bool,
) -> Vec<i32> {
    let mut sizes: Vec<i32> = parts.iter().map(|part| part.wants).collect();
    let active: Vec<usize> = (0..parts.len()).filter(|n| parts[*n].wants > 0).collect();
    if let [] | [_] = active[..] {
        if let Some(one) = active.first().copied().or(new).or(parts.len().checked_sub(1)) {
            sizes[one] = bounds.wanted;
        }
        return sizes;
    }
    if new.is_some_and(|new| is_whole(&parts[new], bounds)) {
        active.iter().filter(|n| Some(**n) != new).for_each(|n| sizes[*n] = 0);
        return sizes;
    }
    if rolling {
        spread(parts, &active, bounds, told, &mut sizes);
    }
    sizes
}

fn is_whole(part: &Part, bounds: Bounds) -> bool {
    let wanted = bounds.wanted;
    part.wants == wanted && part.desired == Some(wanted) && part.available == wanted
}

fn spread(parts: &[Part], active: &[usize], bounds: Bounds, told: i32, sizes: &mut [i32]) {
    let all: i32 = active.iter().map(|n| parts[*n].wants).sum();
    let allowed = if bounds.wanted > 0 { bounds.most() } else { 0 };
    let add = allowed - all;
    let mut order = active.to_vec();
    // The largest first; of equal ones the newer when it grows, the older when it shrinks.
    if add > 0 {
        order.reverse();
    }
    order.sort_by_key(|n| std::cmp::Reverse(parts[*n].wants));
    let mut added = 0;
    for n in &order {
        let share = share(&parts[*n], bounds, told);
        let left = add - added;
        let share = if add > 0 { share.min(left).max(0) } else { share.max(left).min(0) };
        sizes[*n] += share;
        added += share;
    }
    if let Some(first) = order.first() {
        sizes[*first] = (sizes[*first] + add - added).max(0);
    }
}

/// The difference that falls to one set.
fn share(part: &Part, bounds: Bounds, told: i32) -> i32 {
    if bounds.wanted == 0 {
        return -part.wants;
    }
    let before = i64::from(part.most.unwrap_or(told).max(1));
    let (wants, now) = (i64::from(part.wants), i64::from(bounds.most()));
    // Half and more goes up.
    let size = (2 * wants * now + before) / (2 * before);
    i32::try_from(size).unwrap_or(i32::MAX) - part.wants
}
