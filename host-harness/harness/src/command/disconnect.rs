//! `disconnect`: ends connections.

use clap::Args;
use serde::Serialize;
use tiktok_shop_host::connection::Connection;
use tiktok_shop_host::disconnect::{DisconnectTarget, Disconnected, NotRevoked, RemoteGrant};
use tiktok_shop_host::{AccountId, CustomerId, ShopId};

use crate::failure::Failure;
use crate::output::{BAD, ConnectionLine, FailureLine, GOOD, Report, count, print_connection};
use crate::settings::{HostArgs, Needs, OpenedHost};

/// End a customer's connections, or remove one shop from them
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Disconnect {
    /// Customer whose connections end; without --account and --shop, all of them end
    customer: CustomerId,

    /// Account to disconnect, with all its shops; other accounts stay
    #[arg(long, value_name = "ID", conflicts_with = "shop")]
    account: Option<AccountId>,

    /// Shop to remove; if no other shop is linked, the connection ends
    #[arg(long, value_name = "ID")]
    shop: Option<ShopId>,

    /// Also ask TikTok Shop to withdraw the app's access; the seller gets an e-mail
    #[arg(long)]
    revoke: bool,

    #[command(flatten)]
    settings: HostArgs,
}

const AFTER_HELP: &str = "\
The command deletes the tokens first, and then the rest of the connection. You can safely repeat
it. Without --revoke, it sends nothing to TikTok Shop, and the seller can still remove the app in
Seller Center. With --revoke, it asks TikTok Shop before it deletes anything. Other customers who
have the same shop then lose the access too. Without --revoke and --shop, the command needs no host
keys, so that connections can be ended after the host keys are lost.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness disconnect customer-7 --shop 7490000000000000001 --revoke
  customer-7 is disconnected

  $ tiktok-shop-harness disconnect customer-7
  customer-7 is disconnected

Exit status: 0 if the connections have ended, or if there were none; 1 if they have ended here but
TikTok Shop did not withdraw the access to a shop; for others see tiktok-shop-harness --help. After
any other status, run the same command again to finish.";

#[derive(Serialize)]
struct Line<'a> {
    customer: &'a str,
    /// Whether the customer had the account or the linked shop before the command.
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
        // A whole connection is deleted without opening anything. To remove one of its shops, the ciphers of the other
        // shops are sealed again.
        let opens_nothing = matches!((&target, remote), (DisconnectTarget::All(_), RemoteGrant::Keep));
        let needs = if opens_nothing { Needs::NO_KEYS } else { Needs::EVERYTHING };
        let OpenedHost { host, opened, .. } = settings.open_for(needs, report).await?;
        let before = host.list_connections(&opened.tenant, &customer).await?;
        let found = before.iter().any(|connection| contains(connection, &target));
        // An interrupted `connect` may have stored tokens without a row. Such a connection is not in the list, but its
        // tokens must be deleted. So this command calls `disconnect` even if the list does not contain the target.
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

/// Checks whether a connection belongs to the target: it has the account of the target, or the shop of the target is
/// linked in it.
fn contains(connection: &Connection, target: &DisconnectTarget) -> bool {
    match target {
        DisconnectTarget::All(account) => account.as_ref().is_none_or(|account| *account == connection.key.account),
        DisconnectTarget::Shop(id) => connection.shops.iter().any(|shop| shop.id == *id && shop.linked),
    }
}
