//! The values of the switches for consents, tokens and calls.

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

/// Whether a refresh issues a new refresh token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefreshTokenOnRefresh {
    /// A refresh issues a new refresh token. It expires at the same time as the old refresh token.
    #[default]
    New,
    /// A refresh returns the refresh token that was presented.
    Unchanged,
}

/// How TikTok Shop treats a refresh token after a refresh has replaced it. A replay is a refresh with such a token.
///
/// This switch and [`RefreshTokenOnRefresh`] together set TikTok Shop's policy for refresh tokens:
///
/// - With `Unchanged` or `Honoured`, refresh tokens are reusable.
/// - With `HonouredForSeconds` or `AnsweredAgainForSeconds`, refresh tokens rotate with a grace period. During this
///   period, a replay gets a new pair (`HonouredForSeconds`) or the first pair again (`AnsweredAgainForSeconds`).
/// - With `Refused`, refresh tokens rotate strictly.
/// - With `RevokesFamily`, a replay revokes all tokens of the same consent, and no tokens of other consents.
///
/// With each other value of this switch, a replay revokes no tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplacedRefreshToken {
    /// Every replay gets the error code 36004005.
    #[default]
    Refused,
    /// The token works for this many seconds after it was replaced. In this time, every replay gets a new pair.
    HonouredForSeconds(u64),
    /// For this many seconds after the token was replaced, every replay gets the pair of the first refresh. No new
    /// tokens are issued.
    AnsweredAgainForSeconds(u64),
    /// The token works until it expires. Every replay gets a new pair.
    Honoured,
    /// A replay gets 36004005 and revokes all tokens of the same consent. Afterwards, refreshes with these tokens get
    /// 36004005, and calls get 105001.
    RevokesFamily,
}

/// The field `refresh_token` of a refresh answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefreshTokenField {
    /// The field contains the refresh token.
    #[default]
    Present,
    /// The field is missing.
    Missing,
    /// The field is an empty text.
    Empty,
    /// The field is a single space.
    Blank,
}

/// How TikTok Shop treats a token after an event, for example after a later token was issued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EarlierToken {
    /// The token works until it expires.
    #[default]
    Honoured,
    /// The token is refused after the event.
    Refused,
}

/// The parameters of the callback in addition to `code` and `state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallbackExtras {
    /// No further parameters, as documented.
    #[default]
    None,
    /// The callback also has `app_key`, `locale` and `shop_region`, as reports from live use say.
    AppKeyLocaleAndRegion,
}

/// The value of `error` in the callback of a refused consent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalError {
    /// `auth_denied`.
    #[default]
    AuthDenied,
    /// `access_denied`.
    AccessDenied,
}

impl RefusalError {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::AuthDenied => "auth_denied",
            Self::AccessDenied => "access_denied",
        }
    }
}

/// The token host's answer to an unknown app key or a wrong app secret.
///
/// In every recorded failure of the token host, the HTTP status is 200. No recorded failure is about a wrong secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WrongSecret {
    /// HTTP 200 with 36009004.
    #[default]
    Ok,
    /// HTTP 400 with 36009004.
    BadRequest,
    /// HTTP 401 with 36009004.
    Unauthorized,
    /// HTTP 200 with the error code for a bad grant: 36004004 in an exchange, 36004005 in a refresh.
    BadGrant,
}

/// The body of the token host's failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenFailure {
    /// The body has the members `code`, `message` and `request_id`, as in recorded answers. The message does not end
    /// with a link.
    #[default]
    Recorded,
    /// The same body as for failures of the API host: it also has the member `data`, which is `null`, and the message
    /// ends with a link.
    LikeApiHost,
}

/// The values of `grant_type` that a refresh accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefreshGrantType {
    /// `refresh_token`, as documented.
    #[default]
    RefreshToken,
    /// `refresh_token`, and also `authorized_code`, which the Node SDK of Partner Center sends.
    Either,
}

/// The first characters of access tokens and refresh tokens. The first three values are known from reports of live use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenPrefix {
    /// `ROW_`.
    #[default]
    Row,
    /// `GCP_`.
    Gcp,
    /// `TTP_`.
    Ttp,
    /// No prefix.
    None,
}

