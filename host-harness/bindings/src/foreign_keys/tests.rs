//! Tests a provider whose functions are closures.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tiktok_shop_host::TenantId;
use tiktok_shop_host::clock::SystemClock;
use tiktok_shop_host::connection::ConnectionKey;
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_host::seal::{DataKey, Destruction, KeyError, KeyProvider, Keyring};
use tiktok_shop_host::storage::{MemoryStorage, StorageError, WrappedKey};
use tokio::time::Instant;

use super::ForeignKeys;
use crate::foreign::{Foreign, ForeignError, WaitsFor};
use crate::key_options::ForeignKeyOption;

const SHARED: ForeignKeyOption = ForeignKeyOption { has_key_per_tenant: false, can_destroy: false };
const PER_TENANT: ForeignKeyOption = ForeignKeyOption { has_key_per_tenant: true, can_destroy: true };

/// The Base64 of 32 bytes `ca`, without padding.
const BASE64_OF_KEY: &str = "ysrKysrKysrKysrKysrKysrKysrKysrKysrKysrKyso";

/// An object whose functions are one closure.
struct Object<F>(F);

#[async_trait]
impl<F: Fn(&'static str, Value) -> Result<Value, ForeignError> + Send + Sync> Foreign for Object<F> {
    async fn call(&self, function: &'static str, arguments: Value, _: WaitsFor) -> Result<Value, ForeignError> {
        (self.0)(function, arguments)
    }
}

/// An object that never answers.
struct Hanging;

#[async_trait]
impl Foreign for Hanging {
    async fn call(&self, _: &'static str, _: Value, _: WaitsFor) -> Result<Value, ForeignError> {
        std::future::pending().await
    }
}

fn answering(functions: ForeignKeyOption, answer: Result<Value, ForeignError>) -> ForeignKeys {
    ForeignKeys::new(Arc::new(Object(move |_, _| answer.clone())), functions)
}

fn tenant() -> TenantId {
    "acme".parse().unwrap()
}

fn failure(code: &str) -> ForeignError {
    ForeignError { code: Some(code.to_owned()), message: "the cause".to_owned() }
}

fn wrapped() -> WrappedKey {
    WrappedKey { host_key: "host-1".parse().unwrap(), bytes: b"wrapped".to_vec() }
}

#[tokio::test]
async fn the_object_gets_and_returns_digits() {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&calls);
    let object = Object(move |function, arguments| {
        log.lock().unwrap().push((function, arguments));
        Ok(match function {
            "wrap" => json!({ "host_key": "host-1", "bytes": "77726170706564" }),
            "unwrap" => json!("07".repeat(32)),
            "destroy" => json!({ "outcome": "not-allowed", "key": "k", "next": "ask", "other": 7 }),
            _ => json!("host-1"),
        })
    });
    let keys = ForeignKeys::new(Arc::new(object), PER_TENANT);
    let key = DataKey::new([7; 32]);
    assert_eq!(keys.current().await.unwrap().as_str(), "host-1");
    assert_eq!(keys.current_for(&tenant()).await.unwrap().as_str(), "host-1");
    assert_eq!(keys.wrap(&tenant(), &key, b"context").await.unwrap(), wrapped());
    assert_eq!(keys.unwrap(&tenant(), &wrapped(), b"context").await.unwrap().expose(), key.expose());
    let destruction = keys.destroy(&tenant(), &[wrapped().host_key]).await.unwrap();
    assert_eq!(destruction, Destruction::NotAllowed { key: "k".to_owned(), next: "ask".to_owned() });
    let context = hex::encode(b"context");
    let expected = vec![
        ("current", json!({})),
        ("current_for", json!({ "tenant": "acme" })),
        ("wrap", json!({ "tenant": "acme", "data_key": "07".repeat(32), "context": context })),
        (
            "unwrap",
            json!({
                "tenant": "acme",
                "wrapped": { "host_key": "host-1", "bytes": "77726170706564" },
                "context": context,
            }),
        ),
        ("destroy", json!({ "tenant": "acme", "wrapped_by": ["host-1"] })),
    ];
    assert_eq!(*calls.lock().unwrap(), expected);
}

#[tokio::test]
async fn without_its_optional_functions_an_object_has_one_key_for_all_tenants() {
    let object =
        Object(|function, _| if function == "current" { Ok(json!("host-1")) } else { Err(failure("refused")) });
    let keys = ForeignKeys::new(Arc::new(object), SHARED);
    assert!(!keys.has_key_per_tenant());
    assert_eq!(keys.current_for(&tenant()).await.unwrap().as_str(), "host-1");
    assert_eq!(keys.destroy(&tenant(), &[]).await, Ok(Destruction::NotPossible));
}

