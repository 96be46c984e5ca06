//! The parts of the demo: two hosts with the component, a fake TikTok Shop, and the clocks of the hosts and of the
//! fake, which move together.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use fake_tiktok_shop::{App, Control, FakeTikTokShop, Options};
use tempfile::TempDir;
use tiktok_shop_host::clock::Clock as _;
use tiktok_shop_host::clock::ManualClock;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::consent::BrowserSession;
use tiktok_shop_host::credentials::{AppCredentials, CredentialsError, CredentialsProvider};
use tiktok_shop_host::egress::{Authority, EgressPolicy};
use tiktok_shop_host::randomness::Randomness as _;
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_host::seal::KeyFile;
use tiktok_shop_host::storage::HostStorage;
use tiktok_shop_host::storage::Intercepted;
use tiktok_shop_host::{Component, ConnectorHost, Secret, TenantId};
use tiktok_shop_sql_storage::{OpenMode, SqlStorage};

use crate::journal::Journal;

/// The names of the database file and of the host key file in the demo's folder.
const DATABASE: &str = "connections.sqlite";
const KEYS: &str = "host-keys";

/// The time at which the demo begins: 2026-01-01T00:00:00Z. The time is fixed, so that two runs show the same dates.
const BEGIN: Duration = Duration::from_secs(1_767_225_600);

/// The id of a seller of the fake. This seller has several shops, and the seller's consent lasts a year.
pub(crate) const SELLER: &str = "several-regions";
/// The seller's two shops when the demo begins.
pub(crate) const GERMAN_SHOP: &str = "7490000000000000002";
pub(crate) const FRENCH_SHOP: &str = "7490000000000000003";
/// The seller's third shop in the fake. The demo removes it, because two shops are enough to choose from.
const REMOVED_SHOP: &str = "7490000000000000004";

/// Everything that the steps work with.
pub(crate) struct Stage {
    pub(crate) host: ConnectorHost,
    /// Another server of the same platform. Both servers use the same storage, keys and credentials, but send each
    /// other nothing.
    pub(crate) second_host: ConnectorHost,
    pub(crate) tenant: TenantId,
    /// The tenant's app, as TikTok Shop knows it.
    pub(crate) app: App,
    pub(crate) vault: Arc<Vault>,
    pub(crate) tiktok: Control,
    pub(crate) storage: Arc<dyn HostStorage>,
    /// The calls to imports and to the storage, and the requests to TikTok Shop, in order.
    pub(crate) journal: Arc<Journal>,
    programs: Programs,
    /// The folder with the database and the host's keys. It is deleted at the end of the demo.
    folder: TempDir,
    database: SqlStorage,
    clock: Arc<ManualClock>,
    fake: FakeTikTokShop,
}

/// The files of the programs that the demo runs.
#[derive(Debug, clap::Args)]
pub(crate) struct Programs {
    /// The connector's component, as `cargo xtask dist` builds it.
    #[arg(long, value_name = "FILE")]
    component: PathBuf,
    /// The program `tiktok-shop-harness`, which the demo runs as a second process.
    #[arg(long, value_name = "FILE")]
    harness: PathBuf,
}

/// The two servers of the platform and their shared database.
struct Servers {
    first: ConnectorHost,
    second: ConnectorHost,
    storage: Arc<dyn HostStorage>,
    database: SqlStorage,
}

impl Stage {
    /// Starts the fake TikTok Shop, and builds two hosts that send their requests to the fake.
    pub(crate) async fn set(programs: Programs) -> Result<Self> {
        let clock = Arc::new(ManualClock::at(BEGIN));
        let fake = FakeTikTokShop::start(Options {
            clock: fake_tiktok_shop::Clock::fixed(BEGIN.as_secs()),
            ..Options::default()
        })
        .context("cannot start the fake TikTok Shop")?;
        let tiktok = fake.control();
        let app = tiktok.apps().into_iter().next().context("the fake has no app")?;
        tiktok.remove_shop(SELLER, REMOVED_SHOP)?;
        let journal = Arc::new(Journal::new(tiktok.clone()));
        let vault = Arc::new(Vault::new(&app, journal.clone()));
        let folder = tempfile::tempdir()?;
        let Servers { first, second, storage, database } =
            servers(&programs, folder.path(), &journal, &vault, &clock, fake.address()).await?;
        let tenant = "acme".parse()?;
        Ok(Self {
            host: first,
            second_host: second,
            tenant,
            app,
            vault,
            tiktok,
            storage,
            journal,
            programs,
            folder,
            database,
            clock,
            fake,
        })
    }

    /// Simulates the end of the servers: closes their database connections. Nothing in the servers' memory is used
    /// later.
    pub(crate) async fn end_servers(&self) {
        self.database.close().await;
    }

