//! What the story is played with: a host with the component, a fake TikTok Shop, and two clocks that move together.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use fake_tiktok_shop::{App, Control, FakeTikTokShop, Options};
use tiktok_shop_host_harness::contract_tests::Intercepted;
use tiktok_shop_host_harness::{
    AppCredentials, Authority, BrowserSession, Clock as _, Component, ConnectorHost, CredentialsError,
    CredentialsProvider, EgressPolicy, HostKeys, HostStorage, ManualClock, MemoryStorage, Randomness as _, Secret,
    SystemRandomness, TenantId, UnixSeconds,
};

use crate::journal::Journal;

/// 2026-01-01T00:00:00Z, so that two runs show the same dates.
const OPENING: Duration = Duration::from_secs(1_767_225_600);

/// The seller of the story, by its name in the fake: one account with several shops, and a consent for a year.
pub(crate) const SELLER: &str = "several-regions";
/// Its shops, when the story begins.
pub(crate) const GERMAN_SHOP: &str = "7490000000000000002";
pub(crate) const FRENCH_SHOP: &str = "7490000000000000003";
/// Two shops are enough to choose from.
const LEFT_OUT: &str = "7490000000000000004";

pub(crate) struct Stage {
    pub(crate) host: ConnectorHost,
    /// Another server of the same platform: it shares the storage and nothing else.
    pub(crate) second_host: ConnectorHost,
    pub(crate) tenant: TenantId,
    /// The tenant's app, as TikTok Shop knows it.
    pub(crate) app: App,
    pub(crate) vault: Arc<Vault>,
    pub(crate) tiktok: Control,
    pub(crate) storage: Arc<dyn HostStorage>,
    /// What was asked of storage, credentials and TikTok Shop, in order.
    pub(crate) journal: Arc<Journal>,
    clock: Arc<ManualClock>,
    _fake: FakeTikTokShop,
}

impl Stage {
    /// Starts the fake and builds two hosts whose egress leads to it.
    pub(crate) fn set(component: PathBuf) -> Result<Self> {
        let clock = Arc::new(ManualClock::at(OPENING));
        let fake = FakeTikTokShop::start(Options {
            clock: fake_tiktok_shop::Clock::fixed(OPENING.as_secs()),
            ..Options::default()
        })
        .context("cannot start the fake TikTok Shop")?;
        let tiktok = fake.control();
        let app = tiktok.apps().into_iter().next().context("the fake has no app")?;
        tiktok.remove_shop(SELLER, LEFT_OUT)?;
        let tenant: TenantId = "acme".parse()?;
        let journal = Arc::new(Journal::of(tiktok.clone()));
        let vault = Arc::new(Vault::of(&app, journal.clone()));

        let egress = EgressPolicy::production()
            .stand_in(Authority::Auth, fake.address())?
            .stand_in(Authority::Api, fake.address())?;
        let memory = Arc::new(MemoryStorage::new(clock.clone()));
        let storage: Arc<dyn HostStorage> = Arc::new(Intercepted::new(memory, journal.clone()));
        let keys = Arc::new(HostKeys::draw()?);
        let server = |runs: Component| {
            ConnectorHost::builder()
                .component(runs)
                .storage(storage.clone())
                .keys(keys.clone())
                .credentials(vault.clone())
                .clock(clock.clone())
                .egress(egress.clone())
                .build()
                .with_context(|| format!("cannot run {}", component.display()))
        };
        let host = server(Component::File(component.clone()))?;
        let second_host = server(Component::SharedWith(host.clone()))?;
        Ok(Self { host, second_host, tenant, app, vault, tiktok, storage, journal, clock, _fake: fake })
    }

    /// The link that Partner Center shows for the app. Consent pages are opened by browsers, so no egress leads there.
    pub(crate) fn authorization_link(&self) -> String {
        authorization_link(&self.app)
    }

    pub(crate) fn now(&self) -> UnixSeconds {
        UnixSeconds(self.clock.wall().as_secs())
    }

    /// Lets time pass for the platform and for TikTok Shop.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.tiktok.advance(by);
    }

    /// What the browser of somebody who has just signed in to the platform knows: 128 random bits.
    pub(crate) fn browser() -> Result<BrowserSession> {
        let mut bits = [0; 16];
        SystemRandomness.fill(&mut bits)?;
        BrowserSession::new(format!("{:032x}", u128::from_be_bytes(bits)).into()).context("a session that is no secret")
    }
}

/// Where the platform keeps the credentials of its app. Read anew for each call, so an operator's change needs no restart.
pub(crate) struct Vault {
    credentials: Mutex<AppCredentials>,
    journal: Arc<Journal>,
}

impl Vault {
    fn of(app: &App, journal: Arc<Journal>) -> Self {
        Self {
            journal,
            credentials: Mutex::new(AppCredentials {
                app_key: app.app_key.clone(),
                app_secret: app.app_secret.as_str().into(),
                previous_app_secret: None,
                authorization_link: Some(authorization_link(app)),
            }),
        }
    }

    pub(crate) fn set_app_secret(&self, app_secret: Secret) {
        self.credentials.lock().unwrap_or_else(PoisonError::into_inner).app_secret = app_secret;
    }
}

#[async_trait]
impl CredentialsProvider for Vault {
    async fn current(&self, _only: &TenantId) -> Result<AppCredentials, CredentialsError> {
        self.journal.import("app-credentials.current");
        Ok(self.credentials.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn authorization_link(app: &App) -> String {
    format!("https://services.tiktokshop.com/open/authorize?service_id={}", app.service_id)
}
