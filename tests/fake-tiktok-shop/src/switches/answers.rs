//! What the hosts of TikTok Shop can answer where the documentation leaves it open.

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

/// Whether a refresh issues another refresh token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefreshTokenOnRefresh {
    /// Another one, with the same end.
    #[default]
    New,
    /// The one that was presented.
    Unchanged,
}

/// What becomes of a refresh token after a refresh has replaced it.
///
/// With [`RefreshTokenOnRefresh`] this is the provider's policy: a token is reusable (`Unchanged`, or `Honoured`), it
/// rotates with a grace in which a replay gets another pair (`HonouredForSeconds`) or the first one again
/// (`AnsweredAgainForSeconds`), it rotates strictly (`Refused`), or a replay ends everything (`RevokesFamily`).
/// What a replay does not revoke stays as it was: other tokens of the same consent, and those of other consents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplacedRefreshToken {
    /// 36004005 from then on.
    #[default]
    Refused,
    /// Honoured this many seconds longer; every replay gets a pair of its own.
    HonouredForSeconds(u64),
    /// For this many seconds more a replay gets the pair that the first refresh got, and nothing is issued.
    AnsweredAgainForSeconds(u64),
    /// Honoured until its end; every replay gets a pair of its own.
    Honoured,
    /// 36004005, and all tokens that came from the same consent are revoked: refreshes get 36004005, calls 105001.
    RevokesFamily,
}

/// The field `refresh_token` of a refresh answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefreshTokenField {
    /// It is there.
    #[default]
    Present,
    /// It is not.
    Missing,
    /// It is there with an empty text.
    Empty,
    /// It is there with a space in it and nothing else.
    Blank,
}

/// What becomes of a token when a later one is issued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EarlierToken {
    /// Honoured until its end.
    #[default]
    Honoured,
    /// Refused from then on.
    Refused,
}

/// Parameters of the callback besides `code` and `state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallbackExtras {
    /// None, as documented.
    #[default]
    None,
    /// `app_key`, `locale` and `shop_region`, as reported.
    AppKeyLocaleAndRegion,
}

/// Value of `error` in the callback of a refused consent.
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

/// What the token host says to an unknown app key or a wrong app secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WrongSecret {
    /// HTTP 400 and 36009004.
    #[default]
    BadRequest,
    /// HTTP 401 and 36009004.
    Unauthorized,
    /// HTTP 200 and the code of a bad grant: 36004004 for a code, 36004005 for a refresh token.
    BadGrant,
}

/// HTTP status that goes with a failure's code.
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

/// HTTP status of a missing or wrong shop cipher.
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
    /// It lists what the seller granted.
    #[default]
    Present,
    /// It lists all that the app asks for, also what the seller left out.
    Requested,
    /// It is not there, as in old answers.
    Missing,
}

/// What another consent does to the ciphers of the seller's shops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CiphersOnConsent {
    /// They stay.
    #[default]
    Unchanged,
    /// Each shop gets another one.
    New,
}

/// `data` of a success that has nothing to tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmptyData {
    /// An empty object.
    #[default]
    Object,
    /// `null`.
    Null,
    /// It is not there.
    Missing,
}

/// What a cipher that names no shop of the grant is answered with. One that is missing is always 106013.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WrongCipher {
    /// 106013, as if it were missing.
    #[default]
    LikeMissing,
    /// 101000: the shop does not fit the token.
    DoesNotFit,
}

/// What Deauthorize Shop ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeauthorizeShop {
    /// The one shop; the grant lives on while it has another.
    #[default]
    Shop,
    /// The grant, with all its shops.
    Grant,
}

/// Whether a webhook of type 6 follows when the app itself deauthorizes a shop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeauthorizeNotice {
    /// One does, as if the seller had removed the shop.
    #[default]
    Sent,
    /// None does.
    None,
}

/// What Deauthorize Shop is answered with for a shop that is gone from a grant that lives on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeauthorizeAgain {
    /// As a wrong cipher.
    #[default]
    WrongCipher,
    /// As the first time.
    Success,
}

/// What becomes of a grant when its last shop is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LastShopRemoved {
    /// It is removed, too.
    #[default]
    RemovesGrant,
    /// It lives on, and its listing is empty.
    LeavesGrant,
}

/// What becomes of the tokens when the grant is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokensAfterRemoval {
    /// They are refused at once: refreshes get 36004005, calls 105001.
    #[default]
    Refused,
    /// They are honoured this many seconds longer, so that a webhook of type 6 arrives before the end.
    HonouredForSeconds(u64),
}
