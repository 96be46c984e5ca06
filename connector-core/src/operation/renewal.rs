//! Renews the pair of tokens of one connection in four steps: plan, claim, request, save. `Rule N` means rule N in
//! [`crate::rotation`].

use super::apps::Apps;
use super::tokens::{self, DueTime, SwapOutcome, VersionedRecord};
use crate::contract::SAVE_BUDGET;
use crate::credentials::Credentials;
use crate::endpoint::token;
use crate::envelope::{self, Acted, Fault};
use crate::error::{Cause, Error};
use crate::identity::ConnectionKey;
use crate::ports::Effects;
use crate::record::{Nonce, TokenHash};
use crate::rotation::{self, Adoption, MAX_ROUNDS, MAX_TRIES, PairOrigin, Plan, Trigger};
use crate::secret::RefreshToken;
use crate::time::{Moment, UnixSeconds};
use crate::token::Pair;
use maybe_async::maybe_async;

/// The results of a renewal that did not fail.
pub(super) enum Renewed {
    /// The tokens were not due for a renewal.
    NotDue(VersionedRecord),
    /// A new pair is stored.
    Rotated {
        stored: VersionedRecord,
        /// Whether TikTok's answer contained another account than the account that consented.
        account_changed: bool,
    },
    /// No renewal is possible now, for the reason in `error`. The access token may be used while it is valid.
    Waiting { stored: VersionedRecord, error: Error },
    /// The grant was dead before this call. Only a new consent or a successful forced refresh revives it.
    Dead { stored: VersionedRecord, error: Error },
}

/// A renewal that failed: the error for the host, and the record as it was last seen.
pub(super) struct NotRenewed {
    pub(super) error: Error,
    pub(super) stored: Option<VersionedRecord>,
}

impl From<Error> for NotRenewed {
    fn from(error: Error) -> Self {
        Self { error, stored: None }
    }
}

/// How a renewal continues after one of its steps.
enum Step<T> {
    /// Continue with the next step.
    Continue(T),
    /// Go back to the plan with the record that is stored now. `None` means that the record is deleted.
    Restart(Option<VersionedRecord>),
}

/// A claim of this call: the stored record says that only this call sends the refresh token now.
struct Claimed {
    stored: VersionedRecord,
    nonce: Nonce,
    /// The refresh token that the claim covers.
    spends: TokenHash,
    /// Both clocks, read before the claim was written.
    at: Moment,
}

/// A pair that TikTok has issued to this call.
pub(super) struct Received {
    pub(super) pair: Pair,
    pub(super) at: UnixSeconds,
    /// The random number for the jitter. It is drawn before the request.
    pub(super) random: u64,
}

/// Renews the tokens of one connection if `trigger` asks for it, with the credentials of the app in its record.
#[maybe_async]
pub(super) async fn renew(
    effects: &impl Effects,
    apps: &mut Apps,
    key: &ConnectionKey,
    trigger: Trigger<'_>,
) -> Result<Renewed, NotRenewed> {
    let mut found = tokens::load_or_confirm_absence(effects, key).await?;
    for _ in 0..MAX_ROUNDS {
        let Some(stored) = found else {
            return Err(Error::new(Cause::NotConnected).into());
        };
        let app = match apps.fetch(effects, stored.record.app_key()).await {
            Ok(app) => app,
            // The row shows that the tenant no longer has the app. A fault of the host's credentials is not shown in
            // the row, because it says nothing about the connection.
            Err(error) => {
                let stored = (error.cause == Cause::AppUnknown).then_some(stored);
                return Err(NotRenewed { error, stored });
            }
        };
        // Rule 1: plan.
        match rotation::plan(&stored.record, stored.age, effects.wall(), trigger, || effects.random_number()) {
            Plan::Claim => {}
            Plan::Dead(reason) => return Ok(Renewed::Dead { stored, error: Error::new(reason.cause()) }),
            Plan::Fresh => return Ok(Renewed::NotDue(stored)),
            Plan::Wait(cause, delay) => {
                return Ok(Renewed::Waiting { stored, error: Error::new(cause).with_delay(delay) });
            }
        }
        found = match claim(effects, key, stored).await? {
            Step::Continue(claimed) => match spend(effects, app, key, claimed).await? {
                Step::Continue(renewed) => return Ok(renewed),
                Step::Restart(found) => found,
            },
            Step::Restart(found) => found,
        };
    }
    Err(Error::new(Cause::StorageConflict).into())
}

