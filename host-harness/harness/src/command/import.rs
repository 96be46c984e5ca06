//! `import`: connects customers with the tokens that another system holds.

mod journal;
mod lines;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anstyle::Style;
use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;
use tiktok_shop_connector_core::error::{Cause, code};
use tiktok_shop_host::connection::{Connection, ShopPolicy};
use tiktok_shop_host::error::Action;
use tiktok_shop_host::existing_grant::ExistingGrant;
use tiktok_shop_host::{AccountId, AppKey, CallError, ConnectorHost, CustomerId, TenantId};
use tiktok_shop_private_file as private_file;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet, spawn_blocking};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use self::journal::{Journal, Outcome, State};
use self::lines::{Digest, Line, Lines, Malformed, Wanted, digest};
use super::authorization_url::Shops;
use crate::failure::Failure;
use crate::output::{BAD, GOOD, Report};
use crate::settings::{Creation, HostArgs, OpenedHost, OpenedStorage, one_line};

/// Connect customers with the tokens of another system, without a new consent
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Import {
    /// File of JSON lines, or of CSV with a header; - for standard input
    file: PathBuf,

    /// Check every line, and send and store nothing
    #[arg(long)]
    dry_run: bool,

    /// Sellers per second, 1 to 100; two requests each
    #[arg(long, value_name = "NUMBER", default_value = "10", value_parser = clap::value_parser!(u8).range(1..=100))]
    per_second: u8,

    /// Key of the app for lines without one; needed if the tenant has several
    #[arg(long, value_name = "KEY", value_parser = one_line::<AppKey>)]
    app: Option<AppKey>,

    /// Shops to link if a line names none: all (default) or exactly-one
    #[arg(long, value_name = "WHICH", hide_possible_values = true)]
    shops: Option<Shops>,

    /// Journal of lines without an account; by default FILE.journal
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,

    /// Send the tokens of lines that are in doubt once more
    #[arg(long)]
    retry_in_doubt: bool,

    #[command(flatten)]
    settings: HostArgs,
}

const AFTER_HELP: &str = "\
Stop all refreshes of the other system before the import: docs/moving-over.md lists the steps.
The import sends each refresh token to TikTok Shop once. From then on, only this connector has the
tokens that work. The file must be private (chmod 600). Its columns, or the members of its JSON
objects, are these, and no others:

  customer            your id of the customer; required
  refresh_token       the newest refresh token; required
  account             the seller's open_id; with it, a crash costs only the requests under way
  app                 the key of the app to which the seller consented
  access_token        the newest access token
  access_token_ends   in Unix seconds, or as 2026-01-31T12:00:00Z
  refresh_token_ends  likewise
  shops               all or exactly-one

The command prints a line for each line of the file:

  connected          the customer is connected
  account-changed    the customer is connected, but the token is of another account than the line
                     names: stop with Ctrl-C, and correct the accounts of the other lines
  already-connected  the account was connected before, and its connection keeps its own tokens
  rejected           the line has connected nobody, and says why; in most cases, the seller must
                     consent again
  later              TikTok Shop did not answer or limits the rate, or another call sends the token;
                     run the same command again, two minutes later
  in-doubt           an earlier run sent the token of a line without an account, and the outcome
                     is unknown; if list-connections does not show the seller, try
                     --retry-in-doubt
  malformed          the line can't be used; nothing was sent

With --dry-run, the command checks the form of every line, its app and the journal. It opens no
database and sends nothing. So it can't know whether TikTok Shop accepts a token, or which
customers are connected already.

To continue after a kill, run the same command again, two minutes later. It sends no token of a
customer who is connected already. If TikTok Shop had a request when the command was killed, it may
have replaced the token: such a line may end as refresh-outcome-unknown, and the seller must consent
again. Ctrl-C, SIGTERM and SIGHUP lose nothing: the imports that have begun are finished. If TikTok
Shop refuses the app, or the database fails, the import stops. If no setting names a database, and
the default database does not exist, the command creates it. Create a database that a setting names
with migrate.

Examples, with a fake TikTok Shop in TIKTOK_SHOP_FAKE:

  $ echo '{\"customer\":\"customer-8\",\"refresh_token\":\"ROW_not-a-token\",\"account\":\"x\"}' |
      tiktok-shop-harness import - --dry-run
  1 to import, 0 of them without an account, 0 rejected, 0 in doubt, 0 malformed; nothing was sent

  $ printf 'customer,refresh_token,account\\ncustomer-8,ROW_not-a-token,x\\n' |
      tiktok-shop-harness import -
  line 2: customer-8: rejected: reauthorize: authorization-revoked: …
  0 connected, 0 account changed, 0 already connected, 1 rejected, 0 later, 0 in doubt, 0 malformed

