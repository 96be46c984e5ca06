//! The tenants that certainly exist, as far as this host has learned.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use crate::id::TenantId;

/// The tenants that certainly exist. A tenant becomes known when the host has found something of it in the storage, when
/// a webhook was signed with its secret, or when a call that is not a webhook got its credentials. Nobody outside the
/// platform can add a tenant. All clones share one list.
#[derive(Clone, Default)]
pub(crate) struct KnownTenants(Arc<RwLock<BTreeSet<TenantId>>>);

impl KnownTenants {
    pub(crate) fn contains(&self, tenant: &TenantId) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(tenant)
    }

    pub(crate) fn add(&self, tenant: &TenantId) {
        if !self.contains(tenant) {
            self.0.write().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone());
        }
    }
}
