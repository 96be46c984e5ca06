//! Builds requests to TikTok's API server. Each request has the app key, the timestamp and the signature in its query,
//! and the access token in a header. A request for a shop also has the shop's cipher in its query.
//!
//! Source: partner.tiktokshop.com/docv2/page/common-parameters and …/sign-your-api-request (2026).

use crate::credentials::Credentials;
use crate::http::{Authority, Method, Request};
use crate::secret::{AccessToken, RequestTarget, ShopCipher};
use crate::signing::{Signable, percent_encoding};
use crate::time::UnixSeconds;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// The content type of a request that does not specify one.
pub const JSON: &str = "application/json";

/// A request to TikTok's API server before it is signed.
pub struct ApiRequest<'a> {
    /// The method.
    pub method: Method,
    /// The path. It begins with `/` and has only characters that need no encoding.
    pub path: &'a str,
    /// The decoded names and values of the query, without the parameters that [`ApiRequest::signed`] adds.
    pub query: &'a [(&'a str, &'a str)],
    /// The cipher of the shop, if the call is made for a shop.
    pub shop_cipher: Option<&'a ShopCipher>,
    /// The content type; `None` means [`JSON`]. A GET is sent without a content type, because it has no content.
    pub content_type: Option<&'a str>,
    /// The body, signed and sent byte for byte. An empty body is not sent.
    pub body: &'a [u8],
    /// The largest body of an answer that the connector reads, in bytes.
    pub max_response_bytes: usize,
}

impl<'a> ApiRequest<'a> {
    /// Signs the request. TikTok accepts a `timestamp` from five minutes in the past to thirty seconds in the future.
    #[must_use]
    pub fn signed(&self, app: &Credentials, token: &AccessToken, timestamp: UnixSeconds) -> Request<'a> {
        let timestamp = timestamp.seconds().to_string();
        let content_type = self.content_type.unwrap_or(JSON);
        let mut query = Vec::with_capacity(self.query.len() + 4);
        query.extend_from_slice(self.query);
        query.extend([("app_key", app.app_key.as_str()), ("timestamp", timestamp.as_str())]);
        query.extend(self.shop_cipher.map(|cipher| ("shop_cipher", cipher.expose())));
        let body = (!self.body.is_empty()).then_some((self.body, Some(content_type)));
        let sign = Signable { path: self.path, query: &query, body }.signature(&app.app_secret);
        query.push(("sign", &sign));
        Request {
            authority: Authority::Api,
            method: self.method,
            path_and_query: target(self.path, &query),
            access_token: Some(token.duplicate()),
            content_type: (self.method != Method::Get).then_some(content_type),
            body: self.body,
            max_response_bytes: self.max_response_bytes,
        }
    }
}

/// Percent-encodes a query and appends it to a path. The buffer has room for the longest possible result from the
/// start, because a buffer that grows is copied and leaves the earlier copies of secrets in memory.
#[must_use]
pub fn target(path: &str, query: &[(&str, &str)]) -> RequestTarget {
    let room = query.iter().map(|(name, value)| 3 * (name.len() + value.len()) + 2).sum::<usize>();
    let mut text = String::with_capacity(path.len() + room);
    text.push_str(path);
    let mut separator = '?';
    for (name, value) in query {
        text.push(separator);
        text.extend(percent_encoding(name));
        text.push('=');
        text.extend(percent_encoding(value));
        separator = '&';
    }
    RequestTarget::new(text)
}
