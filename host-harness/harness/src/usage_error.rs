//! Describes wrong arguments in one line. The line contains the names of options, but not their values, because a value
//! may be a secret or a megabyte long. The only value that the line contains is a number that is out of range.

use std::error::Error as StdError;
use std::num::{IntErrorKind, ParseIntError};

use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::failure::Failure;

/// Returns the failure for an error of clap. The error must not be a request for the help or the version.
pub(crate) fn failure(error: &Error) -> Failure {
    Failure::Malformed(format!("{}; see --help", describe(error)))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "clap may add kinds of errors")]
fn describe(error: &Error) -> String {
    let argument = text(error, ContextKind::InvalidArg);
    match error.kind() {
        ErrorKind::UnknownArgument if argument.starts_with('-') => {
            let name: String =
                argument.chars().take_while(|c| *c == '-' || c.is_ascii_alphanumeric()).take(40).collect();
            format!("unknown option {name}{}", suggestion(error, ContextKind::SuggestedArg))
        }
        ErrorKind::UnknownArgument => "unexpected argument".to_owned(),
        ErrorKind::InvalidSubcommand => {
            format!("unknown command{}", suggestion(error, ContextKind::SuggestedSubcommand))
        }
        ErrorKind::MissingSubcommand => {
            let commands = text(error, ContextKind::ValidSubcommand);
            format!("missing: one of {}", commands.trim_end_matches(", help"))
        }
        ErrorKind::MissingRequiredArgument => format!("missing: {argument}"),
        ErrorKind::InvalidValue if text(error, ContextKind::InvalidValue).is_empty() => {
            format!("{argument}: missing value")
        }
        ErrorKind::InvalidValue => format!("{argument}: not one of {}", text(error, ContextKind::ValidValue)),
        ErrorKind::ValueValidation => {
            let what = error.source().map_or_else(|| "malformed".to_owned(), wrong_value);
            format!("{argument}: {what}")
        }
        ErrorKind::ArgumentConflict => match text(error, ContextKind::PriorArg) {
            other if other == argument => format!("{argument} is given twice"),
            other => format!("{argument} can't be used with {other}"),
        },
        ErrorKind::WrongNumberOfValues => {
            let given = number(error, ContextKind::ActualNumValues);
            let are_given = if given == 1 { "is given" } else { "are given" };
            let needed = number(error, ContextKind::ExpectedNumValues);
            format!("{argument}: {needed} values are needed, and {given} {are_given}")
        }
        ErrorKind::InvalidUtf8 => "an argument is not UTF-8".to_owned(),
        other => other.as_str().unwrap_or("malformed").to_owned(),
    }
}

/// Returns what is wrong with a value. For a number, the texts of the standard library and of clap are notations of
/// Rust, so others replace them.
fn wrong_value(error: &(dyn StdError + 'static)) -> String {
    if let Some(error) = error.downcast_ref::<ParseIntError>() {
        let kind = error.kind();
        let what = if *kind == IntErrorKind::Empty {
            "empty"
        } else if matches!(kind, IntErrorKind::PosOverflow | IntErrorKind::NegOverflow) {
            "the number is too large"
        } else {
            "not a whole number"
        };
        return what.to_owned();
    }
    let text = error.to_string();
    let bounds = text.split_once(" is not in ").and_then(|(number, range)| Some((number, range.split_once("..=")?)));
    match bounds {
        Some((number, (least, most))) => format!("{number} is not a number from {least} to {most}"),
        None => text,
    }
}

fn text(error: &Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    }
}

fn number(error: &Error, kind: ContextKind) -> isize {
    if let Some(ContextValue::Number(number)) = error.get(kind) { *number } else { 0 }
}

/// Returns the name that clap suggests, in parentheses. Returns an empty text if clap suggests nothing.
fn suggestion(error: &Error, kind: ContextKind) -> String {
    match text(error, kind) {
        none if none.is_empty() => none,
        suggested => format!(" (similar: {suggested})"),
    }
}
