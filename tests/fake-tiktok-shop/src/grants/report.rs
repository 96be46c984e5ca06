//! Reports about grants, for tests and for the pages.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{AccessRefusal, AccessToken, Authorization, GrantKey, Grants, RefreshRefusal, RefreshToken};
use crate::issued::{Issued, IssuedSecret, IssuedToken, SecretKind};
use crate::seller::{Seller, Shop};
use crate::switches::Switches;

/// The maximum number of access tokens in one [`GrantReport`], and also the maximum number of refresh tokens.
const SHOWN_TOKENS: usize = 5;

/// The state of one grant and of its newest tokens. It contains no token and no cipher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GrantReport {
    /// The service id of the app.
    pub service_id: String,
    /// The id of the seller.
    pub seller: String,
    /// The seller's `open_id` for the app.
    pub open_id: String,
    /// Whether the grant is in force.
    pub state: GrantState,
    /// The number of consents whose code was exchanged.
    pub consents: u32,
    /// The scopes of the latest consent.
    pub scopes: Vec<String>,
    /// The time when the authorization ends, in Unix seconds of the fake's clock.
    pub ends_at: u64,
    /// The seller's shops.
    pub shops: Vec<GrantedShop>,
    /// The newest access tokens, newest first.
    pub access_tokens: Vec<TokenReport>,
    /// The newest refresh tokens, newest first.
    pub refresh_tokens: Vec<TokenReport>,
}

/// Whether a grant is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrantState {
    /// The seller has consented, and the authorization has not ended.
    InForce,
    /// The authorization has ended.
    Ended,
    /// The seller has removed the app, or TikTok Shop has revoked the grant.
    Removed,
}

/// A shop of the seller, and whether the grant covers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GrantedShop {
    /// The shop id.
    pub id: String,
    /// The name of the shop.
    pub name: String,
    /// Whether the grant covers the shop.
    pub granted: bool,
}

/// The state of one token. The token itself is not part of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TokenReport {
    /// A number that identifies the token. A later token has a higher number.
    pub number: u64,
    /// The time of issue, in Unix seconds of the fake's clock.
    pub issued_at: u64,
    /// The time when the token expires, in Unix seconds of the fake's clock.
    pub expires_at: u64,
    /// Whether the fake would accept the token now.
    pub verdict: TokenVerdict,
}

/// Whether the fake would accept a token at the present time and with the present switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenVerdict {
    /// The fake would accept the token.
    Works,
    /// The fake would refuse the token because its time is over.
    Expired,
    /// The fake would refuse the token because it was replaced or revoked, or because the grant was removed.
    Refused,
}

impl Grants {
    /// Tells whether a refresh with this token would succeed now if the token's own app sent it.
    pub(crate) fn honours(&self, refresh_token: &str, now: u64, switches: &Switches) -> bool {
        let token = self.refresh_tokens.get(refresh_token);
        token.is_some_and(|token| self.judge_refresh_token(token, now, switches).is_ok())
    }

    /// Returns the tokens that were issued to an app for a seller, and tells which of them are valid now.
    pub(crate) fn issued(&self, key: &GrantKey, now: u64, switches: &Switches) -> Issued {
        let access_tokens = self.access_tokens.iter().filter(|(_, token)| token.key == *key).map(|(value, token)| {
            let honoured = self.judge_access_token(token, now, switches).is_ok();
            (token.number, IssuedToken::new(value, token.issued_at, token.expires_at, honoured))
        });
        let refresh_tokens = self.refresh_tokens.iter().filter(|(_, token)| token.key == *key).map(|(value, token)| {
            let honoured = self.judge_refresh_token(token, now, switches).is_ok();
            (token.number, IssuedToken::new(value, token.issued_at, token.expires_at, honoured))
        });
        Issued {
            open_id: self.authorizations.get(key).map(|authorization| authorization.open_id.clone()),
            access_tokens: access_tokens.collect::<BTreeMap<_, _>>().into_values().collect(),
            refresh_tokens: refresh_tokens.collect::<BTreeMap<_, _>>().into_values().collect(),
        }
    }

