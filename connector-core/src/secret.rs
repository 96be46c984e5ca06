//! Values that must not be seen: no `Debug`, `Display`, `Clone`, `PartialEq` or `Serialize`, zeroed on drop.

use alloc::string::String;
use alloc::vec::Vec;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// Zeroed on drop, out of line: one copy of the code for every place where a secret ends.
struct Text(String);

impl Text {
    fn same_as(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Drop for Text {
    #[inline(never)]
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Bytes that hold secrets: a stored record, the input of a signature. Zeroed on drop.
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes ownership. A buffer that grew while it was written has left copies behind: reserve first.
    #[must_use]
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes themselves.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for SecretBytes {
    #[inline(never)]
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

macro_rules! secrets {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        pub struct $name(Text);

        impl $name {
            /// Takes ownership; the text is zeroed when this is dropped.
            #[must_use]
            pub fn new(text: String) -> Self {
                Self(Text(text))
            }

            /// The text itself. Every caller is a place where the secret could get out.
            #[must_use]
            pub fn expose(&self) -> &str {
                &self.0.0
            }

            /// Whether both are the same, in time that depends on their lengths only.
            #[must_use]
            pub fn same_as(&self, other: &Self) -> bool {
                self.0.same_as(&other.0)
            }

            /// A second copy. Deliberately not `Clone`, so that each copy stands visibly in the code.
            #[must_use]
            pub fn duplicate(&self) -> Self {
                Self(Text(self.0.0.clone()))
            }
        }
    )*};
}

secrets! {
    /// Goes to the API host in the header `x-tts-access-token`, nowhere else.
    AccessToken;
    /// The app's secret: into a signature, or to the token host.
    AppSecret;
    /// The consent's code: works once, for 30 minutes. Never stored.
    AuthorizationCode;
    /// Path and query of a request: TikTok wants the app secret and tokens there.
    RequestTarget;
    /// Buys the next pair. Spent at the token host only.
    RefreshToken;
    /// Which shop a call is for. Secret-like: kept in the row, never in an error.
    ShopCipher;
    /// What binds a callback to the person who started the consent.
    State;
}