Exit status: 0 if every customer of the file is connected under the account of the line, or with
--dry-run if every line can be imported; 1 if not; 2 if the file has no usable header; 3 if there is
no such file, or if others can read it; 7 if a signal stopped the import; for others see
tiktok-shop-harness --help.";

/// The maximum number of imports that run at the same time.
const MAX_RUNNING: usize = 16;
/// How many lines are read ahead.
const READ_AHEAD: usize = 64;
/// The longest time that the import waits after TikTok Shop has limited the rate.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// How long a token stays claimed if the outcome of its request is unknown. Until then, no run sends it again.
const CLAIM: Duration = Duration::from_secs(120);
/// The advice for a line whose token may be claimed.
const AFTER_THE_CLAIM: &str = "run the same command again, two minutes later";
/// Why a line is in doubt if its last request has no known outcome.
const OUTCOME_UNKNOWN: &str = "an earlier run sent the token, or was about to, and nobody knows whether TikTok Shop has \
                               replaced it. Next: see list-connections, or run import with --retry-in-doubt";
/// Why a line is rejected if the journal says that its account is not a seller.
const NOT_A_SELLER: &str = "an earlier run found that the token is of a creator or a partner, and TikTok Shop has \
                            replaced it. Next: remove the line, and let the shop's main account consent, with \
                            authorization-url";
/// Why a line is in doubt if the journal says *connected*, and the storage has no connection of the customer.
const NO_CONNECTION: &str = "an earlier run connected this seller, but this database has no connection of the customer: \
                             the journal belongs to another database, or the connection was ended. Next: check \
                             --storage, or run import with --retry-in-doubt";

/// The result of one line, as JSON.
#[derive(Serialize)]
struct LineResult<'a> {
    line: u64,
    customer: Option<&'a str>,
    account: Option<&'a str>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
}

/// The summary of an import.
#[derive(Default, Serialize)]
struct Imported {
    connected: u64,
    account_changed: u64,
    already_connected: u64,
    rejected: u64,
    later: u64,
    in_doubt: u64,
    malformed: u64,
    stopped: bool,
}

/// The summary of a dry run.
#[derive(Default, Serialize)]
struct Checked {
    to_import: u64,
    without_account: u64,
    rejected: u64,
    in_doubt: u64,
    malformed: u64,
}

impl Checked {
    const fn is_complete(&self) -> bool {
        self.rejected + self.in_doubt + self.malformed == 0
    }
}

/// The outcome of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Connected,
    AccountChanged,
    AlreadyConnected,
    Rejected,
    Later,
    InDoubt,
    Malformed,
}

impl Word {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::AccountChanged => "account-changed",
            Self::AlreadyConnected => "already-connected",
            Self::Rejected => "rejected",
            Self::Later => "later",
            Self::InDoubt => "in-doubt",
            Self::Malformed => "malformed",
        }
    }

    const fn style(self) -> Style {
        match self {
            Self::Connected | Self::AlreadyConnected => Style::new(),
            Self::AccountChanged | Self::Rejected | Self::Later | Self::InDoubt | Self::Malformed => BAD,
        }
    }
}

impl Imported {
    const fn count(&mut self, word: Word) {
        match word {
            Word::Connected => self.connected += 1,
            Word::AccountChanged => self.account_changed += 1,
            Word::AlreadyConnected => self.already_connected += 1,
            Word::Rejected => self.rejected += 1,
            Word::Later => self.later += 1,
            Word::InDoubt => self.in_doubt += 1,
            Word::Malformed => self.malformed += 1,
        }
    }

    const fn is_complete(&self) -> bool {
        self.account_changed + self.rejected + self.later + self.in_doubt + self.malformed == 0
    }
}

/// An import of one line that has ended.
struct Ended {
    line: u64,
    customer: CustomerId,
    /// The digest by which the journal names the line.
    mark: Digest,
    /// The account that the line names.
    account: Option<AccountId>,
    outcome: Result<Connection, CallError>,
}

/// How the import treats a line whose call returned an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    AlreadyConnected,
    Rejected,
    Later,
    /// The same error would happen to every other line.
    Stop,
}

/// The settings of the lines.
struct Defaults {
    app: Option<AppKey>,
    shops: ShopPolicy,
    retry_in_doubt: bool,
    /// The path of the journal. `None` if the file is standard input and no option names a journal.
    journal: Option<PathBuf>,
}

