//! The callback of an install from TikTok's App Store. It has no state, so the service can't know which customer it
//! concerns. It leads the browser on to the platform, which signs its customer in and then begins the install over the
//! API.
//!
//! Nothing is exchanged, stored or attached here, and no cookie is set. The address to which the browser is led comes
//! from the configuration only.

use axum::response::{IntoResponse as _, Response};
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};

use crate::state::Shared;

/// The maximum length of the query of an install, in bytes. The connector refuses a longer one.
const MAX_QUERY_BYTES: usize = 8192;

/// Returns the redirect to the platform. `None` if the query does not belong to an install, or if its app has no
/// install address.
pub(crate) fn lead_on(state: &Shared, query: &str) -> Option<Response> {
    let addresses = &state.settings.install_addresses;
    let address = match app_of(query)? {
        Some(app) => addresses.get(&app),
        // TikTok Shop does not document the app key of the callback, so it may be missing.
        None => addresses.values().next().filter(|first| addresses.values().all(|address| address == *first)),
    }?;
    let mut location = HeaderValue::try_from(format!("{address}?{query}")).ok()?;
    // The query contains the code.
    location.set_sensitive(true);
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(LOCATION, location);
    Some(response)
}

/// Returns the app key in the query of an install, or `Some(None)` if the query has none. `None` if the query does not
/// belong to an install: such a query has one code, at most one app key, and no state.
fn app_of(query: &str) -> Option<Option<String>> {
    if query.len() > MAX_QUERY_BYTES {
        return None;
    }
    let mut app = None;
    let mut codes = 0;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "state" => return None,
            "code" => codes += 1,
            "app_key" if app.is_none() => app = Some(value.into_owned()),
            "app_key" => return None,
            _ => {}
        }
    }
    (codes == 1).then_some(app)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_query_with_one_code_and_no_state_is_that_of_an_install() {
        assert_eq!(app_of("app_key=6a&code=c&locale=en&shop_region=GB"), Some(Some("6a".to_owned())));
        assert_eq!(app_of("code=c"), Some(None));
        for query in [
            "",
            "app_key=6a",
            "app_key=6a&code=c&state=s",
            "app_key=6a&code=c&state=",
            "app_key=6a&app_key=6b&code=c",
            "app_key=6a&code=c&code=d",
            &format!("app_key=6a&code={}", "c".repeat(8192)),
        ] {
            assert_eq!(app_of(query), None, "{query}");
        }
    }
}
