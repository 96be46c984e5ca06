//! `call`: adds the access token to a request, signs the request, sends it to TikTok's API server and returns the
//! answer. If the call is made for a shop, it also adds the shop's cipher.

use super::apps::{self, Apps};
use super::renewal::NotRenewed;
use super::shop_sync::token_refused;
use super::tokens::{self, VersionedRecord};
use super::valid_token::{Served, valid_token};
use super::{rows, signed, storage_error};
use crate::connection::Row;
use crate::credentials::Credentials;
use crate::endpoint::business::{self, BusinessRequest, BusinessResponse};
use crate::envelope::{Acted, Fault};
use crate::error::{Action, Cause, Error};
use crate::http::Method;
use crate::identity::{AccountId, ConnectionKey, CustomerId};
use crate::ports::Effects;
use crate::record::ConsentTime;
use crate::rotation::Trigger;
use crate::secret::ShopCipher;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use maybe_async::maybe_async;

/// The shop or account that a call is made for. TikTok's documentation tags each endpoint as Shop or Seller. A request
/// to a Shop endpoint must contain the shop's cipher, and a request to a Seller endpoint must not contain it.
pub enum CallScope {
    /// A linked shop, by its id.
    Shop(String),
    /// A seller account. `None` means the customer's only account.
    Seller(Option<AccountId>),
}

/// Makes one call to TikTok's API server.
///
/// # Errors
/// - Invalid request: `call-malformed`, `unknown-shop`, `shop-not-linked`, `not-connected`, `account-required`.
/// - Reauthorize: the connection is dead, or `shop-no-longer-granted`.
/// - Retry after: only if TikTok certainly did not act, or the method is GET. For example `shop-unconfirmed`.
/// - Upstream: most often `outcome-unknown`, if the request changes something and its answer was lost; also
///   `shop-cipher-missing`.
/// - Misconfigured: `missing-permission`, `signature-rejected`, `app-rejected`, `clock-skewed`, `ip-not-allowed`.
/// - The errors of `refresh`, if there is no valid token. `app-unknown` for a shop means that the tenant no longer has
///   the app of any connection through which the customer may use the shop.
#[maybe_async]
pub async fn call(
    effects: &impl Effects,
    customer: CustomerId,
    scope: CallScope,
    request: &BusinessRequest,
) -> Result<BusinessResponse, Error> {
    request.check()?;
    let target = Target::of(effects, customer, scope).await?;
    target.exchange(effects, &mut Apps::default(), request, || Ok(())).await
}

/// Returns the error for the host. If the answer was lost or cannot be read, only a GET is safe to send again; for any
/// other method the error becomes `outcome-unknown`.
fn error_for_host(fault: Fault, method: Method) -> Error {
    let asks_again = fault.error.cause.action() == Action::RetryAfter;
    if fault.acted == Acted::Unknown && asks_again && method != Method::Get {
        fault.error.with_cause(Cause::OutcomeUnknown)
    } else {
        fault.error
    }
}

/// The delay of `shop-unconfirmed`: 60 s. A refresh is already due, and the next sweep calls `refresh`.
const UNCONFIRMED_DELAY: Duration = Duration::from_secs(60);

/// The connection whose token is used, and the shop if the call is made for a shop.
pub(super) struct Target {
    key: ConnectionKey,
    shop: Option<TargetShop>,
}

struct TargetShop {
    cipher: Option<ShopCipher>,
    /// The lineage of the token record with which the cipher was read. The cipher fits only tokens of this record.
    lineage: String,
    /// The request may be sent only if the record has no other consent than this one. `None` allows every consent of the
    /// lineage.
    consent: Option<ConsentTime>,
}

#[maybe_async]
impl Target {
    /// Builds the target for a shop that was read from a row of this lineage.
    pub(super) const fn shop(key: ConnectionKey, lineage: String, cipher: Option<ShopCipher>) -> Self {
        Self { key, shop: Some(TargetShop { cipher, lineage, consent: None }) }
    }

