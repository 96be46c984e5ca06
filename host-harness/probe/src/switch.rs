//! The questions that the probe asks: one for each switch of the fake TikTok Shop.

use serde::{Serialize, Serializer};

/// Defines the switches together with their names and questions, so that none can be forgotten.
macro_rules! switches {
    ($($switch:ident $name:literal $question:literal;)*) => {
        /// A switch of the fake TikTok Shop. Each switch is a question about TikTok Shop.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Switch {
            $(#[doc = $question] $switch,)*
        }

        impl Switch {
            /// Every switch, in the order of the report.
            pub const ALL: &'static [Self] = &[$(Self::$switch),*];

            /// Returns the name that the fake gives the switch.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$switch => $name,)*
                }
            }

            /// Returns the question that the switch answers.
            #[must_use]
            pub const fn question(self) -> &'static str {
                match self {
                    $(Self::$switch => $question,)*
                }
            }
        }
    };
}

switches! {
    RefreshTokenOnRefresh "refresh_token_on_refresh" "Does a refresh issue a new refresh token?";
    ReplacedRefreshToken "replaced_refresh_token" "What happens to a refresh token after a refresh has replaced it?";
    RefreshTokenField "refresh_token_field" "Does the answer to a refresh contain a refresh token?";
    AccessTokenAfterRefresh "access_token_after_refresh" "Does the earlier access token work after a refresh?";
    AccessTokenAfterConsent "access_token_after_consent" "Does the earlier access token work after another consent?";
    RefreshTokenAfterConsent "refresh_token_after_consent" "Does the earlier refresh token work after another consent?";
    CallbackExtras "callback_extras" "Does the callback have more parameters than code and state?";
    RefusalError "refusal_error" "Which error does the callback of a refused consent have?";
    WrongSecret "wrong_secret" "How does the token host answer a wrong app secret?";
    TokenFailure "token_failure" "Which members does a failure of the token host have?";
    RefreshGrantType "refresh_grant_type" "Does a refresh also accept the grant type authorized_code?";
    TokenPrefix "token_prefix" "With which characters do tokens begin?";
    UnsignedEmptyObject "unsigned_empty_object" "May a signature leave out the body {}?";
    Status101000 "status_101000" "Which HTTP status goes with 101000?";
    InvalidAccessToken "invalid_access_token" "Which code answers an invalid access token?";
    Status105001 "status_105001" "Which HTTP status goes with 105001?";
    Status105002 "status_105002" "Which HTTP status goes with 105002?";
    Status106013 "status_106013" "Which HTTP status goes with 106013?";
    GrantedScopesField "granted_scopes_field" "Which scopes does granted_scopes list?";
    CiphersOnConsent "ciphers_on_consent" "Do the ciphers change with another consent?";
    EmptyData "empty_data" "What is data if a call succeeds and returns nothing?";
    WrongCipher "wrong_cipher" "Which code answers a cipher that belongs to no shop of the grant?";
    DeauthorizeShop "deauthorize_shop" "Does Deauthorize Shop remove only the shop, or the whole grant?";
    DeauthorizeNotice "deauthorize_notice" "Does a webhook of type 6 follow when the app deauthorizes a shop?";
    DeauthorizeAgain "deauthorize_again" "How is Deauthorize Shop answered for a shop that was removed before?";
    LastShopRemoved "last_shop_removed" "What happens to a grant when its last shop is removed?";
    TokensAfterRemoval "tokens_after_removal" "How long do tokens work after their grant was removed?";
    AccessTokenAfterEnd "access_token_after_end" "Does an access token work after its authorization has ended by time?";
    GrantNotices "grant_notices" "Is one webhook sent for each shop of a grant, or one for all?";
    EndingNoticeZone "ending_notice_zone" "In which time zone are the daily notices of a coming end sent at 0:00?";
    NotificationId "notification_id" "In which form does a webhook carry tts_notification_id?";
    WebhookShopId "webhook_shop_id" "In which form does a webhook carry shop_id?";
    WebhookTimestamp "webhook_timestamp" "In which form does a webhook carry timestamp?";
    WebhookData "webhook_data" "In which form does a webhook carry data?";
    ExpirationTime "expiration_time" "In which form does a webhook of type 7 carry expiration_time?";
    WebhookCopies "webhook_copies" "Is every webhook sent twice?";
    WebhookOrder "webhook_order" "In which order are webhooks sent that are due at the same time?";
    WebhookBody "webhook_body" "Does the body of a webhook arrive as it was signed?";
    WebhookDelay "webhook_delay" "How long after the event is a webhook sent?";
    RefusedWebhook "refused_webhook" "Is a webhook sent again after the receiver has answered 401?";
}

impl Serialize for Switch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
