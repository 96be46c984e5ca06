//! `call`: signs a request to the API host, adds token and cipher, sends it, and gives back what TikTok answers.

use super::renewal::NotRenewed;
use super::shop_sync::token_refused;
use super::tokens::{self, Held};
use super::valid_token::{Served, valid_token};
use super::{credentials, rows, signed, storage_error};
use crate::connection::{ShopStanding, Status};
use crate::endpoint::business::{self, BusinessRequest, BusinessResponse};
use crate::envelope::Fault;
use crate::error::{Cause, Error};
use crate::http::Method;
use crate::identity::{AccountId, ConnectionKey, CustomerId};
use crate::ports::{Credentials, Effects};
use crate::rotation::{self, Mode};
use crate::secret::ShopCipher;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// In whose name: TikTok's tag of the endpoint decides. Shop calls need the cipher, Seller calls must not have it.
pub enum Scope {
    /// This linked shop.
    Shop(String),
    /// The account; none: the customer's only one.
    Seller(Option<AccountId>),
}

/// # Errors
/// - Invalid request: `call-malformed`, `unknown-shop`, `shop-not-linked`, `not-connected`, `account-required`.
/// - Retry after: only where TikTok certainly did not act, or the method is GET.
/// - Upstream: `outcome-unknown` above all. The answer to a request that changes something was lost.
/// - Misconfigured: `missing-permission`, `signature-rejected`, `app-rejected`, `clock-skewed`, `ip-not-allowed`.
/// - What `refresh` says, when there is no valid token.
pub async fn call(
    effects: &impl Effects,
    customer: CustomerId,
    scope: Scope,
    request: &BusinessRequest,
) -> Result<BusinessResponse, Error> {
    request.check()?;
    let target = Target::of(effects, customer, scope).await?;
    let app = credentials(effects).await?;
    target.ask(effects, &app, request, || Ok(())).await
}

/// What the host is told: an answer that was lost is safe to ask for again only where nothing was to change.
fn told(fault: Fault, method: Method) -> Error {
    if fault.error.cause == Cause::AnswerIncomplete && method != Method::Get {
        fault.error.becoming(Cause::OutcomeUnknown)
    } else {
        fault.error
    }
}

/// Whose token, and for which shop.
pub(super) struct Target {
    key: ConnectionKey,
    shop: Option<TargetShop>,
}

struct TargetShop {
    cipher: Option<ShopCipher>,
    /// Of the grant that the cipher belongs to.
    lineage: String,
}

impl Target {
    /// A shop of a row of this lineage.
    pub(super) const fn shop(key: ConnectionKey, lineage: String, cipher: Option<ShopCipher>) -> Self {
        Self { key, shop: Some(TargetShop { cipher, lineage }) }
    }

    /// The whole exchange. A token that TikTok refuses is renewed once and the request sent again. Nothing is sent, and
    /// nothing renewed a second time, unless `in_time` agrees.
    pub(super) async fn ask(
        &self,
        effects: &impl Effects,
        app: &Credentials,
        request: &BusinessRequest,
        in_time: impl Fn() -> Result<(), Error>,
    ) -> Result<BusinessResponse, Error> {
        let mut served = self.token(effects, app, Mode::GoodFor(Duration::ZERO)).await?;
        in_time()?;
        let mut fault = match self.send(effects, app, &served.held, request).await {
            Ok(response) => return Ok(response),
            Err(fault) => fault,
        };
        // TikTok did not act: a renewal and the same request once more, unless the token was renewed a moment ago.
        if let (true, false, Some(access)) =
            (token_refused(&fault.error), served.just_rotated, &served.held.record.current.access)
            && in_time().is_ok()
        {
            let refused = access.duplicate();
            served = self.token(effects, app, Mode::Refused(&refused)).await?;
            in_time()?;
            fault = match self.send(effects, app, &served.held, request).await {
                Ok(response) => return Ok(response),
                Err(fault) => fault,
            };
        }
        if token_refused(&fault.error) && served.just_rotated {
            return Err(self.hold_back(effects, served.held, fault.error).await);
        }
        Err(told(fault, request.method))
    }

    async fn of(effects: &impl Effects, customer: CustomerId, scope: Scope) -> Result<Self, Error> {
        let id = match scope {
            Scope::Seller(account) => {
                return Ok(Self { key: tokens::resolve(effects, customer, account).await?, shop: None });
            }
            Scope::Shop(id) => id,
        };
        let mut refusal = Cause::UnknownShop;
        let mut found = None;
        for row in effects.list_rows(&customer).await.map_err(storage_error)? {
            let Some(shop) = row.connection.shops.into_iter().find(|shop| shop.listed.id == id) else { continue };
            match (shop.linked, shop.standing) {
                (false, _) => refusal = Cause::ShopNotLinked,
                (true, ShopStanding::NoLongerGranted) => refusal = Cause::ShopNoLongerGranted,
                (true, ShopStanding::Granted | ShopStanding::Inactive) => {
                    let dead = matches!(row.connection.status, Status::ReauthorizationRequired(_));
                    found = Some(Self::shop(row.connection.key, row.lineage, shop.listed.cipher));
                    // Several accounts may list one shop; a grant that lives comes first.
                    if !dead {
                        break;
                    }
                }
            }
        }
        found.ok_or_else(|| Error::new(refusal))
    }

    /// A token of the grant that the cipher belongs to.
    async fn token(&self, effects: &impl Effects, app: &Credentials, mode: Mode<'_>) -> Result<Served, Error> {
        let served = valid_token(effects, app, &self.key, mode).await?;
        match &self.shop {
            Some(shop) if shop.lineage != served.held.record.lineage.to_text() => Err(Error::new(Cause::UnknownShop)),
            Some(_) | None => Ok(served),
        }
    }

    async fn send(
        &self,
        effects: &impl Effects,
        app: &Credentials,
        held: &Held,
        request: &BusinessRequest,
    ) -> Result<BusinessResponse, Fault> {
        let Some(access) = &held.record.current.access else {
            return Err(Fault::before_sending(Cause::TokenAnswerIncomplete));
        };
        let cipher = self.shop.as_ref().and_then(|shop| shop.cipher.as_ref());
        let query: Vec<_> = request.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let secrets = [app.app_secret.expose(), access.expose(), cipher.map(ShopCipher::expose).unwrap_or_default()];
        let request = request.api_request(&query, cipher);
        signed::exchange(effects, app, access, &request, |response| business::read(response, &secrets)).await
    }

    /// TikTok refuses what it has just issued: another renewal would not help, and a sweep must not go on with it.
    async fn hold_back(&self, effects: &impl Effects, mut held: Held, error: Error) -> Error {
        let error = error.becoming(Cause::TokenRefused);
        let now = effects.now().wall;
        rotation::hold_back(&mut held.record, &error, now, effects.random_number());
        let _overtaken_or_late = tokens::swap(effects, &self.key, Some(&held.revision), &held.record, now).await;
        rows::write_down(effects, &self.key, NotRenewed { error, held: Some(held) }).await.1
    }
}
