//! Why a promise is not kept, in words: what was done, what came, what should have come.

use std::fmt::{self, Debug};
use std::io;
use std::panic::Location;

use tokio::task::JoinError;

use tiktok_shop_host::InvalidId;
use tiktok_shop_host::storage::StorageError;

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken(pub(super) String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Broken {
    /// An error where none was due, and the line of the check that met it: the error itself does not say of which method it is.
    #[track_caller]
    fn met(error: impl fmt::Display) -> Self {
        Self(format!("{error} ({})", Location::caller()))
    }
}

impl From<StorageError> for Broken {
    #[track_caller]
    fn from(error: StorageError) -> Self {
        Self::met(error)
    }
}

impl From<InvalidId> for Broken {
    #[track_caller]
    fn from(error: InvalidId) -> Self {
        Self::met(error)
    }
}

impl From<io::Error> for Broken {
    #[track_caller]
    fn from(error: io::Error) -> Self {
        Self::met(error)
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
            Err(ended) => ended.to_string(),
        })
    }
}

/// Most characters of a value in a text: values may be megabytes.
const LONGEST: usize = 400;

/// A value as a text shows it.
pub(super) fn shown(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}… ({} bytes)", text.get(..end).unwrap_or_default(), text.len()),
        None => text,
    }
}

/// Returns with this text unless the condition holds.
macro_rules! ensure {
    ($holds:expr, $($text:tt)+) => {
        if !$holds {
            return Err($crate::broken::Broken(format!($($text)+)));
        }
    };
}

/// Returns with both values unless they are the same; the text says what was looked at.
macro_rules! ensure_same {
    ($found:expr, $expected:expr, $($text:tt)+) => {
        match (&$found, &$expected) {
            (found, expected) => {
                if *found != *expected {
                    let (found, expected) =
                        ($crate::broken::shown(found), $crate::broken::shown(expected));
                    let what = format!($($text)+);
                    return Err($crate::broken::Broken(format!("{what}: {found} instead of {expected}")));
                }
            }
        }
    };
}

pub(super) use {ensure, ensure_same};
