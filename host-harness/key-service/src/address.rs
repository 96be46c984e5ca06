//! Checks the address of the key service, which must use https, or http on loopback.

use std::net::IpAddr;

use http::Uri;
use http::uri::{PathAndQuery, Scheme};

use crate::error::SetupError;

/// A checked address.
#[derive(Debug, Clone)]
pub(crate) struct Address(Uri);

impl Address {
    /// Parses an address that has a scheme, a host and an optional port.
    pub(crate) fn parse(text: &str) -> Result<Self, SetupError> {
        let malformed = |why| SetupError::Address(why);
        let uri: Uri = text.parse().map_err(|_| malformed("not an address such as https://bao.internal:8200"))?;
        let host = uri.host().ok_or_else(|| malformed("not an address such as https://bao.internal:8200"))?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(malformed("it contains a user or a password, which the service does not use"));
        }
        if !matches!(uri.path_and_query().map_or("/", PathAndQuery::as_str), "" | "/") {
            return Err(malformed("it contains a path; name the mount of the engine in its own setting"));
        }
        match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => Ok(Self(uri)),
            Some(scheme) if *scheme == Scheme::HTTP && is_loopback(host) => Ok(Self(uri)),
            Some(scheme) if *scheme == Scheme::HTTP => {
                Err(malformed("http is only allowed on loopback, because anybody on the way could read the keys"))
            }
            _ => Err(malformed("the scheme is not https")),
        }
    }

    /// Returns the URI of a path in the service's API.
    pub(crate) fn of(&self, path: &str) -> Result<Uri, http::Error> {
        let (scheme, authority) =
            (self.0.scheme_str().unwrap_or("https"), self.0.authority().map_or("", |a| a.as_str()));
        Uri::builder().scheme(scheme).authority(authority).path_and_query(format!("/v1/{path}")).build()
    }

    /// Returns the host and the port, for error texts.
    pub(crate) fn authority(&self) -> &str {
        self.0.authority().map_or("", |authority| authority.as_str())
    }
}

fn is_loopback(host: &str) -> bool {
    let ip: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    host == "localhost" || ip.is_some_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_accepted_only_on_loopback() {
        for good in
            ["https://bao.internal:8200", "https://bao/", "http://127.0.0.1:8200", "http://[::1]:1", "http://localhost"]
        {
            let address = Address::parse(good).unwrap();
            assert_eq!(address.of("sys/health").unwrap().path(), "/v1/sys/health", "{good}");
        }
        let only = "http is only allowed on loopback, because anybody on the way could read the keys";
        for (bad, why) in [
            ("http://bao.internal:8200", only),
            ("http://localhost.example", only),
            ("http://10.0.0.1:8200", only),
            ("ftp://bao", "the scheme is not https"),
            ("bao.internal:8200", "the scheme is not https"),
            ("", "not an address such as https://bao.internal:8200"),
            ("/v1", "not an address such as https://bao.internal:8200"),
            ("https://user:CANARY@bao", "it contains a user or a password, which the service does not use"),
            ("https://bao/v1", "it contains a path; name the mount of the engine in its own setting"),
        ] {
            assert_eq!(Address::parse(bad).unwrap_err(), SetupError::Address(why), "{bad}");
        }
    }
}