/// An import that is under way.
struct Run<'a> {
    host: ConnectorHost,
    opened: OpenedStorage,
    defaults: Defaults,
    /// The journal is opened at the first line without an account, or at the first line if the file exists.
    journal: Option<Journal>,
    ticks: Interval,
    /// How long the next line has to wait, because TikTok Shop has limited the rate.
    pause: Duration,
    running: JoinSet<Ended>,
    summary: Imported,
    report: &'a mut Report,
    bar: ProgressBar,
}

impl Import {
    pub(crate) async fn run(self, report: &mut Report) -> Result<(), Failure> {
        let Self { file, dry_run, per_second, app, shops, journal, retry_in_doubt, settings } = self;
        let source = open(&file)?;
        let shops = shops.map_or(ShopPolicy::All, ShopPolicy::from);
        let defaults = Defaults { app, shops, retry_in_doubt, journal: journal.or_else(|| beside(&file)) };
        if dry_run {
            let (tenant, apps) = settings.configured_apps().await?;
            if apps.is_empty() {
                report.note(&format!("tenant {tenant} has no app here, so the apps of the lines are not checked"));
            }
            let dry_run = DryRun { tenant, apps, defaults, journal: None, checked: Checked::default(), report };
            return dry_run.all(read_ahead(source)).await;
        }
        let steps = if io::stderr().is_terminal() { count_lines(&file)? } else { 0 };
        let OpenedHost { host, opened, .. } = settings.open_or_create(Creation::Default, report).await?;
        let mut ticks = interval(Duration::from_secs(1) / u32::from(per_second));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let bar = report.begin_progress("Importing", steps);
        let run = Run {
            host,
            opened,
            defaults,
            journal: None,
            ticks,
            pause: Duration::ZERO,
            running: JoinSet::new(),
            summary: Imported::default(),
            report,
            bar,
        };
        run.all(read_ahead(source)).await
    }
}

