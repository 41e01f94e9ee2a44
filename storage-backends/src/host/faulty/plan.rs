//! Fault plans as text. Rules are joined by `;`, and are one of
//!
//! - `crash before N`, `crash after N`: N counts effects from 1;
//! - `NAME: STEP, STEP, …` with STEP = `off`, `error(ERRNO)` or `COUNT*STEP`: what the calls of that name do, in
//!   their order; after the last step they work.

use std::{collections::BTreeMap, str::FromStr};

use nix::libc;

/// What goes wrong and when. Empty: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    before: Option<usize>,
    after: Option<usize>,
    /// Per call, in order: the errno it fails with, or `None`.
    calls: BTreeMap<String, Vec<Option<i32>>>,
}

/// A plan that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fault plan: {0:?} is not understood")]
pub struct PlanError(String);

impl Plan {
    /// Dies instead of carrying out this effect, counted from 1.
    pub fn crash_before(effect: usize) -> Self {
        Self { before: Some(effect), ..Self::default() }
    }

    /// Dies after this effect, counted from 1.
    pub fn crash_after(effect: usize) -> Self {
        Self { after: Some(effect), ..Self::default() }
    }

    pub(super) fn before(&self) -> Option<usize> {
        self.before
    }

    pub(super) fn after(&self) -> Option<usize> {
        self.after
    }

    /// With what the call of that name and number, counted from 0, fails.
    pub(super) fn at(&self, name: &str, number: usize) -> Option<i32> {
        self.calls.get(name).and_then(|steps| steps.get(number).copied().flatten())
    }
}

impl FromStr for Plan {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        let mut plan = Self::default();
        for rule in text.split(';').map(str::trim).filter(|rule| !rule.is_empty()) {
            let wrong = || PlanError(rule.to_owned());
            if let Some(number) = rule.strip_prefix("crash before ") {
                plan.before = Some(number.trim().parse().map_err(|_| wrong())?);
            } else if let Some(number) = rule.strip_prefix("crash after ") {
                plan.after = Some(number.trim().parse().map_err(|_| wrong())?);
            } else {
                let (name, steps) = rule.split_once(':').ok_or_else(wrong)?;
                let mut calls = Vec::new();
                for step in steps.split(',') {
                    let (count, fault) =
                        parse_step(step.trim()).ok_or_else(|| PlanError(step.trim().to_owned()))?;
                    calls.extend(std::iter::repeat_n(fault, count));
                }
                plan.calls.insert(name.trim().to_owned(), calls);
            }
        }
        Ok(plan)
    }
}

/// How often, and with what.
fn parse_step(step: &str) -> Option<(usize, Option<i32>)> {
    let (count, fault) = match step.split_once('*') {
        Some((count, fault)) => (count.trim().parse().ok().filter(|&count| count <= 1000)?, fault.trim()),
        None => (1, step),
    };
    if fault == "off" {
        return Some((count, None));
    }
    let name = fault.strip_prefix("error(")?.strip_suffix(')')?;
    Some((count, Some(errno(name)?)))
}

fn errno(name: &str) -> Option<i32> {
    const KNOWN: [(&str, i32); 12] = [
        ("EBUSY", libc::EBUSY),
        ("EIO", libc::EIO),
        ("ENOSPC", libc::ENOSPC),
        ("EINVAL", libc::EINVAL),
        ("ENOENT", libc::ENOENT),
        ("EEXIST", libc::EEXIST),
        ("EPERM", libc::EPERM),
        ("EACCES", libc::EACCES),
        ("ENXIO", libc::ENXIO),
        ("ENODEV", libc::ENODEV),
        ("EROFS", libc::EROFS),
        ("ENOMEM", libc::ENOMEM),
    ];
    KNOWN.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        let plan: Plan = "mount: off, 2*error(EBUSY); crash after 7 ;crash before 9;".parse().unwrap();
        assert_eq!((plan.before(), plan.after()), (Some(9), Some(7)));
        let steps: Vec<_> = (0..4).map(|number| plan.at("mount", number)).collect();
        assert_eq!(steps, [None, Some(libc::EBUSY), Some(libc::EBUSY), None]);
        assert_eq!(plan.at("unmount", 0), None);
        assert_eq!("".parse::<Plan>().unwrap(), Plan::default());
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, part) in [
            ("crash", "crash"),
            ("crash before x", "crash before x"),
            ("mount: sometimes", "sometimes"),
            ("mount: off, error(EWHAT)", "error(EWHAT)"),
            ("mount: x*off", "x*off"),
        ] {
            assert_eq!(text.parse::<Plan>(), Err(PlanError(part.into())));
        }
    }
}
