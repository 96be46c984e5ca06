//! The types of secret values: tokens, the app's secret, ciphers and states. They have no `Debug`, `Display`, `Clone`,
//! `PartialEq` or `Serialize`, and are zeroed on drop. In the component, the allocator zeroes them when they are freed
//! (the feature `zeroing-allocator`).

use alloc::string::String;
use alloc::vec::Vec;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// A text that is zeroed on drop. The destructor is not inlined, so that the component contains its code only once.
struct Text(String);

impl Text {
    fn same_as(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Drop for Text {
    #[inline(never)]
    fn drop(&mut self) {
        zero(&mut self.0);
    }
}

/// Zeroes a value that is about to be freed, unless the allocator does it. Only the component brings such an allocator, so
/// the feature has no effect on other targets.
fn zero(value: &mut impl Zeroize) {
    if !cfg!(all(feature = "zeroing-allocator", target_arch = "wasm32", target_os = "unknown")) {
        value.zeroize();
    }
}

/// Bytes that hold secrets, such as a stored record or the input of a signature. They are zeroed on drop.
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes ownership of the bytes. Reserve the whole buffer before you write the secret into it: a buffer that grows
    /// leaves copies of the secret in memory.
    #[must_use]
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for SecretBytes {
    #[inline(never)]
    fn drop(&mut self) {
        zero(&mut self.0);
    }
}

macro_rules! secrets {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        pub struct $name(Text);

        impl $name {
            /// Takes ownership of the text. The text is zeroed on drop.
            #[must_use]
            pub fn new(text: String) -> Self {
                Self(Text(text))
            }

            /// Returns the text. Every caller is a place where the secret could leak.
            #[must_use]
            pub fn expose(&self) -> &str {
                &self.0.0
            }

            /// Compares the two secrets in a time that depends only on their lengths.
            #[must_use]
            pub fn same_as(&self, other: &Self) -> bool {
                self.0.same_as(&other.0)
            }

            /// Copies the secret. The type does not implement `Clone`, so that every copy is visible in the code.
            #[must_use]
            pub fn duplicate(&self) -> Self {
                Self(Text(self.0.0.clone()))
            }
        }
    )*};
}

secrets! {
    /// The token that authenticates calls. It is sent to TikTok's API server in the header `x-tts-access-token` and
    /// nowhere else.
    AccessToken;
    /// The app's secret. It signs requests and is sent to TikTok's token server.
    AppSecret;
    /// The code of a consent. It can be used once, within 30 minutes, and is never stored.
    AuthorizationCode;
    /// The path and the query of a request. They are secret, because TikTok requires the app secret and tokens in them.
    RequestTarget;
    /// The token that a refresh exchanges for the next pair. It is sent to TikTok's token server only.
    RefreshToken;
    /// The value that identifies the shop in a call to TikTok. It is treated as a secret and never put into an error.
    /// It is stored in the row.
    ShopCipher;
    /// The random text that binds a callback to the person who started the consent.
    State;
}
