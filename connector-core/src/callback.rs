//! Reads the callback of a consent: checks its state and takes the authorization code from it. The state is checked
//! first. If the callback is wrong, no request is sent to TikTok.
//!
//! Source: partner.tiktokshop.com/docv2/page/authorization-overview-202407. The callback of a consent has `code` and
//! `state`. The callback of a refusal has `error`, and the four letters `null` in `code`. The callback of an install
//! from TikTok's App Store has no `state` (…/seller-authorization-guide).

use crate::error::{Cause, Error, scrubbed};
use crate::secret::{AuthorizationCode, State};
use alloc::format;
use alloc::string::String;

/// The maximum length of a query, in bytes. A longer query is refused.
pub(crate) const MAX_QUERY_BYTES: usize = 8192;

/// How the authorization code reaches the connector: alone, or inside a callback.
pub enum Grant {
    /// The code itself. The host has already checked the callback.
    Code(AuthorizationCode),
    /// A callback that the connector checks.
    Callback {
        /// The raw query of the callback's address as it arrived, without `?`.
        query: String,
        /// The state that the query must have. The state belongs to a consent that this host started.
        state: State,
    },
}

/// The result of a valid callback.
pub struct Consented {
    /// The code to exchange for tokens.
    pub code: AuthorizationCode,
    /// The app key in the callback. `None` if the callback contains no app key.
    pub app_key: Option<String>,
}

/// Checks the form of a callback, but not its state. The form is correct if the callback is not too long, repeats none
/// of `code`, `error` and `app_key`, and has a `code` or an `error`. A callback in another form does not tell what the
/// seller decided. A host calls this function before it marks the state as used. So a malformed callback does not use
/// up the state, and the correct callback can still use it.
///
/// # Errors
/// Invalid request: `callback-malformed`.
pub fn check_form(query: &str) -> Result<(), Error> {
    let malformed = || Error::new(Cause::CallbackMalformed);
    if query.len() > MAX_QUERY_BYTES {
        return Err(malformed());
    }
    let value = |name: &str| only(query, name).ok_or_else(malformed);
    let (code, error, _app_key) = (value("code")?, value("error")?, value("app_key")?);
    let says_something = error.is_some() || code.is_some_and(|code| !code.trim().is_empty());
    if says_something { Ok(()) } else { Err(malformed().with_note("neither a code nor an error")) }
}

impl Grant {
    /// Checks the callback in this order: size, state, form, `error`, `app_key`, `code`.
    ///
    /// # Errors
    /// Invalid request: `state-mismatch`, `callback-malformed`. Reauthorize: `consent-refused`.
    pub fn into_consented(self) -> Result<Consented, Error> {
        match self {
            Self::Code(code) => Ok(Consented { code: code_or_refusal(Some(code))?, app_key: None }),
            Self::Callback { query, state } => read(&query, Some(&state)),
        }
    }
}

/// Reads the callback of an install from TikTok's App Store. The callback must have no state, because a callback with a
/// state belongs to a consent that somebody started.
///
/// # Errors
/// Invalid request: `state-mismatch`, `callback-malformed`. Reauthorize: `consent-refused`.
pub fn read_install(query: &str) -> Result<Consented, Error> {
    read(query, None)
}

/// Reads a callback. If `expected` is `None`, the callback must have no state.
fn read(query: &str, expected: Option<&State>) -> Result<Consented, Error> {
    if query.len() > MAX_QUERY_BYTES {
        return Err(Error::new(Cause::CallbackMalformed));
    }
    let state = only(query, "state").ok_or_else(|| Error::new(Cause::StateMismatch))?.map(State::new);
    let matches = match (expected, &state) {
        (Some(expected), Some(state)) => !expected.expose().is_empty() && expected.same_as(state),
        (Some(_), None) | (None, Some(_)) => false,
        (None, None) => true,
    };
    if !matches {
        return Err(Error::new(Cause::StateMismatch));
    }
    check_form(query)?;
    let value = |name: &str| only(query, name).flatten();
    let code = value("code").map(AuthorizationCode::new);
    if let Some(error) = value("error") {
        let code = code.as_ref().map(AuthorizationCode::expose);
        let secrets = [state.as_ref().map(State::expose), code].map(Option::unwrap_or_default);
        return Err(Error::new(Cause::ConsentRefused).with_note(&format!("error: {}", scrubbed(&error, &secrets))));
    }
    Ok(Consented { code: code_or_refusal(code)?, app_key: value("app_key") })
}

fn code_or_refusal(code: Option<AuthorizationCode>) -> Result<AuthorizationCode, Error> {
    code.filter(|code| !matches!(code.expose().trim(), "" | "null")).ok_or_else(|| Error::new(Cause::ConsentRefused))
}

