//! `link-shops`: sets which shops of an account are linked to the customer.

use clap::Args;
use tiktok_shop_host::connection::{Connection, ConnectionStatus, Shop, ShopStanding};
use tiktok_shop_host::{AccountId, CustomerId, ShopId};

use crate::failure::Failure;
use crate::output::{Report, print_connection};
use crate::settings::{HostArgs, OpenedHost};

/// Link the given shops of an account, and unlink all its other shops
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct LinkShops {
    /// Customer whose connection is changed
    customer: CustomerId,

    /// TikTok's ids of the shops to link; all other shops of the account are unlinked
    #[arg(value_name = "SHOP")]
    shops: Vec<ShopId>,

    /// Unlink all shops of the account; the tokens are kept
    #[arg(long, conflicts_with = "shops")]
    none: bool,

    /// Account whose shops are linked; required if the customer has several accounts
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,

    #[command(flatten)]
    settings: HostArgs,
}

const AFTER_HELP: &str = "\
This command sends nothing to TikTok Shop. list-connections shows the ids of the shops. Without an
id, the command changes nothing and fails, so an empty variable of a script unlinks no shop. A shop
that TikTok Shop no longer grants can't be linked, but it may stay linked.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness link-shops customer-7 7490000000000000001
  customer-7: Teapot Corner (GB), active
  …
      shop    7490000000000000001  Teapot Corner (GB), linked, cipher present

  $ tiktok-shop-harness link-shops customer-7 42
  error: invalid-request: unknown-shop: …

  $ tiktok-shop-harness link-shops customer-7
  error: no shop is named; name the shops to link, or unlink all shops with --none

Exit status: 0 if these shops are linked now; 2 if neither a shop nor --none is given; 11 if TikTok
Shop no longer grants one of the shops; 13 if the account does not have one of the shops. After any
status but 0, nothing has changed. For others see tiktok-shop-harness --help.";

impl LinkShops {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { customer, shops, none, account, settings } = self;
        if shops.is_empty() && !none {
            let what = "no shop is named; name the shops to link, or unlink all shops with --none";
            return Err(Failure::Malformed(what.to_owned()));
        }
        let OpenedHost { host, opened, .. } = settings.open(report).await?;
        let connection = host.link_shops(&opened.tenant, &customer, account.as_ref(), &shops).await?;
        print_connection(&connection, opened.now(), report);
        if connection.shops.iter().all(|shop| !shop.linked) {
            return Ok(());
        }
        let usable = match host.list_shops(&opened.tenant, &customer).await {
            Ok(usable) => usable,
            Err(error) => {
                // The shops are linked, so the command has succeeded.
                report.note(&format!("it is unknown whether {customer} can use the linked shops now: {error}"));
                return Ok(());
            }
        };
        for shop in connection.shops.iter().filter(|shop| shop.linked) {
            let found = usable.iter().find(|usable| usable.id == shop.id && usable.account == shop.account);
            if let Some(why) = problem(&connection, shop, found) {
                report.note(&format!("{customer} can't use the linked shop {} now: {why}", shop.id));
            }
        }
        Ok(())
    }
}

/// Returns a text that says why the customer can't use a linked shop now, and what to do. Returns `None` if the
/// customer can use the shop. `usable` is the shop in the list of the shops that the customer may use, if the list
/// contains it. That list decides, and the rest of this function only explains the decision.
fn problem(connection: &Connection, shop: &Shop, usable: Option<&Shop>) -> Option<&'static str> {
    if let Some(usable) = usable {
        let has_cipher = usable.cipher.is_some();
        return (!has_cipher).then_some("its cipher is not known here; run refresh, which reads the ciphers");
    }
    if matches!(connection.status, ConnectionStatus::ReauthorizationRequired(_)) {
        return Some("the connection does not work; the seller must consent again");
    }
    Some(match shop.standing {
        ShopStanding::NoLongerGranted => "TikTok Shop no longer grants it; the seller must consent again",
        ShopStanding::Unconfirmed => "TikTok Shop has not listed it since the new consent; run refresh",
        ShopStanding::Granted | ShopStanding::Inactive => "it has changed meanwhile; list-shops shows what can be used",
    })
}
