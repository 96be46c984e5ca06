//! `POST /v1/customers/{customer}/calls`: a signed call whose parts are members of a body. The proxy routes take them from
//! the address instead; a client that was generated from the OpenAPI document can't write a path with slashes there.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tiktok_shop_host::call::{CallRequest, CallResponse, CallScope, HttpMethod};
use tiktok_shop_host::{AccountId, ShopId};
use utoipa::ToSchema;

use super::OfCustomer;
use super::tiktok::MAX_ANSWER_BYTES;
use crate::caller::{Allowed, Call};
use crate::input::{JsonOf, PathOf};
use crate::problem::Problem;
use crate::state::Shared;

/// The maximum length of the whole body: 1 MiB. A larger call uses the routes with `tiktok` in their path.
pub(crate) const MAX_CALL_BYTES: usize = 1 << 20;

/// A method of TikTok Shop's API.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum CallMethod {
    Get,
    Post,
    Put,
    Delete,
}

impl From<CallMethod> for HttpMethod {
    fn from(method: CallMethod) -> Self {
        match method {
            CallMethod::Get => Self::Get,
            CallMethod::Post => Self::Post,
            CallMethod::Put => Self::Put,
            CallMethod::Delete => Self::Delete,
        }
    }
}

/// A signed call. It names a shop or an account. A call for a shop gets the cipher of the shop.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignedCall {
    /// The shop.
    #[schema(value_type = Option<String>, pattern = "^[0-9]{1,19}$")]
    shop: Option<ShopId>,
    /// The account.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 256)]
    account: Option<AccountId>,
    method: CallMethod,
    /// The path at TikTok Shop, such as `/order/202309/orders/search`.
    path: String,
    /// The parameters of the query.
    #[serde(default)]
    query: BTreeMap<String, String>,
    /// The body. Not for GET.
    #[schema(value_type = Option<Object>)]
    json: Option<Map<String, Value>>,
}

/// TikTok Shop's answer to a signed call.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CallAnswer {
    /// The HTTP status.
    status: u16,
    /// The code in the envelope of the answer. `0` means success.
    #[schema(required)]
    code: Option<String>,
    /// TikTok Shop's id of the request.
    #[schema(required)]
    request_id: Option<String>,
    /// The content type.
    #[schema(required)]
    content_type: Option<String>,
    /// The body, if it is JSON.
    #[schema(required)]
    json: Option<Value>,
    /// The body in base64, if it is not JSON.
    #[schema(required)]
    base64: Option<String>,
}

impl From<CallResponse> for CallAnswer {
    fn from(CallResponse { http_status, code, request_id, content_type, body }: CallResponse) -> Self {
        let json = serde_json::from_slice(&body).ok();
        let base64 = json.is_none().then(|| STANDARD.encode(&body));
        Self { status: http_status, code, request_id, content_type, json, base64 }
    }
}

/// Sends a signed call, and returns TikTok Shop's answer with its status, also if TikTok Shop has refused the call.
///
/// The same as the routes with `tiktok` in their path, for clients that were generated from this document. Only a
/// GET may be repeated without an idempotency key if the answer is lost.
#[utoipa::path(
    post, path = "/v1/customers/{customer}/calls", tag = "signed calls", operation_id = "call",
    params(OfCustomer), request_body = SignedCall,
    responses((status = 200, description = "TikTok Shop has answered", body = CallAnswer)),
    security(("api-key" = ["call"]))
)]
pub(crate) async fn call(
    State(state): State<Shared>,
    allowed: Allowed<Call>,
    PathOf(OfCustomer { customer }): PathOf<OfCustomer>,
    JsonOf(SignedCall { shop, account, method, path, query, json }): JsonOf<SignedCall, MAX_CALL_BYTES>,
) -> Result<Json<CallAnswer>, Problem> {
    let scope = match (shop, account) {
        (Some(shop), None) => CallScope::Shop(shop),
        (None, Some(account)) => CallScope::Seller(Some(account)),
        (Some(_), Some(_)) | (None, None) => {
            return Err(Problem::refused("one-target", "name either a shop or an account"));
        }
    };
    // A value that was parsed from JSON can always be written as JSON.
    let body = json.map(|json| serde_json::to_vec(&json).unwrap_or_default());
    let request = CallRequest {
        scope,
        method: method.into(),
        path,
        query: query.into_iter().collect(),
        content_type: body.as_ref().map(|_| "application/json".to_owned()),
        body,
        max_response_bytes: MAX_ANSWER_BYTES,
    };
    let (host, tenant) = (allowed.host.clone(), allowed.tenant.clone());
    let answer = allowed.run(&state, async move { host.call(&tenant, &customer, request).await }).await??;
    Ok(Json(answer.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_not_json_is_returned_in_base64() {
        let answer = |body: &[u8]| {
            CallAnswer::from(CallResponse {
                http_status: 200,
                code: None,
                request_id: None,
                content_type: None,
                body: body.to_vec(),
            })
        };
        let json = answer(br#"{"code":0}"#);
        assert_eq!((json.json, json.base64), (Some(serde_json::json!({ "code": 0 })), None));
        let bytes = answer(b"%PDF");
        assert_eq!((bytes.json, bytes.base64.as_deref()), (None, Some("JVBERg==")));
    }
}
