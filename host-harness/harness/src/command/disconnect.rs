//! `disconnect`: ends connections.

use anstyle::Style;
use clap::Args;
use serde::Serialize;
use tiktok_shop_host::connection::{Connection, ConnectionKey};
use tiktok_shop_host::disconnect::{
    DisconnectTarget, Disconnected, NotRevoked, RemoteGrant, RevokedShop, SharedConnection, SharedConnections,
};
use tiktok_shop_host::storage::{Row, StorageError};
use tiktok_shop_host::{AccountId, CustomerId, ShopId};

use crate::failure::Failure;
use crate::output::{
    Answer, BAD, ConnectionLine, FailureLine, GOOD, Report, can_ask, confirm, count, print_connection,
};
use crate::settings::{HostArgs, Needs, OpenedHost, OpenedStorage};

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

    /// Skip the confirmation; required if standard input is not a terminal
    #[arg(long, requires = "revoke")]
    yes: bool,

    /// Succeed even if the customer has no such connection or shop
    #[arg(long)]
    allow_absent: bool,

    #[command(flatten)]
    settings: HostArgs,
}

const AFTER_HELP: &str = "\
The command deletes the tokens first, and then the rest of the connection. Without --revoke, it
sends nothing to TikTok Shop, and the seller can still remove the app in Seller Center. With
--revoke, it asks TikTok Shop before it deletes anything. Other customers of the tenant who have the
same shops then lose them too. So the command first says whom it concerns, and asks on a terminal.
To know these customers, the command first refreshes the connections, unless --shop is given: it
renews tokens that are due, and reads TikTok Shop's lists of shops. If a list can't be read
completely, a note says so, and --json shows the account in shops_not_read.
A connection that TikTok Shop or the seller has ended before has no access to withdraw: nothing is
sent for it, and a line says why. If --shop ends one connection and others continue, the lines say
which.
If the customer, account or shop is not there, the command ends with status 5: it asks and changes
nothing.
Without --revoke and --shop, the command needs no host keys, so that connections can be ended after
the host keys are lost.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ tiktok-shop-harness disconnect customer-7 --shop 7490000000000000001 --revoke --yes
  customer-7 is disconnected
      access  the app has lost shop 7490000000000000001 of account …

  $ tiktok-shop-harness disconnect customer-7
  error: customer-7 is not connected; list-connections --tenant-wide shows who is

  $ tiktok-shop-harness disconnect customer-7 --allow-absent
  customer-7: nothing to disconnect

Exit status: 0 if the connections have ended; 1 if they have ended here but TikTok Shop did not
withdraw the access to a shop, or if the answer to the question was no; 2 if --revoke needs --yes,
and then nothing was sent; 5 if there is nothing of that name; for others see tiktok-shop-harness
--help. After any other status, run the same command with --allow-absent again to finish.";

/// The error if `--revoke` has neither `--yes` nor a terminal. The command does not say whom the revocation concerns,
/// because it has refreshed no connection.
const NEEDS_YES: &str = "--revoke: TikTok Shop would withdraw the app's access, and other customers who have the same \
                         shops would lose them, too; confirm with --yes";

/// The first words of each error that says that the command has ended no connection. The command may still have
/// refreshed connections.
const NOTHING_ENDED: &str = "nothing was revoked or deleted";

