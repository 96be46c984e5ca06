//! `authorization-url`: begins a consent.

use std::collections::BTreeMap;

use anstyle::Style;
use clap::{Args, ValueEnum};
use serde::Serialize;
use tiktok_shop_host::connection::ShopPolicy;
use tiktok_shop_host::{AppKey, CustomerId};

use crate::failure::Failure;
use crate::output::Report;
use crate::settings::{Creation, HostArgs, OpenedHost, browser_session, one_line};

/// Begin a consent and print the link for the seller
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct AuthorizationUrl {
    /// Your identifier of the customer who gets the connection
    #[arg(value_parser = one_line::<CustomerId>)]
    customer: CustomerId,

    /// Key of the app of this consent; needed if the tenant has several
    #[arg(long, value_name = "KEY", value_parser = one_line::<AppKey>)]
    app: Option<AppKey>,

    /// Shops that the consent links: all or exactly-one
    #[arg(long, value_name = "WHICH", default_value = "all", hide_possible_values = true)]
    shops: Shops,

    /// Consent at once as this seller of a fake; print the callback's query
    #[arg(long, value_name = "SELLER")]
    consent_as: Option<String>,

    #[command(flatten)]
    settings: HostArgs,
}

/// The shops that a consent links.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq)]
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
Open the link in the seller's browser. After the seller's decision, TikTok Shop sends the browser
back to the app's redirect address. Pass the whole address to the command connect. The link
contains a state. The state works only once, within ten minutes, and only for the user who ran this
command. With --fake, a second line shows the address of the fake's own consent page. If no setting
names a database, and the default database does not exist, the command creates it. Create a database
that a setting names with migrate.

A tenant with several apps needs --app: a seller consents to one app, and the connection stays with
it. If --app is missing, the error names the apps.

With --shops all, all shops of the consent are linked, and so are shops that are added later.
With --shops exactly-one, the shop is linked if the consent has only one shop. If the consent has
several shops, none of them is linked until you choose one with link-shops.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE:

  $ tiktok-shop-harness authorization-url customer-7
  https://services.tiktokshop.com/open/authorize?service_id=7480000000000000001&state=…
      open    http://127.0.0.1:…/open/authorize?service_id=7480000000000000001&state=…

  $ tiktok-shop-harness authorization-url customer-7 --consent-as one-shop |
      tiktok-shop-harness connect
  customer-7: Teapot Corner (GB), active
  …

Exit status: 0 if the consent has begun; 12 if the app's authorization link is missing; for others
see tiktok-shop-harness --help.";

#[derive(Serialize)]
struct Line<'a> {
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fake_consent_page: Option<&'a str>,
}

impl AuthorizationUrl {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { customer, app, shops, consent_as, settings } = self;
        if consent_as.is_some() && !settings.names_fake() {
            return Err(Failure::Malformed(
                "--consent-as needs --fake, because the seller is one of a fake".to_owned(),
            ));
        }
        let OpenedHost { host, opened, fake } = settings.open_or_create(Creation::Default, report).await?;
        let (tenant, browser) = (&opened.tenant, browser_session()?);
        let consent = host.begin_consent(tenant, &customer, app.as_ref(), &browser, shops.into()).await?;
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
