//! What can go wrong, and the one place that makes an exit status, a line and an object of it.

use std::collections::BTreeMap;

use serde::Serialize;
use tiktok_shop_host::consent::ConsentError;
use tiktok_shop_host::error::{Action, ConnectorError};
use tiktok_shop_host::seal::{KeyFileError, RotationError};
use tiktok_shop_host::storage::StorageError;
use tiktok_shop_host::{BuildError, CallError};
use tiktok_shop_private_file::PrivateFileError;
use tiktok_shop_sql_storage::OpenError;

use super::input::Malformed;

/// Every exit status and what it says: for the help and for `docs/command-line.md`.
pub(crate) const STATUSES: [(u8, &str); 15] = [
    (0, "done"),
    (
        1,
        "the answer is no: a webhook or a component is not accepted, a promise of a storage is broken, a key is in use, TikTok Shop refused a call or a revocation, a connection could not be refreshed",
    ),
    (MALFORMED, "an argument, the input or the configuration is malformed, or the output cannot be written"),
    (UNAVAILABLE, "what the program needs is not there or cannot be used: component, database, key file, fake"),
    (CONSENT, "the consent did not finish: its state is unknown, used up, too old or of another browser"),
    (10, "retry-after: the same command again, after the pause that the error names"),
    (11, "reauthorize: the seller has to consent anew"),
    (12, "misconfigured: an operator has to fix app key, secret, scope, clock or allow list"),
    (13, "invalid-request: the arguments do not fit what is stored, or TikTok's rules"),
    (14, "upstream: TikTok Shop refused, broke protocol, or nobody knows whether it acted"),
    (15, "storage-conflict: others were faster; the same command again"),
    (STORAGE_FAILED, "storage-failed: the database failed, or a key is missing; nothing was lost"),
    (17, "internal: a bug in the connector"),
    (ENDED, "the host ended the call: a trap, a deadline, a limit, no free instance"),
    (INTERRUPTED, "Ctrl-C, twice"),
];

pub(crate) const MALFORMED: u8 = 2;
const UNAVAILABLE: u8 = 3;
const CONSENT: u8 = 4;
const STORAGE_FAILED: u8 = 16;
const ENDED: u8 = 20;
const INTERRUPTED: u8 = 130;

/// Why a command did not do what it should.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Arguments, input or configuration.
    Malformed(String),
    /// What the program needs.
    Unavailable(String),
    /// It can't be, as things are.
    Refused(String),
    /// A consent, or any other call.
    Consent(ConsentError),
    /// A storage that was asked directly.
    Storage(StorageError),
    /// Ctrl-C, twice.
    Interrupted,
}

impl From<Malformed> for Failure {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Consent(ConsentError::Call(error))
    }
}

