//! Tests which values of ended connections and erased tenants are still in the files of a database, and whether the
//! remaining host keys can decrypt these values.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a broken expectation is a failed test")]

mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aho_corasick::AhoCorasick;
use async_trait::async_trait;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _, SqliteConnection};
use tiktok_shop_host::clock::ManualClock;
use tiktok_shop_host::connection::{Connection, ConnectionKey, Shop, ShopPolicy, UnixSeconds};
use tiktok_shop_host::events::{EventKind, NewEvent, Origin};
use tiktok_shop_host::randomness::{Randomness as _, SystemRandomness};
use tiktok_shop_host::seal::{DataKey, KeyError, KeyFile, KeyProvider, Keyring};
use tiktok_shop_host::storage::{
    BrowserDigest, ConsentRecord, HostStorage, InstallDigest, InstallRecord, KeyStorage as _, MemoryStorage, Next,
    OnceDigest, OpenRow, Sealed, StateDigest, Swapped, TenantKey, TokenWrite, WebhookDigest, WrappedKey,
};
use tiktok_shop_host::{HostKeyId, Revision, TenantId};
use tiktok_shop_sql_storage::{OpenMode, PostgresOptions, SqlStorage};

use self::schema::new_schema;

/// The number of connections of each tenant. So many connections fill several pages of a database.
const CONNECTIONS: usize = 40;
/// The number of the connection that ends.
const ENDED: usize = 7;
/// The length of a part of a value, in bytes. The test searches the files for such parts, because a longer text could
/// be spread over several pages.
const PART: usize = 16;

/// Provides host keys, and keeps a copy of every data key that it wraps. The log of a database also keeps such copies.
struct KeepsWrapped {
    file: KeyFile,
    wrapped: Mutex<Vec<WrappedKey>>,
}

#[async_trait]
impl KeyProvider for KeepsWrapped {
    async fn current(&self) -> Result<HostKeyId, KeyError> {
        self.file.current().await
    }

    async fn wrap(&self, tenant: &TenantId, key: &DataKey, context: &[u8]) -> Result<WrappedKey, KeyError> {
        let wrapped = self.file.wrap(tenant, key, context).await?;
        self.wrapped.lock().unwrap().push(wrapped.clone());
        Ok(wrapped)
    }

    async fn unwrap(&self, tenant: &TenantId, wrapped: &WrappedKey, context: &[u8]) -> Result<DataKey, KeyError> {
        self.file.unwrap(tenant, wrapped, context).await
    }
}

/// A sealed token record that was stored at some time.
#[derive(Clone)]
struct StoredCopy {
    tenant: TenantId,
    key: ConnectionKey,
    revision: Revision,
    sealed: Sealed,
}

/// A database with two tenants, and copies of all their values that were ever stored.
struct Scene {
    storage: Arc<dyn HostStorage>,
    keys: Arc<KeepsWrapped>,
    ring: Keyring,
    copies: Vec<StoredCopy>,
    /// All other values that must not be found after a deletion: ciphers, names, ids and digests. Each value comes with
    /// its tenant and the number of its connection.
    others: Vec<(TenantId, usize, Vec<u8>)>,
    _folder: tempfile::TempDir,
}

fn gone() -> TenantId {
    "tenant-that-is-erased".parse().unwrap()
}

fn stays() -> TenantId {
    "tenant-that-stays".parse().unwrap()
}

fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    SystemRandomness.fill(&mut bytes).unwrap();
    bytes
}

