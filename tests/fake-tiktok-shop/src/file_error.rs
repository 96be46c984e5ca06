//! Says in words why a file or an address can't be used.

use std::io::{self, ErrorKind};

/// The frequent reasons.
const REASONS: [(ErrorKind, &str); 4] = [
    (ErrorKind::NotFound, "there is no such file"),
    (ErrorKind::PermissionDenied, "this user has no right to it"),
    (ErrorKind::IsADirectory, "it is a folder"),
    (ErrorKind::NotADirectory, "a part of the path is not a folder"),
];

/// Returns the reason of an error of the operating system, without the number of the error.
pub(crate) fn reason(error: &io::Error) -> String {
    if let Some((_, reason)) = REASONS.iter().find(|(kind, _)| *kind == error.kind()) {
        return (*reason).to_owned();
    }
    let text = error.to_string();
    let number = error.raw_os_error().map(|number| format!(" (os error {number})")).unwrap_or_default();
    text.strip_suffix(&number).unwrap_or(&text).to_owned()
}
