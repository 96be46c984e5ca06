//! Why a host could not be built.

use std::io;

use crate::deadlines::DeadlinesError;

/// Why a host could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A required part is missing.
    #[error("no {0} given")]
    Missing(&'static str),
    /// The deadlines do not fit together, or do not fit the contract.
    #[error("deadlines do not fit")]
    Deadlines(#[from] DeadlinesError),
    /// A limit is zero, so no call could run.
    #[error("the limit `{0}` is zero")]
    ZeroLimit(&'static str),
    /// The component's file could not be read.
    #[error("component not readable")]
    Unreadable(#[source] io::Error),
    /// The component is larger than [`Limits::component_bytes`](crate::limits::Limits::component_bytes).
    #[error("component larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The engine does not accept the bytes as a component.
    #[error("not a component: {0}")]
    NotAComponent(String),
    /// The component imports something that no host offers to a connector: a file system, sockets or an environment.
    #[error("import not offered: {0}")]
    ImportNotOffered(String),
    /// The component does not export the interface of the contract.
    #[error("not a connector: {0}")]
    NotAConnector(String),
    /// The engine, its ticker or TLS could not be set up on this machine.
    #[error("engine not available: {0}")]
    Engine(String),
}
