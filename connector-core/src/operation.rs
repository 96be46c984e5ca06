//! The functions that the component exports, one file for each. Every function runs its
//! [`Effects`](crate::ports::Effects) one after the other.
//!
//! The operations share these modules: `apps` (the app of a call and its credentials), `renewal` (plan, claim, request,
//! save), `tokens` (loads and swaps of the record), `rows` (the order of row writes), `shop_sync` (reading the shops
//! with a token that TikTok may refuse), `signed` (one exchange with TikTok's API server) and `valid_token` (a token
//! that may be used now).

pub mod access_token;
pub mod authorization_url;
pub mod call;
pub mod confirm_install;
pub mod connect;
pub mod disconnect;
pub mod exchange_install;
pub mod export_grant;
pub mod import;
pub mod install_shops;
pub mod link_shops;
pub mod list_connections;
pub mod list_shops;
pub mod receive_webhook;
pub mod refresh;

mod apps;
mod renewal;
mod rows;
mod shop_sync;
mod signed;
mod tokens;
mod valid_token;

use crate::connection::document::DocumentError;
use crate::error::{Cause, Error, scrubbed};
use crate::ports::StorageError;

/// Builds the error of a call that got no list of apps. A host that looks at the apps itself before it makes a call
/// also uses this function, so that its error is the same as the error of the call.
#[must_use]
pub fn no_credentials(error: StorageError) -> Error {
    match error {
        StorageError::Unavailable(text) => host_error(Cause::CredentialsUnavailable, &text),
        StorageError::Refused(text) => host_error(Cause::CredentialsRefused, &text),
        StorageError::RowChanged(_) | StorageError::RowUnreadable(..) => Error::new(Cause::CredentialsRefused),
    }
}

/// Builds the error of a call whose access to the storage failed. A host that asks the storage itself before it makes a
/// call also uses this function, so that its error is the same as the error of the call.
#[must_use]
pub fn storage_error(error: StorageError) -> Error {
    match error {
        StorageError::Unavailable(text) => host_error(Cause::StorageUnavailable, &text),
        StorageError::Refused(text) => host_error(Cause::StorageRefused, &text),
        StorageError::RowChanged(_) => Error::new(Cause::RowChanged),
        StorageError::RowUnreadable(_, DocumentError::TooNew) => Error::new(Cause::RowTooNew),
        StorageError::RowUnreadable(_, DocumentError::Unreadable) => Error::new(Cause::RowUnreadable),
    }
}

/// Builds an error that contains a text of the host. The text is scrubbed, because it may be a database's error message
/// that quotes the record, and because the error is stored in the row as the last failure.
fn host_error(cause: Cause, text: &str) -> Error {
    Error::new(cause).with_note(&scrubbed(text, &[]))
}
