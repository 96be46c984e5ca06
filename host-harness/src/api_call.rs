//! A call of TikTok Shop's API through the connector, and a token for one that the platform makes itself. Mirrors
//! `wit/connector.wit`.

use std::fmt;

use crate::bindings::export;
use crate::connection::UnixSeconds;
use crate::id::{AccountId, InvalidId, ShopId};
use crate::secret::Secret;

/// An access token to be used now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidToken {
    /// Whose.
    pub account: AccountId,
    /// For the API host, in the header `x-tts-access-token`.
    pub token: Secret,
    /// Its end; `None`: TikTok named no believable one.
    pub expires_at: Option<UnixSeconds>,
}

/// In whose name a call is made. TikTok's tag of the endpoint decides: *Shop* calls need the cipher, *Seller* calls must not
/// have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallScope {
    /// Signed with the cipher of this linked shop.
    Shop(ShopId),
    /// Signed without a cipher; `None`: the customer's only account.
    Seller(Option<AccountId>),
}

/// The HTTP method of a call. No known endpoint of TikTok Shop uses another method, so the egress sends no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpMethod {
    /// Reads. Only this is safe to repeat when an answer was lost.
    Get,
    /// Creates or acts.
    Post,
    /// Replaces.
    Put,
    /// Removes.
    Delete,
}

impl HttpMethod {
    /// Every method. The egress admits these methods, and the command line offers them.
    pub const ALL: [Self; 4] = [Self::Get, Self::Post, Self::Put, Self::Delete];

    /// Returns the method's name as HTTP writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// A request to the API host. App key, timestamp, signature, token and cipher are the connector's to add.
///
/// ```
/// use tiktok_shop_host_harness::{CallRequest, CallScope, HttpMethod, ShopId};
///
/// let shop: ShopId = "7490000000000000001".parse()?;
/// let search = CallRequest::new(CallScope::Shop(shop), HttpMethod::Post, "/order/202309/orders/search")
///     .query("page_size", "20")
///     .json(r#"{"order_status":"UNPAID"}"#);
/// # assert_eq!(search.query, [("page_size".to_owned(), "20".to_owned())]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct CallRequest {
    /// In whose name.
    pub scope: CallScope,
    /// What it does.
    pub method: HttpMethod,
    /// Starts with one `/`; no query, no `..`.
    pub path: String,
    /// Decoded pairs; no name twice, no empty value.
    pub query: Vec<(String, String)>,
    /// `None`: `application/json`. A body of `multipart/form-data` is not part of the signature.
    pub content_type: Option<String>,
    /// Signed and sent byte for byte, at most 16 MiB. A GET has none.
    pub body: Option<Vec<u8>>,
    /// At most this many bytes of answer; at most 4 MiB count.
    pub max_response_bytes: u32,
}

impl CallRequest {
    /// A request without query and body, for an answer of at most 1 MiB.
    #[must_use]
    pub fn new(scope: CallScope, method: HttpMethod, path: impl Into<String>) -> Self {
        let max_response_bytes = 1 << 20;
        let (path, query) = (path.into(), Vec::new());
        Self { scope, method, path, query, content_type: None, body: None, max_response_bytes }
    }

    /// The account that is named, if one is.
    pub(crate) fn account(&self) -> Option<&AccountId> {
        match &self.scope {
            CallScope::Shop(_) => None,
            CallScope::Seller(account) => account.as_ref(),
        }
    }

    /// Adds a parameter, decoded.
    #[must_use]
    pub fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    /// With a body of JSON. What is given here is what is signed and sent.
    #[must_use]
    pub fn json(self, text: impl Into<Vec<u8>>) -> Self {
        Self { body: Some(text.into()), content_type: None, ..self }
    }

    /// With any other body.
    #[must_use]
    pub fn body(self, content_type: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { body: Some(bytes.into()), content_type: Some(content_type.into()), ..self }
    }
}

/// Values of the query and the body are the platform's customers' data: they are counted, not shown.
impl fmt::Debug for CallRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.query.iter().map(|(name, _)| name).collect();
        f.debug_struct("CallRequest")
            .field("scope", &self.scope)
            .field("method", &self.method)
            .field("path", &self.path)
            .field("query", &names)
            .field("content_type", &self.content_type)
            .field("body_bytes", &self.body.as_ref().map(Vec::len))
            .field("max_response_bytes", &self.max_response_bytes)
            .finish()
    }
}

/// TikTok's answer, business errors included.
#[derive(Clone, PartialEq, Eq)]
pub struct CallResponse {
    /// HTTP status.
    pub http_status: u16,
    /// The envelope's code as text, `0` for success; `None` where the body is no envelope.
    pub code: Option<String>,
    /// TikTok's name of the request, for its support.
    pub request_id: Option<String>,
    /// As TikTok named it.
    pub content_type: Option<String>,
    /// As TikTok sent it.
    pub body: Vec<u8>,
}

impl CallResponse {
    /// Whether TikTok did what was asked: code 0 and an HTTP status of success.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.code.as_deref() == Some("0") && (200..300).contains(&self.http_status)
    }
}

/// The body is counted, not shown.
impl fmt::Debug for CallResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallResponse")
            .field("http_status", &self.http_status)
            .field("code", &self.code)
            .field("request_id", &self.request_id)
            .field("content_type", &self.content_type)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

impl From<HttpMethod> for export::HttpMethod {
    fn from(method: HttpMethod) -> Self {
        match method {
            HttpMethod::Get => Self::Get,
            HttpMethod::Post => Self::Post,
            HttpMethod::Put => Self::Put,
            HttpMethod::Delete => Self::Delete,
        }
    }
}

impl From<CallRequest> for export::CallRequest {
    fn from(request: CallRequest) -> Self {
        Self {
            scope: match request.scope {
                CallScope::Shop(shop) => export::CallScope::Shop(shop.into()),
                CallScope::Seller(account) => export::CallScope::Seller(account.map(String::from)),
            },
            method: request.method.into(),
            path: request.path,
            query: request.query,
            content_type: request.content_type,
            body: request.body,
            max_response_bytes: request.max_response_bytes,
        }
    }
}

impl From<export::CallResponse> for CallResponse {
    fn from(response: export::CallResponse) -> Self {
        Self {
            http_status: response.http_status,
            code: response.code,
            request_id: response.request_id,
            content_type: response.content_type,
            body: response.body,
        }
    }
}

impl TryFrom<export::ValidToken> for ValidToken {
    type Error = InvalidId;

    fn try_from(token: export::ValidToken) -> Result<Self, InvalidId> {
        Ok(Self {
            account: token.account.try_into()?,
            token: Secret::from(token.token),
            expires_at: token.expires_at.map(UnixSeconds),
        })
    }
}
