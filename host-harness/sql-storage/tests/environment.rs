//! Tests that an SQLite database belongs to the environment that was named first: the real TikTok Shop or a fake.
#![allow(clippy::unwrap_used, reason = "a broken expectation is a failed test")]

use std::path::Path;

use sqlx::{Connection as _, Executor as _, SqliteConnection};
use tiktok_shop_host::storage::{Environment, KeyStorage as _, TenantKey, TokenStorage as _, WrappedKey};
use tiktok_shop_sql_storage::{OpenMode, SqlStorage};

async fn open(path: &Path) -> SqlStorage {
    SqlStorage::sqlite(path, OpenMode::Migrate).await.unwrap()
}

#[tokio::test]
async fn the_first_environment_stays_and_every_handle_sees_it() {
    for (first, other) in [(Environment::TikTokShop, Environment::Fake), (Environment::Fake, Environment::TikTokShop)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("storage.db");
        let handles = [open(&path).await, open(&path).await];
        assert_eq!(handles[0].belongs_to(first).await, Ok(true), "{first:?}");
        for handle in &handles {
            assert_eq!(handle.belongs_to(other).await, Ok(false), "{first:?}");
            assert_eq!(handle.belongs_to(first).await, Ok(true), "{first:?}");
        }
        for handle in &handles {
            handle.close().await;
        }
        assert_eq!(open(&path).await.belongs_to(other).await, Ok(false), "opened again");
    }
}

#[tokio::test]
async fn a_database_that_was_filled_before_anybody_asked_belongs_to_tiktok_shop() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(&folder.path().join("storage.db")).await;
    let wrapped = WrappedKey { host_key: "h".parse().unwrap(), bytes: vec![1] };
    let key = TenantKey { id: "k".parse().unwrap(), wrapped: Some(wrapped) };
    assert_eq!(storage.add_key(&"t".parse().unwrap(), None, &key).await, Ok(true));
    assert_eq!(storage.belongs_to(Environment::Fake).await, Ok(false));
    assert_eq!(storage.belongs_to(Environment::TikTokShop).await, Ok(true));
}

#[tokio::test]
async fn a_database_of_an_earlier_release_belongs_to_tiktok_shop_if_it_was_used() {
    for (is_used, belongs_to_fake) in [(true, false), (false, true)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("storage.db");
        let storage = open(&path).await;
        if is_used {
            let wrapped = WrappedKey { host_key: "h".parse().unwrap(), bytes: vec![1] };
            let key = TenantKey { id: "k".parse().unwrap(), wrapped: Some(wrapped) };
            assert_eq!(storage.add_key(&"t".parse().unwrap(), None, &key).await, Ok(true));
        }
        storage.close().await;
        let mut earlier = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
        let undo = "DROP INDEX tiktok_shop_connections_counts; DROP TABLE tiktok_shop_requests; \
                    DROP TABLE tiktok_shop_deliveries; DROP TABLE tiktok_shop_delivery_queues; \
                    DROP TABLE tiktok_shop_delivery_positions; \
                    DROP TRIGGER tiktok_shop_connections_insert; DROP TRIGGER tiktok_shop_connections_update; \
                    ALTER TABLE tiktok_shop_connections DROP COLUMN document; \
                    ALTER TABLE tiktok_shop_connections DROP COLUMN document_revision; \
                    ALTER TABLE tiktok_shop_events DROP COLUMN actor; \
                    ALTER TABLE tiktok_shop_events DROP COLUMN stated_reason; \
                    ALTER TABLE tiktok_shop_events DROP COLUMN cause; \
                    ALTER TABLE tiktok_shop_events DROP COLUMN shops; \
                    ALTER TABLE tiktok_shop_events DROP COLUMN host_key; DROP TABLE tiktok_shop_environment; \
                    DROP INDEX tiktok_shop_connections_status; DROP INDEX tiktok_shop_connections_account; \
                    DROP INDEX tiktok_shop_connections_seller; \
                    ALTER TABLE tiktok_shop_connections DROP COLUMN app_key; \
                    ALTER TABLE tiktok_shop_states DROP COLUMN app_key; \
                    DROP TABLE tiktok_shop_installs; \
                    DELETE FROM tiktok_shop_migrations WHERE version > 1";
        earlier.execute(undo).await.unwrap();
        earlier.close().await.unwrap();
        assert_eq!(open(&path).await.belongs_to(Environment::Fake).await, Ok(belongs_to_fake), "used: {is_used}");
    }
}
