//! `serve`: runs the connector as a service with an HTTP API.

mod receiver;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use fake_tiktok_shop::{Control, FakeTikTokShop, Launch};
use serde::Serialize;
use tiktok_shop_host::TenantId;
use tiktok_shop_host::clock::{Clock, SystemClock};
use tiktok_shop_host::events::Actor;
use tiktok_shop_server::{
    ApiKeyDigest, ApiKeyEntry, ApiKeys, InstallAddress, Metrics, Parts, PublicAddress, ReturnAddress, Scope, Server,
};
use tokio::net::TcpListener;

use self::receiver::Receiver;
use super::check_config::{api_keys, endpoints, malformed, note_wrong_apps};
use crate::failure::Failure;
use crate::output::Report;
use crate::settings::{
    AllTenants, FakeAddress, HostArgs, LISTEN, ListenAddress, OpenedHost, PUBLIC_ADDRESS, ServiceSettings,
    visible_ascii,
};

/// Run the connector as a service with an HTTP API, until Ctrl-C
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Serve {
    /// Address to listen on
    #[arg(long, value_name = "IP:PORT", env = LISTEN, hide_env_values = true)]
    #[arg(value_parser = visible_ascii::<ListenAddress>)]
    listen: Option<ListenAddress>,

    /// Address that browsers use
    #[arg(long, value_name = "URL", env = PUBLIC_ADDRESS, hide_env_values = true)]
    #[arg(value_parser = visible_ascii::<PublicAddress>)]
    public_address: Option<PublicAddress>,

    /// Also run a fake TikTok Shop, and print steps to try
    #[arg(long)]
    with_fake: bool,

    #[command(flatten)]
    settings: HostArgs<AllTenants>,
}

const AFTER_HELP: &str = "\
Platforms in any language connect sellers, send signed calls and read events with HTTP requests and
an API key. The service also refreshes due connections. docs/service.md describes it, and
/openapi.json lists every request. Several services may share one PostgreSQL database.

Without --listen, the service listens on 127.0.0.1:4020. Without --public-address, browsers use the
address of --listen. In front of the service, a proxy ends TLS and passes on /connect, /callback
and /webhooks; the API itself need not be public. The API keys and the other settings are in the
configuration file; check-config checks them, and api-keys create makes a key.

With --with-fake, the service starts a fake TikTok Shop, and keeps everything in memory. All data
and the API key are invented, so use it only on your own machine.

Example, with a fake TikTok Shop in the same process:

  $ tiktok-shop-harness serve --with-fake
  …

Exit status: 0 if Ctrl-C or SIGTERM ended the service, or its terminal was closed; 2 if a setting is
malformed; 3 if the service can't listen there, or the database, the host keys or the component
can't be used; for others see tiktok-shop-harness --help.";

/// The default address.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4020);

/// The API key of a service with a fake. It is public, and no other service knows it.
const KEY_FOR_FAKE: &str = "ttsk_fa4efa4efa4efa4efa4efa4efa4efa4efa4efa4efa4efa4efa4efa4efa4efa4e5e0f815a";
/// The SHA-256 of [`KEY_FOR_FAKE`].
const DIGEST_FOR_FAKE: &str = "c217475bdae8de055edbfb7b5a11ca43c7095772ccdf61ec7a0eeb820c3d4e17";

#[derive(Serialize)]
struct Line<'a> {
    /// The address that browsers use.
    address: &'a str,
    /// The address on which the service listens.
    listen: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    fake: Option<String>,
    /// The address of the receiver of webhooks that plays the platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    receiver: Option<String>,
}

/// A fake that runs in this process.
struct OwnFake {
    fake: FakeTikTokShop,
    address: FakeAddress,
    /// Plays the platform that gets the webhooks.
    receiver: Receiver,
}

