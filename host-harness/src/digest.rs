//! Names under which a storage finds things again without learning what they stand for. Each is its own type and has 32 bytes,
//! however long the text behind it is.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::secret::Secret;

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// As it was stored.
            #[must_use]
            pub const fn new(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// To be stored.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("[digest]")
            }
        }
    };
}

digest! {
    /// SHA-256 of the state of a consent: the key that a storage finds it by.
    StateDigest
}

digest! {
    /// SHA-256 of what tells one webhook from another: its id, or its body where it has none.
    WebhookDigest
}

digest! {
    /// SHA-256 of the name of something that happens once to a connection.
    OnceDigest
}

impl StateDigest {
    /// Of a state.
    #[must_use]
    pub fn of(state: &Secret) -> Self {
        Self(sha256(state.expose()))
    }
}

impl WebhookDigest {
    pub(crate) fn of_id(id: &str) -> Self {
        Self(sha256(format!("id {id}")))
    }

    pub(crate) fn of_body(body: &[u8]) -> Self {
        Self(sha256([b"body ".as_slice(), body].concat()))
    }
}

impl OnceDigest {
    pub(crate) fn of(name: &str) -> Self {
        Self(sha256(name))
    }
}

pub(crate) fn sha256(text: impl AsRef<[u8]>) -> [u8; 32] {
    Sha256::digest(text).into()
}
