//! Collects the results of a command, writes them to standard output, and ends the program.
//!
//! Results are written when the command ends, so a command that fails prints no results. A command that needs a long
//! time for each result [flushes](Report::flush) each result when it is ready.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anstyle::Style;
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tiktok_shop_host::TenantId;
use tiktok_shop_host::seal::KeyError;
use tokio_util::sync::CancellationToken;

use super::terminal::{DIM, error, moves_a_terminal, note, visible, warning, write_stderr};
use crate::failure::{ErrorReport, Failure, MALFORMED, OVERDUE, REFUSED, STORAGE_FAILED};

/// The number of the system error that a write to a closed terminal returns.
const EIO: i32 = 5;

/// The text of the error that [`Report::check_stop`] returns.
const NOT_BEGUN: &str = "nothing was begun; run the same command again";

const PROGRESS_BAR: &str = "{prefix} {bar:30} {pos}/{len} {elapsed}";

/// How results and errors are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum OutputFormat {
    /// Lines and tables for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// The latest error of the provider of the host keys, for each tenant. Whenever the provider fails for a tenant, the
/// error is recorded here.
#[derive(Clone, Default)]
pub(crate) struct LastKeyErrors(Arc<Mutex<BTreeMap<TenantId, String>>>);

impl LastKeyErrors {
    /// Records an error. It replaces the error that was recorded for this tenant before.
    pub(crate) fn record(&self, tenant: &TenantId, error: &KeyError) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone(), error.to_string());
    }

    fn of(&self, tenant: &TenantId) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned()
    }

    /// Returns the error if only one tenant has one, as in every command that works with one tenant.
    fn of_only_tenant(&self) -> Option<String> {
        let errors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        errors.values().next().filter(|_| errors.len() == 1).cloned()
    }
}

/// The results of a command.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) last_key_errors: LastKeyErrors,
    /// This token is cancelled when a signal asks the program to end. From then on, a command begins no further work.
    pub(crate) stop: CancellationToken,
    results: String,
    warnings: Vec<String>,
    status: u8,
    format: OutputFormat,
    bar: Option<ProgressBar>,
    stdout: Stdout,
    /// Whether standard output was a terminal when the program started. This is stored, because after a terminal is
    /// closed, standard output no longer counts as a terminal.
    is_terminal: bool,
}

/// Whether the program can still write to standard output.
#[derive(Default)]
enum Stdout {
    #[default]
    Open,
    /// The program that reads standard output has closed it, as `head` does, or the terminal was closed. This is not an
    /// error, and the command continues.
    Closed,
    Broken(io::Error),
}

impl Report {
    pub(crate) fn new(format: OutputFormat) -> Self {
        Self { format, is_terminal: io::stdout().is_terminal(), ..Self::default() }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == OutputFormat::Json
    }

    /// Adds a result of one line.
    pub(crate) fn line(&mut self, line: &str) {
        self.styled(Style::new(), line);
    }

    /// Adds a result of one line in a style.
    pub(crate) fn styled(&mut self, style: Style, line: &str) {
        self.results.push_str(&format!("{style}{}{style:#}\n", visible(line)));
    }

    /// Adds a result as one line of JSON.
    pub(crate) fn json(&mut self, line: &impl Serialize) {
        // Serializing can't fail, because every number is finite and every key is text.
        let line = serde_json::to_string(line).unwrap_or_default();
        // Characters that move a terminal's cursor occur only inside JSON strings, where escapes are allowed.
        line.chars().for_each(|c| match c {
            c if moves_a_terminal(c) => self.results.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => self.results.push(c),
        });
        self.results.push('\n');
    }

    /// Adds a line that explains the result above it. The line is indented, so that a script does not take it for a
    /// result.
    pub(crate) fn detail(&mut self, label: &str, style: Style, text: &str) {
        self.results.push_str(&format!("    {DIM}{label:<8}{DIM:#}{style}{}{style:#}\n", visible(text)));
    }

    /// Adds rows under a header. Every column is as wide as its content.
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

    /// Adds a warning about a place in the input. The warning is printed only if the command succeeds.
    pub(crate) fn warning(&mut self, place: &str, text: &str) {
        self.warnings.push(format!("{place}: {text}"));
    }

    /// Writes a note to standard error at once. So the note is printed even if the command fails later.
    pub(crate) fn note(&self, text: &str) {
        self.without_bar(|| note(text));
    }

    /// Writes a warning to standard error at once. Use this function for a text that the user must not miss.
    pub(crate) fn urgent(&self, text: &str) {
        self.without_bar(|| warning(&visible(text)));
    }

    /// Writes a line to standard error at once. Use this function for a line that accompanies a result, because
    /// standard output must contain only the result.
    pub(crate) fn stderr_line(&self, text: &str) {
        self.without_bar(|| write_stderr(&format!("{DIM}{}{DIM:#}\n", visible(text))));
    }

    /// Returns what to print about a failure of a call of this tenant. If the storage failed, the text also contains
    /// the latest error of the provider of the tenant's host keys.
    pub(crate) fn error_report(&self, failure: &Failure, tenant: &TenantId) -> ErrorReport {
        failure.report_with_key_error(self.last_key_errors.of(tenant))
    }

