//! `authorization-url`: begins a consent.

use std::collections::BTreeMap;

use anstyle::Style;
use clap::{Args, ValueEnum};
use serde::Serialize;
use tiktok_shop_host::CustomerId;
use tiktok_shop_host::connection::ShopPolicy;

use super::browser;
use super::failure::Failure;
use super::output::Report;
use super::settings::{Host, Setting};

/// Begin a consent: print the link under which the seller decides
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct AuthorizationUrl {
    /// Your own name of the customer whose connection it will be
    customer: CustomerId,

    /// Which shops the consent links: all, exactly-one
    #[arg(long, value_name = "WHICH", default_value = "all", hide_possible_values = true)]
    shops: Shops,

    /// Let a seller of the fake allow it, and print the callback's query
    #[arg(long, value_name = "SELLER")]
    consent_as: Option<String>,

    #[command(flatten)]
    setting: Setting,
}

/// The policy for the shops of a consent.
#[derive(ValueEnum, Clone, Copy)]
pub(crate) enum Shops {
    All,
    ExactlyOne,
}

impl From<Shops> for ShopPolicy {
    fn from(shops: Shops) -> Self {
        match shops {
            Shops::All => Self::All,
            Shops::ExactlyOne => Self::ExactlyOne,
        }
    }
}

const AFTER_HELP: &str = "\
Send the seller's browser to the link. It comes back to the app's redirect address; give that
address to connect. The link carries a state that is good for ten minutes, once, and for the user
who ran this command. With --fake a second line names the fake's own consent page.

--shops all links all shops of the consent, and those that appear later; exactly-one links the
only one, and of several none until link-shops names one.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE:

  $ tiktok-shop-harness authorization-url customer-7
  https://services.tiktokshop.com/open/authorize?service_id=7480000000000000001&state=…
      open    http://127.0.0.1:…/open/authorize?service_id=7480000000000000001&state=…

  $ tiktok-shop-harness authorization-url customer-7 --consent-as one-shop |
      tiktok-shop-harness connect
  customer-7: Teapot Corner (GB), active
  …

Exit status: 0 if the consent has begun; 12 if the app's authorization link is missing; others:
tiktok-shop-harness --help.";

#[derive(Serialize)]
struct Line<'a> {
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fake_consent_page: Option<&'a str>,
}

impl AuthorizationUrl {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { customer, shops, consent_as, setting } = self;
        let Host { host, stored, fake } = setting.open(report).await?;
        if consent_as.is_some() && fake.is_none() {
            return Err(Failure::Malformed("--consent-as: only a seller of a --fake can be asked".to_owned()));
        }
        let consent = host.begin_consent(&stored.tenant, &customer, &browser::session()?, shops.into()).await?;
        let url = consent.url.expose();
        if let (Some(fake), Some(seller)) = (fake, consent_as) {
            let query = fake.allow(url, &seller).await?;
            if report.is_json() {
                report.json(&BTreeMap::from([("callback_query", query)]));
            } else {
                report.line(&query);
            }
            return Ok(());
        }
        let page = fake.map(|fake| fake.consent_page(url));
        if report.is_json() {
            report.json(&Line { url, fake_consent_page: page.as_deref() });
            return Ok(());
        }
        report.line(url);
        if let Some(page) = page {
            report.detail("open", Style::new(), &page);
        }
        Ok(())
    }
}
