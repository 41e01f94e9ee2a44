//! The plan of a death, as text and as data.

use std::{fmt, str::FromStr, time::Duration};

use anyhow::{Context, bail};

/// When a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Instead of the effect.
    Before,
    /// When it is done.
    After,
    /// So long after it began, whether it is done or not.
    During(Duration),
}

/// Where a process dies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// When.
    pub moment: Moment,
    /// At which kind of effect: `mount(bind)`; `*` for any.
    pub kind: String,
    /// At which of this kind, from 1.
    pub number: usize,
}

impl Plan {
    /// Whether it is this effect: the `number`th of its kind, the `all`th of any.
    pub fn is_at(&self, kind: &str, number: usize, all: usize) -> bool {
        match self.kind.as_str() {
            "*" => self.number == all,
            wanted => wanted == kind && self.number == number,
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.moment {
            Moment::Before => "before",
            Moment::After => "after",
            Moment::During(_) => "during",
        };
        write!(f, "{word} {} {}", self.kind, self.number)?;
        if let Moment::During(time) = self.moment {
            write!(f, " {}", time.as_millis())?;
        }
        Ok(())
    }
}

impl FromStr for Plan {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (moment, kind, number) = match words.as_slice() {
            ["before", kind, number] => (Moment::Before, kind, number),
            ["after", kind, number] => (Moment::After, kind, number),
            ["during", kind, number, ms] => {
                (Moment::During(Duration::from_millis(ms.parse()?)), kind, number)
            }
            _ => bail!("{text:?} is no plan like `after mount(bind) 1`"),
        };
        Ok(Self { moment, kind: (*kind).to_owned(), number: number.parse()? })
    }
}

/// An effect that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Its kind.
    pub kind: String,
    /// Which of this kind, from 1.
    pub number: usize,
    /// What it was done to.
    pub object: String,
}

impl FromStr for Effect {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        let mut parts = line.splitn(3, ' ');
        let mut next = || parts.next().with_context(|| format!("{line:?} is no record of an effect"));
        Ok(Self { kind: next()?.to_owned(), number: next()?.parse()?, object: next()?.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_read_as_they_are_written() {
        for text in ["before create 1", "after mount(bind) 2", "during make_filesystem 1 30"] {
            assert_eq!(text.parse::<Plan>().unwrap().to_string(), text);
        }
        for text in ["", "before create", "at create 1", "after create one", "during create 1"] {
            assert!(text.parse::<Plan>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_effect_is_the_planned_one_by_kind_or_by_order() {
        let plan = |text: &str| text.parse::<Plan>().unwrap();
        assert!(plan("before create 2").is_at("create", 2, 9));
        assert!(!plan("before create 2").is_at("create", 1, 2));
        assert!(!plan("before create 2").is_at("start", 2, 2));
        assert!(plan("after * 9").is_at("create", 2, 9));
        assert!(!plan("after * 9").is_at("create", 9, 2));
    }

    #[test]
    fn effects_are_read_with_blanks_in_their_objects() {
        let effect: Effect = "rename 3 /a b/c".parse().unwrap();
        assert_eq!(effect, Effect { kind: "rename".into(), number: 3, object: "/a b/c".into() });
        assert!("rename x /a".parse::<Effect>().is_err());
    }
}