impl Run<'_> {
    /// Imports the lines, waits for the imports that have begun, and prints the summary.
    async fn all(mut self, mut lines: mpsc::Receiver<Result<Line, Failure>>) -> Result<(), Failure> {
        let mut outcome = self.until_stopped(&mut lines).await;
        while let Some(ended) = self.running.join_next().await {
            let settled = self.settle(ended);
            outcome = outcome.and(settled);
        }
        self.report.end_progress();
        if !self.summary.is_complete() {
            self.report.set_refused();
        }
        if self.report.is_json() {
            self.report.json(&self.summary);
        } else {
            let Imported {
                connected,
                account_changed,
                already_connected,
                rejected,
                later,
                in_doubt,
                malformed,
                stopped: _,
            } = self.summary;
            let style = if self.summary.is_complete() { GOOD } else { BAD };
            let line = format!(
                "{connected} connected, {account_changed} account changed, {already_connected} already connected, \
                 {rejected} rejected, {later} later, {in_doubt} in doubt, {malformed} malformed"
            );
            self.report.styled(style, &line);
        }
        self.report.flush();
        outcome?;
        if self.summary.stopped {
            return Err(Failure::Stopped("the other lines were not tried; run the same command again".to_owned()));
        }
        Ok(())
    }

    /// Begins the import of each line, until the file ends, a signal arrives or an error would happen to every line.
    async fn until_stopped(&mut self, lines: &mut mpsc::Receiver<Result<Line, Failure>>) -> Result<(), Failure> {
        let stop = self.report.stop.clone();
        while !self.summary.stopped {
            let line = tokio::select! {
                biased;
                () = stop.cancelled() => {
                    self.summary.stopped = true;
                    None
                }
                line = lines.recv() => line,
            };
            match line {
                Some(line) => self.line(line?).await?,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    async fn line(&mut self, line: Line) -> Result<(), Failure> {
        let Line { number, wanted } = line;
        let Wanted { customer, app, grant, shops } = match wanted {
            Ok(wanted) => wanted,
            Err(malformed) => {
                self.print(Word::Malformed, &LineResult::malformed(number, &malformed));
                return Ok(());
            }
        };
        let app = app.or_else(|| self.defaults.app.clone());
        let has_account = grant.account.is_some();
        let mark = mark(&self.opened.tenant, &customer, &grant);
        // A line with an account is in the journal only if its account is not a seller.
        let state = if has_account && !self.has_journal() { None } else { self.journal()?.state(&mark) };
        if state == Some(State::NotASeller) {
            let (word, customer) = (Word::Rejected, Some(customer.as_str()));
            let (code, why) = (Some(Cause::NotASeller.code()), Some(NOT_A_SELLER));
            self.print(word, &LineResult { customer, code, why, ..LineResult::new(number, word) });
            return Ok(());
        }
        if !has_account {
            let doubt = match state {
                Some(State::Connected) => {
                    let connections = self.host.list_connections(&self.opened.tenant, &customer).await?;
                    if !connections.is_empty() {
                        let (word, customer) = (Word::AlreadyConnected, Some(customer.as_str()));
                        self.print(word, &LineResult { customer, ..LineResult::new(number, word) });
                        return Ok(());
                    }
                    Some(NO_CONNECTION)
                }
                Some(State::Begun) => Some(OUTCOME_UNKNOWN),
                Some(State::NotASeller) | None => None,
            };
            if doubt.is_some() && !self.defaults.retry_in_doubt {
                let (word, customer) = (Word::InDoubt, Some(customer.as_str()));
                self.print(word, &LineResult { customer, why: doubt, ..LineResult::new(number, word) });
                return Ok(());
            }
        }
        if !self.turn().await? {
            return Ok(());
        }
        if !has_account {
            self.journal()?.begin(&mark)?;
        }
        let (host, tenant) = (self.host.clone(), self.opened.tenant.clone());
        let shops = shops.unwrap_or(self.defaults.shops);
        let account = grant.account.clone();
        self.running.spawn(async move {
            let outcome = host.import_grant(&tenant, &customer, app.as_ref(), grant, shops).await;
            Ended { line: number, customer, mark, account, outcome }
        });
        Ok(())
    }

    /// Waits until the next import may begin. Returns false if a signal arrives meanwhile.
    async fn turn(&mut self) -> Result<bool, Failure> {
        while let Some(ended) = self.running.try_join_next() {
            self.settle(ended)?;
        }
        while self.running.len() >= MAX_RUNNING {
            let Some(ended) = self.running.join_next().await else { break };
            self.settle(ended)?;
        }
        let (stop, pause) = (self.report.stop.clone(), std::mem::take(&mut self.pause));
        let ticks = &mut self.ticks;
        let turn = async {
            sleep(pause).await;
            ticks.tick().await;
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {
                self.summary.stopped = true;
                Ok(false)
            }
            () = turn => Ok(true),
        }
    }

    /// Returns whether an earlier line or an earlier run has created the journal.
    fn has_journal(&self) -> bool {
        self.journal.is_some() || self.defaults.journal.as_ref().is_some_and(|path| path.exists())
    }

    fn journal(&mut self) -> Result<&mut Journal, Failure> {
        let journal = match (self.journal.take(), &self.defaults.journal) {
            (Some(journal), _) => journal,
            (None, Some(path)) => Journal::open(path)?,
            (None, None) => return Err(no_journal()),
        };
        Ok(self.journal.insert(journal))
    }

    /// Prints the outcome of an import, and records it in the journal. Returns an error if the import must stop.
    fn settle(&mut self, ended: Result<Ended, JoinError>) -> Result<(), Failure> {
        let ended = ended.map_err(|_| Failure::Unavailable("an import ended without a result".to_owned()))?;
        let Ended { line, customer, mark, account, outcome } = ended;
        let customer = customer.as_str();
        let recorded = match &outcome {
            Ok(_) => Some(Outcome::Connected),
            Err(CallError::Connector(error)) if error.failure().code == code::ALREADY_CONNECTED => {
                Some(Outcome::Connected)
            }
            // The call did not start.
            Err(CallError::Busy { .. }) => Some(Outcome::NotConnected),
            Err(CallError::Connector(error)) if keeps_token(&error.failure().code) => Some(Outcome::NotConnected),
            Err(CallError::Connector(error)) if error.failure().code == Cause::NotASeller.code() => {
                Some(Outcome::NotASeller)
            }
            // TikTok Shop may have replaced the token, so the line stays in doubt.
            Err(_) => None,
        };
        // Without a journal, the next run learns only that the token of a line with an account is spent.
        let is_recorded =
            account.is_none() || (recorded == Some(Outcome::NotASeller) && self.defaults.journal.is_some());
        if let Some(recorded) = recorded.filter(|_| is_recorded) {
            self.journal()?.end(&mark, recorded)?;
        }
        let error = match outcome {
            Ok(connection) => {
                let failure = connection.last_failure.as_ref().map(|past| &past.failure);
                let why = failure.map(ToString::to_string);
                let changed = failure.is_some_and(|failure| failure.code == Cause::AccountChanged.code());
                let word = if changed { Word::AccountChanged } else { Word::Connected };
                let result = LineResult {
                    customer: Some(customer),
                    account: Some(connection.key.account.as_str()),
                    code: failure.map(|failure| failure.code.as_str()),
                    why: why.as_deref(),
                    ..LineResult::new(line, word)
                };
                self.print(word, &result);
                return Ok(());
            }
            Err(error) => error,
        };
        let verdict = match &error {
            CallError::Connector(error) => {
                if let (Action::RetryAfter(pause), true) = (error.action(), error.failure().code == RATE_LIMITED) {
                    self.pause = pause.min(MAX_PAUSE);
                }
                verdict(error.action(), &error.failure().code)
            }
            CallError::Busy { .. } | CallError::DeadlineExceeded { .. } => Verdict::Later,
            CallError::Trapped { .. }
            | CallError::Exhausted { .. }
            | CallError::ContractBroken { .. }
            | CallError::NoRandomness { .. }
            | CallError::NotRecorded { .. }
            | CallError::Aborted { .. }
            | _ => Verdict::Stop,
        };
        let word = match verdict {
            Verdict::AlreadyConnected => Word::AlreadyConnected,
            Verdict::Rejected => Word::Rejected,
            Verdict::Later | Verdict::Stop => Word::Later,
        };
        let failure = Failure::from(error.clone());
        let why = (verdict != Verdict::AlreadyConnected).then(|| {
            let report = self.report.error_report(&failure, &self.opened.tenant);
            let next = if may_be_claimed(&error) { Some(AFTER_THE_CLAIM) } else { next_of_line(error.code()) };
            match next {
                Some(next) => report.with_next(&format!("{next}; docs/errors.md explains {}", error.code())).line(),
                None => report.line(),
            }
        });
        let result = LineResult {
            customer: Some(customer),
            account: account.as_ref().map(AccountId::as_str),
            code: Some(error.code()),
            why: why.as_deref(),
            ..LineResult::new(line, word)
        };
        self.print(word, &result);
        if verdict == Verdict::Stop { Err(failure) } else { Ok(()) }
    }

    fn print(&mut self, word: Word, result: &LineResult<'_>) {
        self.bar.inc(1);
        self.summary.count(word);
        result.print(word, self.report);
    }
}

impl LineResult<'_> {
    const fn new(line: u64, word: Word) -> Self {
        Self { line, customer: None, account: None, outcome: word.as_str(), code: None, why: None }
    }

    fn print(&self, word: Word, report: &mut Report) {
        if report.is_json() {
            report.json(self);
        } else {
            let customer = self.customer.map(|customer| format!("{customer}: ")).unwrap_or_default();
            let why = self.why.map(|why| format!(": {why}")).unwrap_or_default();
            report.styled(word.style(), &format!("line {}: {customer}{}{why}", self.line, word.as_str()));
        }
        report.flush();
    }
}

impl<'a> LineResult<'a> {
    fn malformed(line: u64, malformed: &'a Malformed) -> Self {
        let customer = malformed.customer.as_ref().map(CustomerId::as_str);
        Self { customer, why: Some(&malformed.why), ..Self::new(line, Word::Malformed) }
    }
}

/// Returns whether the token of a line may be claimed for longer than the pause of the error. The pause is that of one
/// try.
fn may_be_claimed(error: &CallError) -> bool {
    let CallError::Connector(error) = error else { return false };
    let is_short = matches!(error.action(), Action::RetryAfter(pause) if pause < CLAIM);
    is_short && !keeps_token(&error.failure().code)
}

/// Returns the digest by which the journal names a line.
fn mark(tenant: &TenantId, customer: &CustomerId, grant: &ExistingGrant) -> Digest {
    digest(&["line", tenant.as_str(), customer.as_str(), grant.refresh_token.expose()])
}

const RATE_LIMITED: &str = Cause::RateLimited.code();

/// The causes that prove one of two things about the token of a line: TikTok Shop has not replaced it, or does not
/// accept it. After any other cause, nobody knows.
const TOKEN_KEPT: [Cause; 22] = [
    // The token was not sent. If storage fails after TikTok's answer, the cause is another one.
    Cause::AppRequired,
    Cause::AppUnknown,
    Cause::CredentialsRefused,
    Cause::CredentialsUnavailable,
    Cause::EgressDenied,
    Cause::GrantMalformed,
    Cause::StorageRefused,
    Cause::StorageUnavailable,
    Cause::TikTokUnreachable,
    // TikTok Shop refused the request.
    Cause::AppRejected,
    Cause::AuthorizationInactive,
    Cause::ClockSkewed,
    Cause::IpNotAllowed,
    Cause::MissingPermission,
    Cause::RateLimited,
    Cause::SellerInactive,
    Cause::ShopInactive,
    Cause::SignatureRejected,
    Cause::TikTokRefused,
    Cause::WrongUserType,
    // TikTok Shop does not accept the token.
    Cause::AuthorizationExpired,
    Cause::AuthorizationRevoked,
];

/// Returns whether an error proves that TikTok Shop has not replaced the token of a line without an account.
fn keeps_token(error_code: &str) -> bool {
    TOKEN_KEPT.iter().any(|cause| cause.code() == error_code)
}

/// Returns what the user can do about a line after this error, if the line may be the cause. `None` if the general
/// advice for the error fits.
fn next_of_line(error_code: &str) -> Option<&'static str> {
    const NEXT: [(Cause, &str); 8] = [
        (
            Cause::AccountOfAnotherApp,
            "name in the line the app under which list-connections shows the account, or disconnect that connection first",
        ),
        (Cause::AppRequired, "name the app in the line, or with --app"),
        (Cause::AppUnknown, "correct the app of the line, or put this app into the configuration file"),
        // TikTok Shop answers in this way to a token of another app, too.
        (Cause::AuthorizationExpired, SPENT_TOKEN),
        (Cause::AuthorizationRevoked, SPENT_TOKEN),
        (Cause::GrantMalformed, "correct the line"),
        (Cause::NotASeller, "remove the line, and let the shop's main account consent, with authorization-url"),
        (Cause::WrongUserType, "remove the line, and let the shop's main account consent, with authorization-url"),
    ];
    NEXT.iter().find(|(cause, _)| cause.code() == error_code).map(|(_, next)| *next)
}

