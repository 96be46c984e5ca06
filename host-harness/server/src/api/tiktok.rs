//! Signed calls of TikTok Shop's API, as a proxy. The path behind `/tiktok`, the query and the body go to TikTok Shop's
//! API server as they are. The connector refuses every path that two programs could read differently, so nothing else
//! can be reached.

use axum::extract::{RawQuery, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use tiktok_shop_host::call::{CallRequest, CallResponse, CallScope, HttpMethod};
use tiktok_shop_host::{CustomerId, ShopId};

use super::OfConnection;
use crate::caller::{Allowed, Call};
use crate::input::{PathOf, whole_body};
use crate::problem::{Problem, ProblemDetails};
use crate::state::Shared;

/// The maximum length of a body: 16 MiB, as the connector allows.
pub(crate) const MAX_BODY_BYTES: usize = 16 << 20;
/// The maximum length of an answer: 4 MiB, as the connector allows.
pub(super) const MAX_ANSWER_BYTES: u32 = 4 << 20;
/// The number of slashes in front of TikTok Shop's path: `/v1/customers/{customer}/shops/{shop}/tiktok/`.
const SLASHES_BEFORE_PATH: usize = 7;

/// This header is in every answer of TikTok Shop, and in no other. An answer without it is one of the service.
pub(crate) const ANSWERED_BY: HeaderName = HeaderName::from_static("x-answered-by");
/// The code in the envelope of TikTok Shop's answer. `0` means success.
pub(crate) const TIKTOK_CODE: HeaderName = HeaderName::from_static("x-tiktok-code");
/// TikTok Shop's id of the request.
pub(crate) const TIKTOK_REQUEST_ID: HeaderName = HeaderName::from_static("x-tiktok-request-id");

/// A shop and a path of TikTok Shop's API in the path.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct OfShop {
    /// The platform's id of the customer. A generated client percent-encodes it. The ids `.` and `..` are refused.
    #[param(value_type = String, min_length = 1, max_length = 256)]
    customer: CustomerId,
    /// TikTok Shop's id of the shop.
    #[param(value_type = String, pattern = "^[0-9]{1,19}$")]
    shop: ShopId,
}

/// Sends a signed call for a shop.
///
/// The connector adds the app key, the timestamp, the signature, the token and the shop's cipher. The answer is
/// TikTok Shop's, with its status and its unchanged body, and has the header `X-Answered-By: tiktok-shop`. Without
/// an idempotency key, only a GET may be repeated if the answer is lost. Most generated clients encode the slashes
/// of the path, which is refused. They use `POST /v1/customers/{customer}/calls`.
#[utoipa::path(
    method(get, post, put, delete), path = "/v1/customers/{customer}/shops/{shop}/tiktok/{path}",
    tag = "signed calls", operation_id = "call_for_shop",
    params(
        OfShop,
        ("path" = String, Path, description = "The path at TikTok Shop, such as order/202309/orders/search"),
    ),
    responses(
        (status = "default", description = "TikTok Shop's answer, or a problem", content(
            (ProblemDetails = "application/problem+json"),
            (serde_json::Value = "application/json"),
        )),
    ),
    security(("api-key" = ["call"]))
)]
pub(crate) async fn for_shop(
    State(state): State<Shared>,
    allowed: Allowed<Call>,
    PathOf(OfShop { customer, shop }): PathOf<OfShop>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    call(&state, &allowed, customer, CallScope::Shop(shop), query, request).await
}

/// Sends a signed call for a seller account, without the cipher of a shop.
///
/// Most generated clients encode the slashes of the path, which is refused. They use
/// `POST /v1/customers/{customer}/calls`.
#[utoipa::path(
    method(get, post, put, delete), path = "/v1/customers/{customer}/accounts/{account}/tiktok/{path}",
    tag = "signed calls", operation_id = "call_for_account",
    params(
        OfConnection,
        ("path" = String, Path, description = "The path at TikTok Shop, such as authorization/202309/shops"),
    ),
    responses(
        (status = "default", description = "TikTok Shop's answer, or a problem", content(
            (ProblemDetails = "application/problem+json"),
            (serde_json::Value = "application/json"),
        )),
    ),
    security(("api-key" = ["call"]))
)]
pub(crate) async fn for_account(
    State(state): State<Shared>,
    allowed: Allowed<Call>,
    PathOf(OfConnection { customer, account }): PathOf<OfConnection>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    call(&state, &allowed, customer, CallScope::Seller(Some(account)), query, request).await
}

