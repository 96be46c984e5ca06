//! `connect`: turns a consent into a stored connection. It stores the tokens first, then reads the shops, then writes
//! the row. Last, it stores the time at which the next refresh is due.

use super::shop_sync::{Occasion, read_shops, record_shops, token_refused};
use super::tokens::{self, SwapOutcome, VersionedRecord};
use super::{apps, storage_error};
use crate::callback::{Consented, Grant};
use crate::connection::{Connection, Outcome, PastFailure, RowUpdate, ShopUpdate, project};
use crate::credentials::Credentials;
use crate::endpoint::token;
use crate::envelope;
use crate::error::{Action, Cause, Error};
use crate::identity::{AccountId, ConnectionKey, CustomerId};
use crate::ports::Effects;
use crate::record::{Lineage, NewGrant, ShopPolicy, TokenRecord};
use crate::rotation::{MAX_ROUNDS, MAX_TRIES};
use crate::secret::AuthorizationCode;
use crate::time::UnixSeconds;
use crate::token::{Pair, UserType};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use maybe_async::maybe_async;

/// Exchanges the code of a consent for tokens and stores the connection. `app` is the app of the consent; `None` means
/// the tenant's only app.
///
/// # Errors
/// - Invalid request: `state-mismatch`, `callback-malformed`, `app-required`, `callback-of-another-app`,
///   `not-a-seller`, `account-of-another-app`; nothing was stored.
/// - Reauthorize: `consent-refused`, or `authorization-code-spent` if the code was used and its tokens are not stored.
/// - Retry after: TikTok could not be reached or did not answer. The code may still be valid.
/// - Misconfigured, upstream, storage failed: the code says why.
#[maybe_async]
pub async fn connect(
    effects: &impl Effects,
    customer: CustomerId,
    app: Option<String>,
    grant: Grant,
    policy: ShopPolicy,
) -> Result<Connection, Error> {
    let consented = grant.into_consented()?;
    let app = app_of(effects, app, &consented).await?;
    // A code works only once. If storage is down, the call must fail before it spends the code.
    effects.accounts(&customer).await.map_err(storage_error)?;

    // The random values are drawn before the code is spent. So no effect can fail between TikTok's answer and the swap
    // that stores the tokens.
    let (lineage, random) = (Lineage(effects.random()), effects.random_number());
    let Exchanged { account, pair, received_at, granted_at } = exchange(effects, &app, &consented.code).await?;
    let key = ConnectionKey { customer, account };
    let app_key = &app.app_key;
    let grant = NewGrant { lineage, app_key, shop_policy: policy, pair: &pair, received_at, granted_at, random };
    let stored = store(effects, &key, &grant, Origin::Code).await?;

    finish(effects, &app, &key, stored, received_at, None).await
}

/// Returns the app that the host has chosen, if the callback names no other app.
#[maybe_async]
pub(super) async fn app_of(
    effects: &impl Effects,
    app: Option<String>,
    consented: &Consented,
) -> Result<Credentials, Error> {
    let app = apps::chosen(effects, app).await?;
    if consented.app_key.as_ref().is_some_and(|named| *named != app.app_key) {
        return Err(Error::new(Cause::CallbackOfAnotherApp));
    }
    Ok(app)
}

/// Reads the shops of a grant that this call has stored, and writes the row. The connection exists already. A failure
/// concerns only the row, and `refresh` repairs it. The row shows `remark` as its last failure, even if the shops cannot
/// be read.
#[maybe_async]
pub(super) async fn finish(
    effects: &impl Effects,
    app: &Credentials,
    key: &ConnectionKey,
    stored: VersionedRecord,
    received_at: UnixSeconds,
    remark: Option<Error>,
) -> Result<Connection, Error> {
    let reading = read_shops(effects, app, &stored.record).await.map_err(|fault| match fault.error {
        error if token_refused(&error) => error.with_cause(Cause::TokenRefused),
        error => error,
    });
    let (shops, failure) = match reading {
        Ok(listing) => (ShopUpdate::Listed(listing.list), remark.or(listing.flaw)),
        // A later refresh reads the shops again, and shows its own error. The remark is made only once.
        Err(error) => {
            let shown = match remark {
                Some(remark) => remark.with_delay(error.delay),
                None => error,
            };
            (ShopUpdate::Unread, Some(shown))
        }
    };
    let unsaved = Error::new(Cause::ConnectionRowNotSaved);
    let unsaved = Outcome::Failure(PastFailure::new(received_at, &unsaved));
    let update = RowUpdate { occasion: Occasion::Consent, ..RowUpdate::outcome(received_at, unsaved) };
    let shown_if_unsaved = project(key, &stored.record, None, &update)?.connection;
    match record_shops(effects, key, stored, shops, failure.as_ref(), Occasion::Consent).await.connection {
        Ok(Some(connection)) => Ok(connection),
        Ok(None) => Err(Error::new(Cause::NotConnected).with_note("disconnected while it was being connected")),
        Err(_) => Ok(shown_if_unsaved),
    }
}

/// The tokens that TikTok issued to a seller for a code.
pub(super) struct Exchanged {
    pub(super) account: AccountId,
    /// The pair has a refresh token.
    pub(super) pair: Pair,
    pub(super) received_at: UnixSeconds,
    /// The time of the grant. It is the date of TikTok's answer if possible, because TikTok dates later webhooks about
    /// the grant by the same clock.
    pub(super) granted_at: UnixSeconds,
}