    /// Restricts the requests to this consent. If the seller has consented again, nothing is sent.
    pub(super) fn of_consent(mut self, consent: Option<ConsentTime>) -> Self {
        if let Some(shop) = &mut self.shop {
            shop.consent = consent;
        }
        self
    }

    /// Sends the request and returns the answer. If TikTok refuses the token, the token is renewed once and the request
    /// is sent again. `in_time` is called before the first request, before the renewal and before the second request.
    /// If `in_time` returns an error, nothing more is sent.
    pub(super) async fn exchange(
        &self,
        effects: &impl Effects,
        apps: &mut Apps,
        request: &BusinessRequest,
        in_time: impl Fn() -> Result<(), Error>,
    ) -> Result<BusinessResponse, Error> {
        let mut served = self.token(effects, apps, Trigger::GoodFor(Duration::ZERO)).await?;
        in_time()?;
        let app = apps.of(served.stored.record.app_key())?;
        let mut fault = match self.send(effects, app, &served.stored, request).await {
            Ok(response) => return self.checked(effects, served.stored, response).await,
            Err(fault) => fault,
        };
        // TikTok refused the token and did not act. The call renews the token and sends the same request again, unless
        // it has just renewed the token.
        if let (true, false, Some(access)) =
            (token_refused(&fault.error), served.just_rotated, &served.stored.record.current().access)
            && in_time().is_ok()
        {
            let refused = access.duplicate();
            served = match self.token(effects, apps, Trigger::Refused(&refused)).await {
                Ok(renewed) => renewed,
                Err(error) => {
                    // Without this write, the row would not show that TikTok refuses the token, and no refresh would be
                    // due.
                    let now = effects.wall();
                    if error.cause == Cause::BackingOff && !served.stored.record.is_held_back(now) {
                        let _shown = self.hold_back(effects, served.stored, fault.error.with_delay(error.delay)).await;
                    }
                    return Err(error);
                }
            };
            in_time()?;
            let app = apps.of(served.stored.record.app_key())?;
            fault = match self.send(effects, app, &served.stored, request).await {
                Ok(response) => return self.checked(effects, served.stored, response).await,
                Err(fault) => fault,
            };
        }
        if token_refused(&fault.error) && served.just_rotated {
            return Err(self.hold_back(effects, served.stored, fault.error).await);
        }
        Err(error_for_host(fault, request.method))
    }

    /// Finds the connection, and the shop if the call is made for a shop.
    async fn of(effects: &impl Effects, customer: CustomerId, scope: CallScope) -> Result<Self, Error> {
        let id = match scope {
            CallScope::Seller(account) => {
                return Ok(Self { key: tokens::resolve(effects, customer, account).await?, shop: None });
            }
            CallScope::Shop(id) => id,
        };
        let mut refusal = Cause::UnknownShop;
        // Several accounts of the customer may have the same shop, under the same app or under different apps. These
        // are the connections through which the customer may use the shop now.
        let mut usable = Vec::new();
        let mut unusable = None;
        for listed in effects.list_rows(&customer).await.map_err(storage_error)? {
            let Row { connection, lineage, .. } = match listed.row {
                Ok(row) => row,
                Err(error) => {
                    unusable = unusable.or(Some(error));
                    continue;
                }
            };
            let Some(shop) = connection.shops.iter().find(|shop| shop.listed.id == id) else { continue };
            match connection.use_of(shop).refusal() {
                Some(cause) => refusal = cause,
                None => {
                    let cipher = shop.listed.cipher.as_ref().map(ShopCipher::duplicate);
                    usable.push((connection.app, Self::shop(connection.key, lineage, cipher)));
                }
            }
        }
        // The shop may be in the row that cannot be used.
        if let (true, Cause::UnknownShop, Some(error)) = (usable.is_empty(), refusal, unusable) {
            return Err(storage_error(error));
        }
        let first = Self::first_of(effects, usable).await?;
        first.ok_or_else(|| Error::new(refusal).with_delay(UNCONFIRMED_DELAY))
    }

