//! A fake TikTok Shop for tests and demos. It keeps state, and it speaks real HTTP on loopback.
//!
//! With one listener, the fake replaces three network hosts of TikTok Shop: `auth.tiktok-shops.com` (tokens),
//! `open-api.tiktokglobalshop.com` (signed calls) and `services.tiktokshop.com` (the consent page).
//!
//! - **State.** The fake keeps apps, sellers, single-use authorization codes and tokens. Codes and tokens expire by the
//!   fake's own clock, and every answer carries the fake's time in its `Date` header.
//! - **Signatures.** The fake computes signatures with its own code. On purpose, the fake shares neither the clock code
//!   nor the signature code of the connector. If the fake and the connector had the same mistake, no test would notice
//!   it.
//! - **Calls.** For each call of the API, the fake checks the signature, then the token, the scope and the cipher. It
//!   stores what the call changes.
//! - **Open questions.** Where TikTok Shop's documentation does not say how TikTok Shop behaves, [`Switches`] choose
//!   the fake's behaviour.
//! - **Webhooks.** The fake writes and signs a webhook when a seller removes the app or a shop, and when an
//!   authorization is about to end. A test fetches the webhook, delivers it and reports the receiver's answer. If a
//!   delivery fails, the fake hands the same webhook out again, up to four times.
//! - **Faults.** A test can script a [`Fault`] for the next requests to a path. The fake then sends the bytes of the
//!   fault in place of the answer. The fault also says whether TikTok Shop acts on the request before that.
//!
//! The fake never uses TLS. It listens on loopback, unless [`Options::listen`] is another address.
//!
//! ```
//! use fake_tiktok_shop::{Clock, Decision, FakeTikTokShop, Options};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let fake = FakeTikTokShop::start(Options { clock: Clock::fixed(1_767_225_600), ..Options::default() })?;
//! let control = fake.control();
//! let app = &control.apps()[0];
//!
//! // The seller allows. A browser would now be redirected to the app with this query.
//! let callback = control.consent(&app.service_id, "one-shop", Some("state"), Decision::Allow)?;
//! assert!(callback.starts_with("code=ROW_"));
//!
//! // Point a client at `fake.address()`. The fake records every request in `control.requests()`.
//! assert!(fake.address().ip().is_loopback());
//! assert_eq!(control.requests(), []);
//! # Ok(())
//! # }
//! ```

mod another_system;
mod api_host;
mod app;
mod clock;
mod connection;
mod consent;
mod consent_page;
mod control;
mod control_http;
mod deauthorization;
mod endpoint;
mod envelope;
mod extra_sellers;
mod fault;
mod file_error;
pub mod fixtures;
mod grants;
mod host_names;
mod issued;
mod launch;
mod marketplace;
mod multipart;
mod page;
mod pages;
mod probe_report;
mod query;
mod request_log;
mod same_site;
mod seller;
mod server;
mod signature;
mod switches;
mod token_host;
mod vendor_request;
mod webhook;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use axum::http::{HeaderValue, Uri};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

pub use app::{App, Market};
pub use clock::Clock;
pub use consent::Decision;
pub use control::{Control, ControlError};
pub use fault::{Ending, Fault, FaultScript, Piece, catalogue};
pub use grants::{GrantReport, GrantState, GrantedShop, TokenReport, TokenVerdict};
pub use issued::{Issued, IssuedPair, IssuedSecret, IssuedToken, SecretKind};
pub use launch::Launch;
pub use request_log::RequestRecord;
pub use seller::{Seller, Shop};
pub use switches::{
    CallbackExtras, CipherFailureStatus, CiphersOnConsent, DeauthorizeAgain, DeauthorizeNotice, DeauthorizeShop,
    EarlierToken, EmptyData, EndingNoticeZone, ExpirationTime, FailureStatus, GrantNotices, GrantedScopesField,
    InvalidAccessToken, LastShopRemoved, NotificationId, RefreshGrantType, RefreshTokenField, RefreshTokenOnRefresh,
    RefusalError, RefusedWebhook, ReplacedRefreshToken, Switches, TokenFailure, TokenPrefix, TokensAfterRemoval,
    UnsignedEmptyObject, WebhookBody, WebhookCopies, WebhookData, WebhookDelay, WebhookOrder, WebhookShopId,
    WebhookTimestamp, WrongCipher, WrongSecret,
};
pub use webhook::{WebhookDelivery, WebhookFate, WebhookReport, WebhookState};

