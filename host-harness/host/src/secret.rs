//! The type of a secret text, which must not reach a log.

use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// A secret text: an authorization code, the query of a callback, an OAuth state, a shop's cipher or an app secret.
/// `Debug` prints `[redacted]`, and there is no `Display`. How long a comparison of two secrets takes depends only on
/// their lengths.
///
/// Clones share one buffer, which is zeroed when the last clone is dropped.
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Returns the text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Arc::new(Zeroizing::new(text)))
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose().as_bytes().ct_eq(other.expose().as_bytes()).into()
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
    fn two_secrets_are_equal_only_if_every_byte_is_equal() {
        let secret = Secret::from("s3cret");
        assert_eq!(secret, Secret::from("s3cret".to_owned()));
        for other in ["", "s3cre", "s3crets", "S3cret", "s3creT"] {
            assert_ne!(secret, Secret::from(other), "{other}");
        }
    }

    #[test]
    fn a_clone_shares_the_buffer_of_its_secret() {
        let secret = Secret::from("s3cret");
        assert_eq!(secret.clone().expose().as_ptr(), secret.expose().as_ptr());
    }
}
