//! Storage in this process's memory: one lock, so that every swap is atomic. Nothing survives the process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{Due, HostStorage, Next, Row, RowEntry, StorageError, Swapped, TokenEntry, TokenValue, TokenWrite};
use crate::clock::Clock;
use crate::connection::{ConnectionKey, UnixSeconds};
use crate::id::{AccountId, CustomerId, Revision, ShopId, TenantId};

/// Storage in memory. Ages come from the monotonic time of the clock it is given.
pub struct MemoryStorage {
    clock: Arc<dyn Clock>,
    records: Mutex<BTreeMap<TenantId, Records>>,
}

#[derive(Default)]
struct Records {
    tokens: BTreeMap<ConnectionKey, StoredToken>,
    rows: BTreeMap<ConnectionKey, RowEntry>,
}

struct StoredToken {
    revision: Revision,
    value: TokenValue,
    refresh_due_at: Option<UnixSeconds>,
    written_at: Duration,
}

impl MemoryStorage {
    /// An empty storage.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, records: Mutex::default() }
    }

    /// No code of others runs under the lock, so a poisoned one still guards whole records.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<TenantId, Records>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, stored: &StoredToken) -> TokenEntry {
        TokenEntry {
            revision: stored.revision.clone(),
            value: stored.value.clone(),
            age: self.clock.monotonic().saturating_sub(stored.written_at),
        }
    }
}

impl std::fmt::Debug for MemoryStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStorage").finish_non_exhaustive()
    }
}

