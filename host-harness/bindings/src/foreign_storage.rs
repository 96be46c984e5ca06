//! A storage that is an object of the other language. Each file implements one part of a storage.
//!
//! The object gets and returns JSON. Values that a storage only keeps are texts: the record of a consent, an event, and
//! the row without its sealed value. Digests and sealed bytes are hexadecimal digits. The files
//! `host-harness/node/lib/storage.d.cts` and `host-harness/python/python/tiktok_shop_connector/storage.py` list the
//! functions.

mod connections;
mod consents;
mod keys;
mod tokens;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tiktok_shop_host::connection::{ConnectionKey, UnixSeconds};
use tiktok_shop_host::storage::{StorageError, Swapped};
use tiktok_shop_host::{AccountId, CustomerId, TenantId};
use tiktok_shop_storage_contract::Outcome;
use tokio::time::timeout;

use crate::foreign::{Foreign, ForeignError, WaitsFor};

/// The longest time that a function of the object may take: 10 s. A call of the host gives each read and each save the
/// same time by default. Some requests, such as `events` and those on keys, have no other limit.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A storage that is an object of the other language.
pub struct ForeignStorage(Arc<dyn Foreign>);

impl ForeignStorage {
    /// Wraps the object.
    #[must_use]
    pub fn new(object: Arc<dyn Foreign>) -> Self {
        Self(object)
    }

    /// Calls a function of the object, and reads its result.
    async fn ask<T: DeserializeOwned>(&self, function: &'static str, arguments: Value) -> Result<T, StorageError> {
        let answer = self.call(function, arguments, WaitsFor::Result).await?;
        // The error of the parser is not shown, because it may contain a stored value.
        T::deserialize(answer)
            .map_err(|_| StorageError::Refused(format!("the storage's answer to {function} has another form")))
    }

    /// Calls a function of the object that returns nothing.
    async fn tell(&self, function: &'static str, arguments: Value) -> Result<(), StorageError> {
        self.call(function, arguments, WaitsFor::End).await?;
        Ok(())
    }

    /// Calls a function of the object. The call fails after [`TIMEOUT`].
    async fn call(&self, function: &'static str, arguments: Value, waits_for: WaitsFor) -> Result<Value, StorageError> {
        let answer = timeout(TIMEOUT, self.0.call(function, arguments, waits_for)).await;
        let late = |_| {
            let text = format!("the backend did not answer in time: {function} took longer than {TIMEOUT:?}");
            StorageError::Unavailable(text)
        };
        Ok(answer.map_err(late)??)
    }
}

impl From<ForeignError> for StorageError {
    fn from(error: ForeignError) -> Self {
        match error.code.as_deref() {
            Some("refused") => Self::Refused(error.text()),
            Some("key-gone") => Self::KeyGone,
            _ => Self::Unavailable(error.text()),
        }
    }
}

/// Checks whether an object of the other language keeps the contract of a storage, and calls `on_outcome` after each
/// check. The argument has the members `check`, `promise`, `failure` (`null` if the promise was kept) and `took_ms`.
pub async fn check_storage(object: Arc<dyn Foreign>, mut on_outcome: impl FnMut(Value)) {
    let storage = Arc::new(ForeignStorage::new(object));
    let report = |outcome: &Outcome| {
        on_outcome(json!({
            "check": outcome.check,
            "promise": outcome.promise,
            "failure": outcome.failure,
            "took_ms": u64::try_from(outcome.took.as_millis()).unwrap_or(u64::MAX),
        }));
    };
    tiktok_shop_storage_contract::run(storage, report).await;
}

/// Returns the checks of [`check_storage`], in its order: the members `check` and `promise` of each.
#[must_use]
pub fn storage_checks() -> Value {
    tiktok_shop_storage_contract::checks()
        .map(|(check, promise)| json!({ "check": check, "promise": promise }))
        .collect()
}

/// The arguments that name a connection.
fn of_connection(tenant: &TenantId, key: &ConnectionKey) -> Value {
    json!({ "tenant": tenant.as_str(), "customer": key.customer.as_str(), "account": key.account.as_str() })
}

/// Adds a member to an object.
fn with(mut object: Value, name: &str, value: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
    object
}

/// The greatest number that every language reads exactly: 2^53 - 1. No stored time and no position is greater.
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// Returns a time up to which the storage lists entries.
fn up_to(at: UnixSeconds) -> u64 {
    at.0.min(MAX_NUMBER)
}

/// Returns the maximum number of entries of a list. No list is longer than 2^31 - 1, which databases accept.
fn at_most(limit: usize) -> usize {
    limit.min(i32::MAX as usize)
}

/// Returns a value as the text that the storage keeps.
fn text_of(value: &impl Serialize) -> Result<String, StorageError> {
    serde_json::to_string(value).map_err(|_| StorageError::Refused("a value can't be written as text".to_owned()))
}

