//! Calls from the host into the other language: for app credentials, host keys, and the parts of a storage.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use tiktok_shop_host::TenantId;
use tiktok_shop_host::credentials::{AppCredentials, CredentialsError, CredentialsProvider};

use crate::options::{App, read};

/// Whether the host needs the result of a function of the other language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitsFor {
    /// The end of the function. The host needs no result. If the function returns a value, for example the answer of a
    /// database driver, the host does not read it.
    End,
    /// The result of the function.
    Result,
}

/// An object of the other language whose functions the host calls.
#[async_trait]
pub trait Foreign: Send + Sync {
    /// Calls a function of the object and waits for its result, or for its end. The name is in snake case. The result of
    /// a function that returns nothing is `null`.
    ///
    /// # Errors
    /// The function failed, or it can't be called any more because the other language is ending.
    async fn call(&self, function: &'static str, arguments: Value, waits_for: WaitsFor) -> Result<Value, ForeignError>;
}

/// Why a function of the other language failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ForeignError {
    /// A word that the function may give to its error. For a storage: `refused` or `key-gone`. For host keys:
    /// `host-key-unknown` or `host-key-mismatch`.
    pub code: Option<String>,
    /// The text of the error. It reaches logs and errors, so it must contain no secret.
    pub message: String,
}

impl ForeignError {
    /// Creates an error without a code.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { code: None, message: message.into() }
    }
}

impl ForeignError {
    /// Returns the message as one line of at most 500 characters.
    pub(crate) fn text(&self) -> String {
        one_line(&self.message)
    }
}

/// Returns the first 500 characters of a text of the other language, with spaces in place of control characters.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(500).collect()
}

/// App credentials that a function of the other language provides.
pub(crate) struct ForeignCredentials(pub(crate) Arc<dyn Foreign>);

#[async_trait]
impl CredentialsProvider for ForeignCredentials {
    async fn apps(&self, tenant: &TenantId) -> Result<Vec<AppCredentials>, CredentialsError> {
        let answer = self.0.call("apps", json!({ "tenant": tenant.as_str() }), WaitsFor::Result).await;
        let answer = answer.map_err(|error| match error.code.as_deref() {
            Some("refused") => CredentialsError::Refused(error.text()),
            _ => CredentialsError::Unavailable(error.text()),
        })?;
        let apps: Vec<App> = read("the result of the function apps", answer)
            .map_err(|error| CredentialsError::Refused(error.message))?;
        Ok(apps.into_iter().map(AppCredentials::from).collect())
    }
}