/// Stores a claim before the request is sent (rule 2).
#[maybe_async]
async fn claim(
    effects: &impl Effects,
    key: &ConnectionKey,
    mut stored: VersionedRecord,
) -> Result<Step<Claimed>, NotRenewed> {
    let at = effects.now();
    let nonce = effects.random();
    for _ in 0..MAX_TRIES {
        if !stored.record.claim(nonce) {
            return Err(Error::new(Cause::Internal).into());
        }
        let expected = stored.revision.clone();
        let found = match tokens::swap(effects, key, Some(&expected), &stored.record, at.wall).await {
            SwapOutcome::Stored(revision) => Some(VersionedRecord::written(revision, stored.record)),
            SwapOutcome::Stale(found) => found,
            SwapOutcome::Unavailable(_) => tokens::load_or_confirm_absence(effects, key).await?,
            SwapOutcome::Failed(error) => {
                // If storage refused the write, the stored access token may still be served. Any other error here means
                // that the stored record cannot be read, so its token cannot be served.
                let stored = (error.cause == Cause::StorageRefused).then_some(stored);
                return Err(NotRenewed { error, stored });
            }
        };
        let Some(found) = found else {
            return Ok(Step::Restart(None));
        };
        if found.record.holds_claim(nonce) {
            return Ok(match found.record.claimed_current() {
                Some(spends) => Step::Continue(Claimed { stored: found, nonce, spends, at }),
                // The stored claim is from this call, but a consent or a late answer has made another token current.
                None => Step::Restart(release(effects, key, nonce, found, None).await),
            });
        }
        if found.revision != expected {
            return Ok(Step::Restart(Some(found)));
        }
        stored = found;
    }
    Err(NotRenewed { error: Error::new(Cause::StorageUnavailable), stored: Some(stored) })
}

/// Sends the claimed refresh token and stores the result (rules 3 to 8). A new claim is stored before each fallback is
/// sent.
#[maybe_async]
async fn spend(
    effects: &impl Effects,
    app: &Credentials,
    key: &ConnectionKey,
    mut claimed: Claimed,
) -> Result<Step<Renewed>, NotRenewed> {
    // If TikTok rejects the newest token and every fallback, the grant is dead. The reason is then TikTok's answer to
    // the newest token, because TikTok may reject a fallback only because a newer token has replaced it.
    let mut first_rejection = None;
    loop {
        let fault = match request(effects, app, &claimed).await {
            // Rule 5: TikTok issued a pair.
            Ok(received) => return save(effects, key, claimed, &received).await,
            Err(fault) => fault,
        };
        match (fault.error.cause, fault.acted) {
            // Rule 6: TikTok rejected the refresh token.
            (Cause::AuthorizationExpired | Cause::AuthorizationRevoked, _) => {
                let reason = first_rejection.get_or_insert(fault.error);
                match reject(effects, key, claimed, reason).await? {
                    Step::Continue(promoted) => claimed = promoted,
                    Step::Restart(found) => return Ok(Step::Restart(found)),
                }
            }
            // Rules 3 and 7: it was too late to send the request, or TikTok certainly did not act.
            (_, Acted::No) => {
                let stored = release(effects, key, claimed.nonce, claimed.stored, Some(&fault.error)).await;
                return Err(NotRenewed { error: fault.error, stored });
            }
            // Rule 8: the outcome is unknown, so the claim stays until it lapses.
            (_, Acted::Unknown) => {
                let error = rotation::outcome_unknown(fault.error, claimed.stored.record.failures());
                return Err(NotRenewed { error, stored: Some(claimed.stored) });
            }
        }
    }
}

/// Sends the claimed refresh token once, unless it is too late (rules 3 and 4).
#[maybe_async]
async fn request(effects: &impl Effects, app: &Credentials, claimed: &Claimed) -> Result<Received, Fault> {
    // Rule 3: the request is not sent if it is too late.
    if rotation::too_late(&claimed.at, &effects.now()) {
        return Err(Fault::before_sending(Cause::RefreshTooLate));
    }
    // Rule 4: the claim covers exactly this one request.
    let Some(refresh) = &claimed.stored.record.current().refresh else {
        return Err(Fault::before_sending(Cause::Internal));
    };
    ask(effects, app, refresh).await
}

