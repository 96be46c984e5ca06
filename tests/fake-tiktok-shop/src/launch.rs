//! Starts a fake from a command line and describes it for the user. All programs that contain a fake share this code.

use std::io;

use clap::Args;
use serde_json::{Value, json};

use crate::app::App;
use crate::clock::Clock;
use crate::{FakeTikTokShop, Options};

/// The command-line arguments that start a fake.
#[derive(Args, Debug)]
pub struct Launch {
    /// Port to listen on; 0 picks any free port
    #[arg(long, default_value_t = 0)]
    pub port: u16,

    /// Where a browser goes after the consent [default: a page of the fake]
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
    /// The errors of [`FakeTikTokShop::start`], as a text for people.
    pub fn start(self) -> Result<FakeTikTokShop, String> {
        let mut options = Options { port: self.port, ..Options::default() };
        if let Some(now) = self.now {
            options.clock = Clock::ticking_from(now);
        }
        if let Some(redirect) = self.redirect {
            for app in &mut options.apps {
                app.redirect_address = Some(redirect.clone());
            }
        }
        FakeTikTokShop::start(options).map_err(|error| {
            if error.kind() == io::ErrorKind::AddrInUse {
                format!("port {} is in use; choose another with --port", self.port)
            } else {
                error.to_string()
            }
        })
    }
}

impl FakeTikTokShop {
    /// Returns the fake's addresses, its apps and their consent links, as text for people.
    pub fn announcement(&self) -> String {
        let address = self.address();
        let mut text = format!(
            "Fake TikTok Shop is listening on {address}. All keys and secrets are invented.\n\n\
             start page   http://{address}/\n\
             control      http://{address}/_control\n"
        );
        for app in self.control().apps() {
            text.push_str(&format!(
                "\napp          {}\n  consent    {}\n  app key    {}\n  app secret {}\n  service id {}\n",
                app.name,
                self.consent(&app),
                app.app_key,
                app.app_secret,
                app.service_id,
            ));
        }
        text
    }

    /// Returns the fake's addresses, its apps with their consent links, and its sellers, as one JSON object.
    pub fn announcement_json(&self) -> Value {
        let address = self.address();
        let apps = self.control().apps().into_iter().map(|app| {
            json!({
                "name": app.name,
                "app_key": app.app_key,
                "app_secret": app.app_secret,
                "service_id": app.service_id,
                "consent": self.consent(&app),
            })
        });
        json!({
            "address": address,
            "start_page": format!("http://{address}/"),
            "control": format!("http://{address}/_control"),
            "apps": apps.collect::<Vec<_>>(),
            "sellers": self.control().sellers().into_iter().map(|seller| seller.id).collect::<Vec<_>>(),
        })
    }

    fn consent(&self, app: &App) -> String {
        self.consent_address(&app.service_id, "a-state-of-your-own")
    }
}
