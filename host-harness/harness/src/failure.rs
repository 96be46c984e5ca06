//! The reasons why a command fails. For each reason, this file decides the exit status, the error line and the JSON
//! object.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use tiktok_shop_connector_core::error::Cause;
use tiktok_shop_host::consent::ConsentError;
use tiktok_shop_host::error::{Action, ConnectorError};
use tiktok_shop_host::install::InstallError;
use tiktok_shop_host::seal::{InvalidHostKeys, KeyFileError, RotationError};
use tiktok_shop_host::storage::StorageError;
use tiktok_shop_host::{BuildError, CallError};
use tiktok_shop_private_file::PrivateFileError;
use tiktok_shop_probe::report::Ended;
use tiktok_shop_sql_storage::OpenError;

/// Every exit status with its meaning. The program's help and `docs/command-line.md` contain this list.
pub(crate) const STATUSES: [(u8, &str); 18] = [
    (0, "success"),
    (
        REFUSED,
        "the answer is no: a webhook or a component is not accepted, a database breaks a promise of a storage, a key is in use, TikTok Shop refused a call or a revocation, a connection could not be refreshed, or an import or an export is incomplete or not allowed",
    ),
    (
        MALFORMED,
        "an argument, a variable, the input or the text of the configuration file is malformed, or the output could not be written",
    ),
    (
        UNAVAILABLE,
        "a component, a database, the configuration file, a key file, a file to import or a fake is missing or can't be used; for example, other users can read the file",
    ),
    (
        CONSENT,
        "the consent or the App Store install was not finished: its state or ID is unknown, was used, is too old or belongs to another browser",
    ),
    (ABSENT, "absent: there is nothing of that name, so nothing was changed; --allow-absent makes this a success"),
    (
        OVERDUE,
        "overdue: a sweep passed over a due connection whose access token has ended; the connection does not work until a later sweep renews it",
    ),
    (STOPPED, "stopped: a signal ended the command before it was complete; nothing is lost, so run it again"),
    (10, "retry-after: run the same command again after the pause that the error message shows"),
    (11, "reauthorize: the seller must consent again"),
    (12, "misconfigured: an operator must correct the app key, secret, scope, clock or allow list"),
    (13, "invalid-request: the arguments do not match what is stored, or they break a rule of TikTok Shop"),
    (14, "upstream: TikTok Shop refused the request or broke the protocol, or it is unknown whether TikTok Shop acted"),
    (15, "storage-conflict: other writers were faster; run the same command again"),
    (
        STORAGE_FAILED,
        "storage-failed: the database failed, a key is missing, or a row is missing or was changed in the database; no stored token was lost",
    ),
    (17, "internal: the connector has a bug"),
    (ENDED_BY_HOST, "the host ended the call: a trap, a deadline, a limit, or no free instance"),
    (INTERRUPTED, "Ctrl-C was pressed while the command finished its running calls, so it stopped at once"),
];