/// Sends a refresh token and reads TikTok's answer.
#[maybe_async]
pub(super) async fn ask(effects: &impl Effects, app: &Credentials, refresh: &RefreshToken) -> Result<Received, Fault> {
    // The random number is drawn before the request. So no effect can fail between TikTok's answer and the swap that
    // stores the new pair.
    let random = effects.random_number();
    let request = token::refresh_request(app, refresh);
    let answer = effects.send(request).await;
    let at = effects.wall();
    let secrets = [app.app_secret.expose(), refresh.expose()];
    let outcome = match &answer {
        Ok(response) => token::read(response, &secrets, at),
        Err(failure) => Err(envelope::transport(*failure)),
    };
    match outcome {
        Ok(pair) if pair.access.is_some() || pair.refresh.is_some() => Ok(Received { pair, at, random }),
        Ok(pair) => Err(Fault { error: pair.error(Cause::TokenAnswerIncomplete), acted: Acted::Unknown }),
        // An answer about an authorization code or an access token says nothing about a refresh token. So the outcome
        // is unknown.
        Err(Fault { error, .. })
            if matches!(error.cause, Cause::AuthorizationCodeSpent | Cause::TokenExpired | Cause::TokenInvalid) =>
        {
            Err(Fault { error: error.with_cause(Cause::UnrecognisedAnswer), acted: Acted::Unknown })
        }
        Err(fault) => Err(fault),
    }
}

/// Stores a pair (rule 5). Nothing that can fail happens between the answer and the first swap.
#[maybe_async]
async fn save(
    effects: &impl Effects,
    key: &ConnectionKey,
    claimed: Claimed,
    received: &Received,
) -> Result<Step<Renewed>, NotRenewed> {
    let Received { pair, at: now, random } = received;
    let origin = PairOrigin { lineage: claimed.stored.record.lineage(), spent: claimed.spends };
    let mut expected = claimed.stored.revision;
    let mut record = claimed.stored.record;
    // The row of a dead record has no ciphers, and a record that was imported has no row yet. If this pair revives or
    // confirms the record, a refresh becomes due at once. It reads the shops and their ciphers.
    let mut revived = record.lacks_shops();
    record.take_pair(pair, *now, *random);
    let mut unavailable = 0;
    // The time budget of the save starts only when storage answers for the first time. If the machine was suspended,
    // the save still gets its full time, because this pair may be the only valid one.
    let mut began = None;
    let saved = loop {
        let due_at = if revived { Some(*now) } else { record.next_due(*now) };
        match tokens::swap_due_at(effects, key, Some(&expected), &record, due_at).await {
            SwapOutcome::Stored(revision) => {
                let due = DueTime::Stored(due_at);
                break VersionedRecord { due, ..VersionedRecord::written(revision, record) };
            }
            // The connection was deleted during the request, so the pair is discarded on purpose.
            SwapOutcome::Stale(None) => return Ok(Step::Restart(None)),
            SwapOutcome::Stale(Some(mut found)) => {
                revived = found.record.lacks_shops();
                match rotation::adopt(&mut found.record, origin, pair, *now, *random) {
                    Adoption::Stored => break found,
                    Adoption::Discard => return Ok(Step::Restart(Some(found))),
                    Adoption::Write => (expected, record) = (found.revision, found.record),
                }
            }
            SwapOutcome::Unavailable(error) => {
                unavailable += 1;
                // A load may return an old record. If that record contains the pair, the pair is stored. If the record
                // does not contain the pair, nothing is proved.
                if let Ok(Some(found)) = tokens::load(effects, key).await
                    && found.record.lineage() == origin.lineage
                    && found.record.contains(pair)
                {
                    break found;
                }
                if unavailable >= MAX_TRIES {
                    return Err(not_saved(&error));
                }
            }
            SwapOutcome::Failed(error) => return Err(not_saved(&error)),
        }
        let answered = effects.now();
        if answered.elapsed_since(began.get_or_insert(answered)) > SAVE_BUDGET {
            return Err(not_saved(&Error::new(Cause::StorageConflict)));
        }
    };
    if pair.access.is_none() {
        return Err(NotRenewed { error: Error::new(Cause::TokenAnswerIncomplete), stored: Some(saved) });
    }
    let account_changed = pair.account.as_deref().is_some_and(|account| account != key.account.as_str());
    Ok(Step::Continue(Renewed::Rotated { stored: saved, account_changed }))
}

