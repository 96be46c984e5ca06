//! Checks the scheme, the method and the authority of a request. This is the first check of the egress.

use http::{Request, Uri, uri::Scheme};
use wasmtime_wasi_http::Error;

use crate::call::HttpMethod;

/// The port of https. Requests go to no other port.
pub(super) const HTTPS_PORT: u16 = 443;

/// One of TikTok Shop's two production servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Authority {
    /// The API server, `open-api.tiktokglobalshop.com`.
    Api,
    /// The token server, `auth.tiktok-shops.com`. It issues tokens.
    Auth,
}

impl Authority {
    const ALL: [Self; 2] = [Self::Api, Self::Auth];

    /// Returns the host name.
    #[must_use]
    pub const fn host(self) -> &'static str {
        match self {
            Self::Api => "open-api.tiktokglobalshop.com",
            Self::Auth => "auth.tiktok-shops.com",
        }
    }

    /// Returns the server whose host name equals this text. The comparison ignores case, and the text may end in
    /// `:443`. Returns `None` for every other text, for example if it contains a user name, an IP address, another
    /// port, an empty port, a trailing dot or a similar host name.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let host = text.strip_suffix(":443").unwrap_or(text);
        Self::ALL.into_iter().find(|authority| authority.host().eq_ignore_ascii_case(host))
    }
}

/// The reason why the host refuses a request. The texts go to the host's log, so they contain no text of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the scheme is not https")]
    Scheme,
    #[error("the method is not one that TikTok Shop's API uses")]
    Method,
    #[error("the host is not one of TikTok Shop's two")]
    Host,
    #[error("the path and query are malformed")]
    PathAndQuery,
}

impl From<Refusal> for Error {
    /// Converts a refusal into an error that tells the guest that nothing was sent. A refused method also becomes
    /// `HttpRequestDenied`, because the connector would read `HttpRequestMethodInvalid` as an unknown outcome.
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Scheme | Refusal::Method | Refusal::Host => Self::HttpRequestDenied,
            Refusal::PathAndQuery => Self::HttpRequestUriInvalid,
        }
    }
}

/// Checks a request, and rewrites its URI with the host name in lower case and without a port. Requests to the same
/// server then share connections.
pub(crate) fn admit<B>(request: &mut Request<B>) -> Result<Authority, Refusal> {
    let uri = request.uri();
    if uri.scheme() != Some(&Scheme::HTTPS) {
        return Err(Refusal::Scheme);
    }
    // Among the refused methods, CONNECT would open a tunnel, and TRACE would send the headers back.
    if !HttpMethod::ALL.iter().any(|method| method.as_str() == request.method().as_str()) {
        return Err(Refusal::Method);
    }
    let authority = uri.authority().and_then(|text| Authority::parse(text.as_str())).ok_or(Refusal::Host)?;
    let path_and_query = uri.path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = Uri::builder()
        .scheme(Scheme::HTTPS)
        .authority(authority.host())
        .path_and_query(path_and_query)
        .build()
        .map_err(|_| Refusal::PathAndQuery)?;
    Ok(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(method: &str, uri: &str) -> Result<Authority, Refusal> {
        let mut request = Request::builder().method(method).uri(uri).body(()).unwrap();
        admit(&mut request)
    }

    #[test]
    fn the_two_production_hosts_are_admitted_over_https() {
        for (uri, authority) in [
            ("https://auth.tiktok-shops.com/api/v2/token/get?app_key=k", Authority::Auth),
            ("https://open-api.tiktokglobalshop.com/authorization/202309/shops", Authority::Api),
            ("https://AUTH.TikTok-Shops.com/", Authority::Auth),
            ("https://auth.tiktok-shops.com:443/", Authority::Auth),
            ("https://auth.tiktok-shops.com", Authority::Auth),
        ] {
            assert_eq!(admitted("GET", uri), Ok(authority), "{uri}");
        }
    }

    #[test]
    fn every_other_scheme_and_host_is_denied() {
        for uri in ["http://auth.tiktok-shops.com/", "ftp://auth.tiktok-shops.com/", "/no/authority"] {
            assert_eq!(admitted("GET", uri), Err(Refusal::Scheme), "{uri}");
        }
        for uri in [
            "https://example.com/",
            "https://tiktok-shops.com/",
            "https://evil.auth.tiktok-shops.com/",
            "https://auth.tiktok-shops.com.evil.example/",
            "https://auth.tiktok-shops.com./",
            "https://auth.tiktok-shops.com:/",
            "https://auth.tiktok-shops.com:80/",
            "https://auth.tiktok-shops.com:8443/",
            "https://auth.tiktok-shops.com:0443/",
            "https://user@auth.tiktok-shops.com/",
            "https://auth.tiktok-shops.com@evil.example/",
            "https://user:443@auth.tiktok-shops.com/",
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://169.254.169.254/latest/meta-data/",
            "https://xn--auth-tiktok-shops-com/",
        ] {
            assert_eq!(admitted("GET", uri), Err(Refusal::Host), "{uri}");
        }
    }

    /// These texts never reach the check, because wasmtime refuses them first.
    #[test]
    fn some_look_alikes_are_no_valid_uri() {
        for (uri, error) in [
            ("https://auth.tiktok-shops.com:443:443/", "invalid authority"),
            ("https://auth.tiktok-shops.com\\@evil.example/", "invalid uri character"),
            ("https://auth.tiktok-shops.com /", "invalid uri character"),
        ] {
            assert_eq!(uri.parse::<Uri>().unwrap_err().to_string(), error, "{uri}");
        }
    }

    #[test]
    fn every_method_of_a_call_is_admitted() {
        for method in HttpMethod::ALL {
            let admitted = admitted(method.as_str(), "https://open-api.tiktokglobalshop.com/");
            assert_eq!(admitted, Ok(Authority::Api), "{method:?}");
        }
    }

    #[test]
    fn every_other_method_is_denied_with_a_log_text_that_names_the_method() {
        for method in ["CONNECT", "TRACE", "OPTIONS", "HEAD", "PATCH", "PRI", "get"] {
            let refusal = admitted(method, "https://auth.tiktok-shops.com/").unwrap_err();
            assert_eq!(refusal.to_string(), "the method is not one that TikTok Shop's API uses", "{method}");
        }
    }

    #[test]
    fn a_refused_scheme_method_or_host_tells_the_guest_that_nothing_was_sent() {
        for refusal in [Refusal::Scheme, Refusal::Method, Refusal::Host] {
            assert_eq!(Error::from(refusal).to_string(), "HTTP request denied", "{refusal:?}");
        }
    }

    #[test]
    fn the_uri_of_an_admitted_request_is_rewritten_in_one_form() {
        let mut request = Request::builder().uri("https://AUTH.tiktok-shops.com:443/a?b=%2F").body(()).unwrap();
        admit(&mut request).unwrap();
        assert_eq!(request.uri(), "https://auth.tiktok-shops.com/a?b=%2F");
    }
}
