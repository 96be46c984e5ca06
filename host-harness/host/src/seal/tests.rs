//! What is sealed opens at its own place and nowhere else; keys are found, changed and erased without losing a value.

mod host_keys;
mod keyring;
mod rotation;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::ManualClock;
use crate::connection::{Connection, Shop, ShopStanding};
use crate::id::ShopId;
use crate::randomness::SystemRandomness;
use crate::secret::Secret;
use crate::storage::{
    ConnectionStorage as _, HostStorage, KeyStorage as _, MemoryStorage, Next, Row, Sealed, StorageError,
    TokenStorage as _, TokenWrite,
};

fn tenant(id: &str) -> TenantId {
    id.parse().unwrap()
}

fn key(customer: &str, account: &str) -> ConnectionKey {
    ConnectionKey { customer: customer.parse().unwrap(), account: account.parse().unwrap() }
}

fn revision(text: &str) -> Revision {
    text.parse().unwrap()
}

fn memory() -> Arc<MemoryStorage> {
    Arc::new(MemoryStorage::new(Arc::new(ManualClock::at(Duration::ZERO))))
}

fn keyring(storage: &Arc<MemoryStorage>, keys: &HostKeys) -> Keyring {
    Keyring::new(Arc::clone(storage) as _, Arc::new(keys.clone()), Arc::new(SystemRandomness))
}

/// A storage with what is sealed in it, and the ring that does it.
async fn sealed(clear: &[u8]) -> (Keyring, Sealed) {
    let ring = keyring(&memory(), &HostKeys::draw().unwrap());
    let sealed = ring.seal_token(&tenant("t"), &key("c", "a"), &revision("r"), clear).await.unwrap();
    (ring, sealed)
}

const ELSEWHERE: &str = "it has been changed, or moved from another place";

fn does_not_open(outcome: Result<impl Sized, StorageError>) {
    match outcome {
        Err(StorageError::Refused(why)) => assert!(why.ends_with(ELSEWHERE), "{why}"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it opens"),
    }
}

#[tokio::test]
async fn a_value_opens_at_its_own_place_only() {
    let (ring, sealed) = sealed(b"record").await;
    let (t, k, r) = (tenant("t"), key("c", "a"), revision("r"));
    assert_eq!(**ring.open_token(&t, &k, &r, &sealed).await.unwrap(), *b"record");

    does_not_open(ring.open_token(&t, &key("C", "a"), &r, &sealed).await);
    does_not_open(ring.open_token(&t, &key("c", "b"), &r, &sealed).await);
    // The same bytes in a row, parted otherwise.
    does_not_open(ring.open_token(&t, &key("ca", "a"), &r, &sealed).await);
    does_not_open(ring.open_token(&t, &k, &revision("r2"), &sealed).await);
    let other_purpose = Place { tenant: &t, key: &k, purpose: Purpose::Ciphers, revision: &r };
    does_not_open(ring.open(&other_purpose, &sealed).await);
    let mut row = Row::new(Connection::new(key("c", "a")));
    row.ciphers = Some(sealed.clone());
    does_not_open(ring.open_row(&t, &r, row).await);

    // Another tenant has not even the key.
    let told = ring.open_token(&tenant("u"), &k, &r, &sealed).await.unwrap_err().to_string();
    let unknown = format!("storage refused: key-unavailable({}): the tenant has no key of that name", sealed.key());
    assert_eq!(told, unknown);
}

#[tokio::test]
async fn a_value_that_was_changed_anywhere_does_not_open() {
    let (ring, sealed) = sealed(b"record").await;
    let (t, k, r) = (tenant("t"), key("c", "a"), revision("r"));
    assert_eq!(sealed.bytes().len(), 1 + NONCE + b"record".len() + 16);
    for at in 0..sealed.bytes().len() {
        for bit in 0..8 {
            let mut bytes = sealed.bytes().to_vec();
            bytes[at] ^= 1 << bit;
            does_not_open(ring.open_token(&t, &k, &r, &Sealed::new(sealed.key().clone(), bytes)).await);
        }
    }
    for length in 0..sealed.bytes().len() {
        let bytes = sealed.bytes()[..length].to_vec();
        does_not_open(ring.open_token(&t, &k, &r, &Sealed::new(sealed.key().clone(), bytes)).await);
    }
}

/// Under another key of the same tenant, too, whose name is put beside it.
#[tokio::test]
async fn a_value_opens_under_its_own_key_only() {
    let (storage, keys) = (memory(), HostKeys::draw().unwrap());
    let ring = keyring(&storage, &keys);
    let (t, k, r) = (tenant("t"), key("c", "a"), revision("r"));
    let sealed = ring.seal_token(&t, &k, &r, b"record").await.unwrap();
    assert!(ring.add(&t, Some(sealed.key())).await.unwrap());
    let second = storage.tenant_keys(&t).await.unwrap()[1].id.clone();
    does_not_open(keyring(&storage, &keys).open_token(&t, &k, &r, &Sealed::new(second, sealed.bytes().to_vec())).await);
}

#[tokio::test]
async fn every_sealing_has_a_nonce_of_its_own() {
    let (ring, first) = sealed(b"record").await;
    let mut nonces = std::collections::BTreeSet::from([first.bytes()[1..=NONCE].to_vec()]);
    for _ in 0..1000 {
        let sealed = ring.seal_token(&tenant("t"), &key("c", "a"), &revision("r"), b"record").await.unwrap();
        assert!(nonces.insert(sealed.bytes()[1..=NONCE].to_vec()));
    }
    // All of it comes from the source of randomness.
    for byte in [0, 0xff] {
        let scripted = Scripted(byte);
        let sealed = encrypt(&DataKey::new([7; 32]), b"", b"", &scripted).unwrap();
        assert_eq!(sealed[..=NONCE], [[FORMAT].as_slice(), &[byte; NONCE]].concat());
    }
}

struct Scripted(u8);

impl Randomness for Scripted {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        bytes.fill(self.0);
        Ok(())
    }
}

