//! Import: `connect` with a grant that another system holds. It sends the grant's refresh token once, so that from then
//! on only the connector has the tokens. Then it reads the shops and writes the row.
//!
//! If the caller names the account, the token is stored before it is sent, and it is sent by the refresh protocol. A
//! crash at any point leaves a record that a sweep, or the same import again, continues. If the caller does not name
//! the account, TikTok's answer names it, and the first record is written after this answer. So a crash between the
//! request and the first write loses the tokens of the answer.

use super::apps::Apps;
use super::connect::finish;
use super::renewal::{self, NotRenewed, Received, Renewed};
use super::tokens::{self, SwapOutcome, VersionedRecord};
use super::{apps, rows, storage_error};
use crate::connection::Connection;
use crate::credentials::Credentials;
use crate::envelope::Acted;
use crate::error::{Cause, Error};
use crate::existing_grant::ExistingGrant;
use crate::identity::{AccountId, ConnectionKey, CustomerId};
use crate::ports::{Effects, Swapped};
use crate::record::{Import, Lineage, ShopPolicy, TokenRecord};
use crate::rotation::{self, MAX_ROUNDS, MAX_TRIES, Plan, Trigger};
use crate::secret::RefreshToken;
use crate::token::UserType;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use maybe_async::maybe_async;

/// Connects a customer with a grant that another system holds. `app` is the app of the grant; `None` means the tenant's
/// only app. If TikTok rejects the refresh token, or certainly did not act, nothing stays stored.
///
/// # Errors
/// - Invalid request: `grant-malformed`, `app-required`, `already-connected`, `account-of-another-app`, `not-a-seller`.
/// - Reauthorize: TikTok rejects the refresh token.
/// - Retry after: TikTok could not be reached or did not answer, or another call sends the token of this account. Call
///   again with the same grant.
/// - Misconfigured, upstream, storage failed: the code says why.
#[maybe_async]
pub async fn import(
    effects: &impl Effects,
    customer: CustomerId,
    app: Option<String>,
    grant: &ExistingGrant,
    shop_policy: ShopPolicy,
) -> Result<Connection, Error> {
    grant.check()?;
    let app = apps::chosen(effects, app).await?;
    let app_key = app.app_key.clone();
    let (lineage, at) = (Lineage(effects.random()), effects.wall());
    let import = Import { lineage, app_key: &app_key, shop_policy, grant, at };
    match &grant.account {
        Some(account) => of_named_account(effects, app, customer, account.clone(), &import).await,
        None => of_unnamed_account(effects, &app, customer, &import).await,
    }
}

/// The record that an import with a named account found before it stored its token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    /// No record, or the record of an earlier import that has not ended.
    NoPair,
    /// A dead record.
    Dead,
}

/// Stores the token, and then sends it by the refresh protocol.
#[maybe_async]
async fn of_named_account(
    effects: &impl Effects,
    app: Credentials,
    customer: CustomerId,
    account: AccountId,
    import: &Import<'_>,
) -> Result<Connection, Error> {
    let key = ConnectionKey { customer, account };
    let mut apps = Apps::holding(app);
    let found = place(effects, &key, import).await?;
    let (stored, account_changed) = match renewal::renew(effects, &mut apps, &key, Trigger::Forced).await {
        Ok(Renewed::Rotated { stored, account_changed }) => (stored, account_changed),
        Ok(Renewed::NotDue(stored)) => (stored, false),
        Ok(Renewed::Waiting { error, .. } | Renewed::Dead { error, .. }) => return Err(error),
        Err(failed) => return Err(give_up(effects, &key, found, failed).await),
    };
    // Another call may have replaced the record since. The shops of a record are read only with the secret of its app.
    check_app(&stored.record, import)?;
    if stored.record.profile().user_type.is_some_and(UserType::is_not_a_seller) {
        remove(effects, &key, &stored).await?;
        return Err(Error::new(Cause::NotASeller));
    }
    let remark = account_changed.then(|| Error::new(Cause::AccountChanged));
    let app = apps.of(import.app_key)?;
    finish(effects, app, &key, stored, import.at, remark).await
}

