//! Switches for what the documentation of TikTok Shop leaves open.
//!
//! A switch is read when a request is served, so it also holds for tokens issued before it was set.

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    /// It is there.
    #[default]
    Present,
    /// It is not, as in old answers.
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

/// One switch, for people: its name, its values and the question it answers.
pub(crate) struct Explanation {
    pub name: &'static str,
    pub values: &'static str,
    pub question: &'static str,
}

/// Every switch, in the order of [`Switches`].
pub(crate) const EXPLANATIONS: [Explanation; 15] = [
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
        values: r#""present", "missing""#,
        question: "Do token answers carry granted_scopes?",
    },
    Explanation {
        name: "ciphers_on_consent",
        values: r#""unchanged", "new""#,
        question: "Do the shops' ciphers change when the code of another consent is exchanged?",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_switch_is_explained_and_every_value_that_is_named_is_accepted() {
        let Value::Object(members) = Switches::default().to_json() else {
            panic!("switches are an object");
        };
        let explained: Vec<_> = EXPLANATIONS.iter().map(|e| e.name).collect();
        assert_eq!(members.keys().collect::<Vec<_>>(), explained);
        for Explanation { name, values, .. } in EXPLANATIONS {
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
