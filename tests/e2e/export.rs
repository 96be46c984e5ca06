//! Tests of `export_grant`: the tokens of a connection move to another installation of the connector.

use std::sync::Arc;

use async_trait::async_trait;
use tiktok_shop_host::connection::{Connection, ConnectionStatus, ShopPolicy, UnixSeconds};
use tiktok_shop_host::events::{Cause, EventKind};
use tiktok_shop_host::existing_grant::ExistingGrant;
use tiktok_shop_host::export_grant::ExportError;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::storage::{HostStorage, MemoryStorage, StorageError};
use tiktok_shop_host::{CallError, Component, ConnectorHost};
use tiktok_shop_tests::{
    Access, BEGIN, DAY, Interceptor, Passage, SHOPS, Stage, TOKEN_REFRESH, customer_id, order_search, refusal, tenant,
};

const SELLER: &str = "one-shop";

/// Builds a host of the stage's installation that may export.
fn exporter(stage: &Stage) -> ConnectorHost {
    stage.host_builder().allow_export().build().unwrap()
}

/// Builds a host of another installation: it has a storage of its own, and keys of its own.
fn another_installation(stage: &Stage) -> ConnectorHost {
    let storage = MemoryStorage::new(Arc::clone(&stage.clock) as Arc<_>);
    stage.host_builder().storage(Arc::new(storage)).allow_export().build().unwrap()
}

async fn export(host: &ConnectorHost) -> Result<ExistingGrant, ExportError> {
    host.export_grant(&tenant(0), &customer_id("alice"), None).await
}

async fn import(host: &ConnectorHost, grant: ExistingGrant) -> Connection {
    host.import_grant(&tenant(0), &customer_id("alice"), None, grant, ShopPolicy::All).await.unwrap()
}

async fn kinds(stage: &Stage) -> Vec<EventKind> {
    let events = stage.storage.events(&tenant(0), None, usize::MAX).await.unwrap();
    events.into_iter().map(|event| event.event.kind).collect()
}

#[tokio::test]
async fn a_connection_moves_to_another_installation_without_a_consent() {
    let stage = Stage::new();
    let connection = stage.connect("alice", SELLER).await.unwrap();
    stage.advance(DAY);
    stage.clear_requests();
    let grant = export(&exporter(&stage)).await.unwrap();
    assert_eq!(stage.fake.requests(), [], "an export sends nothing");
    assert_eq!(grant.account.as_ref(), Some(&connection.key.account));
    assert_eq!(grant.access_token_ends, Some(UnixSeconds(BEGIN + 7 * DAY)));
    assert_eq!(grant.refresh_token_ends, connection.refresh_expires_at);
    assert_eq!(stage.connection("alice").await, connection, "an export changes nothing");

    let second = another_installation(&stage);
    let imported = import(&second, grant.clone()).await;
    assert_eq!((stage.requests_to(TOKEN_REFRESH), stage.requests_to(SHOPS)), (1, 1));
    assert_eq!((imported.status, imported.last_failure.as_ref()), (ConnectionStatus::Active, None));
    assert_eq!((&imported.key, &imported.app), (&connection.key, &connection.app));
    let shop = imported.shops[0].id.clone();
    assert!(second.call(&tenant(0), &customer_id("alice"), order_search(&shop)).await.unwrap().is_success());

    // The way back: the second installation exports the tokens that it got since.
    let newer = export(&second).await.unwrap();
    assert_ne!(newer.refresh_token, grant.refresh_token);
    import(&another_installation(&stage), newer).await;
    assert_eq!(stage.requests_to(TOKEN_REFRESH), 2);
}

#[tokio::test]
async fn a_host_exports_nothing_unless_its_embedder_allows_it() {
    let stage = Stage::new();
    stage.connect("alice", SELLER).await.unwrap();
    let before = kinds(&stage).await;
    let error = export(&stage.host).await.unwrap_err();
    assert_eq!((&error, error.code()), (&ExportError::NotAllowed, "export-not-allowed"));
    assert_eq!(error.to_string(), "this host exports no grants; build it with allow_export");
    assert_eq!(kinds(&stage).await, before);
    // A host that shares the component with one that may export may not export either.
    let sharing = stage.host_builder().component(Component::SharedWith(exporter(&stage)));
    assert_eq!(export(&sharing.build().unwrap()).await, Err(ExportError::NotAllowed));
}

#[tokio::test]
async fn each_export_is_an_event_with_its_actor_and_its_reason() {
    let stage = Stage::new();
    let connection = stage.connect("alice", SELLER).await.unwrap();
    let ana = exporter(&stage).acting_as("ana".parse().unwrap()).because("move 4711".parse().unwrap());
    export(&ana).await.unwrap();
    export(&exporter(&stage)).await.unwrap();
    let events = stage.storage.events(&tenant(0), None, usize::MAX).await.unwrap();
    let exported: Vec<_> =
        events.into_iter().map(|event| event.event).filter(|event| event.kind == EventKind::GrantExported).collect();
    let [first, second] = exported.as_slice() else { panic!("two events") };
    assert_eq!((first.key.as_ref(), first.at), (Some(&connection.key), UnixSeconds(BEGIN)));
    assert_eq!(first.origin.actor.clone().map(String::from).as_deref(), Some("ana"));
    assert_eq!(first.origin.stated_reason.clone().map(String::from).as_deref(), Some("move 4711"));
    assert_eq!((first.origin.cause, second.origin.cause), (Some(Cause::Export), Some(Cause::Export)));
    assert_eq!(second.origin.actor, None);
}

/// Refuses to append an event.
struct NoEvents;

#[async_trait]
impl Interceptor for NoEvents {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        let Access::AppendOnce(..) = access else { return Passage::Forward };
        Passage::Fail(StorageError::Refused("out of space".to_owned()))
    }
}

#[tokio::test]
async fn no_grant_is_exported_without_its_event() {
    let stage = Stage::new();
    stage.connect("alice", SELLER).await.unwrap();
    let before = kinds(&stage).await;
    stage.intercept(Arc::new(NoEvents));
    let host = exporter(&stage);
    let why = StorageError::Refused("out of space".to_owned());
    let expected = CallError::NotRecorded { plugin: host.plugin().clone(), why };
    assert_eq!(export(&host).await, Err(ExportError::Call(expected)));
    assert_eq!(kinds(&stage).await, before);
}

#[tokio::test]
async fn a_dead_connection_and_a_missing_one_are_not_exported() {
    let stage = Stage::new();
    let refused = async |host: &ConnectorHost| match export(host).await {
        Err(ExportError::Call(error)) => refusal::<()>(Err(error)),
        other => panic!("{other:?}"),
    };
    let host = exporter(&stage);
    assert_eq!(refused(&host).await, ("invalid-request", "not-connected".to_owned()));
    stage.connect("alice", SELLER).await.unwrap();
    stage.fake.revoke(SELLER).unwrap();
    stage.refresh("alice", RefreshMode::Forced).await.unwrap_err();
    assert_eq!(refused(&host).await, ("reauthorize", "authorization-revoked".to_owned()));
    assert!(!kinds(&stage).await.contains(&EventKind::GrantExported), "no event without an export");
}

#[tokio::test]
async fn the_debug_text_of_an_exported_grant_shows_no_token() {
    let stage = Stage::new();
    stage.connect("alice", SELLER).await.unwrap();
    let grant = export(&exporter(&stage)).await.unwrap();
    let printed = format!("{grant:?}");
    assert!(printed.contains("refresh_token: [redacted]") && printed.contains("access_token: Some([redacted])"));
    assert!(!printed.contains(grant.refresh_token.expose()));
}
