//! The part that keeps data keys, lists what is sealed with them, and deletes tenants.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use tiktok_shop_host::connection::ConnectionKey;
use tiktok_shop_host::storage::{
    Deleted, KeyStorage, KeyUse, Purpose, Sealed, SealedRecord, StorageError, TenantKey, WrappedKey,
};
use tiktok_shop_host::{AccountId, CustomerId, KeyId, Revision, TenantId};

use super::{ForeignStorage, at_most, of_connection, with};

#[derive(Deserialize)]
struct KeyUseAnswer {
    tenant: TenantId,
    key: TenantKey,
    records: u64,
}

/// The part of a connection that a sealed value contains.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PurposeWord {
    Token,
    Ciphers,
}

const fn word(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Token => "token",
        Purpose::Ciphers => "ciphers",
    }
}

#[derive(Deserialize)]
struct RecordAnswer {
    customer: CustomerId,
    account: AccountId,
    purpose: PurposeWord,
    revision: Revision,
    sealed: Sealed,
}

impl From<RecordAnswer> for SealedRecord {
    fn from(RecordAnswer { customer, account, purpose, revision, sealed }: RecordAnswer) -> Self {
        let purpose = match purpose {
            PurposeWord::Token => Purpose::Token,
            PurposeWord::Ciphers => Purpose::Ciphers,
        };
        Self { key: ConnectionKey { customer, account }, purpose, revision, sealed }
    }
}

#[derive(Deserialize)]
struct DeletedAnswer {
    connections: u64,
    others: u64,
    is_complete: bool,
}

fn of_key(tenant: &TenantId, key: &KeyId) -> Value {
    json!({ "tenant": tenant.as_str(), "key": key.as_str() })
}

#[async_trait]
impl KeyStorage for ForeignStorage {
    async fn tenant_keys(&self, tenant: &TenantId) -> Result<Vec<TenantKey>, StorageError> {
        self.ask("tenant_keys", json!({ "tenant": tenant.as_str() })).await
    }

    async fn add_key(&self, tenant: &TenantId, newest: Option<&KeyId>, key: &TenantKey) -> Result<bool, StorageError> {
        self.ask("add_key", json!({ "tenant": tenant.as_str(), "newest": newest, "key": key })).await
    }

    async fn rewrap_key(
        &self,
        tenant: &TenantId,
        key: &TenantKey,
        next: Option<&WrappedKey>,
    ) -> Result<bool, StorageError> {
        self.ask("rewrap_key", json!({ "tenant": tenant.as_str(), "key": key, "next": next })).await
    }

    async fn remove_key(&self, tenant: &TenantId, key: &KeyId) -> Result<bool, StorageError> {
        self.ask("remove_key", of_key(tenant, key)).await
    }

    async fn key_uses(&self, after: Option<(&TenantId, &KeyId)>, limit: usize) -> Result<Vec<KeyUse>, StorageError> {
        let after = after.map(|(tenant, key)| of_key(tenant, key));
        let uses: Vec<KeyUseAnswer> = self.ask("key_uses", json!({ "after": after, "limit": at_most(limit) })).await?;
        let uses = uses.into_iter();
        Ok(uses.map(|KeyUseAnswer { tenant, key, records }| KeyUse { tenant, key, records }).collect())
    }

    async fn sealed_under(
        &self,
        tenant: &TenantId,
        key: &KeyId,
        after: Option<(Purpose, &ConnectionKey)>,
        limit: usize,
    ) -> Result<Vec<SealedRecord>, StorageError> {
        let after = after.map(|(purpose, key)| with(json!(key), "purpose", word(purpose).into()));
        let arguments = with(with(of_key(tenant, key), "after", Value::from(after)), "limit", at_most(limit).into());
        let records: Vec<RecordAnswer> = self.ask("sealed_under", arguments).await?;
        Ok(records.into_iter().map(SealedRecord::from).collect())
    }

    async fn reseal(&self, tenant: &TenantId, record: &SealedRecord, next: &Sealed) -> Result<bool, StorageError> {
        let SealedRecord { key, purpose, revision, sealed } = record;
        let arguments = with(of_connection(tenant, key), "purpose", word(*purpose).into());
        let arguments = with(with(arguments, "revision", json!(revision)), "sealed", json!(sealed));
        self.ask("reseal", with(arguments, "next", json!(next))).await
    }

    async fn delete_tenant(&self, tenant: &TenantId, limit: usize) -> Result<Deleted, StorageError> {
        let arguments = json!({ "tenant": tenant.as_str(), "limit": at_most(limit) });
        let DeletedAnswer { connections, others, is_complete } = self.ask("delete_tenant", arguments).await?;
        Ok(Deleted { connections, others, is_complete })
    }
}