pub(crate) const REFUSED: u8 = 1;
pub(crate) const MALFORMED: u8 = 2;
const UNAVAILABLE: u8 = 3;
const CONSENT: u8 = 4;
const ABSENT: u8 = 5;
pub(crate) const OVERDUE: u8 = 6;
const STOPPED: u8 = 7;
pub(crate) const STORAGE_FAILED: u8 = 16;
const ENDED_BY_HOST: u8 = 20;
const INTERRUPTED: u8 = 130;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The arguments, the input or the configuration are malformed.
    Malformed(String),
    /// Something that the program needs is missing or can't be used.
    Unavailable(String),
    /// The program understood the command and refused it.
    Refused(String),
    /// The command names something that does not exist, so nothing was changed.
    Absent(String),
    /// Stored data needs a host key that this program does not have.
    KeyMissing(String),
    /// A consent or a call failed.
    Consent(ConsentError),
    /// An install from TikTok's App Store did not begin, or was not confirmed.
    Install(InstallError),
    /// A call failed because the connection is held back after failures. `why` is the latest of these failures, and
    /// `next` says what the user can do about it.
    HeldBack { error: Box<CallError>, why: String, next: String },
    /// A list leaves out connections because of their rows. `code` is the worst fault of these rows.
    LeftOut { code: &'static str, detail: String, next: String },
    /// The storage failed when the program used it directly, not in a call of the connector.
    Storage(StorageError),
    /// The host keys open none of the stored data keys. The text names the host keys that are missing.
    HostKeys(String),
    /// A probe has ended early. The text says where its partial report is.
    Probe(Ended, String),
    /// A signal asked the program to end before the command was complete. The command finished every step that it had
    /// begun. The text says what the command did not do.
    Stopped(String),
    /// Ctrl-C was pressed while the command finished its running calls.
    Interrupted,
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

impl From<InstallError> for Failure {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other errors are the host's own")]
    fn from(error: InstallError) -> Self {
        match error {
            InstallError::Call(error) => error.into(),
            InstallError::Storage(error) => error.into(),
            other => Self::Install(other),
        }
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
        let advice = match &error {
            KeyFileError::NoSuchKey(_) => return Self::Absent(format!("{error}{SEE_STATUS}")),
            KeyFileError::AlreadyCurrent(_) => return Self::Refused(format!("{error}; the next step is keys rotate")),
            KeyFileError::Exists(_) => {
                return Self::Refused(format!("host keys: {error}; keys add appends a host key to it"));
            }
            KeyFileError::File(error) => access_advice(error),
            KeyFileError::Missing(path) => return Self::Unavailable(missing_key_file(path)),
            // This error says itself what to do.
            KeyFileError::Malformed { source: InvalidHostKeys::Zero(_), .. } => "",
            KeyFileError::Malformed { .. } => "; correct the file, or restore it from a backup",
            _ => "",
        };
        Self::Unavailable(format!("host keys: {error}{advice}"))
    }
}

/// Returns the text of the error for a key file that a setting names and that does not exist.
pub(crate) fn missing_key_file(path: &Path) -> String {
    let path = path.display();
    format!(
        "host keys: {path}: there is no such file; put the file there, or make a new one for an empty database with \
         keys init"
    )
}

/// The part of an error message that says where the names of the host keys are.
const SEE_STATUS: &str = "; keys status shows the host keys";

/// Returns the part of an error message that points to `--file-access`, the option for files that a container mounts.
/// Returns an empty text if this option does not help.
pub(crate) fn access_advice(error: &PrivateFileError) -> &'static str {
    let is_too_open = matches!(error, PrivateFileError::Open { .. });
    if is_too_open { "; if a container mounts it as a secret, see --file-access" } else { "" }
}

impl From<OpenError> for Failure {
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other error means that the database can't be used")]
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Address
            | OpenError::Fragment
            | OpenError::InMemory
            | OpenError::Invisible { .. }
            | OpenError::Parameter { .. }
            | OpenError::Path(_)
            | OpenError::SeveralServers
            | OpenError::Unsupported(_)
            | OpenError::Unverified
            | OpenError::Value(_)
            | OpenError::Variable { .. } => Self::Malformed(format!("storage: {error}")),
            other => Self::Unavailable(format!("storage: {other}")),
        }
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        Self::Unavailable(build_error_line(&error))
    }
}

impl From<RotationError> for Failure {
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other error is a refusal, and its text says why")]
    fn from(error: RotationError) -> Self {
        match error {
            RotationError::Storage(error) => Self::Storage(error),
            RotationError::Key(error) => Self::Storage(error.into()),
            RotationError::KeyFile(error) => error.into(),
            RotationError::Current(_) => Self::Refused(format!("{error}, with keys promote and keys rotate")),
            RotationError::InUse { .. } => Self::Refused(format!("{error}, with keys rotate")),
            other => Self::Refused(other.to_string()),
        }
    }
}