/// The advice for a line whose token TikTok Shop does not accept.
const SPENT_TOKEN: &str = "check that refresh_token is the newest one and that the line names the app to which the \
                           seller consented; if both are right, run authorization-url, and let the seller consent again";

/// Decides what an error of the connector means for the line and for the import.
fn verdict(action: Action, error_code: &str) -> Verdict {
    match action {
        Action::InvalidRequest if error_code == code::ALREADY_CONNECTED => Verdict::AlreadyConnected,
        // Another line may name another app.
        Action::Misconfigured if error_code == Cause::AppUnknown.code() => Verdict::Rejected,
        Action::InvalidRequest | Action::Reauthorize => Verdict::Rejected,
        Action::Upstream if keeps_token(error_code) => Verdict::Rejected,
        // If the outcome of a request is unknown, the record of a line with an account stays stored.
        Action::Upstream | Action::RetryAfter(_) | Action::StorageConflict => Verdict::Later,
        Action::Misconfigured | Action::StorageFailed | Action::Internal => Verdict::Stop,
    }
}

/// A check of all lines that sends nothing.
struct DryRun<'a> {
    tenant: TenantId,
    /// The keys of the tenant's apps. If there are none, the apps of the lines are not checked.
    apps: Vec<String>,
    defaults: Defaults,
    /// The states that the journal remembers. The journal is read at the first line that may be in it.
    journal: Option<HashMap<Digest, State>>,
    checked: Checked,
    report: &'a mut Report,
}

