//! Implements the core's effects for the scripted host.

use super::{Answer, ScriptedHost, Step};
use crate::samples::{APP_KEY, PREVIOUS_APP_SECRET, duplicate_row, secret_of};
use std::collections::BTreeMap;
use tiktok_shop_connector_core::connection::Row;
use tiktok_shop_connector_core::credentials::Credentials;
use tiktok_shop_connector_core::http::{Authority, Request, Response, TransportFailure};
use tiktok_shop_connector_core::identity::{AccountId, ConnectionKey, CustomerId};
use tiktok_shop_connector_core::ports::{
    Effects, Entry, ListedRow, Revision, StorageError, Swapped, TokenValue, TokenWrite,
};
use tiktok_shop_connector_core::record::Nonce;
use tiktok_shop_connector_core::secret::{AccessToken, AppSecret};
use tiktok_shop_connector_core::signing::Signable;
use tiktok_shop_connector_core::time::Moment;

impl Effects for ScriptedHost {
    fn now(&self) -> Moment {
        let state = self.0.borrow();
        Moment { wall: state.wall, monotonic: state.monotonic }
    }

    fn random(&self) -> Nonce {
        let mut state = self.0.borrow_mut();
        state.drawn += 1;
        state.drawn.to_le_bytes()
    }

    async fn apps(&self) -> Result<Vec<String>, StorageError> {
        self.effect(Step::Apps, |state, _| state.apps.clone().map(|keys| keys.into_iter().map(str::to_owned).collect()))
            .await?
    }

    async fn credentials(&self, app_key: &str) -> Result<Credentials, StorageError> {
        self.effect(Step::Credentials, |state, _| {
            if !state.apps.clone()?.contains(&app_key) {
                return Err(StorageError::Refused("no such app".into()));
            }
            if state.unreadable.contains(&app_key) {
                return Err(StorageError::Unavailable("scripted".into()));
            }
            let app_key = state.answers_with.unwrap_or(app_key);
            Ok(Credentials {
                app_key: app_key.into(),
                app_secret: secret_of(app_key),
                previous_app_secret: (app_key == APP_KEY).then(|| AppSecret::new(PREVIOUS_APP_SECRET.into())),
                authorization_link: state.link.clone(),
                link_scheme: state.link_scheme,
            })
        })
        .await?
    }

    async fn send(&self, request: Request<'_>) -> Result<Response, TransportFailure> {
        let named = name_of(&request);
        let answer = self.effect(Step::Send, |state, _| state.answer(&named)).await.expect("only storage has faults");
        match answer {
            Answer::Broken(failure) => Err(failure),
            Answer::Reply { status, content_type, retry_after, date, body } => Ok(Response {
                status,
                content_type: Some(content_type.into()),
                content_encoding: None,
                retry_after: retry_after.map(Into::into),
                date: date.map(Into::into),
                body: body.into_bytes(),
            }),
            Answer::Bytes { content_type, content_encoding, body } => Ok(Response {
                status: 200,
                content_type: Some(content_type.into()),
                content_encoding: content_encoding.map(Into::into),
                retry_after: None,
                date: None,
                body,
            }),
        }
    }

    async fn accounts(&self, customer: &CustomerId) -> Result<Vec<AccountId>, StorageError> {
        self.effect(Step::Accounts, |state, _| {
            let keys = state.tokens.keys().filter(|key| &key.customer == customer && state.newest(key).is_some());
            keys.map(|key| key.account.clone()).collect()
        })
        .await
    }

    async fn load_token(&self, key: &ConnectionKey) -> Result<Option<Entry<TokenValue>>, StorageError> {
        self.effect(Step::LoadToken, |state, lagging| {
            let versions = state.tokens.get(key)?;
            let version = if lagging { versions.iter().rev().nth(1)? } else { versions.last()? };
            version.as_ref().map(|stored| state.token_entry(stored))
        })
        .await
    }

    async fn swap_token(
        &self,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<TokenWrite>,
    ) -> Result<Swapped<TokenValue>, StorageError> {
        self.effect(Step::SwapToken, |state, _| {
            let stands = state.newest(key);
            if stands.map(|stored| &stored.revision) != expected {
                return Swapped::Stale(stands.map(|stored| state.token_entry(stored)));
            }
            let deletes = next.is_none();
            let next = next.map(|write| (write.bytes.expose().to_vec(), write.refresh_due_at));
            let revision = state.write_token(key, next);
            if deletes { Swapped::Deleted } else { Swapped::Stored(revision) }
        })
        .await
    }

