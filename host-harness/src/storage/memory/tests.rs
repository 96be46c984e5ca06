//! What the storage in memory promises.

use super::*;
use crate::clock::ManualClock;
use crate::connection::{ReauthorizationReason, Shop, ShopPolicy, ShopStanding};
use crate::consent::BrowserSession;
use crate::event::EventKind;
use crate::storage::row_of;

fn storage() -> (Arc<ManualClock>, MemoryStorage) {
    let clock = Arc::new(ManualClock::at(Duration::from_secs(1_700_000_000)));
    (Arc::clone(&clock), MemoryStorage::new(clock))
}

fn tenant(id: &str) -> TenantId {
    id.parse().unwrap()
}

fn key(customer: &str, account: &str) -> ConnectionKey {
    ConnectionKey { customer: customer.parse().unwrap(), account: account.parse().unwrap() }
}

fn revision(text: &str) -> Revision {
    text.parse().unwrap()
}

fn token(text: &str, bytes: &str) -> Next<TokenWrite> {
    let value = TokenWrite { value: TokenValue::new(bytes.into()), refresh_due_at: None };
    Next { revision: revision(text), value }
}

fn row(text: &str, key: &ConnectionKey, shops: &[&str]) -> Next<Row> {
    let shop = |id: &&str| Shop {
        id: id.parse().unwrap(),
        account: key.account.clone(),
        name: String::new(),
        region: String::new(),
        seller_type: String::new(),
        cipher: None,
        code: String::new(),
        raw: String::new(),
        standing: ShopStanding::Granted,
        linked: false,
    };
    let mut row = row_of(key.customer.as_str(), key.account.as_str());
    row.connection.shops = shops.iter().map(shop).collect();
    Next { revision: revision(text), value: row }
}

fn stale(entry: Swapped<TokenEntry>) -> Option<(String, Vec<u8>)> {
    match entry {
        Swapped::Stale(entry) => {
            entry.map(|entry| (entry.revision.as_str().to_owned(), entry.value.expose().to_owned()))
        }
        Swapped::Done => panic!("swapped"),
    }
}

#[tokio::test]
async fn of_two_who_create_one_wins_and_the_other_gets_what_won() {
    let (_, storage) = storage();
    let (tenant, key) = (tenant("t"), key("c", "a"));
    let (first, second) = (token("r1", "first"), token("r2", "second"));
    assert_eq!(storage.swap_token(&tenant, &key, None, Some(&first)).await, Ok(Swapped::Done));
    let lost = storage.swap_token(&tenant, &key, None, Some(&second)).await.unwrap();
    assert_eq!(stale(lost), Some(("r1".to_owned(), b"first".to_vec())));
}

#[tokio::test]
async fn a_swap_on_an_old_revision_loses_even_if_the_value_is_the_same_again() {
    let (_, storage) = storage();
    let (tenant, key) = (tenant("t"), key("c", "a"));
    storage.swap_token(&tenant, &key, None, Some(&token("r1", "A"))).await.unwrap();
    storage.swap_token(&tenant, &key, Some(&revision("r1")), None).await.unwrap();
    storage.swap_token(&tenant, &key, None, Some(&token("r2", "A"))).await.unwrap();
    let lost = storage.swap_token(&tenant, &key, Some(&revision("r1")), Some(&token("r3", "B"))).await.unwrap();
    assert_eq!(stale(lost), Some(("r2".to_owned(), b"A".to_vec())));
}

#[tokio::test]
async fn a_swap_after_deletion_finds_nothing() {
    let (_, storage) = storage();
    let (tenant, key) = (tenant("t"), key("c", "a"));
    storage.swap_token(&tenant, &key, None, Some(&token("r1", "A"))).await.unwrap();
    storage.swap_token(&tenant, &key, Some(&revision("r1")), None).await.unwrap();
    for next in [Some(&token("r2", "B")), None] {
        let lost = storage.swap_token(&tenant, &key, Some(&revision("r1")), next).await.unwrap();
        assert_eq!(stale(lost), None);
    }
}