    /// Returns an error if a signal has asked the program to end. A command calls this function before it begins
    /// something that it would have to finish.
    pub(crate) fn check_stop(&self) -> Result<(), Failure> {
        if self.stop.is_cancelled() { Err(Failure::Stopped(NOT_BEGUN.to_owned())) } else { Ok(()) }
    }

    /// Sets the exit status that means overdue connections. If the command fails afterwards, the program ends with the
    /// exit status of the failure instead.
    pub(crate) fn set_overdue(&mut self) {
        self.status = OVERDUE;
    }

    /// Sets the exit status that means a refusal. If the command fails afterwards, the program ends with the exit
    /// status of the failure instead.
    pub(crate) fn set_refused(&mut self) {
        self.status = REFUSED;
    }

    /// Sets the exit status to 16, because a host key is missing. If the command fails afterwards, the program ends
    /// with the exit status of the failure instead.
    pub(crate) fn set_key_missing(&mut self) {
        self.status = STORAGE_FAILED;
    }

    /// Writes the collected results now.
    pub(crate) fn flush(&mut self) {
        let results = std::mem::take(&mut self.results);
        self.write_stdout(|| {
            let mut output = anstream::stdout().lock();
            output.write_all(results.as_bytes()).and_then(|()| output.flush())
        });
    }

    /// Writes the collected results, and then these bytes. A file or a pipe gets the bytes unchanged. On a terminal,
    /// the characters that would move its cursor are escaped.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.flush();
        self.write_stdout(|| {
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

    /// Writes to standard output, unless an earlier write has failed.
    fn write_stdout(&mut self, write: impl FnOnce() -> io::Result<()>) {
        if !matches!(self.stdout, Stdout::Open) {
            return;
        }
        if let Err(error) = self.without_bar(write) {
            let hung_up = self.is_terminal && error.raw_os_error() == Some(EIO);
            let closed = error.kind() == ErrorKind::BrokenPipe || hung_up;
            self.stdout = if closed { Stdout::Closed } else { Stdout::Broken(error) };
        }
    }

    /// Hides the progress bar while something is written.
    fn without_bar<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Shows a progress bar with this number of steps if standard error is a terminal.
    pub(crate) fn begin_progress(&mut self, title: &'static str, steps: u64) -> ProgressBar {
        let bar = ProgressBar::new(steps);
        // The template is valid, as a test below checks.
        if let Ok(style) = ProgressStyle::with_template(PROGRESS_BAR) {
            bar.set_style(style);
        }
        bar.set_prefix(title);
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        self.bar = Some(bar.clone());
        bar
    }

    /// Removes the progress bar.
    pub(crate) fn end_progress(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// Ends the output of a command, and returns the exit status. If the command succeeded, writes the collected results.
/// If the command failed, drops the collected results and writes the failure. Results that were flushed earlier are
/// already written.
pub(crate) fn finish(mut report: Report, outcome: Result<(), Failure>) -> ExitCode {
    report.end_progress();
    let mut status = match outcome {
        Ok(()) => {
            report.warnings.iter().for_each(|text| warning(text));
            report.status
        }
        Err(failure) => {
            let error_report = failure.report_with_key_error(report.last_key_errors.of_only_tenant());
            error(&error_report.line());
            report.results.clear();
            if report.is_json() {
                report.json(&error_report.json());
            }
            error_report.status
        }
    };
    report.flush();
    if let Stdout::Broken(cause) = report.stdout {
        error(&format!("cannot write to standard output: {cause}"));
        status = MALFORMED;
    }
    ExitCode::from(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_escapes_characters_that_move_a_cursor_or_turn_text_around() {
        let mut report = Report::new(OutputFormat::Json);
        report.json(&"a\u{1b}\u{9b}\n\u{202e}\"é");
        assert_eq!(report.results, "\"a\\u001b\\u009b\\n\\u202e\\\"é\"\n");
        assert_eq!(serde_json::from_str::<String>(&report.results).unwrap(), "a\u{1b}\u{9b}\n\u{202e}\"é");
    }

    #[test]
    fn a_key_error_is_known_only_for_its_own_tenant() {
        let errors = LastKeyErrors::default();
        let tenant = |name: &str| name.parse::<TenantId>().unwrap();
        let unknown = |key: &str| KeyError::Unknown(key.parse().unwrap());
        assert_eq!((errors.of(&tenant("a")), errors.of_only_tenant()), (None, None));
        errors.record(&tenant("a"), &unknown("earlier"));
        errors.record(&tenant("a"), &unknown("latest"));
        let latest = Some("key-unavailable(latest): no host key of that name is here".to_owned());
        assert_eq!((errors.of(&tenant("a")), errors.of(&tenant("b"))), (latest.clone(), None));
        assert_eq!(errors.of_only_tenant(), latest);
        errors.record(&tenant("b"), &unknown("other"));
        assert_eq!((errors.of(&tenant("a")), errors.of_only_tenant()), (latest, None));
    }

    #[test]
    fn a_table_has_one_line_per_row_and_no_trailing_spaces() {
        let mut report = Report::default();
        report
            .table(["id", "name"], [["1".to_owned(), "Lantern &\nLoom".to_owned()], ["22".to_owned(), String::new()]]);
        assert_eq!(report.results, "id  name\n1   Lantern &\\nLoom\n22\n");
    }

    #[test]
    fn the_template_of_the_progress_bar_is_valid() {
        ProgressStyle::with_template(PROGRESS_BAR).unwrap();
    }
}
