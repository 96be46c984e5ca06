//! Identifiers. Each is its own type, so that two of them cannot be swapped unseen, and each compares byte for byte:
//! nothing is trimmed, folded or joined with a separator.

use std::fmt;
use std::str::FromStr;

use crate::randomness::Randomness;

/// Why a text is not an identifier. Carries the rule, never the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {rule}")]
pub struct InvalidId {
    what: &'static str,
    rule: &'static str,
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                match $check(&text) {
                    Ok(()) => Ok(Self(text)),
                    Err(rule) => Err(InvalidId { what: $what, rule }),
                }
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

identifier! {
    /// One tenant of the platform: one TikTok app, one space of data. Named by the host's own context, never by the
    /// guest. 1 to 256 bytes of UTF-8.
    TenantId, "tenant id", opaque
}

identifier! {
    /// The platform's own identifier of its customer. 1 to 256 bytes of UTF-8.
    CustomerId, "customer id", opaque
}

identifier! {
    /// TikTok's `open_id`: the seller account that consented, for one app. Opaque, 1 to 256 bytes of UTF-8.
    AccountId, "account id", opaque
}

identifier! {
    /// TikTok's shop id: 1 to 19 digits, as text.
    ShopId, "shop id", digits
}

identifier! {
    /// Names one write of one record. Opaque, 1 to 64 bytes, compared for equality only, never issued twice for a key.
    Revision, "revision", revision
}

impl Revision {
    /// Draws a revision: 128 random bits in hexadecimal, so that none is ever issued twice, not after deletion,
    /// restore or fail-over.
    ///
    /// # Errors
    /// The source of randomness failed.
    pub fn draw(randomness: &dyn Randomness) -> std::io::Result<Self> {
        let mut bits = [0; 16];
        randomness.fill(&mut bits)?;
        Ok(Self(format!("{:032x}", u128::from_be_bytes(bits))))
    }
}

fn opaque(text: &str) -> Result<(), &'static str> {
    if (1..=256).contains(&text.len()) { Ok(()) } else { Err("1 to 256 bytes") }
}

fn digits(text: &str) -> Result<(), &'static str> {
    if (1..=19).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(())
    } else {
        Err("1 to 19 digits")
    }
}

fn revision(text: &str) -> Result<(), &'static str> {
    if (1..=64).contains(&text.len()) { Ok(()) } else { Err("1 to 64 bytes") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_1_to_256_bytes_not_characters() {
        assert_eq!("".parse::<TenantId>().unwrap_err().to_string(), "tenant id: 1 to 256 bytes");
        assert_eq!("é".repeat(128).parse::<CustomerId>().unwrap().as_str().len(), 256);
        assert_eq!("é".repeat(129).parse::<AccountId>().unwrap_err().to_string(), "account id: 1 to 256 bytes");
    }

    #[test]
    fn a_shop_id_is_up_to_19_digits() {
        assert_eq!("7495929172636467189".parse::<ShopId>().unwrap().as_str(), "7495929172636467189");
        for text in ["", "74959291726364671890", "-1", "1e3", "٣"] {
            assert_eq!(text.parse::<ShopId>().unwrap_err().to_string(), "shop id: 1 to 19 digits", "{text:?}");
        }
    }

    #[test]
    fn a_revision_is_the_drawn_bits_in_hexadecimal() {
        struct Ones;
        impl Randomness for Ones {
            fn fill(&self, bytes: &mut [u8]) -> std::io::Result<()> {
                bytes.fill(1);
                Ok(())
            }
        }
        assert_eq!(Revision::draw(&Ones).unwrap().as_str(), "01010101010101010101010101010101");
    }
}
