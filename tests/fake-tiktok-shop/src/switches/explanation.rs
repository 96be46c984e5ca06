//! Every switch in words, for the control interface and the start page.

/// One switch, for people: its name, its values and the question it answers.
pub(crate) struct Explanation {
    pub name: &'static str,
    pub values: &'static str,
    pub question: &'static str,
}

/// Every switch, in the order of [`Switches`].
pub(crate) const EXPLANATIONS: &[Explanation] = &[
    Explanation {
        name: "refresh_token_on_refresh",
        values: r#""new", "unchanged""#,
        question: "Does a refresh issue another refresh token?",
    },
    Explanation {
        name: "replaced_refresh_token",
        values: r#""refused", {"honoured-for-seconds": 60}, {"answered-again-for-seconds": 60}, "honoured", "revokes-family""#,
        question: "What becomes of a refresh token after a refresh has replaced it? answered-again repeats the first \
                   answer; revokes-family ends all tokens of the consent at a replay.",
    },
    Explanation {
        name: "refresh_token_field",
        values: r#""present", "missing", "empty""#,
        question: "Does a refresh answer carry refresh_token? While it does not, the token stays the same.",
    },
    Explanation {
        name: "access_token_after_refresh",
        values: r#""honoured", "refused""#,
        question: "What becomes of the earlier access token after a refresh?",
    },
    Explanation {
        name: "access_token_after_consent",
        values: r#""honoured", "refused""#,
        question: "What becomes of earlier access tokens when the code of another consent is exchanged?",
    },
    Explanation {
        name: "refresh_token_after_consent",
        values: r#""honoured", "refused""#,
        question: "What becomes of earlier refresh tokens when the code of another consent is exchanged?",
    },
    Explanation {
        name: "callback_extras",
        values: r#""none", "app-key-locale-and-region""#,
        question: "Does the callback carry more than code and state?",
    },
    Explanation {
        name: "refusal_error",
        values: r#""auth_denied", "access_denied""#,
        question: "Value of error in the callback of a refused consent.",
    },
    Explanation {
        name: "wrong_secret",
        values: r#""bad-request", "unauthorized", "bad-grant""#,
        question: "What does the token host say to a wrong app key or secret: HTTP 400 or 401 with 36009004, or HTTP 200 \
                   with 36004004 (code) and 36004005 (refresh token)?",
    },
    Explanation {
        name: "status_101000",
        values: r#""unauthorized", "ok""#,
        question: "HTTP status when the token's user type does not fit the call: 401 or 200?",
    },
    Explanation {
        name: "status_105001",
        values: r#""unauthorized", "ok""#,
        question: "HTTP status when the access token is invalid: 401 or 200?",
    },
    Explanation {
        name: "status_105002",
        values: r#""unauthorized", "ok""#,
        question: "HTTP status when the access token has expired: 401 or 200?",
    },
    Explanation {
        name: "status_106013",
        values: r#""bad-request", "ok""#,
        question: "HTTP status when the shop's cipher is missing or wrong: 400 or 200?",
    },
    Explanation {
        name: "granted_scopes_field",
        values: r#""present", "requested", "missing""#,
        question: "Do token answers carry granted_scopes, and does it lack what the seller left out?",
    },
    Explanation {
        name: "ciphers_on_consent",
        values: r#""unchanged", "new""#,
        question: "Do the shops' ciphers change when the code of another consent is exchanged?",
    },
    Explanation {
        name: "empty_data",
        values: r#""object", "null", "missing""#,
        question: "data of a success that has nothing to tell.",
    },
    Explanation {
        name: "wrong_cipher",
        values: r#""like-missing", "does-not-fit""#,
        question: "What is a cipher that names no shop of the grant answered with: 106013 or 101000?",
    },
    Explanation {
        name: "deauthorize_shop",
        values: r#""shop", "grant""#,
        question: "What does Deauthorize Shop end: the shop, or the grant with all its shops?",
    },
    Explanation {
        name: "deauthorize_notice",
        values: r#""sent", "none""#,
        question: "Does a webhook of type 6 follow when the app itself deauthorizes a shop?",
    },
    Explanation {
        name: "deauthorize_again",
        values: r#""wrong-cipher", "success""#,
        question: "What is Deauthorize Shop answered with for a shop that is gone from a grant that lives on?",
    },
    Explanation {
        name: "last_shop_removed",
        values: r#""removes-grant", "leaves-grant""#,
        question: "What becomes of a grant when its last shop is removed?",
    },
    Explanation {
        name: "tokens_after_removal",
        values: r#""refused", {"honoured-for-seconds": 60}"#,
        question: "What becomes of the tokens when the grant is removed?",
    },
    Explanation {
        name: "access_token_after_end",
        values: r#""honoured", "refused""#,
        question: "What becomes of access tokens that are still good when the authorization ends by time?",
    },
    Explanation {
        name: "grant_notices",
        values: r#""each-shop", "one""#,
        question: "Is a removal or a coming end that concerns several shops told once for each?",
    },
    Explanation {
        name: "ending_notice_zone",
        values: r#""utc", "utc-plus8""#,
        question: "In which time zone is 0:00, when the daily notices of a coming end are sent?",
    },
    Explanation {
        name: "notification_id",
        values: r#""text", "number", "missing""#,
        question: "Shape of a webhook's tts_notification_id.",
    },
    Explanation { name: "webhook_shop_id", values: r#""text", "number""#, question: "Shape of a webhook's shop_id." },
    Explanation {
        name: "webhook_timestamp",
        values: r#""seconds", "milliseconds", "text""#,
        question: "Shape of a webhook's timestamp.",
    },
    Explanation {
        name: "webhook_data",
        values: r#""json", "text""#,
        question: "Is a webhook's data JSON, or JSON as text?",
    },
    Explanation {
        name: "expiration_time",
        values: r#""text", "number""#,
        question: "Shape of expiration_time in a webhook of type 7.",
    },
    Explanation { name: "webhook_copies", values: r#""one", "two""#, question: "Is every webhook sent twice?" },
    Explanation {
        name: "webhook_order",
        values: r#""oldest-first", "newest-first""#,
        question: "In which order are webhooks sent that are due together?",
    },
    Explanation {
        name: "webhook_body",
        values: r#""as-signed", "re-encoded""#,
        question: "Does a webhook's body arrive as it was signed?",
    },
    Explanation {
        name: "webhook_delay",
        values: r#""none", {"seconds": 55920}"#,
        question: "How long after the event is a webhook first sent?",
    },
    Explanation {
        name: "refused_webhook",
        values: r#""delivered", "sent-again""#,
        question: "Is a webhook sent again when the receiver answers 401?",
    },
];
