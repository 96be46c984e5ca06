//! The part that keeps token records.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use tiktok_shop_host::connection::{ConnectionKey, UnixSeconds};
use tiktok_shop_host::storage::{
    Due, Environment, Next, Sealed, StorageError, Swapped, TokenEntry, TokenStorage, TokenWrite,
};
use tiktok_shop_host::{AccountId, CustomerId, Revision, TenantId};

use super::{AgeMs, ForeignStorage, Name, SwapAnswer, at_most, of_connection, up_to, with};

/// A stored token record.
#[derive(Deserialize)]
struct Entry {
    revision: Revision,
    value: Sealed,
    age_ms: AgeMs,
}

impl From<Entry> for TokenEntry {
    fn from(Entry { revision, value, age_ms }: Entry) -> Self {
        Self { revision, value, age: age_ms.into() }
    }
}

#[derive(Deserialize)]
struct DueAnswer {
    at: u64,
    tenant: TenantId,
    #[serde(flatten)]
    name: Name,
}

#[async_trait]
impl TokenStorage for ForeignStorage {
    async fn belongs_to(&self, environment: Environment) -> Result<bool, StorageError> {
        self.ask("belongs_to", json!({ "environment": environment.as_str() })).await
    }

    async fn accounts(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<AccountId>, StorageError> {
        self.ask("accounts", json!({ "tenant": tenant.as_str(), "customer": customer.as_str() })).await
    }

    async fn load_token(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<TokenEntry>, StorageError> {
        let entry: Option<Entry> = self.ask("load_token", of_connection(tenant, key)).await?;
        Ok(entry.map(TokenEntry::from))
    }

    async fn swap_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<TokenWrite>>,
    ) -> Result<Swapped<TokenEntry>, StorageError> {
        let next = next.map(|Next { revision, value: TokenWrite { value, refresh_due_at } }| {
            json!({ "revision": revision, "value": value, "refresh_due_at": refresh_due_at })
        });
        let arguments = with(of_connection(tenant, key), "expected", json!(expected));
        let answer: SwapAnswer<Entry> = self.ask("swap_token", with(arguments, "next", Value::from(next))).await?;
        answer.read(|entry| Ok(entry.into()))
    }

    async fn due(&self, now: UnixSeconds, after: Option<&Due>, limit: usize) -> Result<Vec<Due>, StorageError> {
        let after = after.map(|due| with(of_connection(&due.tenant, &due.key), "at", json!(due.at)));
        let arguments = json!({ "now": up_to(now), "after": after, "limit": at_most(limit) });
        let due: Vec<DueAnswer> = self.ask("due", arguments).await?;
        let due = due.into_iter();
        Ok(due.map(|due| Due { at: UnixSeconds(due.at), tenant: due.tenant, key: due.name.into() }).collect())
    }
}
