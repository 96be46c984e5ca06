//! Runs every operation on the scripted host. Checks the exact cause of each error, what is stored afterwards, and
//! which requests were sent.

mod access_token;
mod answers;
mod apps;
mod call;
mod clocks;
mod connect;
mod disconnect;
mod export_grant;
mod import;
mod install;
mod kill;
mod link_shops;
mod lists;
mod may_use;
mod races;
mod receive_webhook;
mod reconnect;
mod refresh;
mod shops;
mod storage_faults;
mod sweep;
mod unusable_rows;

use crate::samples::{account, customer, key, refresh_token, row_of};
use crate::scripted_host::{ScriptedHost, run};
use tiktok_shop_connector_core::callback::Grant;
use tiktok_shop_connector_core::connection::Connection;
use tiktok_shop_connector_core::error::Error;
use tiktok_shop_connector_core::existing_grant::ExistingGrant;
use tiktok_shop_connector_core::identity::AccountId;
use tiktok_shop_connector_core::operation;
use tiktok_shop_connector_core::operation::refresh::{RefreshMode, Refreshed};
use tiktok_shop_connector_core::record::{ShopPolicy, TokenRecord};
use tiktok_shop_connector_core::secret::AuthorizationCode;

/// Creates a host that stores this record and a row with the shops 1 and 2.
fn connected(record: &TokenRecord) -> ScriptedHost {
    let host = ScriptedHost::with_record(record);
    host.put_row(&row_of(&key(), record, &["1", "2"]));
    host
}

fn code() -> Grant {
    Grant::Code(AuthorizationCode::new("CODE-1".into()))
}

fn connect_with(host: &ScriptedHost, policy: ShopPolicy) -> Result<Connection, Error> {
    run(operation::connect::connect(host, customer(), None, code(), policy))
}

fn connect_all(host: &ScriptedHost) -> Result<Connection, Error> {
    connect_with(host, ShopPolicy::All)
}

/// Imports a grant of the tenant's only app. `account` is the account that the caller names.
fn import_of(host: &ScriptedHost, account: Option<&str>, refresh: &str) -> Result<Connection, Error> {
    run(importing(host, account, refresh))
}

async fn importing(host: &ScriptedHost, account: Option<&str>, refresh: &str) -> Result<Connection, Error> {
    let grant = ExistingGrant {
        account: account.map(|text| AccountId::parse(text.into()).unwrap()),
        refresh: refresh_token(refresh),
        access: None,
        access_ends: None,
        refresh_ends: None,
    };
    operation::import::import(host, customer(), None, &grant, ShopPolicy::All).await
}

fn refreshed(host: &ScriptedHost, mode: RefreshMode) -> Result<Refreshed, Error> {
    run(operation::refresh::refresh(host, customer(), Some(account()), mode))
}

fn refresh_when_due(host: &ScriptedHost) -> Result<Connection, Error> {
    refreshed(host, RefreshMode::WhenDue).map(|refreshed| refreshed.connection)
}

fn refresh_forced(host: &ScriptedHost) -> Result<Connection, Error> {
    refreshed(host, RefreshMode::Forced).map(|refreshed| refreshed.connection)
}