/// The settings with which a fake starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// The fake's clock. By default, the clock starts at the system's time and runs.
    pub clock: Clock,
    /// The address on which the fake listens. The default is 127.0.0.1. On any other address, everybody who reaches the
    /// address can read the fake's secrets and change its state.
    pub listen: IpAddr,
    /// Host names by which clients reach the fake, in addition to `localhost`. Each may have a port. Links contain the
    /// first of these names. A request with another name in its `Host` header is refused.
    pub host_names: Vec<String>,
    /// The port. The default 0 picks any free port.
    pub port: u16,
    /// The apps that the fake knows. The default is [`fixtures::apps`].
    pub apps: Vec<App>,
    /// The sellers that the fake knows. The default is [`fixtures::sellers`].
    pub sellers: Vec<Seller>,
    /// The answers to questions that TikTok Shop's documentation leaves open.
    pub switches: Switches,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Clock::ticking(),
            listen: Ipv4Addr::LOCALHOST.into(),
            host_names: Vec::new(),
            port: 0,
            apps: fixtures::apps(),
            sellers: fixtures::sellers(),
            switches: Switches::default(),
        }
    }
}

/// A running fake. The server stops when this value is dropped.
#[derive(Debug)]
pub struct FakeTikTokShop {
    control: Control,
    /// The number of open connections.
    open: watch::Receiver<usize>,
    /// The sender of a channel. The server stops when this sender is dropped.
    _running: watch::Sender<()>,
}

impl FakeTikTokShop {
    /// Binds the port and starts a server task on the current Tokio runtime.
    ///
    /// # Errors
    /// The port cannot be bound, the system has no randomness, or no Tokio runtime is running. The error is of the kind
    /// [`io::ErrorKind::InvalidInput`] if a host name is malformed, or if a redirect address is not an absolute `http`
    /// or `https` address.
    pub fn start(options: Options) -> io::Result<Self> {
        let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
        for address in options.apps.iter().filter_map(|app| app.redirect_address.as_deref()) {
            check_redirect_address(address)?;
        }
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;

        let listener = TcpListener::bind((options.listen, options.port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let hosts = host_names::HostNames::new(options.listen, address.port(), &options.host_names)
            .map_err(|text| io::Error::new(io::ErrorKind::InvalidInput, text))?;

        let marketplace = marketplace::Marketplace {
            clock: options.clock,
            switches: options.switches,
            apps: options.apps,
            sellers: options.sellers,
            grants: grants::Grants::new(seed),
            log: request_log::RequestLog::default(),
            faults: fault::FaultScripts::default(),
            shipments: endpoint::Shipments::default(),
            webhooks: endpoint::Webhooks::default(),
            outbox: webhook::Outbox::default(),
            closed_shops: Vec::new(),
            pages: pages::PagesState::new(&seed),
            callback_page: format!("{}{}", hosts.base(), page::CALLBACK_PATH),
        };
        let control = Control::new(marketplace, address, hosts);
        let (running, watched) = watch::channel(());
        let (counted, open) = watch::channel(0);
        runtime.spawn(connection::serve(listener, server::router(control.clone()), watched, counted));
        Ok(Self { control, open, _running: running })
    }

    /// Returns the address on which the fake listens.
    pub fn address(&self) -> SocketAddr {
        self.control.address()
    }

    /// Returns the address at which programs on this machine reach the fake. If the fake listens on all addresses, this
    /// is a loopback address.
    pub fn address_on_this_machine(&self) -> SocketAddr {
        host_names::on_this_machine(self.address())
    }

    /// Waits until the server has accepted every connection that was opened before this call, and until all connections
    /// are closed. The request log then contains every request of those connections. If a client keeps a connection
    /// open, this function keeps waiting.
    ///
    /// # Errors
    /// The connection to the fake fails.
    pub async fn quiet(&self) -> io::Result<()> {
        // The server accepts connections in the order of their arrival, so it accepts this connection after all earlier
        // ones.
        let mut last = TcpStream::connect(self.address_on_this_machine()).await?;
        last.shutdown().await?;
        last.read_to_end(&mut Vec::new()).await?;
        // This wait fails only if the server has stopped and all its connections are gone.
        let _ = self.open.clone().wait_for(|open| *open == 0).await;
        Ok(())
    }

    /// Returns a handle on the fake's clock, switches, sellers, grants and requests.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Returns the address of an app's consent page on this fake.
    pub fn consent_address(&self, service_id: &str, state: &str) -> String {
        format!("{}{}", self.base(), pages::consent_link(service_id, state))
    }

    /// Returns the address of the fake in links, without a slash at the end.
    fn base(&self) -> &str {
        self.control.hosts().base()
    }
}

fn check_redirect_address(address: &str) -> io::Result<()> {
    let absolute = address
        .parse::<Uri>()
        .is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some());
    if absolute && !address.contains('#') && HeaderValue::from_str(address).is_ok() {
        Ok(())
    } else {
        let message = format!("the redirect address {address:?} is not an absolute http or https address");
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    }
}
