//! Tests what docs/storage.md says about a failover: the primary of PostgreSQL crashes during a sweep of several
//! processes, and its standby is promoted. The processes reach the database at one address, which leads to the primary
//! and later to the promoted standby.
//!
//! The test waits for events, never for a time: it decides which answers of TikTok Shop the processes get, and waits
//! for what follows.
#![allow(clippy::indexing_slicing, reason = "a broken expectation is a failed test")]

mod gate;
mod line;
mod process;
mod stage;

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use fake_tiktok_shop::ReplacedRefreshToken;
use futures::future::join_all;
use tiktok_shop_host::connection::ReauthorizationReason;
use tiktok_shop_host::events::EventKind;
use tiktok_shop_host::storage::ConnectionStorage as _;
use tiktok_shop_test_postgres::Replication;

use self::process::{Ended, Sweeping};
use self::stage::{CONNECTIONS, LATE_CUSTOMER, LATE_SELLER, Stage};
use crate::SERVER;

/// The number of connections that are refreshed before the replication is cut.
const DONE: usize = 12;
/// The number of connections that a process refreshes at the same time.
const AT_ONCE: usize = 4;
/// The number of connections that two processes refresh at the same time.
const BY_TWO: usize = 2 * AT_ONCE;
/// The number of connections that the process that starts last refreshes at the same time.
const LATE: usize = 2;
/// How long the test waits for a state. It is long because a machine may run many tests at a time.
const PATIENCE: Duration = Duration::from_secs(60);
/// The seconds after which every claim has lapsed.
const CLAIM_LAPSES: u32 = 121;

/// Returns the connections whose refresh tokens were sent in these places of the order.
fn numbers(order: &[usize], places: Range<usize>) -> BTreeSet<usize> {
    BTreeSet::from_iter(order[places].iter().copied())
}

/// At the crash, all of this is the case at the same time:
///
/// - 12 connections are refreshed.
/// - 4 new pairs of tokens are written on the primary, but not on the standby, so their commits are not acknowledged.
///   TikTok Shop has already replaced the earlier tokens.
/// - 2 claims are in the same state. Nothing was sent for them.
/// - 4 requests are at TikTok Shop, which answers them after the failover.
/// - The other connections are still due.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_synchronous_standby_loses_nothing() {
    // If a refresh token were sent twice, the seller would have to consent again.
    let Some(stage) = Stage::new(Replication::Synchronous, ReplacedRefreshToken::RevokesFamily).await else { return };
    let _lock = SERVER.lock().await;
    stage.gate.pass(DONE);
    let mut processes = vec![stage.sweep(AT_ONCE), stage.sweep(AT_ONCE)];
    stage.gate.sent(DONE + BY_TWO).await;
    stage.cut_replication().await;
    processes.push(stage.sweep(LATE));
    stage.commits_wait(LATE).await;
    stage.gate.pass(DONE + AT_ONCE);
    stage.commits_wait(LATE + AT_ONCE).await;
    stage.kill_primary();
    stage.promote_standby();
    stage.lead_to_standby();
    stage.gate.pass_all();

    // The processes have repeated their writes, so they have no failure to report.
    let ended = join_all(processes.into_iter().map(Sweeping::end)).await;
    assert!(ended.iter().all(Ended::is_clean), "{ended:?}");
    let sent = stage.connections_sent();
    assert_eq!(sent.len(), CONNECTIONS, "a refresh token was sent again");
    assert_eq!(numbers(&sent, 0..CONNECTIONS).len(), CONNECTIONS);
    for number in 0..CONNECTIONS {
        stage.assert_works(number).await;
    }
    stage.assert_each_customer_has_its_own(|_| true).await;
    // An operator's next sweep has nothing to do.
    let next = stage.sweep(AT_ONCE).end().await;
    assert_eq!((next.is_clean(), next.count("refreshed")), (true, 0), "{next:?}");
    for number in 0..CONNECTIONS {
        stage.refresh_by_force(number).await;
    }
}

/// As above, 4 new pairs of tokens are written only on the primary. But the standby is promoted when the process has
/// given them up, which it does after 10 s. Other tests may run meanwhile, because nothing here must be fast.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_synchronous_standby_that_is_promoted_late_costs_a_consent_for_each_pair_that_was_given_up() {
    let Some(stage) = Stage::new(Replication::Synchronous, ReplacedRefreshToken::Refused).await else { return };
    let given_up = DONE..DONE + AT_ONCE;
    stage.gate.pass(given_up.start);
    let process = stage.sweep(AT_ONCE);
    stage.gate.sent(given_up.end).await;
    stage.cut_replication().await;
    stage.gate.pass_all();
    stage.commits_wait(AT_ONCE).await;
    stage.kill_primary();
    let first = process.end().await;
    stage.promote_standby();
    stage.lead_to_standby();
    let given_up = numbers(&stage.connections_sent(), given_up);
    assert_eq!(first.because("token-not-saved"), stage.accounts(&given_up), "{first:?}");

    // The next sweep refreshes the connections that are still due. The last sweep sends the tokens whose pairs were
    // given up, because the standby has the claims on them.
    let next = stage.sweep(AT_ONCE).end().await;
    assert_eq!((next.is_clean(), next.count("held")), (true, given_up.len()), "{next:?}");
    stage.advance_server_clock(CLAIM_LAPSES).await;
    let last = stage.sweep(AT_ONCE).end().await;
    assert_eq!((last.is_quiet(), last.accounts("ended")), (true, stage.accounts(&given_up)), "{last:?}");
    for number in 0..CONNECTIONS {
        if given_up.contains(&number) {
            stage.assert_needs_consent(number, ReauthorizationReason::RefreshOutcomeUnknown).await;
        } else {
            stage.assert_works(number).await;
        }
    }
    stage.assert_each_customer_has_its_own(|number| !given_up.contains(&number)).await;
}

