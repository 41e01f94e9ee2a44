//! How a store on disk is opened.

/// What the barrier of every commit does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// A real `fdatasync`: what is acknowledged outlives a power cut.
    #[default]
    Data,
    /// None. For the test which shows that the power-cut test notices when the barrier is missing; never otherwise.
    None,
}

/// How a store on disk is opened.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Names the schema that stored objects follow: a hash, compared for equality.
    pub schema: String,
    /// What the barrier of every commit does.
    pub sync: Sync,
}