    async fn list_rows(&self, customer: &CustomerId) -> Result<Vec<ListedRow>, StorageError> {
        self.effect(Step::ListRows, |state, _| {
            let rows = state.rows.iter().filter(|(key, _)| &key.customer == customer);
            let listed = rows.map(|(key, (revision, row))| {
                let row = state.damage_of(key, revision).map_or_else(|| Ok(duplicate_row(row)), Err);
                ListedRow { account: key.account.clone(), row }
            });
            listed.collect()
        })
        .await
    }

    async fn load_row(&self, key: &ConnectionKey) -> Result<Option<Entry<Row>>, StorageError> {
        self.effect(Step::LoadRow, |state, _| {
            let Some((revision, row)) = state.rows.get(key) else { return Ok(None) };
            match state.damage_of(key, revision) {
                Some(damage) => Err(damage),
                None => Ok(Some(Entry { revision: revision.clone(), value: duplicate_row(row) })),
            }
        })
        .await?
    }

    async fn swap_row(
        &self,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Row>,
    ) -> Result<Swapped<Row>, StorageError> {
        self.effect(Step::SwapRow, |state, _| {
            let stands = state.rows.get(key);
            if stands.map(|(revision, _)| revision) != expected {
                if let Some(damage) = stands.and_then(|(revision, _)| state.damage_of(key, revision)) {
                    return Err(damage);
                }
                let found =
                    stands.map(|(revision, row)| Entry { revision: revision.clone(), value: duplicate_row(row) });
                return Ok(Swapped::Stale(found));
            }
            state.damaged.retain(|(damaged, _)| damaged != key);
            let Some(row) = next else {
                state.rows.remove(key);
                return Ok(Swapped::Deleted);
            };
            let revision = state.next_revision();
            state.rows.insert(key.clone(), (revision.clone(), duplicate_row(row)));
            Ok(Swapped::Stored(revision))
        })
        .await?
    }

    async fn owners(&self, shop: &str) -> Result<Vec<ConnectionKey>, StorageError> {
        self.effect(Step::Owners, |state, _| {
            let holds = |row: &Row| row.connection.shops.iter().any(|held| held.listed.id == shop);
            state.rows.iter().filter(|(_, (_, row))| holds(row)).map(|(key, _)| key.clone()).collect()
        })
        .await
    }
}

/// Describes a request, for example as `refresh RT-1`. Also checks other parts of the request, for example its server
/// and the names of its parameters.
fn name_of(request: &Request<'_>) -> String {
    let (path, query) = request.path_and_query.expose().split_once('?').expect("a query");
    let query: BTreeMap<_, _> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let names: Vec<_> = query.keys().map(String::as_str).collect();
    let app_key = query["app_key"].as_str();
    let token_request = |value: &str, grant_type: &str| {
        assert_eq!(request.authority, Authority::TokenHost);
        assert_eq!(query["app_secret"], secret_of(app_key).expose());
        assert_eq!(query["grant_type"], grant_type);
        assert_eq!(query.len(), 4, "{names:?}");
        assert!(request.access_token.is_none() && request.content_type.is_none() && request.body.is_empty());
        query[value].clone()
    };
    let request = match path {
        "/api/v2/token/get" => format!("exchange {}", token_request("auth_code", "authorized_code")),
        "/api/v2/token/refresh" => format!("refresh {}", token_request("refresh_token", "refresh_token")),
        "/authorization/202309/shops" => {
            assert_eq!(request.authority, Authority::Api);
            assert_eq!(names, ["app_key", "sign", "timestamp"]);
            assert!(request.content_type.is_none(), "a GET has no content");
            format!("shops {}", request.access_token.as_ref().map(AccessToken::expose).expect("an access token"))
        }
        _ => business_call(request, path, &query),
    };
    if app_key == APP_KEY { request } else { format!("{app_key}: {request}") }
}

/// Describes a request of `call` or of `disconnect`. Checks that its signature covers exactly the path, query and body
/// that are sent.
fn business_call(request: &Request<'_>, path: &str, query: &BTreeMap<String, String>) -> String {
    assert_eq!(request.authority, Authority::Api);
    let signed: Vec<_> = query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let body = (!request.body.is_empty()).then_some((request.body, request.content_type));
    let sign = Signable { path, query: &signed, body }.signature(&secret_of(&query["app_key"]));
    assert_eq!(query["sign"], sign);
    let own = ["app_key", "sign", "timestamp", "shop_cipher"];
    let theirs: Vec<_> = query
        .iter()
        .filter(|(name, _)| !own.contains(&name.as_str()))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let token = request.access_token.as_ref().map(AccessToken::expose).expect("an access token");
    let cipher = query.get("shop_cipher").map(|cipher| format!(" {cipher}")).unwrap_or_default();
    let method = format!("{:?}", request.method).to_uppercase();
    let separator = if theirs.is_empty() { "" } else { "?" };
    format!("{method} {path}{separator}{} {token}{cipher} @{}", theirs.join("&"), query["timestamp"])
}
