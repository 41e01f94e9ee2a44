//! Controllers: view, decide, apply.
