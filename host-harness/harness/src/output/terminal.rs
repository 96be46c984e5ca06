//! Writes to standard error, defines the colours, and makes text safe to show on a terminal. Colours appear only on a
//! terminal, and the variable `NO_COLOR` turns them off.

use std::io::{self, IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::input;

pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
/// The maximum length of an answer to a question.
const MAX_ANSWER_BYTES: u64 = 1024;
const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// Returns the text in one line. Escapes replace the characters that move a terminal's cursor or change the direction
/// of text.
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

/// Returns true if the character is a control character, separates lines or paragraphs, changes the direction of text,
/// or is a byte order mark.
pub(crate) fn moves_a_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Returns whether the user can answer a question: standard input is a terminal.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal()
}

/// Writes a question to standard error if standard input is a terminal.
pub(crate) fn ask(question: &str) {
    if can_ask() {
        write_stderr(&format!("{question}\n"));
    }
}

/// The user's answer to a question.
pub(crate) enum Answer {
    Yes,
    No,
    /// A signal asked the program to end before there was an answer.
    Stopped,
}

/// Asks the user on the terminal for a confirmation. Only `y` and `yes` mean yes. If standard input is not a terminal,
/// nobody is asked, and the answer is no. After `stop` is cancelled, an answer is ignored.
pub(crate) async fn confirm(question: &str, stop: &CancellationToken) -> Answer {
    if !can_ask() {
        return Answer::No;
    }
    ask(question);
    match input::standard_input(stop, |stdin| input::line(stdin, MAX_ANSWER_BYTES)).await {
        Ok(line) if matches!(line.to_ascii_lowercase().as_str(), "y" | "yes") => Answer::Yes,
        Err(Failure::Stopped(_)) => Answer::Stopped,
        // An answer that can't be read is no consent.
        Ok(_) | Err(_) => Answer::No,
    }
}

/// Writes a note to standard error.
pub(crate) fn note(text: &str) {
    write_stderr(&format!("{DIM}note:{DIM:#} {}\n", visible(text)));
}

/// Writes a warning to standard error. The text needs no escapes, because it contains no input.
pub(super) fn warning(text: &str) {
    write_stderr(&format!("{WARNING}warning:{WARNING:#} {text}\n"));
}

/// Writes an error to standard error.
pub(super) fn error(text: &str) {
    write_stderr(&format!("{BAD}error:{BAD:#} {}\n", visible(text)));
}

pub(super) fn write_stderr(lines: &str) {
    // If standard error is closed, the program can't report this failure anywhere else.
    let _ = anstream::stderr().write_all(lines.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_move_a_cursor_or_turn_text_around_are_escaped() {
        assert_eq!(visible("a\u{1b}[2J\u{9b}b\n\u{202e}c\0é"), "a\\u{1b}[2J\\u{9b}b\\n\\u{202e}c\\u{0}é");
    }
}
