//! Contains no code. Its dependencies have all features that any package or test of the workspace needs.
//!
//! cargo compiles a crate anew for each set of features. Without this package, a command that builds the whole workspace
//! without its tests, a command with the tests, and maturin would each have other features of tokio, serde and others, and
//! would compile these crates and everything that depends on them again. That took about ten minutes on two processors.
//!
//! To see whether two commands share all crates, compare the features in the output of `cargo build --unit-graph` (an
//! unstable option of cargo) for both.
