//! `connect`: finishes a consent.

use std::io;

use clap::Args;
use tiktok_shop_host::connection::ShopPolicy;
use tiktok_shop_host::{CustomerId, Secret};

use super::authorization_url::Shops;
use super::failure::Failure;
use super::output::{Report, ask};
use super::settings::{Host, Setting};
use super::{browser, connection_view, input};

/// Finish a consent: turn the callback on standard input into a connection
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Connect {
    /// Of an install from TikTok's App Store, which has no state: whose it is
    #[arg(long, value_name = "CUSTOMER")]
    app_store: Option<CustomerId>,

    /// Which shops such an install links: all (default), exactly-one
    #[arg(long, value_name = "WHICH", hide_possible_values = true, requires = "app_store")]
    shops: Option<Shops>,

    #[command(flatten)]
    setting: Setting,
}

const AFTER_HELP: &str = "\
Reads the address that the seller's browser was sent back to, or its query, from standard input.
The state in it says which customer it is, and must be of a consent that this user began with
authorization-url, for the same tenant and storage, within ten minutes. The code in it is a
secret: it is no argument, and never printed.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE:

  $ tiktok-shop-harness authorization-url customer-7 --consent-as one-shop |
      tiktok-shop-harness connect
  customer-7: Teapot Corner (GB), active
      account …
      access  2026-01-08T00:00:00Z, in 7 days
      ends    2124-12-08T00:00:00Z, in 36135 days
      shop    7490000000000000001  Teapot Corner (GB), linked, cipher present

  $ echo 'https://platform.example/callback?code=spent&state=unknown' | tiktok-shop-harness connect
  error: consent-not-finished: state-mismatch: …

Exit status: 0 if it is connected; 2 if the input is no callback; 4 if the state does not fit; 11
if the seller refused or the code is worth nothing; others: tiktok-shop-harness --help.";

/// Longest callback, in bytes.
const MOST_BYTES: u64 = 64 * 1024;

impl Connect {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        ask("Paste the address that the browser was sent back to, and press Enter:");
        let query = query(&input::line(io::stdin().lock(), MOST_BYTES)?)?;
        let Host { host, stored, .. } = self.setting.open(report).await?;
        let connection = match self.app_store {
            Some(customer) => {
                let shops = self.shops.unwrap_or(Shops::All).into();
                host.finish_app_store_install(&stored.tenant, &customer, query, shops).await?
            }
            None => host.finish_consent(&stored.tenant, &browser::session()?, query).await?,
        };
        connection_view::tell(&connection, stored.now(), report);
        let to_choose = connection.shop_policy == ShopPolicy::ExactlyOne && connection.shops.len() > 1;
        if to_choose && connection.shops.iter().all(|shop| !shop.linked) {
            report.note(&format!("no shop is linked yet: link-shops {} SHOP chooses one", connection.key.customer));
        }
        Ok(())
    }
}

/// What stands behind the `?` of an address, or the whole of what is a query already.
fn query(callback: &str) -> Result<Secret, Failure> {
    let malformed = |what: &str| Err(Failure::Malformed(format!("standard input: {what}")));
    let query = if callback.starts_with("http://") || callback.starts_with("https://") {
        let address = callback.split('#').next().unwrap_or_default();
        address.split_once('?').map_or("", |(_, query)| query)
    } else {
        callback.trim_start_matches('?')
    };
    match query {
        _ if callback.is_empty() => malformed("empty; the address that the browser was sent back to is expected"),
        query if query.chars().any(|c| c.is_control() || c == ' ') => {
            malformed("no callback: it holds a space or a control character")
        }
        query if !query.contains('=') => malformed("no callback: it has no query, such as code=…&state=…"),
        query => Ok(query.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_what_stands_behind_the_question_mark() {
        for (callback, expected) in [
            ("https://p.example/cb?code=c&state=s", "code=c&state=s"),
            ("http://127.0.0.1:4010/callback?code=c&state=s#top", "code=c&state=s"),
            ("https://p.example/cb?code=a?b&state=s", "code=a?b&state=s"),
            ("?code=c&state=s", "code=c&state=s"),
            ("code=c&state=s", "code=c&state=s"),
        ] {
            assert_eq!(query(callback).unwrap(), expected.into(), "{callback}");
        }
    }

    #[test]
    fn what_is_no_callback_is_refused_without_being_repeated() {
        for callback in
            ["", "CANARY", "https://p.example/CANARY", "https://p.example/?", "code=CANARY CANARY", "code=\0CANARY"]
        {
            let Failure::Malformed(text) = query(callback).unwrap_err() else { panic!("{callback}") };
            assert!(text.starts_with("standard input: ") && !text.contains("CANARY"), "{text}");
        }
    }
}
