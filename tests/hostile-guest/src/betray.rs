//! Puts a secret of the call into a value that is not secret.
//!
//! An order has three lines: the name of the secret, the encoding, and the place into which the secret is put.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::bindings::tiktok_shop::connector::storage::{self, Table};
use crate::bindings::tiktok_shop::connector::{app_credentials, types};
use crate::{failure, request};

/// Carries out an order. If the place is in storage, returns an error whose text is the storage's answer.
pub(crate) fn obey(customer: &str, order: &str) -> Result<types::Connection, types::ConnectorError> {
    let mut lines = order.lines();
    let mut line = || lines.next().unwrap_or_default();
    let (secret, encoding, place) = (line(), line(), line());
    let stored = Stored::of(customer);
    let secret = stored.as_ref().and_then(|stored| secret_named(secret, stored));
    let (Some(stored), Some(secret)) = (stored, secret) else {
        return Err(types::ConnectorError::Internal(failure("there is no such secret".to_owned())));
    };
    put(stored, place, format!("<{}>", encoded(&secret, encoding)))
}

/// The stored data of the only connection of a customer.
struct Stored {
    key: types::ConnectionKey,
    token: storage::Entry,
    row: storage::Entry,
}

impl Stored {
    fn of(customer: &str) -> Option<Self> {
        let account = storage::accounts(customer).ok()?.pop()?;
        let key = types::ConnectionKey { customer: customer.to_owned(), account };
        let token = storage::load(Table::Tokens, &key).ok()?.entry?;
        let row = storage::load(Table::Rows, &key).ok()?.entry?;
        Some(Self { key, token, row })
    }

    /// Returns the text of a member of the token record.
    fn token(&self, member: &str) -> Option<String> {
        member_of(&String::from_utf8_lossy(&self.token.secrets), member)
    }
}

