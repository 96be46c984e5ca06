//! What the reader sees: steps of labelled lines and tables, at most 100 columns wide. Colour only on a terminal that
//! has not asked for none. Codes, tokens and ciphers never get here; a state is cut.

use std::fmt::Debug;
use std::io::{self, Write as _};
use std::iter;

use anstyle::{AnsiColor, Style};
use anyhow::{Result, ensure};
use comfy_table::{ContentArrangement, Table, presets};
use fake_tiktok_shop::RequestRecord;
use jiff::Timestamp;
use tiktok_shop_host_harness::{
    Action, Connection, ConnectionStatus, ConnectorError, ReauthorizationReason, Shop, ShopStanding, UnixSeconds,
};

use crate::stage::Stage;

const INDENT: &str = "   ";
/// Columns of a label, the gap after it included.
const LABEL: usize = 10;
/// Columns left beside labels.
const BESIDE_LABELS: u16 = 87;
/// Columns left without labels.
const BODY: u16 = 97;
const DAY: u64 = 86_400;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// The page so far.
pub(crate) struct Page {
    out: anstream::Stdout,
    steps: u32,
    title: &'static str,
    checks: u32,
}

impl Default for Page {
    fn default() -> Self {
        Self { out: anstream::stdout(), steps: 0, title: "", checks: 0 }
    }
}

impl Page {
    pub(crate) fn opening(&mut self, stage: &Stage) -> io::Result<()> {
        writeln!(self.out, "{BOLD}The life of a TikTok Shop connection{BOLD:#}\n")?;
        self.paragraph(&format!(
            "The connector, {}, runs as a WebAssembly component in the reference host. A fake TikTok Shop on {} answers \
             in place of TikTok's two hosts, and lists the requests it saw. Sellers, shops and secrets are invented, and \
             time is moved, not waited for.",
            stage.host.plugin(),
            stage.tiktok.address(),
        ))
    }

    /// Begins a step: what happens, and why a platform cares.
    pub(crate) fn step(&mut self, title: &'static str, now: UnixSeconds, text: &str) -> io::Result<()> {
        self.steps += 1;
        self.title = title;
        let heading = format!("{}  {title}", self.steps);
        writeln!(self.out, "\n{BOLD}{heading}{BOLD:#}  {DIM}{}{DIM:#}", date(now))?;
        self.paragraph(text)?;
        writeln!(self.out)
    }

    /// Where the story is, for the message about a failure.
    pub(crate) fn place(&self) -> String {
        if self.steps == 0 { "the set-up".to_owned() } else { format!("step {}, {}", self.steps, self.title) }
    }

    /// Shows a call in Rust. `stringify!` breaks long ones into lines.
    pub(crate) fn call(&mut self, call: &str) -> io::Result<()> {
        let call = call.split_whitespace().collect::<Vec<_>>().join(" ");
        self.labelled("call", DIM, wrapped(&format!("{call}.await"), BESIDE_LABELS))
    }

    pub(crate) fn consent_link(&mut self, link: &str) -> io::Result<()> {
        writeln!(self.out, "{INDENT}{}", with_state_cut(link))
    }

    pub(crate) fn connection(&mut self, connection: &Connection, now: UnixSeconds) -> io::Result<()> {
        let mut table = table(["seller", "status", "access token ends", "refresh token ends"]);
        table.add_row([
            connection.seller_name.clone(),
            status(connection.status),
            end(connection.access_expires_at, now),
            end(connection.refresh_expires_at, now),
        ]);
        self.labelled("answer", DIM, table.lines())
    }

    pub(crate) fn shops(&mut self, shops: &[Shop]) -> io::Result<()> {
        let mut table = table(["id", "name", "region", "kind", "cipher", "standing", "linked"]);
        for shop in shops {
            table.add_row([
                shop.id.as_str(),
                &shop.name,
                &shop.region,
                &shop.seller_type,
                if shop.cipher.is_some() { "present" } else { "none" },
                standing(shop.standing),
                if shop.linked { "yes" } else { "no" },
            ]);
        }
        self.labelled("shops", DIM, table.lines())
    }

