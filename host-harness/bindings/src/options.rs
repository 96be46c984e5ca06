//! The options of a host, as the other language gives them.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tiktok_shop_host::credentials::AppCredentials;
use tiktok_shop_host::deadlines::Deadlines;
use tiktok_shop_host::limits::Limits;
use tiktok_shop_host::{Secret, TenantId};

use crate::error::BindingError;
use crate::key_options::{EarlierKeyOption, KeyOption};

/// The options of a host. `docs/nodejs.md` and `docs/python.md` describe each one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostOptions {
    /// Where connections are kept.
    pub(crate) storage: StorageOption,
    /// What opening the database may create or change. Only for SQLite and PostgreSQL.
    #[serde(default)]
    pub(crate) tables: Tables,
    /// Where the host keys come from.
    pub(crate) keys: KeyOption,
    /// Where the earlier host keys come from. They wrapped data keys before `keys` did, and now only unwrap them.
    #[serde(default)]
    pub(crate) earlier_keys: Option<EarlierKeyOption>,
    /// The tenants' apps. `None` means that a function of the other language provides them.
    #[serde(default)]
    pub(crate) apps: Option<Vec<TenantApp>>,
    /// The address of a fake TikTok Shop, for example `http://127.0.0.1:4010`.
    #[serde(default)]
    pub(crate) fake: Option<String>,
    /// The address of a forward proxy. Secret, because it may contain a password.
    #[serde(default)]
    pub(crate) proxy: Option<SecretText>,
    /// The folder in which the compiled component is kept.
    #[serde(default)]
    pub(crate) compiled_cache: Option<PathBuf>,
    /// Whether grants may be exported.
    #[serde(default)]
    pub(crate) allow_export: bool,
    /// Whether rows that a host of release 0.1 wrote are refused.
    #[serde(default)]
    pub(crate) refuse_unsealed_rows: bool,
    /// The limits of calls.
    #[serde(default)]
    pub(crate) limits: LimitOptions,
    /// The deadlines of calls.
    #[serde(default)]
    pub(crate) deadlines: DeadlineOptions,
}

impl HostOptions {
    /// Reads the options.
    ///
    /// # Errors
    /// An option is missing, unknown or malformed. The error names the rule, and contains no value.
    pub fn read(options: Value) -> Result<Self, BindingError> {
        read("the options", options)
    }
}

/// Reads arguments or options. The parser's text is shown only if it contains no value, because a value may be secret.
pub(crate) fn read<T: serde::de::DeserializeOwned>(what: &str, value: Value) -> Result<T, BindingError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let text = error.into_inner().to_string();
        let shows_a_value = ["invalid ", "unknown variant", "data did not match"];
        if !shows_a_value.iter().any(|start| text.starts_with(start)) {
            return BindingError::arguments(format!("{what}: {text}"));
        }
        let is_known = path != "." && !path.contains('?');
        let member = if is_known { format!("`{path}`") } else { "a member".to_owned() };
        // Only a package uses the word `foreign`, for an object of its language.
        let words = words_of(&text).map(|words| format!(": expected {}", words.replace("`foreign`, ", "")));
        let words = words.unwrap_or_default();
        BindingError::arguments(format!("{what}: {member} has the wrong type or form{words}"))
    })
}

/// Returns the words that are allowed, from the parser's text about another word. The text names the other word first,
/// which may be secret and may contain any text, so only the end of the text is used.
fn words_of(text: &str) -> Option<&str> {
    let (_, words) = text.strip_prefix("unknown variant `")?.rsplit_once("`, expected ")?;
    Some(words)
}

/// Where connections are kept.
#[derive(Clone)]
pub(crate) enum StorageOption {
    Memory,
    Sqlite(PathBuf),
    Postgres(String),
    /// An object of the other language.
    Foreign,
}

impl<'de> Deserialize<'de> for StorageOption {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if let Some(path) = text.strip_prefix("sqlite:") {
            return Ok(Self::Sqlite(path.into()));
        }
        match text.as_str() {
            "memory:" => Ok(Self::Memory),
            "foreign" => Ok(Self::Foreign),
            _ if text.starts_with("postgres://") || text.starts_with("postgresql://") => Ok(Self::Postgres(text)),
            // The text is not shown, because an address may contain a password.
            _ => Err(serde::de::Error::custom("storage: write memory:, sqlite:PATH or postgres://…")),
        }
    }
}

/// What opening a database may create or change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Tables {
    /// The database and its tables must exist.
    #[default]
    Existing,
    /// Creates what is missing.
    Create,
    /// Creates what is missing, and changes tables of an earlier release.
    Migrate,
}

/// A text of the other language that is secret.
pub(crate) struct SecretText(pub(crate) Secret);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::from(text)))
    }
}

impl From<SecretText> for Secret {
    fn from(text: SecretText) -> Self {
        text.0
    }
}

/// One of the words of a type of the library.
pub(crate) struct Word<T>(pub(crate) T);

impl<'de, T> Deserialize<'de> for Word<T>
where
    T: FromStr,
    T::Err: Display,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// An app of a tenant, in the options. It has the members of [`App`]. They are not flattened into it, because serde
/// would then accept unknown members.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantApp {
    tenant: TenantId,
    app_key: String,
    app_secret: SecretText,
    previous_app_secret: Option<SecretText>,
    authorization_link: Option<String>,
}

impl TenantApp {
    pub(crate) fn into_parts(self) -> (TenantId, AppCredentials) {
        let Self { tenant, app_key, app_secret, previous_app_secret, authorization_link } = self;
        (tenant, App { app_key, app_secret, previous_app_secret, authorization_link }.into())
    }
}

