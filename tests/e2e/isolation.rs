//! Two customers and two tenants never see each other's data, whatever their names look like and whatever the guest does.

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
use tiktok_shop_host::storage::HostStorage as _;
use tiktok_shop_host::storage::{MemoryStorage, Next, TokenWrite};
use tiktok_shop_host::{CallError, Revision, Secret};
use tiktok_shop_tests::{BEGIN, STATE, Stage, customer_id, grant, refusal, tenant};

use crate::hostile_guest::{self, LIMITS};

#[tokio::test]
async fn customers_with_look_alike_names_are_strangers() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    for stranger in ["Alice", "alice ", " alice", "alice\0", "alice/", "alic", "alicе", "alice:one-shop", "bob"] {
        let id = customer_id(stranger);
        assert_eq!(stage.host.list_connections(&tenant(0), &id).await.unwrap(), [], "{stranger:?}");
        assert_eq!(stage.host.list_shops(&tenant(0), &id).await.unwrap(), [], "{stranger:?}");
        let outcome = stage.host.refresh(&tenant(0), &id, None, RefreshMode::Forced).await;
        assert_eq!(refusal(outcome), ("invalid-request", "not-connected".to_owned()), "{stranger:?}");
    }
}

#[tokio::test]
async fn two_customers_of_one_seller_hold_a_pair_each() {
    let stage = Stage::new();
    let alice = stage.connect("alice", "one-shop").await.unwrap();
    let bob = stage.connect("bob", "one-shop").await.unwrap();
    assert_eq!(alice.key.account, bob.key.account);
    for customer in ["alice", "bob"] {
        stage.refresh(customer, RefreshMode::Forced).await.unwrap();
        let listed = stage.host.list_connections(&tenant(0), &customer_id(customer)).await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].key.customer, customer_id(customer));
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
async fn tenants_with_the_same_customer_are_strangers() {
    let stage = Stage::new();
    let query = stage.callback_of(1, "several-regions", Some(STATE), Decision::Allow);
    stage.connect("alice", "one-shop").await.unwrap();
    let other = stage.host.connect(&tenant(1), &customer_id("alice"), grant(&query), ShopPolicy::All).await.unwrap();
    let first = stage.host.list_connections(&tenant(0), &customer_id("alice")).await.unwrap();
    let second = stage.host.list_connections(&tenant(1), &customer_id("alice")).await.unwrap();
    assert_eq!((first.len(), first[0].seller_name.as_str()), (1, "Teapot Corner"));
    assert_eq!(second, [other]);
    let requests = stage.fake.requests();
    let keys: std::collections::BTreeSet<_> =
        requests.iter().filter_map(|request| request.parameter("app_key")).collect();
    assert_eq!(keys.len(), 2, "each tenant with its own app");
}

#[tokio::test]
async fn the_code_of_one_tenants_app_is_worth_nothing_to_the_other() {
    let stage = Stage::new();
    let query = stage.callback_of(1, "one-shop", Some(STATE), Decision::Allow);
    let outcome = stage.host.connect(&tenant(0), &customer_id("mallory"), grant(&query), ShopPolicy::All).await;
    assert_eq!(refusal(outcome), ("reauthorize", "authorization-code-spent".to_owned()));
    assert_eq!(stage.host.list_connections(&tenant(0), &customer_id("mallory")).await.unwrap(), []);
}

/// A secret that a guest leaves in its memory, in the form in which one can be told to look for it.
fn inverted(secret: &str) -> String {
    secret.bytes().map(|byte| format!("{:02x}", !byte)).collect()
}

#[tokio::test]
async fn what_a_guest_leaves_in_memory_is_gone_when_the_next_tenant_gets_the_same_instance_of_the_pool() {
    // One call at a time has one memory in the pool: the next call cannot get another.
    let host = hostile_guest::alone(Limits { concurrent_calls: 1, ..LIMITS }).build().unwrap();
    let secret = inverted("refresh-token-of-the-first-tenant");
    let order = |what| Secret::from(format!("{what}\n{secret}"));
    let found = |outcome: String| outcome.split_once(" in ").unwrap().0.parse::<usize>().unwrap();

    for round in 0..3 {
        let left = host.authorization_url(&tenant(0), order("leave")).await.unwrap();
        assert!(found(left) > 100_000, "round {round}: the search finds what is there");
        let looked = host.authorization_url(&tenant(1), order("look")).await.unwrap();
        let pages: usize = looked.trim_start_matches("0 in ").trim_end_matches(" pages").parse().unwrap();
        assert!(pages > 128, "round {round}: it has seen {looked}, the pages that were filled among them");
    }
}

/// The hostile guest lists connections by loading the token record of customer `alice`, whomever the call is for.
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
        let (case, told) = match host.list_connections(&tenant, &customer_id(customer)).await {
            Err(CallError::Connector(error)) => (error.action(), error.failure().detail.clone()),
            other => panic!("{other:?}"),
        };
        assert_eq!(case, Action::Internal);
        assert!(told.starts_with(loaded), "{tenant}, {customer:?}: {told}");
    }
}

#[tokio::test]
async fn an_answer_with_a_malformed_id_reaches_nobody() {
    let host = hostile_guest::builder().build().unwrap();
    for id in ["seven", "70007145328762734201", "-1", "7 or 1"] {
        let outcome = host.list_shops(&tenant(0), &customer_id(id)).await;
        assert!(matches!(outcome, Err(CallError::ContractBroken { .. })), "{id:?}: {outcome:?}");
    }
}
