//! The host library's sweep: all that is due, each once, a broken account in nobody's way.

use std::future::{pending, ready};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use fake_tiktok_shop::Fault;
use tiktok_shop_host::ConnectorHost;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::storage::HostStorage;
use tiktok_shop_host::sweep::{Sweep, Swept};
use tiktok_shop_tests::{Access, BEGIN, DAY, Interceptor, Passage, SHOPS, Stage, TOKEN_REFRESH, customer_id, tenant};

const SELLERS: [&str; 2] = ["one-shop", "several-regions"];
const CUSTOMERS: usize = 10;

/// So many customers, all of them due.
async fn due_stage() -> Stage {
    let stage = Stage::new();
    for customer in 0..CUSTOMERS {
        stage.connect(&format!("customer-{customer}"), SELLERS[customer % 2]).await.unwrap();
    }
    stage.clear_requests();
    stage.advance(8 * DAY);
    stage
}

fn at_once(concurrency: usize) -> Sweep {
    let now = UnixSeconds(BEGIN + 8 * DAY);
    Sweep { jitter: Duration::ZERO, ..Sweep::new(now, NonZeroUsize::new(concurrency).unwrap()) }
}

#[tokio::test]
async fn everything_that_is_due_is_refreshed_once() {
    for concurrency in [1, 3, 100] {
        let stage = due_stage().await;
        let mut seen = Vec::new();
        let swept = stage.host.sweep(at_once(concurrency), pending(), |due, _| seen.push(due.clone())).await.unwrap();
        assert_eq!(swept, Swept { refreshed: 10, failed: 0, notices: 0, stopped: false });
        seen.sort();
        seen.dedup();
        assert_eq!((seen.len(), stage.requests_to(TOKEN_REFRESH)), (CUSTOMERS, CUSTOMERS));
        let again = stage.host.sweep(at_once(concurrency), pending(), |_, _| ()).await.unwrap();
        assert_eq!(again, Swept::default(), "nothing is due any more");
    }
}

#[tokio::test]
async fn two_hosts_that_sweep_at_once_refresh_each_connection_once() {
    let stage = due_stage().await;
    let other = stage.host_builder().build().unwrap();
    let (one, two) = tokio::join!(
        stage.host.sweep(at_once(4), pending(), |_, _| ()),
        other.sweep(at_once(4), pending(), |_, _| ()),
    );
    assert_eq!(stage.requests_to(TOKEN_REFRESH), CUSTOMERS);
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!((10..=20).contains(&(one.refreshed + two.refreshed)), "{one} and {two}");
    for customer in 0..CUSTOMERS {
        let row = stage.host.list_connections(&tenant(0), &customer_id(&format!("customer-{customer}"))).await;
        assert_eq!(row.unwrap()[0].refreshed_at, UnixSeconds(BEGIN + 8 * DAY));
    }
}

/// Sweeps with another host between the list of what is due and the first of it.
struct AnotherIsFaster {
    other: ConnectorHost,
    lists: AtomicUsize,
}

#[async_trait]
impl Interceptor for AnotherIsFaster {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        if access.method() == "due" && self.lists.fetch_add(1, Ordering::SeqCst) == 1 {
            let swept = self.other.sweep(at_once(1), pending(), |_, _| ()).await.unwrap();
            assert_eq!(swept.refreshed, CUSTOMERS as u64);
        }
        Passage::Made
    }
}

#[tokio::test]
async fn what_another_host_has_refreshed_meanwhile_is_passed_over() {
    let stage = due_stage().await;
    let other = stage.host_builder().build().unwrap();
    stage.intercept(Arc::new(AnotherIsFaster { other, lists: AtomicUsize::new(0) }));
    let swept = stage.host.sweep(at_once(1), pending(), |due, _| panic!("{due:?}")).await.unwrap();
    assert_eq!(swept, Swept::default());
    assert_eq!((stage.requests_to(TOKEN_REFRESH), stage.requests_to(SHOPS)), (CUSTOMERS, CUSTOMERS));
}

#[tokio::test]
async fn an_account_that_never_answers_takes_one_place_and_holds_up_no_other() {
    let stage = due_stage().await;
    stage.fake.fault_next(TOKEN_REFRESH, "no first byte", Fault::named("no first byte").unwrap());
    let deadlines = tiktok_shop_host::deadlines::Deadlines {
        first_byte: Duration::from_millis(500),
        ..tiktok_shop_host::deadlines::Deadlines::default()
    };
    let host = stage.host_builder().deadlines(deadlines).build().unwrap();
    let mut order = Vec::new();
    let swept = host.sweep(at_once(2), pending(), |_, outcome| order.push(outcome.is_ok())).await.unwrap();
    assert_eq!(swept, Swept { refreshed: 9, failed: 1, notices: 0, stopped: false });
    assert_eq!(stage.requests_to(TOKEN_REFRESH), CUSTOMERS);
    // Its claim stands, so it is not due again before that lapses.
    let swept = host.sweep(at_once(2), pending(), |_, _| ()).await.unwrap();
    assert_eq!(swept, Swept::default());
    stage.advance(121);
    let later = Sweep { now: UnixSeconds(BEGIN + 8 * DAY + 121), ..at_once(2) };
    assert_eq!(host.sweep(later, pending(), |_, _| ()).await.unwrap().refreshed, 1);
}

#[tokio::test]
async fn a_connection_that_stays_due_is_tried_once_a_sweep() {
    let stage = due_stage().await;
    let mut app = tiktok_shop_tests::app_credentials(&stage.fake.apps()[0]);
    app.app_key = "another-app".to_owned();
    let host = stage.host_with(tiktok_shop_host::credentials::StaticCredentials::new().with(tenant(0), app));
    let swept = host.sweep(at_once(3), pending(), |_, _| ()).await.unwrap();
    assert_eq!(swept, Swept { refreshed: 0, failed: 10, notices: 0, stopped: false });
    assert_eq!(stage.requests_to(TOKEN_REFRESH), 0);
}

#[tokio::test]
async fn it_stops_when_it_is_told_to_and_finishes_what_had_begun() {
    let stage = due_stage().await;
    let swept = stage.host.sweep(at_once(3), ready(()), |_, _| ()).await.unwrap();
    assert_eq!((swept.stopped, stage.requests_to(TOKEN_REFRESH)), (true, usize::try_from(swept.refreshed).unwrap()));
    assert!(swept.refreshed <= 3, "{swept}");

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut stop = Some(stop);
    let swept = stage
        .host
        .sweep(at_once(2), async { stopped.await.unwrap() }, |_, _| {
            if let Some(stop) = stop.take() {
                stop.send(()).unwrap();
            }
        })
        .await
        .unwrap();
    assert!(swept.stopped && (1..=3).contains(&swept.refreshed), "{swept}");
    let rest = stage.host.sweep(at_once(2), pending(), |_, _| ()).await.unwrap();
    assert!(!rest.stopped && rest.refreshed > 0, "{rest}");
    assert_eq!(stage.requests_to(TOKEN_REFRESH), CUSTOMERS);
    assert!(stage.refresh("customer-0", RefreshMode::WhenDue).await.is_ok());
}
