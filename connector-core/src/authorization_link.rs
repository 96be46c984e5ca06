//! Builds the link to TikTok's consent page: the link from Partner Center, with the host's state appended.
//!
//! Source: partner.tiktokshop.com/docv2/page/authorization-overview-202407. The app appends the parameter `state` to
//! the link, and TikTok returns it unchanged in the callback. The host name in the link depends on the market and has
//! changed in the past, so the whole link comes from the configuration.

use crate::callback;
use crate::error::{Cause, Error};
use crate::secret::State;
use crate::signing::percent_encoded;
use alloc::format;
use alloc::string::String;

/// The maximum length of a state, in bytes.
pub(crate) const MAX_STATE_BYTES: usize = 512;
/// The maximum length of a link, in bytes.
const MAX_LINK_BYTES: usize = 2048;

/// The schemes that a link may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkScheme {
    /// Only `https`.
    Https,
    /// `https` or `http`. The host allows this for a fake of TikTok Shop.
    HttpsOrHttp,
}

impl LinkScheme {
    /// Returns whether a state can be appended to this link. All of these must hold:
    /// - The link has one of the schemes, and a host.
    /// - It has only visible ASCII characters, at most 2048 of them.
    /// - It has no `#` and no parameter `state`.
    #[must_use]
    pub fn accepts(self, link: &str) -> bool {
        let (address, query) = link.split_once('?').unwrap_or((link, ""));
        let names_state = callback::parameters(query).any(|(name, _)| name == "state");
        let printable = link.bytes().all(|byte| byte.is_ascii_graphic()) && !link.contains('#');
        let rest = match (address.strip_prefix("https://"), self) {
            (None, Self::HttpsOrHttp) => address.strip_prefix("http://"),
            (rest, Self::Https | Self::HttpsOrHttp) => rest,
        };
        let has_host = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
        has_host && printable && !names_state && link.len() <= MAX_LINK_BYTES
    }
}

/// Percent-encodes the state and appends it to the link.
///
/// # Errors
/// Misconfigured: `authorization-link-missing`, `authorization-link-invalid`. Invalid request: `state-invalid`.
pub fn with_state(link: Option<&str>, scheme: LinkScheme, state: &State) -> Result<String, Error> {
    let link = link.ok_or_else(|| Error::new(Cause::AuthorizationLinkMissing))?;
    let text = state.expose();
    if text.is_empty() || text.len() > MAX_STATE_BYTES || text.trim() != text {
        return Err(Error::new(Cause::StateInvalid));
    }
    if !scheme.accepts(link) {
        return Err(Error::new(Cause::AuthorizationLinkInvalid));
    }
    let separator = match link.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    Ok(format!("{link}{separator}state={}", percent_encoded(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn link(link: Option<&str>, state: &str) -> Result<String, Cause> {
        with_state(link, LinkScheme::Https, &State::new(state.to_string())).map_err(|error| error.cause)
    }

    #[test]
    fn a_link_without_tls_is_accepted_only_where_the_host_allows_it() {
        let with_scheme = |link, scheme| with_state(Some(link), scheme, &State::new("s".into()));
        let (tls, clear) = ("https://h/p", "http://h/p");
        assert_eq!(with_scheme(clear, LinkScheme::HttpsOrHttp).unwrap(), "http://h/p?state=s");
        assert_eq!(with_scheme(tls, LinkScheme::HttpsOrHttp).unwrap(), "https://h/p?state=s");
        for link in ["http://", "http:///p", "ftp://h/p"] {
            let refused = with_scheme(link, LinkScheme::HttpsOrHttp).unwrap_err();
            assert_eq!(refused.cause, Cause::AuthorizationLinkInvalid, "{link}");
        }
    }

    #[test]
    fn the_state_is_appended_percent_encoded() {
        let partner = "https://services.tiktokshop.com/open/authorize?service_id=7400000000000000001";
        assert_eq!(link(Some(partner), "a+b/c=&d"), Ok(format!("{partner}&state=a%2Bb%2Fc%3D%26d")));
        assert_eq!(link(Some("https://h/p"), "s"), Ok("https://h/p?state=s".into()));
        assert_eq!(link(Some("https://h/p?"), "s"), Ok("https://h/p?state=s".into()));
    }

    #[test]
    fn a_link_that_would_lose_the_state_is_refused() {
        for bad in [
            "http://h/p",
            "https://",
            "https:///p",
            "https://h/p#x",
            "https://h/p?state=1",
            "https://h/p?%73tate=1",
            "https://h/ p",
            "javascript:x",
            "",
        ] {
            assert_eq!(link(Some(bad), "s"), Err(Cause::AuthorizationLinkInvalid), "{bad}");
        }
        assert_eq!(link(None, "s"), Err(Cause::AuthorizationLinkMissing));
        let long = format!("https://h/{}", "x".repeat(2048));
        assert_eq!(link(Some(&long), "s"), Err(Cause::AuthorizationLinkInvalid));
    }

    #[test]
    fn a_state_that_tiktok_might_change_is_refused() {
        let long = "x".repeat(513);
        for bad in ["", " a", "a ", "\ta", &long] {
            assert_eq!(link(Some("https://h/p"), bad), Err(Cause::StateInvalid), "{bad:?}");
        }
    }
}
