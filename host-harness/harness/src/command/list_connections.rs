//! `list-connections`: lists the connections of a customer, or of the whole tenant.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, value_parser};
use tiktok_shop_host::connection::{ConnectionKey, StatusKind};
use tiktok_shop_host::list::Listed;
use tiktok_shop_host::storage::RowFilter;
use tiktok_shop_host::{AccountId, CustomerId, ShopId};

use super::left_out;
use crate::failure::Failure;
use crate::output::{Report, print_connection};
use crate::settings::{HostArgs, Needs, OpenedHost};

/// List the connections of a customer or of a tenant, with status and all shops
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ListConnections {
    /// Customer whose connections are listed
    #[arg(conflicts_with = "tenant_wide")]
    customer: Option<CustomerId>,

    /// List all connections of the tenant, page by page
    #[arg(long)]
    tenant_wide: bool,

    /// List only connections that had this status at their last refresh
    #[arg(long, value_name = "STATUS", requires = "tenant_wide", value_parser = status(), hide_possible_values = true)]
    status: Option<StatusKind>,

    /// List only connections that contain this shop
    #[arg(long, value_name = "ID", requires = "tenant_wide")]
    shop: Option<ShopId>,

    /// List only connections of sellers with exactly this name
    #[arg(long, value_name = "NAME", requires = "tenant_wide")]
    seller: Option<String>,

    /// List only connections of this seller account
    #[arg(long, value_name = "ID", requires = "tenant_wide")]
    account: Option<AccountId>,

    /// Maximum number of connections, 1 to 1000 [default: 100]
    #[arg(long, value_name = "NUMBER", requires = "tenant_wide", value_parser = value_parser!(u16).range(1..=1000))]
    limit: Option<u16>,

    /// Start after this connection; give its customer and its account
    #[arg(long, num_args = 2, value_names = ["CUSTOMER", "ACCOUNT"], requires = "tenant_wide")]
    #[arg(allow_hyphen_values = true)]
    after: Vec<String>,

    #[command(flatten)]
    settings: HostArgs,
}

const AFTER_HELP: &str = "\
This command reads the storage and sends nothing to TikTok Shop. It also works without the right
host keys. Then it shows \"cipher none\" for every shop. refresh, call, link-shops and disconnect
accept the customer and the account that the list shows.

With --tenant-wide, the list is ordered by customer and account. The statuses are active,
authorization-ending and reauthorization-required. If there may be more connections, a note says how
to continue: with --after and the customer and the account of the last connection, as in
list-connections --tenant-wide --after customer-7 ACCOUNT.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness list-connections customer-7
  customer-7: Teapot Corner (GB), active
      account …
      app     6fakeapp00001
      token   ends …
      consent ends …
      shop    7490000000000000001  Teapot Corner (GB), linked, cipher present

  $ tiktok-shop-harness list-connections --tenant-wide --shop 7490000000000000001 --json
  {\"customer\":\"customer-7\",…,\"status\":\"active\",…}

  $ tiktok-shop-harness list-connections --tenant-wide --status reauthorization-required
  note: no connection of the tenant matches

Exit status: 0, also if there is no such connection; 16 if the list leaves out a connection, because
its row is missing or was changed in the database; for others see tiktok-shop-harness --help.";

/// The error if the command has no customer. It is not an error of the parser, so that it can name the other way.
const NO_CUSTOMER: &str = "no customer is named; name the customer, or list the connections of all customers with \
                           --tenant-wide";

/// The maximum number of connections in a page if `--limit` is not given.
const LIMIT: u16 = 100;

/// Returns the parser of `--status`, which accepts the name of each kind of status.
fn status() -> impl TypedValueParser<Value = StatusKind> {
    PossibleValuesParser::new(StatusKind::ALL.map(StatusKind::as_str)).try_map(|word| word.parse::<StatusKind>())
}

impl ListConnections {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { customer, tenant_wide, status, shop, seller, account, limit, after, settings } = self;
        if customer.is_none() && !tenant_wide {
            return Err(Failure::Malformed(NO_CUSTOMER.to_owned()));
        }
        let filter = RowFilter { status, shop, account, seller_name: seller };
        let after = match after.as_slice() {
            [] => None,
            [customer, account] => Some(key(customer, account)?),
            _ => return Err(Failure::Malformed("--after <CUSTOMER> <ACCOUNT> is given twice".to_owned())),
        };
        let limit = usize::from(limit.unwrap_or(LIMIT));
        let OpenedHost { host, opened, .. } = settings.open_for(Needs::NO_KEYS, report).await?;
        let Listed { entries: connections, left_out } = match &customer {
            Some(customer) => host.listed_connections(&opened.tenant, customer).await?,
            None => host.tenant_page(&opened.tenant, &filter, after.as_ref(), limit).await?,
        };
        connections.iter().for_each(|connection| print_connection(connection, opened.now(), report));
        match (customer, connections.last()) {
            (Some(customer), None) if left_out.is_empty() && !report.is_json() => {
                report.note(&format!("{customer} is not connected; begin a consent with authorization-url"));
            }
            (None, None) if left_out.is_empty() && !report.is_json() => {
                report.note("no connection of the tenant matches")
            }
            (None, Some(last)) if connections.len() == limit => report.note(&format!(
                "there may be more connections; continue with --after {} {}",
                quoted(last.key.customer.as_str()),
                quoted(last.key.account.as_str())
            )),
            _ => {}
        }
        report.flush();
        left_out::check(&left_out)
    }
}

fn key(customer: &str, account: &str) -> Result<ConnectionKey, Failure> {
    let malformed = |error: tiktok_shop_host::InvalidId| Failure::Malformed(format!("--after: {error}"));
    Ok(ConnectionKey { customer: customer.parse().map_err(malformed)?, account: account.parse().map_err(malformed)? })
}

/// Returns the text in a form that a shell reads as one word, in quotes if necessary.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@+,".contains(c);
    if text.chars().all(is_plain) && !text.starts_with('-') {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_shell_reads_a_quoted_text_as_one_word() {
        for (text, expected) in
            [("customer-7", "customer-7"), ("a b", "'a b'"), ("a'b", "'a'\\''b'"), ("$(x)", "'$(x)'"), ("-x", "'-x'")]
        {
            assert_eq!(quoted(text), expected);
        }
    }
}
