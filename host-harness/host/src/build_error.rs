//! Why a host could not be built.

use tiktok_shop_private_file::PrivateFileError;

use crate::component::ComponentDigest;
use crate::deadlines::DeadlinesError;

/// Why a host could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A required part is missing.
    #[error("no {0} given")]
    Missing(&'static str),
    /// The deadlines contradict each other, or they break the contract between guest and host.
    #[error("deadlines do not fit")]
    Deadlines(#[from] DeadlinesError),
    /// A limit is zero, so no call could run.
    #[error("the limit `{0}` is zero")]
    ZeroLimit(&'static str),
    /// The component's file could not be read, or another user can change or replace it.
    #[error("component {0}")]
    Unreadable(PrivateFileError),
    /// The SHA-256 of the component is not the pinned SHA-256.
    #[error(
        "not the pinned component: its SHA-256 is {found}, and the pinned SHA-256 is {pinned}; give the host the pinned component, or pin this one"
    )]
    OtherComponent {
        /// The pinned digest.
        pinned: ComponentDigest,
        /// The digest of the component that was given.
        found: ComponentDigest,
    },
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

impl BuildError {
    /// Checks that the digest of a component equals the pinned digest. If no digest is pinned, every digest is accepted.
    ///
    /// # Errors
    /// [`BuildError::OtherComponent`].
    pub(crate) fn check_digest(found: ComponentDigest, pinned: Option<ComponentDigest>) -> Result<(), Self> {
        match pinned {
            Some(pinned) if pinned != found => Err(Self::OtherComponent { pinned, found }),
            Some(_) | None => Ok(()),
        }
    }
}