    pub(crate) fn error(&mut self, error: &ConnectorError) -> io::Result<()> {
        let failure = error.failure();
        self.labelled("error", BAD, [format!("{}, {}", error.action(), failure.code)])?;
        self.labelled("detail", DIM, wrapped(&failure.detail, BESIDE_LABELS))?;
        self.labelled("next", BOLD, [next_move(error.action())])
    }

    /// Shows the requests that TikTok saw, equal ones counted, and checks that there were no others than `expected`:
    /// how many, of which address, how answered.
    pub(crate) fn requests(&mut self, seen: &[RequestRecord], expected: &[(usize, &str, &str)]) -> Result<()> {
        let seen = counted(seen);
        let lines = match seen.as_slice() {
            [] => vec!["none".to_owned()],
            seen => seen.iter().map(|(count, address, answer)| format!("{count} × {address:57}  {answer}")).collect(),
        };
        self.labelled("requests", DIM, lines)?;
        let seen: Vec<_> = seen.iter().map(|(count, address, answer)| (*count, &**address, &**answer)).collect();
        self.verify("the requests that TikTok saw", seen.as_slice(), expected)
    }

    /// Prints the claim if it holds, and ends the story if not.
    pub(crate) fn check<T: Debug + PartialEq + ?Sized>(&mut self, claim: &str, found: &T, expected: &T) -> Result<()> {
        self.verify(claim, found, expected)?;
        Ok(self.labelled("checked", GOOD, wrapped(claim, BESIDE_LABELS))?)
    }

    fn verify<T: Debug + PartialEq + ?Sized>(&mut self, claim: &str, found: &T, expected: &T) -> Result<()> {
        ensure!(found == expected, "{claim}: expected {expected:?}, found {found:?}");
        self.checks += 1;
        Ok(())
    }

    pub(crate) fn closing(&mut self) -> io::Result<()> {
        writeln!(self.out, "\n{BOLD}{} steps, {} checks, all of them held.{BOLD:#}\n", self.steps, self.checks)?;
        for (command, purpose) in [
            ("README.md", "how to embed the connector in a host of your own"),
            ("cargo run --bin fake-tiktok-shop", "a TikTok Shop to click through, and for your tests"),
            ("cargo doc --open -p tiktok-shop-host-harness", "the host library, with an example"),
        ] {
            writeln!(self.out, "{INDENT}{command:<46}{purpose}")?;
        }
        self.out.flush()
    }

    fn paragraph(&mut self, text: &str) -> io::Result<()> {
        wrapped(text, BODY).iter().try_for_each(|line| writeln!(self.out, "{INDENT}{line}"))
    }

    /// Lines with a label beside the first.
    fn labelled(&mut self, label: &str, style: Style, lines: impl IntoIterator<Item = String>) -> io::Result<()> {
        let labels = iter::once(label).chain(iter::repeat(""));
        labels.zip(lines).try_for_each(|(label, line)| {
            writeln!(self.out, "{INDENT}{style}{label:<LABEL$}{style:#}{}", line.trim_end())
        })
    }
}

fn table<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(BESIDE_LABELS)
        .set_header(header);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// The text in lines of so many columns.
