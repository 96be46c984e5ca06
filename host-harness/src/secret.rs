//! A text that no log may hold.

use std::fmt;

/// An authorization code, the query of a callback, an OAuth state, a shop's cipher or an app secret. `Debug` prints
/// `[redacted]`, and there is no `Display`.
///
/// Equality is not constant-time: compare what an outsider sent by other means.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
