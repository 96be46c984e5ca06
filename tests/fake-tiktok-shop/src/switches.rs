//! Switches for what the documentation of TikTok Shop leaves open.
//!
//! A switch is read when a request is served or a webhook is sent, so it also holds for tokens issued before it was set.
//! Only how many webhooks an event leads to is settled when it happens.

mod answers;
mod explanation;
mod webhooks;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use answers::{
    CallbackExtras, CipherFailureStatus, CiphersOnConsent, DeauthorizeAgain, DeauthorizeNotice, DeauthorizeShop,
    EarlierToken, EmptyData, FailureStatus, GrantedScopesField, LastShopRemoved, RefreshTokenField,
    RefreshTokenOnRefresh, RefusalError, ReplacedRefreshToken, TokensAfterRemoval, WrongCipher, WrongSecret,
};
pub(crate) use explanation::EXPLANATIONS;
pub use webhooks::{
    EndingNoticeZone, ExpirationTime, GrantNotices, NotificationId, RefusedWebhook, WebhookBody, WebhookCopies,
    WebhookData, WebhookDelay, WebhookOrder, WebhookShopId, WebhookTimestamp,
};

/// How the fake answers where nobody documents what TikTok Shop does.
///
/// The defaults are the documented answers where there are any, otherwise the ones that expose a careless client: a
/// refresh replaces the refresh token, and the old one is refused at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switches {
    /// Does a refresh issue another refresh token?
    pub refresh_token_on_refresh: RefreshTokenOnRefresh,
    /// What becomes of a refresh token after a refresh has replaced it?
    pub replaced_refresh_token: ReplacedRefreshToken,
    /// Does a refresh answer carry the field `refresh_token`? While it does not, the refresh token stays the same.
    pub refresh_token_field: RefreshTokenField,
    /// What becomes of the earlier access token after a refresh?
    pub access_token_after_refresh: EarlierToken,
    /// What becomes of the earlier access tokens when the code of another consent is exchanged?
    pub access_token_after_consent: EarlierToken,
    /// What becomes of the earlier refresh tokens when the code of another consent is exchanged?
    pub refresh_token_after_consent: EarlierToken,
    /// Does the callback carry more than `code` and `state`?
    pub callback_extras: CallbackExtras,
    /// Value of `error` in the callback of a refused consent.
    pub refusal_error: RefusalError,
    /// What does the token host say to an unknown app key or a wrong app secret?
    pub wrong_secret: WrongSecret,
    /// HTTP status of 101000: the token's user type does not fit the call.
    pub status_101000: FailureStatus,
    /// HTTP status of 105001: the access token is invalid.
    pub status_105001: FailureStatus,
    /// HTTP status of 105002: the access token has expired.
    pub status_105002: FailureStatus,
    /// HTTP status of 106013: the shop's cipher is missing, or not one of the caller's.
    pub status_106013: CipherFailureStatus,
    /// Do token answers carry the field `granted_scopes`?
    pub granted_scopes_field: GrantedScopesField,
    /// Do the ciphers of a seller's shops change when the code of another consent is exchanged?
    pub ciphers_on_consent: CiphersOnConsent,
    /// `data` of a success that has nothing to tell.
    pub empty_data: EmptyData,
    /// What is a cipher that names no shop of the grant answered with?
    pub wrong_cipher: WrongCipher,
    /// What does Deauthorize Shop end: the shop, or the grant with all its shops?
    pub deauthorize_shop: DeauthorizeShop,
    /// Does a webhook of type 6 follow when the app itself deauthorizes a shop?
    pub deauthorize_notice: DeauthorizeNotice,
    /// What is Deauthorize Shop answered with for a shop that is gone from a grant that lives on?
    pub deauthorize_again: DeauthorizeAgain,
    /// What becomes of a grant when its last shop is removed?
    pub last_shop_removed: LastShopRemoved,
    /// What becomes of the tokens when the grant is removed?
    pub tokens_after_removal: TokensAfterRemoval,
    /// What becomes of access tokens that are still good when the authorization ends by time?
    pub access_token_after_end: EarlierToken,
    /// Is a removal or a coming end that concerns several shops told once for each?
    pub grant_notices: GrantNotices,
    /// In which time zone is 0:00, when the daily notices of a coming end are sent?
    pub ending_notice_zone: EndingNoticeZone,
    /// Shape of a webhook's `tts_notification_id`.
    pub notification_id: NotificationId,
    /// Shape of a webhook's `shop_id`.
    pub webhook_shop_id: WebhookShopId,
    /// Shape of a webhook's `timestamp`.
    pub webhook_timestamp: WebhookTimestamp,
    /// Shape of a webhook's `data`.
    pub webhook_data: WebhookData,
    /// Shape of `expiration_time` in a webhook of type 7.
    pub expiration_time: ExpirationTime,
    /// Is every webhook sent twice?
    pub webhook_copies: WebhookCopies,
    /// In which order are webhooks sent that are due together?
    pub webhook_order: WebhookOrder,
    /// Does a webhook's body arrive as it was signed?
    pub webhook_body: WebhookBody,
    /// How long after the event is a webhook first sent?
    pub webhook_delay: WebhookDelay,
    /// Is a webhook sent again when the receiver answers 401?
    pub refused_webhook: RefusedWebhook,
}

impl Switches {
    /// These switches with the members of `changes` (a JSON object) in place of the ones of the same name.
    ///
    /// # Errors
    /// The text lists the known names, or the known values of the one that is wrong.
    pub(crate) fn merged(self, changes: Value) -> Result<Self, String> {
        let Value::Object(changes) = changes else {
            return Err("expected a JSON object of switches".to_owned());
        };
        let mut merged = self.to_json();
        if let Value::Object(members) = &mut merged {
            members.extend(changes);
        }
        serde_json::from_value(merged).map_err(|error| error.to_string())
    }

    pub(crate) fn to_json(self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::explanation::Explanation;
    use super::*;
    use serde_json::json;

    #[test]
    fn every_switch_is_explained_and_every_value_that_is_named_is_accepted() {
        let Value::Object(members) = Switches::default().to_json() else {
            panic!("switches are an object");
        };
        let explained: Vec<_> = EXPLANATIONS.iter().map(|e| e.name).collect();
        assert_eq!(members.keys().collect::<Vec<_>>(), explained);
        for &Explanation { name, values, .. } in EXPLANATIONS {
            let values: Vec<Value> = serde_json::from_str(&format!("[{values}]")).unwrap();
            assert!(values.contains(&members[name]), "{name}: the default is among the values");
            for value in values {
                let merged = Switches::default().merged(json!({ name: value })).unwrap();
                assert_eq!(merged.to_json()[name], value, "{name}");
            }
        }
    }

    #[test]
    fn an_unknown_name_or_value_is_answered_with_the_known_ones() {
        let error = Switches::default().merged(json!({ "rotation": true })).unwrap_err();
        assert!(error.contains("unknown field `rotation`"), "{error}");
        for explanation in EXPLANATIONS {
            assert!(error.contains(explanation.name), "{error}");
        }
        let error = Switches::default().merged(json!({ "refusal_error": "no" })).unwrap_err();
        assert_eq!(error, "unknown variant `no`, expected `auth_denied` or `access_denied`");
        let error = Switches::default().merged(json!([])).unwrap_err();
        assert_eq!(error, "expected a JSON object of switches");
    }
}