/// Reads a text that the storage has kept.
fn read_text<T: DeserializeOwned>(text: &str) -> Result<T, StorageError> {
    serde_json::from_str(text).map_err(|_| StorageError::Refused("a stored text was changed".to_owned()))
}

fn bytes_of(digits: &str) -> Result<Vec<u8>, StorageError> {
    hex::decode(digits).map_err(|_| StorageError::Refused("a stored value is not hexadecimal digits".to_owned()))
}

/// The age of an entry. `None` means that the storage does not know the age.
#[derive(Deserialize)]
#[serde(transparent)]
struct AgeMs(Option<f64>);

impl From<AgeMs> for Duration {
    fn from(AgeMs(age): AgeMs) -> Self {
        let seconds = age.map(|age| (age / 1000.0).max(0.0));
        seconds.and_then(|seconds| Self::try_from_secs_f64(seconds).ok()).unwrap_or(Self::MAX)
    }
}

/// The name of a connection in an answer.
#[derive(Deserialize)]
struct Name {
    customer: CustomerId,
    account: AccountId,
}

impl From<Name> for ConnectionKey {
    fn from(Name { customer, account }: Name) -> Self {
        Self { customer, account }
    }
}

/// The answer to a swap.
#[derive(Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
enum SwapAnswer<E> {
    Done,
    Stale { stored: Option<E> },
}

impl<E> SwapAnswer<E> {
    fn read<T>(self, read: impl FnOnce(E) -> Result<T, StorageError>) -> Result<Swapped<T>, StorageError> {
        match self {
            Self::Done => Ok(Swapped::Done),
            Self::Stale { stored } => Ok(Swapped::Stale(stored.map(read).transpose()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use tiktok_shop_host::connection::ShopPolicy;
    use tiktok_shop_host::storage::{
        BrowserDigest, ConnectionStorage as _, ConsentRecord, ConsentStorage as _, Environment, InstallDigest,
        InstallRecord, StateDigest, TokenStorage as _, WebhookDigest, WebhookStorage as _,
    };
    use tokio::time::Instant;

    use super::*;

    /// An object that never answers.
    struct Hanging;

    #[async_trait]
    impl Foreign for Hanging {
        async fn call(&self, _: &'static str, _: Value, _: WaitsFor) -> Result<Value, ForeignError> {
            std::future::pending().await
        }
    }

    /// An object whose functions return values that JSON does not have.
    struct Unreadable;

    #[async_trait]
    impl Foreign for Unreadable {
        async fn call(&self, _: &'static str, _: Value, waits_for: WaitsFor) -> Result<Value, ForeignError> {
            match waits_for {
                WaitsFor::End => Ok(Value::Null),
                WaitsFor::Result => Err(ForeignError::new("a value of a type that JSON does not have")),
            }
        }
    }

    fn late(function: &str) -> StorageError {
        StorageError::Unavailable(format!("the backend did not answer in time: {function} took longer than 10s"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_function_that_does_not_answer_fails_after_ten_seconds() {
        let (storage, began) = (ForeignStorage::new(Arc::new(Hanging)), Instant::now());
        let tenant: TenantId = "acme".parse().unwrap();
        assert_eq!(storage.belongs_to(Environment::Fake).await, Err(late("belongs_to")));
        assert_eq!(began.elapsed(), Duration::from_secs(10));
        assert_eq!(storage.events(&tenant, None, 1).await.unwrap_err(), late("events"));
        assert_eq!(storage.delete_expired().await, Err(late("delete_expired")));
    }

    #[tokio::test]
    async fn the_value_of_a_function_that_returns_nothing_is_not_read() {
        let storage = ForeignStorage::new(Arc::new(Unreadable));
        let tenant: TenantId = "acme".parse().unwrap();
        let (state, install, browser) =
            (StateDigest::new([1; 32]), InstallDigest::new([2; 32]), BrowserDigest::new([3; 32]));
        let customer: CustomerId = "customer-7".parse().unwrap();
        let consent = ConsentRecord { customer, app: None, browser, shops: ShopPolicy::All };
        let record = InstallRecord { browser, sealed: vec![4] };
        assert_eq!(storage.put_state(&tenant, &state, &consent).await, Ok(()));
        assert_eq!(storage.release_state(&tenant, &state).await, Ok(()));
        assert_eq!(storage.put_install(&tenant, &install, &record).await, Ok(()));
        assert_eq!(storage.close_install(&tenant, &install).await, Ok(()));
        assert_eq!(storage.delete_install(&tenant, &install).await, Ok(()));
        assert_eq!(storage.delete_expired().await, Ok(()));
        assert_eq!(storage.remember_webhook(&tenant, &WebhookDigest::new([5; 32])).await, Ok(()));
        let text = "a value of a type that JSON does not have".to_owned();
        assert_eq!(storage.use_state(&tenant, &state).await, Err(StorageError::Unavailable(text)));
    }
}
