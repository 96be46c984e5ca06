//! An explanation of every switch, for the control interface and the pages.

/// The explanation of one switch: its name, its topic, its values and the question that it answers.
pub(crate) struct Explanation {
    pub name: &'static str,
    pub topic: Topic,
    pub values: &'static str,
    pub question: &'static str,
}

/// The subject of a switch. The pages group the switches by subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    Tokens,
    Consent,
    TokenHost,
    ApiHost,
    Removal,
    Webhooks,
}

impl Topic {
    pub(crate) const ALL: [Self; 6] =
        [Self::Tokens, Self::Consent, Self::TokenHost, Self::ApiHost, Self::Removal, Self::Webhooks];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Tokens => "Which tokens work, and for how long",
            Self::Consent => "Consent: the callback and what it grants",
            Self::TokenHost => "Answers of the token host",
            Self::ApiHost => "Answers of the API host",
            Self::Removal => "Removal of apps and shops, and the coming end",
            Self::Webhooks => "Form and delivery of webhooks",
        }
    }
}

/// The explanations of all switches, in the order of [`Switches`].
pub(crate) const EXPLANATIONS: &[Explanation] = &[
    Explanation {
        name: "refresh_token_on_refresh",
        topic: Topic::Tokens,
        values: r#""new", "unchanged""#,
        question: "Does a refresh issue a new refresh token?",
    },
    Explanation {
        name: "replaced_refresh_token",
        topic: Topic::Tokens,
        values: r#""refused", {"honoured-for-seconds": 60}, {"answered-again-for-seconds": 60}, "honoured", "revokes-family""#,
        question: "What happens to a refresh token after a refresh has replaced it? With answered-again, a replay gets \
                   the first answer again. With revokes-family, a replay revokes all tokens of the consent.",
    },
    Explanation {
        name: "refresh_token_field",
        topic: Topic::Tokens,
        values: r#""present", "missing", "empty", "blank""#,
        question: "Does a refresh answer carry refresh_token? If not, the refresh token stays the same.",
    },
    Explanation {
        name: "access_token_after_refresh",
        topic: Topic::Tokens,
        values: r#""honoured", "refused""#,
        question: "What happens to the earlier access token after a refresh?",
    },
    Explanation {
        name: "access_token_after_consent",
        topic: Topic::Tokens,
        values: r#""honoured", "refused""#,
        question: "What happens to earlier access tokens when the code of another consent is exchanged?",
    },
    Explanation {
        name: "refresh_token_after_consent",
        topic: Topic::Tokens,
        values: r#""honoured", "refused""#,
        question: "What happens to earlier refresh tokens when the code of another consent is exchanged?",
    },
    Explanation {
        name: "callback_extras",
        topic: Topic::Consent,
        values: r#""none", "app-key-locale-and-region""#,
        question: "Does the callback carry more than code and state?",
    },
    Explanation {
        name: "refusal_error",
        topic: Topic::Consent,
        values: r#""auth_denied", "access_denied""#,
        question: "Which error does the callback of a refused consent carry?",
    },
    Explanation {
        name: "wrong_secret",
        topic: Topic::TokenHost,
        values: r#""ok", "bad-request", "unauthorized", "bad-grant""#,
        question: "How does the token host answer a wrong app key or secret: with 36009004 and HTTP 200, 400 or 401, or \
                   with HTTP 200 and the code for a bad grant (36004004 in an exchange, 36004005 in a refresh)?",
    },
    Explanation {
        name: "token_failure",
        topic: Topic::TokenHost,
        values: r#""recorded", "like-api-host""#,
        question: "Which members does a failure of the token host have: code, message and request_id as in recorded \
                   answers, or also data: null, and a link at the end of the message?",
    },
    Explanation {
        name: "refresh_grant_type",
        topic: Topic::TokenHost,
        values: r#""refresh-token", "either""#,
        question: "Which grant_type does a refresh accept: only refresh_token, or also authorized_code, which an \
                   official SDK sends?",
    },
    Explanation {
        name: "token_prefix",
        topic: Topic::Tokens,
        values: r#""row", "gcp", "ttp", "none""#,
        question: "With which characters do new access tokens and refresh tokens begin: ROW_, GCP_, TTP_ or none of these?",
    },
    Explanation {
        name: "unsigned_empty_object",
        topic: Topic::ApiHost,
        values: r#""refused", "accepted""#,
        question: "May a signature leave out the body {}?",
    },
    Explanation {
        name: "status_101000",
        topic: Topic::ApiHost,
        values: r#""unauthorized", "ok""#,
        question: "Which HTTP status goes with 101000 (the token's user type does not fit the call): 401 or 200?",
    },
    Explanation {
        name: "invalid_access_token",
        topic: Topic::ApiHost,
        values: r#""105001", "36009004""#,
        question: "Which code answers an invalid access token: 105001, or 36009004 with a message that names its header?",
    },
    Explanation {
        name: "status_105001",
        topic: Topic::ApiHost,
        values: r#""unauthorized", "ok""#,
        question: "Which HTTP status goes with 105001 (the access token is invalid): 401 or 200?",
    },
    Explanation {
        name: "status_105002",
        topic: Topic::ApiHost,
        values: r#""unauthorized", "ok""#,
        question: "Which HTTP status goes with 105002 (the access token has expired): 401 or 200?",
    },
    Explanation {
        name: "status_106013",
        topic: Topic::ApiHost,
        values: r#""bad-request", "ok""#,
        question: "Which HTTP status goes with 106013 (the shop cipher is missing or wrong): 400 or 200?",
    },
    Explanation {
        name: "granted_scopes_field",
        topic: Topic::Consent,
        values: r#""present", "requested", "missing""#,
        question: "Do token answers carry granted_scopes? Does it list the granted scopes, or all that the app requested?",
    },
    Explanation {
        name: "ciphers_on_consent",
        topic: Topic::Consent,
        values: r#""unchanged", "new""#,
        question: "Do the shops' ciphers change when the code of another consent is exchanged?",
    },
    Explanation {
        name: "empty_data",
        topic: Topic::ApiHost,
        values: r#""object", "null", "missing""#,
        question: "How does a success without data show its data: as {}, as null, or not at all?",
    },
    Explanation {
        name: "wrong_cipher",
        topic: Topic::ApiHost,
        values: r#""like-missing", "does-not-fit""#,
        question: "Which code answers a cipher that names no shop of the grant: 106013 or 101000?",
    },
    Explanation {
        name: "deauthorize_shop",
        topic: Topic::Removal,
        values: r#""shop", "grant""#,
        question: "Does Deauthorize Shop remove only the shop, or the grant with all its shops?",
    },
    Explanation {
        name: "deauthorize_notice",
        topic: Topic::Removal,
        values: r#""sent", "none""#,
        question: "Does a webhook of type 6 follow when the app itself deauthorizes a shop?",
    },
    Explanation {
        name: "deauthorize_again",
        topic: Topic::Removal,
        values: r#""wrong-cipher", "success""#,
        question: "How is Deauthorize Shop answered if the shop was removed before and the grant still stands?",
    },
    Explanation {
        name: "last_shop_removed",
        topic: Topic::Removal,
        values: r#""removes-grant", "leaves-grant""#,
        question: "What happens to a grant when its last shop is removed?",
    },
    Explanation {
        name: "tokens_after_removal",
        topic: Topic::Tokens,
        values: r#""refused", {"honoured-for-seconds": 60}"#,
        question: "What happens to the tokens when the grant is removed?",
    },
    Explanation {
        name: "access_token_after_end",
        topic: Topic::Tokens,
        values: r#""honoured", "refused""#,
        question: "What happens to unexpired access tokens when the authorization ends by time?",
    },
    Explanation {
        name: "grant_notices",
        topic: Topic::Removal,
        values: r#""each-shop", "one""#,
        question: "If a grant with several shops is removed or about to end, is one webhook sent for each shop?",
    },
    Explanation {
        name: "ending_notice_zone",
        topic: Topic::Removal,
        values: r#""utc", "utc-plus8""#,
        question: "The daily notices of a coming end are sent at 0:00. In which time zone?",
    },
    Explanation {
        name: "notification_id",
        topic: Topic::Webhooks,
        values: r#""text", "number", "missing""#,
        question: "In which form does a webhook carry tts_notification_id?",
    },
    Explanation {
        name: "webhook_shop_id",
        topic: Topic::Webhooks,
        values: r#""text", "number""#,
        question: "In which form does a webhook carry shop_id?",
    },
    Explanation {
        name: "webhook_timestamp",
        topic: Topic::Webhooks,
        values: r#""seconds", "milliseconds", "text""#,
        question: "In which form does a webhook carry timestamp?",
    },
    Explanation {
        name: "webhook_data",
        topic: Topic::Webhooks,
        values: r#""json", "text""#,
        question: "Is a webhook's data JSON, or a text that contains JSON?",
    },
    Explanation {
        name: "expiration_time",
        topic: Topic::Webhooks,
        values: r#""text", "number""#,
        question: "In which form does a webhook of type 7 carry expiration_time?",
    },
    Explanation {
        name: "webhook_copies",
        topic: Topic::Webhooks,
        values: r#""one", "two""#,
        question: "Is every webhook sent twice?",
    },
    Explanation {
        name: "webhook_order",
        topic: Topic::Webhooks,
        values: r#""oldest-first", "newest-first""#,
        question: "In which order are webhooks sent that are due at the same time?",
    },
    Explanation {
        name: "webhook_body",
        topic: Topic::Webhooks,
        values: r#""as-signed", "re-encoded""#,
        question: "Does a webhook's body arrive exactly as it was signed?",
    },
    Explanation {
        name: "webhook_delay",
        topic: Topic::Webhooks,
        values: r#""none", {"seconds": 55920}"#,
        question: "How long after the event is a webhook sent for the first time?",
    },
    Explanation {
        name: "refused_webhook",
        topic: Topic::Webhooks,
        values: r#""delivered", "sent-again""#,
        question: "Is a webhook sent again when the receiver answers 401?",
    },
];
