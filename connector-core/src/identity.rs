//! Who is meant: the host's customer, TikTok's account, a shop.

use crate::error::{Cause, Error};
use alloc::string::String;

/// Most bytes of a customer's or an account's identifier.
pub const MAX_ID_BYTES: usize = 256;

/// The host's own identifier of its customer: 1 to 256 bytes, compared byte for byte, never normalised.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CustomerId(String);

impl CustomerId {
    /// # Errors
    /// Invalid request (`customer-id-invalid`) when empty or longer than 256 bytes.
    pub fn parse(text: String) -> Result<Self, Error> {
        if text.is_empty() || text.len() > MAX_ID_BYTES {
            return Err(Error::new(Cause::CustomerIdInvalid));
        }
        Ok(Self(text))
    }

    /// The text as the host gave it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// TikTok's `open_id`: the seller account that consented, for this app. Opaque, 1 to 256 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountId(String);

impl AccountId {
    /// # Errors
    /// Invalid request (`account-id-invalid`) when empty or longer than 256 bytes.
    pub fn parse(text: String) -> Result<Self, Error> {
        if text.is_empty() || text.len() > MAX_ID_BYTES {
            return Err(Error::new(Cause::AccountIdInvalid));
        }
        Ok(Self(text))
    }

    /// The text as TikTok sent it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Names one connection. The tenant is not in it: the host's own context adds that.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionKey {
    /// Whose connection.
    pub customer: CustomerId,
    /// To which account.
    pub account: AccountId,
}