/// Decodes the names and values of the parameters of a query.
pub(crate) fn parameters(query: &str) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(query.as_bytes())
}

/// Returns the value of a parameter that may occur at most once. Returns `Some(None)` if the parameter is absent or
/// empty, and `None` if it is repeated.
fn only(query: &str, name: &str) -> Option<Option<String>> {
    let mut values = parameters(query).filter(|(given, _)| given == name).map(|(_, value)| value);
    let value = values.next();
    values.next().is_none().then(|| value.filter(|value| !value.is_empty()).map(|value| value.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn outcome(query: &str, state: Option<&str>) -> Result<String, Cause> {
        let consented = match state.map(|state| State::new(state.to_string())) {
            Some(state) => Grant::Callback { query: query.to_string(), state }.into_consented(),
            None => read_install(query),
        };
        consented.map(|consented| consented.code.expose().to_string()).map_err(|error| error.cause)
    }

    #[test]
    fn callbacks_table() {
        let ok = |code: &str| Ok(code.to_string());
        let table = [
            ("code=GCP_1&state=s%2B1", Some("s+1"), ok("GCP_1")),
            ("app_key=k&code=a%20b&locale=en&shop_region=GB&state=s", Some("s"), ok("a b")),
            ("code=c&state=S", Some("s"), Err(Cause::StateMismatch)),
            ("code=c&state=s1", Some("s"), Err(Cause::StateMismatch)),
            ("code=c", Some("s"), Err(Cause::StateMismatch)),
            ("code=c&state=", Some(""), Err(Cause::StateMismatch)),
            ("code=c&state=s&state=s", Some("s"), Err(Cause::StateMismatch)),
            ("error=x&code=null&state=wrong", Some("s"), Err(Cause::StateMismatch)),
            ("code=null&error=auth_denied&state=s", Some("s"), Err(Cause::ConsentRefused)),
            ("code=real&error=access_denied&state=s", Some("s"), Err(Cause::ConsentRefused)),
            ("code=null&state=s", Some("s"), Err(Cause::ConsentRefused)),
            ("code=%20&state=s", Some("s"), Err(Cause::CallbackMalformed)),
            ("code=&state=s", Some("s"), Err(Cause::CallbackMalformed)),
            ("error=&code=&state=s", Some("s"), Err(Cause::CallbackMalformed)),
            ("state=s", Some("s"), Err(Cause::CallbackMalformed)),
            ("https://p.example/cb?code=c&state=s", Some("s"), Err(Cause::CallbackMalformed)),
            ("locale=en", None, Err(Cause::CallbackMalformed)),
            ("", None, Err(Cause::CallbackMalformed)),
            ("", Some("s"), Err(Cause::StateMismatch)),
            ("code=a&code=b&state=s", Some("s"), Err(Cause::CallbackMalformed)),
            ("error=a&error=b&code=c&state=s", Some("s"), Err(Cause::CallbackMalformed)),
            ("app_key=a&app_key=b&code=c&state=s", Some("s"), Err(Cause::CallbackMalformed)),
            ("code=c", None, ok("c")),
            ("code=c&state=", None, ok("c")),
            ("code=c&state=s", None, Err(Cause::StateMismatch)),
            ("code=null&error=auth_denied", None, Err(Cause::ConsentRefused)),
        ];
        for (query, state, expected) in table {
            assert_eq!(outcome(query, state), expected, "{query} {state:?}");
        }
    }

    #[test]
    fn a_query_over_the_limit_is_refused() {
        let query = "x".repeat(MAX_QUERY_BYTES + 1);
        assert_eq!(outcome(&query, Some("s")), Err(Cause::CallbackMalformed));
    }

    #[test]
    fn the_form_is_checked_without_the_state() {
        for query in ["code=c", "code=c&state=x", "code=null", "error=x", "code=null&error=auth_denied&state=s&state=t"]
        {
            assert_eq!(check_form(query), Ok(()), "{query}");
        }
        let long = "x".repeat(MAX_QUERY_BYTES + 1);
        for query in ["", "state=s", "code=", "code=+&error=", "code=a&code=a", "error=a&error=b", "cb?code=c", &long] {
            assert_eq!(check_form(query).map_err(|error| error.cause), Err(Cause::CallbackMalformed), "{query}");
        }
    }

    #[test]
    fn the_text_null_is_not_accepted_as_a_code() {
        for text in ["null", "", "  "] {
            let grant = Grant::Code(AuthorizationCode::new(text.to_string()));
            assert_eq!(grant.into_consented().map(|_| ()).map_err(|e| e.cause), Err(Cause::ConsentRefused));
        }
    }
}
