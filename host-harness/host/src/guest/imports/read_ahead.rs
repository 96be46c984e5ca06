//! What the storage has returned together with another value, because the guest usually asks for it next.

use crate::connection::ConnectionKey;
use crate::id::{AccountId, CustomerId};
use crate::storage::TokenEntry;

/// A value that the guest has not asked for yet. The next access to the storage uses it or drops it, so it is as old as
/// the latest answer of the storage.
#[derive(Default)]
pub(super) enum ReadAhead {
    #[default]
    Nothing,
    /// The customer's accounts.
    Accounts(CustomerId, Vec<AccountId>),
    /// The token record of a connection.
    Token(ConnectionKey, TokenEntry),
}

impl ReadAhead {
    /// Returns the accounts if they are those of this customer.
    pub(super) fn accounts(self, customer: &CustomerId) -> Option<Vec<AccountId>> {
        match self {
            Self::Accounts(of, accounts) if of == *customer => Some(accounts),
            Self::Nothing | Self::Accounts(..) | Self::Token(..) => None,
        }
    }

    /// Returns the token record if it is that of this connection.
    pub(super) fn token(self, key: &ConnectionKey) -> Option<TokenEntry> {
        match self {
            Self::Token(of, entry) if of == *key => Some(entry),
            Self::Nothing | Self::Accounts(..) | Self::Token(..) => None,
        }
    }
}
