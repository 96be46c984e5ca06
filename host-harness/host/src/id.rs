//! The types of the identifiers of tenants, customers, accounts, shops, revisions and keys. Each kind has a type of its
//! own, so that two kinds can't be confused. Ids are compared byte by byte. They are never trimmed, case-folded or
//! joined with a separator.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::randomness::{Randomness, random_bits};

/// The error for a text that is not a valid identifier. It contains the rule that the text breaks, but not the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {rule}")]
pub struct InvalidId {
    what: &'static str,
    rule: &'static str,
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Returns the identifier as text.
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
    /// A tenant of the platform, with its own TikTok apps and its own data. The caller of the host chooses the tenant
    /// of a call; the guest can't. 1 to 256 bytes of UTF-8.
    TenantId, "tenant id", opaque
}

identifier! {
    /// A customer of the platform, identified by the platform's own id. 1 to 256 bytes of UTF-8.
    CustomerId, "customer id", opaque
}

identifier! {
    /// A seller account that has consented, identified by TikTok's `open_id`. An `open_id` belongs to one app. Opaque,
    /// 1 to 256 bytes of UTF-8.
    AccountId, "account id", opaque
}

identifier! {
    /// TikTok's key of an app of a tenant: the "App Key" of Partner Center. It is not secret. 1 to 64 bytes.
    AppKey, "app key", revision
}

identifier! {
    /// A shop, identified by TikTok's shop id. 1 to 19 digits, as text.
    ShopId, "shop id", digits
}

identifier! {
    /// Identifies one write of one record. Opaque, 1 to 64 bytes. Revisions are only compared for equality. No revision
    /// is issued twice.
    Revision, "revision", revision
}

identifier! {
    /// The id of a data key of a tenant. Opaque, 1 to 64 bytes. The host draws 128 random bits for each key id.
    KeyId, "key id", revision
}

identifier! {
    /// The id of a host key. A host key wraps data keys, and is kept in a key service or a key file. The id has 1 to
    /// 256 visible ASCII characters. It is not secret, and error texts contain it.
    HostKeyId, "host key id", visible
}

identifier! {
    /// Who calls the host: a user of the platform, a support agent or a service, identified by a name that the platform
    /// chooses. The name is written into events and logs, so it must not be a secret. 1 to 256 bytes of printable text.
    Actor, "actor", printable
}

identifier! {
    /// Why an actor calls the host, for example the number of a support case. It is written into events, so it must not
    /// contain a secret. 1 to 256 bytes of printable text.
    StatedReason, "reason", printable
}

impl KeyId {
    /// # Errors
    /// The source of randomness failed.
    pub(crate) fn draw(randomness: &dyn Randomness) -> std::io::Result<Self> {
        Ok(Self(format!("{:032x}", random_bits(randomness)?)))
    }
}

impl HostKeyId {
    /// # Errors
    /// The source of randomness failed.
    pub(crate) fn draw(randomness: &dyn Randomness) -> std::io::Result<Self> {
        Ok(Self(format!("host-{:016x}", random_bits(randomness)? >> 64)))
    }
}

/// Issues the revisions of one call. Each revision consists of 128 random bits, which are the same for the whole call,
/// and a counter. No revision is ever issued twice, even after a deletion, a restore or a failover. The random bits
/// are drawn before the call, so saving the received tokens cannot fail for lack of randomness.
#[derive(Debug)]
pub(crate) struct Revisions {
    call: u128,
    issued: u64,
}

impl Revisions {
    /// # Errors
    /// The source of randomness failed.
    pub(crate) fn draw(randomness: &dyn Randomness) -> std::io::Result<Self> {
        Ok(Self { call: random_bits(randomness)?, issued: 0 })
    }

