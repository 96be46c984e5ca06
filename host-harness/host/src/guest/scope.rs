//! The scope of a call: its tenant, the customers whose records its guest may reach, and when it needs the tenant's
//! keys.

use std::collections::BTreeSet;

use super::found::Found;
use crate::events::Origin;
use crate::id::{CustomerId, TenantId};
use crate::refresh::RefreshMode;

/// The tenant and the customers of one call, and who makes the call. The guest may access only the records of these
/// customers, and it can't choose a tenant or an actor.
#[derive(Clone)]
pub(crate) struct Scope {
    pub(crate) tenant: TenantId,
    pub(super) customers: Customers,
    pub(super) keys: KeyUse,
    pub(super) credentials: CredentialsUse,
    /// The origin of the events that the call causes.
    pub(super) origin: Origin,
    pub(super) act: Act,
    /// The list in which the call records the connections that it finds. `None` if the caller does not need this list.
    pub(super) found: Option<Found>,
}

/// The purpose of a call. The first row that the call writes causes the event of this purpose, even if the new row
/// equals the old row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// The call stores a new consent.
    Consent,
    /// The call is a forced refresh.
    ForcedRefresh,
    /// Any other call. Its events depend only on the rows.
    Other,
}

/// When the host fetches the app's credentials for a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CredentialsUse {
    /// Before the call takes an instance. In this operation the connector asks for the credentials.
    First,
    /// Only if the guest asks for the credentials. Operations that usually need no credentials use this value, so a
    /// slow source of credentials does not delay them.
    WhenAsked,
}

/// When a call needs the tenant's keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyUse {
    /// When the call decrypts or encrypts a value. If a key is not available at that point, the call fails.
    WhenNeeded,
    /// Before the call does anything else. If the key were missing at the end, the call could not seal its new tokens
    /// and would lose them.
    First,
    /// Never. If a key is not available, the call still reads rows and token records, but it gets no ciphers of shops
    /// and no values of token records. So the call can list connections and delete them.
    Optional,
}

#[derive(Clone)]
pub(super) enum Customers {
    /// The call reads no stored connection.
    None,
    One(CustomerId),
    /// The customers whose connections contain a shop that the guest has looked up. A webhook contains the id of a
    /// shop, but no customer.
    Owners(BTreeSet<CustomerId>),
}

impl Scope {
    /// Returns the scope of a call for one customer.
    pub(crate) fn of_customer(tenant: &TenantId, customer: &CustomerId, origin: Origin) -> Self {
        Self::new(tenant, Customers::One(customer.clone()), origin)
    }

    /// Returns the scope of a call that is for one customer and may send requests to TikTok.
    pub(crate) fn with_credentials(tenant: &TenantId, customer: &CustomerId, origin: Origin) -> Self {
        Self { credentials: CredentialsUse::First, ..Self::of_customer(tenant, customer, origin) }
    }

    /// Returns the scope of a call that spends an authorization code for one customer.
    pub(crate) fn for_connect(tenant: &TenantId, customer: &CustomerId, origin: Origin) -> Self {
        Self { keys: KeyUse::First, act: Act::Consent, ..Self::with_credentials(tenant, customer, origin) }
    }

    /// Returns the scope of a call that stores the tokens of a confirmed install. The call may be repeated, so its events
    /// depend only on the rows.
    pub(crate) fn for_confirmation(tenant: &TenantId, customer: &CustomerId, origin: Origin) -> Self {
        Self { act: Act::Other, ..Self::for_connect(tenant, customer, origin) }
    }

    /// Returns the scope of a call that refreshes a connection of one customer.
    pub(crate) fn for_refresh(tenant: &TenantId, customer: &CustomerId, mode: RefreshMode, origin: Origin) -> Self {
        let act = match mode {
            RefreshMode::Forced => Act::ForcedRefresh,
            RefreshMode::WhenDue => Act::Other,
        };
        Self { act, ..Self::with_credentials(tenant, customer, origin) }
    }

    /// Returns the scope of a call that lists one customer's connections.
    pub(crate) fn for_listing(tenant: &TenantId, customer: &CustomerId, origin: Origin) -> Self {
        Self { keys: KeyUse::Optional, ..Self::of_customer(tenant, customer, origin) }
    }

    /// Returns the scope of a call that deletes one customer's connections and needs no key.
    pub(crate) fn for_deletion(tenant: &TenantId, customer: &CustomerId, origin: Origin) -> Self {
        Self { keys: KeyUse::Optional, ..Self::of_customer(tenant, customer, origin) }
    }

    /// Returns the scope of a call that reads no stored connection, and uses the app's credentials.
    pub(crate) fn without_customer(tenant: &TenantId, origin: Origin) -> Self {
        Self { credentials: CredentialsUse::First, ..Self::new(tenant, Customers::None, origin) }
    }

    /// Returns the scope of a call that receives a webhook. In this call, the guest may look up the owners of a shop.
    pub(crate) fn for_webhook(tenant: &TenantId, origin: Origin) -> Self {
        Self { credentials: CredentialsUse::First, ..Self::new(tenant, Customers::Owners(BTreeSet::new()), origin) }
    }

    /// Returns this scope, changed so that the call records in `found` the connections that it finds.
    pub(crate) fn recording(self, found: Found) -> Self {
        Self { found: Some(found), ..self }
    }

    fn new(tenant: &TenantId, customers: Customers, origin: Origin) -> Self {
        let (keys, credentials) = (KeyUse::WhenNeeded, CredentialsUse::WhenAsked);
        Self { tenant: tenant.clone(), customers, keys, credentials, origin, act: Act::Other, found: None }
    }

    /// Returns whether the call receives a webhook.
    pub(super) fn is_webhook(&self) -> bool {
        matches!(self.customers, Customers::Owners(_))
    }

    /// Returns the customer of the call. `None` if the call is not for exactly one customer.
    pub(super) fn customer(&self) -> Option<&CustomerId> {
        match &self.customers {
            Customers::One(customer) => Some(customer),
            Customers::None | Customers::Owners(_) => None,
        }
    }

    /// Returns whether the guest may access this customer's records in this call.
    pub(super) fn contains(&self, customer: &CustomerId) -> bool {
        match &self.customers {
            Customers::None => false,
            Customers::One(only) => only == customer,
            Customers::Owners(owners) => owners.contains(customer),
        }
    }
}
