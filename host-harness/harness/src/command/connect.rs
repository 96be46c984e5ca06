//! `connect`: finishes a consent, or begins and confirms an install from TikTok's App Store.

use clap::Args;
use serde::Serialize;
use tiktok_shop_connector_core::callback::check_form;
use tiktok_shop_host::connection::{Connection, ShopPolicy};
use tiktok_shop_host::consent::BrowserSession;
use tiktok_shop_host::install::{InstallId, PendingInstall};
use tiktok_shop_host::{AppKey, ConnectorHost, CustomerId, Secret, TenantId};

use super::authorization_url::Shops;
use crate::failure::Failure;
use crate::input;
use crate::output::{Answer, ConnectionLine, Report, ask, can_ask, confirm, print_connection, print_install};
use crate::settings::{Creation, HostArgs, OpenedHost, browser_session, one_line};

/// Finish a consent: read its callback from standard input, store the connection
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Connect {
    /// Customer to connect; only after an install from TikTok's App Store
    #[arg(long, value_name = "CUSTOMER", value_parser = one_line::<CustomerId>)]
    app_store: Option<CustomerId>,

    /// Key of the installed app; needed if the tenant has several
    #[arg(long, value_name = "KEY", value_parser = one_line::<AppKey>, requires = "app_store")]
    app: Option<AppKey>,

    /// Shops that the App Store install links: all (default) or exactly-one
    #[arg(long, value_name = "WHICH", hide_possible_values = true, requires = "app_store")]
    shops: Option<Shops>,

    /// Confirm the App Store install with this ID; reads no callback
    #[arg(long, value_name = "ID", value_parser = install_id, requires = "app_store", conflicts_with = "app")]
    confirm: Option<InstallId>,

    /// Delete the App Store install with this ID, and its tokens
    #[arg(
        long,
        value_name = "ID",
        value_parser = install_id,
        requires = "app_store",
        conflicts_with_all = ["app", "shops", "confirm"]
    )]
    cancel: Option<InstallId>,

    #[command(flatten)]
    settings: HostArgs,
}

const AFTER_HELP: &str = "\
The callback is the address to which TikTok Shop sent the seller's browser back, or only its query.
The command also reads what authorization-url --consent-as prints with --json.
The state in the callback identifies the customer. The same user must have begun the consent with
authorization-url, for the same tenant and storage, in the last ten minutes. The code in the
callback is a secret, so connect does not take it as an argument and never prints it.

After an install from TikTok's App Store, the callback has no state, so --app-store gives the
customer. Anybody can make such a callback, so the command shows the seller and the shops first. On
a terminal it asks whether to connect them. Otherwise it prints an ID and connects nothing. To
connect the shops, run the command again with --confirm ID, as the same user, within 30 minutes. If
they are not the customer's shops, run it with --cancel ID. With --app-store, if no setting names a
database, and the default database does not exist, the command creates it. Create a database that
a setting names with migrate.

If the consent grants no shop, the connection is stored, and a note says so. With --json, the member
note contains the note. Often the seller's shops are then in another market than the app.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE:

  $ tiktok-shop-harness authorization-url customer-7 --consent-as one-shop |
      tiktok-shop-harness connect
  customer-7: Teapot Corner (GB), active
      account …
      app     6fakeapp00001
      token   ends 2026-01-08T00:00:00Z, in 7 days
      consent ends 2124-12-08T00:00:00Z, in 36135 days
      shop    7490000000000000001  Teapot Corner (GB), linked, cipher present

  $ echo 'https://platform.example/callback?code=spent&state=unknown' | tiktok-shop-harness connect
  error: consent-not-finished: state-mismatch: …

Exit status: 0 if the customer is connected, or if an install waits for --confirm; 1 if the answer
to the question was no; 2 if the input is not a callback; 4 if the state or the ID is not valid; 5
if no install with the ID of --cancel waits; 11 if the seller refused or the code is not valid; for
others see tiktok-shop-harness --help.";

/// The connection, as JSON.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    connection: ConnectionLine<'a>,
    /// What the user should know about the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
}

/// The maximum length of the callback: 64 KiB.
pub(super) const MAX_BYTES: u64 = 64 * 1024;

/// Reads the ID of a pending install.
fn install_id(text: &str) -> Result<InstallId, &'static str> {
    InstallId::parse(text).ok_or("an ID has 64 hexadecimal digits; connect --app-store prints it")
}

