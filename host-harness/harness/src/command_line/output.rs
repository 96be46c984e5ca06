//! Everything that the program writes: results on standard output, one line per note, warning or error on standard error.
//! Colour only on a terminal that has not asked for none.
//!
//! Results are collected and written at the end, so that a command that fails has printed none; a command whose lines are
//! waited for [tells](Report::tell) them as they come.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tiktok_shop_host::seal::KeyError;

use super::failure::{Failure, MALFORMED, Told};

pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const DIM: Style = Style::new().dimmed();
const BAR: &str = "{prefix} {bar:30} {pos}/{len} {elapsed}";

/// The last host key that did not serve, and why.
#[derive(Clone, Default)]
pub(crate) struct KeyTrouble(Arc<Mutex<Option<String>>>);

impl KeyTrouble {
    pub(crate) fn hear(&self, error: &KeyError) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }

    fn told(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a command found.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) key_trouble: KeyTrouble,
    results: String,
    warnings: Vec<String>,
    status: u8,
    json: bool,
    bar: Option<ProgressBar>,
    /// Why standard output can't be written any more; `None`: its reader has gone, which is no error.
    closed: Option<Option<io::Error>>,
}

impl Report {
    /// `json`: results and errors are to be lines of JSON.
    pub(crate) fn new(json: bool) -> Self {
        Self { json, ..Self::default() }
    }

    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// A result of one line.
    pub(crate) fn line(&mut self, line: &str) {
        self.styled(Style::new(), line);
    }

    pub(crate) fn styled(&mut self, style: Style, line: &str) {
        self.results.push_str(&format!("{style}{}{style:#}\n", visible(line)));
    }

    /// A result as one line of JSON.
    pub(crate) fn json(&mut self, line: &impl Serialize) {
        // Neither numbers that are none nor keys that are no text are in it: it cannot fail.
        let line = serde_json::to_string(line).unwrap_or_default();
        // They stand within texts only, where JSON has an escape for each.
        line.chars().for_each(|c| match c {
            c if moves_a_terminal(c) => self.results.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => self.results.push(c),
        });
        self.results.push('\n');
    }

    /// What explains the result above it: indented, so that a script can tell it from results.
    pub(crate) fn detail(&mut self, label: &str, style: Style, text: &str) {
        self.results.push_str(&format!("    {DIM}{label:<8}{DIM:#}{style}{}{style:#}\n", visible(text)));
    }

    /// Rows under a header, of which every column is as wide as it needs.
    pub(crate) fn table<const COLUMNS: usize>(
        &mut self,
        header: [&str; COLUMNS],
        rows: impl IntoIterator<Item = [String; COLUMNS]>,
    ) {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(header);
        for row in rows {
            table.add_row(row.map(|cell| visible(&cell)));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        self.results.extend(table.lines().map(|line| format!("{}\n", line.trim_end())));
    }

    /// What the reader should know besides.
    pub(crate) fn warning(&mut self, place: &str, text: &str) {
        self.warnings.push(format!("{place}: {text}"));
    }

    /// What the reader should know while the command works, and whatever comes of it.
    pub(crate) fn note(&self, text: &str) {
        self.beside_the_bar(|| note(text));
    }

    /// What stands beside a result that is to be alone on standard output.
    pub(crate) fn aside(&self, text: &str) {
        self.beside_the_bar(|| complain(&format!("{DIM}{}{DIM:#}\n", visible(text))));
    }

    /// A failure in words, with the key that is missing, if one is.
    pub(crate) fn told(&self, failure: &Failure) -> Told {
        failure.told().because(self.key_trouble.told())
    }

    /// The exit status is 1.
    pub(crate) fn failed(&mut self) {
        self.status = 1;
    }

    /// Writes what has come so far.
    pub(crate) fn tell(&mut self) {
        let results = std::mem::take(&mut self.results);
        self.put(|| {
            let mut output = anstream::stdout().lock();
            output.write_all(results.as_bytes()).and_then(|()| output.flush())
        });
    }

    /// Writes bytes as they are; on a terminal with what would move its cursor made visible.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.tell();
        self.put(|| {
            let mut output = io::stdout().lock();
            if output.is_terminal() {
                let text = String::from_utf8_lossy(bytes);
                let lines: String = text.lines().map(|line| format!("{}\n", visible(line))).collect();
                output.write_all(lines.as_bytes())?;
            } else {
                output.write_all(bytes)?;
            }
            output.flush()
        });
    }