fn random_text() -> String {
    random(12).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn random_digest() -> [u8; 32] {
    random(32).try_into().unwrap()
}

impl Scene {
    /// Fills a storage with two tenants. Each connection has been refreshed once.
    async fn fill(storage: Arc<dyn HostStorage>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::open_or_create(folder.path().join("host-keys")).unwrap();
        let keys = Arc::new(KeepsWrapped { file, wrapped: Mutex::default() });
        let ring = Keyring::new(Arc::clone(&storage), Arc::clone(&keys) as _, Arc::new(SystemRandomness));
        let (copies, others) = (Vec::new(), Vec::new());
        let mut scene = Self { storage, keys, ring, copies, others, _folder: folder };
        for tenant in [gone(), stays()] {
            for number in 0..CONNECTIONS {
                scene.connect(&tenant, number).await;
            }
        }
        scene
    }

    async fn connect(&mut self, tenant: &TenantId, number: usize) {
        let (customer, account) = (random_text(), random_text());
        let key = ConnectionKey { customer: customer.parse().unwrap(), account: account.parse().unwrap() };
        let mut before = None;
        // One record is so long that SQLite spreads it over several pages.
        for length in [200, if number == ENDED { 20_000 } else { 300 }] {
            let revision: Revision = random_text().parse().unwrap();
            let sealed = self.ring.seal_token(tenant, &key, &revision, &random(length)).await.unwrap();
            let value = TokenWrite { value: sealed.clone(), refresh_due_at: Some(UnixSeconds(number as u64)) };
            let next = Next { revision: revision.clone(), value };
            let swapped = self.storage.swap_token(tenant, &key, before.as_ref(), Some(&next)).await;
            assert_eq!(swapped, Ok(Swapped::Done));
            self.copies.push(StoredCopy {
                tenant: tenant.clone(),
                key: key.clone(),
                revision: revision.clone(),
                sealed,
            });
            before = Some(revision);
        }
        let mut connection = Connection::new(key.clone());
        connection.seller_name = random_text();
        let mut shop = Shop::new(format!("749{number:016}").parse().unwrap(), key.account.clone());
        (shop.name, shop.cipher) = (random_text(), Some(random_text().into()));
        let texts = [connection.seller_name.clone(), shop.name.clone()];
        connection.shops.push(shop);
        let revision: Revision = random_text().parse().unwrap();
        let row = self.ring.seal_row(tenant, &revision, &OpenRow::new(connection)).await.unwrap();
        let ciphers = row.sealed.clone().unwrap().bytes().to_vec();
        let (kind, origin) = (EventKind::Connected, Origin::default());
        let event = NewEvent { at: UnixSeconds(1), key: Some(key.clone()), kind, origin };
        let next = Next { revision, value: row };
        let swapped = self.storage.swap_row(tenant, &key, None, Some(&next), std::slice::from_ref(&event)).await;
        assert_eq!(swapped, Ok(Swapped::Done));
        self.others.extend(texts.map(|text| (tenant.clone(), number, text.into_bytes())));
        self.others.push((tenant.clone(), number, ciphers));

        // The events, consents, pending installs and webhooks stay when the connection ends. They must be gone only after the tenant was
        // erased.
        let (once, state, browser, webhook) = (random_digest(), random_digest(), random_digest(), random_digest());
        let (install, sealed) = (random_digest(), random_digest());
        assert!(self.storage.append_once(tenant, &OnceDigest::new(once), &event, None).await.unwrap());
        let browser_digest = BrowserDigest::new(browser);
        let consent =
            ConsentRecord { customer: key.customer, app: None, browser: browser_digest, shops: ShopPolicy::All };
        self.storage.put_state(tenant, &StateDigest::new(state), &consent).await.unwrap();
        self.storage.remember_webhook(tenant, &WebhookDigest::new(webhook)).await.unwrap();
        let pending = InstallRecord { browser: browser_digest, sealed: sealed.to_vec() };
        self.storage.put_install(tenant, &InstallDigest::new(install), &pending).await.unwrap();
        let of_tenant = [once, state, browser, webhook, install, sealed].map(|digest| digest.to_vec());
        let of_tenant = of_tenant.into_iter().chain([customer.into_bytes(), account.into_bytes()]);
        self.others.extend(of_tenant.map(|bytes| (tenant.clone(), usize::MAX, bytes)));
    }

    /// Ends one connection of the tenant that is not erased, in the same way as the operation `disconnect`.
    async fn disconnect(&self) {
        let key = self.ended().next().unwrap().key;
        let (tenant, storage) = (stays(), &self.storage);
        let token = storage.load_token(&tenant, &key).await.unwrap().unwrap();
        assert_eq!(storage.swap_token(&tenant, &key, Some(&token.revision), None).await, Ok(Swapped::Done));
        let row = storage.load_row(&tenant, &key).await.unwrap().unwrap();
        let (kind, origin) = (EventKind::Disconnected, Origin::default());
        let event = NewEvent { at: UnixSeconds(2), key: Some(key.clone()), kind, origin };
        assert_eq!(storage.swap_row(&tenant, &key, Some(&row.revision), None, &[event]).await, Ok(Swapped::Done));
    }

    /// Returns the token records of the ended connection.
    fn ended(&self) -> impl Iterator<Item = StoredCopy> {
        self.copies.iter().filter(|copy| copy.tenant == stays()).skip(2 * ENDED).take(2).cloned()
    }

    /// Returns the token records of the erased tenant.
    fn erased(&self) -> impl Iterator<Item = StoredCopy> {
        self.copies.iter().filter(|copy| copy.tenant == gone()).cloned()
    }

    /// Returns the values that must not be found after the connection has ended, each with a word for its kind.
    fn secrets_of_ended(&self) -> Vec<(&'static str, Vec<u8>)> {
        let tokens = self.ended().map(|copy| ("token record", copy.sealed.bytes().to_vec()));
        let of_ended = self.others.iter().filter(|(tenant, number, _)| *tenant == stays() && *number == ENDED);
        tokens.chain(of_ended.map(|(_, _, bytes)| ("row", bytes.clone()))).collect()
    }

    /// Returns the values that must not be found after the tenant was erased, each with a word for its kind.
    fn secrets_of_erased(&self) -> Vec<(&'static str, Vec<u8>)> {
        let tokens = self.erased().map(|copy| ("token record", copy.sealed.bytes().to_vec()));
        let others = self.others.iter().filter(|(tenant, ..)| *tenant == gone());
        // The first data key belongs to the first tenant, which is the erased tenant.
        let wrapped = self.keys.wrapped.lock().unwrap()[0].bytes.clone();
        tokens.chain(others.map(|(_, _, bytes)| ("other", bytes.clone()))).chain([("data key", wrapped)]).collect()
    }

    /// Checks that every connection of the tenant that is not erased, except the ended connection, can still be
    /// decrypted.
    async fn assert_the_rest_opens(&self) {
        let ended = self.ended().next().unwrap().key;
        let mut keys: BTreeSet<_> = self.copies.iter().filter(|copy| copy.tenant == stays()).map(|c| &c.key).collect();
        assert!(keys.remove(&ended));
        let ring = Keyring::new(Arc::clone(&self.storage), Arc::clone(&self.keys) as _, Arc::new(SystemRandomness));
        for key in keys {
            let token = self.storage.load_token(&stays(), key).await.unwrap().unwrap();
            ring.open_token(&stays(), key, &token.revision, &token.value).await.unwrap();
            let row = self.storage.load_row(&stays(), key).await.unwrap().unwrap();
            assert!(
                ring.open_row(&stays(), &row.revision, &row.row).await.unwrap().connection.shops[0].cipher.is_some()
            );
        }
    }

    /// Rotates the data keys of every tenant to a new host key, and destroys the earlier host key.
    async fn rotate_and_retire(&self) {
        let earlier = self.keys.current().await.unwrap();
        let new = self.keys.file.add().unwrap();
        self.keys.file.promote(&new).unwrap();
        self.ring.rotate(Duration::ZERO, |_| ()).await.unwrap();
        self.ring.retire(&self.keys.file, &earlier).await.unwrap();
    }

    /// Returns how many of these token records can be decrypted with only the files and the remaining host keys. For
    /// this, the files must contain both the record and the wrapped data key that decrypts it.
    async fn openable(&self, files: &[u8], copies: impl Iterator<Item = StoredCopy>) -> usize {
        let wrapped = self.keys.wrapped.lock().unwrap().clone();
        let wrapped = in_files(files, wrapped, |wrapped| &wrapped.bytes);
        let mut opened = 0;
        for StoredCopy { tenant, key, revision, sealed } in
            in_files(files, copies.collect(), |copy| copy.sealed.bytes())
        {
            for wrapped in &wrapped {
                let memory = Arc::new(MemoryStorage::new(Arc::new(ManualClock::at(Duration::ZERO))));
                let data_key = TenantKey { id: sealed.key().clone(), wrapped: Some(wrapped.clone()) };
                assert!(memory.add_key(&tenant, None, &data_key).await.unwrap());
                let ring = Keyring::new(memory, Arc::new(self.keys.file.clone()), Arc::new(SystemRandomness));
                opened += usize::from(ring.open_token(&tenant, &key, &revision, &sealed).await.is_ok());
            }
        }
        opened
    }
}

/// Keeps only the values whose bytes are in the files.
fn in_files<T>(files: &[u8], values: Vec<T>, bytes: impl Fn(&T) -> &[u8]) -> Vec<T> {
    let search = AhoCorasick::new(values.iter().map(&bytes)).unwrap();
    let found: BTreeSet<_> = search.find_overlapping_iter(files).map(|found| found.pattern().as_usize()).collect();
    let numbered = values.into_iter().enumerate();
    numbered.filter(|(number, _)| found.contains(number)).map(|(_, value)| value).collect()
}

/// Returns, for each kind of secret, how often parts of such secrets are in the files.
fn found(files: &[u8], secrets: &[(&'static str, Vec<u8>)]) -> BTreeMap<&'static str, usize> {
    let parts: Vec<_> =
        secrets.iter().flat_map(|(kind, bytes)| bytes.chunks_exact(PART).map(move |part| (*kind, part))).collect();
    let search = AhoCorasick::new(parts.iter().map(|(_, part)| part)).unwrap();
    let mut found = BTreeMap::new();
    for part in search.find_overlapping_iter(files) {
        *found.entry(parts[part.pattern().as_usize()].0).or_default() += 1;
    }
    found
}

/// Returns the content of these files, one after the other. A server may remove a file meanwhile, so a missing file is
/// skipped.
fn read_all(paths: impl IntoIterator<Item = PathBuf>) -> Vec<u8> {
    let mut all = Vec::new();
    for path in paths {
        match fs::read(&path) {
            Ok(content) => all.extend(content),
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{}", path.display()),
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlites_files_contain_nothing_of_an_ended_connection_and_of_an_erased_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("storage.sqlite");
    let files = || read_all(fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path()));
    let storage = SqlStorage::sqlite(&path, OpenMode::Create).await.unwrap();
    let scene = Scene::fill(Arc::new(storage.clone())).await;
    // Before the deletion, the search finds every kind of secret, and the records can be decrypted.
    let before = found(&files(), &scene.secrets_of_erased());
    assert_eq!(before.keys().copied().collect::<Vec<_>>(), ["data key", "other", "token record"]);
    assert!(found(&files(), &scene.secrets_of_ended()).contains_key("row"));
    let openable = scene.openable(&files(), scene.erased()).await;
    assert!(openable > CONNECTIONS / 2, "{openable} records open");

    scene.disconnect().await;
    assert_eq!(found(&files(), &scene.secrets_of_ended()), BTreeMap::new(), "after the connection has ended");
    scene.ring.erase(&gone()).await.unwrap();
    assert_eq!(found(&files(), &scene.secrets_of_erased()), BTreeMap::new(), "after the tenant was erased");
    scene.assert_the_rest_opens().await;
    assert_eq!(storage.problems().await.unwrap(), [""; 0]);

    scene.rotate_and_retire().await;
    scene.assert_the_rest_opens().await;
    let all = scene.copies.iter().cloned();
    assert_eq!(scene.openable(&files(), all).await, 0, "earlier records after a rotation");
}

/// To rewrite a database, SQLite creates each of its tables again. In this test, another program has added a table with
/// a collation that only the other program knows. So the storage can't create this table, and the rewrite fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_succeeds_although_sqlite_can_not_rewrite_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("storage.sqlite");
    let scene = Scene::fill(Arc::new(SqlStorage::sqlite(&path, OpenMode::Create).await.unwrap())).await;
    let options = SqliteConnectOptions::new().filename(&path);
    let options = options.collation("of_another_program", |left: &str, right: &str| left.cmp(right));
    let mut other = SqliteConnection::connect_with(&options).await.unwrap();
    other.execute("CREATE TABLE of_another_program (name TEXT COLLATE of_another_program)").await.unwrap();

    let deleted = scene.storage.delete_tenant(&gone(), 500).await.unwrap();
    assert_eq!((deleted.connections, deleted.is_complete), (CONNECTIONS as u64, true));
    // A database that was just rewritten has no free page.
    let free = other.fetch_one("PRAGMA freelist_count").await.unwrap().get::<i64, _>(0);
    assert!(free > 0, "SQLite has rewritten the database");
    let log = fs::metadata(folder.path().join("storage.sqlite-wal")).unwrap();
    assert_eq!(log.len(), 0, "the log is emptied nevertheless");

    let erased = scene.ring.erase(&gone()).await.unwrap();
    assert_eq!((erased.keys, erased.connections), (1, 0));
    scene.assert_the_rest_opens().await;
}

/// Returns the content of a log file of PostgreSQL without the headers of its pages. A record of the log may go over the
/// end of a page, so a header may stand in the middle of a value.
fn without_page_headers(log: &[u8]) -> Vec<u8> {
    const PAGE: usize = 8192;
    const FIRST_HEADER: usize = 40;
    const HEADER: usize = 24;
    let header = |page: usize| if page == 0 { FIRST_HEADER } else { HEADER };
    log.chunks(PAGE).enumerate().flat_map(|(number, page)| &page[header(number).min(page.len())..]).copied().collect()
}

/// The files of a PostgreSQL server that may contain data of one schema.
struct ServerFiles {
    connection: PgConnection,
    folder: PathBuf,
    schema: String,
    /// The name of the log file into which the server wrote when the test began.
    first_log: String,
}

impl ServerFiles {
    /// If this process can't read the server's files, returns `None` and prints the reason on standard error.
    async fn open(address: &str) -> Option<Self> {
        const WHAT: &str = "the search in PostgreSQL's files";
        let mut connection = PgConnection::connect(address).await.unwrap();
        let Ok(folder) = connection.fetch_one("SHOW data_directory").await else {
            tiktok_shop_test_postgres::not_tried(WHAT, "the user of the test may not know where the files are");
            return None;
        };
        let folder = PathBuf::from(folder.get::<String, _>(0));
        if fs::read_dir(folder.join("pg_wal")).is_err() {
            tiktok_shop_test_postgres::not_tried(
                WHAT,
                "the files are on another machine, or this user may not read them",
            );
            return None;
        }
        // A checkpoint removes or overwrites a log file that the server does not need any more, so the test could not search
        // it. This slot keeps all log files from here on, and ends with the connection.
        let slot = format!("SELECT pg_create_physical_replication_slot('erasure_{}', true, true)", std::process::id());
        connection.execute(AssertSqlSafe(slot)).await.unwrap();
        let log = connection.fetch_one("SELECT pg_walfile_name(pg_current_wal_insert_lsn()), current_schema()::text");
        let log = log.await.unwrap();
        let (first_log, schema) = (log.get(0), log.get(1));
        Some(Self { connection, folder, schema, first_log })
    }

    /// Returns the content of the tables and indexes of the schema, and of the log since the test began. Before the
    /// reading, the server writes all changes to its files.
    async fn read(&mut self) -> Vec<u8> {
        let tables = format!(
            "SELECT pg_relation_filepath(oid) FROM pg_class WHERE oid IN (\
             SELECT oid FROM pg_class WHERE relnamespace = '{0}'::regnamespace UNION \
             SELECT reltoastrelid FROM pg_class WHERE relnamespace = '{0}'::regnamespace) \
             AND pg_relation_filepath(oid) IS NOT NULL",
            self.schema
        );
        self.connection.execute("CHECKPOINT").await.unwrap();
        let tables = self.connection.fetch_all(AssertSqlSafe(tables)).await.unwrap();
        let tables = tables.iter().map(|table| self.folder.join(table.get::<String, _>(0)));
        let mut content = read_all(tables);
        let log = fs::read_dir(self.folder.join("pg_wal")).unwrap().map(|file| file.unwrap());
        let log = log.filter(|file| file.file_type().unwrap().is_file());
        let log = log.filter(|file| file.file_name().to_str().unwrap() >= &*self.first_log).map(|file| file.path());
        // The names of the files are in the order of the log.
        for file in log.collect::<BTreeSet<_>>() {
            content.extend(without_page_headers(&read_all([file])));
        }
        content
    }

    async fn vacuum(&mut self) {
        for table in ["tenant_keys", "tokens", "connections", "shops", "events", "told", "states", "webhooks"] {
            let sql = format!("VACUUM {}.tiktok_shop_{table}", self.schema);
            self.connection.execute(AssertSqlSafe(sql)).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_postgresql_keeps_of_deleted_rows_opens_only_until_the_host_key_is_retired() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    let address = new_schema(&server).await;
    let Some(mut files) = ServerFiles::open(&address).await else { return };
    let storage = SqlStorage::postgres(&address, OpenMode::Migrate, PostgresOptions::default()).await.unwrap();
    let scene = Scene::fill(Arc::new(storage)).await;
    scene.disconnect().await;
    scene.ring.erase(&gone()).await.unwrap();
    files.vacuum().await;
    // No statement removes deleted rows from the log, so the host key can still decrypt them. The command `keys erase`
    // says so.
    let content = files.read().await;
    assert!(scene.openable(&content, scene.erased()).await > 0);
    assert!(scene.openable(&content, scene.ended()).await > 0);

    scene.rotate_and_retire().await;
    scene.assert_the_rest_opens().await;
    files.vacuum().await;
    let content = files.read().await;
    let left = in_files(&content, scene.erased().collect(), |copy| copy.sealed.bytes());
    assert!(!left.is_empty(), "the log still has the records");
    assert_eq!(scene.openable(&content, scene.erased()).await, 0, "records of the erased tenant");
    assert_eq!(scene.openable(&content, scene.ended()).await, 0, "records of the ended connection");
}
