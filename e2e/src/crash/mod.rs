//! Death at a chosen effect: what the wiring of [`orlop::main_on`] is given so that a test can kill Orlop exactly there.
//!
//! | variable | what it does |
//! |---|---|
//! | `ORLOP_EFFECTS=FILE` | appends a line `KIND NUMBER OBJECT` to FILE before each effect |
//! | `ORLOP_CRASH=before KIND NUMBER` | SIGKILL instead of that effect |
//! | `ORLOP_CRASH=after KIND NUMBER` | SIGKILL as soon as that effect is done |
//! | `ORLOP_CRASH=during KIND NUMBER MS` | SIGKILL so many milliseconds after it began |
//!
//! Effects are numbered per kind (or, with kind `*`, all of them), from 1, in the order in which one process begins them: the count of one kind does not
//! depend on how those of others fall between.

mod dying;
mod plan;

pub use dying::Dying;
pub use plan::{Effect, Moment, Plan};
