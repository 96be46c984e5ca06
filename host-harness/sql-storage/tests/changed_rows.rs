//! Tests that the host notices every change of a row in the database: somebody flips a link, removes a cipher, or
//! changes the status, the document or another column that the host uses.
#![allow(clippy::unwrap_used, reason = "a broken expectation is a failed test")]

use std::sync::Arc;

use sqlx::{AnyConnection, Connection as _};
use tiktok_shop_host::connection::{Connection, ConnectionKey, Shop, ShopStanding, UnixSeconds};
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_host::seal::{HostKeys, Keyring};
use tiktok_shop_host::storage::{ConnectionStorage as _, Due, HostStorage, Next, OpenRow, StorageError};
use tiktok_shop_host::{Revision, TenantId};
use tiktok_shop_sql_storage::{OpenMode, SqlStorage};

fn key(account: &str) -> ConnectionKey {
    ConnectionKey { customer: "c".parse().unwrap(), account: account.parse().unwrap() }
}

/// Writes a row with two shops, of which one has a cipher.
async fn put(storage: &SqlStorage, keyring: &Keyring, tenant: &TenantId, account: &str) {
    let mut connection = Connection::new(key(account));
    connection.seller_name = "Seller".to_owned();
    let mut shop = Shop::new("1".parse().unwrap(), key(account).account);
    (shop.cipher, shop.linked) = (Some("cipher-of-the-shop".into()), true);
    let mut gone = Shop::new("2".parse().unwrap(), key(account).account);
    gone.standing = ShopStanding::NoLongerGranted;
    connection.shops = vec![shop, gone];
    let revision: Revision = "r".parse().unwrap();
    let value = keyring.seal_row(tenant, &revision, &OpenRow::new(connection)).await.unwrap();
    storage.swap_row(tenant, &key(account), None, Some(&Next { revision, value }), &[]).await.unwrap();
}

async fn opened(storage: &SqlStorage, keyring: &Keyring, tenant: &TenantId) -> Result<OpenRow, StorageError> {
    let entry = storage.load_row(tenant, &key("a")).await?.unwrap();
    keyring.open_row(tenant, &entry.revision, &entry.row).await
}

/// Checks that each list still contains both rows, and that the row of the account `b` is intact.
async fn check_lists(storage: &SqlStorage, keyring: &Keyring, tenant: &TenantId, change: &str) {
    let due = |account| Due { tenant: tenant.clone(), key: key(account), at: UnixSeconds(0) };
    let of_customer = storage.list_rows(tenant, &key("a").customer).await.unwrap();
    let of_page = storage.load_rows(&[due("a"), due("b")]).await.unwrap().into_iter().flatten().collect();
    for rows in [of_customer, of_page] {
        let accounts: Vec<_> = rows.iter().map(|entry| entry.row.key.account.as_str()).collect();
        assert_eq!(accounts, ["a", "b"], "{change}");
        let intact = keyring.open_row(tenant, &rows.last().unwrap().revision, &rows.last().unwrap().row).await;
        assert_eq!(intact.unwrap().connection.shops.len(), 2, "{change}");
    }
}

async fn check(storage: SqlStorage, address: &str) {
    let keys = Arc::new(HostKeys::draw().unwrap());
    let tenant: TenantId = "t".parse().unwrap();
    let shared: Arc<dyn HostStorage> = Arc::new(storage.clone());
    let keyring = Keyring::new(shared, keys, Arc::new(SystemRandomness));
    let mut connection = AnyConnection::connect(address).await.unwrap();
    let of_row = "WHERE tenant = 't' AND customer = 'c' AND account = 'a'";
    for change in [
        "UPDATE tiktok_shop_connections SET status = 'reauthorization-required'",
        "UPDATE tiktok_shop_connections SET status = 'no such status'",
        "UPDATE tiktok_shop_connections SET ends_at = 7",
        "UPDATE tiktok_shop_connections SET ends_at = -1",
        "UPDATE tiktok_shop_connections SET app_key = 'other'",
        "UPDATE tiktok_shop_connections SET seller_name = 'Other'",
        "UPDATE tiktok_shop_connections SET granted_at = 7",
        "UPDATE tiktok_shop_connections SET token_lineage = 'other'",
        "UPDATE tiktok_shop_connections SET token_generation = 7",
        "UPDATE tiktok_shop_connections SET document = NULL",
        "UPDATE tiktok_shop_connections SET document = NULL, granted_scopes = 'no list'",
        "UPDATE tiktok_shop_shops SET position = position + 1",
        "UPDATE tiktok_shop_connections SET sealed_by = NULL, sealed = NULL",
        "UPDATE tiktok_shop_connections SET sealed = (SELECT sealed FROM tiktok_shop_connections WHERE account = 'b')",
        "UPDATE tiktok_shop_connections SET document = replace(document, '\"linked\":true', '\"linked\":false')",
        "UPDATE tiktok_shop_shops SET linked = NOT linked",
        "UPDATE tiktok_shop_shops SET id = '9' || id",
        "DELETE FROM tiktok_shop_shops",
    ] {
        put(&storage, &keyring, &tenant, "a").await;
        put(&storage, &keyring, &tenant, "b").await;
        let before = opened(&storage, &keyring, &tenant).await.unwrap();
        assert_eq!(before.connection.shops.first().unwrap().cipher.as_ref().unwrap().expose(), "cipher-of-the-shop");
        let sql = format!("{change} {of_row}");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        let changed = opened(&storage, &keyring, &tenant).await;
        assert_eq!(changed.unwrap_err(), StorageError::RowChanged("r".parse().unwrap()), "{change}");
        check_lists(&storage, &keyring, &tenant, change).await;
        for account in ["a", "b"] {
            let deleted = storage.swap_row(&tenant, &key(account), Some(&"r".parse().unwrap()), None, &[]).await;
            assert!(deleted.is_ok(), "{change}");
        }
    }
    put(&storage, &keyring, &tenant, "a").await;
    put(&storage, &keyring, &tenant, "b").await;
    for (change, accounts) in [
        ("UPDATE tiktok_shop_connections SET revision = '', document_revision = ''", &["a", "b"][..]),
        ("DELETE FROM tiktok_shop_shops", &["a", "b"][..]),
        ("UPDATE tiktok_shop_connections SET account = ''", &["b"][..]),
    ] {
        let sql = format!("{change} {of_row}");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        let rows = storage.list_rows(&tenant, &key("a").customer).await.unwrap();
        let listed: Vec<_> = rows.iter().map(|entry| entry.row.key.account.as_str()).collect();
        assert_eq!(listed, accounts, "{change}");
        let others = rows.last().unwrap();
        assert!(keyring.open_row(&tenant, &others.revision, &others.row).await.is_ok(), "{change}");
        if let [changed, _] = &*rows {
            let refused = keyring.open_row(&tenant, &changed.revision, &changed.row).await;
            assert_eq!(refused.unwrap_err(), StorageError::RowChanged("no revision".parse().unwrap()), "{change}");
        }
    }
    connection.close().await.unwrap();
}

#[tokio::test]
async fn every_change_of_a_row_in_sqlite_is_noticed() {
    sqlx::any::install_default_drivers();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("storage.db");
    let storage = SqlStorage::sqlite(&path, OpenMode::Create).await.unwrap();
    check(storage, &format!("sqlite://{}", path.display())).await;
}
