//! Seals the tokens of an install from TikTok's App Store that nobody has confirmed yet.
//!
//! The key is derived from the secret of the browser session in which the install began. The host does not keep this
//! secret, and the storage keeps only its digest. So a reader of the storage can't open a pending install, and another
//! browser session can't, either. The tenant's data keys play no part: a rotation need not seal pending installs again.

use std::io;

use tiktok_shop_connector_core::signing::hmac_sha256;
use zeroize::Zeroizing;

use super::aead::{DataKey, Nonce, decrypt, encode_associated_data, encrypt_with};
use crate::id::TenantId;
use crate::randomness::Randomness;
use crate::secret::Secret;

/// Returns the name of a pending install: 64 hexadecimal digits. It depends on the tenant, the session and the code. So
/// the same callback in the same session finds the same install again, and nobody without the secret of the session
/// can calculate the name, not even the person who has chosen the code.
pub(crate) fn name_of_install(tenant: &TenantId, session: &Secret, code: &str) -> Secret {
    hex::encode(keyed_digest(session, &encode_associated_data("install-name", &[tenant.as_str(), code]))).into()
}

/// Seals and opens one pending install.
pub(crate) struct InstallSeal {
    key: DataKey,
    place: Vec<u8>,
    /// Drawn before the code of the install is spent, so that sealing can't fail afterwards for lack of randomness.
    nonce: Nonce,
}

impl InstallSeal {
    /// Derives the key of an install. `name` is the result of [`name_of_install`].
    ///
    /// # Errors
    /// The source of randomness failed.
    pub(crate) fn new(
        tenant: &TenantId,
        session: &Secret,
        name: &Secret,
        randomness: &dyn Randomness,
    ) -> io::Result<Self> {
        Ok(Self { key: key(session, name), place: place(tenant, name), nonce: Nonce::draw(randomness)? })
    }

    /// Seals the content of the install.
    ///
    /// # Errors
    /// The content is longer than the AEAD accepts (256 GiB).
    pub(crate) fn seal(self, clear: &[u8]) -> io::Result<Vec<u8>> {
        encrypt_with(&self.key, &self.place, clear, &self.nonce)
    }

    /// Opens the content of an install. Returns `None` if it was sealed for another tenant, session or install, or if
    /// it was changed.
    pub(crate) fn open(
        tenant: &TenantId,
        session: &Secret,
        name: &Secret,
        sealed: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        decrypt(&key(session, name), &place(tenant, name), sealed)
    }
}

fn key(session: &Secret, name: &Secret) -> DataKey {
    DataKey::new(keyed_digest(session, &encode_associated_data("install-key", &[name.expose()])))
}

fn place(tenant: &TenantId, name: &Secret) -> Vec<u8> {
    encode_associated_data("install", &[tenant.as_str(), name.expose()])
}

/// Returns the HMAC-SHA256 of a text, with the secret of the session as its key.
fn keyed_digest(session: &Secret, text: &[u8]) -> [u8; 32] {
    hmac_sha256(session.expose().as_bytes(), &[text])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::randomness::SystemRandomness;

    const CLEAR: &[u8] = b"the tokens";

    fn tenant(name: &str) -> TenantId {
        name.parse().unwrap()
    }

    fn sealed(session: &Secret, name: &Secret) -> Vec<u8> {
        InstallSeal::new(&tenant("acme"), session, name, &SystemRandomness).unwrap().seal(CLEAR).unwrap()
    }

    #[test]
    fn only_the_same_session_tenant_and_install_open_a_pending_install() {
        let (session, name) = (Secret::from("the session of alice"), Secret::from("name"));
        let sealed = sealed(&session, &name);
        let open = |tenant_name: &str, session: &str, name: &str| {
            InstallSeal::open(&tenant(tenant_name), &session.into(), &name.into(), &sealed)
        };
        assert_eq!(open("acme", "the session of alice", "name").as_deref().map(Vec::as_slice), Some(CLEAR));
        assert_eq!(open("other", "the session of alice", "name"), None);
        assert_eq!(open("acme", "the session of mallory", "name"), None);
        assert_eq!(open("acme", "the session of alice", "name2"), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(InstallSeal::open(&tenant("acme"), &session, &name, &changed), None, "{at}");
        }
    }

    #[test]
    fn the_name_of_an_install_depends_on_tenant_session_and_code() {
        let name = |tenant_name: &str, session: &str, code: &str| {
            name_of_install(&tenant(tenant_name), &session.into(), code).expose().to_owned()
        };
        let first = name("acme", "the session of alice", "code");
        assert_eq!((first.len(), first.as_str()), (64, name("acme", "the session of alice", "code").as_str()));
        for other in [
            name("acme2", "the session of alice", "code"),
            name("acme", "the session of bob", "code"),
            name("acme", "the session of alice", "code2"),
        ] {
            assert_ne!(other, first);
        }
    }

    /// A stored install must open after an update of the host. So neither the key nor the form may change.
    #[test]
    fn a_pending_install_of_this_version_opens() {
        let (session, name) = (Secret::from("0123456789abcdef"), Secret::from("00"));
        assert_eq!(
            hex::encode(key(&session, &name).expose()),
            "9dd8eeae9cd0292f6d9fe9ee25be9769598526ebfdfbf836566a93cd6ec17f4a"
        );
        assert_eq!(
            name_of_install(&tenant("acme"), &session, "code").expose(),
            "af6db2f9f0adfab0f7c63f5df4f6e68b50bb7a3eae302e89c12025b9c273e096"
        );
    }
}