#[tokio::test]
async fn without_destroy_the_host_key_of_a_tenant_is_left_to_its_administrator() {
    let functions = ForeignKeyOption { has_key_per_tenant: true, can_destroy: false };
    let kept = answering(functions, Ok(json!("host-1"))).destroy(&tenant(), &[]).await.unwrap();
    let next = "destroy this host key in the key service, if no other database needs it".to_owned();
    assert_eq!(kept, Destruction::NotAllowed { key: "host-1".to_owned(), next });
    let gone = answering(functions, Err(failure("host-key-unknown"))).destroy(&tenant(), &[]).await;
    assert_eq!(gone, Ok(Destruction::Destroyed));
    let error = answering(functions, Err(failure("refused"))).destroy(&tenant(), &[]).await.unwrap_err();
    assert!(matches!(error, KeyError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn a_host_key_that_is_gone_counts_as_destroyed() {
    let gone = answering(PER_TENANT, Err(failure("host-key-unknown"))).destroy(&tenant(), &[]).await;
    assert_eq!(gone, Ok(Destruction::Destroyed));
}

#[tokio::test]
async fn the_text_of_an_error_is_one_short_line() {
    let message = format!("first\nsecond{}", "x".repeat(1_000));
    let error = ForeignError { code: Some("host-key-unavailable".to_owned()), message };
    let error = answering(SHARED, Err(error)).current().await.unwrap_err();
    let KeyError::Unavailable { why, .. } = error else { panic!("{error}") };
    assert!(why.starts_with("first secondx") && why.len() == 500, "{why}");
}

#[tokio::test]
async fn an_error_has_the_kind_of_its_code() {
    let host_key = wrapped().host_key;
    for (code, error) in [
        ("host-key-unknown", KeyError::Unknown(host_key.clone())),
        ("host-key-mismatch", KeyError::Mismatch(host_key.clone())),
        ("host-key-unavailable", KeyError::Unavailable { key: Some(host_key.clone()), why: "the cause".to_owned() }),
        (
            "refused",
            KeyError::Unavailable { key: Some(host_key.clone()), why: "unwrap of the key provider failed".to_owned() },
        ),
    ] {
        let keys = answering(SHARED, Err(failure(code)));
        assert_eq!(keys.unwrap(&tenant(), &wrapped(), b"").await.unwrap_err(), error, "{code}");
    }
    let unknown = answering(PER_TENANT, Err(failure("host-key-unknown")));
    let nameless = "key-of-the-tenant".parse().unwrap();
    assert_eq!(unknown.current_for(&tenant()).await, Err(KeyError::Unknown(nameless)));
    let none = answering(SHARED, Err(failure("host-key-unknown"))).current().await;
    let why = "the key provider has no such host key".to_owned();
    assert_eq!(none, Err(KeyError::Unavailable { key: None, why }));
}

#[tokio::test]
async fn an_answer_of_another_form_is_refused_and_not_shown() {
    let key = DataKey::new([0xca; 32]);
    let digits = "ca".repeat(32);
    let long = "00".repeat(16 * 1024 + 1);
    for answer in [
        Value::Null,
        json!(7),
        json!(digits),
        json!({ "host_key": digits }),
        json!({ "host_key": "", "bytes": "00" }),
        json!({ "host_key": "a b", "bytes": "00" }),
        json!({ "host_key": "host-1", "bytes": "" }),
        json!({ "host_key": "host-1", "bytes": "0" }),
        json!({ "host_key": "host-1", "bytes": long }),
        json!({ "host_key": "host-1", "bytes": format!("00{digits}00") }),
        json!({ "host_key": format!("host-{}", digits.to_uppercase()), "bytes": "00" }),
        json!({ "host_key": "host-1", "bytes": hex::encode(digits.to_uppercase()) }),
        json!({ "host_key": "host-1", "bytes": hex::encode(format!("k={BASE64_OF_KEY}=")) }),
        json!({ "host_key": BASE64_OF_KEY, "bytes": "00" }),
    ] {
        let error = answering(SHARED, Ok(answer.clone())).wrap(&tenant(), &key, b"").await.unwrap_err();
        assert!(matches!(error, KeyError::Unavailable { .. }), "{answer}: {error}");
        assert!(!error.to_string().to_lowercase().contains("cacaca"), "{answer}: {error}");
    }
    for answer in [Value::Null, json!("ca".repeat(31)), json!("ca".repeat(33)), json!("zz".repeat(32)), json!([202])] {
        let error = answering(SHARED, Ok(answer)).unwrap(&tenant(), &wrapped(), b"").await.unwrap_err();
        assert_eq!(error.to_string(), "key-unavailable(host-1): unwrap of the key provider must return 32 bytes");
    }
    for answer in [json!("destroyed"), json!({ "outcome": "gone" }), json!({ "outcome": "not-allowed", "key": "k" })] {
        let error = answering(PER_TENANT, Ok(answer)).destroy(&tenant(), &[]).await.unwrap_err();
        assert!(matches!(error, KeyError::Unavailable { .. }), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_does_not_answer_is_unavailable_after_eight_seconds() {
    let began = Instant::now();
    let error = ForeignKeys::new(Arc::new(Hanging), SHARED).current().await.unwrap_err();
    assert_eq!(error.to_string(), "key-unavailable(current): current of the key provider took longer than 8s");
    assert_eq!(began.elapsed(), Duration::from_secs(8));
}

/// An object with one host key for each id. It wraps a key by adding the number of the host key to each byte.
fn numbered(current: &Arc<Mutex<u8>>) -> impl Fn(&'static str, Value) -> Result<Value, ForeignError> + use<> {
    let current = Arc::clone(current);
    let added = |value: &Value, number: u8| {
        let bytes = hex::decode(value.as_str().unwrap()).unwrap();
        hex::encode(bytes.iter().map(|byte| byte.wrapping_add(number)).collect::<Vec<_>>())
    };
    move |function, arguments| {
        let now = *current.lock().unwrap();
        Ok(match function {
            "wrap" => json!({ "host_key": format!("host-{now}"), "bytes": added(&arguments["data_key"], now) }),
            "unwrap" => {
                let wrapped = &arguments["wrapped"];
                let number: u8 = wrapped["host_key"].as_str().unwrap().strip_prefix("host-").unwrap().parse().unwrap();
                json!(added(&wrapped["bytes"], number.wrapping_neg()))
            }
            _ => json!(format!("host-{now}")),
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_rotation_moves_every_tenant_to_the_key_that_the_object_names_now() {
    let current = Arc::new(Mutex::new(1));
    let storage = Arc::new(MemoryStorage::new(Arc::new(SystemClock::new())));
    let keys = ForeignKeys::new(Arc::new(Object(numbered(&current))), SHARED);
    let keyring = Keyring::new(storage, Arc::new(keys), Arc::new(SystemRandomness));
    keyring.ensure_key(&tenant()).await.unwrap();
    assert!(keyring.status().await.unwrap().is_rotated());
    *current.lock().unwrap() = 2;
    assert!(!keyring.status().await.unwrap().is_rotated());
    let rotated = keyring.rotate(Keyring::GRACE, |_| {}).await.unwrap();
    assert_eq!((rotated.tenants, rotated.added, rotated.removed), (1, 1, 1));
    let status = keyring.status().await.unwrap();
    assert!(status.is_rotated());
    assert_eq!(status.keys[0].host_key.as_ref().unwrap().as_str(), "host-2");
}

#[tokio::test(start_paused = true)]
async fn a_rotation_with_another_key_than_the_current_one_fails_and_adds_one_data_key() {
    let one = Arc::new(Mutex::new(1));
    let wrap = numbered(&one);
    let object = move |function, arguments| {
        if function == "current" { Ok(json!("alias/connector")) } else { wrap(function, arguments) }
    };
    let keys = ForeignKeys::new(Arc::new(Object(object)), SHARED);
    let storage = Arc::new(MemoryStorage::new(Arc::new(SystemClock::new())));
    let keyring = Keyring::new(storage, Arc::new(keys), Arc::new(SystemRandomness));
    keyring.ensure_key(&tenant()).await.unwrap();
    let error = keyring.rotate(Keyring::GRACE, |_| {}).await.unwrap_err().to_string();
    assert!(error.contains("wraps with another host key than the one that it calls current"), "{error}");
    assert_eq!(keyring.status().await.unwrap().keys.len(), 2);
}

#[tokio::test]
async fn a_failure_reaches_a_call_as_an_error_of_the_storage() {
    let keys = Arc::new(answering(SHARED, Err(ForeignError::new("wrap threw Error"))));
    let storage = Arc::new(MemoryStorage::new(Arc::new(SystemClock::new())));
    let keyring = Keyring::new(storage, keys, Arc::new(SystemRandomness));
    let place = ConnectionKey { customer: "c".parse().unwrap(), account: "a".parse().unwrap() };
    let error = keyring.seal_token(&tenant(), &place, &"r".parse().unwrap(), b"token").await.unwrap_err();
    assert_eq!(error, StorageError::Unavailable("key-unavailable(current): wrap threw Error".to_owned()));
}
