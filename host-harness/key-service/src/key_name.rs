//! Builds the names of the keys in the service, and the ids of host keys.
//!
//! The name of a tenant's key consists of the prefix, a dot and the tenant's part. The tenant's part contains the
//! letters, digits and `-` of the tenant's id unchanged. Every other byte of the id, and a `-` at its end, becomes `_`
//! and two hexadecimal digits. So two tenants never have the same name. If the tenant's part would be longer than 128
//! characters, it is `_sha256_` and the SHA-256 of the tenant's id instead. A service that stores its keys in files
//! does not allow longer names.
//!
//! The id of a host key consists of the name of the key, `:v` and the version of the key, for example
//! `tiktok-shop.acme:v3`.

use sha2::{Digest as _, Sha256};
use tiktok_shop_host::{HostKeyId, TenantId};

/// The maximum length of the prefix.
const MAX_PREFIX: usize = 64;
/// The maximum length of the tenant's part of a name.
const MAX_TENANT: usize = 128;

/// The first part of the name of each key.
#[derive(Debug, Clone)]
pub(crate) struct Prefix(String);

impl Prefix {
    /// Returns the prefix. Returns `None` if the text does not have the form that
    /// [`Options::prefix`](crate::Options::prefix) requires.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let is_valid = (1..=MAX_PREFIX).contains(&text.len())
            && text.bytes().all(|byte| is_word(byte) || byte == b'-')
            && text.bytes().next().is_some_and(is_word);
        is_valid.then(|| Self(text.to_owned()))
    }

    /// Returns the name of the tenant's key.
    pub(crate) fn key(&self, tenant: &TenantId) -> KeyName {
        KeyName(format!("{}.{}", self.0, encode(tenant.as_str())))
    }

    /// Returns the id that names all keys of this prefix together. No key has this id.
    pub(crate) fn all(&self) -> Option<HostKeyId> {
        format!("{}.*", self.0).parse().ok()
    }

    /// Returns whether this is the id of a host key with this prefix.
    pub(crate) fn owns(&self, id: &HostKeyId) -> bool {
        id.as_str().strip_prefix(&self.0).is_some_and(|rest| rest.starts_with('.')) && id.as_str().contains(":v")
    }
}

/// The name of a tenant's key in the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyName(String);

impl KeyName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the id of this version of the key.
    pub(crate) fn version(&self, version: u64) -> Option<HostKeyId> {
        format!("{}:v{version}", self.0).parse().ok()
    }

    /// Returns the version from the id of a host key. `None` if the id belongs to another key.
    pub(crate) fn version_of(&self, id: &HostKeyId) -> Option<u64> {
        id.as_str().strip_prefix(&self.0)?.strip_prefix(":v")?.parse().ok()
    }
}

fn encode(tenant: &str) -> String {
    let mut name = String::new();
    let last = tenant.len().saturating_sub(1);
    for (at, byte) in tenant.bytes().enumerate() {
        // The service does not allow `-` at the end of a name.
        if byte.is_ascii_alphanumeric() || (byte == b'-' && at != last) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("_{byte:02x}"));
        }
    }
    if name.len() > MAX_TENANT { format!("_sha256_{}", hex::encode(Sha256::digest(tenant))) } else { name }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_tenants_have_the_same_name_and_every_name_is_one_that_the_service_accepts() {
        let long = "x".repeat(129);
        let tenants =
            ["acme", "ACME", "acme-", "-acme", "acme_2d", "acme/x", "acme.x", "ac me", "é", "_sha256_", "..", &long];
        let names: BTreeSet<_> = tenants.iter().map(|tenant| encode(tenant)).collect();
        assert_eq!(names.len(), tenants.len());
        for name in names {
            assert!(name.len() <= MAX_TENANT, "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'), "{name}");
            assert!(!name.ends_with('-'), "{name}");
        }
        assert_eq!(encode("acme_eu-1"), "acme_5feu-1");
    }

    #[test]
    fn the_id_of_a_host_key_names_the_key_and_its_version() {
        let prefix = Prefix::parse("tiktok-shop").unwrap();
        let name = prefix.key(&"acme".parse().unwrap());
        let id = name.version(3).unwrap();
        assert_eq!(id.as_str(), "tiktok-shop.acme:v3");
        assert_eq!(name.version_of(&id), Some(3));
        assert_eq!(prefix.key(&"acm".parse().unwrap()).version_of(&id), None);
        assert!(prefix.owns(&id));
        assert!(!prefix.owns(&"host-0000000000000000".parse().unwrap()));
        assert!(!Prefix::parse("tiktok").unwrap().owns(&id), "a prefix does not own the keys of a longer prefix");
        for bad in ["", "a.b", "a/b", "-a", "é", &"a".repeat(65)] {
            assert!(Prefix::parse(bad).is_none(), "{bad}");
        }
    }
}
