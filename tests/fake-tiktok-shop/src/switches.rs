//! Switches that choose the fake's behaviour where TikTok Shop's documentation does not describe the behaviour of
//! TikTok Shop.
//!
//! The fake reads a switch when it serves a request or sends a webhook. A changed switch therefore also applies to
//! tokens that were issued before. There is one exception: the number of webhooks for an event is fixed when the event
//! happens.

mod answers;
mod explanation;
mod webhooks;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use answers::{
    CallbackExtras, CipherFailureStatus, CiphersOnConsent, DeauthorizeAgain, DeauthorizeNotice, DeauthorizeShop,
    EarlierToken, EmptyData, FailureStatus, GrantedScopesField, InvalidAccessToken, LastShopRemoved, RefreshGrantType,
    RefreshTokenField, RefreshTokenOnRefresh, RefusalError, ReplacedRefreshToken, TokenFailure, TokenPrefix,
    TokensAfterRemoval, UnsignedEmptyObject, WrongCipher, WrongSecret,
};
pub(crate) use explanation::{EXPLANATIONS, Explanation, Topic};
pub use webhooks::{
    EndingNoticeZone, ExpirationTime, GrantNotices, NotificationId, RefusedWebhook, WebhookBody, WebhookCopies,
    WebhookData, WebhookDelay, WebhookOrder, WebhookShopId, WebhookTimestamp,
};

/// The fake's behaviour where the behaviour of TikTok Shop is not documented. Each field is a switch. Its documentation
/// is the question that the switch answers.
///
/// The default of a switch is the documented answer if there is one. Otherwise the default is the answer that makes a
/// careless client fail. For example, by default a refresh replaces the refresh token, and the old refresh token is
/// refused at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switches {
    /// Does a refresh issue a new refresh token?
    pub refresh_token_on_refresh: RefreshTokenOnRefresh,
    /// What happens to a refresh token after a refresh has replaced it?
    pub replaced_refresh_token: ReplacedRefreshToken,
    /// Does the answer to a refresh contain the field `refresh_token`? If not, the refresh token stays the same.
    pub refresh_token_field: RefreshTokenField,
    /// What happens to the earlier access token when a refresh issues a new one?
    pub access_token_after_refresh: EarlierToken,
    /// What happens to earlier access tokens when the code of another consent is exchanged?
    pub access_token_after_consent: EarlierToken,
    /// What happens to earlier refresh tokens when the code of another consent is exchanged?
    pub refresh_token_after_consent: EarlierToken,
    /// Does the callback have more parameters than `code` and `state`?
    pub callback_extras: CallbackExtras,
    /// Which value does the parameter `error` have in the callback of a refused consent?
    pub refusal_error: RefusalError,
    /// How does the token host answer an unknown app key or a wrong app secret?
    pub wrong_secret: WrongSecret,
    /// Which members does the body of a failure of the token host have?
    pub token_failure: TokenFailure,
    /// Which values of `grant_type` does a refresh accept?
    pub refresh_grant_type: RefreshGrantType,
    /// With which characters do new access tokens and refresh tokens begin?
    pub token_prefix: TokenPrefix,
    /// Does the fake accept a signature that does not cover the body, if the body is `{}`?
    pub unsigned_empty_object: UnsignedEmptyObject,
    /// With which HTTP status does the fake send the error code 101000 (the token's user type does not fit the call)?
    pub status_101000: FailureStatus,
    /// Which error code does the answer to an invalid access token have?
    pub invalid_access_token: InvalidAccessToken,
    /// With which HTTP status does the fake send the error code 105001 (the access token is invalid)?
    pub status_105001: FailureStatus,
    /// With which HTTP status does the fake send the error code 105002 (the access token has expired)?
    pub status_105002: FailureStatus,
    /// With which HTTP status does the fake send the error code 106013 (the shop cipher is missing or belongs to no
    /// shop of the grant)?
    pub status_106013: CipherFailureStatus,
    /// Do the token host's answers contain the field `granted_scopes`, and which scopes does it list?
    pub granted_scopes_field: GrantedScopesField,
    /// Do the ciphers of a seller's shops change when the code of another consent is exchanged?
    pub ciphers_on_consent: CiphersOnConsent,
    /// What does the member `data` contain if a call succeeds and returns no data?
    pub empty_data: EmptyData,
    /// If a cipher belongs to no shop of the grant, which error code does the answer have?
    pub wrong_cipher: WrongCipher,
    /// Does Deauthorize Shop remove only the shop, or the grant with all its shops?
    pub deauthorize_shop: DeauthorizeShop,
    /// Is a webhook of type 6 sent when the app itself deauthorizes a shop?
    pub deauthorize_notice: DeauthorizeNotice,
    /// How is Deauthorize Shop answered if the shop was already removed and the grant still stands?
    pub deauthorize_again: DeauthorizeAgain,
    /// What happens to a grant when its last shop is removed?
    pub last_shop_removed: LastShopRemoved,
    /// What happens to the tokens when the grant is removed?
    pub tokens_after_removal: TokensAfterRemoval,
    /// What happens to unexpired access tokens when the time of the authorization is over?
    pub access_token_after_end: EarlierToken,
    /// If a grant with several shops is removed or about to end, is one webhook sent for each shop?
    pub grant_notices: GrantNotices,
    /// TikTok Shop announces daily at 0:00 that an authorization will end. In which time zone?
    pub ending_notice_zone: EndingNoticeZone,
    /// In which form does a webhook carry `tts_notification_id`?
    pub notification_id: NotificationId,
    /// In which form does a webhook carry `shop_id`?
    pub webhook_shop_id: WebhookShopId,
    /// In which form does a webhook carry `timestamp`?
    pub webhook_timestamp: WebhookTimestamp,
    /// In which form does a webhook carry `data`?
    pub webhook_data: WebhookData,
    /// In which form does a webhook of type 7 carry `expiration_time`?
    pub expiration_time: ExpirationTime,
    /// Is every webhook sent twice?
    pub webhook_copies: WebhookCopies,
    /// If several webhooks are due at the same time, in which order are they sent?
    pub webhook_order: WebhookOrder,
    /// Does a webhook's body arrive exactly as it was signed?
    pub webhook_body: WebhookBody,
    /// How long after the event is a webhook sent for the first time?
    pub webhook_delay: WebhookDelay,
    /// Is a webhook sent again when the receiver answers 401?
    pub refused_webhook: RefusedWebhook,
}

impl Switches {
    /// Returns these switches with new values for the switches that `changes` names. `changes` must be a JSON object.
    ///
    /// # Errors
    /// `changes` is not a JSON object, or a name or a value in it is unknown. For an unknown name, the text lists the
    /// known names. For an unknown value, it lists the known values of the switch.
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
    use super::*;
    use serde_json::json;

    #[test]
    fn every_switch_is_explained_and_every_listed_value_is_accepted() {
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
    fn an_unknown_name_or_value_is_refused_with_a_list_of_the_known_ones() {
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
