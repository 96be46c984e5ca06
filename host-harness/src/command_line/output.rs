//! Everything that the program writes, at the end and at once: results on standard output, one line per warning or error
//! on standard error. Colour only on a terminal that has not asked for none.

use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::input::Malformed;

pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const DIM: Style = Style::new().dimmed();

/// The exit status of malformed input, of malformed arguments (clap's) and of output that cannot be written.
const MALFORMED: u8 = 2;

/// What a command found.
pub(crate) struct Report {
    results: String,
    warnings: Vec<String>,
    status: ExitCode,
}

impl Default for Report {
    fn default() -> Self {
        Self { results: String::new(), warnings: Vec::new(), status: ExitCode::SUCCESS }
    }
}

impl Report {
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
        self.results.extend(serde_json::to_string(line).ok());
        self.results.push('\n');
    }

    /// What explains the result above it: indented, so that a script can tell it from results.
    pub(crate) fn detail(&mut self, label: &str, style: Style, text: &str) {
        self.results.push_str(&format!("    {DIM}{label:<8}{DIM:#}{style}{}{style:#}\n", visible(text)));
    }

    /// What the reader should know besides.
    pub(crate) fn warning(&mut self, place: &str, text: &str) {
        self.warnings.push(format!("{place}: {text}"));
    }

    /// The exit status is 1.
    pub(crate) fn failed(&mut self) {
        self.status = ExitCode::FAILURE;
    }
}

/// In one line, and nothing that moves a terminal's cursor.
fn visible(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut line, c| {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
        line
    })
}

pub(crate) fn write(report: Result<Report, Malformed>) -> ExitCode {
    let report = match report {
        Ok(report) => report,
        Err(malformed) => return error(&malformed.to_string()),
    };
    let warnings = report.warnings.iter().fold(String::new(), |mut lines, warning| {
        lines.push_str(&format!("{WARNING}warning:{WARNING:#} {warning}\n"));
        lines
    });
    complain(&warnings);
    let mut output = anstream::stdout().lock();
    match output.write_all(report.results.as_bytes()).and_then(|()| output.flush()) {
        // The reader has seen enough: `head` is no error.
        Err(problem) if problem.kind() != ErrorKind::BrokenPipe => {
            error(&format!("cannot write to standard output: {problem}"))
        }
        _ => report.status,
    }
}

fn error(text: &str) -> ExitCode {
    complain(&format!("{BAD}error:{BAD:#} {text}\n"));
    ExitCode::from(MALFORMED)
}

fn complain(lines: &str) {
    // Nothing is left to do if standard error is closed as well.
    let _ = anstream::stderr().write_all(lines.as_bytes());
}
