//! The API keys of the platform's tenants. The service knows only SHA-256 digests of the keys, so a reader of its
//! configuration can't use them. A key has 256 random bits, so its digest needs no salt.

use std::fmt;
use std::io;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};
use tiktok_shop_host::events::Actor;
use tiktok_shop_host::randomness::Randomness;
use tiktok_shop_host::{Secret, TenantId};

/// The beginning of every API key. Scanners for leaked secrets recognise a key by it.
const PREFIX: &str = "ttsk_";
/// The number of hexadecimal digits of the random part.
const RANDOM_DIGITS: usize = 64;
/// The number of hexadecimal digits of the checksum, which is the beginning of the SHA-256 of the random part.
const CHECKSUM_DIGITS: usize = 8;

/// A group of requests that an API key may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Begin connect sessions and installs, link shops, refresh, show shared connections, and disconnect.
    Connect,
    /// Read apps, connections, shops, events, and the deliveries and endpoints of webhooks.
    Read,
    /// Send signed calls to TikTok Shop's API.
    Call,
    /// Get access tokens.
    Token,
    /// Import and export tokens, send dead letters again, and test endpoints of webhooks.
    Admin,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 5] = [Self::Connect, Self::Read, Self::Call, Self::Token, Self::Admin];

    /// Returns the name of the scope in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Read => "read",
            Self::Call => "call",
            Self::Token => "token",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not the name of a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one of: connect, read, call, token, admin")]
pub struct UnknownScope;

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(UnknownScope)
    }
}

/// A new API key: `ttsk_`, 64 random hexadecimal digits, and 8 digits of a checksum. Show it once, and keep only its
/// digest.
#[derive(Debug, Clone)]
pub struct ApiKey(Secret);

impl ApiKey {
    /// Draws a new key.
    ///
    /// # Errors
    /// The source of randomness failed.
    pub fn draw(randomness: &dyn Randomness) -> io::Result<Self> {
        let mut bytes = [0; RANDOM_DIGITS / 2];
        randomness.fill(&mut bytes)?;
        let random = hex::encode(bytes);
        Ok(Self(format!("{PREFIX}{random}{}", checksum(&random)).into()))
    }

    /// Reads a key that a client has sent. `None` if the text does not have the form of a key, or if its checksum is
    /// wrong.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        let (random, sum) = rest.split_at_checked(RANDOM_DIGITS)?;
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_key = sum.len() == CHECKSUM_DIGITS && rest.bytes().all(is_digit) && sum == checksum(random);
        is_key.then(|| Self(text.into()))
    }

    /// Returns the text of the key.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Returns the digest of the key, for the configuration.
    #[must_use]
    pub fn digest(&self) -> ApiKeyDigest {
        ApiKeyDigest(Sha256::digest(self.expose().as_bytes()).into())
    }
}

fn checksum(random: &str) -> String {
    let mut digits = hex::encode(Sha256::digest(random.as_bytes()));
    digits.truncate(CHECKSUM_DIGITS);
    digits
}

/// The SHA-256 of an API key. It is not secret. Its text is 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiKeyDigest([u8; 32]);

impl ApiKeyDigest {
    /// Compares two digests. The time depends on neither of them.
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

/// The text is not the digest of an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 of 64 hexadecimal digits; api-keys create prints it")]
pub struct InvalidApiKeyDigest;

impl FromStr for ApiKeyDigest {
    type Err = InvalidApiKeyDigest;

    fn from_str(text: &str) -> Result<Self, InvalidApiKeyDigest> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidApiKeyDigest)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for ApiKeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A configured API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyEntry {
    /// The name of the key. Events name it as the actor.
    pub name: Actor,
    /// The tenant whose connections the key reaches.
    pub tenant: TenantId,
    /// The scopes of the key.
    pub scopes: Vec<Scope>,
    /// The digest of the key.
    pub digest: ApiKeyDigest,
}

/// The configured API keys. A tenant may have several, so that a new key can be given out before the old one ends.
#[derive(Debug, Clone, Default)]
pub struct ApiKeys(Vec<ApiKeyEntry>);

/// Two configured API keys can't be told apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DuplicateApiKey {
    /// Two keys have the same digest. It would not be clear which tenant and which scopes the key has.
    #[error("the API keys {0} and {1} have the same digest; remove one of them")]
    Digest(Actor, Actor),
    /// Two keys of a tenant have the same name. Events name the key as the actor, so it would not be clear which one it
    /// was.
    #[error(
        "the tenant {tenant} has an earlier API key with the name {name}; choose another name, because events name the \
         key by it"
    )]
    Name {
        /// The tenant of both keys.
        tenant: TenantId,
        /// The name of both keys.
        name: Actor,
        /// The place of the second key in the list, counted from 0.
        place: usize,
    },
}