#[derive(Serialize)]
struct Line<'a> {
    customer: &'a str,
    /// Whether the customer had such a connection or shop before the command was run.
    found: bool,
    /// The connections that continue. `None` if they could not be read after the connections had ended.
    remaining: Option<Vec<ConnectionLine<'a>>>,
    /// The accounts whose connections have ended. `None` if the connections that continue could not be read.
    ended: Option<Vec<&'a str>>,
    not_revoked: Vec<NotRevokedLine<'a>>,
    /// The shops to which the app has lost its access. `None` without `--revoke`.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<Vec<RevokedLine<'a>>>,
    /// The accounts for which nothing was revoked, because the app had lost its access before. `None` without
    /// `--revoke`.
    #[serde(skip_serializing_if = "Option::is_none")]
    access_lost_before: Option<Vec<LostLine<'a>>>,
    /// The connections of other customers that have the same shops and lose them, too. `None` without `--revoke`.
    #[serde(skip_serializing_if = "Option::is_none")]
    shared: Option<Vec<SharedLine<'a>>>,
    /// The accounts whose complete list of shops was not read. Because of these accounts, `shared` may lack connections
    /// and shops. `None` without `--revoke`.
    #[serde(skip_serializing_if = "Option::is_none")]
    shops_not_read: Option<Vec<&'a str>>,
}

#[derive(Serialize)]
struct NotRevokedLine<'a> {
    account: &'a str,
    shop: Option<&'a str>,
    #[serde(flatten)]
    failure: FailureLine<'a>,
}

#[derive(Serialize)]
struct RevokedLine<'a> {
    account: &'a str,
    shop: &'a str,
}

#[derive(Serialize)]
struct LostLine<'a> {
    account: &'a str,
    reason: &'static str,
}

#[derive(Serialize)]
struct SharedLine<'a> {
    customer: &'a str,
    account: &'a str,
    shops: Vec<&'a str>,
}

impl Disconnect {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { customer, account, shop, revoke, yes, allow_absent, settings } = self;
        let target = shop.map_or(DisconnectTarget::All(account), DisconnectTarget::Shop);
        let remote = if revoke { RemoteGrant::Revoke } else { RemoteGrant::Keep };
        // To delete a whole connection, nothing must be opened. To remove one shop, the ciphers of the connection's
        // other shops must be sealed again, so this needs host keys.
        let opens_nothing = matches!((&target, remote), (DisconnectTarget::All(_), RemoteGrant::Keep));
        let needs = if opens_nothing { Needs::NO_KEYS } else { Needs::EVERYTHING };
        let OpenedHost { host, opened, .. } = settings.open_for(needs, report).await?;
        let must_ask = revoke && !yes;
        let mut before = Vec::new();
        let (shared, ended) = if must_ask && !is_stored(&opened, &customer, &target).await? {
            // A connection that begins after this check must not be revoked without a question, so nothing is called.
            let nothing =
                Disconnected { found: Vec::new(), remaining: Vec::new(), revoked: Vec::new(), not_revoked: Vec::new() };
            (SharedConnections::default(), nothing)
        } else {
            if must_ask && !can_ask() {
                return Err(Failure::Malformed(NEEDS_YES.to_owned()));
            }
            let shared = match remote {
                RemoteGrant::Revoke => {
                    let stop = report.stop.cancelled();
                    host.shared_connections(&opened.tenant, &customer, &target, stop).await?
                }
                RemoteGrant::Keep => SharedConnections::default(),
            };
            check_stop(report)?;
            note_unread(&shared.shops_not_read, report);
            if must_ask {
                ask_to_revoke(&shared.connections, report).await?;
                check_stop(report)?;
            }
            if revoke {
                // The refresh before this has shown which connections do not work any more.
                before = host.list_connections(&opened.tenant, &customer).await?;
            }
            let ended = host.disconnect(&opened.tenant, &customer, target.clone(), remote).await?;
            (shared, ended)
        };
        let Disconnected { found, revoked, not_revoked, .. } = ended;
        let lost: Vec<_> =
            before.iter().filter(|connection| found.contains(&connection.key)).filter_map(lost).collect();
        if found.is_empty() && !allow_absent {
            return Err(Failure::Absent(absent(&customer, &target)));
        }
        if !not_revoked.is_empty() {
            report.set_refused();
        }
        // The connections have ended. So if the others can't be read, the command still reports what it has done.
        let (remaining, failure) = match host.list_connections(&opened.tenant, &customer).await {
            Ok(remaining) => (Some(remaining), None),
            Err(error) => (None, Some(error)),
        };
        let continues = |key: &&ConnectionKey| remaining.iter().flatten().any(|connection| connection.key == **key);
        let ended: Option<Vec<_>> = remaining.as_ref().map(|_| found.iter().filter(|key| !continues(key)).collect());
        if report.is_json() {
            report.json(&Line {
                customer: customer.as_str(),
                found: !found.is_empty(),
                remaining: remaining.as_ref().map(|remaining| remaining.iter().map(ConnectionLine::from).collect()),
                ended: ended.map(|ended| ended.iter().map(|key| key.account.as_str()).collect()),
                not_revoked: not_revoked
                    .iter()
                    .map(|NotRevoked { account, shop, failure }| NotRevokedLine {
                        account: account.as_str(),
                        shop: shop.as_ref().map(ShopId::as_str),
                        failure: failure.into(),
                    })
                    .collect(),
                revoked: revoke.then(|| revoked.iter().map(RevokedLine::from).collect()),
                access_lost_before: revoke.then_some(lost),
                shared: revoke.then(|| shared.connections.iter().map(SharedLine::from).collect()),
                shops_not_read: revoke.then(|| shared.shops_not_read.iter().map(AccountId::as_str).collect()),
            });
        } else {
            let (style, text) = summary(&customer, &target, !found.is_empty(), remaining.as_deref());
            report.styled(style, &text);
            // If every connection has ended, the line above says so.
            if remaining.as_ref().is_some_and(|remaining| !remaining.is_empty()) {
                for key in ended.iter().flatten() {
                    report.detail("ended", GOOD, &format!("the connection to account {}", key.account));
                }
            }
            for connection in remaining.iter().flatten() {
                print_connection(connection, opened.now(), report);
            }
            for RevokedShop { account, shop } in &revoked {
                report.detail("access", GOOD, &format!("the app has lost shop {shop} of account {account}"));
            }
            for LostLine { account, reason } in &lost {
                let text = format!(
                    "nothing was revoked for account {account}, because the app had lost its access before ({reason})"
                );
                report.detail("access", Style::new(), &text);
            }
            for NotRevoked { account, shop, failure } in &not_revoked {
                let shop = shop.as_ref().map_or_else(|| "all shops".to_owned(), |shop| format!("shop {shop}"));
                let text = format!("TikTok Shop still grants {shop} of account {account}: {failure}");
                report.detail("access", BAD, &text);
            }
            for connection in &shared.connections {
                report.detail("shared", BAD, &described(connection));
            }
        }
        report.flush();
        failure.map_or(Ok(()), |failure| Err(failure.into()))
    }
}

