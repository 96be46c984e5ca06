//! What the probe has found out about one question. The probe never guesses: if two answers fit what it has seen, the
//! finding is `Unclear`.

use serde::Serialize;
use serde_json::Value;

/// The answer to one question.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "finding", rename_all = "kebab-case")]
pub enum Finding {
    /// TikTok Shop behaves like this value of the switch, and like no other.
    Seen {
        /// The value of the switch. A number of seconds in it is the lowest that fits.
        value: Value,
        /// If the value contains a number of seconds: the highest number that fits.
        #[serde(skip_serializing_if = "Option::is_none")]
        at_most_seconds: Option<u64>,
        /// What showed it.
        why: String,
    },
    /// A time was not over when the probe stopped waiting, so it may be longer than the number of seconds in the value.
    AtLeast {
        /// The value of the switch, with the number of seconds that were seen.
        value: Value,
        /// What showed it.
        why: String,
    },
    /// The question can't be answered with this shop, these options or this behaviour.
    NotObservable {
        /// Why it can't be answered.
        why: String,
    },
    /// The probe has tried, but more than one answer fits, or none that the fake knows.
    Unclear {
        /// What was seen instead.
        why: String,
    },
}

impl Finding {
    pub(crate) fn seen(value: impl Into<Value>, why: impl Into<String>) -> Self {
        Self::Seen { value: value.into(), at_most_seconds: None, why: why.into() }
    }

    pub(crate) fn not_observable(why: impl Into<String>) -> Self {
        Self::NotObservable { why: why.into() }
    }

    pub(crate) fn unclear(why: impl Into<String>) -> Self {
        Self::Unclear { why: why.into() }
    }

    /// Returns the value that a fake should use, if there is one.
    #[must_use]
    pub const fn value(&self) -> Option<&Value> {
        match self {
            Self::Seen { value, .. } | Self::AtLeast { value, .. } => Some(value),
            Self::NotObservable { .. } | Self::Unclear { .. } => None,
        }
    }

    /// Returns the explanation, for people.
    #[must_use]
    pub fn why(&self) -> &str {
        match self {
            Self::Seen { why, .. }
            | Self::AtLeast { why, .. }
            | Self::NotObservable { why }
            | Self::Unclear { why } => why,
        }
    }

    /// Returns a word for the kind of the finding, for people.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Seen { .. } => "seen",
            Self::AtLeast { .. } => "at least",
            Self::NotObservable { .. } => "not observable",
            Self::Unclear { .. } => "unclear",
        }
    }
}