impl Connect {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { app_store, app, shops, confirm, cancel, settings } = self;
        let shops = shops.unwrap_or(Shops::All);
        let query = if confirm.is_some() || cancel.is_some() { None } else { Some(read_callback(report).await?) };
        // The state in a callback was stored when the consent began, so its database exists. Only an install from
        // TikTok's App Store begins with this command.
        let creation = match (&app_store, &query) {
            (Some(_), Some(_)) => Creation::Default,
            (None, _) | (_, None) => Creation::Nothing,
        };
        let OpenedHost { host, opened, .. } = settings.open_or_create(creation, report).await?;
        let browser = browser_session()?;
        let tenant = &opened.tenant;
        let connection = match (app_store, query) {
            (Some(customer), query) => {
                let visit = Visit { host: &host, tenant, customer, browser, shops };
                let confirmed = match (query, confirm, cancel) {
                    (Some(query), ..) => visit.begin(app.as_ref(), query, report).await?,
                    (None, Some(id), _) => Some(id),
                    (None, None, Some(id)) => {
                        visit.cancel(&id).await?;
                        report.note(CANCELLED);
                        None
                    }
                    (None, None, None) => None,
                };
                match confirmed {
                    Some(id) => visit.confirm(&id).await?,
                    None => return Ok(()),
                }
            }
            (None, Some(query)) => host.finish_consent(tenant, &browser, query).await?,
            // The argument parser accepts --confirm and --cancel only with --app-store.
            (None, None) => return Err(Failure::Malformed("--confirm and --cancel need --app-store".to_owned())),
        };
        let note = has_no_shop(&connection).then(|| no_shop(&connection));
        if report.is_json() {
            report.json(&Line { connection: ConnectionLine::from(&connection), note: note.as_deref() });
        } else {
            print_connection(&connection, opened.now(), report);
        }
        if let Some(note) = &note {
            report.note(note);
        }
        if must_choose_a_shop(&connection) {
            report.note(&format!("no shop is linked yet; choose one with link-shops {} SHOP", connection.key.customer));
        }
        Ok(())
    }
}

/// The note after an install was cancelled.
const CANCELLED: &str =
    "the install is deleted, and nothing is connected; the seller can remove the app in Seller Center";

/// The error for an install that does not wait, or no longer.
fn no_install() -> Failure {
    let text = "no App Store install with this ID waits, so nothing was changed; it was cancelled, or is older than 30 \
                minutes, or belongs to another tenant or database";
    Failure::Absent(text.to_owned())
}

/// Reads the callback from standard input, and returns its query.
async fn read_callback(report: &Report) -> Result<Secret, Failure> {
    ask("Paste the address to which the browser was sent back, and press Enter:");
    let read = input::standard_input(&report.stop, |stdin| input::line(stdin, MAX_BYTES)).await;
    let line = read.map_err(|failure| {
        let Failure::Malformed(what) = failure else { return failure };
        Failure::Malformed(format!("{what}; expected only the address to which the browser was sent back"))
    })?;
    query(&line)
}

/// An install from TikTok's App Store by the user of this program.
struct Visit<'a> {
    host: &'a ConnectorHost,
    tenant: &'a TenantId,
    customer: CustomerId,
    browser: BrowserSession,
    shops: Shops,
}

impl Visit<'_> {
    /// Begins the install and shows the seller and the shops. On a terminal, asks whether to connect them, and returns
    /// the id after a yes. Otherwise prints the id for the second command, and returns `None`.
    async fn begin(
        &self,
        app: Option<&AppKey>,
        query: Secret,
        report: &mut Report,
    ) -> Result<Option<InstallId>, Failure> {
        let Self { host, tenant, customer, browser, shops } = self;
        let install = host.begin_install(tenant, customer, app, browser, query).await?;
        if !can_ask() {
            print_install(&install, customer, report);
            let PendingInstall { id, .. } = install;
            let shops = if *shops == Shops::All { "" } else { " --shops exactly-one" };
            report.note(&format!(
                "nothing is connected yet; if these are the customer's shops, run connect --app-store {customer} \
                 --confirm {}{shops} within 30 minutes, otherwise the same with --cancel",
                id.expose()
            ));
            return Ok(None);
        }
        for line in described(&install) {
            report.note(&line);
        }
        match confirm(&format!("Connect these shops to {customer}? [y/N]"), &report.stop).await {
            Answer::Yes => Ok(Some(install.id)),
            Answer::No => {
                let _was_waiting = host.cancel_install(tenant, customer, browser, &install.id).await?;
                Err(Failure::Refused("nothing is connected, because the answer was not yes".to_owned()))
            }
            Answer::Stopped => Err(Failure::Stopped(
                "nothing is connected; run the same command again with the same address within 30 minutes".to_owned(),
            )),
        }
    }

    /// Cancels the install. Fails if no install with this id waits.
    async fn cancel(&self, id: &InstallId) -> Result<(), Failure> {
        let Self { host, tenant, customer, browser, .. } = self;
        if host.cancel_install(tenant, customer, browser, id).await? { Ok(()) } else { Err(no_install()) }
    }

    async fn confirm(&self, id: &InstallId) -> Result<Connection, Failure> {
        let Self { host, tenant, customer, browser, shops } = self;
        Ok(host.confirm_install(tenant, customer, browser, id, (*shops).into()).await?)
    }
}

