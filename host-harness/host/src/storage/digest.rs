//! SHA-256 digests of texts. A storage finds an entry by such a digest, and never gets the text. Each digest has 32
//! bytes.

use sha2::{Digest as _, Sha256};

/// Defines a type for one kind of digest. Each kind has its own type, so that two kinds can't be confused.
macro_rules! digest {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Wraps the bytes of a stored digest.
            #[must_use]
            pub const fn new(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            fn sha256(text: impl AsRef<[u8]>) -> Self {
                Self($crate::storage::digest::sha256(text))
            }

            /// Returns the bytes to store.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("[digest]")
            }
        }
    };
}

pub(super) use digest;

pub(super) fn sha256(text: impl AsRef<[u8]>) -> [u8; 32] {
    Sha256::digest(text).into()
}
