//! What may be written about loop files: the name of their driver.

/// The driver whose volumes are files in pools of nodes.
pub const DRIVER: &str = "loop.orlop.dev";
