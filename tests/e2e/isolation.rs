//! Tests of the isolation of customers and tenants. Neither a similar name nor a hostile guest gives access to the data
//! of another customer or tenant.

use std::sync::Arc;
use std::time::Duration;

use fake_tiktok_shop::Decision;
use tiktok_shop_host::clock::ManualClock;
use tiktok_shop_host::connection::{ConnectionKey, ShopPolicy};
use tiktok_shop_host::error::Action;
use tiktok_shop_host::limits::Limits;
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::seal::{HostKeys, Keyring};
use tiktok_shop_host::storage::{MemoryStorage, Next, TokenStorage as _, TokenWrite};
use tiktok_shop_host::{CallError, Revision, Secret};
use tiktok_shop_tests::{BEGIN, STATE, Stage, customer_id, refusal, tenant};

use crate::hostile_guest::{self, LIMITS};

#[tokio::test]
async fn a_customer_with_a_similar_name_has_no_access() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    for stranger in ["Alice", "alice ", " alice", "alice\0", "alice/", "alic", "alicе", "alice:one-shop", "bob"] {
        let id = customer_id(stranger);
        assert_eq!(stage.connections(stranger).await, [], "{stranger:?}");
        assert_eq!(stage.host.list_shops(&tenant(0), &id).await.unwrap(), [], "{stranger:?}");
        let outcome = stage.host.refresh(&tenant(0), &id, None, RefreshMode::Forced).await;
        assert_eq!(refusal(outcome), ("invalid-request", "not-connected".to_owned()), "{stranger:?}");
    }
}

#[tokio::test]
async fn two_customers_with_the_same_seller_have_separate_tokens() {
    let stage = Stage::new();
    let alice = stage.connect("alice", "one-shop").await.unwrap();
    let bob = stage.connect("bob", "one-shop").await.unwrap();
    assert_eq!(alice.key.account, bob.key.account);
    for customer in ["alice", "bob"] {
        stage.refresh(customer, RefreshMode::Forced).await.unwrap();
        assert_eq!(stage.connection(customer).await.key.customer, customer_id(customer));
    }
    let spent: Vec<_> = stage
        .fake
        .requests()
        .iter()
        .filter_map(|request| request.parameter("refresh_token").map(str::to_owned))
        .collect();
    assert_eq!(spent.len(), 2);
    assert_ne!(spent[0], spent[1]);
}

#[tokio::test]
async fn tenants_with_equal_customer_ids_have_no_access_to_each_other() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    let other = stage.connect_app(1, "alice", "several-regions").await.unwrap();
    assert_eq!(stage.connection("alice").await.seller_name, "Teapot Corner");
    assert_eq!(stage.host.list_connections(&tenant(1), &customer_id("alice")).await.unwrap(), [other]);
    let requests = stage.fake.requests();
    let keys: std::collections::BTreeSet<_> =
        requests.iter().filter_map(|request| request.parameter("app_key")).collect();
    assert_eq!(keys.len(), 2, "each tenant uses its own app");
}

#[tokio::test]
async fn a_code_of_another_tenants_app_does_not_connect() {
    let stage = Stage::new();
    let query = stage.callback_of(1, "one-shop", Some(STATE), Decision::Allow);
    let outcome = stage.connect_with("mallory", &query, ShopPolicy::All).await;
    assert_eq!(refusal(outcome), ("reauthorize", "authorization-code-spent".to_owned()));
    assert_eq!(stage.connections("mallory").await, []);
}

/// Returns the inverted bits of a secret, in hex. The guest gets the secret in this form, so that the order to look for
/// the secret does not itself put the secret into the memory.
fn inverted(secret: &str) -> String {
    secret.bytes().map(|byte| format!("{:02x}", !byte)).collect()
}

#[tokio::test]
async fn a_guests_memory_is_reset_before_the_next_tenant_gets_the_same_slot_of_the_pool() {
    // This host's pool has only one memory for guests, so every call gets the same memory.
    let host = hostile_guest::with_own_engine(Limits { concurrent_calls: 1, ..LIMITS }).build().unwrap();
    let secret = inverted("refresh-token-of-the-first-tenant");
    let order = |what| Secret::from(format!("{what}\n{secret}"));
    let found = |outcome: &str| outcome.split_once(" in ").unwrap().0.parse::<usize>().unwrap();

    for round in 0..3 {
        let left = host.authorization_url(&tenant(0), None, order("leave")).await.unwrap();
        assert!(found(left.expose()) > 100_000, "round {round}: the search must find the secret while it is there");
        let looked = host.authorization_url(&tenant(1), None, order("look")).await.unwrap();
        let looked = looked.expose();
        let pages: usize = looked.trim_start_matches("0 in ").trim_end_matches(" pages").parse().unwrap();
        assert!(pages > 128, "round {round}: {looked} must include the pages that were filled before");
    }
}

/// For `list-connections`, the hostile guest loads the token record of the customer `alice`, no matter which customer
/// the call is for.
#[tokio::test]
async fn a_guest_reaches_the_storage_of_no_other_customer_and_of_no_other_tenant() {
    let storage = Arc::new(MemoryStorage::new(Arc::new(ManualClock::at(Duration::from_secs(BEGIN)))));
    let alice = ConnectionKey { customer: customer_id("alice"), account: "one-shop".parse().unwrap() };
    let keys = Arc::new(HostKeys::draw().unwrap());
    let keyring = Keyring::new(Arc::clone(&storage) as Arc<_>, Arc::clone(&keys) as Arc<_>, Arc::new(SystemRandomness));
    let revision: Revision = "revision".parse().unwrap();
    let value = keyring.seal_token(&tenant(0), &alice, &revision, b"canary").await.unwrap();
    let record = Next { revision, value: TokenWrite { value, refresh_due_at: None } };
    storage.swap_token(&tenant(0), &alice, None, Some(&record)).await.unwrap();
    let host = hostile_guest::builder().storage(storage).keys(keys).build().unwrap();
    for (tenant, customer, loaded) in [
        (tenant(0), "alice", "Ok(Loaded { entry: Some("),
        (tenant(1), "alice", "Ok(Loaded { entry: None })"),
        (tenant(0), "bob", "Err(StorageError::Refused(\"not the customer of this call\"))"),
        (tenant(0), "alice\0", "Err(StorageError::Refused(\"not the customer of this call\"))"),
        (tenant(1), "bob", "Err(StorageError::Refused(\"not the customer of this call\"))"),
    ] {
        let (case, detail) = match host.list_connections(&tenant, &customer_id(customer)).await {
            Err(CallError::Connector(error)) => (error.action(), error.failure().detail.clone()),
            other => panic!("{other:?}"),
        };
        assert_eq!(case, Action::Internal);
        assert!(detail.starts_with(loaded), "{tenant}, {customer:?}: {detail}");
    }
}

#[tokio::test]
async fn an_answer_with_a_malformed_id_is_not_passed_on() {
    let host = hostile_guest::builder().build().unwrap();
    for id in ["seven", "70007145328762734201", "-1", "7 or 1"] {
        let outcome = host.list_shops(&tenant(0), &customer_id(id)).await;
        assert!(matches!(outcome, Err(CallError::ContractBroken { .. })), "{id:?}: {outcome:?}");
    }
}
