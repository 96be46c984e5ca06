//! Health, readiness, metrics and the description of the API.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_host::seal::{DataKey, HostKeys, KeyError, KeyProvider, Keyring};
use tiktok_shop_host::storage::{Access, HostStorage, Interceptor, Passage, StorageError, WrappedKey};
use tiktok_shop_host::{HostKeyId, TenantId};
use tiktok_shop_server::Parts;

use crate::http::Request;
use crate::stage::{SHOP, Stage};

/// Fails every access while it is switched on.
#[derive(Default)]
struct Failing(AtomicBool);

#[async_trait::async_trait]
impl Interceptor for Failing {
    async fn passage(&self, _: Access<'_>, _: &dyn HostStorage) -> Passage {
        if self.0.load(Ordering::Relaxed) {
            Passage::Fail(StorageError::Unavailable("switched off".to_owned()))
        } else {
            Passage::Forward
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_is_healthy_but_not_ready_without_its_storage() {
    let failing = Arc::new(Failing::default());
    let stage = Stage::with(|_| {}, Some(failing.clone())).await;
    let ask = async |target: &str| {
        let answer = Request::new(stage.address, "GET", target).send().await;
        (answer.status, answer.json()["status"].as_str().unwrap().to_owned())
    };
    assert_eq!(ask("/readyz").await, (200, "ready".to_owned()));
    failing.0.store(true, Ordering::Relaxed);
    assert_eq!(ask("/readyz").await, (503, "not-ready".to_owned()));
    assert_eq!(ask("/healthz").await, (200, "ok".to_owned()));
    let answer = stage.get("/v1/customers/customer-7/connections").await;
    assert_eq!((answer.status, &answer.json()["action"]), (503, &"storage-failed".into()), "{}", answer.text());
}

/// A key service that can't be reached.
struct Away;

impl Away {
    fn error() -> KeyError {
        KeyError::Unavailable { key: None, why: "the key service is away".to_owned() }
    }
}

#[async_trait::async_trait]
impl KeyProvider for Away {
    async fn current(&self) -> Result<HostKeyId, KeyError> {
        Err(Self::error())
    }

    async fn wrap(&self, _: &TenantId, _: &DataKey, _: &[u8]) -> Result<WrappedKey, KeyError> {
        Err(Self::error())
    }

    async fn unwrap(&self, _: &TenantId, _: &WrappedKey, _: &[u8]) -> Result<DataKey, KeyError> {
        Err(Self::error())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_without_usable_host_keys_is_not_ready() {
    let mut stage = Stage::new().await;
    stage.connect("customer-7", "one-shop").await;
    let wrong: Arc<dyn KeyProvider> = Arc::new(HostKeys::draw().unwrap());
    for (provider, status, word, why) in [
        // This process has never opened a key, so it can serve nobody, and must not replace one that can.
        (Arc::new(Away) as Arc<dyn KeyProvider>, 503, "not-ready", Away::error().to_string()),
        (wrong, 503, "not-ready", "the host keys open no stored data key".to_owned()),
    ] {
        stage
            .restart_with(|parts| {
                let keyring = Keyring::new(parts.storage.clone(), provider, Arc::new(SystemRandomness));
                Parts { keyring, ..parts }
            })
            .await;
        let answer = stage.get("/readyz").await;
        let body = serde_json::json!({ "status": word, "storage": "ok", "keys": why });
        assert_eq!((answer.status, answer.json()), (status, body));
        let metrics = stage.get("/metrics").await.text();
        for line in ["tiktok_shop_ready{part=\"keys\"} 0", "tiktok_shop_ready{part=\"storage\"} 1"] {
            assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
        }
    }
}

/// Nothing is stored that a host key must open, so nobody has to be asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_stored_data_keys_does_not_ask_the_key_service() {
    let mut stage = Stage::new().await;
    stage
        .restart_with(|parts| {
            let keyring = Keyring::new(parts.storage.clone(), Arc::new(Away), Arc::new(SystemRandomness));
            Parts { keyring, ..parts }
        })
        .await;
    let answer = stage.get("/readyz").await;
    assert_eq!((answer.status, &answer.json()["keys"]), (200, &"ok".into()), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_routes_and_calls_and_name_no_customer_and_no_shop() {
    let stage = Stage::new().await;
    stage.connect("customer-CANARY", "one-shop").await;
    stage.get(&format!("/v1/customers/customer-CANARY/shops/{SHOP}/tiktok/order/CANARY")).await;
    stage.get("/CANARY").await;
    stage.request("CANARY", "/v1/events").send().await;
    let text = stage.get("/metrics").await.text();
    for line in [
        "tiktok_shop_http_requests_total{route=\"/v1/customers/{customer}/connect-sessions\",method=\"POST\",status=\"201\"} 1",
        "tiktok_shop_http_requests_total{route=\"unknown\",method=\"GET\",status=\"404\"} 1",
        "tiktok_shop_http_requests_total{route=\"/v1/events\",method=\"other\",status=\"405\"} 1",
        "tiktok_shop_consents_total{step=\"finish\",outcome=\"ok\"} 1",
        "tiktok_shop_calls_total{operation=\"call\",outcome=\"ok\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!text.contains("CANARY") && !text.contains(SHOP), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_shows_the_document_of_its_api() {
    let stage = Stage::new().await;
    let answer = Request::new(stage.address, "GET", "/openapi.json").send().await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.text(), tiktok_shop_server::openapi_json());
}
