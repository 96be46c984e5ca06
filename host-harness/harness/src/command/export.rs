//! `export`: writes the tokens of connections to a private file, which `import` of another installation reads.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use tiktok_shop_connector_core::error::Cause;
use tiktok_shop_host::connection::{Connection, ConnectionKey, ShopPolicy, UnixSeconds};
use tiktok_shop_host::error::Action;
use tiktok_shop_host::existing_grant::ExistingGrant;
use tiktok_shop_host::export_grant::ExportError;
use tiktok_shop_host::storage::{Due, HostStorage, RowFilter};
use tiktok_shop_host::{CallError, ConnectorHost, CustomerId, TenantId};
use tiktok_shop_private_file as private_file;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::output::{BAD, GOOD, Report};
use crate::settings::{HostArgs, OpenedHost};

/// Write the tokens of connections to a private file, for another installation
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Export {
    /// File to create; it must not exist
    file: PathBuf,

    /// Customer whose connections are exported
    #[arg(required_unless_present = "tenant_wide", conflicts_with = "tenant_wide")]
    customer: Option<CustomerId>,

    /// Export all connections of the tenant
    #[arg(long)]
    tenant_wide: bool,

    #[command(flatten)]
    settings: HostArgs,
}

const AFTER_HELP: &str = "\
The configuration file must allow exports: add the line export = \"allowed\", and remove it after
the move. There is no option for it, because an option gets into scripts and into the history of a
shell.

Stop every sweep and every host of this installation before the export, and do not start them
again: TikTok Shop may end an authorization whose refresh token is used twice. The export sends
nothing, and changes no connection. docs/moving-over.md lists the steps, and says how to go back.

The command creates the file with mode 600. It has the form that import reads: one JSON object per
line, with customer, account, app, tokens, their ends, and shops. Each exported connection writes
the event grant-exported. If the event can't be written, the connection is not exported.

The command prints a line for each connection:

  exported   the tokens are in the file; if the customer's links are not those that import makes,
             the line shows the link-shops command that restores them after the import
  dead       only a new consent helps, so there is nothing to export
  later      another call renews the tokens; export this customer again, two minutes later
  failed     the stored tokens can't be read; the code says why. not-listed: the row of the
             connection is missing or was changed in the database, so it is not in the file;
             a refresh of the customer says why

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE and customer-7 connected:

  $ (umask 077; echo 'export = \"allowed\"' > ~/export.toml) && \\
      tiktok-shop-harness export ~/customer-7.jsonl customer-7 --config ~/export.toml
  customer-7: account …: exported…
  1 exported, 0 dead, 0 later, 0 failed
  note: …

Exit status: 0 if every connection is in the file; 1 if not, or if exports are not allowed, or if
the file exists; 5 if there is no connection; 7 if a signal stopped the export; for others see
tiktok-shop-harness --help.";

/// The maximum number of connections that the command reads from the storage in one call.
const PAGE: usize = 100;
/// The code of a connection whose tokens are stored, but which no list of connections contains.
const NOT_LISTED: &str = "not-listed";

/// A line of the file. `import` reads these members.
#[derive(Serialize)]
struct GrantLine<'a> {
    customer: &'a str,
    account: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    app: Option<&'a str>,
    refresh_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token_ends: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token_ends: Option<u64>,
    shops: &'a str,
}

impl<'a> GrantLine<'a> {
    fn new(connection: &'a Connection, grant: &'a ExistingGrant) -> Self {
        Self {
            customer: connection.key.customer.as_str(),
            account: connection.key.account.as_str(),
            app: connection.app.as_ref().map(|app| app.as_str()),
            refresh_token: grant.refresh_token.expose(),
            access_token: grant.access_token.as_ref().map(|token| token.expose()),
            access_token_ends: grant.access_token_ends.map(|end| end.0),
            refresh_token_ends: grant.refresh_token_ends.map(|end| end.0),
            shops: connection.shop_policy.as_str(),
        }
    }
}

/// The result of one connection, as JSON. It contains no token.
#[derive(Serialize)]
struct ConnectionResult<'a> {
    customer: &'a str,
    account: &'a str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    /// The linked shops, if `import` makes other links than these.
    #[serde(skip_serializing_if = "Option::is_none")]
    linked_shops: Option<Vec<&'a str>>,
}

