//! `disconnect`: ends connections.

use clap::Args;
use serde::Serialize;
use tiktok_shop_host::connection::Connection;
use tiktok_shop_host::disconnect::{DisconnectTarget, Disconnected, NotRevoked, RemoteGrant};
use tiktok_shop_host::{AccountId, CustomerId, ShopId};

use super::connection_view;
use super::failure::Failure;
use super::output::{BAD, GOOD, Report};
use super::settings::{Host, Setting};
use super::shapes::{ConnectionLine, FailureLine};

/// End a customer's connections, or take one shop out
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Disconnect {
    /// Whose connections; all of them, unless an account or a shop is named
    customer: CustomerId,

    /// Only this account, with all its shops
    #[arg(long, value_name = "ID", conflicts_with = "shop")]
    account: Option<AccountId>,

    /// Only this shop; with the last one the connection ends
    #[arg(long, value_name = "ID")]
    shop: Option<ShopId>,

    /// Ask TikTok Shop first to take the shops back; the seller gets an e-mail
    #[arg(long)]
    revoke: bool,

    #[command(flatten)]
    setting: Setting,
}

const AFTER_HELP: &str = "\
Tokens are deleted first. Twice is once. Without --revoke TikTok Shop is not asked, and the seller
can still remove the app in Seller Center. Other customers with the same shop lose it by a
revocation, too.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness disconnect customer-7 --shop 7490000000000000001 --revoke
  customer-7 is disconnected

  $ tiktok-shop-harness disconnect customer-7
  customer-7 is disconnected

Exit status: 0 if it is done, or there was nothing to do; 1 if it is done here, but TikTok Shop
still grants a shop that it was to take back; others: tiktok-shop-harness --help, then a
repetition finishes it.";

#[derive(Serialize)]
struct Line<'a> {
    customer: &'a str,
    /// Whether the customer had what was to be disconnected.
    found: bool,
    /// The customer's connections that go on.
    remaining: Vec<ConnectionLine<'a>>,
    not_revoked: Vec<NotRevokedLine<'a>>,
}

#[derive(Serialize)]
struct NotRevokedLine<'a> {
    account: &'a str,
    shop: Option<&'a str>,
    #[serde(flatten)]
    failure: FailureLine<'a>,
}

impl Disconnect {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { customer, account, shop, revoke, setting } = self;
        let target = shop.map_or(DisconnectTarget::All(account), DisconnectTarget::Shop);
        let remote = if revoke { RemoteGrant::Revoke } else { RemoteGrant::Keep };
        let Host { host, stored, .. } = setting.open(report).await?;
        let before = host.list_connections(&stored.tenant, &customer).await?;
        let is_meant = |connection: &Connection| match &target {
            DisconnectTarget::All(account) => account.as_ref().is_none_or(|account| *account == connection.key.account),
            DisconnectTarget::Shop(id) => connection.shops.iter().any(|shop| shop.id == *id && shop.linked),
        };
        let found_any = before.iter().any(is_meant);
        // Asked for all the same: an earlier try may have got halfway.
        let Disconnected { not_revoked, .. } =
            host.disconnect(&stored.tenant, &customer, target.clone(), remote).await?;
        let remaining = host.list_connections(&stored.tenant, &customer).await?;
        if !not_revoked.is_empty() {
            report.failed();
        }
        if report.is_json() {
            report.json(&Line {
                customer: customer.as_str(),
                found: found_any,
                remaining: remaining.iter().map(ConnectionLine::from).collect(),
                not_revoked: not_revoked
                    .iter()
                    .map(|NotRevoked { account, shop, failure }| NotRevokedLine {
                        account: account.as_str(),
                        shop: shop.as_ref().map(ShopId::as_str),
                        failure: failure.into(),
                    })
                    .collect(),
            });
            return Ok(());
        }
        if remaining.is_empty() {
            report.styled(GOOD, &format!("{customer} is disconnected"));
        } else {
            let how = if found_any { "goes on without it" } else { "does not have it, and goes on" };
            report.styled(if found_any { GOOD } else { BAD }, &format!("{customer} {how}"));
            remaining.iter().for_each(|connection| connection_view::tell(connection, stored.now(), report));
        }
        for NotRevoked { account, shop, failure } in &not_revoked {
            let shop = shop.as_ref().map_or("all shops", ShopId::as_str);
            report.detail("kept", BAD, &format!("TikTok Shop still grants {shop} of account {account}: {failure}"));
        }
        Ok(())
    }
}