    /// Writes until standard output is closed.
    fn put(&mut self, write: impl FnOnce() -> io::Result<()>) {
        if self.closed.is_some() {
            return;
        }
        if let Err(problem) = self.beside_the_bar(write) {
            // The reader has seen enough: `head` is no error.
            self.closed = Some((problem.kind() != ErrorKind::BrokenPipe).then_some(problem));
        }
    }

    fn beside_the_bar<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Shows that so many steps of work are ahead, if standard error is a terminal.
    pub(crate) fn progress(&mut self, title: &'static str, steps: u64) -> ProgressBar {
        let bar = ProgressBar::new(steps);
        // The template is valid: a test shows it.
        if let Ok(style) = ProgressStyle::with_template(BAR) {
            bar.set_style(style);
        }
        bar.set_prefix(title);
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        self.bar = Some(bar.clone());
        bar
    }

    /// The work is done.
    pub(crate) fn end_progress(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// In one line, and nothing that moves a terminal's cursor or turns text around.
pub(crate) fn visible(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut line, c| {
        if moves_a_terminal(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
        line
    })
}

/// Control characters, line and paragraph separators, and those that change the direction of text.
fn moves_a_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Ends the program's output. Of a command that failed only what it has told stands on standard output.
pub(crate) fn write(mut report: Report, outcome: Result<(), Failure>) -> ExitCode {
    report.end_progress();
    let mut status = match outcome {
        Ok(()) => {
            let warnings = report.warnings.iter().map(|warning| format!("{WARNING}warning:{WARNING:#} {warning}\n"));
            complain(&warnings.collect::<String>());
            report.status
        }
        Err(failure) => {
            let told = report.told(&failure);
            error(&told.line());
            report.results.clear();
            if report.json {
                report.json(&told.json());
            }
            told.status
        }
    };
    report.tell();
    if let Some(Some(problem)) = report.closed {
        error(&format!("cannot write to standard output: {problem}"));
        status = MALFORMED;
    }
    ExitCode::from(status)
}

/// Asks on standard error, if somebody sits there.
pub(crate) fn ask(question: &str) {
    if io::stdin().is_terminal() {
        complain(&format!("{question}\n"));
    }
}

/// A line on standard error, of what has no report.
pub(crate) fn note(text: &str) {
    complain(&format!("{DIM}note:{DIM:#} {}\n", visible(text)));
}

fn error(text: &str) {
    complain(&format!("{BAD}error:{BAD:#} {}\n", visible(text)));
}

fn complain(lines: &str) {
    // Nothing is left to do if standard error is closed as well.
    let _ = anstream::stderr().write_all(lines.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_move_a_cursor_or_turn_text_around_is_shown_as_its_code() {
        assert_eq!(visible("a\u{1b}[2J\u{9b}b\n\u{202e}c\0é"), "a\\u{1b}[2J\\u{9b}b\\n\\u{202e}c\\u{0}é");
        let mut report = Report::new(true);
        report.json(&"a\u{1b}\u{9b}\n\u{202e}\"é");
        assert_eq!(report.results, "\"a\\u001b\\u009b\\n\\u202e\\\"é\"\n");
        assert_eq!(serde_json::from_str::<String>(&report.results).unwrap(), "a\u{1b}\u{9b}\n\u{202e}\"é");
    }

    #[test]
    fn a_table_has_a_line_a_row_and_no_blanks_at_its_ends() {
        let mut report = Report::default();
        report
            .table(["id", "name"], [["1".to_owned(), "Lantern &\nLoom".to_owned()], ["22".to_owned(), String::new()]]);
        assert_eq!(report.results, "id  name\n1   Lantern &\\nLoom\n22\n");
    }

    #[test]
    fn progress_can_be_shown() {
        ProgressStyle::with_template(BAR).unwrap();
    }
}