impl Serve {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { listen, public_address, with_fake, mut settings } = self;
        let listen = listen.map(|ListenAddress(address)| address);
        if with_fake && public_address.is_some() {
            return Err(Failure::Malformed(format!(
                "--with-fake leads browsers back to the address of --listen; use it without --public-address, and unset \
                 {PUBLIC_ADDRESS}"
            )));
        }
        if with_fake && settings.names_fake() {
            return Err(Failure::Malformed(
                "--with-fake starts a fake of its own; use it without --fake, and unset TIKTOK_SHOP_FAKE".to_owned(),
            ));
        }
        // With a fake, the port must be known before the fake starts, because the fake leads browsers back to it.
        let (bound, own_fake) = if with_fake {
            let listener = bind(listen.unwrap_or(DEFAULT_LISTEN)).await?;
            let fake = start_fake(&listener).await?;
            settings.use_fake(fake.address, Arc::new(ClockOf { fake: fake.fake.control(), since: SystemClock::new() }));
            (Some(listener), Some(fake))
        } else {
            (None, None)
        };
        let metrics = Metrics::new();
        let OpenedHost { host, mut opened, fake } = settings.open_for_service(&metrics, report).await?;
        let mut service = opened.take_service();
        note_wrong_apps(&service, report);
        let keys = if own_fake.is_some() { keys_for_fake()? } else { api_keys(&service, report)? };
        // The fake of this process leads browsers back to the address of the listener, whatever the configuration says.
        let configured = service.table.public_address.clone().filter(|_| own_fake.is_none());
        let public = public_address.or(configured);
        let listener = match bound {
            Some(listener) => listener,
            None => bind(checked_listen(listen.or(service.table.listen), public.as_ref())?).await?,
        };
        let address = listener.local_addr().map_err(|error| Failure::Unavailable(error.to_string()))?;
        let public = match public {
            Some(public) => public,
            None => public_address_of(address)?,
        };
        let mut endpoints = endpoints(&service, report)?;
        if let Some(own) = &own_fake {
            allow_own_pages(&mut service, &public, own)?;
            endpoints = own.receiver.added_to(endpoints)?;
        }
        let server_settings = service.table.settings(public.clone()).map_err(|what| malformed(&service, &what))?;
        let parts = Parts {
            host,
            storage: Arc::clone(&opened.storage),
            requests: Arc::clone(&opened.requests),
            keyring: opened.keyring(),
            clock: opened.clock(),
            tenants: service.tenants.clone(),
            keys,
            consent_page: fake.map(consent_page_of),
            deliveries: opened.deliveries(),
            endpoints,
        };
        announce(address, &public, own_fake.as_ref(), report);
        let server = Server::new(parts, server_settings).metrics(metrics);
        server.serve(listener, report.stop.clone().cancelled_owned()).await;
        Ok(())
    }
}

/// Returns the address of the fake's consent page for a consent link.
fn consent_page_of(fake: FakeAddress) -> Arc<dyn Fn(&str) -> String + Send + Sync> {
    Arc::new(move |link: &str| fake.consent_page(link))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the text of every other error says what is wrong")]
async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::Unavailable(match error.kind() {
            io::ErrorKind::AddrInUse => format!("{address} is in use; choose another address with --listen"),
            io::ErrorKind::AddrNotAvailable => {
                format!("{address} is not an address of this machine; choose another with --listen")
            }
            io::ErrorKind::PermissionDenied => {
                format!("this user may not listen on {address}; choose another port with --listen")
            }
            _ => format!("cannot listen on {address}: {error}"),
        })
    })
}

/// Returns the address on which the service listens. Fails if browsers could not reach the service there, and no public
/// address is set.
pub(super) fn checked_listen(
    listen: Option<SocketAddr>,
    public: Option<&PublicAddress>,
) -> Result<SocketAddr, Failure> {
    let listen = listen.unwrap_or(DEFAULT_LISTEN);
    if public.is_none() {
        let _on_loopback = public_address_of(listen)?;
    }
    Ok(listen)
}

/// Returns the public address of a service that only this machine reaches.
fn public_address_of(address: SocketAddr) -> Result<PublicAddress, Failure> {
    format!("http://{address}").parse().map_err(|_| {
        Failure::Malformed(format!(
            "the service listens on {address}, which is not loopback, and nothing says by which address browsers reach \
             it; set --public-address or serve.public-address to its https address"
        ))
    })
}