/// Stores the refresh token of the grant, in a new record or in a record whose tokens nobody uses.
#[maybe_async]
async fn place(effects: &impl Effects, key: &ConnectionKey, import: &Import<'_>) -> Result<Found, Error> {
    let mut stored: Option<VersionedRecord> = None;
    let mut unavailable = 0;
    for _ in 0..MAX_ROUNDS {
        let (expected, record, found) = match stored.take() {
            None => (None, Box::new(TokenRecord::imported(import)), Found::NoPair),
            // An earlier try of this call has written the record.
            Some(stored) if stored.record.lineage() == import.lineage => return Ok(Found::NoPair),
            Some(VersionedRecord { revision, mut record, age, .. }) => {
                check_usable(&record, import)?;
                let random = || effects.random_number();
                if let Plan::Wait(cause, delay) = rotation::plan(&record, age, effects.wall(), Trigger::Forced, random)
                {
                    return Err(Error::new(cause).with_delay(delay));
                }
                let found = if record.dead().is_some() { Found::Dead } else { Found::NoPair };
                record.bring(import);
                (Some(revision), record, found)
            }
        };
        stored = match tokens::swap(effects, key, expected.as_ref(), &record, import.at).await {
            SwapOutcome::Stored(_) => return Ok(found),
            SwapOutcome::Stale(newer) => newer,
            SwapOutcome::Unavailable(error) => {
                unavailable += 1;
                if unavailable >= MAX_TRIES {
                    return Err(error);
                }
                // The next swap expects no record, so its outcome shows which record is stored.
                None
            }
            SwapOutcome::Failed(error) => return Err(error),
        };
    }
    Err(Error::new(Cause::StorageConflict))
}

/// Refuses a stored record that an import must not change: a record of another app, or of a connection that works.
fn check_usable(record: &TokenRecord, import: &Import<'_>) -> Result<(), Error> {
    check_app(record, import)?;
    if record.lacks_shops() { Ok(()) } else { Err(Error::new(Cause::AlreadyConnected)) }
}

/// Refuses a record of another app.
fn check_app(record: &TokenRecord, import: &Import<'_>) -> Result<(), Error> {
    if record.app_key() == import.app_key {
        return Ok(());
    }
    Err(Error::new(Cause::AccountOfAnotherApp).with_note(&format!("app {}", record.app_key())))
}

/// Ends an import whose refresh failed. If TikTok has rejected the token or certainly did not act, the record of the
/// import is deleted, so that the other system may use the token. If the outcome of a request is unknown, the record
/// stays, because TikTok may have acted. A record that was dead before stays, too.
#[maybe_async]
async fn give_up(effects: &impl Effects, key: &ConnectionKey, found: Found, failed: NotRenewed) -> Error {
    let NotRenewed { error, stored } = failed;
    let Some(stored) = stored else { return rows::record_failure(effects, key, error.into()).await.error };
    let record = &stored.record;
    let outcomes_are_known = record.presented() == 0 && record.current_claim().is_none();
    if found == Found::NoPair && record.is_unconfirmed() && outcomes_are_known {
        // If the record cannot be deleted, a sweep continues the import.
        let _stays_if_it_fails = remove(effects, key, &stored).await;
        return error;
    }
    // The customer sees no connection that has never worked, unless only a new consent can help.
    if record.is_unconfirmed() && record.dead().is_none() {
        return error;
    }
    rows::record_failure(effects, key, NotRenewed { error, stored: Some(stored) }).await.error
}

/// Deletes the record of an import, and the row that another call may have written for it. If the record has changed
/// since, it stays, because another call may be sending its token, or may have stored a new pair.
#[maybe_async]
async fn remove(effects: &impl Effects, key: &ConnectionKey, stored: &VersionedRecord) -> Result<(), Error> {
    match effects.swap_token(key, Some(&stored.revision), None).await.map_err(storage_error)? {
        Swapped::Deleted => rows::delete_orphan(effects, key).await,
        Swapped::Stale(_) | Swapped::Stored(_) => Err(Error::new(Cause::StorageConflict)),
    }
}

