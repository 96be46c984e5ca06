//! `connect`: a grant becomes a stored connection. Tokens first, then the shops, then the row, then the real due time.

use super::shop_sync::{read_shops, record_shops, token_refused};
use super::tokens::{self, Held, Swap};
use super::{credentials, storage_error};
use crate::callback::{Consented, Grant};
use crate::connection::{Connection, News, Outcome, PastFailure, ShopNews, project};
use crate::endpoint::token::{self, Pair};
use crate::envelope;
use crate::error::{Action, Cause, Error};
use crate::identity::{AccountId, ConnectionKey, CustomerId};
use crate::ports::{Credentials, Effects};
use crate::record::{Lineage, ShopPolicy};
use crate::rotation::{self, MOST_ROUNDS, MOST_TRIES};
use crate::secret::AuthorizationCode;
use crate::time::{UnixSeconds, http_date};
use alloc::boxed::Box;

/// # Errors
/// - Invalid request: `state-mismatch`, `callback-malformed`, `callback-of-another-app`, `not-a-seller`; nothing was
///   stored.
/// - Reauthorize: `consent-refused`, or `authorization-code-spent` once the code is used and its tokens are not stored.
/// - Retry after: TikTok could not be reached or did not answer; the code may still be good.
/// - Misconfigured, upstream, storage failed: as their codes say.
pub async fn connect(
    effects: &impl Effects,
    customer: CustomerId,
    grant: Grant,
    policy: ShopPolicy,
) -> Result<Connection, Error> {
    let Consented { code, app_key } = grant.into_consented()?;
    let app = credentials(effects).await?;
    if app_key.is_some_and(|named| named != app.app_key) {
        return Err(Error::new(Cause::CallbackOfAnotherApp));
    }
    // A code works once: storage that is down is better found before it is spent.
    effects.accounts(&customer).await.map_err(storage_error)?;

    // Drawn before the code is spent: from TikTok's answer to the swap of the tokens, nothing is asked of anybody.
    let drawn = (Lineage(effects.random()), effects.random_number());
    let Exchanged { pair, at: now, granted_at } = exchange(effects, &app, &code).await?;
    if pair.user_type.is_some_and(|kind| kind != 0) {
        return Err(pair.error(Cause::NotASeller));
    }
    let account = pair.account.clone().and_then(|text| AccountId::parse(text).ok());
    let (Some(account), Some(_)) = (account, &pair.refresh) else {
        return Err(pair.error(Cause::AuthorizationCodeSpent).noting(Cause::TokenAnswerIncomplete.code()));
    };
    let key = ConnectionKey { customer, account };
    let held = store(effects, &app, &key, policy, &pair, (now, granted_at), drawn).await?;

    // From here on the connection exists: what fails now is a failure of the row, and `refresh` repairs it.
    let reading = read_shops(effects, &app, &held).await.map_err(|fault| match fault.error {
        error if token_refused(&error) => error.becoming(Cause::TokenRefused),
        error => error,
    });
    let (shops, failure) = match reading {
        Ok(listed) => (ShopNews::Listed(listed), None),
        Err(error) => (ShopNews::Unread, Some(error)),
    };
    let unsaved = Error::new(Cause::ConnectionRowNotSaved);
    let unsaved = Outcome::Failure(PastFailure::new(now, &unsaved));
    let news = News { consented: true, ..News::outcome(now, unsaved) };
    let shown_if_unsaved = project(&key, &held.record, None, &news).connection;
    match record_shops(effects, &key, held, shops, failure.as_ref(), true).await {
        Ok(Some(connection)) => Ok(connection),
        Ok(None) => Err(Error::new(Cause::NotConnected).noting("disconnected while it was being connected")),
        Err(_) => Ok(shown_if_unsaved),
    }
}

struct Exchanged {
    pair: Pair,
    at: UnixSeconds,
    /// The time of TikTok's answer by TikTok's own clock: what TikTok says of the grant later is dated by that one.
    granted_at: UnixSeconds,
}

/// How far a host's clock may be ahead of TikTok's: a date further back says nothing.
const MOST_SKEW: u64 = 3600;

/// Spends the code.
async fn exchange(effects: &impl Effects, app: &Credentials, code: &AuthorizationCode) -> Result<Exchanged, Error> {
    let answer = effects.send(token::exchange_request(app, code)).await;
    let now = effects.now().wall;
    let outcome = match &answer {
        Ok(response) => token::read(response, &[app.app_secret.expose(), code.expose()], now),
        Err(failure) => Err(envelope::transport(*failure)),
    };
    let pair = outcome.map_err(|fault| match (fault.error.cause, fault.error.cause.action()) {
        (Cause::AuthorizationCodeSpent, _) => fault.error,
        // The answers to a refresh token or an access token are no answers to a code; a code never heard of is shown.
        (Cause::UnrecognisedAnswer | Cause::TokenExpired | Cause::TokenInvalid, _) | (_, Action::Reauthorize) => {
            fault.error.becoming(Cause::TikTokRefused)
        }
        (_, _) => fault.error,
    })?;
    // With a clock that is behind, ours is the earlier one: a notice too many is verified then, and none is missed.
    let date = answer.ok().and_then(|response| http_date(response.date.as_deref()?));
    let granted_at = date.filter(|date| now.since(*date) <= MOST_SKEW).map_or(now, |date| date.min(now));
    Ok(Exchanged { pair, at: now, granted_at })
}

/// Stores the pair: a record of its own, or in place of what stands for this account. Due at once, so that a sweep
/// finishes what a crash leaves half done.
async fn store(
    effects: &impl Effects,
    app: &Credentials,
    key: &ConnectionKey,
    policy: ShopPolicy,
    pair: &Pair,
    (now, granted_at): (UnixSeconds, UnixSeconds),
    (lineage, random): (Lineage, u64),
) -> Result<Held, Error> {
    let spent = |error: &Error| Error::new(Cause::AuthorizationCodeSpent).noting(error.cause.code());
    let mut unavailable = 0;
    let mut stored = None;
    for _ in 0..MOST_ROUNDS {
        let (expected, mut record) = match stored {
            Some(Held { revision, mut record, .. }) if record.app_key == app.app_key => {
                rotation::regrant(&mut record, policy, pair, now, random);
                (Some(revision), record)
            }
            other => {
                let record = rotation::granted(lineage, &app.app_key, policy, pair, now, random);
                (other.map(|held| held.revision), Box::new(record))
            }
        };
        record.granted_at = granted_at;
        stored = match tokens::swap_due_at(effects, key, expected.as_ref(), &record, Some(now)).await {
            Swap::Stored(revision) => return Ok(Held::written(revision, record)),
            Swap::Stale(found) => found,
            Swap::Unavailable(error) => {
                unavailable += 1;
                if unavailable >= MOST_TRIES {
                    return Err(spent(&error));
                }
                let Ok(found) = tokens::load(effects, key).await else {
                    // Nothing is known of what stands there: the same write once more finds out.
                    stored = expected.map(|revision| Held::written(revision, record));
                    continue;
                };
                found
            }
            // What stands there cannot be read, and is not overwritten: that has to be mended before a new consent.
            Swap::Failed(error) if error.cause != Cause::StorageRefused => return Err(error),
            Swap::Failed(error) => return Err(spent(&error)),
        };
        // Written by an earlier try. The pair alone proves nothing: TikTok may answer a consent with one it issued before.
        let ours = |found: &mut Held| found.record.granted_at == granted_at && rotation::contains(&found.record, pair);
        if let Some(found) = stored.take_if(ours) {
            return Ok(found);
        }
    }
    Err(spent(&Error::new(Cause::StorageConflict)))
}