/// The credentials of an app that a function of the other language returns. It may have other members, too.
#[derive(Deserialize)]
pub(crate) struct App {
    app_key: String,
    app_secret: SecretText,
    #[serde(default)]
    previous_app_secret: Option<SecretText>,
    #[serde(default)]
    authorization_link: Option<String>,
}

impl From<App> for AppCredentials {
    fn from(app: App) -> Self {
        Self {
            app_key: app.app_key,
            app_secret: app.app_secret.into(),
            previous_app_secret: app.previous_app_secret.map(Secret::from),
            authorization_link: app.authorization_link,
        }
    }
}

/// Limits that differ from those of the library.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitOptions {
    concurrent_calls: Option<u32>,
    concurrent_webhooks: Option<u32>,
    tenant_percent: Option<u32>,
    webhook_body_bytes: Option<usize>,
    response_bytes: Option<u64>,
}

impl LimitOptions {
    pub(crate) fn limits(&self) -> Limits {
        let usual = Limits::default();
        Limits {
            concurrent_calls: self.concurrent_calls.unwrap_or(usual.concurrent_calls),
            concurrent_webhooks: self.concurrent_webhooks.unwrap_or(usual.concurrent_webhooks),
            tenant_percent: self.tenant_percent.unwrap_or(usual.tenant_percent),
            webhook_body_bytes: self.webhook_body_bytes.unwrap_or(usual.webhook_body_bytes),
            response_bytes: self.response_bytes.unwrap_or(usual.response_bytes),
            ..usual
        }
    }
}

/// Deadlines that differ from those of the library, in milliseconds.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DeadlineOptions {
    queue_ms: Option<u64>,
    call_ms: Option<u64>,
    save_ms: Option<u64>,
    connect_ms: Option<u64>,
    tls_ms: Option<u64>,
    first_byte_ms: Option<u64>,
    between_bytes_ms: Option<u64>,
    request_ms: Option<u64>,
}

impl DeadlineOptions {
    pub(crate) fn deadlines(&self) -> Deadlines {
        let usual = Deadlines::default();
        let or = |ms: Option<u64>, usual| ms.map_or(usual, Duration::from_millis);
        Deadlines {
            queue: or(self.queue_ms, usual.queue),
            call: or(self.call_ms, usual.call),
            save: or(self.save_ms, usual.save),
            connect: or(self.connect_ms, usual.connect),
            tls: or(self.tls_ms, usual.tls),
            first_byte: or(self.first_byte_ms, usual.first_byte),
            between_bytes: or(self.between_bytes_ms, usual.between_bytes),
            request: or(self.request_ms, usual.request),
            ..usual
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_names_the_option_and_never_a_value() {
        for (options, message) in [
            (json!({"storage": "CANARY"}), "the options: storage: write memory:, sqlite:PATH or postgres://…"),
            (json!({"storage": 7}), "the options: `storage` has the wrong type or form"),
            (json!({"storage": "memory:"}), "the options: missing field `keys`"),
            (json!({"storage": "memory:", "keys": {"text": 7}}), "the options: `keys.text` has the wrong type or form"),
            (
                json!({"storage": "memory:", "keys": "drawn", "tables": "CANARY"}),
                "the options: `tables` has the wrong type or form: expected one of `existing`, `create`, `migrate`",
            ),
            (
                json!({"storage": "memory:", "keys": "drawn", "tables": "`, expected CANARY`, expected one of CANARY"}),
                "the options: `tables` has the wrong type or form: expected one of `existing`, `create`, `migrate`",
            ),
            (
                json!({"storage": "memory:", "keys": "CANARY"}),
                "the options: `keys` has the wrong type or form: expected one of `text`, `file`, `file_or_new`, \
                 `key_service`, `drawn`",
            ),
            (
                json!({"storage": "memory:", "keys": "drawn", "tables": 7}),
                "the options: `tables` has the wrong type or form",
            ),
            (
                json!({"storage": "memory:", "keys": "drawn", "apps": [{"tenant": "acme", "app_key": 7}]}),
                "the options: `apps[0].app_key` has the wrong type or form",
            ),
            (
                json!({"storage": "memory:", "keys": "drawn", "apps": [{"tenant": "", "app_key": "CANARY"}]}),
                "the options: tenant id: 1 to 256 bytes",
            ),
            (
                json!({"storage": "memory:", "keys": "drawn", "apps": [{"tenant": "acme", "app_sercet": "CANARY"}]}),
                "the options: unknown field `app_sercet`, expected one of `tenant`, `app_key`, `app_secret`, \
                 `previous_app_secret`, `authorization_link`",
            ),
        ] {
            assert_eq!(HostOptions::read(options).err().unwrap().message, message);
        }
    }

    #[test]
    fn options_that_are_not_given_have_the_values_of_the_library() {
        let options = HostOptions::read(json!({
            "storage": "sqlite:a.sqlite",
            "keys": {"file": "keys"},
            "limits": {"tenant_percent": 100},
            "deadlines": {"save_ms": 500},
        }));
        let options = options.unwrap();
        assert_eq!(options.limits.limits(), Limits { tenant_percent: 100, ..Limits::default() });
        let save = Duration::from_millis(500);
        assert_eq!(options.deadlines.deadlines(), Deadlines { save, ..Deadlines::default() });
        assert_eq!((options.tables, options.allow_export), (Tables::Existing, false));
    }
}