async fn call(
    state: &Shared,
    allowed: &Allowed<Call>,
    customer: CustomerId,
    scope: CallScope,
    query: Option<String>,
    request: Request,
) -> Result<Response, Problem> {
    let method = method_of(request.method()).ok_or_else(Problem::method_not_allowed)?;
    let path = path_of(request.uri().path());
    let query = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
    let content_type = content_type_of(request.headers())?;
    // The buffer of the request becomes the buffer of the call, so a large body is not in memory twice during the call.
    let body: Vec<u8> = whole_body(request.into_body(), MAX_BODY_BYTES).await?.into();
    let body = (!body.is_empty()).then_some(body);
    let content_type = content_type.filter(|_| body.is_some());
    let max_response_bytes = MAX_ANSWER_BYTES;
    let request = CallRequest { scope, method, path, query, content_type, body, max_response_bytes };
    let (host, tenant) = (allowed.host.clone(), allowed.tenant.clone());
    let answer = allowed.run(state, async move { host.call(&tenant, &customer, request).await }).await?;
    Ok(answered(answer?))
}

fn method_of(method: &Method) -> Option<HttpMethod> {
    HttpMethod::ALL.into_iter().find(|known| known.as_str() == method.as_str())
}

/// Returns TikTok Shop's path, exactly as the client has sent it. The decoded path would hide encoded slashes and dots
/// from the connector, which refuses them.
fn path_of(path: &str) -> String {
    let rest = path.splitn(SLASHES_BEFORE_PATH + 1, '/').nth(SLASHES_BEFORE_PATH);
    format!("/{}", rest.unwrap_or_default())
}

fn content_type_of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let malformed = || Problem::invalid_parameter("Content-Type: not visible ASCII");
    headers.get(CONTENT_TYPE).map(|value| value.to_str().map(str::to_owned).map_err(|_| malformed())).transpose()
}

/// Returns TikTok Shop's answer as the service's own.
fn answered(answer: CallResponse) -> Response {
    let CallResponse { http_status, code, request_id, content_type, body } = answer;
    // A status below 200 is not final, and no client expects it here.
    let status = StatusCode::from_u16(http_status).ok().filter(|status| status.as_u16() >= 200);
    let mut response = (status.unwrap_or(StatusCode::BAD_GATEWAY), body).into_response();
    let headers = response.headers_mut();
    let content_type = content_type.and_then(|text| HeaderValue::try_from(text).ok());
    headers.insert(CONTENT_TYPE, content_type.unwrap_or(HeaderValue::from_static("application/octet-stream")));
    headers.insert(ANSWERED_BY, HeaderValue::from_static("tiktok-shop"));
    for (name, text) in [(TIKTOK_CODE, code), (TIKTOK_REQUEST_ID, request_id)] {
        if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_at_tiktok_shop_is_taken_as_it_was_sent() {
        for (sent, expected) in [
            ("/v1/customers/c/shops/7/tiktok/order/202309/orders", "/order/202309/orders"),
            ("/v1/customers/tiktok/shops/7/tiktok/tiktok/a", "/tiktok/a"),
            ("/v1/customers/c%2Ftiktok/accounts/a/tiktok/x", "/x"),
            ("/v1/customers/c/shops/7/tiktok/a%2F..%2Fb", "/a%2F..%2Fb"),
            ("/v1/customers/c/shops/7/tiktok/../../x", "/../../x"),
            ("/v1/customers/c/shops/7/tiktok//x", "//x"),
        ] {
            assert_eq!(path_of(sent), expected);
        }
    }

    #[test]
    fn only_the_methods_of_tiktok_shops_api_are_sent() {
        for method in HttpMethod::ALL {
            assert_eq!(method_of(&method.as_str().parse().unwrap()), Some(method));
        }
        for method in ["PATCH", "HEAD", "OPTIONS", "get", "CONNECT", "TRACE"] {
            assert_eq!(method_of(&method.parse().unwrap()), None, "{method}");
        }
    }

    #[test]
    fn an_answer_keeps_its_status_and_body_and_is_marked() {
        let answer = CallResponse {
            http_status: 404,
            code: Some("36009009".to_owned()),
            request_id: Some("2026".to_owned()),
            content_type: Some("application/json".to_owned()),
            body: b"{}".to_vec(),
        };
        let response = answered(answer.clone());
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers().get("x-answered-by").unwrap(), "tiktok-shop");
        assert_eq!(response.headers().get("x-tiktok-code").unwrap(), "36009009");
        assert_eq!(response.headers().get("x-tiktok-request-id").unwrap(), "2026");
        let odd = CallResponse { http_status: 101, request_id: Some("a\nb".to_owned()), ..answer };
        let response = answered(odd);
        assert_eq!(response.status(), 502);
        assert!(response.headers().get("x-tiktok-request-id").is_none());
    }
}