/// The standby gets no more writes from a moment in the middle of the sweep. So it lacks these writes:
///
/// - the new pairs of 8 connections, whose claims it has,
/// - the claims and the new pairs of 4 connections,
/// - the claims of 8 connections whose requests are at TikTok Shop during the failover,
/// - a connection that began and a connection that ended after that moment, and their events.
///
/// TikTok Shop refuses a refresh token that it has replaced. So a connection needs a new consent if its new pair was
/// stored and is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_asynchronous_standby_costs_a_consent_for_each_pair_that_it_lacks() {
    let Some(stage) = Stage::new(Replication::Asynchronous, ReplacedRefreshToken::Refused).await else { return };
    let _lock = SERVER.lock().await;
    let claimed = DONE..DONE + BY_TWO;
    let unknown = claimed.end..claimed.end + AT_ONCE;
    let under_way = unknown.end..unknown.end + BY_TWO;
    stage.gate.pass(claimed.start);
    let processes = [stage.sweep(AT_ONCE), stage.sweep(AT_ONCE)];
    stage.gate.sent(claimed.end).await;
    stage.standby_has_everything().await;
    stage.cut_replication().await;
    stage.gate.pass(unknown.end);
    stage.gate.sent(under_way.end).await;
    let sent = stage.connections_sent();
    stage.connect(LATE_CUSTOMER, LATE_SELLER).await;
    stage.disconnect(sent[0]).await;
    let read_until = stage.last_event().await;
    stage.kill_primary();
    stage.promote_standby();
    // Before a host uses the new primary, the positions of the events are raised, as docs/storage.md says. Otherwise
    // the reader would not find the next events, because they would get the positions of the lost ones.
    assert!(stage.raise_event_positions().await < read_until);
    stage.lead_to_standby();

    // Another process can't know of the lost claims, so it sends the tokens of the requests that are under way, too.
    // When TikTok Shop answers these requests, their new pairs revive the connections.
    stage.gate.pass_all_but(under_way.clone());
    let next = stage.sweep(AT_ONCE).end().await;
    let [claimed, unknown, under_way] = [claimed, unknown, under_way].map(|places| numbers(&sent, places));
    assert_eq!((next.is_quiet(), next.count("held")), (true, claimed.len()), "{next:?}");
    assert_eq!(next.accounts("ended"), stage.accounts(&(&unknown | &under_way)), "{next:?}");
    stage.gate.pass_all();
    let first = join_all(processes.into_iter().map(Sweeping::end)).await;
    assert!(first.iter().all(Ended::is_clean), "{first:?}");
    // If the standby has a claim, the token is sent again only when the claim has lapsed.
    stage.advance_server_clock(CLAIM_LAPSES).await;
    let last = stage.sweep(AT_ONCE).end().await;
    assert_eq!((last.is_quiet(), last.accounts("ended")), (true, stage.accounts(&claimed)), "{last:?}");
    let sent_again = unknown.len() + under_way.len() + claimed.len();
    assert_eq!(stage.connections_sent().len(), CONNECTIONS + sent_again);

    for number in 0..CONNECTIONS {
        if claimed.contains(&number) {
            stage.assert_needs_consent(number, ReauthorizationReason::RefreshOutcomeUnknown).await;
        } else if unknown.contains(&number) {
            stage.assert_needs_consent(number, ReauthorizationReason::AuthorizationRevoked).await;
        } else {
            stage.assert_works(number).await;
        }
    }
    // This also holds for the connection that ended after the replication was cut: it is there again. The connection of
    // the late customer, which began after that, is unknown.
    let needs_consent = &claimed | &unknown;
    stage.assert_each_customer_has_its_own(|number| !needs_consent.contains(&number)).await;
    stage.assert_unknown(LATE_CUSTOMER).await;
    // The reader finds all new events.
    let events = stage.storage.events(&stage.tenant, Some(read_until), 10 * CONNECTIONS).await.unwrap();
    let ends = events.iter().filter(|event| matches!(event.event.kind, EventKind::ReauthorizationRequired(_)));
    assert_eq!(ends.count(), sent_again);

    for number in &needs_consent {
        stage.connect_again(*number).await;
    }
    stage.connect(LATE_CUSTOMER, LATE_SELLER).await;
    stage.assert_each_customer_has_its_own(|_| true).await;
    for number in 0..CONNECTIONS {
        stage.assert_works(number).await;
        stage.refresh_by_force(number).await;
    }
}
