//! The service in a process of its own, with its storage in memory. It logs as `tiktok-shop-harness serve` does.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use serde::{Deserialize, Serialize};
use tiktok_shop_host::log_filter::LogFilter;
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_host::seal::Keyring;
use tiktok_shop_host::storage::MemoryStorage;
use tiktok_shop_server::delivery::{Endpoints, MemoryDeliveries};
use tiktok_shop_server::{ApiKey, ApiKeyEntry, ApiKeys, Parts as ServiceParts, Scope, Settings};
use tokio::net::TcpListener;
use tracing_subscriber::filter::{FilterExt as _, LevelFilter};
use tracing_subscriber::prelude::*;

use crate::figures::Context;
use crate::platform::{Parts, customer};
use crate::process::{Background, allow_many_files, end_of_input, own};
use crate::rounds::whole_machine;
use crate::server::Server;

/// Run the service with one connected customer, until standard input ends. The figures `service_*` start this command.
#[derive(Args, Debug)]
pub(crate) struct RunService {
    #[arg(long)]
    component: PathBuf,
    #[arg(long)]
    cache: PathBuf,
    /// The server in place of TikTok Shop.
    #[arg(long)]
    server: SocketAddr,
}

/// The line that the service prints when it is ready.
#[derive(Serialize, Deserialize)]
struct Announcement {
    address: SocketAddr,
    /// The API key of the tenant.
    key: String,
}

/// A running service. It ends when this value is dropped.
pub(crate) struct Service {
    pub(crate) process: Background,
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
}

impl Service {
    /// Starts a service that sends its requests to this server.
    pub(crate) fn start(context: &Context, server: &Server) -> Result<Self> {
        let mut command = own("run-service")?;
        command.arg("--component").arg(&context.component).arg("--cache").arg(context.cache());
        command.args(["--server", &server.address().to_string()]);
        // The log is written, as in production, but nobody reads it.
        command.stderr(Stdio::null());
        let (process, Announcement { address, key }) = Background::start(command)?;
        Ok(Self { process, address, key })
    }
}

impl RunService {
    pub(crate) fn run(self) -> Result<()> {
        let log = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(io::stderr);
        tracing_subscriber::registry().with(log.with_filter(LevelFilter::INFO.and(LogFilter))).init();
        allow_many_files()?;
        let end = end_of_input();
        whole_machine()?.block_on(async {
            let parts = Parts::new(&self.component, self.server)?.cached_in(&self.cache);
            let (host_keys, clock) = (Arc::clone(&parts.keys), Arc::clone(&parts.clock));
            let platform = parts.build()?;
            platform.connect(&customer(0)?).await?;
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let address = listener.local_addr()?;
            let key = ApiKey::draw(&SystemRandomness)?;
            let (name, tenant) = ("bench".parse()?, platform.tenant.clone());
            let entry = ApiKeyEntry { name, tenant, scopes: Scope::ALL.to_vec(), digest: key.digest() };
            let parts = ServiceParts {
                host: platform.host,
                keyring: Keyring::new(Arc::clone(&platform.storage), host_keys, Arc::new(SystemRandomness)),
                storage: platform.storage,
                requests: Arc::new(MemoryStorage::new(clock.clone())),
                deliveries: Arc::new(MemoryDeliveries::new(Arc::clone(&clock))),
                endpoints: Endpoints::default(),
                clock,
                tenants: vec![platform.tenant],
                keys: ApiKeys::new(vec![entry])?,
                consent_page: None,
            };
            let mut settings = Settings::new(format!("http://{address}").parse()?);
            settings.sweep_every = None;
            // One key makes all requests, so its limits must not be reached.
            (settings.requests_per_second, settings.requests_in_flight) = (NonZeroU32::MAX, NonZeroU32::MAX);
            let announced = serde_json::to_string(&Announcement { address, key: key.expose().to_owned() })?;
            writeln!(io::stdout(), "{announced}")?;
            tiktok_shop_server::Server::new(parts, settings).serve(listener, end).await;
            Ok(())
        })
    }
}