    /// Returns the state of a grant. Returns `None` if no code of this app and seller was exchanged yet.
    pub(crate) fn report(&self, key: &GrantKey, seller: &Seller, now: u64, switches: &Switches) -> Option<GrantReport> {
        let grant = self.authorizations.get(key)?;
        let state = match (grant.stands(), grant.is_over(now)) {
            (false, _) => GrantState::Removed,
            (true, true) => GrantState::Ended,
            (true, false) => GrantState::InForce,
        };
        let shop = |shop: &Shop| GrantedShop {
            id: shop.id.clone(),
            name: shop.name.clone(),
            granted: state != GrantState::Removed && grant.covers(shop),
        };
        let access = |token: &AccessToken| TokenReport {
            number: token.number,
            issued_at: token.issued_at,
            expires_at: token.expires_at,
            verdict: match self.judge_access_token(token, now, switches) {
                Ok(()) => TokenVerdict::Works,
                Err(AccessRefusal::Expired) => TokenVerdict::Expired,
                Err(AccessRefusal::Invalid) => TokenVerdict::Refused,
            },
        };
        let refresh = |token: &RefreshToken| TokenReport {
            number: token.number,
            issued_at: token.issued_at,
            expires_at: token.expires_at,
            verdict: match self.judge_refresh_token(token, now, switches) {
                Ok(()) => TokenVerdict::Works,
                Err(RefreshRefusal::Ended) => TokenVerdict::Expired,
                Err(RefreshRefusal::NoAuthorization) => TokenVerdict::Refused,
            },
        };
        Some(GrantReport {
            service_id: key.service_id.clone(),
            seller: key.seller.clone(),
            open_id: grant.open_id.clone(),
            state,
            consents: grant.consents,
            scopes: grant.scopes.clone(),
            ends_at: grant.ends_at,
            shops: seller.shops.iter().map(shop).collect(),
            access_tokens: newest(self.access_tokens.values().filter(|token| token.key == *key).map(access)),
            refresh_tokens: newest(self.refresh_tokens.values().filter(|token| token.key == *key).map(refresh)),
        })
    }

    /// Returns every code and token that was ever issued.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = IssuedSecret> {
        let codes = self.codes_issued.iter().map(|(app, code)| (SecretKind::AuthorizationCode, app, code));
        let access = self.access_tokens.iter().map(|(value, t)| (SecretKind::AccessToken, &t.key.service_id, value));
        let refresh = self.refresh_tokens.iter().map(|(value, t)| (SecretKind::RefreshToken, &t.key.service_id, value));
        codes.chain(access).chain(refresh).map(|(kind, app, value)| IssuedSecret::new(kind, app, value))
    }

    /// Returns every cipher that one of the seller's shops has had at any app of its market.
    pub(crate) fn ciphers<'a>(&'a self, seller: &'a str, shop: &'a Shop) -> impl Iterator<Item = IssuedSecret> {
        let of_shop =
            move |key: &GrantKey, grant: &Authorization| key.seller == seller && grant.market.has(&shop.region);
        let grants = self.authorizations.iter().filter(move |(key, grant)| of_shop(key, grant));
        grants.flat_map(move |(key, grant)| {
            shop.cipher.as_deref().into_iter().flat_map(move |first| {
                (0..=grant.cipher_changes).map(move |changes| {
                    let cipher = Authorization::cipher_after(first, changes);
                    IssuedSecret::new(SecretKind::ShopCipher, &key.service_id, &cipher)
                })
            })
        })
    }
}

fn newest(tokens: impl Iterator<Item = TokenReport>) -> Vec<TokenReport> {
    let mut tokens: Vec<_> = tokens.collect();
    tokens.sort_by_key(|token| std::cmp::Reverse(token.number));
    tokens.truncate(SHOWN_TOKENS);
    tokens
}