/// The summary of an export.
#[derive(Default, Serialize)]
struct Exported {
    exported: u64,
    dead: u64,
    later: u64,
    failed: u64,
    stopped: bool,
}

impl Exported {
    /// Counts a connection that was not exported. Returns the word for its outcome. `None` if the same error would
    /// happen to every other connection.
    fn count(&mut self, action: Action, code: &str) -> Option<&'static str> {
        let of_this_record = [Cause::TokenRecordTooNew, Cause::TokenRecordUnreadable].map(Cause::code).contains(&code);
        match action {
            Action::Reauthorize => {
                self.dead += 1;
                Some("dead")
            }
            // The row is all that is left of a connection that has ended.
            Action::InvalidRequest if code == Cause::NotConnected.code() => {
                self.dead += 1;
                Some("dead")
            }
            Action::RetryAfter(_) | Action::StorageConflict => {
                self.later += 1;
                Some("later")
            }
            Action::StorageFailed | Action::Misconfigured if !of_this_record => None,
            Action::StorageFailed
            | Action::Misconfigured
            | Action::InvalidRequest
            | Action::Upstream
            | Action::Internal => {
                self.failed += 1;
                Some("failed")
            }
        }
    }

    const fn is_complete(&self) -> bool {
        !self.stopped && self.dead + self.later + self.failed == 0
    }
}

/// An export that is under way.
struct Run<'a> {
    host: ConnectorHost,
    tenant: TenantId,
    path: PathBuf,
    file: File,
    /// The connections that were exported or counted.
    seen: BTreeSet<ConnectionKey>,
    summary: Exported,
    /// The error text if there is no connection.
    absent: String,
    report: &'a mut Report,
}

impl Export {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { file: path, customer, tenant_wide: _, settings } = self;
        check_destination(&path)?;
        let OpenedHost { host, opened, .. } = settings.open(report).await?;
        if !opened.allows_export() {
            return Err(Failure::Refused(
                "exports are not allowed here; to move connections to another installation, add the line \
                 export = \"allowed\" to the configuration file"
                    .to_owned(),
            ));
        }
        let mut connections = Connections::of(&host, &opened.tenant, customer.as_ref()).await?;
        let Some(file) = private_file::create_new(&path)? else { return Err(exists(&path)) };
        let tenant = opened.tenant.clone();
        let (seen, summary) = (BTreeSet::new(), Exported::default());
        let absent = match &customer {
            Some(customer) => format!("{customer} is not connected"),
            None => format!("the tenant {tenant} has no connection"),
        };
        let mut run = Run { host, tenant, path, file, seen, summary, absent, report };
        let outcome = match run.all(&mut connections).await {
            Ok(()) if !run.summary.stopped => run.count_not_listed(&*opened.storage, customer.as_ref()).await,
            outcome => outcome,
        };
        run.finish(outcome)
    }
}