fn wrapped(text: &str, width: u16) -> Vec<String> {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width)
        .add_row([text]);
    for column in table.column_iter_mut() {
        column.set_padding((0, 0));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

/// Address and answer of each request, in the order in which they were first seen, and how often.
fn counted(requests: &[RequestRecord]) -> Vec<(usize, String, String)> {
    let mut counted: Vec<(usize, String, String)> = Vec::new();
    for request in requests {
        let address = format!("{}{}", request.host, request.path);
        let code = request.code.map_or_else(|| "none".to_owned(), |code| code.to_string());
        let answer = format!("{}, code {code}", request.status);
        match counted.iter_mut().find(|known| known.1 == address && known.2 == answer) {
            Some((count, ..)) => *count += 1,
            None => counted.push((1, address, answer)),
        }
    }
    counted
}

/// A link whose state shows its first four characters only.
fn with_state_cut(link: &str) -> String {
    match link.split_once("state=") {
        Some((before, state)) => format!("{before}state={}…", state.chars().take(4).collect::<String>()),
        None => link.to_owned(),
    }
}

fn status(status: ConnectionStatus) -> String {
    match status {
        ConnectionStatus::Active => "active".to_owned(),
        ConnectionStatus::AuthorizationEnding(at) => format!("ending {}", date(at)),
        ConnectionStatus::ReauthorizationRequired(reason) => match reason {
            ReauthorizationReason::AuthorizationExpired => "dead: expired".to_owned(),
            ReauthorizationReason::AuthorizationRevoked => "dead: revoked".to_owned(),
            ReauthorizationReason::RefreshOutcomeUnknown => "dead: refresh unanswered".to_owned(),
        },
    }
}

fn standing(standing: ShopStanding) -> &'static str {
    match standing {
        ShopStanding::Granted => "granted",
        ShopStanding::Inactive => "inactive",
        ShopStanding::NoLongerGranted => "no longer granted",
    }
}

/// What a host does about an error, whatever its code.
fn next_move(action: Action) -> String {
    match action {
        Action::RetryAfter(pause) => {
            format!("the host makes the same call again, {} s from now at the earliest", pause.as_secs_f64())
        }
        Action::Reauthorize => "the host sends the seller a new consent link".to_owned(),
        Action::Misconfigured => "the host alerts an operator; it does not retry, nor trouble the seller".to_owned(),
        Action::InvalidRequest => "the host's arguments are wrong: a bug in the host".to_owned(),
        Action::Upstream => "the host shows it to a person; it does not loop".to_owned(),
        Action::StorageConflict => "the host makes the same call again".to_owned(),
        Action::StorageFailed => "the host makes the same call again once its storage works".to_owned(),
        Action::Internal => "somebody reports a bug in the connector".to_owned(),
    }
}

fn end(at: Option<UnixSeconds>, now: UnixSeconds) -> String {
    at.map_or_else(|| "unknown".to_owned(), |at| format!("{}, {}", date(at), relative(at, now)))
}

fn relative(at: UnixSeconds, now: UnixSeconds) -> String {
    let days = at.0.abs_diff(now.0) / DAY;
    let unit = if days == 1 { "day" } else { "days" };
    match days {
        0 => "today".to_owned(),
        _ if at > now => format!("in {days} {unit}"),
        _ => format!("{days} {unit} ago"),
    }
}

/// The date in UTC.
fn date(at: UnixSeconds) -> String {
    i64::try_from(at.0)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .map_or_else(|| format!("second {}", at.0), |time| time.strftime("%Y-%m-%d").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_as_a_date_and_as_days_from_now() {
        let now = UnixSeconds(1_767_225_600);
        for (at, told) in [
            (now.0 + 7 * DAY, "2026-01-08, in 7 days"),
            (now.0 + 2 * DAY - 1, "2026-01-02, in 1 day"),
            (now.0, "2026-01-01, today"),
            (now.0 - DAY, "2025-12-31, 1 day ago"),
            (4_903_858_076, "2125-05-25, in 36303 days"),
            (u64::MAX, "second 18446744073709551615, in 213503982314147 days"),
        ] {
            assert_eq!(end(Some(UnixSeconds(at)), now), told);
        }
        assert_eq!(end(None, now), "unknown");
    }

    #[test]
    fn a_state_is_cut() {
        let link = "https://services.tiktokshop.com/open/authorize?service_id=1&state=0123456789";
        assert_eq!(with_state_cut(link), "https://services.tiktokshop.com/open/authorize?service_id=1&state=0123…");
    }

    #[test]
    fn text_is_wrapped_at_words() {
        let text = "word ".repeat(40);
        let lines = wrapped(&text, 85);
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.len() <= 85 && line.starts_with("word ") && line.ends_with("word")));
    }
}