    pub(crate) fn issue(&mut self) -> Revision {
        self.issued += 1;
        Revision(format!("{:032x}-{}", self.call, self.issued))
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

fn visible(text: &str) -> Result<(), &'static str> {
    if (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err("1 to 256 visible ASCII characters")
    }
}

/// Accepts a text of one line. Refuses control characters, and the listed characters, which are invisible or change the
/// direction of the text. A reader could take a text with such a character for another text.
fn printable(text: &str) -> Result<(), &'static str> {
    opaque(text)?;
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    if text.contains(is_hidden) { Err("printable characters only") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    #[test]
    fn an_id_has_1_to_256_bytes() {
        assert_eq!("".parse::<TenantId>().unwrap_err().to_string(), "tenant id: 1 to 256 bytes");
        assert_eq!("é".repeat(128).parse::<CustomerId>().unwrap().as_str().len(), 256);
        assert_eq!("é".repeat(129).parse::<AccountId>().unwrap_err().to_string(), "account id: 1 to 256 bytes");
    }

    #[test]
    fn a_shop_id_has_1_to_19_digits() {
        assert_eq!("7495929172636467189".parse::<ShopId>().unwrap().as_str(), "7495929172636467189");
        for text in ["", "74959291726364671890", "-1", "1e3", "٣"] {
            assert_eq!(text.parse::<ShopId>().unwrap_err().to_string(), "shop id: 1 to 19 digits", "{text:?}");
        }
    }

    #[test]
    fn an_actor_and_a_reason_are_printable_text_of_1_to_256_bytes() {
        for text in ["ana@platform.example", "Zoë, 支持团队", "می\u{200c}خواهم", "a", &"x".repeat(256)] {
            assert_eq!(text.parse::<Actor>().unwrap().as_str(), text);
            assert_eq!(text.parse::<StatedReason>().unwrap().as_str(), text);
        }
        for text in ["", &"x".repeat(257)] {
            assert_eq!(text.parse::<Actor>().unwrap_err().to_string(), "actor: 1 to 256 bytes");
        }
        for text in ["a\nb", "\0", "\u{1b}[2J", "a\u{202e}b", "\u{200b}", "\u{feff}a", "\u{2028}"] {
            assert_eq!(text.parse::<Actor>().unwrap_err().to_string(), "actor: printable characters only", "{text:?}");
            assert_eq!(text.parse::<StatedReason>().unwrap_err().to_string(), "reason: printable characters only");
        }
    }

    /// A source of randomness that returns different bytes at each call. The number says how many calls still succeed.
    struct Limited(AtomicU8);

    impl Randomness for Limited {
        fn fill(&self, bytes: &mut [u8]) -> std::io::Result<()> {
            let left = self.0.load(Ordering::Relaxed).checked_sub(1).ok_or(std::io::ErrorKind::Other)?;
            self.0.store(left, Ordering::Relaxed);
            bytes.fill(left);
            Ok(())
        }
    }

    #[test]
    fn all_revisions_of_all_calls_differ() {
        let randomness = Limited(AtomicU8::new(2));
        let mut calls = [Revisions::draw(&randomness).unwrap(), Revisions::draw(&randomness).unwrap()];
        let issued: Vec<_> = calls.iter_mut().flat_map(|call| [call.issue(), call.issue()]).collect();
        let issued: Vec<_> = issued.iter().map(Revision::as_str).collect();
        assert_eq!(
            issued,
            [
                "01010101010101010101010101010101-1",
                "01010101010101010101010101010101-2",
                "00000000000000000000000000000000-1",
                "00000000000000000000000000000000-2",
            ]
        );
    }

    #[test]
    fn the_longest_revision_is_valid() {
        let mut last = Revisions { call: u128::MAX, issued: u64::MAX - 1 };
        assert_eq!(revision(last.issue().as_str()), Ok(()));
    }

    #[test]
    fn issuing_a_revision_needs_no_randomness() {
        let randomness = Limited(AtomicU8::new(1));
        let mut revisions = Revisions::draw(&randomness).unwrap();
        assert_eq!(Revisions::draw(&randomness).unwrap_err().kind(), std::io::ErrorKind::Other);
        assert_ne!(revisions.issue(), revisions.issue());
    }
}