    /// Returns the first of these targets whose app the tenant still has. If there is none, returns the first target
    /// whose row does not name its app, and otherwise the first target. Reads the list of apps only if the targets
    /// belong to different apps.
    async fn first_of(effects: &impl Effects, targets: Vec<(Option<String>, Self)>) -> Result<Option<Self>, Error> {
        let differ = targets.iter().zip(targets.iter().skip(1)).any(|((one, _), (next, _))| one != next);
        let known = if differ { apps::all(effects).await? } else { Vec::new() };
        let rank = |(app, _): &(Option<String>, Self)| match app {
            Some(app) if known.contains(app) => 0,
            None => 1,
            Some(_) => 2,
        };
        Ok(targets.into_iter().min_by_key(rank).map(|(_, target)| target))
    }

    /// Returns a token that may be used now. If the token belongs to another grant than the cipher, returns
    /// `unknown-shop`.
    async fn token(&self, effects: &impl Effects, apps: &mut Apps, trigger: Trigger<'_>) -> Result<Served, Error> {
        let served = valid_token(effects, apps, &self.key, trigger).await?;
        let record = &served.stored.record;
        let fits = |shop: &TargetShop| {
            shop.lineage == record.lineage().to_text() && shop.consent.is_none_or(|consent| consent.is_that_of(record))
        };
        if self.shop.as_ref().is_none_or(fits) { Ok(served) } else { Err(Error::new(Cause::UnknownShop)) }
    }

    /// Returns TikTok's answer, unless TikTok says that the cipher is missing and none is stored. In this case, makes a
    /// refresh due, which reads the ciphers again, and returns an error.
    async fn checked(
        &self,
        effects: &impl Effects,
        stored: VersionedRecord,
        response: BusinessResponse,
    ) -> Result<BusinessResponse, Error> {
        let without_cipher = self.shop.as_ref().is_some_and(|shop| shop.cipher.is_none());
        if !without_cipher || response.code != Some(business::SHOP_CIPHER_MISSING) {
            return Ok(response);
        }
        let mut error = Error::new(Cause::ShopCipherMissing);
        (error.http_status, error.request_id) = (Some(response.status), response.request_id);
        tokens::make_due(effects, &self.key, &stored).await;
        Err(rows::record_failure(effects, &self.key, NotRenewed { error, stored: Some(stored) }).await.error)
    }

    /// Signs the request and sends it.
    async fn send(
        &self,
        effects: &impl Effects,
        app: &Credentials,
        stored: &VersionedRecord,
        request: &BusinessRequest,
    ) -> Result<BusinessResponse, Fault> {
        let Some(access) = &stored.record.current().access else {
            return Err(Fault::before_sending(Cause::TokenAnswerIncomplete));
        };
        let cipher = self.shop.as_ref().and_then(|shop| shop.cipher.as_ref());
        let query: Vec<_> = request.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let secrets = [app.app_secret.expose(), access.expose(), cipher.map(ShopCipher::expose).unwrap_or_default()];
        let request = request.api_request(&query, cipher);
        signed::exchange(effects, app, access, &request, |response| business::read(response, &secrets)).await
    }

    /// Allows only forced renewals for a while, because TikTok refuses a token that it has just issued. Another renewal
    /// would not help, and a sweep must not renew the token again and again. Returns the error for the host.
    async fn hold_back(&self, effects: &impl Effects, mut stored: VersionedRecord, error: Error) -> Error {
        let error = error.with_cause(Cause::TokenRefused);
        let now = effects.wall();
        stored.record.hold_back(&error, now, effects.random_number());
        let _stale_or_failed = tokens::swap(effects, &self.key, Some(&stored.revision), &stored.record, now).await;
        rows::record_failure(effects, &self.key, NotRenewed { error, stored: Some(stored) }).await.error
    }
}