#[tokio::test]
async fn the_age_is_that_of_the_write_and_ignores_the_wall_clock() {
    let (clock, storage) = storage();
    let (tenant, key) = (tenant("t"), key("c", "a"));
    storage.swap_token(&tenant, &key, None, Some(&token("r1", "A"))).await.unwrap();
    clock.advance(Duration::from_secs(90));
    clock.set_wall(Duration::ZERO);
    let age = async || storage.load_token(&tenant, &key).await.unwrap().unwrap().age;
    assert_eq!(age().await, Duration::from_secs(90));
    storage.swap_token(&tenant, &key, Some(&revision("r1")), Some(&token("r2", "A"))).await.unwrap();
    assert_eq!(age().await, Duration::ZERO);
}

#[tokio::test]
async fn no_id_reaches_into_another_tenant_or_customer() {
    let (_, storage) = storage();
    let ids = ["a", "a/b", "b", "a\0b", "\0", "a:b", "a|b", "%2F", "../a", "A", "a ", "é", "e\u{301}"];
    let mut written = 0;
    for tenant_id in ids {
        for customer in ids {
            for account in ids {
                let text = format!("{written}");
                let (tenant, key) = (tenant(tenant_id), key(customer, account));
                let swapped = storage.swap_token(&tenant, &key, None, Some(&token(&text, &text))).await;
                assert_eq!(swapped, Ok(Swapped::Done), "{tenant_id:?} {customer:?} {account:?}");
                written += 1;
            }
        }
    }
    for customer in ids {
        let accounts = storage.accounts(&tenant("a"), &customer.parse().unwrap()).await.unwrap();
        let mut expected = ids;
        expected.sort_unstable();
        assert_eq!(accounts.iter().map(AccountId::as_str).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn rows_are_listed_by_account_in_byte_order() {
    let (_, storage) = storage();
    let tenant = tenant("t");
    for account in ["b", "B", "ä", "a"] {
        let key = key("c", account);
        storage.swap_row(&tenant, &key, None, Some(&row(account, &key, &[])), &[]).await.unwrap();
    }
    let other = key("d", "a");
    storage.swap_row(&tenant, &other, None, Some(&row("other", &other, &[])), &[]).await.unwrap();
    let rows = storage.list_rows(&tenant, &"c".parse().unwrap()).await.unwrap();
    let accounts: Vec<_> = rows.iter().map(|entry| entry.row.connection.key.account.as_str()).collect();
    assert_eq!(accounts, ["B", "a", "b", "ä"]);
}

#[tokio::test]
async fn owners_are_the_connections_of_one_tenant_that_hold_the_shop() {
    let (_, storage) = storage();
    let (ours, theirs) = (tenant("ours"), tenant("theirs"));
    let (one, two, none) = (key("c1", "a"), key("c2", "a"), key("c3", "a"));
    storage.swap_row(&ours, &two, None, Some(&row("r2", &two, &["1", "2"])), &[]).await.unwrap();
    storage.swap_row(&ours, &one, None, Some(&row("r1", &one, &["2"])), &[]).await.unwrap();
    storage.swap_row(&ours, &none, None, Some(&row("r3", &none, &["22"])), &[]).await.unwrap();
    storage.swap_row(&theirs, &none, None, Some(&row("r4", &none, &["2"])), &[]).await.unwrap();
    assert_eq!(storage.owners(&ours, &"2".parse().unwrap()).await, Ok(vec![one.clone(), two]));

    storage.swap_row(&ours, &one, Some(&revision("r1")), None, &[]).await.unwrap();
    assert_eq!(storage.owners(&ours, &"1".parse().unwrap()).await, Ok(vec![key("c2", "a")]));
    assert_eq!(storage.load_row(&ours, &one).await, Ok(None));
}

#[test]
fn a_token_value_is_not_printed() {
    assert_eq!(format!("{:?}", TokenValue::new(b"s3cret".to_vec())), "[redacted, 6 bytes]");
}

fn event(key: &ConnectionKey, kind: EventKind) -> NewEvent {
    NewEvent { at: UnixSeconds(7), key: key.clone(), kind }
}

async fn kinds(storage: &MemoryStorage, tenant: &TenantId) -> Vec<EventKind> {
    let events = storage.events(tenant, None, usize::MAX).await.unwrap();
    events.into_iter().map(|event| event.event.kind).collect()
}

#[tokio::test]
async fn a_row_and_its_events_are_written_together_or_not_at_all() {
    let (_, storage) = storage();
    let (tenant, key) = (tenant("t"), key("c", "a"));
    let began = [event(&key, EventKind::Connected), event(&key, EventKind::Recovered)];
    let (first, ended) = (row("r1", &key, &[]), [event(&key, EventKind::Disconnected)]);
    assert_eq!(storage.swap_row(&tenant, &key, None, Some(&first), &began).await, Ok(Swapped::Done));
    for repeated in [Some(&first), None] {
        let lost = storage.swap_row(&tenant, &key, None, repeated, &ended).await.unwrap();
        assert!(matches!(lost, Swapped::Stale(Some(_))));
    }
    assert_eq!(kinds(&storage, &tenant).await, [EventKind::Connected, EventKind::Recovered]);
    let ended = storage.swap_row(&tenant, &key, Some(&revision("r1")), None, &ended).await;
    assert_eq!(ended, Ok(Swapped::Done));
    assert_eq!(kinds(&storage, &tenant).await.last(), Some(&EventKind::Disconnected));
}

#[tokio::test]
async fn events_are_read_on_from_a_position_and_of_one_tenant_only() {
    let (_, storage) = storage();
    let (ours, theirs, key) = (tenant("ours"), tenant("theirs"), key("c", "a"));
    for days in 1..=5 {
        let notice = event(&key, EventKind::Notice { days, ends: UnixSeconds(9) });
        assert_eq!(storage.append_once(&ours, &format!("{days}"), &notice).await, Ok(true));
    }
    assert_eq!(storage.events(&theirs, None, 9).await, Ok(Vec::new()));
    let (mut after, mut read) = (None, Vec::new());
    loop {
        let page = storage.events(&ours, after, 2).await.unwrap();
        assert!(page.is_sorted_by_key(|event| event.position));
        let Some(last) = page.last() else { break };
        after = Some(last.position);
        read.extend(page.iter().map(|event| event.event.kind));
    }
    assert_eq!(read, kinds(&storage, &ours).await);
    assert_eq!(read.len(), 5);
}

#[tokio::test]
async fn once_is_once_for_a_connection_and_a_tenant() {
    let (_, storage) = storage();
    let (one, other) = (key("c", "a"), key("c", "b"));
    let append = async |tenant_id: &str, once: &str, key: &ConnectionKey| {
        storage.append_once(&tenant(tenant_id), once, &event(key, EventKind::Recovered)).await.unwrap()
    };
    assert!(append("t", "x", &one).await);
    assert!(!append("t", "x", &one).await);
    assert!(append("t", "y", &one).await && append("t", "x", &other).await && append("u", "x", &one).await);
    assert_eq!(kinds(&storage, &tenant("t")).await.len(), 3);
}

#[tokio::test]
async fn endings_are_of_living_connections_whose_earliest_end_has_come_near() {
    let (_, storage) = storage();
    let put = async |tenant_id: &str, account: &str, status, ends: [Option<u64>; 2]| {
        let key = key("c", account);
        let mut next = row(account, &key, &[]);
        next.value.token_lineage = "lineage".to_owned();
        next.value.connection.status = status;
        next.value.connection.granted_at = UnixSeconds(5);
        [next.value.connection.authorization_ends_at, next.value.connection.refresh_expires_at] =
            ends.map(|at| at.map(UnixSeconds));
        storage.swap_row(&tenant(tenant_id), &key, None, Some(&next), &[]).await.unwrap();
    };
    let dead = ConnectionStatus::ReauthorizationRequired(ReauthorizationReason::AuthorizationRevoked);
    put("t", "announced", ConnectionStatus::AuthorizationEnding(UnixSeconds(30)), [Some(30), Some(99)]).await;
    put("u", "named", ConnectionStatus::Active, [None, Some(20)]).await;
    put("t", "both", ConnectionStatus::Active, [Some(30), Some(10)]).await;
    put("t", "later", ConnectionStatus::Active, [Some(31), None]).await;
    put("t", "unknown", ConnectionStatus::Active, [None, None]).await;
    put("t", "dead", dead, [Some(10), Some(10)]).await;

    let by = UnixSeconds(30);
    let all = storage.endings(by, None, 9).await.unwrap();
    let found: Vec<_> =
        all.iter().map(|end| (end.at.0, end.tenant.as_str(), end.key.account.as_str(), end.grant.as_str())).collect();
    assert_eq!(
        found,
        [(10, "t", "both", "lineage/5"), (20, "u", "named", "lineage/5"), (30, "t", "announced", "lineage/5")]
    );
    assert_eq!(storage.endings(by, None, 2).await.unwrap(), all[..2]);
    assert_eq!(storage.endings(by, Some(&all[1]), 2).await.unwrap(), all[2..]);
}

fn consent(customer: &str) -> (StateDigest, ConsentRecord) {
    let browser = BrowserSession::new("a browser's own secret".into()).unwrap().digest();
    let record = ConsentRecord { customer: customer.parse().unwrap(), browser, shops: ShopPolicy::All };
    (StateDigest::of(&customer.into()), record)
}

#[tokio::test]
async fn a_state_is_used_once_and_may_be_released() {
    let (clock, storage) = storage();
    let (tenant, (state, record)) = (tenant("t"), consent("c"));
    assert_eq!(storage.load_state(&tenant, &state).await, Ok(None));
    assert_eq!(storage.use_state(&tenant, &state).await, Ok(false));
    storage.put_state(&tenant, &state, &record).await.unwrap();
    let refused = StorageError::Refused("the state is stored already".to_owned());
    assert_eq!(storage.put_state(&tenant, &state, &record).await, Err(refused));

    clock.advance(Duration::from_secs(5));
    clock.set_wall(Duration::ZERO);
    assert_eq!(storage.use_state(&tenant, &state).await, Ok(true));
    assert_eq!(storage.use_state(&tenant, &state).await, Ok(false));
    let age = Duration::from_secs(5);
    let used = StoredConsent { record: record.clone(), age, used: true };
    assert_eq!(storage.load_state(&tenant, &state).await, Ok(Some(used)));
    storage.release_state(&tenant, &state).await.unwrap();
    let unused = StoredConsent { record, age, used: false };
    assert_eq!(storage.load_state(&tenant, &state).await, Ok(Some(unused)));
    assert_eq!(storage.use_state(&tenant, &state).await, Ok(true));
}

#[tokio::test]
async fn a_state_is_its_tenants_own_and_is_gone_after_an_hour() {
    let (clock, storage) = storage();
    let (ours, theirs, (state, record)) = (tenant("ours"), tenant("theirs"), consent("c"));
    storage.put_state(&ours, &state, &record).await.unwrap();
    assert_eq!(storage.load_state(&theirs, &state).await, Ok(None));
    assert_eq!(storage.use_state(&theirs, &state).await, Ok(false));
    storage.release_state(&theirs, &state).await.unwrap();

    let put_another = async |customer: &str| {
        let (state, record) = consent(customer);
        storage.put_state(&ours, &state, &record).await.unwrap();
    };
    clock.advance(Duration::from_secs(3_600));
    put_another("d").await;
    assert!(storage.load_state(&ours, &state).await.unwrap().is_some());
    clock.advance(Duration::from_secs(1));
    put_another("e").await;
    assert_eq!(storage.load_state(&ours, &state).await, Ok(None));
}

#[tokio::test]
async fn a_webhook_is_known_for_three_days_to_its_tenant() {
    let (clock, storage) = storage();
    let (ours, theirs) = (tenant("ours"), tenant("theirs"));
    let day = Duration::from_secs(86_400);
    storage.remember_webhook(&ours, "1").await.unwrap();
    clock.advance(day);
    storage.remember_webhook(&ours, "1").await.unwrap();
    storage.remember_webhook(&ours, "2").await.unwrap();
    assert_eq!(storage.knows_webhook(&ours, "1").await, Ok(true));
    assert_eq!(storage.knows_webhook(&theirs, "1").await, Ok(false));
    clock.advance(2 * day + Duration::from_secs(1));
    storage.remember_webhook(&ours, "3").await.unwrap();
    let known = [storage.knows_webhook(&ours, "1").await, storage.knows_webhook(&ours, "2").await];
    assert_eq!(known, [Ok(false), Ok(true)]);
}
