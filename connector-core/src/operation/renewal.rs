//! Claim, call, persist: the steps of [`crate::rotation`] in their order, over the effects.

use super::tokens::{self, Held, Swap};
use crate::endpoint::token::{self, Pair};
use crate::envelope::{self, Acted};
use crate::error::{Cause, Error};
use crate::identity::ConnectionKey;
use crate::ports::{Credentials, Effects};
use crate::record::{DeadReason, Nonce, Spent};
use crate::rotation::{self, Adoption, MOST_ROUNDS, MOST_TRIES, Mode, Plan, SAVE_BUDGET};
use crate::time::{Moment, UnixSeconds};

/// How a renewal went well.
pub(super) enum Renewed {
    /// There was nothing to renew.
    NotDue(Held),
    /// A new pair is stored.
    Rotated {
        held: Held,
        /// TikTok named another account than the one that consented.
        account_changed: bool,
    },
    /// Not now, for this reason. The access token may be served while it is valid.
    Waiting { held: Held, error: Error },
    /// It was dead before this call: only a new consent helps.
    Dead { held: Held, error: Error },
}

/// How it did not: what to tell the host, and the record as last seen.
pub(super) struct NotRenewed {
    pub(super) error: Error,
    pub(super) held: Option<Held>,
}

impl From<Error> for NotRenewed {
    fn from(error: Error) -> Self {
        Self { error, held: None }
    }
}

/// What one step leads to.
enum Next<T> {
    Go(T),
    /// Decide anew from the record that is stored now; none: it is gone.
    Again(Option<Held>),
}

/// A claim of ours, and both clocks before it was written.
struct Claimed {
    held: Held,
    nonce: Nonce,
    spends: Spent,
    at: Moment,
}

/// Renews the tokens of one connection if `mode` asks for it.
pub(super) async fn renew(
    effects: &impl Effects,
    app: &Credentials,
    key: &ConnectionKey,
    mode: Mode<'_>,
) -> Result<Renewed, NotRenewed> {
    let mut stored = tokens::load_surely(effects, key).await?;
    for _ in 0..MOST_ROUNDS {
        let Some(held) = stored else {
            return Err(Error::new(Cause::NotConnected).into());
        };
        if held.record.app_key != app.app_key {
            return Err(NotRenewed { error: Error::new(Cause::AppKeyChanged), held: Some(held) });
        }
        // 1. Plan.
        match rotation::plan(&held.record, held.age, effects.now().wall, mode, effects.random_number()) {
            Plan::Claim => {}
            Plan::Dead(reason) => return Ok(Renewed::Dead { held, error: dead(reason) }),
            Plan::Fresh => return Ok(Renewed::NotDue(held)),
            Plan::Wait(cause, delay) => {
                return Ok(Renewed::Waiting { held, error: Error::new(cause).after(delay) });
            }
        }
        stored = match claim(effects, key, held).await? {
            Next::Go(claimed) => match spend(effects, app, key, claimed).await? {
                Next::Go(renewed) => return Ok(renewed),
                Next::Again(stored) => stored,
            },
            Next::Again(stored) => stored,
        };
    }
    Err(Error::new(Cause::StorageConflict).into())
}

/// 2. Claim before call.
async fn claim(effects: &impl Effects, key: &ConnectionKey, mut held: Held) -> Result<Next<Claimed>, NotRenewed> {
    let at = effects.now();
    let nonce = effects.random();
    for _ in 0..MOST_TRIES {
        if !rotation::claim(&mut held.record, nonce) {
            return Err(Error::new(Cause::Internal).into());
        }
        let expected = held.revision.clone();
        let found = match tokens::swap(effects, key, Some(&expected), &held.record, at.wall).await {
            Swap::Stored(revision) => Some(Held::written(revision, held.record)),
            Swap::Stale(found) => found,
            Swap::Unavailable(_) => tokens::load_surely(effects, key).await?,
            Swap::Failed(error) => {
                // A storage that takes no write may still serve what it has; a record that can't be read serves nobody.
                let held = (error.cause == Cause::StorageRefused).then_some(held);
                return Err(NotRenewed { error, held });
            }
        };
        let Some(found) = found else {
            return Ok(Next::Again(None));
        };
        if rotation::holds(&found.record, nonce) {
            return Ok(match rotation::claim_of_current(&found.record) {
                Some(spends) => Next::Go(Claimed { held: found, nonce, spends, at }),
                // Ours, but a consent or a late answer has put another token beneath it.
                None => Next::Again(release(effects, key, found, None).await),
            });
        }
        if found.revision != expected {
            return Ok(Next::Again(Some(found)));
        }
        held = found;
    }
    Err(NotRenewed { error: Error::new(Cause::StorageUnavailable), held: Some(held) })
}