/// Returns whether a connection is stored that `target` names. An interrupted `connect` may have stored tokens without
/// a row, and they count as a connection, because `disconnect` deletes them.
async fn is_stored(
    opened: &OpenedStorage,
    customer: &CustomerId,
    target: &DisconnectTarget,
) -> Result<bool, StorageError> {
    let OpenedStorage { storage, tenant, .. } = opened;
    let rows = storage.list_rows(tenant, customer).await?;
    let account = match target {
        DisconnectTarget::Shop(id) => {
            let has_shop = |row: &Row| row.index.shops.iter().any(|shop| shop.id == *id);
            return Ok(rows.iter().any(|entry| has_shop(&entry.row)));
        }
        DisconnectTarget::All(account) => account.as_ref(),
    };
    let is_meant = |found: &AccountId| account.is_none_or(|account| account == found);
    let has_tokens = storage.accounts(tenant, customer).await?.iter().any(is_meant);
    Ok(has_tokens || rows.iter().any(|entry| is_meant(&entry.row.key.account)))
}

/// Returns a line that says what has ended and how many connections continue, with its style. `remaining` is `None` if
/// the connections that continue could not be read.
fn summary(
    customer: &CustomerId,
    target: &DisconnectTarget,
    found: bool,
    remaining: Option<&[Connection]>,
) -> (Style, String) {
    let continuing = match remaining {
        None => "; the connections that continue can't be read".to_owned(),
        Some([]) => String::new(),
        Some(some) => format!("; {}", count(some.len() as u64, "connection continues", "connections continue")),
    };
    match (found, remaining) {
        (false, _) => (BAD, format!("{customer}: nothing to disconnect{continuing}")),
        (true, Some([])) => (GOOD, format!("{customer} is disconnected")),
        (true, _) => match target {
            DisconnectTarget::All(_) => (GOOD, format!("{customer}: disconnected{continuing}")),
            DisconnectTarget::Shop(shop) => (GOOD, format!("{customer}: shop {shop} is removed{continuing}")),
        },
    }
}

