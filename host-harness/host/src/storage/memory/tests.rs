//! Tests of the ages and retention times of the storage in memory. The crate `tiktok-shop-storage-contract` tests
//! everything that all storages have in common.

use super::*;
use crate::clock::ManualClock;
use crate::connection::ShopPolicy;
use crate::id::HostKeyId;

fn storage() -> (Arc<ManualClock>, MemoryStorage) {
    let clock = Arc::new(ManualClock::at(Duration::from_secs(1_700_000_000)));
    (Arc::clone(&clock), MemoryStorage::new(clock))
}

fn tenant(id: &str) -> TenantId {
    id.parse().unwrap()
}

fn token(revision: &str, key: &KeyId) -> Next<TokenWrite> {
    let value = TokenWrite { value: Sealed::new(key.clone(), b"sealed".to_vec()), refresh_due_at: None };
    Next { revision: revision.parse().unwrap(), value }
}

#[tokio::test]
async fn a_records_age_counts_from_its_write_and_ignores_the_wall_clock_and_resealing() {
    let (clock, storage) = storage();
    let tenant = tenant("t");
    let key = ConnectionKey { customer: "c".parse().unwrap(), account: "a".parse().unwrap() };
    let id: KeyId = "k".parse().unwrap();
    let host_key: HostKeyId = "h".parse().unwrap();
    let wrapped = Some(WrappedKey { host_key, bytes: Vec::new() });
    assert_eq!(storage.add_key(&tenant, None, &TenantKey { id: id.clone(), wrapped }).await, Ok(true));
    storage.swap_token(&tenant, &key, None, Some(&token("r1", &id))).await.unwrap();
    clock.advance(Duration::from_secs(90));
    clock.set_wall(Duration::ZERO);
    let age = async || storage.load_token(&tenant, &key).await.unwrap().unwrap().age;
    assert_eq!(age().await, Duration::from_secs(90));
    let record = storage.sealed_under(&tenant, &id, None, 1).await.unwrap().remove(0);
    assert_eq!(storage.reseal(&tenant, &record, &Sealed::new(id.clone(), b"anew".to_vec())).await, Ok(true));
    assert_eq!(age().await, Duration::from_secs(90));
    storage.swap_token(&tenant, &key, Some(&"r1".parse().unwrap()), Some(&token("r2", &id))).await.unwrap();
    assert_eq!(age().await, Duration::ZERO);
}

fn consent(customer: &str) -> (StateDigest, ConsentRecord) {
    let browser = BrowserDigest::new([7; 32]);
    let record = ConsentRecord { customer: customer.parse().unwrap(), app: None, browser, shops: ShopPolicy::All };
    (StateDigest::of(&customer.into()), record)
}

#[tokio::test]
async fn a_states_age_counts_from_its_creation_and_the_state_is_deleted_after_an_hour() {
    let (clock, storage) = storage();
    let (tenant, (state, record)) = (tenant("t"), consent("c"));
    storage.put_state(&tenant, &state, &record).await.unwrap();
    let put_another = async |customer: &str| {
        let (state, record) = consent(customer);
        storage.put_state(&tenant, &state, &record).await.unwrap();
    };
    clock.advance(Duration::from_secs(3_600));
    clock.set_wall(Duration::ZERO);
    put_another("d").await;
    assert!(storage.use_state(&tenant, &state).await.unwrap());
    let stored = storage.load_state(&tenant, &state).await.unwrap().unwrap();
    assert_eq!((stored.age, stored.used), (Duration::from_secs(3_600), true));
    clock.advance(Duration::from_secs(1));
    put_another("e").await;
    assert_eq!(storage.load_state(&tenant, &state).await, Ok(None));
}

#[tokio::test]
async fn a_pending_install_is_kept_for_30_minutes() {
    let (clock, storage) = storage();
    let tenant = tenant("t");
    let (_, ConsentRecord { browser, .. }) = consent("c");
    let record = InstallRecord { browser, sealed: b"sealed".to_vec() };
    let [first, second, third] = [1, 2, 3].map(|byte| InstallDigest::new([byte; 32]));
    storage.put_install(&tenant, &first, &record).await.unwrap();
    clock.advance(Duration::from_secs(1_800));
    clock.set_wall(Duration::ZERO);
    storage.put_install(&tenant, &second, &record).await.unwrap();
    let stored = storage.load_install(&tenant, &first).await.unwrap().unwrap();
    assert_eq!((stored.age, stored.sealed), (Duration::from_secs(1_800), Some(b"sealed".to_vec())));
    clock.advance(Duration::from_secs(1));
    storage.put_install(&tenant, &third, &record).await.unwrap();
    assert_eq!(storage.load_install(&tenant, &first).await, Ok(None));
    // A consent that begins has the same effect.
    clock.advance(Duration::from_secs(1_800));
    let (state, consent) = consent("d");
    storage.put_state(&tenant, &state, &consent).await.unwrap();
    assert_eq!(storage.load_install(&tenant, &second).await, Ok(None));
    assert!(storage.load_install(&tenant, &third).await.unwrap().is_some());
    // A sweep deletes the expired installs, too.
    clock.advance(Duration::from_secs(1));
    storage.delete_expired().await.unwrap();
    assert_eq!(storage.load_install(&tenant, &third).await, Ok(None));
    assert!(storage.load_state(&tenant, &state).await.unwrap().is_some());
}

#[tokio::test]
async fn a_webhook_is_remembered_for_three_days() {
    let (clock, storage) = storage();
    let tenant = tenant("t");
    let day = Duration::from_secs(86_400);
    let [one, two, three] = [1, 2, 3].map(|byte| WebhookDigest::new([byte; 32]));
    storage.remember_webhook(&tenant, &one).await.unwrap();
    clock.advance(day);
    storage.remember_webhook(&tenant, &one).await.unwrap();
    storage.remember_webhook(&tenant, &two).await.unwrap();
    assert_eq!(storage.knows_webhook(&tenant, &one).await, Ok(true));
    clock.advance(2 * day + Duration::from_secs(1));
    storage.remember_webhook(&tenant, &three).await.unwrap();
    let known = [storage.knows_webhook(&tenant, &one).await, storage.knows_webhook(&tenant, &two).await];
    assert_eq!(known, [Ok(false), Ok(true)]);
}