fn secret_named(name: &str, stored: &Stored) -> Option<String> {
    let only = app_credentials::apps().ok()?.pop()?;
    let app = app_credentials::of_app(&only).ok()?;
    match name {
        "access token" => stored.token("access"),
        "app secret" => Some(app.app_secret),
        "cipher" => {
            // The secrets of a row are a JSON object whose last text is a cipher.
            let secrets = String::from_utf8_lossy(&stored.row.secrets);
            secrets.rsplit('"').nth(1).map(str::to_owned)
        }
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

fn put(stored: Stored, place: &str, text: String) -> Result<types::Connection, types::ConnectorError> {
    let Stored { key, row, .. } = stored;
    let words =
        types::Failure { code: "hostile".to_owned(), detail: String::new(), http_status: None, request_id: None };
    let elsewhere = types::ConnectionKey { account: text.clone(), ..key.clone() };
    let record = write(String::new(), vec![1]);
    let document = row.document.as_str();
    let failure_with = |member: &str| {
        let members = ["code", "detail", "request_id"].map(|name| {
            let value = if name == member { text.as_str() } else { "" };
            format!("\"{name}\":\"{value}\"")
        });
        let failure = format!("\"last_failure\":{{\"at\":1,{}}}", members.join(","));
        with_first(&without_failure(document), &failure)
    };
    let document = match place {
        "error: code" => return Err(types::ConnectorError::Upstream(types::Failure { code: text, ..words })),
        "error: detail" => return Err(types::ConnectorError::Upstream(types::Failure { detail: text, ..words })),
        "error: request id" => {
            return Err(types::ConnectorError::Upstream(types::Failure { request_id: Some(text), ..words }));
        }
        "result: seller name" => return Ok(types::Connection { seller_name: text, ..connection(key) }),
        "result: raw" => {
            let shop = types::Shop {
                id: "1".to_owned(),
                account: key.account.clone(),
                app: None,
                name: String::new(),
                region: String::new(),
                seller_type: String::new(),
                cipher: None,
                code: String::new(),
                raw: text,
                standing: types::ShopStanding::Granted,
                linked: true,
            };
            return Ok(types::Connection { shops: vec![shop], ..connection(key) });
        }
        "record: account" => return said(storage::swap(Table::Tokens, &elsewhere, None, Some(&record))),
        "record: revision" => return said(storage::swap(Table::Tokens, &key, Some(&text), Some(&record))),
        "row: account" => {
            let write = write(document.to_owned(), row.secrets);
            return said(storage::swap(Table::Rows, &elsewhere, None, Some(&write)));
        }
        "row: failure code" => failure_with("code"),
        "row: failure detail" => failure_with("detail"),
        "row: failure request id" => failure_with("request_id"),
        "row: lineage" => with(document, "token_lineage", &text),
        "row: app" => with(document, "app_key", &text),
        "row: base region" => with(document, "seller_base_region", &text),
        "row: scope" => document.replacen("\"granted_scopes\":[\"", &format!("\"granted_scopes\":[\"{text}"), 1),
        "row: seller name" => with(document, "seller_name", &text),
        "row: shop code" => with(document, "code", &text),
        "row: shop name" => with(document, "name", &text),
        "row: shop raw" => with(document, "raw", &text),
        "row: shop region" => with(document, "region", &text),
        "row: shop type" => with(document, "seller_type", &text),
        "row: unknown member" => with_first(document, &format!("\"new\":{{\"list\":[\"{text}\"]}}")),
        _ => return Err(types::ConnectorError::Internal(failure("there is no such place".to_owned()))),
    };
    said(storage::swap(Table::Rows, &key, Some(&row.revision), Some(&write(document, row.secrets))))
}

/// Returns the document with another text in the first member of this name. The old text may contain `\"`.
fn with(document: &str, member: &str, text: &str) -> String {
    let begin = format!("\"{member}\":\"");
    let Some((before, rest)) = document.split_once(&begin) else { return document.to_owned() };
    let end = rest
        .char_indices()
        .scan(false, |escaped, (at, c)| {
            let ends = c == '"' && !*escaped;
            *escaped = c == '\\' && !*escaped;
            Some((at, ends))
        })
        .find(|(_, ends)| *ends);
    let rest = end.and_then(|(at, _)| rest.get(at..)).unwrap_or_default();
    format!("{before}{begin}{text}{rest}")
}

/// Returns the document with one more member at its start.
fn with_first(document: &str, member: &str) -> String {
    document.replacen('{', &format!("{{{member},"), 1)
}

/// Returns the document without its last member, if that is the failure.
fn without_failure(document: &str) -> String {
    match document.split_once(",\"last_failure\":") {
        Some((before, _)) => format!("{before}}}"),
        None => document.to_owned(),
    }
}

/// Returns an entry with this document. The host must take the values beside the document from the document.
fn write(document: String, secrets: Vec<u8>) -> storage::Write {
    let index = storage::Index {
        refresh_due_at: None,
        status: None,
        ends_at: None,
        app: None,
        shops: Vec::new(),
        lineage: String::new(),
        generation: 0,
    };
    storage::Write { document, secrets, index }
}

fn connection(key: types::ConnectionKey) -> types::Connection {
    types::Connection {
        key,
        app: None,
        seller_name: String::new(),
        seller_base_region: String::new(),
        granted_scopes: Vec::new(),
        shop_policy: types::ShopPolicy::All,
        status: types::ConnectionStatus::Active,
        access_expires_at: None,
        refresh_expires_at: None,
        authorization_ends_at: None,
        connected_at: 0,
        granted_at: 0,
        refreshed_at: 0,
        shops_synced_at: None,
        shops: Vec::new(),
        last_failure: None,
    }
}

/// Returns the storage's answer as the text of an error.
fn said<T>(outcome: Result<T, storage::StorageError>) -> Result<types::Connection, types::ConnectorError> {
    let text = outcome.map_or_else(|error| format!("{error:?}"), |_| "written".to_owned());
    Err(types::ConnectorError::Internal(failure(text)))
}