impl TokenPrefix {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Row => "ROW_",
            Self::Gcp => "GCP_",
            Self::Ttp => "TTP_",
            Self::None => "",
        }
    }
}

/// The answer to a request whose body is `{}` and whose signature does not cover this body.
///
/// A report from live use shows that a signature over the body `{}` works. Official samples in two languages leave the
/// body out of the signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnsignedEmptyObject {
    /// The request gets 106001, as for every other wrong signature.
    #[default]
    Refused,
    /// The signature is accepted.
    Accepted,
}

/// The error code of the answer to an invalid access token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum InvalidAccessToken {
    /// 105001, as documented.
    #[default]
    #[serde(rename = "105001")]
    Code105001,
    /// HTTP 400 with 36009004 and a message that names the header `x-tts-access-token`, as recorded in live use.
    #[serde(rename = "36009004")]
    Code36009004,
}

/// The HTTP status that goes with an error code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureStatus {
    /// 401.
    #[default]
    Unauthorized,
    /// 200.
    Ok,
}

impl From<FailureStatus> for StatusCode {
    fn from(status: FailureStatus) -> Self {
        match status {
            FailureStatus::Unauthorized => Self::UNAUTHORIZED,
            FailureStatus::Ok => Self::OK,
        }
    }
}

/// The HTTP status of the answer to a missing or wrong shop cipher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CipherFailureStatus {
    /// 400.
    #[default]
    BadRequest,
    /// 200.
    Ok,
}

impl From<CipherFailureStatus> for StatusCode {
    fn from(status: CipherFailureStatus) -> Self {
        match status {
            CipherFailureStatus::BadRequest => Self::BAD_REQUEST,
            CipherFailureStatus::Ok => Self::OK,
        }
    }
}

/// The field `granted_scopes` of a token answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrantedScopesField {
    /// The field lists the scopes that the seller granted.
    #[default]
    Present,
    /// The field lists every scope that the app asks for, even the scopes that the seller did not grant.
    Requested,
    /// The field is missing, as in old answers.
    Missing,
}

/// The effect of another consent on the ciphers of the seller's shops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CiphersOnConsent {
    /// The ciphers stay the same.
    #[default]
    Unchanged,
    /// Each shop gets a new cipher.
    New,
}

/// The member `data` of a success that returns no data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmptyData {
    /// An empty object.
    #[default]
    Object,
    /// `null`.
    Null,
    /// The member is missing.
    Missing,
}

/// The answer to a cipher that belongs to no shop of the grant. A missing cipher always gets 106013.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WrongCipher {
    /// 106013, as for a missing cipher.
    #[default]
    LikeMissing,
    /// 101000, which says that the shop does not fit the token.
    DoesNotFit,
}

/// The effect of the call Deauthorize Shop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeauthorizeShop {
    /// The call removes only the shop that it names. The grant stands as long as it has another shop.
    #[default]
    Shop,
    /// The call removes the grant with all its shops.
    Grant,
}

/// Whether a webhook of type 6 is sent when the app itself deauthorizes a shop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeauthorizeNotice {
    /// A webhook is sent, in the same way as when the seller removes the shop.
    #[default]
    Sent,
    /// No webhook is sent.
    None,
}

/// The answer to Deauthorize Shop if the shop was already removed and the grant still stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeauthorizeAgain {
    /// The same answer as to a wrong cipher.
    #[default]
    WrongCipher,
    /// The call succeeds, like the first call.
    Success,
}

/// How TikTok Shop treats a grant when its last shop is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LastShopRemoved {
    /// The grant is also removed.
    #[default]
    RemovesGrant,
    /// The grant stands, and its list of shops is empty.
    LeavesGrant,
}

/// How TikTok Shop treats the tokens when the grant is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokensAfterRemoval {
    /// The tokens are refused at once. Refreshes get 36004005, and calls get 105001.
    #[default]
    Refused,
    /// The tokens work for this many seconds after the removal. So a webhook of type 6 can arrive while the tokens
    /// still work.
    HonouredForSeconds(u64),
}