/// 3 to 8: one request per claim, a new claim for each fallback.
async fn spend(
    effects: &impl Effects,
    app: &Credentials,
    key: &ConnectionKey,
    mut claimed: Claimed,
) -> Result<Next<Renewed>, NotRenewed> {
    // What TikTok says of the newest token tells why the grant is over; of the fallbacks it may only say "replaced".
    let mut first_rejection = None;
    loop {
        // 3. Not too late.
        if rotation::too_late(&claimed.at, &effects.now()) {
            let error = Error::new(Cause::RefreshTooLate);
            let held = release(effects, key, claimed.held, Some(&error)).await;
            return Err(NotRenewed { error, held });
        }
        // 4. Send.
        let Some(refresh) = &claimed.held.record.current.refresh else {
            return Err(Error::new(Cause::Internal).into());
        };
        // Drawn before the request: from its answer to the swap of what it brought, nothing is asked of anybody.
        let random = effects.random_number();
        let request = token::refresh_request(app, refresh);
        let answer = effects.send(request).await;
        let now = effects.now().wall;
        let secrets = [app.app_secret.expose(), refresh.expose()];
        let outcome = match &answer {
            Ok(response) => token::read(response, &secrets, now),
            Err(failure) => Err(envelope::transport(*failure)),
        };
        let fault = match outcome {
            // 5. A pair.
            Ok(pair) if pair.access.is_some() || pair.refresh.is_some() => {
                return save(effects, key, claimed, &pair, now, random).await;
            }
            Ok(pair) => {
                return Err(unknown(pair.error(Cause::TokenAnswerIncomplete), claimed.held));
            }
            Err(fault) => fault,
        };
        match (fault.error.cause, fault.acted) {
            // 6. Rejected.
            (Cause::AuthorizationExpired | Cause::AuthorizationRevoked, _) => {
                let reason = first_rejection.get_or_insert(fault.error);
                match reject(effects, key, claimed, reason).await? {
                    Next::Go(promoted) => claimed = promoted,
                    Next::Again(stored) => return Ok(Next::Again(stored)),
                }
            }
            // What is said of a code or of an access token is no answer to a refresh token.
            (Cause::AuthorizationCodeSpent | Cause::TokenExpired | Cause::TokenInvalid, _) => {
                return Err(unknown(fault.error.becoming(Cause::UnrecognisedAnswer), claimed.held));
            }
            // 7. Refused before TikTok acted.
            (_, Acted::No) => {
                let held = release(effects, key, claimed.held, Some(&fault.error)).await;
                return Err(NotRenewed { error: fault.error, held });
            }
            // 8. Everything else: the claim stays and lapses.
            (_, Acted::Unknown) => return Err(unknown(fault.error, claimed.held)),
        }
    }
}

fn unknown(error: Error, held: Held) -> NotRenewed {
    NotRenewed { error: rotation::outcome_unknown(error, &held.record), held: Some(held) }
}

