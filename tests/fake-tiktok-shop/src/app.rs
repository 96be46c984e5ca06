//! Apps, as they are registered in Partner Center.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An app of TikTok Shop. A platform has several apps if TikTok Shop issued it an app for each market.
#[derive(Clone, PartialEq, Eq)]
pub struct App {
    /// The name that the consent page shows.
    pub name: String,
    /// The `app_key` of token requests and signed requests.
    pub app_key: String,
    /// The `app_secret` of token requests, and the key of signatures.
    pub app_secret: String,
    /// The `service_id` of the consent link. It is a number that differs from the app key.
    pub service_id: String,
    /// The scopes that the app asks for. The seller may grant fewer.
    pub scopes: Vec<String>,
    /// The address to which the seller's browser goes after the consent. If this is `None`, the browser goes to a page
    /// of the fake that shows the callback.
    pub redirect_address: Option<String>,
    /// The market of the app. It decides the host of the consent link and the shops that a grant covers.
    pub market: Market,
}

impl App {
    /// Returns the link that Partner Center shows under "Copy authorization link".
    pub fn authorization_link(&self) -> String {
        format!("https://{}/open/authorize?service_id={}", self.market.link_host(), self.service_id)
    }
}

/// The market of an app. The Partner Centers of the US and of the rest of the world issue separate apps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Market {
    /// The shops of every region. TikTok Shop has no such apps. They are for tests that need only one app.
    #[default]
    All,
    /// The shops of all regions except the US.
    OutsideUs,
    /// The shops of the US.
    Us,
}

impl Market {
    /// Returns the name of the market, as in a file of `--sellers`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::OutsideUs => "outside-us",
            Self::Us => "us",
        }
    }

    /// Returns the host of the consent link.
    pub(crate) fn link_host(self) -> &'static str {
        match self {
            Self::All | Self::OutsideUs => "services.tiktokshop.com",
            Self::Us => "services.us.tiktokshop.com",
        }
    }

    /// Tells whether the apps of this market see the shops of a region.
    pub fn has(self, region: &str) -> bool {
        match self {
            Self::All => true,
            Self::OutsideUs => region != "US",
            Self::Us => region == "US",
        }
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("name", &self.name)
            .field("app_key", &self.app_key)
            .field("app_secret", &"[redacted]")
            .field("service_id", &self.service_id)
            .field("scopes", &self.scopes)
            .field("redirect_address", &self.redirect_address)
            .field("market", &self.market)
            .finish()
    }
}