    /// Starts two new servers with the same database and the same keys.
    pub(crate) async fn start_servers(&mut self) -> Result<()> {
        let Self { programs, folder, journal, vault, clock, fake, .. } = &*self;
        let servers = servers(programs, folder.path(), journal, vault, clock, fake.address()).await?;
        let Servers { first, second, storage, database } = servers;
        (self.host, self.second_host, self.storage, self.database) = (first, second, storage, database);
        Ok(())
    }

    /// Runs the program `tiktok-shop-harness` with the same database and the same keys. Returns its output.
    pub(crate) fn run_harness(&self, arguments: &str) -> Result<String> {
        let (folder, app) = (self.folder.path(), &self.app);
        #[expect(clippy::disallowed_methods, reason = "the demo shows a second process")]
        let output = Command::new(&self.programs.harness)
            .args(arguments.split(' '))
            .env("TIKTOK_SHOP_STORAGE", format!("sqlite:{}", folder.join(DATABASE).display()))
            .env("TIKTOK_SHOP_KEY_FILE", folder.join(KEYS))
            .env("TIKTOK_SHOP_COMPONENT", &self.programs.component)
            .env("TIKTOK_SHOP_FAKE", format!("http://{}", self.fake.address()))
            .env("TIKTOK_SHOP_TENANT", self.tenant.as_str())
            .env("TIKTOK_SHOP_APP_KEY", &app.app_key)
            .env("TIKTOK_SHOP_APP_SECRET", &app.app_secret)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot start {}", self.programs.harness.display()))?;
        ensure!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Returns the link that Partner Center shows for the app. The seller's browser opens this link. The host never
    /// opens it.
    pub(crate) fn authorization_link(&self) -> String {
        self.app.authorization_link()
    }

    pub(crate) fn now(&self) -> UnixSeconds {
        UnixSeconds(self.clock.wall().as_secs())
    }

    /// Moves the clocks of the platform and of TikTok Shop forward.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.tiktok.advance(by);
    }

    /// Returns a browser's session with the platform: 128 random bits, as in a cookie that the platform sets at
    /// sign-in.
    pub(crate) fn browser() -> Result<BrowserSession> {
        let mut bits = [0; 16];
        SystemRandomness.fill(&mut bits)?;
        BrowserSession::new(format!("{:032x}", u128::from_be_bytes(bits)).into())
            .context("the session is not a valid secret")
    }
}

async fn servers(
    programs: &Programs,
    folder: &Path,
    journal: &Arc<Journal>,
    vault: &Arc<Vault>,
    clock: &Arc<ManualClock>,
    fake: SocketAddr,
) -> Result<Servers> {
    let egress = EgressPolicy::production().stand_in(Authority::Auth, fake)?.stand_in(Authority::Api, fake)?;
    let database = SqlStorage::sqlite(folder.join(DATABASE), OpenMode::Create).await?;
    let storage: Arc<dyn HostStorage> = Arc::new(Intercepted::new(Arc::new(database.clone()), journal.clone()));
    let keys = Arc::new(KeyFile::open_or_create(folder.join(KEYS))?);
    let server = |runs: Component| {
        ConnectorHost::builder()
            .component(runs)
            .storage(storage.clone())
            .keys(keys.clone())
            .credentials(vault.clone())
            .clock(clock.clone())
            .egress(egress.clone())
            .build()
            .with_context(|| format!("cannot run {}", programs.component.display()))
    };
    let first = server(Component::File(programs.component.clone()))?;
    let second = server(Component::SharedWith(first.clone()))?;
    Ok(Servers { first, second, storage, database })
}

/// The place where the platform keeps its app's credentials. The host reads them for each call, so a change needs no
/// restart.
pub(crate) struct Vault {
    credentials: Mutex<AppCredentials>,
    journal: Arc<Journal>,
}

impl Vault {
    fn new(app: &App, journal: Arc<Journal>) -> Self {
        Self {
            journal,
            credentials: Mutex::new(AppCredentials {
                app_key: app.app_key.clone(),
                app_secret: app.app_secret.as_str().into(),
                previous_app_secret: None,
                authorization_link: Some(app.authorization_link()),
            }),
        }
    }

    pub(crate) fn set_app_secret(&self, app_secret: Secret) {
        self.credentials.lock().unwrap_or_else(PoisonError::into_inner).app_secret = app_secret;
    }
}

#[async_trait]
impl CredentialsProvider for Vault {
    async fn apps(&self, _only: &TenantId) -> Result<Vec<AppCredentials>, CredentialsError> {
        self.journal.import("app-credentials.apps");
        Ok(vec![self.credentials.lock().unwrap_or_else(PoisonError::into_inner).clone()])
    }
}