/// Exchanges the code for tokens. This spends the code. Refuses an account that is not a seller's, and an answer without
/// the account or the refresh token.
#[maybe_async]
pub(super) async fn exchange(
    effects: &impl Effects,
    app: &Credentials,
    code: &AuthorizationCode,
) -> Result<Exchanged, Error> {
    let answer = effects.send(token::exchange_request(app, code)).await;
    let now = effects.wall();
    let outcome = match &answer {
        Ok(response) => token::read(response, &[app.app_secret.expose(), code.expose()], now),
        Err(failure) => Err(envelope::transport(*failure)),
    };
    let pair = outcome.map_err(|fault| match (fault.error.cause, fault.error.cause.action()) {
        (Cause::AuthorizationCodeSpent, _) => fault.error,
        // An answer about a refresh token or an access token says nothing about an authorization code. Such an answer
        // and an answer with an unknown code become `tiktok-refused`: the host shows the error and does not call again.
        (Cause::UnrecognisedAnswer | Cause::TokenExpired | Cause::TokenInvalid, _) | (_, Action::Reauthorize) => {
            fault.error.with_cause(Cause::TikTokRefused)
        }
        (_, _) => fault.error,
    })?;
    let granted_at = pair.granted_at(now);
    if pair.user_type.is_some_and(UserType::is_not_a_seller) {
        return Err(pair.error(Cause::NotASeller));
    }
    let account = pair.account.clone().and_then(|text| AccountId::parse(text).ok());
    let (Some(account), Some(_)) = (account, &pair.refresh) else {
        return Err(pair.error(Cause::AuthorizationCodeSpent).with_note(Cause::TokenAnswerIncomplete.code()));
    };
    Ok(Exchanged { account, pair, received_at: now, granted_at })
}

/// Where the tokens of a grant come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// This call has exchanged a code for them. If they are not stored, they are lost.
    Code,
    /// An earlier call has exchanged a code for them, and the host keeps them until they are stored. An earlier try may
    /// have stored them, and they may have been renewed since.
    PendingInstall,
}

/// Stores the grant, as a new record or in place of the record that exists for this account. An account id belongs to
/// one app, so a record of another app stays, and the grant is refused. A refresh of the record is
/// due at once: if this call crashes, a sweep reads the shops and writes the row.
#[maybe_async]
pub(super) async fn store(
    effects: &impl Effects,
    key: &ConnectionKey,
    grant: &NewGrant<'_>,
    origin: Origin,
) -> Result<VersionedRecord, Error> {
    let not_stored = |error: Error| match origin {
        Origin::Code => Error::new(Cause::AuthorizationCodeSpent).with_note(error.cause.code()),
        Origin::PendingInstall => error,
    };
    let mut unavailable = 0;
    let mut stored = None;
    for _ in 0..MAX_ROUNDS {
        let (expected, record) = match stored {
            Some(stored) if origin == Origin::PendingInstall && is_as_new(&stored.record, grant) => return Ok(stored),
            Some(VersionedRecord { revision, mut record, .. }) if record.app_key() == grant.app_key => {
                record.regrant(grant);
                (Some(revision), record)
            }
            // A load may return a record of another app that is deleted by now. The swap expects no record, so its
            // outcome shows whether there is one.
            Some(_) | None => (None, Box::new(TokenRecord::granted(grant))),
        };
        stored = match tokens::swap_due_at(effects, key, expected.as_ref(), &record, Some(grant.received_at)).await {
            SwapOutcome::Stored(revision) => return Ok(VersionedRecord::written(revision, record)),
            SwapOutcome::Stale(Some(found)) if found.record.app_key() != grant.app_key => {
                let note = format!("app {}", found.record.app_key());
                return Err(Error::new(Cause::AccountOfAnotherApp).with_note(&note));
            }
            SwapOutcome::Stale(found) => found,
            SwapOutcome::Unavailable(error) => {
                unavailable += 1;
                if unavailable >= MAX_TRIES {
                    return Err(not_stored(error));
                }
                let Ok(found) = tokens::load(effects, key).await else {
                    // It is unknown which record is stored. The loop repeats the same write, and the outcome of this
                    // write shows which record is stored.
                    stored = expected.map(|revision| VersionedRecord::written(revision, record));
                    continue;
                };
                found
            }
            // The stored record cannot be read and is not overwritten. It must be repaired before a new consent.
            SwapOutcome::Failed(error) if error.cause != Cause::StorageRefused => return Err(error),
            SwapOutcome::Failed(error) => return Err(not_stored(error)),
        };
        // An earlier try of this call may have written the record. The pair alone does not prove that this call wrote
        // the record, because TikTok may answer a consent with a pair that it has already issued.
        let ours = |found: &mut VersionedRecord| {
            found.record.granted_at() == grant.granted_at && found.record.contains(grant.pair)
        };
        if let Some(found) = stored.take_if(ours) {
            return Ok(found);
        }
    }
    Err(not_stored(Error::new(Cause::StorageConflict)))
}

/// Returns whether the record holds this grant already, or a later grant of the account. The tokens in the record may
/// have been renewed since, so they are newer than the tokens of `grant`. A dead record is replaced in any case, because
/// its tokens are of no use.
fn is_as_new(record: &TokenRecord, grant: &NewGrant<'_>) -> bool {
    record.app_key() == grant.app_key && record.granted_at() >= grant.granted_at && record.dead().is_none()
}