impl Run<'_> {
    /// Exports the connections, until the list ends or a signal arrives.
    async fn all(&mut self, connections: &mut Connections) -> Result<(), Failure> {
        let bar = self.report.begin_progress("Exporting", 0);
        while let Some(connection) = connections.next(&self.host, &self.tenant).await? {
            if self.report.stop.is_cancelled() {
                self.summary.stopped = true;
                return Ok(());
            }
            bar.inc_length(1);
            self.connection(&connection).await?;
            self.seen.insert(connection.key);
            bar.inc(1);
        }
        Ok(())
    }

    /// Counts the connections that the lists leave out: their row is missing, was changed in the database, or can't be
    /// decoded. Their tokens are stored. So without this count, an export would seem complete, and the tokens would be
    /// lost with this installation.
    async fn count_not_listed(
        &mut self,
        storage: &dyn HostStorage,
        customer: Option<&CustomerId>,
    ) -> Result<(), Failure> {
        if let Some(customer) = customer {
            for account in storage.accounts(&self.tenant, customer).await? {
                self.not_listed(ConnectionKey { customer: customer.clone(), account });
            }
            return Ok(());
        }
        let mut after: Option<Due> = None;
        loop {
            // Every connection that is not dead becomes due at some time.
            let page = storage.due(UnixSeconds(u64::MAX), after.as_ref(), PAGE).await?;
            for Due { tenant, key, .. } in &page {
                if *tenant == self.tenant {
                    self.not_listed(key.clone());
                }
            }
            after = page.into_iter().next_back();
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Counts and reports a connection with stored tokens, unless it was in the list.
    fn not_listed(&mut self, key: ConnectionKey) {
        if self.seen.contains(&key) {
            return;
        }
        let ConnectionKey { customer, account } = &key;
        self.summary.failed += 1;
        if self.report.is_json() {
            self.report.json(&ConnectionResult {
                customer: customer.as_str(),
                account: account.as_str(),
                outcome: "failed",
                code: Some(NOT_LISTED),
                linked_shops: None,
            });
        } else {
            self.report.line(&format!("{customer}: account {account}: failed: {NOT_LISTED}"));
        }
        self.seen.insert(key);
    }

    async fn connection(&mut self, connection: &Connection) -> Result<(), Failure> {
        let ConnectionKey { customer, account } = &connection.key;
        let (word, code) = match self.host.export_grant(&self.tenant, customer, Some(account)).await {
            Ok(grant) => {
                self.write(&GrantLine::new(connection, &grant))?;
                self.summary.exported += 1;
                ("exported", None)
            }
            Err(ExportError::Call(CallError::Connector(error))) => {
                let code = error.failure().code.clone();
                let Some(word) = self.summary.count(error.action(), &code) else {
                    return Err(CallError::Connector(error).into());
                };
                (word, Some(code))
            }
            Err(ExportError::Call(error)) => return Err(error.into()),
            Err(error) => return Err(Failure::Refused(error.to_string())),
        };
        let linked = (word == "exported").then(|| links_to_restore(connection)).flatten();
        if self.report.is_json() {
            self.report.json(&ConnectionResult {
                customer: customer.as_str(),
                account: account.as_str(),
                outcome: word,
                code: code.as_deref(),
                linked_shops: linked,
            });
        } else {
            let code = code.map(|code| format!(": {code}")).unwrap_or_default();
            let line = format!("{customer}: account {account}: {word}{code}");
            let links = linked.map(|shops| format!("; after the import: {}", link_shops(connection, &shops)));
            self.report.line(&format!("{line}{}", links.unwrap_or_default()));
        }
        self.report.flush();
        Ok(())
    }

    /// Writes a line to the file.
    fn write(&mut self, line: &GrantLine<'_>) -> Result<(), Failure> {
        // Serializing can't fail, because every key is text.
        let mut text = Zeroizing::new(serde_json::to_string(line).unwrap_or_default());
        text.push('\n');
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|error| Failure::Unavailable(format!("{}: {error}", self.path.display())))
    }

    /// Prints the summary. Removes the file if it is empty.
    fn finish(self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        self.report.end_progress();
        let synced = self.file.sync_all();
        let path = self.path.display().to_string();
        let outcome = outcome.and_then(|()| synced.map_err(|error| Failure::Unavailable(format!("{path}: {error}"))));
        let Exported { exported, dead, later, failed, stopped } = self.summary;
        if exported == 0 {
            let _removed = fs::remove_file(&self.path);
            if outcome.is_ok() && self.summary.is_complete() {
                return Err(Failure::Absent(self.absent));
            }
        } else if outcome.is_err() {
            self.report.note(&format!("{path} is incomplete; delete it, and export again to another file"));
        }
        let is_complete = self.summary.is_complete();
        if !is_complete {
            self.report.set_refused();
        }
        if self.report.is_json() {
            self.report.json(&self.summary);
        } else {
            let style = if is_complete { GOOD } else { BAD };
            self.report.styled(style, &format!("{exported} exported, {dead} dead, {later} later, {failed} failed"));
        }
        self.report.flush();
        outcome?;
        if exported > 0 {
            self.report.note(&format!(
                "{path} contains secrets; from now on, no sweep and no host of this installation may refresh these \
                 connections"
            ));
        }
        if stopped {
            return Err(Failure::Stopped(
                "the other connections were not exported; export again to another file".to_owned(),
            ));
        }
        Ok(())
    }
}