impl DryRun<'_> {
    async fn all(mut self, mut lines: mpsc::Receiver<Result<Line, Failure>>) -> Result<(), Failure> {
        let stop = self.report.stop.clone();
        loop {
            let line = tokio::select! {
                biased;
                () = stop.cancelled() => {
                    return Err(Failure::Stopped("the other lines were not checked; nothing was sent".to_owned()));
                }
                line = lines.recv() => line,
            };
            let Some(line) = line else { break };
            self.line(line?)?;
        }
        if !self.checked.is_complete() {
            self.report.set_refused();
        }
        if self.report.is_json() {
            self.report.json(&self.checked);
        } else {
            let Checked { to_import, without_account, rejected, in_doubt, malformed } = self.checked;
            let style = if self.checked.is_complete() { GOOD } else { BAD };
            let counts = format!(
                "{to_import} to import, {without_account} of them without an account, {rejected} rejected, \
                 {in_doubt} in doubt, {malformed} malformed"
            );
            self.report.styled(style, &format!("{counts}; nothing was sent"));
        }
        Ok(())
    }

    fn line(&mut self, line: Line) -> Result<(), Failure> {
        let Line { number, wanted } = line;
        let Wanted { customer, app, grant, .. } = match wanted {
            Ok(wanted) => wanted,
            Err(malformed) => {
                self.checked.malformed += 1;
                LineResult::malformed(number, &malformed).print(Word::Malformed, self.report);
                return Ok(());
            }
        };
        let named = Some(customer.as_str());
        let app = app.as_ref().or(self.defaults.app.as_ref());
        if let Some((code, why)) = wrong_app(&self.apps, app) {
            self.checked.rejected += 1;
            let (customer, code, why) = (named, Some(code), Some(why.as_str()));
            let word = Word::Rejected;
            LineResult { customer, code, why, ..LineResult::new(number, word) }.print(word, self.report);
            return Ok(());
        }
        let mark = mark(&self.tenant, &customer, &grant);
        let (word, code, why) = match self.state(&mark, grant.account.is_some())? {
            Some(State::NotASeller) => (Word::Rejected, Some(Cause::NotASeller.code()), NOT_A_SELLER),
            Some(State::Begun) if !self.defaults.retry_in_doubt => (Word::InDoubt, None, OUTCOME_UNKNOWN),
            // Only the database could say whether the customer is still connected.
            Some(State::Begun | State::Connected) | None => {
                self.checked.to_import += 1;
                self.checked.without_account += u64::from(grant.account.is_none());
                return Ok(());
            }
        };
        if word == Word::InDoubt {
            self.checked.in_doubt += 1;
        } else {
            self.checked.rejected += 1;
        }
        let (customer, why) = (named, Some(why));
        LineResult { customer, code, why, ..LineResult::new(number, word) }.print(word, self.report);
        Ok(())
    }

    /// Returns what the journal says about a line.
    fn state(&mut self, mark: &Digest, has_account: bool) -> Result<Option<State>, Failure> {
        let states = match (self.journal.take(), &self.defaults.journal, has_account) {
            (Some(states), ..) => states,
            (None, Some(path), _) => journal::states(path)?,
            (None, None, true) => HashMap::new(),
            (None, None, false) => return Err(no_journal()),
        };
        Ok(self.journal.insert(states).get(mark).copied())
    }
}