/// 5. Persist first: nothing that can fail stands between the pair and its swap.
async fn save(
    effects: &impl Effects,
    key: &ConnectionKey,
    claimed: Claimed,
    pair: &Pair,
    now: UnixSeconds,
    random: u64,
) -> Result<Next<Renewed>, NotRenewed> {
    let (lineage, spends) = (claimed.held.record.lineage, claimed.spends);
    let mut expected = claimed.held.revision;
    let mut record = claimed.held.record;
    rotation::take_pair(&mut record, pair, now, random);
    let mut unavailable = 0;
    // From storage's first answer on: a machine that slept until then may hold the only pair that is left.
    let mut began = None;
    let saved = loop {
        match tokens::swap(effects, key, Some(&expected), &record, now).await {
            Swap::Stored(revision) => break Held::written(revision, record),
            // Disconnected meanwhile: the pair is knowingly discarded.
            Swap::Stale(None) => return Ok(Next::Again(None)),
            Swap::Stale(Some(mut found)) => {
                match rotation::adopt(&mut found.record, lineage, spends, pair, now, random) {
                    Adoption::Stored => break found,
                    Adoption::Discard => return Ok(Next::Again(Some(found))),
                    Adoption::Write => (expected, record) = (found.revision, found.record),
                }
            }
            Swap::Unavailable(error) => {
                unavailable += 1;
                // A load may be older than the newest write: it can prove that the pair is stored, never that it is not.
                if let Ok(Some(found)) = tokens::load(effects, key).await
                    && found.record.lineage == lineage
                    && rotation::contains(&found.record, pair)
                {
                    break found;
                }
                if unavailable >= MOST_TRIES {
                    return Err(not_saved(&error));
                }
            }
            Swap::Failed(error) => return Err(not_saved(&error)),
        }
        let answered = effects.now();
        if answered.elapsed_since(began.get_or_insert(answered)) > SAVE_BUDGET {
            return Err(not_saved(&Error::new(Cause::StorageConflict)));
        }
    };
    if pair.access.is_none() {
        return Err(NotRenewed { error: Error::new(Cause::TokenAnswerIncomplete), held: Some(saved) });
    }
    let account_changed = pair.account.as_deref().is_some_and(|account| account != key.account.as_str());
    Ok(Next::Go(Renewed::Rotated { held: saved, account_changed }))
}

/// The claim stays behind as the mark of a pair that TikTok issued and nobody stored.
fn not_saved(error: &Error) -> NotRenewed {
    Error::new(Cause::TokenNotSaved).noting(error.cause.code()).into()
}

/// 6. One swap on the claim's own revision, so that only the holder of the claim writes a death.
async fn reject(
    effects: &impl Effects,
    key: &ConnectionKey,
    mut claimed: Claimed,
    error: &Error,
) -> Result<Next<Claimed>, NotRenewed> {
    // One nonce for all tries: whichever of them was written, it is ours.
    let at = effects.now();
    let nonce = effects.random();
    for _ in 0..MOST_TRIES {
        let Held { revision: expected, mut record, .. } = claimed.held;
        rotation::reject(&mut record, error.cause, nonce);
        let found = match tokens::swap(effects, key, Some(&expected), &record, at.wall).await {
            Swap::Stored(revision) => Some(Held::written(revision, record)),
            Swap::Stale(found) => found,
            Swap::Unavailable(_) => tokens::load_surely(effects, key).await?,
            Swap::Failed(error) => return Err(error.into()),
        };
        let Some(found) = found else {
            return Ok(Next::Again(None));
        };
        // A record that was dead before, and is tried again, keeps its death beside the claim until this is decided.
        if let (Some(reason), None) = (found.record.dead, found.record.claim) {
            let mut told = dead(reason);
            (told.http_status, told.request_id) = (error.http_status, error.request_id.clone());
            return Err(NotRenewed { error: told, held: Some(found) });
        }
        match rotation::claim_of_current(&found.record) {
            Some(spends) if rotation::holds(&found.record, nonce) => {
                return Ok(Next::Go(Claimed { held: found, nonce, spends, at }));
            }
            Some(spends) if rotation::holds(&found.record, claimed.nonce) && spends == claimed.spends => {
                claimed.held = found
            }
            Some(_) | None => return Ok(Next::Again(Some(found))),
        }
    }
    Err(Error::new(Cause::StorageUnavailable).into())
}

/// Gives a claim back. Best effort: one that stays lapses by itself.
async fn release(effects: &impl Effects, key: &ConnectionKey, mut held: Held, failure: Option<&Error>) -> Option<Held> {
    let now = effects.now().wall;
    rotation::release(&mut held.record, failure, now, effects.random_number());
    match tokens::swap(effects, key, Some(&held.revision), &held.record, now).await {
        Swap::Stored(revision) => Some(Held::written(revision, held.record)),
        Swap::Stale(found) => found,
        Swap::Unavailable(_) | Swap::Failed(_) => tokens::load(effects, key).await.ok().flatten(),
    }
}

fn dead(reason: DeadReason) -> Error {
    Error::new(match reason {
        DeadReason::AuthorizationExpired => Cause::AuthorizationExpired,
        DeadReason::AuthorizationRevoked => Cause::AuthorizationRevoked,
        DeadReason::RefreshOutcomeUnknown => Cause::RefreshOutcomeUnknown,
    })
}