impl ApiKeys {
    /// Checks the configured keys.
    ///
    /// # Errors
    /// Two entries have the same digest, or two entries of a tenant have the same name.
    pub fn new(entries: Vec<ApiKeyEntry>) -> Result<Self, DuplicateApiKey> {
        for (place, entry) in entries.iter().enumerate() {
            let ApiKeyEntry { name, tenant, digest, scopes: _ } = entry;
            for earlier in entries.iter().take(place) {
                if earlier.digest == *digest {
                    return Err(DuplicateApiKey::Digest(earlier.name.clone(), name.clone()));
                }
                if (&earlier.tenant, &earlier.name) == (tenant, name) {
                    return Err(DuplicateApiKey::Name { tenant: tenant.clone(), name: name.clone(), place });
                }
            }
        }
        Ok(Self(entries))
    }

    /// Returns the keys.
    pub fn entries(&self) -> impl Iterator<Item = &ApiKeyEntry> {
        self.0.iter()
    }

    /// Returns the place of the key among the entries. Compares the digest with that of every entry, so that the time
    /// does not show how far a guess has come.
    pub(crate) fn find(&self, key: &ApiKey) -> Option<usize> {
        let digest = key.digest();
        let mut found = None;
        for (place, entry) in self.0.iter().enumerate() {
            if bool::from(entry.digest.ct_eq(&digest)) {
                found = Some(place);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The SHA-256 of the 64 zeros begins with these digits. Computed with `sha256sum`.
    const ZEROS: &str = "ttsk_000000000000000000000000000000000000000000000000000000000000000060e05bd1";

    struct Zeros;

    impl Randomness for Zeros {
        fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
            bytes.fill(0);
            Ok(())
        }
    }

    fn entry(name: &str, key: &ApiKey) -> ApiKeyEntry {
        let (name, tenant) = (name.parse().unwrap(), "acme".parse().unwrap());
        ApiKeyEntry { name, tenant, scopes: vec![Scope::Read], digest: key.digest() }
    }

    #[test]
    fn a_key_has_a_prefix_256_random_bits_and_a_checksum() {
        let key = ApiKey::draw(&Zeros).unwrap();
        assert_eq!(key.expose(), ZEROS);
        assert_eq!(format!("{key:?}"), "ApiKey([redacted])");
        assert_eq!(ApiKey::parse(ZEROS).unwrap().digest(), key.digest());
        for wrong in [
            "",
            "ttsk_",
            &ZEROS[..ZEROS.len() - 1],
            &format!("{ZEROS}0"),
            &ZEROS.replace("60e0", "60e1"),
            &ZEROS.to_uppercase(),
            &ZEROS.replacen("ttsk", "ttsx", 1),
            "ttsk_\u{e9}",
        ] {
            assert!(ApiKey::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let digest = ApiKey::draw(&Zeros).unwrap().digest();
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for wrong in ["", "00", &"0".repeat(63), &"g".repeat(64)] {
            assert_eq!(wrong.parse::<ApiKeyDigest>(), Err(InvalidApiKeyDigest), "{wrong}");
        }
    }

    #[test]
    fn a_key_is_found_by_its_digest_and_a_digest_may_occur_once() {
        let (first, second) = (ApiKey(ZEROS.into()), ApiKey("another".into()));
        let keys = ApiKeys::new(vec![entry("first", &first), entry("second", &second)]).unwrap();
        assert_eq!((keys.find(&first), keys.find(&second)), (Some(0), Some(1)));
        assert_eq!(keys.find(&ApiKey("unknown".into())), None);
        let twice = ApiKeys::new(vec![entry("first", &first), entry("second", &second), entry("third", &first)]);
        let error = "the API keys first and third have the same digest; remove one of them";
        assert_eq!(twice.unwrap_err().to_string(), error);
    }

    #[test]
    fn two_keys_of_a_tenant_have_different_names() {
        let keys = ["1", "2", "3"].map(|key| ApiKey(key.into()));
        let mut entries = vec![entry("billing", &keys[0]), entry("other", &keys[1]), entry("billing", &keys[2])];
        let error = "the tenant acme has an earlier API key with the name billing; choose another name, because events \
                     name the key by it";
        let twice = ApiKeys::new(entries.clone()).unwrap_err();
        assert_eq!(twice.to_string(), error);
        assert!(matches!(twice, DuplicateApiKey::Name { place: 2, .. }), "{twice:?}");
        entries[2].tenant = "another".parse().unwrap();
        assert_eq!(ApiKeys::new(entries).unwrap().entries().count(), 3);
    }

    #[test]
    fn every_scope_parses_to_itself() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
        assert_eq!("Read".parse::<Scope>(), Err(UnknownScope));
    }
}
