//! The values of the switches for consents, tokens and calls.

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

/// Whether a refresh issues a new refresh token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefreshTokenOnRefresh {
    /// A new refresh token, which expires at the same time as the old refresh token.
    #[default]
    New,
    /// The refresh token that was presented.
    Unchanged,
}

/// The fate of a refresh token after a refresh has replaced it.
///
/// Together with [`RefreshTokenOnRefresh`] this is the provider's policy for refresh tokens:
///
/// - Refresh tokens are reusable: `Unchanged`, or `Honoured`.
/// - Refresh tokens rotate with a grace period. A replay gets a new pair (`HonouredForSeconds`) or the first pair again
///   (`AnsweredAgainForSeconds`).
/// - Refresh tokens rotate strictly: `Refused`.
/// - A replay revokes all tokens of the consent: `RevokesFamily`.
///
/// A replay revokes other tokens only under `RevokesFamily`, and only the tokens of the same consent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplacedRefreshToken {
    /// Every replay gets 36004005.
    #[default]
    Refused,
    /// The token works for this many more seconds. Every replay gets a new pair.
    HonouredForSeconds(u64),
    /// For this many more seconds, every replay gets the pair of the first refresh. No new tokens are issued.
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
    /// The field carries the refresh token.
    #[default]
    Present,
    /// The field is missing.
    Missing,
    /// The field is an empty text.
    Empty,
    /// The field is a single space.
    Blank,
}

/// The fate of a token after an event, for example when a later token is issued.
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
    /// `app_key`, `locale` and `shop_region`, as reports from live use say.
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
    /// `code`, `message` and `request_id`, as in recorded answers. The message does not end with a link.
    #[default]
    Recorded,
    /// The body of the API host's failures: `data` is `null`, and the message ends with a link.
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

/// The first characters of access tokens and refresh tokens. Reports from live use show the first three values.
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

/// The answer to a request whose body is `{}` and whose signature leaves out this body.
///
/// A report from live use shows that a signature over the body `{}` works. Official samples in two languages leave the
/// body out of the signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnsignedEmptyObject {
    /// 106001, as for every other wrong signature.
    #[default]
    Refused,
    /// The signature is accepted.
    Accepted,
}

/// The code that answers an invalid access token.
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
    /// The field lists every scope that the app asks for, granted or not.
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

/// The effect of Deauthorize Shop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeauthorizeShop {
    /// It removes only the shop of the call. The grant stands as long as it has another shop.
    #[default]
    Shop,
    /// It removes the grant with all its shops.
    Grant,
}

/// Whether a webhook of type 6 follows when the app itself deauthorizes a shop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeauthorizeNotice {
    /// A webhook is sent, as if the seller had removed the shop.
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
    /// Success, as the first time.
    Success,
}

/// The fate of a grant when its last shop is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LastShopRemoved {
    /// The grant is also removed.
    #[default]
    RemovesGrant,
    /// The grant stands, and its list of shops is empty.
    LeavesGrant,
}

/// The fate of the tokens when the grant is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokensAfterRemoval {
    /// The tokens are refused at once. Refreshes get 36004005, calls get 105001.
    #[default]
    Refused,
    /// The tokens work for this many more seconds, so that a webhook of type 6 arrives while they still work.
    HonouredForSeconds(u64),
}
