//! Serves `auth.tiktok-shops.com`, which exchanges authorization codes and refresh tokens for pairs of tokens.
//!
//! Source: the official pages `authorization-guide-202309` and `authorization-overview-202407` (as of December 2025).
//! By default every failure has the HTTP status 200, as in recorded answers. The documentation gives no code for a
//! wrong grant type or a missing parameter. The fake answers a wrong grant type with 36009004, and treats a missing
//! code or refresh token in the same way as a wrong code or refresh token.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::App;
use crate::envelope::{Answer, Failure};
use crate::grants::{Pair, RefreshRefusal};
use crate::issued::IssuedPair;
use crate::marketplace::Marketplace;
use crate::query::Query;
use crate::switches::{GrantedScopesField, RefreshGrantType, RefreshTokenField, RefreshTokenOnRefresh, WrongSecret};
use crate::vendor_request::VendorRequest;

/// Returns the answer and the tokens in it. Returns `None` if the token host does not know the path, or if the method
/// is not GET.
pub(crate) fn answer(marketplace: &mut Marketplace, request: &VendorRequest) -> Option<(Answer, Option<IssuedPair>)> {
    let (pair, refresh_token_field) = match (&request.method, request.path.as_str()) {
        (&Method::GET, "/api/v2/token/get") => (exchange_code(marketplace, &request.query), RefreshTokenField::Present),
        (&Method::GET, "/api/v2/token/refresh") => {
            (refresh(marketplace, &request.query), marketplace.switches.refresh_token_field)
        }
        _ => return None,
    };
    let issued = pair
        .as_ref()
        .ok()
        .map(|pair| IssuedPair { access_token: pair.access_token.clone(), refresh_token: pair.refresh_token.clone() });
    Some((pair.and_then(|pair| token_data(marketplace, &pair, refresh_token_field)), issued))
}

fn exchange_code(marketplace: &mut Marketplace, query: &Query) -> Result<Pair, Failure> {
    let service_id = authenticate(marketplace, query, invalid_code)?.service_id.clone();
    require_grant_type(query, &["authorized_code"])?;
    let code = query.first("auth_code").ok_or_else(invalid_code)?;

    let now = marketplace.clock.now();
    let pending = marketplace.grants.pending(code, &service_id, now).map_err(|_| invalid_code())?.clone();
    marketplace.announce_end(&pending);
    let lasts = marketplace.seller(&pending.seller).map_err(|_| invalid_code())?.authorization_lasts.as_secs();
    marketplace.grants.exchange(code, &service_id, lasts, now, &marketplace.switches).map_err(|_| invalid_code())
}

fn refresh(marketplace: &mut Marketplace, query: &Query) -> Result<Pair, Failure> {
    let service_id = authenticate(marketplace, query, no_authorization)?.service_id.clone();
    require_grant_type(
        query,
        match marketplace.switches.refresh_grant_type {
            RefreshGrantType::RefreshToken => &["refresh_token"],
            RefreshGrantType::Either => &["refresh_token", "authorized_code"],
        },
    )?;
    let presented = query.first("refresh_token").ok_or_else(no_authorization)?;

    let switches = marketplace.switches;
    let rotation = match switches.refresh_token_field {
        RefreshTokenField::Present => switches.refresh_token_on_refresh,
        RefreshTokenField::Missing | RefreshTokenField::Empty | RefreshTokenField::Blank => {
            RefreshTokenOnRefresh::Unchanged
        }
    };
    let now = marketplace.clock.now();
    marketplace.grants.refresh(presented, &service_id, rotation, now, &switches).map_err(|refusal| match refusal {
        RefreshRefusal::Ended => Failure::new(StatusCode::OK, 36_004_001, "rt has expired"),
        RefreshRefusal::NoAuthorization => no_authorization(),
    })
}

/// Checks the app key and the app secret and returns the app. `bad_grant` creates the failure that a wrong code or a
/// wrong refresh token gets. The switch `wrong_secret` can choose this failure also for a wrong app key or app secret.
fn authenticate<'a>(
    marketplace: &'a Marketplace,
    query: &Query,
    bad_grant: fn() -> Failure,
) -> Result<&'a App, Failure> {
    query
        .first("app_key")
        .and_then(|app_key| marketplace.app_by_key(app_key))
        .filter(|app| query.first("app_secret") == Some(&app.app_secret))
        .ok_or_else(|| {
            let status = match marketplace.switches.wrong_secret {
                WrongSecret::BadGrant => return bad_grant(),
                WrongSecret::Ok => StatusCode::OK,
                WrongSecret::BadRequest => StatusCode::BAD_REQUEST,
                WrongSecret::Unauthorized => StatusCode::UNAUTHORIZED,
            };
            Failure::new(status, 36_009_004, "Invalid app_key or app_secret")
        })
}

fn require_grant_type(query: &Query, accepted: &[&str]) -> Result<(), Failure> {
    if query.first("grant_type").is_some_and(|presented| accepted.contains(&presented)) {
        Ok(())
    } else {
        Err(Failure::new(StatusCode::OK, 36_009_004, "Invalid grant_type"))
    }
}

fn invalid_code() -> Failure {
    Failure::new(StatusCode::OK, 36_004_004, "invalid auth code")
}

fn no_authorization() -> Failure {
    Failure::new(StatusCode::OK, 36_004_005, "can not find related auth record")
}

fn token_data(marketplace: &Marketplace, pair: &Pair, refresh_token_field: RefreshTokenField) -> Answer {
    let seller = marketplace.seller(&pair.key.seller).map_err(|_| no_authorization())?;
    let authorization = marketplace.grants.authorization(&pair.key).ok_or_else(no_authorization)?;
    let mut data = json!({
        "access_token": pair.access_token,
        "access_token_expire_in": pair.access_token_expires_at,
        "refresh_token": pair.refresh_token,
        "refresh_token_expire_in": pair.refresh_token_expires_at,
        "open_id": authorization.open_id,
        "seller_name": seller.name,
        "seller_base_region": seller.base_region,
        "user_type": seller.user_type,
        "granted_scopes": authorization.scopes,
    });
    if let Value::Object(members) = &mut data {
        match refresh_token_field {
            RefreshTokenField::Present => {}
            RefreshTokenField::Missing => drop(members.shift_remove("refresh_token")),
            RefreshTokenField::Empty => drop(members.insert("refresh_token".to_owned(), json!(""))),
            RefreshTokenField::Blank => drop(members.insert("refresh_token".to_owned(), json!(" "))),
        }
        match marketplace.switches.granted_scopes_field {
            GrantedScopesField::Present => {}
            GrantedScopesField::Requested => {
                let app = marketplace.app_by_service_id(&pair.key.service_id).map_err(|_| no_authorization())?;
                members.insert("granted_scopes".to_owned(), json!(app.scopes));
            }
            GrantedScopesField::Missing => drop(members.shift_remove("granted_scopes")),
        }
    }
    Ok(data)
}
