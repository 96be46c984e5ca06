//! Checks whether a data key is usable. A value may be sealed only with a key that the tenant has and has not erased.

use tiktok_shop_host::storage::StorageError;
use tiktok_shop_host::{KeyId, TenantId};

use crate::sql::run::fetch_optional;
use crate::sql::statement::statement;
use crate::storage::SqlStorage;

/// Returns a condition for the `WHERE` clause of a write. The condition holds if the key in the parameter with this
/// number is usable. The parameter `$1` must be the tenant.
pub(crate) fn usable_key(parameter: usize) -> String {
    format!(
        "EXISTS (SELECT 1 FROM tiktok_shop_tenant_keys WHERE tenant = $1 AND id = ${parameter} AND wrapped IS NOT NULL)"
    )
}

impl SqlStorage {
    /// Returns whether the tenant has this key and has not erased it.
    pub(crate) async fn has_usable_key(&self, tenant: &TenantId, key: &KeyId) -> Result<bool, StorageError> {
        let sql = "SELECT id FROM tiktok_shop_tenant_keys WHERE tenant = $1 AND id = $2 AND wrapped IS NOT NULL";
        let query = statement(sql).bind_text(tenant.as_str()).bind_text(key.as_str());
        Ok(fetch_optional(&self.writers, query).await?.is_some())
    }
}
