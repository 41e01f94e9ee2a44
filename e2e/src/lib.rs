//! Cluster harness, fault plans, end-to-end tests, benchmarks.
