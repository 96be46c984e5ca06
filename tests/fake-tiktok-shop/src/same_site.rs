//! Tells who has caused a request: a page of another web site, or the fake's own page, the user or a program.
//!
//! Any web page that is open in a browser on this machine can make the browser send requests to the fake. In the
//! headers `Origin` and `Sec-Fetch-Site`, a current browser tells which origin has caused a request.

use axum::http::{HeaderMap, HeaderValue, header};

/// The origin that has caused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The fake's own page, the user of the browser, or a program. Programs like curl send neither header.
    OwnSiteOrProgram,
    /// A page of another web site.
    OtherSite,
}

impl Cause {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let is_own_site = |site: &HeaderValue| *site == "same-origin" || *site == "none";
        let own = headers.get_all("sec-fetch-site").iter().all(is_own_site)
            && headers.get_all(header::ORIGIN).iter().all(|origin| is_own_origin(origin, headers));
        if own { Self::OwnSiteOrProgram } else { Self::OtherSite }
    }
}

/// Tells whether an `Origin` header names the address to which the request was sent.
fn is_own_origin(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let authority = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
}
