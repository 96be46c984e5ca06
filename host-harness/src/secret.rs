//! A text that no log may hold.

use std::fmt;

use subtle::ConstantTimeEq as _;

/// An authorization code, the query of a callback, an OAuth state, a shop's cipher or an app secret. `Debug` prints
/// `[redacted]`, and there is no `Display`. Comparing two takes time that depends on their lengths only.
#[derive(Clone)]
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

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_equal_if_all_of_them_is() {
        let secret = Secret::from("s3cret");
        assert_eq!(secret, Secret::from("s3cret".to_owned()));
        for other in ["", "s3cre", "s3crets", "S3cret", "s3creT"] {
            assert_ne!(secret, Secret::from(other), "{other}");
        }
    }
}