/// Returns lines that describe the seller and the shops of a pending install, for the question on the terminal.
fn described(install: &PendingInstall) -> Vec<String> {
    let PendingInstall { app, seller_name, seller_base_region, shops, .. } = install;
    let seller = format!("{seller_name} ({seller_base_region}) has installed the app {app}");
    let lines = shops.iter().map(|shop| format!("shop {}  {} ({})", shop.id, shop.name, shop.region));
    let none = shops.is_empty().then(|| "TikTok Shop lists no shop of this seller".to_owned());
    std::iter::once(seller).chain(lines).chain(none).collect()
}

/// Returns whether TikTok Shop's list of shops was read, and contains no shop. Every call for a shop would then fail,
/// although the connection is active.
fn has_no_shop(connection: &Connection) -> bool {
    connection.shops_synced_at.is_some() && connection.shops.is_empty()
}

/// Returns the note about a consent that grants no shop.
fn no_shop(connection: &Connection) -> String {
    let app = connection.app.as_ref().map_or_else(|| "this app".to_owned(), |app| format!("app {app}"));
    format!(
        "this consent grants no shop to {app}: the account has no shop, or its shops are in another market than the app; \
         for another market, begin a consent to the app of that market with authorization-url {} --app KEY; if the \
         account gets a shop later, run refresh",
        connection.key.customer
    )
}

fn must_choose_a_shop(connection: &Connection) -> bool {
    connection.shop_policy == ShopPolicy::ExactlyOne
        && connection.shops.len() > 1
        && connection.shops.iter().all(|shop| !shop.linked)
}

/// Returns the member `callback_query` of a JSON object, as `authorization-url --consent-as` prints it with `--json`.
/// Returns a text that does not begin with `{` unchanged.
fn from_json(text: &str) -> Result<String, Failure> {
    if !text.trim_start().starts_with('{') {
        return Ok(text.to_owned());
    }
    let malformed = |what: &str| Failure::Malformed(format!("standard input: {what}"));
    let objects = input::objects(text)?;
    let member = |name: &str| objects.first().and_then(|object| object.remark(name));
    if let Some(query) = member("callback_query") {
        return Ok(query);
    }
    Err(malformed(if member("url").is_some() {
        LINK
    } else if objects.first().is_some_and(|object| object.optional("error").is_some()) {
        "the error of an earlier command, not a callback"
    } else {
        "JSON without callback_query; expected the address to which the browser was sent back, or what \
         authorization-url --consent-as prints with --json"
    }))
}

/// The text of the error for an input that is a consent link instead of a callback.
const LINK: &str = "the link of a consent, not a callback; open the link in the seller's browser, and pass the address \
                    to which the browser is sent back; with a fake, authorization-url --consent-as SELLER consents at \
                    once";

/// Returns true if a query belongs to a consent link and not to a callback.
fn is_link(query: &str) -> bool {
    let mut names = query.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, _)| name);
    names.any(|name| matches!(name, "service_id" | "app_key")) && !query.contains("code=")
}

