//! Identifies customers, accounts and connections.

use crate::error::{Cause, Error};
use alloc::string::String;

/// The longest identifier of a customer or an account, in bytes.
pub const MAX_ID_BYTES: usize = 256;

/// The host's own identifier of its customer: 1 to 256 bytes. Identifiers are compared byte for byte and never
/// normalised.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CustomerId(String);

impl CustomerId {
    /// Checks the length.
    ///
    /// # Errors
    /// Invalid request: `customer-id-invalid` if the text is empty or longer than 256 bytes.
    pub fn parse(text: String) -> Result<Self, Error> {
        if text.is_empty() || text.len() > MAX_ID_BYTES {
            return Err(Error::new(Cause::CustomerIdInvalid));
        }
        Ok(Self(text))
    }

    /// Returns the text as the host gave it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// TikTok's `open_id`: identifies the seller account that consented to this app. Opaque, 1 to 256 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountId(String);

impl AccountId {
    /// Checks the length.
    ///
    /// # Errors
    /// Invalid request: `account-id-invalid` if the text is empty or longer than 256 bytes.
    pub fn parse(text: String) -> Result<Self, Error> {
        if text.is_empty() || text.len() > MAX_ID_BYTES {
            return Err(Error::new(Cause::AccountIdInvalid));
        }
        Ok(Self(text))
    }

    /// Returns the text as TikTok sent it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Identifies one connection of a tenant. The tenant is not part of the key, because the host knows for which tenant it
/// runs the call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionKey {
    /// The customer who is connected.
    pub customer: CustomerId,
    /// The seller account.
    pub account: AccountId,
}