/// Returns the account of a connection that does not work any more, with the reason. Returns `None` if it works.
fn lost(connection: &Connection) -> Option<LostLine<'_>> {
    let reason = connection.status.reason()?.as_str();
    Some(LostLine { account: connection.key.account.as_str(), reason })
}

/// Prints a note for each account whose complete list of shops was not read.
fn note_unread(accounts: &[AccountId], report: &Report) {
    for account in accounts {
        report.note(&format!(
            "TikTok Shop's list of the shops of account {account} was not read completely, so other customers who lose \
             shops may not be shown"
        ));
    }
}

/// Prints which other customers would lose shops, and asks the user to confirm the revocation. Fails if the answer is
/// no, or if a signal asks the program to end before there is an answer.
async fn ask_to_revoke(shared: &[SharedConnection], report: &Report) -> Result<(), Failure> {
    let question = "TikTok Shop will withdraw the app's access, and the seller gets an e-mail. Continue? [y/N]";
    shared.iter().for_each(|connection| report.note(&described(connection)));
    match confirm(question, &report.stop).await {
        Answer::Yes => Ok(()),
        Answer::No => Err(Failure::Refused(format!("{NOTHING_ENDED}, because the answer was not yes"))),
        Answer::Stopped => Err(stopped()),
    }
}

/// Returns an error if a signal has asked the program to end. [`Report::check_stop`] says that nothing was begun, but
/// this command may have refreshed connections before.
fn check_stop(report: &Report) -> Result<(), Failure> {
    if report.stop.is_cancelled() { Err(stopped()) } else { Ok(()) }
}

fn stopped() -> Failure {
    Failure::Stopped(format!("{NOTHING_ENDED}; run the same command again"))
}

/// Returns a sentence that says which shops another customer loses.
fn described(SharedConnection { key, shops }: &SharedConnection) -> String {
    let shops = shops.iter().map(ShopId::as_str).collect::<Vec<_>>().join(", ");
    format!("customer {} (account {}) has the same shops and loses them, too: {shops}", key.customer, key.account)
}

/// Returns the text of the error for a customer who has no such connection, account or shop. The text also names the
/// command that lists what exists.
fn absent(customer: &CustomerId, target: &DisconnectTarget) -> String {
    let (what, look) = match target {
        DisconnectTarget::All(None) => {
            return format!("{customer} is not connected; list-connections --tenant-wide shows who is");
        }
        DisconnectTarget::All(Some(account)) => (format!("account {account}"), "accounts"),
        DisconnectTarget::Shop(shop) => (format!("shop {shop}"), "shops"),
    };
    format!("{customer} has no {what}; list-connections {customer} shows the {look}")
}

impl<'a> From<&'a RevokedShop> for RevokedLine<'a> {
    fn from(RevokedShop { account, shop }: &'a RevokedShop) -> Self {
        Self { account: account.as_str(), shop: shop.as_str() }
    }
}

impl<'a> From<&'a SharedConnection> for SharedLine<'a> {
    fn from(SharedConnection { key, shops }: &'a SharedConnection) -> Self {
        Self {
            customer: key.customer.as_str(),
            account: key.account.as_str(),
            shops: shops.iter().map(ShopId::as_str).collect(),
        }
    }
}