/// Returns the query of a pasted callback. The text may be an address with or without a scheme, a path with a query, or
/// a query alone. It may also contain a byte order mark, quotes, a fragment, or `&amp;` in place of `&`.
///
/// A text without a code and without an error is refused here, so that it does not use up the state.
pub(super) fn query(callback: &str) -> Result<Secret, Failure> {
    let callback = from_json(callback)?;
    let callback = callback.as_str();
    let malformed = |what: &str| Err(Failure::Malformed(format!("standard input: {what}")));
    let around = |c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}' | '<' | '>' | '"' | '\'' | '`');
    let callback = callback.trim_matches(around);
    let (address, fragment) = callback.split_once('#').unwrap_or((callback, ""));
    // In an address that a script has built, the query may come after the `#`.
    let address = if fragment.contains('?') && !address.contains('?') { fragment } else { address };
    let query = match address.split_once('?') {
        // A value in a query may also contain a `?`.
        Some((before, query)) if before.contains("://") || !before.contains(['=', '&']) => query,
        Some(_) | None => address,
    };
    let query = query.replace("&amp;", "&");
    match query.as_str() {
        _ if callback.is_empty() => malformed("empty; expected the address to which the browser was sent back"),
        query if query.chars().any(|c| c.is_control() || c == ' ') => {
            malformed("not a callback: it contains a space or a control character")
        }
        query if check_form(query).is_err() && is_link(query) => malformed(LINK),
        query if check_form(query).is_err() => malformed(
            "not a callback: it needs a query such as code=…&state=…, with one code or one error; the consent can still \
             be finished",
        ),
        _ => Ok(query.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_person_pastes_is_read() {
        for (callback, expected) in [
            ("/cb?code=c&state=s", "code=c&state=s"),
            ("p.example/cb?code=c&state=s", "code=c&state=s"),
            ("HTTPS://p.example/cb?code=c&state=s", "code=c&state=s"),
            ("myapp://cb?code=c&state=s", "code=c&state=s"),
            ("myapp:/cb?code=c&state=s", "code=c&state=s"),
            ("https://p.example/a=b/cb?code=c&state=s", "code=c&state=s"),
            ("\u{feff}https://p.example/cb?code=c&state=s", "code=c&state=s"),
            ("\u{feff}code=c&state=s", "code=c&state=s"),
            ("  <https://p.example/cb?code=c&state=s>\r", "code=c&state=s"),
            ("\"https://p.example/cb?code=c&state=s\"", "code=c&state=s"),
            ("https://p.example/cb?code=c&amp;state=s", "code=c&state=s"),
            ("https://p.example/#/cb?code=c&state=s", "code=c&state=s"),
            ("code=c&state=s#top", "code=c&state=s"),
            ("code=a?b&state=s", "code=a?b&state=s"),
            ("error=auth_denied&code=null&state=s", "error=auth_denied&code=null&state=s"),
            ("https://p.example/cb?code=c&state=s", "code=c&state=s"),
            ("http://127.0.0.1:4010/callback?code=c&state=s#top", "code=c&state=s"),
            ("https://p.example/cb?code=a?b&state=s", "code=a?b&state=s"),
            ("{\"callback_query\":\"code=c&state=s\"}\n", "code=c&state=s"),
            ("?code=c&state=s", "code=c&state=s"),
            ("code=c&state=s", "code=c&state=s"),
        ] {
            assert_eq!(query(callback).unwrap(), expected.into(), "{callback}");
        }
    }

    #[test]
    fn the_link_of_a_consent_is_recognised() {
        let link = "https://services.tiktokshop.com/open/authorize?service_id=1&state=s";
        for link in [
            link,
            "https://auth.tiktok-shops.com/oauth/authorize?app_key=k&state=s",
            &format!("{{\"url\":\"{link}\"}}"),
        ] {
            let Failure::Malformed(text) = query(link).unwrap_err() else { panic!("{link}") };
            assert!(text.contains("not a callback; open the link"), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_not_a_callback_is_refused_and_not_repeated() {
        for callback in [
            "",
            "CANARY",
            "https://p.example/CANARY",
            "https://p.example/?",
            "https://p.example/cb?state=CANARY",
            "https://p.example/cb?code=&state=CANARY",
            "state=CANARY&locale=en",
            "code=CANARY&code=CANARY",
            "code=CANARY CANARY",
            "code=\0CANARY",
            "{\"callback_query\":\"CANARY\"}",
            "{\"callback_query\":7,\"state\":\"CANARY\"}",
            "{\"CANARY\":1}",
            "{\"url\":\"https://services.tiktokshop.com/open/authorize?service_id=1&state=CANARY\"}",
            "{\"error\":{\"status\":13,\"detail\":\"CANARY\"}}",
            "https://services.tiktokshop.com/open/authorize?service_id=1&state=CANARY",
        ] {
            let Failure::Malformed(text) = query(callback).unwrap_err() else { panic!("{callback}") };
            assert!(text.starts_with("standard input: ") && !text.contains("CANARY"), "{text}");
        }
    }
}
