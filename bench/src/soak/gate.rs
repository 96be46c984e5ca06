//! Finds out whether every place of a host is free: it holds back calls until as many of them as there are places have
//! arrived. If a place is taken for ever, the last call never arrives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use tiktok_shop_host::TenantId;
use tiktok_shop_host::credentials::{AppCredentials, CredentialsError, CredentialsProvider, StaticCredentials};
use tiktok_shop_host::storage::{Access, HostStorage, Interceptor, Passage};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::platform::Platform;

/// How long the calls wait for each other.
const PATIENCE: Duration = Duration::from_secs(8);

pub(super) struct Gate {
    places: usize,
    closed: AtomicBool,
    /// Opens when as many calls as there are places wait.
    barrier: Barrier,
}

impl Gate {
    pub(super) fn new(places: usize) -> Self {
        Self { places, closed: AtomicBool::new(false), barrier: Barrier::new(places) }
    }

    /// Returns a provider that holds back the calls which ask for these credentials while the gate is closed.
    pub(super) fn guarding(self: &Arc<Self>, credentials: StaticCredentials) -> Guarded {
        Guarded { gate: Arc::clone(self), credentials }
    }

    async fn pass(&self) {
        if self.closed.load(Ordering::SeqCst) {
            self.barrier.wait().await;
        }
    }

    /// Fills every place for an instance at the same moment, and then every place for a question for credentials.
    ///
    /// # Errors
    /// A place is not free.
    pub(super) async fn all_places_are_free(&self, platform: &Platform) -> Result<()> {
        self.closed.store(true, Ordering::SeqCst);
        let (host, tenant) = (&platform.host, &platform.tenant);
        let lists = (0..self.places).map(|_| {
            let (host, tenant) = (host.clone(), tenant.clone());
            async move { host.list_shops(&tenant, &"nobody".parse()?).await.map(drop).map_err(anyhow::Error::from) }
        });
        all(lists.collect()).await.context("a place for an instance is not free")?;
        let links =
            (0..self.places).map(|_| {
                let (host, tenant) = (host.clone(), tenant.clone());
                async move {
                    host.authorization_url(&tenant, None, "state".into()).await.map(drop).map_err(anyhow::Error::from)
                }
            });
        all(links.collect()).await.context("a place for a question for credentials is not free")?;
        self.closed.store(false, Ordering::SeqCst);
        Ok(())
    }
}

async fn all(calls: JoinSet<Result<()>>) -> Result<()> {
    timeout(PATIENCE, calls.join_all())
        .await
        .context("the calls waited for each other for too long")?
        .into_iter()
        .collect()
}

#[async_trait]
impl Interceptor for Gate {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        if let Access::ListRows(..) = access {
            self.pass().await;
        }
        Passage::Forward
    }
}

pub(super) struct Guarded {
    gate: Arc<Gate>,
    credentials: StaticCredentials,
}

#[async_trait]
impl CredentialsProvider for Guarded {
    async fn apps(&self, tenant: &TenantId) -> Result<Vec<AppCredentials>, CredentialsError> {
        self.gate.pass().await;
        self.credentials.apps(tenant).await
    }
}
