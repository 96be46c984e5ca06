//! The grants of sellers to apps: the authorization codes, and the tokens that were issued for them.
//!
//! Invariant: no token is deleted. A token keeps its history (replaced, ended, revoked). When an app presents the
//! token, the switches decide whether a token with this history still works.

mod authorization;
mod report;

use std::collections::{BTreeMap, HashMap};

use crate::signature::{hex, hmac_sha256};
use crate::switches::{
    CiphersOnConsent, EarlierToken, EndingNoticeZone, RefreshTokenOnRefresh, ReplacedRefreshToken, Switches,
    TokenPrefix,
};

pub(crate) use authorization::Authorization;
pub use report::{GrantReport, GrantState, GrantedShop, TokenReport, TokenVerdict};

/// The time for which an authorization code is valid, in seconds: 30 minutes.
pub(crate) const CODE_LIFE: u64 = 30 * 60;

/// The time for which an access token is valid, in seconds: seven days.
const ACCESS_TOKEN_LIFE: u64 = 7 * 86_400;

/// The key of an authorization: the app and the seller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GrantKey {
    pub service_id: String,
    pub seller: String,
}

struct Code {
    key: GrantKey,
    scopes: Vec<String>,
    expires_at: u64,
}

struct AccessToken {
    key: GrantKey,
    /// The consent to which the token belongs. The consents of a grant are counted from 1.
    consent: u32,
    /// The value of `Grants::issued` when the token was issued. A later token has a higher value.
    number: u64,
    issued_at: u64,
    expires_at: u64,
    /// The time when the consent's authorization ends, in Unix seconds.
    authorization_ends_at: u64,
    /// Whether the token was replaced: a refresh with the refresh token of the same pair has issued another access
    /// token.
    replaced: bool,
}

struct RefreshToken {
    key: GrantKey,
    /// The consent to which the token belongs, counted as in [`AccessToken`].
    consent: u32,
    /// The value of `Grants::issued` when the token was issued.
    number: u64,
    issued_at: u64,
    expires_at: u64,
    /// The access token that was last issued together with this refresh token.
    access_token: String,
    replacement: Option<Replacement>,
    /// Whether a test has revoked this single token. The other tokens of the consent stay valid.
    revoked: bool,
}

/// The pair that replaced a refresh token. The first refresh with that token issued the pair.
struct Replacement {
    at: u64,
    pair: Pair,
}

/// An access token and a refresh token, as the token host hands them out.
#[derive(Clone)]
pub(crate) struct Pair {
    pub key: GrantKey,
    pub access_token: String,
    pub access_token_expires_at: u64,
    pub refresh_token: String,
    pub refresh_token_expires_at: u64,
}

/// The error for a code that is unknown, used, expired, or issued to another app.
#[derive(Debug)]
pub(crate) struct InvalidCode;

/// The reason why a refresh token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefreshRefusal {
    /// The authorization has ended.
    Ended,
    /// The token is unknown, replaced, revoked, or issued to another app.
    NoAuthorization,
}

/// The reason why an access token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccessRefusal {
    /// The token was valid and has expired.
    Expired,
    /// The token is unknown, replaced, revoked, or issued to another app.
    Invalid,
}

/// All codes, authorizations and tokens.
pub(crate) struct Grants {
    seed: [u8; 32],
    /// The number of values that [`opaque`](Self::opaque) has drawn.
    issued: u64,
    codes: HashMap<String, Code>,
    /// The service id of the app and the code, for every code that was ever issued.
    codes_issued: Vec<(String, String)>,
    authorizations: BTreeMap<GrantKey, Authorization>,
    access_tokens: HashMap<String, AccessToken>,
    refresh_tokens: HashMap<String, RefreshToken>,
}