/// Starts a fake that leads browsers back to the service.
async fn start_fake(listener: &TcpListener) -> Result<OwnFake, Failure> {
    let own = listener.local_addr().map_err(|error| Failure::Unavailable(error.to_string()))?;
    if !own.ip().is_loopback() {
        return Err(Failure::Malformed(
            "--with-fake listens only on loopback, because its API key is public; correct --listen".to_owned(),
        ));
    }
    let launch = Launch {
        port: 0,
        listen: Ipv4Addr::LOCALHOST.into(),
        host_name: Vec::new(),
        sellers: None,
        report: None,
        redirect: Some(format!("http://{own}/callback")),
        now: None,
    };
    let fake = launch.start().map_err(Failure::Unavailable)?;
    let address = FakeAddress::of_this_process(fake.address_on_this_machine());
    let address = address.ok_or_else(|| Failure::Unavailable("the fake does not listen on loopback".to_owned()))?;
    Ok(OwnFake { fake, address, receiver: Receiver::start().await? })
}

/// Shows the time of a fake that runs in this process, also after somebody has moved it.
struct ClockOf {
    fake: Control,
    since: SystemClock,
}

impl Clock for ClockOf {
    fn wall(&self) -> Duration {
        Duration::from_secs(self.fake.now())
    }

    fn monotonic(&self) -> Duration {
        self.since.monotonic()
    }
}

/// Returns the only API key of a service with a fake.
fn keys_for_fake() -> Result<ApiKeys, Failure> {
    let malformed = |error: &dyn std::fmt::Display| Failure::Malformed(error.to_string());
    let entry = ApiKeyEntry {
        name: "key-for-fakes".parse::<Actor>().map_err(|error| malformed(&error))?,
        tenant: "default".parse::<TenantId>().map_err(|error| malformed(&error))?,
        scopes: Scope::ALL.to_vec(),
        digest: DIGEST_FOR_FAKE.parse::<ApiKeyDigest>().map_err(|error| malformed(&error))?,
    };
    ApiKeys::new(vec![entry]).map_err(|error| malformed(&error))
}

/// Lets a connect session and an install lead to the service itself, as if it were the platform.
fn allow_own_pages(service: &mut ServiceSettings, public: &PublicAddress, own: &OwnFake) -> Result<(), Failure> {
    let malformed = |error: &dyn std::fmt::Display| Failure::Malformed(format!("{public}: {error}"));
    let address = public.to_string().parse::<ReturnAddress>().map_err(|error| malformed(&error))?;
    service.table.allow_return(address);
    let install = format!("{public}/healthz").parse::<InstallAddress>().map_err(|error| malformed(&error))?;
    for app in own.fake.control().apps() {
        service.table.lead_installs(app.app_key, install.clone());
    }
    Ok(())
}

/// Says where the service listens. With a fake, also prints each step as a line for the shell.
fn announce(listen: SocketAddr, public: &PublicAddress, own_fake: Option<&OwnFake>, report: &mut Report) {
    let base = public.to_string();
    if report.is_json() {
        let fake = own_fake.map(|own| format!("http://{}", own.address));
        let receiver = own_fake.map(|own| format!("http://{}", own.receiver.address()));
        report.json(&Line { address: &base, listen, fake, receiver });
    } else {
        report.line(&format!("The service answers at {base}; {base}/openapi.json describes it. Stop it with Ctrl-C."));
        if base != format!("http://{listen}") {
            report.line(&format!("It listens on http://{listen}."));
        }
        if let Some(own) = own_fake {
            report
                .line("All data and the API key are invented. Copy these lines into another shell, one after another:");
            report.line("");
            steps(&base, own).lines().for_each(|line| report.line(line));
        }
    }
    report.flush();
}

/// Returns the life of a connection as lines for the shell. README.md and docs/service.md show the lines after the
/// first four.
fn steps(base: &str, own: &OwnFake) -> String {
    let (fake, receiver) = (own.address, own.receiver.address());
    format!("SERVICE={base}\nFAKE=http://{fake}\nRECEIVER=http://{receiver}\nKEY={KEY_FOR_FAKE}\n{STEPS}")
}

/// The steps behind the addresses and the key. A test runs them, and compares them with README.md.
const STEPS: &str = include_str!("serve/steps.sh");
