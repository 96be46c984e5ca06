//! The cookie that binds a consent to the browser in which it began. Each consent has a cookie of its own, so that a
//! person can connect two accounts in two tabs.

use std::time::Duration;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};
use tiktok_shop_host::Secret;

use crate::session::CONSENT_LIFE;

/// The attributes of every cookie. The prefix `__Host-` makes browsers accept the cookie only from this host itself,
/// over a secure connection. `Lax` makes them send it when TikTok Shop leads the browser back.
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Lax";

/// The name of a consent's cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CookieName(String);

impl CookieName {
    /// Returns the name of the cookie of the consent with this state. The name shows nothing of the state.
    pub(crate) fn of_state(state: &str) -> Self {
        let mut digest = hex::encode(Sha256::digest(format!("cookie {state}").as_bytes()));
        digest.truncate(16);
        Self(format!("__Host-tiktok-shop-{digest}"))
    }

    /// Returns the value of the cookie in a request. `None` if there is none or several.
    pub(crate) fn value(&self, headers: &HeaderMap) -> Option<Secret> {
        let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let mut values = pairs.filter(|(name, _)| *name == self.0).map(|(_, value)| value);
        let value = values.next()?;
        values.next().is_none().then(|| value.into())
    }

    /// Returns the header that sets the cookie, which lives as long as the consent.
    pub(crate) fn set(&self, value: &Secret) -> Option<HeaderValue> {
        self.set_for(value, CONSENT_LIFE)
    }

    /// Returns the header that sets the cookie, which then lives for this time.
    pub(crate) fn set_for(&self, value: &Secret, life: Duration) -> Option<HeaderValue> {
        let life = life.as_secs();
        let text = format!("{}={}; {ATTRIBUTES}; Max-Age={life}", self.0, value.expose());
        let mut header = HeaderValue::try_from(text).ok()?;
        header.set_sensitive(true);
        Some(header)
    }

    /// Returns the header that removes the cookie.
    pub(crate) fn removal(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(format!("{}=; {ATTRIBUTES}; Max-Age=0", self.0)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others_and_must_occur_once() {
        let name = CookieName::of_state("state");
        let found = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(COOKIE, line.parse().unwrap());
            }
            name.value(&headers).map(|value| value.expose().to_owned())
        };
        let own = |value: &str| format!("{}={value}", name.0);
        assert_eq!(found(&[&format!("a=b; {}; c=d", own("x=y"))]).as_deref(), Some("x=y"));
        assert_eq!(found(&["a=b", &own("x")]).as_deref(), Some("x"));
        assert_eq!(found(&[&own("x"), &own("y")]), None);
        assert_eq!(found(&[&format!("{}; {}", own("x"), own("x"))]), None);
        assert_eq!(found(&["a=b"]), None);
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn a_cookie_is_for_this_host_only_and_ends_with_the_consent() {
        let name = CookieName::of_state("state");
        assert_ne!(name, CookieName::of_state("other"));
        assert!(name.0.starts_with("__Host-") && !name.0.contains("state"));
        let set = name.set(&"value".into()).unwrap();
        let expected = format!("{}=value; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600", name.0);
        assert_eq!(set, expected);
        assert!(set.is_sensitive());
        let removal = format!("{}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0", name.0);
        assert_eq!(name.removal().unwrap(), removal);
    }
}
