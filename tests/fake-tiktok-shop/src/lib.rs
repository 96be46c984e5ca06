//! A TikTok Shop that keeps state, over real HTTP on loopback: for tests and demos.
//!
//! It stands in for three hosts on one listener: `auth.tiktok-shops.com` (tokens), `open-api.tiktokglobalshop.com`
//! (signed calls) and `services.tiktokshop.com` (the consent page). It has apps and sellers, single-use authorization
//! codes and tokens that end by its own clock, and it verifies signatures with its own code. Behind the signature a few
//! calls of the API check token, scope and cipher, and remember what they did. Where the documentation of TikTok Shop is
//! silent, [`Switches`] choose the answer. Grants lose shops, are removed and end, and the webhooks that tell of it are
//! handed to whoever asks, signed, until they are answered or given up. The `Date` of an answer is the fake's time. Single answers can be made to go
//! wrong: a [`Fault`] is scripted for the next requests to a path and played byte by byte, whether or not TikTok Shop
//! acted on them. It never speaks TLS, and never listens beyond loopback.
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
//! // The seller allows; a browser would now follow the redirect to the app with this query.
//! let callback = control.consent(&app.service_id, "one-shop", Some("state"), Decision::Allow)?;
//! assert!(callback.starts_with("code=ROW_"));
//!
//! // A client of TikTok Shop is pointed at `fake.address()`. What it sent stands in `control.requests()`.
//! assert!(fake.address().ip().is_loopback());
//! assert_eq!(control.requests(), []);
//! # Ok(())
//! # }
//! ```

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
mod fault;
pub mod fixtures;
mod grants;
mod issued;
mod launch;
mod marketplace;
mod multipart;
mod page;
mod query;
mod request_log;
mod seller;
mod server;
mod signature;
mod start_page;
mod switches;
mod token_host;
mod vendor_request;
mod webhook;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use axum::http::{HeaderValue, Uri};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

pub use app::App;
pub use clock::Clock;
pub use consent::Decision;
pub use control::{Control, ControlError};
pub use fault::{Ending, Fault, FaultScript, Piece, catalogue};
pub use issued::{Issued, IssuedPair, IssuedSecret, IssuedToken, SecretKind};
pub use launch::Launch;
pub use request_log::RequestRecord;
pub use seller::{Seller, Shop};
pub use switches::{
    CallbackExtras, CipherFailureStatus, CiphersOnConsent, DeauthorizeAgain, DeauthorizeNotice, DeauthorizeShop,
    EarlierToken, EmptyData, EndingNoticeZone, ExpirationTime, FailureStatus, GrantNotices, GrantedScopesField,
    LastShopRemoved, NotificationId, RefreshTokenField, RefreshTokenOnRefresh, RefusalError, RefusedWebhook,
    ReplacedRefreshToken, Switches, TokensAfterRemoval, WebhookBody, WebhookCopies, WebhookData, WebhookDelay,
    WebhookOrder, WebhookShopId, WebhookTimestamp, WrongCipher, WrongSecret,
};
pub use webhook::{WebhookDelivery, WebhookFate};

/// What a fake starts with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its clock; by default the system's time, ticking.
    pub clock: Clock,
    /// Port on 127.0.0.1; 0, the default, is any free one.
    pub port: u16,
    /// The apps; by default [`fixtures::apps`].
    pub apps: Vec<App>,
    /// The sellers; by default [`fixtures::sellers`].
    pub sellers: Vec<Seller>,
    /// How open questions are answered.
    pub switches: Switches,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Clock::ticking(),
            port: 0,
            apps: fixtures::apps(),
            sellers: fixtures::sellers(),
            switches: Switches::default(),
        }
    }
}

/// A running fake. Dropping it stops the server.
#[derive(Debug)]
pub struct FakeTikTokShop {
    control: Control,
    /// How many connections are open.
    open: watch::Receiver<usize>,
    /// The server stops when this end of the channel is gone.
    _running: watch::Sender<()>,
}

impl FakeTikTokShop {
    /// Binds the port and serves from a task of the current Tokio runtime.
    ///
    /// # Errors
    /// The port cannot be bound, a redirect address is not an absolute `http` or `https` address
    /// ([`io::ErrorKind::InvalidInput`]), the system has no randomness, or no Tokio runtime is running.
    pub fn start(options: Options) -> io::Result<Self> {
        let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
        for address in options.apps.iter().filter_map(|app| app.redirect_address.as_deref()) {
            check_redirect_address(address)?;
        }
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = tokio::net::TcpListener::from_std(listener)?;

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
            callback_page: format!("http://{address}{}", page::CALLBACK_PATH),
        };
        let control = Control::new(marketplace, address);
        let (running, watched) = watch::channel(());
        let (counted, open) = watch::channel(0);
        runtime.spawn(connection::serve(listener, server::router(control.clone()), watched, counted));
        Ok(Self { control, open, _running: running })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.control.address()
    }

    /// Waits until every connection that was begun so far is accepted and closed. What clients that are gone had sent is
    /// then in the log, or never will be. A client that keeps a connection open is waited for.
    ///
    /// # Errors
    /// The fake can't be connected to.
    pub async fn quiet(&self) -> io::Result<()> {
        // Connections are accepted in the order they came, so this one after those.
        let mut last = TcpStream::connect(self.address()).await?;
        last.shutdown().await?;
        last.read_to_end(&mut Vec::new()).await?;
        // The other end of the channel is gone only if the server is, and every connection with it.
        let _ = self.open.clone().wait_for(|open| *open == 0).await;
        Ok(())
    }

    /// A handle on its clock, switches, sellers, grants and requests.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// The address of an app's consent page on this fake.
    pub fn consent_address(&self, service_id: &str, state: &str) -> String {
        format!("http://{}{}", self.address(), start_page::consent_link(service_id, state))
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