/// Sends the token, and stores TikTok's answer under the account that it names.
#[maybe_async]
async fn of_unnamed_account(
    effects: &impl Effects,
    app: &Credentials,
    customer: CustomerId,
    import: &Import<'_>,
) -> Result<Connection, Error> {
    // If storage is down, the call must fail before it sends the token.
    effects.accounts(&customer).await.map_err(storage_error)?;
    let received = renewal::ask(effects, app, &import.grant.refresh).await.map_err(|fault| match fault.acted {
        Acted::No => fault.error,
        Acted::Unknown => rotation::outcome_unknown(fault.error, 0),
    })?;
    let Received { pair, at, .. } = &received;
    if pair.user_type.is_some_and(UserType::is_not_a_seller) {
        return Err(pair.error(Cause::NotASeller));
    }
    let Some(account) = pair.account.clone().and_then(|text| AccountId::parse(text).ok()) else {
        return Err(pair.error(Cause::TokenAnswerIncomplete));
    };
    let key = ConnectionKey { customer, account };
    let import = Import { at: pair.granted_at(*at), ..*import };
    let stored = store(effects, &key, &import, &received).await?;
    finish(effects, app, &key, stored, *at, None).await
}

/// Stores a pair that TikTok has issued for a grant without a named account. If the account is connected already, its
/// connection gets only the refresh token, as a fallback.
#[maybe_async]
async fn store(
    effects: &impl Effects,
    key: &ConnectionKey,
    import: &Import<'_>,
    received: &Received,
) -> Result<VersionedRecord, Error> {
    let Received { pair, at, random } = received;
    let not_saved = |error: &Error| Error::new(Cause::TokenNotSaved).with_note(error.cause.code());
    let mut unavailable = 0;
    let mut stored: Option<VersionedRecord> = None;
    for _ in 0..MAX_ROUNDS {
        let (expected, record, refusal) = match stored.take() {
            None => {
                let mut record = Box::new(TokenRecord::imported(import));
                record.take_pair(pair, *at, *random);
                (None, record, None)
            }
            // An earlier try of this call has written the record. The pair alone does not prove that, because TikTok may
            // answer the same token again with the pair that is stored.
            Some(stored)
                if unavailable > 0 && stored.record.granted_at() == import.at && stored.record.contains(pair) =>
            {
                return Ok(stored);
            }
            Some(VersionedRecord { revision, mut record, .. }) => match check_usable(&record, import) {
                Ok(()) => {
                    record.bring(import);
                    record.take_pair(pair, *at, *random);
                    (Some(revision), record, None)
                }
                Err(error) if error.cause == Cause::AlreadyConnected => {
                    record.push_fallback(pair.refresh.as_ref().map(RefreshToken::duplicate));
                    (Some(revision), record, Some(error))
                }
                Err(error) => return Err(error),
            },
        };
        // A refresh of the new record is due at once: if this call crashes, a sweep reads the shops and writes the row.
        let due_at = if refusal.is_some() { record.next_due(*at) } else { Some(*at) };
        stored = match (tokens::swap_due_at(effects, key, expected.as_ref(), &record, due_at).await, refusal) {
            (SwapOutcome::Stored(_), Some(error)) => return Err(error),
            (SwapOutcome::Stored(revision), None) => return Ok(VersionedRecord::written(revision, record)),
            (SwapOutcome::Stale(newer), _) => newer,
            // The connection works without the fallback.
            (SwapOutcome::Unavailable(_) | SwapOutcome::Failed(_), Some(error)) => return Err(error),
            (SwapOutcome::Unavailable(error), None) => {
                unavailable += 1;
                if unavailable >= MAX_TRIES {
                    return Err(not_saved(&error));
                }
                None
            }
            // The stored record cannot be read and is not overwritten.
            (SwapOutcome::Failed(error), None) if error.cause != Cause::StorageRefused => return Err(error),
            (SwapOutcome::Failed(error), None) => return Err(not_saved(&error)),
        };
    }
    Err(not_saved(&Error::new(Cause::StorageConflict)))
}
