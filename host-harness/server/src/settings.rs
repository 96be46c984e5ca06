//! The settings of the service.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use tiktok_shop_host::certificates::CertificateAuthorities;

use crate::address::{InstallAddress, PublicAddress, ReturnAddress};

/// The settings of the service.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address by which sellers' browsers reach the service. The addresses of connect sessions begin with it.
    pub public_address: PublicAddress,
    /// The addresses to which a seller may be led back after a consent. Empty: a connect session has no return address.
    pub return_addresses: Vec<ReturnAddress>,
    /// For each app key, the address of the platform to which the callback of an install from TikTok's App Store leads the
    /// browser. Without an entry, installs of the app are refused. A callback without an app key is led on only if all
    /// entries have the same address.
    pub install_addresses: BTreeMap<String, InstallAddress>,
    /// The time between two sweeps. `None`: the service does not sweep. Default: 5 minutes.
    pub sweep_every: Option<Duration>,
    /// The time between two counts of all connections, for the metrics. Default: one minute.
    pub count_every: Duration,
    /// How long the service waits for running calls after it was asked to stop. Default: 60 s.
    pub shutdown_deadline: Duration,
    /// The number of requests per second of one API key. Default: 100.
    pub requests_per_second: NonZeroU32,
    /// The number of requests of one API key that may run at the same time. Default: 64.
    pub requests_in_flight: NonZeroU32,
    /// The number of webhooks of TikTok Shop that each process receives at the same time. Further ones get 503 at once.
    /// Each takes up to 256 KiB of memory. Default: 256.
    pub webhooks_in_flight: NonZeroU32,
    /// The number of connections that may be open at the same time. Further connections wait. Default: 4096.
    pub max_connections: NonZeroU32,
    /// How long a client may take to send the head of a request, and how long an idle connection stays open. Default:
    /// 15 s.
    pub head_deadline: Duration,
    /// How long a client may take to send the body of a request. Default: 60 s.
    pub body_deadline: Duration,
    /// How long an attempt to deliver a webhook may take. A longer time than half of [`LEASE`](crate::delivery::LEASE)
    /// counts as half of it. Default: 15 s.
    pub delivery_deadline: Duration,
    /// How often an endpoint looks for events and due deliveries, if nothing else wakes it. After ten times without
    /// anything to do, it pauses five times as long. Default: 1 s.
    pub delivery_poll: Duration,
    /// The number of webhooks that each process sends to an endpoint at the same time. Default: 8.
    pub deliveries_in_flight: NonZeroU32,
    /// The certificate authorities that the service trusts for the receivers of webhooks, in addition to Mozilla's.
    /// `None`: only Mozilla's. Default: `None`.
    pub webhook_authorities: Option<CertificateAuthorities>,
    /// If a client reads no byte of an answer for this time, its connection ends. Default: 30 s.
    pub write_deadline: Duration,
}

impl Settings {
    /// Creates the default settings for this public address.
    #[must_use]
    pub const fn new(public_address: PublicAddress) -> Self {
        Self {
            public_address,
            return_addresses: Vec::new(),
            install_addresses: BTreeMap::new(),
            sweep_every: Some(Duration::from_secs(300)),
            count_every: Duration::from_secs(60),
            shutdown_deadline: Duration::from_secs(60),
            requests_per_second: NonZeroU32::MIN.saturating_add(99),
            requests_in_flight: NonZeroU32::MIN.saturating_add(63),
            webhooks_in_flight: NonZeroU32::MIN.saturating_add(255),
            max_connections: NonZeroU32::MIN.saturating_add(4095),
            head_deadline: Duration::from_secs(15),
            body_deadline: Duration::from_secs(60),
            delivery_deadline: Duration::from_secs(15),
            delivery_poll: Duration::from_secs(1),
            deliveries_in_flight: NonZeroU32::MIN.saturating_add(7),
            webhook_authorities: None,
            write_deadline: Duration::from_secs(30),
        }
    }
}
