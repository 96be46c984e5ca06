//! Starts a fake from a command line and describes it for the user. All programs that contain a fake share this code.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::clock::Clock;
use crate::file_error::reason;
use crate::switches::Switches;
use crate::{FakeTikTokShop, Options, extra_sellers, probe_report};

/// The command-line arguments that start a fake.
#[derive(Args, Debug)]
pub struct Launch {
    /// Port to listen on; 0 picks any free port
    #[arg(long, default_value_t = 0)]
    pub port: u16,

    /// IP address to listen on, such as 0.0.0.0
    #[arg(long, value_name = "IP_ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub listen: IpAddr,

    /// Name by which clients reach the fake; may be repeated
    #[arg(long, value_name = "NAME[:PORT]")]
    pub host_name: Vec<String>,

    /// JSON file with more apps, sellers and shops
    #[arg(long, value_name = "FILE")]
    pub sellers: Option<PathBuf>,

    /// Report probe.json of the command probe: behave as TikTok Shop did
    #[arg(long = "as", value_name = "FILE")]
    pub report: Option<PathBuf>,

    /// Where the browser goes after consent [default: a page of the fake]
    #[arg(long, value_name = "ADDRESS")]
    pub redirect: Option<String>,

    /// Time of the clock at the start [default: the system's time]
    #[arg(long, value_name = "UNIX_SECONDS")]
    pub now: Option<u64>,
}

impl Launch {
    /// Starts the fake on the current Tokio runtime.
    ///
    /// # Errors
    /// The file of `--sellers` or `--as` can't be used, or [`FakeTikTokShop::start`] fails. The error is a text for
    /// people.
    pub fn start(self) -> Result<FakeTikTokShop, String> {
        let mut options =
            Options { port: self.port, listen: self.listen, host_names: self.host_name, ..Options::default() };
        if let Some(file) = &self.sellers {
            extra_sellers::read(file)?.add_to(&mut options.apps, &mut options.sellers).map_err(|error| {
                // The file's name shows which argument of the command line is wrong.
                format!("{}: {error}", file.display())
            })?;
        }
        if let Some(file) = &self.report {
            options.switches = probe_report::read(file)?;
        }
        if let Some(now) = self.now {
            options.clock = Clock::ticking_from(now);
        }
        if let Some(redirect) = self.redirect {
            for app in &mut options.apps {
                app.redirect_address = Some(redirect.clone());
            }
        }
        FakeTikTokShop::start(options).map_err(|error| {
            let is = |kind| error.kind() == kind;
            if is(io::ErrorKind::AddrInUse) {
                format!("port {} is in use; choose another with --port", self.port)
            } else if is(io::ErrorKind::AddrNotAvailable) {
                format!("{} is not an address of this machine; choose another with --listen", self.listen)
            } else if is(io::ErrorKind::PermissionDenied) {
                format!("this user may not listen on port {}; choose another with --port", self.port)
            } else {
                reason(&error)
            }
        })
    }
}

impl FakeTikTokShop {
    /// Returns a warning for people if the fake can be reached from other machines.
    pub fn warning(&self) -> Option<String> {
        let address = self.address();
        let open = !self.control().hosts().is_loopback_only();
        open.then(|| {
            format!(
                "the fake listens on {address}: everybody who reaches this address can read its secrets and change its \
                 state. Use it in a private network only."
            )
        })
    }

    /// Returns the fake's addresses, its apps and their consent links, as text for people.
    pub fn announcement(&self) -> String {
        let (address, base) = (self.address(), self.base());
        let mut text = format!(
            "Fake TikTok Shop is listening on {address}. All keys and secrets are invented.\n\n\
             start page   {base}/\n\
             control      {base}/_control\n"
        );
        for app in self.control().apps() {
            text.push_str(&format!(
                "\napp          {}\n  consent    {}\n  app key    {}\n  app secret {}\n  service id {}\n  market     {}\n  link       {}\n",
                app.name,
                self.consent(&app),
                app.app_key,
                app.app_secret,
                app.service_id,
                app.market.name(),
                app.authorization_link(),
            ));
        }
        let changed = self.changed_switches();
        if changed.is_empty() {
            text.push_str("\nswitches     all have their defaults\n");
        } else {
            text.push_str("\nswitches that do not have their defaults\n");
            for (name, value) in changed {
                text.push_str(&format!("  {name}  {value}\n"));
            }
        }
        text
    }

    /// Returns the switches that do not have their defaults, with their values. A report of the probe changes switches.
    fn changed_switches(&self) -> Vec<(String, Value)> {
        // The switches are a struct of plain values, so they can always be serialized.
        let members = |switches: Switches| match serde_json::to_value(switches) {
            Ok(Value::Object(members)) => members,
            Ok(_) | Err(_) => Map::new(),
        };
        let defaults = members(Switches::default());
        let changed = members(self.control().switches()).into_iter();
        changed.filter(|(name, value)| defaults.get(name) != Some(value)).collect()
    }

    /// Returns the fake's addresses, its apps with their consent links, its sellers, and the switches that do not have
    /// their defaults, as one JSON object.
    pub fn announcement_json(&self) -> Value {
        let base = self.base();
        let apps = self.control().apps().into_iter().map(|app| {
            json!({
                "name": app.name,
                "app_key": app.app_key,
                "app_secret": app.app_secret,
                "service_id": app.service_id,
                "market": app.market,
                "authorization_link": app.authorization_link(),
                "consent": self.consent(&app),
            })
        });
        json!({
            "address": self.address(),
            "start_page": format!("{base}/"),
            "control": format!("{base}/_control"),
            "apps": apps.collect::<Vec<_>>(),
            "changed_switches": Map::from_iter(self.changed_switches()),
            "sellers": self.control().sellers().into_iter().map(|seller| seller.id).collect::<Vec<_>>(),
        })
    }

    fn consent(&self, app: &App) -> String {
        self.consent_address(&app.service_id, "a-state-of-your-own")
    }
}
