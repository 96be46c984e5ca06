//! Puts a secret of the call into a value that is not secret.
//!
//! An order has three lines: the name of the secret, the encoding, and the place into which the secret is put.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::bindings::tiktok_shop::connector::{
    app_credentials, connection_storage, storage_types, token_storage, types,
};
use crate::{failure, request};

/// Carries out an order. If the place is in storage, returns an error whose text is the storage's answer.
pub(crate) fn obey(customer: &str, order: &str) -> Result<types::Connection, types::Error> {
    let mut lines = order.lines();
    let mut line = || lines.next().unwrap_or_default();
    let (secret, encoding, place) = (line(), line(), line());
    let stored = Stored::of(customer);
    let secret = stored.as_ref().and_then(|stored| secret_named(secret, stored));
    let (Some(stored), Some(secret)) = (stored, secret) else {
        return Err(types::Error::Internal(failure("there is no such secret".to_owned())));
    };
    put(stored, place, format!("<{}>", encoded(&secret, encoding)))
}

/// The stored data of the only connection of a customer.
struct Stored {
    key: types::ConnectionKey,
    token: token_storage::Entry,
    row: connection_storage::Entry,
}

impl Stored {
    fn of(customer: &str) -> Option<Self> {
        let account = token_storage::accounts(customer).ok()?.pop()?;
        let key = types::ConnectionKey { customer: customer.to_owned(), account };
        let token = token_storage::load(&key).ok()?.entry?;
        let row = connection_storage::load(&key).ok()?.entry?;
        Some(Self { key, token, row })
    }

    /// Returns the text of a member of the token record.
    fn token(&self, member: &str) -> Option<String> {
        member_of(&String::from_utf8_lossy(&self.token.value), member)
    }
}

fn secret_named(name: &str, stored: &Stored) -> Option<String> {
    let only = app_credentials::apps().ok()?.pop()?;
    let app = app_credentials::of_app(&only).ok()?;
    match name {
        "access token" => stored.token("access"),
        "app secret" => Some(app.app_secret),
        "cipher" => stored.row.stored.connection.shops.first()?.cipher.clone(),
        // Gets a new access token with the stored refresh token, and does not store the new tokens.
        "new access token" => {
            let (key, secret, token) = (app.app_key, app.app_secret, stored.token("refresh")?);
            let query = format!("app_key={key}&app_secret={secret}&refresh_token={token}&grant_type=refresh_token");
            let answer = request::fetch("auth.tiktok-shops.com", &format!("/api/v2/token/refresh?{query}"))?;
            member_of(&String::from_utf8_lossy(&answer), "access_token")
        }
        "previous app secret" => app.previous_app_secret,
        "refresh token" => stored.token("refresh"),
        _ => None,
    }
}

fn member_of(json: &str, member: &str) -> Option<String> {
    let (_, rest) = json.split_once(&format!("\"{member}\":\""))?;
    rest.split_once('"').map(|(text, _)| text.to_owned())
}

fn encoded(secret: &str, encoding: &str) -> String {
    let bytes = || secret.bytes();
    match encoding {
        "base64" => STANDARD.encode(format!("a{secret}")),
        "base64url" => URL_SAFE_NO_PAD.encode(format!("ab{secret}")),
        "decimal" => format!("{:?}", secret.as_bytes()),
        "hex" => bytes().map(|byte| format!("{byte:02x}")).collect(),
        "percent" => bytes().map(|byte| format!("%{byte:02X}")).collect(),
        "upper case" => secret.to_uppercase(),
        _ => secret.to_owned(),
    }
}

fn put(stored: Stored, place: &str, text: String) -> Result<types::Connection, types::Error> {
    let Stored { key, row, .. } = stored;
    let mut connection = row.stored.connection.clone();
    let words =
        types::Failure { code: "hostile".to_owned(), detail: String::new(), http_status: None, request_id: None };
    let past = |failure| Some(types::PastFailure { at: 1, failure });
    let elsewhere = types::ConnectionKey { account: text.clone(), ..key.clone() };
    let record = token_storage::Write { value: vec![1], refresh_due_at: None };
    match place {
        "error: code" => return Err(types::Error::Upstream(types::Failure { code: text, ..words })),
        "error: detail" => return Err(types::Error::Upstream(types::Failure { detail: text, ..words })),
        "error: request id" => {
            return Err(types::Error::Upstream(types::Failure { request_id: Some(text), ..words }));
        }
        "result: seller name" => return Ok(types::Connection { seller_name: text, ..connection }),
        "result: raw" => {
            connection.shops.iter_mut().for_each(|shop| shop.raw = text.clone());
            return Ok(connection);
        }
        "record: account" => return said(token_storage::swap(&elsewhere, None, Some(&record))),
        "record: revision" => return said(token_storage::swap(&key, Some(&text), Some(&record))),
        "row: account" => {
            connection.key = elsewhere.clone();
            let write = connection_storage::Write { connection, ..row.stored };
            return said(connection_storage::swap(&elsewhere, None, Some(&write)));
        }
        "row: failure code" => connection.last_failure = past(types::Failure { code: text, ..words }),
        "row: failure detail" => connection.last_failure = past(types::Failure { detail: text, ..words }),
        "row: failure request id" => {
            connection.last_failure = past(types::Failure { request_id: Some(text), ..words });
        }
        "row: lineage" => {
            let write = connection_storage::Write { token_lineage: text, ..row.stored };
            return said(connection_storage::swap(&key, Some(&row.revision), Some(&write)));
        }
        "row: app" => connection.app = Some(text),
        "row: base region" => connection.seller_base_region = text,
        "row: scope" => connection.granted_scopes.push(text),
        "row: seller name" => connection.seller_name = text,
        "row: shop code" => connection.shops.iter_mut().for_each(|shop| shop.code = text.clone()),
        "row: shop account" => connection.shops.iter_mut().for_each(|shop| shop.account = text.clone()),
        "row: shop name" => connection.shops.iter_mut().for_each(|shop| shop.name = text.clone()),
        "row: shop raw" => connection.shops.iter_mut().for_each(|shop| shop.raw = text.clone()),
        "row: shop region" => connection.shops.iter_mut().for_each(|shop| shop.region = text.clone()),
        "row: shop type" => connection.shops.iter_mut().for_each(|shop| shop.seller_type = text.clone()),
        _ => return Err(types::Error::Internal(failure("there is no such place".to_owned()))),
    }
    let write = connection_storage::Write { connection, ..row.stored };
    said(connection_storage::swap(&key, Some(&row.revision), Some(&write)))
}

/// Returns the storage's answer as the text of an error.
fn said<T>(outcome: Result<T, storage_types::StorageError>) -> Result<types::Connection, types::Error> {
    let text = outcome.map_or_else(|error| format!("{error:?}"), |_| "written".to_owned());
    Err(types::Error::Internal(failure(text)))
}
