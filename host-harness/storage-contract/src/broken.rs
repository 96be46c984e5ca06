//! Reports of broken promises. A promise is a sentence in the documentation of the storage traits. A report says what
//! the check did, what the storage answered and what it should have answered.

use std::fmt::{self, Debug};
use std::io;
use std::panic::Location;

use tiktok_shop_host::InvalidId;
use tiktok_shop_host::storage::StorageError;
use tokio::task::JoinError;

/// Why the storage does not keep a promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken(pub(super) String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Broken {
    /// Reports an error that the check did not expect. The text contains the line of the check, because the error does
    /// not say which method returned it.
    #[track_caller]
    fn unexpected(error: impl fmt::Display) -> Self {
        Self(format!("{error} ({})", Location::caller()))
    }
}

impl From<StorageError> for Broken {
    #[track_caller]
    fn from(error: StorageError) -> Self {
        Self::unexpected(error)
    }
}

impl From<InvalidId> for Broken {
    #[track_caller]
    fn from(error: InvalidId) -> Self {
        Self::unexpected(error)
    }
}

impl From<io::Error> for Broken {
    #[track_caller]
    fn from(error: io::Error) -> Self {
        Self::unexpected(error)
    }
}

impl From<JoinError> for Broken {
    fn from(error: JoinError) -> Self {
        Self(match error.try_into_panic() {
            Ok(panic) => match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
                (Some(text), _) => format!("panicked: {text}"),
                (None, Some(text)) => format!("panicked: {text}"),
                (None, None) => "panicked".to_owned(),
            },
            Err(cancelled) => cancelled.to_string(),
        })
    }
}

/// The maximum number of characters that a report shows of a value. A value may have several megabytes.
const MAX_SHOWN: usize = 400;

/// Returns the `Debug` text of the value, cut off after [`MAX_SHOWN`] characters.
pub(super) fn shown(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", text.get(..end).unwrap_or_default(), text.len()),
        None => text,
    }
}

/// Makes the check return [`Broken`] with this text if the condition does not hold.
macro_rules! ensure {
    ($holds:expr, $($text:tt)+) => {
        if !$holds {
            return Err($crate::broken::Broken(format!($($text)+)));
        }
    };
}

/// Makes the check return [`Broken`] if the two values are not equal. The report contains both values, and the text
/// says what was compared.
macro_rules! ensure_eq {
    ($found:expr, $expected:expr, $($text:tt)+) => {
        match (&$found, &$expected) {
            (found, expected) => {
                if *found != *expected {
                    let (found, expected) =
                        ($crate::broken::shown(found), $crate::broken::shown(expected));
                    let what = format!($($text)+);
                    return Err($crate::broken::Broken(format!("{what}: found {found}, expected {expected}")));
                }
            }
        }
    };
}

pub(super) use {ensure, ensure_eq};
