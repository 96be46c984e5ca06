//! Makes a signed call of TikTok Shop's API.

use std::fmt;

use futures::FutureExt as _;

use crate::error::CallError;
use crate::events::Cause;
use crate::guest::{Operation, Scope, Secrets};
use crate::host::ConnectorHost;
use crate::id::{AccountId, CustomerId, ShopId, TenantId};

/// Whether a call acts for one shop or for the whole seller account. TikTok tags each endpoint: *Shop* endpoints
/// require the shop's cipher, and *Seller* endpoints must not get a cipher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallScope {
    /// The call acts for this linked shop. The connector adds the shop's cipher.
    Shop(ShopId),
    /// The call acts for this account, without a cipher. `None` means the customer's only account.
    Seller(Option<AccountId>),
}

/// The HTTP method of a call. No known endpoint of TikTok Shop uses another method, so the egress refuses every other
/// method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpMethod {
    /// Reads something. If the answer is lost, only a call with this method can be repeated safely.
    Get,
    /// Creates something, or starts an action.
    Post,
    /// Replaces something.
    Put,
    /// Deletes something.
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

/// A request to TikTok's API server. The connector adds the app key, timestamp, signature, token and cipher.
///
/// ```
/// use tiktok_shop_host::ShopId;
/// use tiktok_shop_host::call::{CallRequest, CallScope, HttpMethod};
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
    /// The shop or account for which the call acts.
    pub scope: CallScope,
    /// The HTTP method.
    pub method: HttpMethod,
    /// The path. It starts with one `/`. It must not contain a query or `..`.
    pub path: String,
    /// The query as decoded pairs. No name may occur twice, and no value may be empty.
    pub query: Vec<(String, String)>,
    /// The type of the body. `None` means `application/json`. A body of type `multipart/form-data` is not signed.
    pub content_type: Option<String>,
    /// The body, at most 16 MiB. It is signed and sent unchanged. A GET must have no body.
    pub body: Option<Vec<u8>>,
    /// The largest answer that is read, in bytes. Values above 4 MiB count as 4 MiB.
    pub max_response_bytes: u32,
}

impl CallRequest {
    /// Creates a request without query and body, for an answer of at most 1 MiB.
    #[must_use]
    pub fn new(scope: CallScope, method: HttpMethod, path: impl Into<String>) -> Self {
        let max_response_bytes = 1 << 20;
        let (path, query) = (path.into(), Vec::new());
        Self { scope, method, path, query, content_type: None, body: None, max_response_bytes }
    }

    /// Returns the account, if the request is for one account.
    pub(crate) fn account(&self) -> Option<&AccountId> {
        match &self.scope {
            CallScope::Shop(_) => None,
            CallScope::Seller(account) => account.as_ref(),
        }
    }

    /// Adds a query parameter. Pass the name and the value without percent-encoding.
    #[must_use]
    pub fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    /// Sets a JSON body. Exactly these bytes are signed and sent.
    #[must_use]
    pub fn json(self, text: impl Into<Vec<u8>>) -> Self {
        Self { body: Some(text.into()), content_type: None, ..self }
    }

    /// Sets a body that is not JSON, and its type.
    #[must_use]
    pub fn body(self, content_type: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { body: Some(bytes.into()), content_type: Some(content_type.into()), ..self }
    }
}

/// Shows the names of the query parameters and the size of the body, but not their content, because it is data of the
/// platform's customers.
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

/// TikTok's answer, which may be a business error.
#[derive(Clone, PartialEq, Eq)]
pub struct CallResponse {
    /// The HTTP status.
    pub http_status: u16,
    /// The code in the JSON envelope of TikTok's answer, as text. `0` means success. `None` if the body is no such
    /// envelope.
    pub code: Option<String>,
    /// TikTok's id of the request, for TikTok's support.
    pub request_id: Option<String>,
    /// The type of the body, as TikTok sent it.
    pub content_type: Option<String>,
    /// The body, unchanged.
    pub body: Vec<u8>,
}

impl CallResponse {
    /// Returns whether the call succeeded: the code is 0 and the HTTP status is 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.code.as_deref() == Some("0") && (200..300).contains(&self.http_status)
    }
}

/// Shows the size of the body, not its content.
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

impl ConnectorHost {
    /// Adds the token to a request and, if the call is for a shop, also the shop's cipher. Signs the request, sends it,
    /// and returns TikTok's answer, including business errors. If TikTok refuses the token, the connector renews it
    /// once and sends the request again.
    ///
    /// # Errors
    /// See [`CallError`]. `Upstream` with the code `outcome-unknown` means that it is unknown whether TikTok acted.
    pub async fn call(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        request: CallRequest,
    ) -> Result<CallResponse, CallError> {
        let scope = Scope::with_credentials(tenant, customer, self.origin(Cause::Call));
        let log = self.log(Operation::Call, &scope, request.account());
        let customer = String::from(customer.clone());
        self.sandbox
            .call(
                log,
                scope,
                Secrets::default(),
                |response| Ok(CallResponse::from(response)),
                move |guest, wasm_store| {
                    async move { guest.call_api(wasm_store, &customer, &request.into()).await }.boxed()
                },
            )
            .await
    }
}