impl Grants {
    /// Creates an empty set of grants. Codes and tokens are drawn from `seed` and cannot be guessed without it.
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self {
            seed,
            issued: 0,
            codes: HashMap::new(),
            codes_issued: Vec::new(),
            authorizations: BTreeMap::new(),
            access_tokens: HashMap::new(),
            refresh_tokens: HashMap::new(),
        }
    }

    pub(crate) fn authorization(&self, key: &GrantKey) -> Option<&Authorization> {
        self.authorizations.get(key)
    }

    /// Draws 32 hexadecimal digits that were never drawn before.
    pub(crate) fn opaque(&mut self) -> String {
        self.issued += 1;
        let mut value = hex(&hmac_sha256(&self.seed, &self.issued.to_be_bytes()));
        value.truncate(32);
        value
    }

    pub(crate) fn issue_code(&mut self, key: GrantKey, scopes: Vec<String>, now: u64) -> String {
        let code = format!("ROW_{}", self.opaque());
        self.codes_issued.push((key.service_id.clone(), code.clone()));
        self.codes.insert(code.clone(), Code { key, scopes, expires_at: now.saturating_add(CODE_LIFE) });
        code
    }

    /// Returns the key of the authorization to which a code belongs. Returns an error if the app with this `service_id`
    /// cannot exchange the code now.
    pub(crate) fn pending(&self, code: &str, service_id: &str, now: u64) -> Result<&GrantKey, InvalidCode> {
        self.codes
            .get(code)
            .filter(|code| code.key.service_id == service_id && now < code.expires_at)
            .map(|code| &code.key)
            .ok_or(InvalidCode)
    }

    /// Exchanges a code for the first pair of tokens of a new consent. The authorization ends `lasts` seconds after
    /// `now`.
    pub(crate) fn exchange(
        &mut self,
        code: &str,
        service_id: &str,
        lasts: u64,
        now: u64,
        switches: &Switches,
    ) -> Result<Pair, InvalidCode> {
        self.pending(code, service_id, now)?;
        let Code { key, scopes, .. } = self.codes.remove(code).ok_or(InvalidCode)?;
        let authorization = self.authorizations.entry(key.clone()).or_insert_with(|| Authorization::new(&key));
        if authorization.consents > 0 && switches.ciphers_on_consent == CiphersOnConsent::New {
            authorization.cipher_changes += 1;
        }
        let refresh_token_expires_at = now.saturating_add(lasts);
        authorization.consent(scopes, now, refresh_token_expires_at);
        authorization.issued_before = self.issued;
        let consent = authorization.consents;

        let prefix = switches.token_prefix;
        let (access_token, access_token_expires_at) =
            self.issue_access_token(prefix, &key, consent, now, refresh_token_expires_at);
        let refresh_token =
            self.issue_refresh_token(prefix, &key, consent, now, refresh_token_expires_at, &access_token);
        Ok(Pair { key, access_token, access_token_expires_at, refresh_token, refresh_token_expires_at })
    }

    /// Issues a new pair for the refresh token `presented`. If an earlier refresh has replaced this token, a switch
    /// decides what happens: the refresh is refused, or it gets a pair of tokens, or it is refused and also revokes
    /// every token of the consent.
    pub(crate) fn refresh(
        &mut self,
        presented: &str,
        service_id: &str,
        rotation: RefreshTokenOnRefresh,
        now: u64,
        switches: &Switches,
    ) -> Result<Pair, RefreshRefusal> {
        let token = self.refresh_tokens.get(presented).ok_or(RefreshRefusal::NoAuthorization)?;
        if token.key.service_id != service_id {
            return Err(RefreshRefusal::NoAuthorization);
        }
        let (key, consent, expires_at) = (token.key.clone(), token.consent, token.expires_at);
        if let Some(first) = &token.replacement {
            match switches.replaced_refresh_token {
                ReplacedRefreshToken::RevokesFamily => {
                    let authorization = self.authorizations.get_mut(&key).ok_or(RefreshRefusal::NoAuthorization)?;
                    authorization.revoke_consent(consent);
                }
                ReplacedRefreshToken::AnsweredAgainForSeconds(_) => {
                    self.judge_refresh_token(token, now, switches)?;
                    return Ok(first.pair.clone());
                }
                ReplacedRefreshToken::Refused
                | ReplacedRefreshToken::HonouredForSeconds(_)
                | ReplacedRefreshToken::Honoured => {}
            }
        }
        self.judge_refresh_token(token, now, switches)?;

        if let Some(earlier) = self.access_tokens.get_mut(&token.access_token) {
            earlier.replaced = true;
        }
        let prefix = switches.token_prefix;
        let (access_token, access_token_expires_at) = self.issue_access_token(prefix, &key, consent, now, expires_at);
        let refresh_token = match rotation {
            RefreshTokenOnRefresh::New => {
                self.issue_refresh_token(prefix, &key, consent, now, expires_at, &access_token)
            }
            RefreshTokenOnRefresh::Unchanged => {
                if let Some(token) = self.refresh_tokens.get_mut(presented) {
                    token.access_token.clone_from(&access_token);
                }
                presented.to_owned()
            }
        };
        let pair =
            Pair { key, access_token, access_token_expires_at, refresh_token, refresh_token_expires_at: expires_at };
        if rotation == RefreshTokenOnRefresh::New
            && let Some(token) = self.refresh_tokens.get_mut(presented)
        {
            token.replacement.get_or_insert_with(|| Replacement { at: now, pair: pair.clone() });
        }
        Ok(pair)
    }

    /// Returns the key of the authorization to which the access token `presented` belongs. The app with this
    /// `service_id` presents the token.
    pub(crate) fn access(
        &self,
        presented: &str,
        service_id: &str,
        now: u64,
        switches: &Switches,
    ) -> Result<&GrantKey, AccessRefusal> {
        let token = self.access_tokens.get(presented).ok_or(AccessRefusal::Invalid)?;
        if token.key.service_id != service_id {
            return Err(AccessRefusal::Invalid);
        }
        self.judge_access_token(token, now, switches)?;
        Ok(&token.key)
    }

    /// Ends every authorization of the seller. Refresh tokens become invalid. A switch decides whether access tokens
    /// stay valid until they expire.
    pub(crate) fn end(&mut self, seller: &str, now: u64) {
        for authorization in self.authorizations_of(seller) {
            authorization.end(now);
        }
    }

    /// Lets every access token of the seller expire at `now`. Refresh tokens stay valid.
    pub(crate) fn end_access_tokens(&mut self, seller: &str, now: u64) {
        for token in self.access_tokens.values_mut().filter(|token| token.key.seller == seller) {
            token.expires_at = token.expires_at.min(now);
        }
    }

    /// Revokes every authorization of the seller and deletes the seller's codes.
    pub(crate) fn revoke(&mut self, seller: &str) {
        self.codes.retain(|_, code| code.key.seller != seller);
        for authorization in self.authorizations_of(seller) {
            authorization.revoke();
        }
    }

    /// Removes a grant and deletes its codes.
    pub(crate) fn remove(&mut self, key: &GrantKey, now: u64) {
        self.codes.retain(|_, code| code.key != *key);
        if let Some(authorization) = self.authorizations.get_mut(key) {
            authorization.remove(now);
        }
    }

    /// Removes a shop from a grant. The next consent covers the shop again.
    pub(crate) fn remove_shop(&mut self, key: &GrantKey, shop_id: &str) {
        if let Some(authorization) = self.authorizations.get_mut(key) {
            authorization.remove_shop(shop_id);
        }
    }

    /// Puts a removed shop back into a grant. Returns false if the grant covers the shop already.
    pub(crate) fn restore_shop(&mut self, key: &GrantKey, shop_id: &str) -> bool {
        self.authorizations.get_mut(key).is_some_and(|authorization| authorization.restore_shop(shop_id))
    }

    /// Replaces the newest working refresh token of a grant, as a refresh by another client of the same app does.
    /// Returns an error if no refresh token of the grant works.
    pub(crate) fn rotate(&mut self, key: &GrantKey, now: u64, switches: &Switches) -> Result<(), RefreshRefusal> {
        let works = |token: &RefreshToken| token.key == *key && self.judge_refresh_token(token, now, switches).is_ok();
        let newest = self.refresh_tokens.iter().filter(|(_, token)| works(token)).max_by_key(|(_, token)| token.number);
        let newest = newest.map(|(value, _)| value.clone()).ok_or(RefreshRefusal::NoAuthorization)?;
        self.refresh(&newest, &key.service_id, RefreshTokenOnRefresh::New, now, switches).map(|_| ())
    }

    /// Returns the key of every grant, also of grants that were removed.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &GrantKey> {
        self.authorizations.keys()
    }

    /// Returns the times up to `now` at which TikTok Shop must announce that the grant ends. A time that was returned
    /// once is not returned again.
    pub(crate) fn announcements(&mut self, key: &GrantKey, now: u64, zone: EndingNoticeZone) -> Vec<u64> {
        self.authorizations.get_mut(key).map(|grant| grant.announcements(now, zone)).unwrap_or_default()
    }

    /// Revokes one refresh token. The access tokens that were issued with it stay valid.
    pub(crate) fn revoke_refresh_token(&mut self, token: &str) -> Option<()> {
        self.refresh_tokens.get_mut(token).map(|token| token.revoked = true)
    }

    fn authorizations_of<'a>(&'a mut self, seller: &'a str) -> impl Iterator<Item = &'a mut Authorization> {
        self.authorizations.iter_mut().filter(move |(key, _)| key.seller == seller).map(|(_, grant)| grant)
    }

    fn judge_access_token(&self, token: &AccessToken, now: u64, switches: &Switches) -> Result<(), AccessRefusal> {
        let authorization = self.authorizations.get(&token.key).ok_or(AccessRefusal::Invalid)?;
        let ended = token.consent <= authorization.ended_through || now >= token.authorization_ends_at;
        let refused = authorization.refuses(token.consent, now, switches)
            || (ended && switches.access_token_after_end == EarlierToken::Refused)
            || (token.replaced && switches.access_token_after_refresh == EarlierToken::Refused)
            || (token.number <= authorization.issued_before
                && switches.access_token_after_consent == EarlierToken::Refused);
        if refused {
            Err(AccessRefusal::Invalid)
        } else if now >= token.expires_at {
            Err(AccessRefusal::Expired)
        } else {
            Ok(())
        }
    }

    fn judge_refresh_token(&self, token: &RefreshToken, now: u64, switches: &Switches) -> Result<(), RefreshRefusal> {
        let authorization = self.authorizations.get(&token.key).ok_or(RefreshRefusal::NoAuthorization)?;
        let replaced = token.replacement.as_ref().is_some_and(|first| match switches.replaced_refresh_token {
            ReplacedRefreshToken::Refused | ReplacedRefreshToken::RevokesFamily => true,
            ReplacedRefreshToken::HonouredForSeconds(seconds)
            | ReplacedRefreshToken::AnsweredAgainForSeconds(seconds) => now >= first.at.saturating_add(seconds),
            ReplacedRefreshToken::Honoured => false,
        });
        let refused = authorization.refuses(token.consent, now, switches)
            || token.revoked
            || replaced
            || (token.number <= authorization.issued_before
                && switches.refresh_token_after_consent == EarlierToken::Refused);
        if refused {
            Err(RefreshRefusal::NoAuthorization)
        } else if token.consent <= authorization.ended_through || now >= token.expires_at {
            Err(RefreshRefusal::Ended)
        } else {
            Ok(())
        }
    }

    fn issue_access_token(
        &mut self,
        prefix: TokenPrefix,
        key: &GrantKey,
        consent: u32,
        now: u64,
        authorization_ends_at: u64,
    ) -> (String, u64) {
        let value = format!("{}{}{}", prefix.text(), self.opaque(), self.opaque());
        let expires_at = now.saturating_add(ACCESS_TOKEN_LIFE);
        let token = AccessToken {
            key: key.clone(),
            consent,
            number: self.issued,
            issued_at: now,
            expires_at,
            authorization_ends_at,
            replaced: false,
        };
        self.access_tokens.insert(value.clone(), token);
        (value, expires_at)
    }

    fn issue_refresh_token(
        &mut self,
        prefix: TokenPrefix,
        key: &GrantKey,
        consent: u32,
        now: u64,
        expires_at: u64,
        access_token: &str,
    ) -> String {
        let value = format!("{}{}{}", prefix.text(), self.opaque(), self.opaque());
        let token = RefreshToken {
            key: key.clone(),
            consent,
            number: self.issued,
            issued_at: now,
            expires_at,
            access_token: access_token.to_owned(),
            replacement: None,
            revoked: false,
        };
        self.refresh_tokens.insert(value.clone(), token);
        value
    }
}

/// Computes the `open_id` of a seller for an app. The `open_id` is the same for every consent and in every run of the
/// fake. It differs from app to app.
fn open_id(key: &GrantKey) -> String {
    let mut digest = hex(&hmac_sha256(key.service_id.as_bytes(), key.seller.as_bytes()));
    digest.truncate(27);
    format!("o{digest}")
}