/// Builds the error for a pair that TikTok issued but storage did not take. The claim stays in the record. When the
/// claim has lapsed, the next call counts one more request with an unknown outcome.
fn not_saved(error: &Error) -> NotRenewed {
    Error::new(Cause::TokenNotSaved).with_note(error.cause.code()).into()
}

/// Stores a rejection (rule 6). The swap expects the claim's own revision, so only the call that holds the claim can
/// mark the record as dead.
#[maybe_async]
async fn reject(
    effects: &impl Effects,
    key: &ConnectionKey,
    mut claimed: Claimed,
    error: &Error,
) -> Result<Step<Claimed>, NotRenewed> {
    // All tries write the new claim with the same nonce. So the new claim belongs to this call, no matter which try
    // took effect.
    let at = effects.now();
    let nonce = effects.random();
    for _ in 0..MAX_TRIES {
        let VersionedRecord { revision: expected, mut record, .. } = claimed.stored;
        record.reject(error.cause, nonce);
        // A dead record stays due until its row shows that the connection is dead. If this call crashes before it
        // writes the row, a sweep writes it.
        let due_at = if record.dead().is_some() { Some(at.wall) } else { record.next_due(at.wall) };
        let found = match tokens::swap_due_at(effects, key, Some(&expected), &record, due_at).await {
            SwapOutcome::Stored(revision) => Some(VersionedRecord::written(revision, record)),
            SwapOutcome::Stale(found) => found,
            SwapOutcome::Unavailable(_) => tokens::load_or_confirm_absence(effects, key).await?,
            SwapOutcome::Failed(error) => return Err(error.into()),
        };
        let Some(found) = found else {
            return Ok(Step::Restart(None));
        };
        // A forced refresh may claim a dead record, and the record stays dead during its request. So only a dead record
        // without a claim shows that the grant has ended.
        if let (Some(reason), None) = (found.record.dead(), found.record.current_claim()) {
            let mut dead = Error::new(reason.cause());
            (dead.http_status, dead.request_id) = (error.http_status, error.request_id.clone());
            return Err(NotRenewed { error: dead, stored: Some(found) });
        }
        match found.record.claimed_current() {
            Some(spends) if found.record.holds_claim(nonce) => {
                return Ok(Step::Continue(Claimed { stored: found, nonce, spends, at }));
            }
            Some(spends) if found.record.holds_claim(claimed.nonce) && spends == claimed.spends => {
                claimed.stored = found
            }
            Some(_) | None => return Ok(Step::Restart(Some(found))),
        }
    }
    Err(Error::new(Cause::StorageUnavailable).into())
}

/// Removes the claim of this call, which has this nonce, and returns the record that is stored afterwards. Another writer,
/// for example a webhook, may change the record meanwhile and keep the claim. Then the claim is removed from the changed
/// record, in at most [`MAX_TRIES`] tries in total. If the removal fails, the claim lapses by itself. Returns `None` if the
/// record is deleted or cannot be loaded.
#[maybe_async]
async fn release(
    effects: &impl Effects,
    key: &ConnectionKey,
    nonce: Nonce,
    mut stored: VersionedRecord,
    failure: Option<&Error>,
) -> Option<VersionedRecord> {
    for _ in 0..MAX_TRIES {
        let now = effects.wall();
        stored.record.release(failure, now, effects.random_number());
        match tokens::swap(effects, key, Some(&stored.revision), &stored.record, now).await {
            SwapOutcome::Stored(revision) => return Some(VersionedRecord::written(revision, stored.record)),
            SwapOutcome::Stale(Some(found)) if found.record.holds_claim(nonce) => stored = found,
            SwapOutcome::Stale(found) => return found,
            SwapOutcome::Unavailable(_) | SwapOutcome::Failed(_) => {
                return tokens::load(effects, key).await.ok().flatten();
            }
        }
    }
    Some(stored)
}