/// Returns why the host can't run a component, with all causes, in one line.
pub(crate) fn build_error_line(error: &BuildError) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    let causes: Vec<_> = causes.map(ToString::to_string).collect();
    causes.join(": ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What the program prints about a failure.
#[derive(Serialize)]
pub(crate) struct ErrorReport {
    /// The exit status.
    pub(crate) status: u8,
    /// If the connector returned the error, its case, such as `retry-after`. For any other error, a word that this
    /// program defines, such as `malformed`.
    pub(crate) case: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    detail: String,
    /// What the user can do next.
    #[serde(skip_serializing_if = "String::is_empty")]
    next: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl ErrorReport {
    fn new(status: u8, case: &'static str, detail: String) -> Self {
        let next = String::new();
        Self { status, case, code: None, detail, next, http_status: None, request_id: None, retry_after_ms: None }
    }

    fn with_code(self, code: &str, next: &str) -> Self {
        Self { code: Some(code.to_owned()), next: next.to_owned(), ..self }
    }

    fn of_connector(error: &ConnectorError) -> Self {
        let failure = error.failure();
        let code = failure.code.as_str();
        let (status, next) = match error.action() {
            Action::RetryAfter(pause) => {
                (10, format!("run the same command again, but not within the next {:.1} s", pause.as_secs_f64()))
            }
            Action::Reauthorize => (11, "run authorization-url, and let the seller consent again".to_owned()),
            Action::Misconfigured if code == Cause::CredentialsRefused.code() => (
                12,
                "set TIKTOK_SHOP_APP_KEY and TIKTOK_SHOP_APP_SECRET, or put the app into the configuration file"
                    .to_owned(),
            ),
            Action::Misconfigured if code == Cause::AppUnknown.code() => (
                12,
                "put this app into the configuration file again, or, if the command has --app, name another app"
                    .to_owned(),
            ),
            Action::Misconfigured
                if [Cause::AuthorizationLinkInvalid, Cause::AuthorizationLinkMissing]
                    .map(Cause::code)
                    .contains(&code) =>
            {
                (12, "put the link into TIKTOK_SHOP_AUTHORIZATION_LINK, or into the configuration file".to_owned())
            }
            Action::Misconfigured => (12, "correct the app's settings here or in Partner Center".to_owned()),
            Action::InvalidRequest if code == Cause::NotConnected.code() => {
                (13, "run authorization-url to begin a consent, or list-connections to see what is stored".to_owned())
            }
            Action::InvalidRequest if code == Cause::AccountRequired.code() => {
                (13, "name one account with --account; list-connections shows the accounts".to_owned())
            }
            Action::InvalidRequest if code == Cause::AppRequired.code() => {
                (13, "name one of these apps with --app".to_owned())
            }
            Action::InvalidRequest if code == Cause::StateMismatch.code() => (
                13,
                "if the callback has a state, run connect without --app-store; otherwise let the customer start again"
                    .to_owned(),
            ),
            Action::InvalidRequest => (13, "correct the arguments".to_owned()),
            Action::Upstream if code == Cause::ShopCipherMissing.code() => {
                (14, "run refresh for this customer, and then the same command again".to_owned())
            }
            Action::Upstream => (14, "find out what happened before you repeat the command".to_owned()),
            Action::StorageConflict => (15, "run the same command again".to_owned()),
            Action::StorageFailed if [Cause::RowChanged, Cause::RowUnreadable].map(Cause::code).contains(&code) => {
                (STORAGE_FAILED, RESTORE_ROW.to_owned())
            }
            Action::StorageFailed => (STORAGE_FAILED, RESTORE.to_owned()),
            Action::Internal => (17, "report a bug in the connector".to_owned()),
        };
        Self {
            http_status: failure.http_status,
            request_id: failure.request_id.clone(),
            retry_after_ms: error.retry_after().and_then(|pause| u64::try_from(pause.as_millis()).ok()),
            ..Self::new(status, error.action().as_str(), failure.detail.clone())
        }
        .with_code(code, &format!("{next}; docs/errors.md explains {code}"))
    }

    fn of_call(error: &CallError) -> Self {
        let next = match error {
            CallError::Connector(error) => return Self::of_connector(error),
            CallError::Trapped { .. } | CallError::ContractBroken { .. } => "report a bug in the component",
            CallError::DeadlineExceeded { .. } | CallError::Aborted { .. } => {
                "run list-connections to see what is stored; it is unknown whether the call took effect"
            }
            CallError::NotRecorded { .. } => {
                return Self::new(STORAGE_FAILED, "storage-failed", error.to_string()).with_code(error.code(), RESTORE);
            }
            CallError::Exhausted { .. } => "ask for less in one call",
            CallError::Busy { .. } | CallError::NoRandomness { .. } => "run the same command again",
            _ => "run list-connections to see what is stored",
        };
        Self::new(ENDED_BY_HOST, "ended-by-host", error.to_string()).with_code(error.code(), next)
    }

    fn of_consent(error: &ConsentError) -> Self {
        let next = match error {
            ConsentError::Call(error) => return Self::of_call(error),
            ConsentError::Storage(error) => return Self::of_storage(error),
            ConsentError::StateMismatch => {
                "run authorization-url and then connect, both with the same --tenant and storage; only connect --app-store accepts a callback without a state"
            }
            ConsentError::OtherBrowser => "run connect as the user who ran authorization-url",
            ConsentError::StateUsed => {
                "run list-connections to see whether the customer is connected, or authorization-url to begin a new consent"
            }
            ConsentError::StateExpired => "run authorization-url to begin a new consent",
            ConsentError::Malformed => "run connect again with the complete address of the callback",
            _ => "run list-connections to see what is stored",
        };
        Self::new(CONSENT, "consent-not-finished", error.to_string()).with_code(error.code(), next)
    }

    fn of_install(error: &InstallError) -> Self {
        let next = match error {
            InstallError::Unknown | InstallError::Expired | InstallError::NotStored(_) => {
                "let the seller install the app again, or run authorization-url to begin a consent"
            }
            InstallError::OtherBrowser => "run connect as the user who ran connect --app-store before",
            InstallError::OtherCustomer => "name the customer for whom connect --app-store was run before",
            InstallError::Confirmed => "run list-connections to see the connection",
            InstallError::Storage(error) => return Self::of_storage(error),
            InstallError::Call(error) => return Self::of_call(error),
            _ => "run list-connections to see whether the customer is connected",
        };
        Self::new(CONSENT, "install-not-finished", error.to_string()).with_code(error.code(), next)
    }

    fn of_storage(error: &StorageError) -> Self {
        // The code says that the storage refused or is unavailable, so the text does not repeat it.
        let detail = match error {
            StorageError::Unavailable(why) | StorageError::Refused(why) => why.clone(),
            StorageError::KeyGone | StorageError::RowChanged(_) => error.to_string(),
        };
        let next = if matches!(error, StorageError::RowChanged(_)) { RESTORE_ROW } else { RESTORE };
        Self::new(STORAGE_FAILED, "storage-failed", detail).with_code(error.code(), next)
    }

    /// If the storage failed, adds the error of a host key to `detail`, unless `detail` already contains this error.
    fn with_key_error(mut self, key_error: Option<String>) -> Self {
        if let Some(why) = key_error.filter(|why| self.status == STORAGE_FAILED && !self.detail.contains(why)) {
            self.detail = format!("{}: {why}", self.detail.trim_end_matches('.'));
        }
        self
    }

    /// Replaces what the user can do next. The error must have a code.
    pub(crate) fn with_next(self, next: &str) -> Self {
        Self { next: next.to_owned(), ..self }
    }

    /// Returns the error in one line, for people.
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

    /// Returns the error as a JSON object, for programs.
    pub(crate) fn json(&self) -> impl Serialize {
        BTreeMap::from([("error", self)])
    }
}

const RESTORE_ROW: &str = "restore the row from a backup, or delete it from tiktok_shop_connections; then run refresh \
                           for this customer";
const RESTORE: &str = "restore the storage or its keys, then run the same command again";

impl Failure {
    /// Returns what the program prints about this failure. `key_error` is the latest error of the host keys of the
    /// tenant whose call failed. Only the connector shortens its errors, so `key_error` is added to no other error.
    pub(crate) fn report_with_key_error(&self, key_error: Option<String>) -> ErrorReport {
        let is_shortened = matches!(self, Self::Consent(ConsentError::Call(CallError::Connector(_))));
        self.report().with_key_error(key_error.filter(|_| is_shortened))
    }

    /// Returns what the program prints about this failure.
    pub(crate) fn report(&self) -> ErrorReport {
        match self {
            Self::Malformed(text) => ErrorReport::new(MALFORMED, "malformed", text.clone()),
            Self::Unavailable(text) => ErrorReport::new(UNAVAILABLE, "unavailable", text.clone()),
            Self::Refused(text) => ErrorReport::new(REFUSED, "refused", text.clone()),
            Self::Absent(text) => ErrorReport::new(ABSENT, "absent", text.clone()),
            Self::KeyMissing(text) => ErrorReport::new(STORAGE_FAILED, "key-missing", text.clone()),
            Self::Consent(error) => ErrorReport::of_consent(error),
            Self::Install(error) => ErrorReport::of_install(error),
            Self::HeldBack { error, why, next } => {
                let report = ErrorReport::of_call(error);
                let detail = format!("{}; the latest failure: {why}", report.detail.trim_end_matches('.'));
                ErrorReport { detail, next: format!("{next}, or {}", report.next), ..report }
            }
            Self::LeftOut { code, detail, next } => {
                ErrorReport::new(STORAGE_FAILED, "storage-failed", detail.clone()).with_code(code, next)
            }
            Self::Storage(error) => ErrorReport::of_storage(error),
            Self::HostKeys(text) => ErrorReport::new(STORAGE_FAILED, "storage-failed", text.clone())
                .with_code("key-unavailable", "name the right host keys; docs/storage.md explains how"),
            Self::Probe(ended, next) => {
                let (status, case) = match ended {
                    Ended::AllowList(_) | Ended::WrongSecret(_) => (12, "misconfigured"),
                    Ended::NoConsent(_) => (CONSENT, "consent-not-finished"),
                    Ended::Stopped => (STOPPED, "stopped"),
                    Ended::Away(_) | Ended::Refused(_) | Ended::Complete => (14, "upstream"),
                };
                ErrorReport::new(status, case, format!("{ended}; {next}"))
            }
            Self::Stopped(text) => ErrorReport::new(STOPPED, "stopped", format!("stopped by a signal: {text}")),
            Self::Interrupted => ErrorReport::new(INTERRUPTED, "interrupted", "stopped at once".to_owned()),
        }
    }
}
