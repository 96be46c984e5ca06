//! The address by which browsers reach the service, and the addresses to which a seller may be led.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;

/// The maximum length of an address, in bytes.
const MAX_BYTES: usize = 2048;

/// The text is not an address by which browsers can reach the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not https://HOST without a path, such as https://connect.example; http is allowed only on loopback")]
pub struct InvalidPublicAddress;

/// The text is not an address to which a seller can be led back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an address such as https://app.example/connected: it has the scheme https, or http on loopback, no user, no \
     fragment and no dot segment"
)]
pub struct InvalidReturnAddress;

/// The text is not an address to which a browser can be led after an install.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an address such as https://app.example/tiktok-install: it has the scheme https, or http on loopback, no user, \
     no query, no fragment and no dot segment"
)]
pub struct InvalidInstallAddress;

/// The address by which sellers' browsers reach the service: a scheme and a host, for example
/// `https://connect.example`. It must use `https`, because the cookie of a consent needs it, or `http` on loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicAddress(String);

impl FromStr for PublicAddress {
    type Err = InvalidPublicAddress;

    fn from_str(text: &str) -> Result<Self, InvalidPublicAddress> {
        let address = Address::parse(text).ok_or(InvalidPublicAddress)?;
        let is_bare = address.path == "/" && !text.contains('?');
        if is_bare { Ok(Self(address.origin)) } else { Err(InvalidPublicAddress) }
    }
}

impl fmt::Display for PublicAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An entry of the allow list of return addresses. It allows every address with the same scheme, host and port whose
/// path is its own path or continues it with a `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnAddress(Address);

impl FromStr for ReturnAddress {
    type Err = InvalidReturnAddress;

    fn from_str(text: &str) -> Result<Self, InvalidReturnAddress> {
        let address = Address::parse(text).filter(|_| !text.contains('?')).ok_or(InvalidReturnAddress)?;
        Ok(Self(address))
    }
}

