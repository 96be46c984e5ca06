//! The type of the tokens of an install from TikTok's App Store that nobody has confirmed yet.

use std::fmt;

use zeroize::Zeroizing;

/// The tokens of a pending install, in the connector's own form. They are zeroed on drop, and `Debug` does not show
/// them.
pub struct InstallTokens(Zeroizing<Vec<u8>>);

impl InstallTokens {
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for InstallTokens {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for InstallTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
