//! The app of a call and its credentials. A consent and a webhook belong to an app that their caller may name. Every
//! other call uses the app of the stored token record.

use super::{host_error, no_credentials};
use crate::credentials::{Credentials, check_apps, named, only_app};
use crate::error::{Cause, Error};
use crate::ports::{Effects, StorageError};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use maybe_async::maybe_async;

/// The credentials that a call has fetched. Each app is asked for at most once, even if the host has no credentials.
#[derive(Default)]
pub(super) struct Apps(Vec<(String, Result<Credentials, Error>)>);

#[maybe_async]
impl Apps {
    /// Holds the credentials of an app that the call has fetched already.
    pub(super) fn holding(app: Credentials) -> Self {
        Self(vec![(app.app_key.clone(), Ok(app))])
    }

    /// Fetches the credentials of the app with this key, unless the call has already asked for them. The app is that of
    /// a token record.
    pub(super) async fn fetch(&mut self, effects: &impl Effects, app_key: &str) -> Result<&Credentials, Error> {
        if !self.0.iter().any(|(known, _)| known == app_key) {
            self.0.push((app_key.into(), fetch(effects, app_key).await));
        }
        self.of(app_key)
    }

    /// Returns the credentials that [`fetch`](Self::fetch) has fetched for this app.
    pub(super) fn of(&self, app_key: &str) -> Result<&Credentials, Error> {
        match self.0.iter().find(|(known, _)| known == app_key) {
            Some((_, Ok(app))) => Ok(app),
            Some((_, Err(error))) => Err(error.clone()),
            None => Err(Error::new(Cause::Internal)),
        }
    }
}

/// Returns the credentials of the app that the caller has named. `None` means the tenant's only app.
#[maybe_async]
pub(super) async fn chosen(effects: &impl Effects, app: Option<String>) -> Result<Credentials, Error> {
    let app_key = match app {
        Some(app_key) => app_key,
        None => only_app(&all(effects).await?)?.into(),
    };
    fetch(effects, &app_key).await
}

/// Returns the keys of the tenant's apps.
#[maybe_async]
pub(super) async fn all(effects: &impl Effects) -> Result<Vec<String>, Error> {
    let keys = effects.apps().await.map_err(no_credentials)?;
    check_apps(&keys)?;
    Ok(keys)
}

/// Returns the error for an app whose credentials the host has refused: the tenant has no apps at all, or other apps.
#[maybe_async]
async fn refused(effects: &impl Effects, app_key: &str, text: &str) -> Error {
    match all(effects).await {
        Ok(keys) if keys.iter().any(|key| key == app_key) => host_error(Cause::AppUnknown, text),
        Ok(keys) => Error::new(Cause::AppUnknown).with_note(&named(&keys)),
        Err(error) => error,
    }
}

/// Fetches the credentials of one app.
#[maybe_async]
pub(super) async fn fetch(effects: &impl Effects, app_key: &str) -> Result<Credentials, Error> {
    let app = match effects.credentials(app_key).await {
        Ok(app) => app,
        Err(StorageError::Refused(text)) => return Err(refused(effects, app_key, &text).await),
        Err(unavailable) => return Err(no_credentials(unavailable)),
    };
    // A token of one app must never be sent with the key of another app.
    if app.app_key != app_key {
        return Err(Error::new(Cause::AppUnknown).with_note("the host answered with the credentials of another app"));
    }
    Ok(app)
}
