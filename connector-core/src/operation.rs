//! One file per export, straight-line over [`Effects`]; beneath them what they share:
//! `renewal` (claim, call, persist), `tokens` (loads and swaps of the record), `rows` (the order of row writes) and
//! `shop_sync` (reading the shops with a token that TikTok may refuse).

pub mod authorization_url;
pub mod connect;
pub mod list_connections;
pub mod list_shops;
pub mod refresh;

mod renewal;
mod rows;
mod shop_sync;
mod tokens;

use crate::error::{Cause, Error};
use crate::ports::{Credentials, Effects, StorageError};

async fn credentials(effects: &impl Effects) -> Result<Credentials, Error> {
    effects.credentials().await.map_err(|error| match error {
        StorageError::Unavailable(text) => Error::new(Cause::CredentialsUnavailable).noting(&text),
        StorageError::Refused(text) => Error::new(Cause::CredentialsRefused).noting(&text),
    })
}

fn storage_error(error: StorageError) -> Error {
    match error {
        StorageError::Unavailable(text) => Error::new(Cause::StorageUnavailable).noting(&text),
        StorageError::Refused(text) => Error::new(Cause::StorageRefused).noting(&text),
    }
}
