//! Serves `open-api.tiktokglobalshop.com`. Every signed call must pass the checks in this file before its endpoint
//! answers.
//!
//! Source: the official pages `sign-your-api-request` and `common-errors` (as of 2026). These pages do not give the
//! HTTP status of a wrong method or the order of the checks, so the fake chooses both.

use axum::http::{Method, StatusCode, header};

use crate::app::App;
use crate::endpoint::{Answers, Caller, Endpoint, malformed};
use crate::envelope::{Answer, Failure};
use crate::grants::AccessRefusal;
use crate::marketplace::Marketplace;
use crate::signature::{Signed, sign};
use crate::switches::{InvalidAccessToken, Switches, UnsignedEmptyObject, WrongCipher};
use crate::vendor_request::VendorRequest;

/// The highest age of a request's timestamp, in seconds.
const MAX_TIMESTAMP_AGE: u64 = 5 * 60;

/// The highest number of seconds by which a request's timestamp may be ahead of the fake's clock.
const MAX_TIMESTAMP_LEAD: u64 = 30;

/// Checks a call and lets its endpoint answer.
pub(crate) fn answer(marketplace: &mut Marketplace, request: &VendorRequest) -> Answer {
    let endpoint = Endpoint::of(request)?;
    let app = verify_signature(marketplace, request)?;
    let caller = authenticate(marketplace, app, request)?;
    let granted = |scopes: &[String]| scopes.iter().any(|scope| scope == endpoint.scope);
    if !granted(&app.scopes) || !granted(&caller.authorization.scopes) {
        let message = format!("Access denied, the scope {} was not granted", endpoint.scope);
        return Err(Failure::new(StatusCode::UNAUTHORIZED, 105_005, message));
    }
    match endpoint.answers {
        Answers::Seller(answer) => {
            if request.query.first("shop_cipher").is_some() {
                return Err(Failure::bad_request("Unexpected identifier: shop_cipher is not supported by this API"));
            }
            answer(&caller, request)
        }
        Answers::Shop(answer) => {
            let switches = &marketplace.switches;
            let shop = caller.named_shop(presented_cipher(request, switches)?);
            let shop = shop.filter(|shop| caller.authorization.covers(shop)).ok_or_else(|| refused_cipher(switches))?;
            answer(marketplace, &caller, shop, request)
        }
        Answers::Cipher(answer) => answer(marketplace, &caller, request),
    }
}

/// Returns the `shop_cipher` of the request.
pub(crate) fn presented_cipher<'a>(request: &'a VendorRequest, switches: &Switches) -> Result<&'a str, Failure> {
    request.query.first("shop_cipher").ok_or_else(|| {
        let message = "Missing shop_cipher: shop_cipher is required";
        Failure::new(switches.status_106013.into(), 106_013, message)
    })
}

/// Returns the failure for a cipher that belongs to no shop of the caller's grant.
pub(crate) fn refused_cipher(switches: &Switches) -> Failure {
    match switches.wrong_cipher {
        WrongCipher::LikeMissing => {
            let message = "Invalid shop_cipher: it names no authorized shop";
            Failure::new(switches.status_106013.into(), 106_013, message)
        }
        WrongCipher::DoesNotFit => {
            let message = "The shop does not fit the access token of the request";
            Failure::new(switches.status_101000.into(), 101_000, message)
        }
    }
}

/// Checks the request's signature and returns the app that signed the request.
fn verify_signature<'a>(marketplace: &'a Marketplace, request: &VendorRequest) -> Result<&'a App, Failure> {
    let query = &request.query;
    // If a parameter is repeated, some clients sign its first value, some its last, and some all. So the fake refuses a
    // repeated parameter.
    if let Some(name) = query.repeated() {
        return Err(Failure::bad_request(format!("Invalid query: the parameter {name:?} occurs more than once")));
    }
    if request.headers.get_all(header::CONTENT_TYPE).iter().count() > 1 {
        return Err(malformed("the content type occurs more than once"));
    }
    let app = query
        .first("app_key")
        .and_then(|app_key| marketplace.app_by_key(app_key))
        .ok_or_else(|| Failure::bad_request("Invalid app_key"))?;

    let timestamp: u64 = query
        .first("timestamp")
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Failure::bad_request("Invalid timestamp"))?;
    let now = marketplace.clock.now();
    if timestamp.saturating_add(MAX_TIMESTAMP_AGE) < now || timestamp > now.saturating_add(MAX_TIMESTAMP_LEAD) {
        return Err(Failure::bad_request("Expired timestamp: it is outside the valid window"));
    }

    let presented = query.first("sign").ok_or_else(|| Failure::bad_request("Missing sign"))?;
    let signed = Signed {
        path: &request.path,
        query: query.pairs(),
        content_type: request.header("content-type"),
        body: &request.body,
    };
    // In live use, TikTok Shop refuses the signature of every GET that has a body, no matter which bytes were signed.
    let body_on_get = request.method == Method::GET && !request.body.is_empty();
    let accepts_unsigned = marketplace.switches.unsigned_empty_object == UnsignedEmptyObject::Accepted;
    let unsigned = Signed { body: b"", ..signed };
    let is_signed = presented == sign(&signed, &app.app_secret)
        || (accepts_unsigned && *request.body == *b"{}" && presented == sign(&unsigned, &app.app_secret));
    if body_on_get || !is_signed {
        return Err(Failure::new(StatusCode::UNAUTHORIZED, 106_001, "The sign is invalid"));
    }
    Ok(app)
}

/// Checks the request's access token. Returns the seller who granted the token, and the app.
fn authenticate(marketplace: &Marketplace, app: &App, request: &VendorRequest) -> Result<Caller, Failure> {
    let token = request
        .header("x-tts-access-token")
        .filter(|token| !token.is_empty())
        .ok_or_else(|| Failure::bad_request("Missing or malformed access token in x-tts-access-token"))?;
    let switches = &marketplace.switches;
    let invalid = || match switches.invalid_access_token {
        InvalidAccessToken::Code105001 => {
            let message =
                "Access token is invalid: the seller has deauthorized the app, or it is another kind of token";
            Failure::new(switches.status_105001.into(), 105_001, message)
        }
        InvalidAccessToken::Code36009004 => {
            Failure::bad_request("Invalid credentials. The 'x-tts-access-token' header is invalid")
        }
    };
    let key =
        marketplace.grants.access(token, &app.service_id, marketplace.clock.now(), switches).map_err(|refusal| {
            match refusal {
                AccessRefusal::Expired => Failure::new(
                    switches.status_105002.into(),
                    105_002,
                    "Expired credentials: the access token has expired",
                ),
                AccessRefusal::Invalid => invalid(),
            }
        })?;
    let seller = marketplace.seller(&key.seller).map_err(|_| invalid())?;
    let authorization = marketplace.grants.authorization(key).ok_or_else(invalid)?;
    // User type 1 is a creator. User types 2 and 3 are partners.
    if matches!(seller.user_type, 1..=3) {
        let message = "The user type of the access token does not fit the request";
        return Err(Failure::new(switches.status_101000.into(), 101_000, message));
    }
    Ok(Caller { service_id: app.service_id.clone(), seller: seller.clone(), authorization: authorization.clone() })
}