impl From<ConsentError> for Failure {
    fn from(error: ConsentError) -> Self {
        Self::Consent(error)
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<PrivateFileError> for Failure {
    fn from(error: PrivateFileError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<KeyFileError> for Failure {
    fn from(error: KeyFileError) -> Self {
        Self::Unavailable(format!("host keys: {error}"))
    }
}

impl From<OpenError> for Failure {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest, and what may join it, is not in the arguments")]
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Address | OpenError::Path(_) => Self::Malformed(format!("storage: {error}")),
            other => Self::Unavailable(format!("storage: {other}")),
        }
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        Self::Unavailable(refusal(&error))
    }
}

impl From<RotationError> for Failure {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest, and what may join it, is how things are")]
    fn from(error: RotationError) -> Self {
        match error {
            RotationError::Storage(error) => Self::Storage(error),
            RotationError::Key(error) => Self::Storage(error.into()),
            RotationError::KeyFile(error) => error.into(),
            RotationError::NoSuchKey(_) => Self::Malformed(error.to_string()),
            other => Self::Refused(other.to_string()),
        }
    }
}

/// Why this host runs no such component, in one line.
pub(crate) fn refusal(error: &BuildError) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    let causes: Vec<_> = causes.map(ToString::to_string).collect();
    causes.join(": ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A failure in words.
#[derive(Serialize)]
pub(crate) struct Told {
    /// The exit status.
    pub(crate) status: u8,
    /// The connector's name for it, or one of ours.
    pub(crate) case: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    detail: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    next: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl Told {
    fn new(status: u8, case: &'static str, code: Option<&str>, detail: String, next: &str) -> Self {
        let (code, next) = (code.map(str::to_owned), next.to_owned());
        Self { status, case, code, detail, next, http_status: None, request_id: None, retry_after_ms: None }
    }

    fn of_connector(error: &ConnectorError) -> Self {
        let failure = error.failure();
        let code = failure.code.as_str();
        let (status, next) = match error.action() {
            Action::RetryAfter(pause) => {
                (10, format!("the same command again, {:.1} s from now at the earliest", pause.as_secs_f64()))
            }
            Action::Reauthorize => (11, "authorization-url gives the seller a new consent".to_owned()),
            Action::Misconfigured if code == "credentials-refused" => (
                12,
                "name the app in TIKTOK_SHOP_APP_KEY and TIKTOK_SHOP_APP_SECRET, or in the configuration file"
                    .to_owned(),
            ),
            Action::Misconfigured => (12, "correct the app's settings here or in Partner Center".to_owned()),
            Action::InvalidRequest if code == "not-connected" => {
                (13, "authorization-url begins a consent, list-connections shows what there is".to_owned())
            }
            Action::InvalidRequest if code == "account-required" => {
                (13, "name one with --account; list-connections shows them".to_owned())
            }
            Action::InvalidRequest => (13, "correct the arguments".to_owned()),
            Action::Upstream => (14, "do not repeat it blindly".to_owned()),
            Action::StorageConflict => (15, "the same command again".to_owned()),
            Action::StorageFailed => {
                (STORAGE_FAILED, "restore the storage or its keys, then the same command again".to_owned())
            }
            Action::Internal => (17, "report it as a bug".to_owned()),
        };
        Self {
            next: format!("{next}; docs/errors.md explains {code}"),
            http_status: failure.http_status,
            request_id: failure.request_id.clone(),
            retry_after_ms: error.retry_after().and_then(|pause| u64::try_from(pause.as_millis()).ok()),
            ..Self::new(status, error.action().as_str(), Some(code), failure.detail.clone(), "")
        }
    }

    fn of_call(error: &CallError) -> Self {
        const UNKNOWN: &str = "whether it took effect is unknown; list-connections shows what is stored";
        let (code, next) = match error {
            CallError::Connector(error) => return Self::of_connector(error),
            CallError::Trapped { .. } => ("trapped", "report it as a bug of the component"),
            CallError::DeadlineExceeded { .. } => ("deadline-exceeded", UNKNOWN),
            CallError::Exhausted { .. } => ("exhausted", "ask for less at once"),
            CallError::ContractBroken { .. } => ("contract-broken", "report it as a bug of the component"),
            CallError::Busy { .. } => ("busy", "the same command again"),
            CallError::NoRandomness { .. } => ("no-randomness", "the same command again"),
            CallError::Aborted { .. } => ("aborted", UNKNOWN),
            _ => ("unknown", UNKNOWN),
        };
        Self::new(ENDED, "ended-by-host", Some(code), error.to_string(), next)
    }

    fn of_consent(error: &ConsentError) -> Self {
        let (code, next) = match error {
            ConsentError::Call(error) => return Self::of_call(error),
            ConsentError::Storage(error) => return Self::of_storage(error),
            ConsentError::StateMismatch => (
                "state-mismatch",
                "authorization-url begins a consent, for the same --tenant and storage; connect --app-store takes one without a state",
            ),
            ConsentError::OtherBrowser => ("other-browser", "connect as the user who ran authorization-url"),
            ConsentError::StateUsed => {
                ("state-used", "list-connections shows whether it is connected; authorization-url begins anew")
            }
            ConsentError::StateExpired | _ => ("state-expired", "authorization-url begins anew"),
        };
        Self::new(CONSENT, "consent-not-finished", Some(code), error.to_string(), next)
    }

    fn of_storage(error: &StorageError) -> Self {
        let code =
            if matches!(error, StorageError::Unavailable(_)) { "storage-unavailable" } else { "storage-refused" };
        let next = "restore the storage or its keys, then the same command again";
        Self::new(STORAGE_FAILED, "storage-failed", Some(code), error.to_string(), next)
    }

    /// Where storage failed because of a key.
    pub(crate) fn because(mut self, key_trouble: Option<String>) -> Self {
        if let Some(why) = key_trouble.filter(|why| self.status == STORAGE_FAILED && !self.detail.contains(why)) {
            self.detail = format!("{}: {why}", self.detail.trim_end_matches('.'));
        }
        self
    }

    /// For people, in one line.
    pub(crate) fn line(&self) -> String {
        let Self { case, code, detail, next, .. } = self;
        let Some(code) = code else { return detail.clone() };
        let mut line = format!("{case}: {code}: {}", detail.trim_end_matches('.'));
        if let Some(status) = self.http_status {
            line += &format!(" (HTTP {status})");
        }
        if let Some(id) = &self.request_id {
            line += &format!(" (request {id})");
        }
        line + &format!(". Next: {next}")
    }

    /// For programs.
    pub(crate) fn json(&self) -> impl Serialize {
        BTreeMap::from([("error", self)])
    }
}

impl Failure {
    /// What to say of it.
    pub(crate) fn told(&self) -> Told {
        match self {
            Self::Malformed(text) => Told::new(MALFORMED, "malformed", None, text.clone(), ""),
            Self::Unavailable(text) => Told::new(UNAVAILABLE, "unavailable", None, text.clone(), ""),
            Self::Refused(text) => Told::new(1, "refused", None, text.clone(), ""),
            Self::Consent(error) => Told::of_consent(error),
            Self::Storage(error) => Told::of_storage(error),
            Self::Interrupted => Told::new(INTERRUPTED, "interrupted", None, "ended at once".to_owned(), ""),
        }
    }
}
