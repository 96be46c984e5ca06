//! Prints the demo: steps with labelled lines and tables, at most 100 columns wide. Uses colour only on a terminal,
//! unless environment variables such as `NO_COLOR` or `CLICOLOR_FORCE` say otherwise. Shows no authorization code, no
//! token and no cipher, but shows whether a shop has a cipher. Shows only the first four characters of a state.

mod text;

use std::fmt::Debug;
use std::io::{self, Write as _};
use std::iter;

use anstyle::{AnsiColor, Style};
use anyhow::{Result, ensure};
use comfy_table::{ContentArrangement, Table, presets};
use tiktok_shop_host::connection::{Connection, Shop, UnixSeconds};
use tiktok_shop_host::error::ConnectorError;
use tiktok_shop_host::events::{Event, EventKind};
use tiktok_shop_host::webhook::Webhook;

use self::text::{date, effect, end, kind, next_move, standing, status};
use crate::journal::Entry;
use crate::stage::Stage;

const INDENT: &str = "   ";
/// The width of a label and of the gap after it, in columns.
const LABEL: usize = 10;
/// The width of the text beside a label, in columns.
const BESIDE_LABELS: u16 = 87;
/// The width of text without a label, in columns.
const BODY: u16 = 97;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// The output of the demo. It counts the steps and the checks.
pub(crate) struct Page {
    out: anstream::Stdout,
    steps: u32,
    title: &'static str,
    checks: u32,
    /// Whether the imports of each step are shown.
    explain: bool,
}

impl Page {
    pub(crate) fn new(explain: bool) -> Self {
        Self { out: anstream::stdout(), steps: 0, title: "", checks: 0, explain }
    }

    pub(crate) fn opening(&mut self, stage: &Stage) -> io::Result<()> {
        writeln!(self.out, "{BOLD}The life of a TikTok Shop connection{BOLD:#}\n")?;
        self.paragraph(&format!(
            "The connector, {}, is a WebAssembly component. The reference host runs it and keeps connections in an SQLite \
             file, with all secrets encrypted. A fake TikTok Shop on {} answers instead of TikTok's two hosts and records \
             the requests. Sellers, shops and secrets are invented. The demo moves the clocks instead of waiting.",
            stage.host.plugin(),
            stage.tiktok.address(),
        ))?;
        if self.explain {
            writeln!(self.out)?;
            self.paragraph(
                "The lines \"imports\" show which functions of the host each call used, in order, and its requests in \
                 between. Clocks, randomness and HTTP are left out. Names in brackets are calls that the host library \
                 made to the same storage by itself.",
            )?;
        }
        Ok(())
    }

    /// Begins a step. `text` says what happens in the step, and why that matters to a platform.
    pub(crate) fn step(&mut self, title: &'static str, now: UnixSeconds, text: &str) -> io::Result<()> {
        self.steps += 1;
        self.title = title;
        let heading = format!("{}  {title}", self.steps);
        writeln!(self.out, "\n{BOLD}{heading}{BOLD:#}  {DIM}{}{DIM:#}", date(now))?;
        self.paragraph(text)?;
        writeln!(self.out)
    }

    /// Returns the current step, for the message about a failure.
    pub(crate) fn place(&self) -> String {
        if self.steps == 0 { "the set-up".to_owned() } else { format!("step {}, {}", self.steps, self.title) }
    }