impl ReturnAddress {
    /// Returns whether this entry allows the address.
    pub(crate) fn allows(&self, address: &str) -> bool {
        let Self(allowed) = self;
        let Some(asked) = Address::parse(address) else { return false };
        let rest = asked.path.strip_prefix(allowed.path.trim_end_matches('/'));
        asked.origin == allowed.origin && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// The address of the platform at which an install from TikTok's App Store continues. The query of the callback is added
/// to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallAddress(String);

impl FromStr for InstallAddress {
    type Err = InvalidInstallAddress;

    fn from_str(text: &str) -> Result<Self, InvalidInstallAddress> {
        let address = Address::parse(text).filter(|_| !text.contains('?')).ok_or(InvalidInstallAddress)?;
        Ok(Self(format!("{}{}", address.origin, address.path)))
    }
}

impl fmt::Display for InstallAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the address with these parameters added to its query. Their values need no percent-encoding.
pub(crate) fn with_parameters(address: &str, parameters: &[(&str, &str)]) -> String {
    let mut address = address.to_owned();
    for (name, value) in parameters {
        address.push(if address.contains('?') { '&' } else { '?' });
        address.push_str(&format!("{name}={value}"));
    }
    address
}

/// Returns whether this is an absolute address that every program reads in the same way: with the scheme `https`, or
/// `http` on loopback, and without a user and a fragment.
pub(crate) fn is_safe_address(text: &str) -> bool {
    Address::parse(text).is_some()
}

/// The parts of an address that a comparison needs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Address {
    /// The scheme, the host and the port, in lower case. The default port is left out.
    origin: String,
    path: String,
}

impl Address {
    /// Parses an absolute address. Refuses every form that a browser could read differently: a user, a fragment, dot
    /// segments, backslashes, and characters that must be percent-encoded.
    fn parse(text: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}#@".contains(&byte);
        if text.len() > MAX_BYTES || !text.bytes().all(is_plain) {
            return None;
        }
        let uri: Uri = text.parse().ok()?;
        let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
        let host = authority.host().to_ascii_lowercase();
        let default_port = match scheme {
            "https" => 443,
            "http" if is_loopback(&host) => 80,
            _ => return None,
        };
        let port = match authority.as_str().get(authority.host().len()..)? {
            "" => default_port,
            given => given.strip_prefix(':')?.parse::<u16>().ok()?,
        };
        let path = uri.path().to_owned();
        let lower = path.to_ascii_lowercase();
        let has_dots = path.split('/').any(|segment| matches!(segment, "." | ".."));
        if host.is_empty() || has_dots || ["%2e", "%2f", "%5c"].iter().any(|coded| lower.contains(coded)) {
            return None;
        }
        let origin =
            if port == default_port { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{port}") };
        Some(Self { origin, path })
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_address_has_https_and_no_path() {
        let parsed = |text: &str| text.parse::<PublicAddress>().map(|address| address.to_string());
        assert_eq!(parsed("https://Connect.Example/"), Ok("https://connect.example".to_owned()));
        assert_eq!(parsed("https://connect.example:8443"), Ok("https://connect.example:8443".to_owned()));
        assert_eq!(parsed("http://127.0.0.1:4020"), Ok("http://127.0.0.1:4020".to_owned()));
        assert_eq!(parsed("http://[::1]:4020"), Ok("http://[::1]:4020".to_owned()));
        for refused in [
            "http://connect.example",
            "https://connect.example/path",
            "https://connect.example?a=b",
            "https://user@connect.example",
            "https://connect.example:",
            "connect.example",
            "ftp://connect.example",
            "",
        ] {
            assert_eq!(parsed(refused), Err(InvalidPublicAddress), "{refused}");
        }
    }

    #[test]
    fn a_return_address_is_allowed_only_on_the_same_origin_and_below_the_path() {
        let allowed: ReturnAddress = "https://app.example/connected".parse().unwrap();
        for address in [
            "https://app.example/connected",
            "https://APP.example:443/connected",
            "https://app.example/connected/shops",
            "https://app.example/connected?customer=7",
        ] {
            assert!(allowed.allows(address), "{address}");
        }
        for address in [
            "http://app.example/connected",
            "https://app.example/connectedx",
            "https://app.example/",
            "https://app.example:444/connected",
            "https://app.example.evil.example/connected",
            "https://app.example@evil.example/connected",
            "https://evil.example/https://app.example/connected",
            "https://app.example/connected/../admin",
            "https://app.example/connected/%2E%2e/admin",
            "https://app.example/connected%2f..%2fadmin",
            "https://app.example\\@evil.example/connected",
            "https://app.example/connected#fragment",
            "https://app.example/connected\u{e9}",
            "//app.example/connected",
            "javascript:alert(1)",
            "",
        ] {
            assert!(!allowed.allows(address), "{address}");
        }
        let whole: ReturnAddress = "https://app.example".parse().unwrap();
        assert!(whole.allows("https://app.example") && whole.allows("https://app.example/any"));
    }

    #[test]
    fn an_install_address_has_a_path_and_no_query() {
        let parsed = |text: &str| text.parse::<InstallAddress>().map(|address| address.to_string());
        assert_eq!(parsed("https://App.example/install"), Ok("https://app.example/install".to_owned()));
        assert_eq!(parsed("http://127.0.0.1:8000"), Ok("http://127.0.0.1:8000/".to_owned()));
        for refused in ["http://app.example/install", "https://app.example/a?b=c", "https://app.example/a/../b", ""] {
            assert_eq!(parsed(refused), Err(InvalidInstallAddress), "{refused}");
        }
    }

    #[test]
    fn parameters_are_added_behind_an_existing_query() {
        let parameters = [("outcome", "connected"), ("session", "cs_1")];
        assert_eq!(with_parameters("https://a/", &parameters), "https://a/?outcome=connected&session=cs_1");
        assert_eq!(with_parameters("https://a/?b=c", &parameters), "https://a/?b=c&outcome=connected&session=cs_1");
    }
}
