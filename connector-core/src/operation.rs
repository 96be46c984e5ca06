//! One file per export, straight-line over [`Effects`]; beneath them what they share:
//! `renewal` (claim, call, persist), `tokens` (loads and swaps of the record), `rows` (the order of row writes) and
//! `shop_sync` (reading the shops with a token that TikTok may refuse).

pub mod access_token;
pub mod authorization_url;
pub mod call;
pub mod connect;
pub mod disconnect;
pub mod link_shops;
pub mod list_connections;
pub mod list_shops;
pub mod receive_webhook;
pub mod refresh;

mod renewal;
mod rows;
mod shop_sync;
mod signed;
mod tokens;
mod valid_token;

use crate::error::{Cause, Error, scrubbed};
use crate::ports::{Credentials, Effects, StorageError};

async fn credentials(effects: &impl Effects) -> Result<Credentials, Error> {
    effects.credentials().await.map_err(|error| match error {
        StorageError::Unavailable(text) => said_by_the_host(Cause::CredentialsUnavailable, &text),
        StorageError::Refused(text) => said_by_the_host(Cause::CredentialsRefused, &text),
    })
}

fn storage_error(error: StorageError) -> Error {
    match error {
        StorageError::Unavailable(text) => said_by_the_host(Cause::StorageUnavailable, &text),
        StorageError::Refused(text) => said_by_the_host(Cause::StorageRefused, &text),
    }
}

/// A database's error may quote the record it was given, and would take it into the row's last failure.
fn said_by_the_host(cause: Cause, text: &str) -> Error {
    Error::new(cause).noting(&scrubbed(text, &[]))
}