/// Returns why a line can't be imported with this app: the code and the text. `None` if it can, or if no apps are known.
fn wrong_app(known: &[String], app: Option<&AppKey>) -> Option<(&'static str, String)> {
    let listed = known.join(", ");
    match (known, app) {
        ([], _) | ([_], None) => None,
        (_, Some(app)) if known.iter().any(|key| key == app.as_str()) => None,
        (_, Some(app)) => {
            let why = format!(
                "the tenant has no app {app}; its apps are: {listed}. Next: correct the app of the line, or put this \
                 app into the configuration file"
            );
            Some((Cause::AppUnknown.code(), why))
        }
        (_, None) => {
            let why = format!(
                "the tenant has several apps, and the line names none. Next: name one in the line or with --app: \
                 {listed}"
            );
            Some((Cause::AppRequired.code(), why))
        }
    }
}

/// The error for a line without an account if no journal is named.
fn no_journal() -> Failure {
    let text = "standard input has a line without an account; name a journal with --journal FILE";
    Failure::Malformed(text.to_owned())
}

fn is_standard_input(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// Opens the file, which must be private, or standard input.
fn open(file: &Path) -> Result<Box<dyn BufRead + Send>, Failure> {
    if is_standard_input(file) {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    Ok(Box::new(BufReader::new(open_file(file)?)))
}

fn open_file(file: &Path) -> Result<File, Failure> {
    let missing = || Failure::Unavailable(format!("{}: there is no such file", file.display()));
    private_file::open_private(file)?.ok_or_else(missing)
}

/// Returns the path of the journal of a file: the path of the file with `.journal` at its end. `None` for standard
/// input.
fn beside(file: &Path) -> Option<PathBuf> {
    let mut name = file.file_name().filter(|_| !is_standard_input(file))?.to_owned();
    name.push(".journal");
    Some(file.with_file_name(name))
}

/// Counts the lines of a file, for the progress bar. Returns 0 for standard input.
fn count_lines(file: &Path) -> Result<u64, Failure> {
    if is_standard_input(file) {
        return Ok(0);
    }
    let mut source = BufReader::new(open_file(file)?);
    let mut number: u64 = 0;
    loop {
        let buffer = source.fill_buf().map_err(|error| Failure::Unavailable(format!("{}: {error}", file.display())))?;
        let length = buffer.len();
        if length == 0 {
            return Ok(number);
        }
        number += buffer.iter().filter(|byte| **byte == b'\n').count() as u64;
        source.consume(length);
    }
}

/// Reads the lines on a separate thread, because a read may wait for standard input. The thread ends when the receiver
/// is dropped.
fn read_ahead(source: Box<dyn BufRead + Send>) -> mpsc::Receiver<Result<Line, Failure>> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    let _thread = spawn_blocking(move || {
        for line in Lines::new(source) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use tiktok_shop_connector_core::error::Action as CoreAction;

    use super::*;

    /// Returns the codes of the causes for which the condition holds.
    fn codes(condition: impl Fn(Cause) -> bool) -> Vec<&'static str> {
        Cause::ALL.iter().filter(|cause| condition(**cause)).map(|cause| cause.code()).collect()
    }

    fn action_of(cause: Cause) -> Action {
        match cause.action() {
            CoreAction::Internal => Action::Internal,
            CoreAction::InvalidRequest => Action::InvalidRequest,
            CoreAction::Misconfigured => Action::Misconfigured,
            CoreAction::Reauthorize => Action::Reauthorize,
            CoreAction::RetryAfter => Action::RetryAfter(Duration::from_secs(7)),
            CoreAction::StorageConflict => Action::StorageConflict,
            CoreAction::StorageFailed => Action::StorageFailed,
            CoreAction::Upstream => Action::Upstream,
        }
    }

    fn codes_of(action: Action, expected: Verdict) -> Vec<&'static str> {
        codes(|cause| action_of(cause) == action && verdict(action, cause.code()) == expected)
    }

    #[test]
    fn only_an_error_that_would_happen_to_every_line_stops_the_import() {
        let pause = Action::RetryAfter(Duration::from_secs(7));
        for (action, expected, exceptions) in [
            (Action::InvalidRequest, Verdict::Rejected, &["already-connected"][..]),
            (Action::Reauthorize, Verdict::Rejected, &[]),
            (pause, Verdict::Later, &[]),
            (Action::StorageConflict, Verdict::Later, &[]),
            (Action::Misconfigured, Verdict::Stop, &["app-unknown"]),
            (Action::StorageFailed, Verdict::Stop, &[]),
            (Action::Internal, Verdict::Stop, &[]),
        ] {
            let all = codes(|cause| action_of(cause) == action && !exceptions.contains(&cause.code()));
            assert_eq!(codes_of(action, expected), all, "{action}");
        }
        assert_eq!(codes_of(Action::InvalidRequest, Verdict::AlreadyConnected), ["already-connected"]);
        assert_eq!(codes_of(Action::Misconfigured, Verdict::Rejected), ["app-unknown"]);
    }

    /// After these codes, the record of a line with an account is deleted only if TikTok Shop certainly did not act.
    #[test]
    fn a_line_is_rejected_upstream_only_if_tiktok_certainly_did_not_act() {
        let rejected =
            ["authorization-inactive", "seller-inactive", "shop-inactive", "tiktok-refused", "wrong-user-type"];
        assert_eq!(codes_of(Action::Upstream, Verdict::Rejected), rejected);
        let later = [
            "account-changed",
            "answer-too-large",
            "outcome-unknown",
            "redirected",
            "revocation-not-tried",
            "shop-cipher-missing",
            "shop-entry-unreadable",
            "token-answer-incomplete",
            "token-refused",
            "too-many-shops",
            "unrecognised-answer-repeated",
        ];
        assert_eq!(codes_of(Action::Upstream, Verdict::Later), later);
    }

    /// The journal calls a line *ended* only after these codes. Then the next run may send the token again.
    #[test]
    fn only_these_codes_prove_that_the_token_was_not_replaced() {
        let expected = [
            "app-rejected",
            "app-required",
            "app-unknown",
            "authorization-expired",
            "authorization-inactive",
            "authorization-revoked",
            "clock-skewed",
            "credentials-refused",
            "credentials-unavailable",
            "egress-denied",
            "grant-malformed",
            "ip-not-allowed",
            "missing-permission",
            "rate-limited",
            "seller-inactive",
            "shop-inactive",
            "signature-rejected",
            "storage-refused",
            "storage-unavailable",
            "tiktok-refused",
            "tiktok-unreachable",
            "wrong-user-type",
        ];
        assert_eq!(codes(|cause| keeps_token(cause.code())), expected);
    }

    /// For the other codes of a rejected line, the advice of the error itself names the next step.
    #[test]
    fn a_line_that_may_be_the_cause_has_advice_of_its_own() {
        let advised = codes(|cause| next_of_line(cause.code()).is_some());
        let expected = [
            "account-of-another-app",
            "app-required",
            "app-unknown",
            "authorization-expired",
            "authorization-revoked",
            "grant-malformed",
            "not-a-seller",
            "wrong-user-type",
        ];
        assert_eq!(advised, expected);
    }

    #[test]
    fn the_journal_is_beside_the_file() {
        assert_eq!(beside(Path::new("/a/sellers.csv")), Some(PathBuf::from("/a/sellers.csv.journal")));
        assert_eq!(beside(Path::new("-")), None);
    }
}
