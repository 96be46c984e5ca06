//! Tests of sealing. To seal a value is to encrypt it for one place: one tenant, one connection, one purpose and one
//! revision. A sealed value can be decrypted (opened) only for this place. A rotation of keys loses no value. After the
//! erasure of a tenant, its values can't be decrypted any more.

mod erasure;
mod host_keys;
mod keyring;
mod rotation;
mod two_tenants;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::aead::{FORMAT, NONCE, encode_associated_data, encrypt};
use super::keyring::wrapping_context;
use super::place::Place;
use super::*;
use crate::clock::ManualClock;
use crate::connection::{Connection, ConnectionKey, Shop, StatusKind, UnixSeconds};
use crate::id::{KeyId, Revision, TenantId};
use crate::randomness::{Randomness, SystemRandomness};
use crate::secret::Secret;
use crate::storage::{
    ConnectionStorage as _, HostStorage, KeyStorage as _, MemoryStorage, Next, OpenRow, Purpose, Row, RowOrigin,
    Sealed, StorageError, TenantKey, TokenStorage as _, TokenWrite,
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

/// Seals this text as a token record. Returns the keyring, which can open the value, and the sealed value.
async fn sealed(clear: &[u8]) -> (Keyring, Sealed) {
    let ring = keyring(&memory(), &HostKeys::draw().unwrap());
    let sealed = ring.seal_token(&tenant("t"), &key("c", "a"), &revision("r"), clear).await.unwrap();
    (ring, sealed)
}

const DOES_NOT_OPEN: &str = "it has been changed, or moved from another place";

#[track_caller]
fn assert_does_not_open(outcome: Result<impl Sized, StorageError>) {
    match outcome {
        Err(StorageError::Refused(why)) => assert!(why.ends_with(DOES_NOT_OPEN), "{why}"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the value opens"),
    }
}

#[tokio::test]
async fn a_value_opens_only_at_its_own_place() {
    let (ring, sealed) = sealed(b"record").await;
    let (t, k, r) = (tenant("t"), key("c", "a"), revision("r"));
    assert_eq!(**ring.open_token(&t, &k, &r, &sealed).await.unwrap(), *b"record");

    assert_does_not_open(ring.open_token(&t, &key("C", "a"), &r, &sealed).await);
    assert_does_not_open(ring.open_token(&t, &key("c", "b"), &r, &sealed).await);
    // The connection keys (`c`, `aa`) and (`ca`, `a`) have the same bytes if customer and account are joined without a
    // boundary.
    let at_boundary = ring.seal_token(&t, &key("c", "aa"), &r, b"record").await.unwrap();
    assert_does_not_open(ring.open_token(&t, &key("ca", "a"), &r, &at_boundary).await);
    assert_does_not_open(ring.open_token(&t, &k, &revision("r2"), &sealed).await);
    let other_purpose = Place { tenant: &t, key: &k, purpose: Purpose::Ciphers, revision: &r };
    assert_does_not_open(ring.open(crate::seal::keyring::Use::Open, &other_purpose, &sealed).await);
    let mut row = row(&[]).encode().unwrap();
    row.sealed = Some(sealed.clone());
    assert_eq!(ring.open_row(&t, &r, &row).await.unwrap_err(), StorageError::RowChanged(r.clone()));

    // Another tenant does not have the key that seals the value.
    let error = ring.open_token(&tenant("u"), &k, &r, &sealed).await.unwrap_err().to_string();
    let unknown = format!("storage refused: key-unavailable({}): the tenant has no key of that name", sealed.key());
    assert_eq!(error, unknown);
}

#[tokio::test]
async fn a_value_with_any_changed_bit_does_not_open() {
    let (ring, sealed) = sealed(b"record").await;
    let (t, k, r) = (tenant("t"), key("c", "a"), revision("r"));
    assert_eq!(sealed.bytes().len(), 1 + NONCE + b"record".len() + 16);
    for at in 0..sealed.bytes().len() {
        for bit in 0..8 {
            let mut bytes = sealed.bytes().to_vec();
            bytes[at] ^= 1 << bit;
            assert_does_not_open(ring.open_token(&t, &k, &r, &Sealed::new(sealed.key().clone(), bytes)).await);
        }
    }
    for length in 0..sealed.bytes().len() {
        let bytes = sealed.bytes()[..length].to_vec();
        assert_does_not_open(ring.open_token(&t, &k, &r, &Sealed::new(sealed.key().clone(), bytes)).await);
    }
}

/// The test replaces the key id of a sealed value by the id of another key of the same tenant.
#[tokio::test]
async fn a_value_opens_only_under_its_own_key() {
    let (storage, keys) = (memory(), HostKeys::draw().unwrap());
    let ring = keyring(&storage, &keys);
    let (t, k, r) = (tenant("t"), key("c", "a"), revision("r"));
    let sealed = ring.seal_token(&t, &k, &r, b"record").await.unwrap();
    assert!(ring.add_key(&t, Some(sealed.key())).await.unwrap());
    let second = storage.tenant_keys(&t).await.unwrap()[1].id.clone();
    assert_does_not_open(
        keyring(&storage, &keys).open_token(&t, &k, &r, &Sealed::new(second.clone(), sealed.bytes().to_vec())).await,
    );
    // The third key has the same bytes as the first key, but another id.
    let first = storage.tenant_keys(&t).await.unwrap().remove(0);
    let (bytes, third) = (ring.unwrap_key(&t, &first).await.unwrap(), "third".parse::<KeyId>().unwrap());
    let wrapped = keys.wrap(&t, &bytes, &wrapping_context(&t, &third)).await.unwrap();
    let copy = TenantKey { id: third.clone(), wrapped: Some(wrapped) };
    assert!(storage.add_key(&t, Some(&second), &copy).await.unwrap());
    let ring = keyring(&storage, &keys);
    assert_eq!(*ring.unwrap_key(&t, &copy).await.unwrap().expose(), *bytes.expose());
    assert_does_not_open(ring.open_token(&t, &k, &r, &Sealed::new(third, sealed.bytes().to_vec())).await);
}

#[tokio::test]
async fn every_value_is_sealed_with_a_new_nonce() {
    let (ring, first) = sealed(b"record").await;
    let mut nonces = std::collections::BTreeSet::from([first.bytes()[1..=NONCE].to_vec()]);
    for _ in 0..1000 {
        let sealed = ring.seal_token(&tenant("t"), &key("c", "a"), &revision("r"), b"record").await.unwrap();
        assert!(nonces.insert(sealed.bytes()[1..=NONCE].to_vec()));
    }
    // Every byte of the nonce comes from the source of randomness.
    for byte in [0, 0xff] {
        let scripted = Scripted(byte);
        let sealed = encrypt(&DataKey::new([7; 32]), b"", b"", &scripted).unwrap();
        assert_eq!(sealed[..=NONCE], [[FORMAT].as_slice(), &[byte; NONCE]].concat());
    }
}

/// A source of randomness that always returns this byte.
struct Scripted(u8);

impl Randomness for Scripted {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        bytes.fill(self.0);
        Ok(())
    }
}

/// A source of randomness that always fails.
struct Broken;

impl Randomness for Broken {
    fn fill(&self, _: &mut [u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[test]
fn nothing_is_sealed_without_randomness() {
    assert_eq!(encrypt(&DataKey::new([7; 32]), b"", b"", &Broken).unwrap_err().kind(), io::ErrorKind::Unsupported);
}

/// The vectors were computed with another implementation (PyNaCl, `crypto_aead_xchacha20poly1305_ietf_encrypt`).
#[test]
fn the_format_equals_the_vectors_of_another_implementation() {
    let data_key = DataKey::new(std::array::from_fn(|at| at as u8));
    let t = tenant("acme");
    let (k, r) = (key("customer-7", "oXfixture"), revision("r-1"));
    let place = Place { tenant: &t, key: &k, purpose: Purpose::Token, revision: &r };
    let associated_data = place.associated_data(&"k-1".parse().unwrap());
    let sealed = encrypt(&data_key, &associated_data, b"a token record", &Scripted(0x42)).unwrap();
    assert_eq!(hex::encode(associated_data), include_str!("tests/vector-associated-data.hex").trim_end());
    assert_eq!(hex::encode(sealed), include_str!("tests/vector-sealed.hex").trim_end());
}

#[test]
fn no_two_lists_of_parts_have_the_same_encoding() {
    let texts = ["", "a", "b", "ab", "a\0b", "\0", "record"];
    let mut seen = BTreeMap::new();
    for a in texts {
        for b in texts {
            for parts in [vec![a, b], vec![a], vec![a, b, ""], vec![b, a, b]] {
                let encoded = encode_associated_data("record", &parts);
                let before = seen.insert(encoded, parts.clone());
                assert!(before.is_none_or(|before| before == parts), "{parts:?}");
            }
        }
    }
}

fn shop(id: &str, cipher: Option<&str>) -> Shop {
    let mut shop = Shop::new(id.parse().unwrap(), "a".parse().unwrap());
    (shop.cipher, shop.linked) = (cipher.map(Secret::from), true);
    shop
}

fn row(ciphers: &[Option<&str>]) -> OpenRow {
    let mut row = OpenRow::new(Connection::new(key("c", "a")));
    row.connection.shops = (1..).zip(ciphers).map(|(id, cipher)| shop(&format!("{id}"), *cipher)).collect();
    row
}

#[tokio::test]
async fn sealing_takes_ciphers_out_of_a_row_and_opening_returns_them_to_their_shops() {
    let ring = keyring(&memory(), &HostKeys::draw().unwrap());
    let (t, r) = (tenant("t"), revision("r"));
    let open = row(&[Some("ROW_first\0\"\\"), None, Some(""), Some("ROW_\u{10FFFF}")]);
    let stored = ring.seal_row(&t, &r, &open).await.unwrap();
    assert!(!stored.document.contains("ROW_"));
    let bytes = stored.sealed.as_ref().unwrap().bytes();
    assert!(!bytes.windows(3).any(|window| window == b"ROW"));
    assert_eq!(ring.open_row(&t, &r, &stored).await.unwrap(), open);

    let without = row(&[None, None]);
    let stored = ring.seal_row(&t, &r, &without).await.unwrap();
    assert!(stored.sealed.is_some(), "a row without ciphers is sealed, too");
    assert_eq!(ring.open_row(&t, &r, &stored).await.unwrap(), without);
}

/// A change of a row, and the name of the change.
type Change = (&'static str, fn(&mut Row));

#[tokio::test]
async fn every_change_of_a_row_is_noticed() {
    let ring = keyring(&memory(), &HostKeys::draw().unwrap());
    let (t, r) = (tenant("t"), revision("r"));
    let stored = ring.seal_row(&t, &r, &row(&[Some("ROW_first"), None])).await.unwrap();
    assert!(ring.open_row(&t, &r, &stored).await.is_ok());
    let changes: [Change; 16] = [
        ("the document", |row| row.document = row.document.replace("\"linked\":true", "\"linked\":false")),
        ("a space in the document", |row| row.document.push(' ')),
        ("the customer", |row| row.key.customer = "C".parse().unwrap()),
        ("the account", |row| row.key.account = "b".parse().unwrap()),
        ("no sealed value", |row| row.sealed = None),
        ("the sealed value", |row| {
            let sealed = row.sealed.clone().unwrap();
            let mut bytes = sealed.bytes().to_vec();
            *bytes.last_mut().unwrap() ^= 1;
            row.sealed = Some(Sealed::new(sealed.key().clone(), bytes));
        }),
        ("the status", |row| row.index.status = StatusKind::ReauthorizationRequired),
        ("the end", |row| row.index.ends_at = Some(UnixSeconds(7))),
        ("the app", |row| row.index.app = Some("other".parse().unwrap())),
        ("the seller", |row| row.index.seller_name.push('x')),
        ("the time of the consent", |row| row.index.granted_at = UnixSeconds(7)),
        ("a link", |row| row.index.shops[0].linked = false),
        ("a shop", |row| row.index.shops[1].id = "9".parse().unwrap()),
        ("a missing shop", |row| row.index.shops.truncate(1)),
        ("the lineage", |row| row.token_lineage.push('x')),
        ("the generation", |row| row.token_generation += 1),
    ];
    for (name, change) in changes {
        let mut changed = stored.clone();
        change(&mut changed);
        assert_eq!(ring.open_row(&t, &r, &changed).await.unwrap_err(), StorageError::RowChanged(r.clone()), "{name}");
    }
    let moved = ring.open_row(&t, &revision("r2"), &stored).await.unwrap_err();
    assert_eq!(moved, StorageError::RowChanged(revision("r2")));
    // A sealed row that is passed off as a row of an earlier release.
    let older = Row { origin: RowOrigin::Columns, ..stored.clone() };
    assert_eq!(ring.open_row(&t, &r, &older).await.unwrap_err(), StorageError::RowChanged(r.clone()));
}

/// Returns a row as a host of release 0.1 wrote it: only the ciphers are sealed.
async fn row_of_columns(ring: &Keyring, t: &TenantId, r: &Revision, ciphers: &[Option<&str>]) -> Row {
    let mut row = row(ciphers).encode().unwrap();
    row.origin = RowOrigin::Columns;
    let clear: BTreeMap<_, _> =
        (1..).zip(ciphers).filter_map(|(id, cipher)| Some((format!("{id}"), (*cipher)?))).collect();
    if !clear.is_empty() {
        let place = Place { tenant: t, key: &row.key, purpose: Purpose::Ciphers, revision: r };
        row.sealed = Some(ring.seal(&place, &serde_json::to_vec(&clear).unwrap()).await.unwrap());
    }
    row
}

#[tokio::test]
async fn a_row_of_release_0_1_opens_until_the_host_refuses_such_rows() {
    let storage = memory();
    let keys = HostKeys::draw().unwrap();
    let (t, k, r) = (tenant("t"), key("c", "a"), revision("r"));
    for ciphers in [[Some("ROW_first"), None], [None, None]] {
        let ring = keyring(&storage, &keys);
        let older = row_of_columns(&ring, &t, &r, &ciphers).await;
        assert_eq!(ring.open_row(&t, &r, &older).await.unwrap(), row(&ciphers));
        let passed_off = Row { origin: RowOrigin::Document, ..older.clone() };
        assert_eq!(ring.open_row(&t, &r, &passed_off).await.unwrap_err(), StorageError::RowChanged(r.clone()));

        let before = storage.load_row(&t, &k).await.unwrap().map(|entry| entry.revision);
        let next = Next { revision: r.clone(), value: older };
        storage.swap_row(&t, &k, before.as_ref(), Some(&next), &[]).await.unwrap();
        let storage = Arc::clone(&storage) as Arc<dyn HostStorage>;
        let accepting = SealedStorage::new(Arc::clone(&storage), Arc::new(ring), UnsealedRows::Accept);
        assert!(accepting.load_row(&t, &k).await.unwrap().is_some());
        let ring = Keyring::new(Arc::clone(&storage), Arc::new(keys.clone()), Arc::new(SystemRandomness));
        let refusing = SealedStorage::new(storage, Arc::new(ring), UnsealedRows::Refuse);
        assert_eq!(refusing.load_row(&t, &k).await.unwrap_err(), StorageError::RowChanged(r.clone()));
    }
}

#[test]
fn debug_output_contains_no_key() {
    let keys = HostKeys::draw().unwrap();
    let id = keys.ids().next().unwrap().to_string();
    assert_eq!(format!("{keys:?} {:?}", DataKey::new([7; 32])), format!("[HostKeyId(\"{id}\")] [redacted]"));
    assert_eq!(format!("{:?}", Sealed::new("k".parse().unwrap(), b"s3cret".to_vec())), "[6 bytes under k]");
}

/// Writes a token record and a row with a cipher for this connection. The token record and the cipher are the text
/// `clear`.
async fn put(storage: &MemoryStorage, ring: &Keyring, tenant: &TenantId, key: &ConnectionKey, clear: &str) {
    let revision = revision(&format!("{}-{}-{clear}", key.customer, key.account));
    let value = ring.seal_token(tenant, key, &revision, clear.as_bytes()).await.unwrap();
    let write = TokenWrite { value, refresh_due_at: None };
    let next = Next { revision: revision.clone(), value: write };
    storage.swap_token(tenant, key, None, Some(&next)).await.unwrap();
    let mut row = row(&[Some(clear)]);
    row.connection.key = key.clone();
    let value = ring.seal_row(tenant, &revision, &row).await.unwrap();
    storage.swap_row(tenant, key, None, Some(&Next { revision, value }), &[]).await.unwrap();
}

/// Loads and decrypts a connection's token record and the cipher of its first shop.
async fn opened(
    storage: &MemoryStorage,
    ring: &Keyring,
    tenant: &TenantId,
    key: &ConnectionKey,
) -> Result<(String, String), StorageError> {
    let token = storage.load_token(tenant, key).await?.expect("a token record");
    let record = ring.open_token(tenant, key, &token.revision, &token.value).await?;
    let entry = storage.load_row(tenant, key).await?.expect("a row");
    let row = ring.open_row(tenant, &entry.revision, &entry.row).await?;
    let cipher = row.connection.shops[0].cipher.as_ref().map(|cipher| cipher.expose().to_owned());
    Ok((String::from_utf8(record.to_vec()).unwrap(), cipher.expect("a cipher")))
}