    /// Shows a call in Rust. Joins the lines into which `stringify!` breaks a long call.
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
        let mut table = table(["id", "name", "region", "cipher", "standing", "linked"]);
        for shop in shops {
            table.add_row([
                shop.id.as_str(),
                &shop.name,
                &shop.region,
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

    /// Shows a command of a shell and its output.
    pub(crate) fn command(&mut self, command: &str, output: &str) -> io::Result<()> {
        self.labelled("shell", DIM, [format!("$ {command}")])?;
        self.labelled("", DIM, output.lines().map(str::to_owned))
    }

    /// Shows a text about the answer of a call.
    pub(crate) fn answer(&mut self, answer: &str) -> io::Result<()> {
        self.labelled("answer", DIM, wrapped(answer, BESIDE_LABELS))
    }

    /// Shows the webhooks that TikTok delivered, each with the HTTP status of the platform's answer.
    pub(crate) fn webhooks(&mut self, delivered: &[(Webhook, u16)]) -> io::Result<()> {
        let mut table = table(["type", "shop", "date", "customers", "effect", "answered"]);
        for (webhook, status) in delivered {
            table.add_row([
                webhook.event_type.to_string(),
                webhook.shop.as_ref().map_or("none", |shop| shop.as_str()).to_owned(),
                webhook.occurred_at.map_or_else(|| "unknown".to_owned(), date),
                webhook.owners.iter().map(|owner| owner.key.customer.as_str()).collect::<Vec<_>>().join(", "),
                effect(webhook.effect).to_owned(),
                status.to_string(),
            ]);
        }
        self.labelled("webhooks", DIM, table.lines())
    }

    /// Shows events, and checks that they are exactly of the expected kinds.
    pub(crate) fn events(&mut self, events: &[Event], expected: &[EventKind]) -> Result<()> {
        let mut table = table(["date", "customer", "event"]);
        for Event { event, .. } in events {
            let customer = event.key.as_ref().map_or("all", |key| key.customer.as_str());
            table.add_row([date(event.at), customer.to_owned(), kind(&event.kind)]);
        }
        self.labelled("events", DIM, table.lines())?;
        let kinds: Vec<_> = events.iter().map(|event| event.event.kind.clone()).collect();
        self.verify("the events", kinds.as_slice(), expected)
    }

    /// Shows each request that TikTok received, and how often TikTok received it. Checks that the requests are exactly
    /// the `expected` ones, each given as a tuple of count, address and answer. With `--explain`, also shows the
    /// imports.
    pub(crate) fn requests(&mut self, seen: &[Entry], expected: &[(usize, &str, &str)]) -> Result<()> {
        if self.explain {
            self.imports(seen)?;
        }
        let seen = requests(seen);
        let lines = match seen.as_slice() {
            [] => vec!["none".to_owned()],
            seen => seen.iter().map(|(count, address, answer)| format!("{count} × {address:57}  {answer}")).collect(),
        };
        self.labelled("requests", DIM, lines)?;
        let seen: Vec<_> = seen.iter().map(|(count, address, answer)| (*count, &**address, &**answer)).collect();
        self.verify("the requests that TikTok received", seen.as_slice(), expected)
    }

    /// Shows the imports that each call used. If consecutive calls used the same imports, shows these imports once,
    /// with the number of calls.
    fn imports(&mut self, seen: &[Entry]) -> io::Result<()> {
        let calls: Vec<_> = seen.chunk_by(|_, next| !matches!(next, Entry::Call | Entry::Checks)).collect();
        let shown = calls.into_iter().filter(|call| !matches!(call.first(), Some(Entry::Checks)));
        let asked: Vec<_> = shown.map(in_order).filter(|asked| !asked.is_empty()).collect();
        let lines = counted(&asked).flat_map(|(count, asked)| {
            wrapped(&if count == 1 { asked.clone() } else { format!("{count} times {asked}") }, BESIDE_LABELS)
        });
        self.labelled("imports", DIM, lines)
    }

    /// Prints the statement as checked if `found` equals `expected`. Otherwise returns an error, which ends the demo.
    pub(crate) fn check<T: Debug + PartialEq + ?Sized>(
        &mut self,
        statement: &str,
        found: &T,
        expected: &T,
    ) -> Result<()> {
        self.verify(statement, found, expected)?;
        Ok(self.labelled("checked", GOOD, wrapped(statement, BESIDE_LABELS))?)
    }

    fn verify<T: Debug + PartialEq + ?Sized>(&mut self, statement: &str, found: &T, expected: &T) -> Result<()> {
        ensure!(found == expected, "{statement}: expected {expected:?}, found {found:?}");
        self.checks += 1;
        Ok(())
    }

    pub(crate) fn closing(&mut self) -> io::Result<()> {
        let (steps, checks) = (self.steps, self.checks);
        let counted = format!("{steps} steps with {checks} checks of values, events and requests");
        writeln!(self.out, "\n{BOLD}{counted}. Every check passed.{BOLD:#}\n")?;
        for (command, purpose) in [
            ("cargo xtask demo --explain", "the same demo, with the imports of each call"),
            ("README.md", "how to embed the connector, or run it as a service"),
            ("cargo run --bin tiktok-shop-harness", "the command line, which explains how to begin"),
            ("cargo run --bin fake-tiktok-shop", "a fake TikTok Shop to click through, and for tests"),
            ("cargo doc --open -p tiktok-shop-host", "the host library, with an example"),
        ] {
            writeln!(self.out, "{INDENT}{command:<46}{purpose}")?;
        }
        self.out.flush()
    }

    fn paragraph(&mut self, text: &str) -> io::Result<()> {
        wrapped(text, BODY).iter().try_for_each(|line| writeln!(self.out, "{INDENT}{line}"))
    }

    /// Writes lines, with a label beside the first line.
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

/// Wraps a text into lines of at most `width` columns.
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

/// Lists the imports and requests of a call, in order. Names in brackets are methods of the storage that the host
/// library called by itself.
fn in_order(call: &[Entry]) -> String {
    let asked: Vec<_> = call
        .iter()
        .filter_map(|entry| match entry {
            Entry::Call | Entry::Checks => None,
            Entry::Import(name) => Some((*name).to_owned()),
            Entry::Host(name) => Some(format!("({name})")),
            Entry::Request(request) => Some(format!("{} {}", request.method, request.path)),
        })
        .collect();
    let counts =
        counted(&asked).map(|(count, what)| if count == 1 { what.clone() } else { format!("{count} × {what}") });
    counts.collect::<Vec<_>>().join(", ")
}

/// Joins equal items that follow each other. Returns each joined item, with the number of items that it stands for.
fn counted<T: PartialEq>(items: &[T]) -> impl Iterator<Item = (usize, &T)> {
    items.chunk_by(T::eq).filter_map(|run| Some((run.len(), run.first()?)))
}

/// Counts the requests that have the same address and the same answer, in the order of their first appearance.
fn requests(entries: &[Entry]) -> Vec<(usize, String, String)> {
    let mut counted: Vec<(usize, String, String)> = Vec::new();
    let requests =
        entries.iter().filter_map(|entry| if let Entry::Request(request) = entry { Some(request) } else { None });
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

/// Cuts the state in a link after its first four characters.
fn with_state_cut(link: &str) -> String {
    match link.split_once("state=") {
        Some((before, state)) => format!("{before}state={}…", state.chars().take(4).collect::<String>()),
        None => link.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_four_characters_of_a_state_are_shown() {
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
