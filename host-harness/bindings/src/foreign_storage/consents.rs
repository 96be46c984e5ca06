//! The part that keeps consents and pending installs.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use tiktok_shop_host::TenantId;
use tiktok_shop_host::storage::{
    BrowserDigest, ConsentRecord, ConsentStorage, InstallDigest, InstallRecord, StateDigest, StorageError,
    StoredConsent, StoredInstall,
};

use super::{AgeMs, ForeignStorage, bytes_of, read_text, text_of, with};

#[derive(Deserialize)]
struct ConsentAnswer {
    consent: String,
    age_ms: AgeMs,
    used: bool,
}

#[derive(Deserialize)]
struct InstallAnswer {
    browser: String,
    sealed: Option<String>,
    age_ms: AgeMs,
}

fn of_state(tenant: &TenantId, state: &StateDigest) -> Value {
    json!({ "tenant": tenant.as_str(), "state": hex::encode(state.as_bytes()) })
}

fn of_install(tenant: &TenantId, install: &InstallDigest) -> Value {
    json!({ "tenant": tenant.as_str(), "install": hex::encode(install.as_bytes()) })
}

#[async_trait]
impl ConsentStorage for ForeignStorage {
    async fn put_state(
        &self,
        tenant: &TenantId,
        state: &StateDigest,
        consent: &ConsentRecord,
    ) -> Result<(), StorageError> {
        self.tell("put_state", with(of_state(tenant, state), "consent", text_of(consent)?.into())).await
    }

    async fn load_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<Option<StoredConsent>, StorageError> {
        let stored: Option<ConsentAnswer> = self.ask("load_state", of_state(tenant, state)).await?;
        let read = |stored: ConsentAnswer| {
            let record = read_text(&stored.consent)?;
            Ok(StoredConsent { record, age: stored.age_ms.into(), used: stored.used })
        };
        stored.map(read).transpose()
    }

    async fn use_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<bool, StorageError> {
        self.ask("use_state", of_state(tenant, state)).await
    }

    async fn release_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<(), StorageError> {
        self.tell("release_state", of_state(tenant, state)).await
    }

    async fn put_install(
        &self,
        tenant: &TenantId,
        install: &InstallDigest,
        record: &InstallRecord,
    ) -> Result<(), StorageError> {
        let arguments = with(of_install(tenant, install), "browser", hex::encode(record.browser.as_bytes()).into());
        self.tell("put_install", with(arguments, "sealed", hex::encode(&record.sealed).into())).await
    }

    async fn load_install(
        &self,
        tenant: &TenantId,
        install: &InstallDigest,
    ) -> Result<Option<StoredInstall>, StorageError> {
        let stored: Option<InstallAnswer> = self.ask("load_install", of_install(tenant, install)).await?;
        let read = |stored: InstallAnswer| {
            let changed = |_| StorageError::Refused("a stored digest has another length".to_owned());
            let browser = bytes_of(&stored.browser)?.try_into().map_err(changed)?;
            let sealed = stored.sealed.as_deref().map(bytes_of).transpose()?;
            Ok(StoredInstall { browser: BrowserDigest::new(browser), sealed, age: stored.age_ms.into() })
        };
        stored.map(read).transpose()
    }

    async fn close_install(&self, tenant: &TenantId, install: &InstallDigest) -> Result<(), StorageError> {
        self.tell("close_install", of_install(tenant, install)).await
    }

    async fn delete_install(&self, tenant: &TenantId, install: &InstallDigest) -> Result<(), StorageError> {
        self.tell("delete_install", of_install(tenant, install)).await
    }

    async fn delete_expired(&self) -> Result<(), StorageError> {
        self.tell("delete_expired", json!({})).await
    }
}