struct Broken;

impl Randomness for Broken {
    fn fill(&self, _: &mut [u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[test]
fn without_randomness_nothing_is_sealed() {
    assert_eq!(encrypt(&DataKey::new([7; 32]), b"", b"", &Broken).unwrap_err().kind(), io::ErrorKind::Unsupported);
}

/// Computed with another implementation (PyNaCl, `crypto_aead_xchacha20poly1305_ietf_encrypt`).
#[test]
fn the_format_is_fixed() {
    let key = DataKey::new(std::array::from_fn(|at| at as u8));
    let t = tenant("acme");
    let (k, r) = (key_of_the_vector(), revision("r-1"));
    let place = Place { tenant: &t, key: &k, purpose: Purpose::Token, revision: &r };
    let associated = place.associated(&"k-1".parse().unwrap());
    let sealed = encrypt(&key, &associated, b"a token record", &Scripted(0x42)).unwrap();
    assert_eq!(hex::encode(associated), include_str!("tests/vector-associated.hex").trim_end());
    assert_eq!(hex::encode(sealed), include_str!("tests/vector-sealed.hex").trim_end());
}

fn key_of_the_vector() -> ConnectionKey {
    key("customer-7", "oXfixture")
}

#[test]
fn no_two_lists_of_parts_are_written_alike() {
    let texts = ["", "a", "b", "ab", "a\0b", "\0", "record"];
    let mut seen = std::collections::BTreeMap::new();
    for a in texts {
        for b in texts {
            for parts in [vec![a, b], vec![a], vec![a, b, ""], vec![b, a, b]] {
                let written = associated("record", &parts);
                let before = seen.insert(written, parts.clone());
                assert!(before.is_none_or(|before| before == parts), "{parts:?}");
            }
        }
    }
}

fn shop(id: &str, cipher: Option<&str>) -> Shop {
    Shop {
        id: id.parse::<ShopId>().unwrap(),
        account: "a".parse().unwrap(),
        name: String::new(),
        region: String::new(),
        seller_type: String::new(),
        cipher: cipher.map(Secret::from),
        code: String::new(),
        raw: "{}".to_owned(),
        standing: ShopStanding::Granted,
        linked: true,
    }
}

fn row(ciphers: &[Option<&str>]) -> Row {
    let mut row = Row::new(Connection::new(key("c", "a")));
    row.connection.shops = (1..).zip(ciphers).map(|(id, cipher)| shop(&format!("{id}"), *cipher)).collect();
    row
}

#[tokio::test]
async fn ciphers_leave_the_row_and_come_back_into_their_shops() {
    let ring = keyring(&memory(), &HostKeys::draw().unwrap());
    let (t, r) = (tenant("t"), revision("r"));
    let open = row(&[Some("ROW_first\0\"\\"), None, Some(""), Some("ROW_\u{10FFFF}")]);
    let stored = ring.seal_row(&t, &r, open.clone()).await.unwrap();
    assert!(stored.connection.shops.iter().all(|shop| shop.cipher.is_none()));
    let bytes = stored.ciphers.as_ref().unwrap().bytes();
    assert!(!bytes.windows(3).any(|window| window == b"ROW"));
    assert_eq!(ring.open_row(&t, &r, stored).await.unwrap(), open);

    let without = row(&[None, None]);
    let stored = ring.seal_row(&t, &r, without.clone()).await.unwrap();
    assert_eq!(stored, without, "nothing is sealed where there is nothing");
}

#[test]
fn keys_are_not_printed() {
    let keys = HostKeys::draw().unwrap();
    let id = keys.ids().next().unwrap().to_string();
    assert_eq!(format!("{keys:?} {:?}", DataKey::new([7; 32])), format!("[HostKeyId(\"{id}\")] [redacted]"));
    assert_eq!(format!("{:?}", Sealed::new("k".parse().unwrap(), b"s3cret".to_vec())), "[6 bytes under k]");
}

/// Writes a token record and a row with a cipher for this connection.
async fn put(storage: &MemoryStorage, ring: &Keyring, tenant: &TenantId, key: &ConnectionKey, clear: &str) {
    let revision = revision(&format!("{}-{}-{clear}", key.customer, key.account));
    let value = ring.seal_token(tenant, key, &revision, clear.as_bytes()).await.unwrap();
    let write = TokenWrite { value, refresh_due_at: None };
    let next = Next { revision: revision.clone(), value: write };
    storage.swap_token(tenant, key, None, Some(&next)).await.unwrap();
    let mut row = row(&[Some(clear)]);
    row.connection.key = key.clone();
    let value = ring.seal_row(tenant, &revision, row).await.unwrap();
    storage.swap_row(tenant, key, None, Some(&Next { revision, value }), &[]).await.unwrap();
}

/// What opens of a connection: the token record, and the cipher of its shop.
async fn opened(
    storage: &MemoryStorage,
    ring: &Keyring,
    tenant: &TenantId,
    key: &ConnectionKey,
) -> Result<(String, String), StorageError> {
    let token = storage.load_token(tenant, key).await?.expect("a token record");
    let record = ring.open_token(tenant, key, &token.revision, &token.value).await?;
    let entry = storage.load_row(tenant, key).await?.expect("a row");
    let row = ring.open_row(tenant, &entry.revision, entry.row).await?;
    let cipher = row.connection.shops[0].cipher.as_ref().map(|cipher| cipher.expose().to_owned());
    Ok((String::from_utf8(record.to_vec()).unwrap(), cipher.expect("a cipher")))
}
