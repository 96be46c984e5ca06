//! What both simulations give to the connector: the credentials of the app, TikTok's answers, and stored rows.

use crate::connector::{ACCOUNT, APP_KEY, APP_SECRET, SHOP};
use crate::provider::Issued;
use serde_json::{Value, json};
use tiktok_shop_connector_core::authorization_link::LinkScheme;
use tiktok_shop_connector_core::connection::{Row, document};
use tiktok_shop_connector_core::credentials::Credentials;
use tiktok_shop_connector_core::http::Response;
use tiktok_shop_connector_core::secret::AppSecret;

/// The end of every refresh token: about a century ahead, as TikTok answers it.
const REFRESH_ENDS: u64 = 4_903_858_076;

pub(crate) fn credentials() -> Credentials {
    Credentials {
        app_key: APP_KEY.into(),
        app_secret: AppSecret::new(APP_SECRET.into()),
        previous_app_secret: None,
        authorization_link: None,
        link_scheme: LinkScheme::Https,
    }
}

pub(crate) fn answer(status: u16, content_type: &str, body: &str) -> Response {
    let (content_type, body) = (Some(content_type.into()), body.as_bytes().to_vec());
    Response { status, content_type, content_encoding: None, retry_after: None, date: None, body }
}

pub(crate) fn envelope(code: i64, data: &Value) -> Response {
    let body = json!({"code": code, "message": "m", "request_id": "r", "data": data}).to_string();
    answer(200, "application/json", &body)
}

/// Returns the answer of the token host with this pair.
pub(crate) fn token_pair(pair: Issued) -> Response {
    envelope(
        0,
        &json!({
            "access_token": format!("AT-{}", pair.number),
            "access_token_expire_in": pair.access_ends,
            "refresh_token": format!("RT-{}", pair.number),
            "refresh_token_expire_in": REFRESH_ENDS,
            "open_id": ACCOUNT,
            "user_type": 0,
        }),
    )
}

/// Returns the answer to a business request with this path.
pub(crate) fn business(path: &str) -> Response {
    let shops = json!({"shops": [{"id": SHOP, "cipher": "cipher-1"}]});
    envelope(0, &if path.ends_with("/shops") { shops } else { json!({}) })
}

/// Copies a row, by its stored form. `Row` has no `Clone`, because it holds ciphers.
pub(crate) fn copy(row: &Row) -> Row {
    let (document, secrets) = (document::encode(row).unwrap(), document::encode_secrets(row).unwrap());
    document::decode(row.connection.key.clone(), &document, secrets.expose()).unwrap()
}