/// The connections to export: those of a customer, or all connections of the tenant, page by page.
struct Connections {
    page: VecDeque<Connection>,
    /// The key after which the next page begins. `None` if there is no further page.
    after: Option<ConnectionKey>,
}

impl Connections {
    async fn of(host: &ConnectorHost, tenant: &TenantId, customer: Option<&CustomerId>) -> Result<Self, Failure> {
        match customer {
            Some(customer) => Ok(Self { page: host.list_connections(tenant, customer).await?.into(), after: None }),
            None => Self::page(host, tenant, None).await,
        }
    }

    async fn page(host: &ConnectorHost, tenant: &TenantId, after: Option<&ConnectionKey>) -> Result<Self, Failure> {
        let page = host.tenant_connections(tenant, &RowFilter::default(), after, PAGE).await?;
        let after = page.last().filter(|_| page.len() == PAGE).map(|last| last.key.clone());
        Ok(Self { page: page.into(), after })
    }

    async fn next(&mut self, host: &ConnectorHost, tenant: &TenantId) -> Result<Option<Connection>, Failure> {
        if self.page.is_empty()
            && let Some(after) = self.after.take()
        {
            *self = Self::page(host, tenant, Some(&after)).await?;
        }
        Ok(self.page.pop_front())
    }
}

/// Refuses a file that exists, and a file in a folder that does not exist, before anything is opened.
fn check_destination(path: &Path) -> Result<(), Failure> {
    if path.as_os_str() == "-" {
        let text = "the tokens are written only to a private file, not to standard output; name a new file";
        return Err(Failure::Malformed(text.to_owned()));
    }
    if path.symlink_metadata().is_ok() {
        return Err(exists(path));
    }
    match path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        Some(folder) => Err(Failure::Unavailable(format!("there is no folder {}; create it", folder.display()))),
        None => Ok(()),
    }
}

fn exists(path: &Path) -> Failure {
    Failure::Refused(format!("{} exists; name a new file", path.display()))
}

/// Returns the linked shops of a connection if an import with its policy makes other links.
fn links_to_restore(connection: &Connection) -> Option<Vec<&str>> {
    let by_policy = match connection.shop_policy {
        ShopPolicy::All => true,
        ShopPolicy::ExactlyOne => connection.shops.len() == 1,
    };
    let differs = connection.shops.iter().any(|shop| shop.linked != by_policy);
    differs.then(|| connection.shops.iter().filter(|shop| shop.linked).map(|shop| shop.id.as_str()).collect())
}

/// Returns the command that links these shops.
fn link_shops(connection: &Connection, shops: &[&str]) -> String {
    let ConnectionKey { customer, account } = &connection.key;
    let shops = if shops.is_empty() { "--none".to_owned() } else { shops.join(" ") };
    format!("link-shops {customer} {shops} --account {account}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_an_error_that_would_happen_to_every_connection_stops_the_export() {
        let mut summary = Exported::default();
        for (action, code, expected) in [
            (Action::Reauthorize, "authorization-revoked", Some("dead")),
            (Action::InvalidRequest, "not-connected", Some("dead")),
            (Action::RetryAfter(Duration::from_secs(7)), "refresh-in-progress", Some("later")),
            (Action::StorageConflict, "storage-conflict", Some("later")),
            (Action::StorageFailed, "token-record-unreadable", Some("failed")),
            (Action::StorageFailed, "token-record-too-new", Some("failed")),
            (Action::Misconfigured, "token-record-too-new", Some("failed")),
            (Action::Upstream, "token-answer-incomplete", Some("failed")),
            (Action::InvalidRequest, "account-id-invalid", Some("failed")),
            (Action::Internal, "internal", Some("failed")),
            (Action::StorageFailed, "storage-unavailable", None),
            (Action::Misconfigured, "credentials-refused", None),
        ] {
            assert_eq!(summary.count(action, code), expected, "{action} {code}");
        }
        let Exported { exported, dead, later, failed, stopped } = summary;
        assert_eq!((exported, dead, later, failed, stopped), (0, 2, 2, 6, false));
        assert!(!summary.is_complete() && Exported::default().is_complete());
    }
}