#[async_trait]
impl HostStorage for MemoryStorage {
    async fn accounts(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<AccountId>, StorageError> {
        let records = self.lock();
        let keys = records.get(tenant).into_iter().flat_map(|records| records.tokens.keys());
        Ok(keys.filter(|key| key.customer == *customer).map(|key| key.account.clone()).collect())
    }

    async fn load_token(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<TokenEntry>, StorageError> {
        let records = self.lock();
        Ok(records.get(tenant).and_then(|records| records.tokens.get(key)).map(|stored| self.entry(stored)))
    }

    async fn swap_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<TokenWrite>>,
    ) -> Result<Swapped<TokenEntry>, StorageError> {
        let mut records = self.lock();
        let tokens = &mut records.entry(tenant.clone()).or_default().tokens;
        let found = tokens.get(key);
        if found.map(|stored| &stored.revision) != expected {
            return Ok(Swapped::Stale(found.map(|stored| self.entry(stored))));
        }
        match next {
            Some(Next { revision, value }) => tokens.insert(
                key.clone(),
                StoredToken {
                    revision: revision.clone(),
                    value: value.value.clone(),
                    refresh_due_at: value.refresh_due_at,
                    written_at: self.clock.monotonic(),
                },
            ),
            None => tokens.remove(key),
        };
        Ok(Swapped::Done)
    }

    async fn list_rows(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<RowEntry>, StorageError> {
        let records = self.lock();
        let rows = records.get(tenant).into_iter().flat_map(|records| &records.rows);
        Ok(rows.filter(|(key, _)| key.customer == *customer).map(|(_, entry)| entry.clone()).collect())
    }

    async fn load_row(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<RowEntry>, StorageError> {
        Ok(self.lock().get(tenant).and_then(|records| records.rows.get(key)).cloned())
    }

    async fn swap_row(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<Row>>,
    ) -> Result<Swapped<RowEntry>, StorageError> {
        let mut records = self.lock();
        let rows = &mut records.entry(tenant.clone()).or_default().rows;
        let found = rows.get(key);
        if found.map(|entry| &entry.revision) != expected {
            return Ok(Swapped::Stale(found.cloned()));
        }
        match next {
            Some(Next { revision, value }) => {
                rows.insert(key.clone(), RowEntry { revision: revision.clone(), row: value.clone() })
            }
            None => rows.remove(key),
        };
        Ok(Swapped::Done)
    }

    async fn due(&self, now: UnixSeconds, after: Option<&Due>, limit: usize) -> Result<Vec<Due>, StorageError> {
        let records = self.lock();
        let all = records
            .iter()
            .flat_map(|(tenant, records)| records.tokens.iter().map(move |(key, stored)| (tenant, key, stored)));
        let mut due: Vec<_> = all
            .filter_map(|(tenant, key, stored)| {
                let at = stored.refresh_due_at.filter(|at| *at <= now)?;
                Some(Due { at, tenant: tenant.clone(), key: key.clone() })
            })
            .filter(|due| after.is_none_or(|after| due > after))
            .collect();
        due.sort();
        due.truncate(limit);
        Ok(due)
    }

    async fn owners(&self, tenant: &TenantId, shop: &ShopId) -> Result<Vec<ConnectionKey>, StorageError> {
        let records = self.lock();
        let rows = records.get(tenant).into_iter().flat_map(|records| &records.rows);
        Ok(rows
            .filter(|(_, entry)| entry.row.connection.shops.iter().any(|held| held.id == *shop))
            .map(|(key, _)| key.clone())
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::connection::{Connection, ConnectionStatus, Shop, ShopPolicy, ShopStanding, UnixSeconds};

    fn storage() -> (Arc<ManualClock>, MemoryStorage) {
        let clock = Arc::new(ManualClock::at(Duration::from_secs(1_700_000_000)));
        (Arc::clone(&clock), MemoryStorage::new(clock))
    }

    fn tenant(id: &str) -> TenantId {
        id.parse().unwrap()
    }

    fn key(customer: &str, account: &str) -> ConnectionKey {
        ConnectionKey { customer: customer.parse().unwrap(), account: account.parse().unwrap() }
    }

    fn revision(text: &str) -> Revision {
        text.parse().unwrap()
    }

    fn token(text: &str, bytes: &str) -> Next<TokenWrite> {
        let value = TokenWrite { value: TokenValue::new(bytes.into()), refresh_due_at: None };
        Next { revision: revision(text), value }
    }

    fn row(text: &str, key: &ConnectionKey, shops: &[&str]) -> Next<Row> {
        let shop = |id: &&str| Shop {
            id: id.parse().unwrap(),
            account: key.account.clone(),
            name: String::new(),
            region: String::new(),
            seller_type: String::new(),
            cipher: None,
            code: String::new(),
            raw: String::new(),
            standing: ShopStanding::Granted,
            linked: false,
        };
        let connection = Connection {
            key: key.clone(),
            seller_name: String::new(),
            seller_base_region: String::new(),
            granted_scopes: Vec::new(),
            shop_policy: ShopPolicy::All,
            status: ConnectionStatus::Active,
            access_expires_at: None,
            refresh_expires_at: None,
            authorization_ends_at: None,
            connected_at: UnixSeconds(0),
            refreshed_at: UnixSeconds(0),
            shops_synced_at: None,
            shops: shops.iter().map(shop).collect(),
            last_failure: None,
        };
        Next { revision: revision(text), value: Row { connection, token_lineage: String::new(), token_generation: 0 } }
    }

    fn stale(entry: Swapped<TokenEntry>) -> Option<(String, Vec<u8>)> {
        match entry {
            Swapped::Stale(entry) => {
                entry.map(|entry| (entry.revision.as_str().to_owned(), entry.value.expose().to_owned()))
            }
            Swapped::Done => panic!("swapped"),
        }
    }

    #[tokio::test]
    async fn of_two_who_create_one_wins_and_the_other_gets_what_won() {
        let (_, storage) = storage();
        let (tenant, key) = (tenant("t"), key("c", "a"));
        let (first, second) = (token("r1", "first"), token("r2", "second"));
        assert_eq!(storage.swap_token(&tenant, &key, None, Some(&first)).await, Ok(Swapped::Done));
        let lost = storage.swap_token(&tenant, &key, None, Some(&second)).await.unwrap();
        assert_eq!(stale(lost), Some(("r1".to_owned(), b"first".to_vec())));
    }

    #[tokio::test]
    async fn a_swap_on_an_old_revision_loses_even_if_the_value_is_the_same_again() {
        let (_, storage) = storage();
        let (tenant, key) = (tenant("t"), key("c", "a"));
        storage.swap_token(&tenant, &key, None, Some(&token("r1", "A"))).await.unwrap();
        storage.swap_token(&tenant, &key, Some(&revision("r1")), None).await.unwrap();
        storage.swap_token(&tenant, &key, None, Some(&token("r2", "A"))).await.unwrap();
        let lost = storage.swap_token(&tenant, &key, Some(&revision("r1")), Some(&token("r3", "B"))).await.unwrap();
        assert_eq!(stale(lost), Some(("r2".to_owned(), b"A".to_vec())));
    }

    #[tokio::test]
    async fn a_swap_after_deletion_finds_nothing() {
        let (_, storage) = storage();
        let (tenant, key) = (tenant("t"), key("c", "a"));
        storage.swap_token(&tenant, &key, None, Some(&token("r1", "A"))).await.unwrap();
        storage.swap_token(&tenant, &key, Some(&revision("r1")), None).await.unwrap();
        for next in [Some(&token("r2", "B")), None] {
            let lost = storage.swap_token(&tenant, &key, Some(&revision("r1")), next).await.unwrap();
            assert_eq!(stale(lost), None);
        }
    }

    #[tokio::test]
    async fn the_age_is_that_of_the_write_and_ignores_the_wall_clock() {
        let (clock, storage) = storage();
        let (tenant, key) = (tenant("t"), key("c", "a"));
        storage.swap_token(&tenant, &key, None, Some(&token("r1", "A"))).await.unwrap();
        clock.advance(Duration::from_secs(90));
        clock.set_wall(Duration::ZERO);
        let age = async || storage.load_token(&tenant, &key).await.unwrap().unwrap().age;
        assert_eq!(age().await, Duration::from_secs(90));
        storage.swap_token(&tenant, &key, Some(&revision("r1")), Some(&token("r2", "A"))).await.unwrap();
        assert_eq!(age().await, Duration::ZERO);
    }

    #[tokio::test]
    async fn no_id_reaches_into_another_tenant_or_customer() {
        let (_, storage) = storage();
        let ids = ["a", "a/b", "b", "a\0b", "\0", "a:b", "a|b", "%2F", "../a", "A", "a ", "é", "e\u{301}"];
        let mut written = 0;
        for tenant_id in ids {
            for customer in ids {
                for account in ids {
                    let text = format!("{written}");
                    let (tenant, key) = (tenant(tenant_id), key(customer, account));
                    let swapped = storage.swap_token(&tenant, &key, None, Some(&token(&text, &text))).await;
                    assert_eq!(swapped, Ok(Swapped::Done), "{tenant_id:?} {customer:?} {account:?}");
                    written += 1;
                }
            }
        }
        for customer in ids {
            let accounts = storage.accounts(&tenant("a"), &customer.parse().unwrap()).await.unwrap();
            let mut expected = ids;
            expected.sort_unstable();
            assert_eq!(accounts.iter().map(AccountId::as_str).collect::<Vec<_>>(), expected);
        }
    }

    #[tokio::test]
    async fn rows_are_listed_by_account_in_byte_order() {
        let (_, storage) = storage();
        let tenant = tenant("t");
        for account in ["b", "B", "ä", "a"] {
            let key = key("c", account);
            storage.swap_row(&tenant, &key, None, Some(&row(account, &key, &[]))).await.unwrap();
        }
        let other = key("d", "a");
        storage.swap_row(&tenant, &other, None, Some(&row("other", &other, &[]))).await.unwrap();
        let rows = storage.list_rows(&tenant, &"c".parse().unwrap()).await.unwrap();
        let accounts: Vec<_> = rows.iter().map(|entry| entry.row.connection.key.account.as_str()).collect();
        assert_eq!(accounts, ["B", "a", "b", "ä"]);
    }

    #[tokio::test]
    async fn owners_are_the_connections_of_one_tenant_that_hold_the_shop() {
        let (_, storage) = storage();
        let (ours, theirs) = (tenant("ours"), tenant("theirs"));
        let (one, two, none) = (key("c1", "a"), key("c2", "a"), key("c3", "a"));
        storage.swap_row(&ours, &two, None, Some(&row("r2", &two, &["1", "2"]))).await.unwrap();
        storage.swap_row(&ours, &one, None, Some(&row("r1", &one, &["2"]))).await.unwrap();
        storage.swap_row(&ours, &none, None, Some(&row("r3", &none, &["22"]))).await.unwrap();
        storage.swap_row(&theirs, &none, None, Some(&row("r4", &none, &["2"]))).await.unwrap();
        assert_eq!(storage.owners(&ours, &"2".parse().unwrap()).await, Ok(vec![one.clone(), two]));

        storage.swap_row(&ours, &one, Some(&revision("r1")), None).await.unwrap();
        assert_eq!(storage.owners(&ours, &"1".parse().unwrap()).await, Ok(vec![key("c2", "a")]));
        assert_eq!(storage.load_row(&ours, &one).await, Ok(None));
    }

    #[test]
    fn a_token_value_is_not_printed() {
        assert_eq!(format!("{:?}", TokenValue::new(b"s3cret".to_vec())), "[redacted, 6 bytes]");
    }
}
