//! `disconnect`: ends connections.

use clap::Args;
use serde::Serialize;
use tiktok_shop_host::connection::Connection;
use tiktok_shop_host::disconnect::{DisconnectTarget, Disconnected, NotRevoked, RemoteGrant};
use tiktok_shop_host::{AccountId, CustomerId, ShopId};

use crate::failure::Failure;
use crate::output::{BAD, ConnectionLine, FailureLine, GOOD, Report, count, print_connection};
use crate::settings::{HostArgs, OpenedHost};

/// End a customer's connections, or remove one shop from them
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Disconnect {
    /// Customer whose connections end: all of them without --account or --shop
    customer: CustomerId,

    /// Only account to disconnect, with all its shops
    #[arg(long, value_name = "ID", conflicts_with = "shop")]
    account: Option<AccountId>,

    /// Only shop to remove; a connection without linked shops ends
    #[arg(long, value_name = "ID")]
    shop: Option<ShopId>,

    /// Also ask TikTok Shop to withdraw the app's access; the seller gets an e-mail
    #[arg(long)]
    revoke: bool,

    #[command(flatten)]
    settings: HostArgs,
}

const AFTER_HELP: &str = "\
The command deletes the tokens first, and it is idempotent. Without --revoke, it sends nothing to
TikTok Shop, and the seller can still remove the app in Seller Center. With --revoke, other
customers who have the same shop lose it as well.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness disconnect customer-7 --shop 7490000000000000001 --revoke
  customer-7 is disconnected

  $ tiktok-shop-harness disconnect customer-7
  customer-7 is disconnected

Exit status: 0 if the connections have ended, or if there were none; 1 if they have ended here but
TikTok Shop did not withdraw the access to a shop; for others see tiktok-shop-harness --help, and
run the same command again to finish.";

#[derive(Serialize)]
struct Line<'a> {
    customer: &'a str,
    /// Whether the customer had the account or the shop.
    found: bool,
    /// The connections that continue.
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
        let Self { customer, account, shop, revoke, settings } = self;
        let target = shop.map_or(DisconnectTarget::All(account), DisconnectTarget::Shop);
        let remote = if revoke { RemoteGrant::Revoke } else { RemoteGrant::Keep };
        let OpenedHost { host, opened, .. } = settings.open(report).await?;
        let before = host.list_connections(&opened.tenant, &customer).await?;
        let found = before.iter().any(|connection| contains(connection, &target));
        // An earlier attempt may have deleted only a part, so the host disconnects even if nothing was found.
        let Disconnected { not_revoked, .. } = host.disconnect(&opened.tenant, &customer, target, remote).await?;
        let remaining = host.list_connections(&opened.tenant, &customer).await?;
        if !not_revoked.is_empty() {
            report.set_refused();
        }
        if report.is_json() {
            report.json(&Line {
                customer: customer.as_str(),
                found,
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
        let continuing = count(remaining.len() as u64, "connection continues", "connections continue");
        match (remaining.is_empty(), found) {
            (true, _) => report.styled(GOOD, &format!("{customer} is disconnected")),
            (false, true) => report.styled(GOOD, &format!("{customer}: disconnected; {continuing}")),
            (false, false) => report.styled(BAD, &format!("{customer}: nothing to disconnect; {continuing}")),
        }
        remaining.iter().for_each(|connection| print_connection(connection, opened.now(), report));
        for NotRevoked { account, shop, failure } in &not_revoked {
            let shop = shop.as_ref().map_or_else(|| "all shops".to_owned(), |shop| format!("shop {shop}"));
            report.detail("access", BAD, &format!("TikTok Shop still grants {shop} of account {account}: {failure}"));
        }
        Ok(())
    }
}

/// Checks whether a connection contains the account or the linked shop.
fn contains(connection: &Connection, target: &DisconnectTarget) -> bool {
    match target {
        DisconnectTarget::All(account) => account.as_ref().is_none_or(|account| *account == connection.key.account),
        DisconnectTarget::Shop(id) => connection.shops.iter().any(|shop| shop.id == *id && shop.linked),
    }
}
