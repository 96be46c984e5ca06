//! What is wrong with the arguments, in one line. Names of options are repeated, values never: one may be a secret, or a
//! megabyte.

use std::error::Error as _;

use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::failure::Failure;

/// A failure, unless the arguments ask for a help or the version.
pub(crate) fn failure(error: &Error) -> Failure {
    Failure::Malformed(format!("{}; --help tells more", what(error)))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "another crate's open list")]
fn what(error: &Error) -> String {
    let named = text(error, ContextKind::InvalidArg);
    match error.kind() {
        ErrorKind::UnknownArgument if named.starts_with('-') => {
            let name: String = named.chars().take_while(|c| *c == '-' || c.is_ascii_alphanumeric()).take(40).collect();
            format!("unknown option {name}{}", similar(error, ContextKind::SuggestedArg))
        }
        ErrorKind::UnknownArgument => "an argument too many".to_owned(),
        ErrorKind::InvalidSubcommand => {
            format!("unknown command{}", similar(error, ContextKind::SuggestedSubcommand))
        }
        ErrorKind::MissingSubcommand => {
            format!("one of these is missing: {}", text(error, ContextKind::ValidSubcommand).trim_end_matches(", help"))
        }
        ErrorKind::MissingRequiredArgument => format!("missing: {named}"),
        ErrorKind::InvalidValue if text(error, ContextKind::InvalidValue).is_empty() => format!("{named}: no value"),
        ErrorKind::InvalidValue => format!("{named}: none of {}", text(error, ContextKind::ValidValue)),
        ErrorKind::ValueValidation => {
            let source = error.source().map_or_else(|| "malformed".to_owned(), ToString::to_string);
            format!("{named}: {source}")
        }
        ErrorKind::ArgumentConflict => match text(error, ContextKind::PriorArg) {
            prior if prior == named => format!("{named} stands there twice"),
            prior => format!("{named} does not go with {prior}"),
        },
        ErrorKind::InvalidUtf8 => "an argument is not UTF-8".to_owned(),
        other => other.as_str().unwrap_or("malformed").to_owned(),
    }
}

fn text(error: &Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    }
}

fn similar(error: &Error, kind: ContextKind) -> String {
    match text(error, kind) {
        none if none.is_empty() => none,
        similar => format!("; there is {similar}"),
    }
}
